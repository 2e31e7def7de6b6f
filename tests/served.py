"""The command `emulator` as a process of its own."""

import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import processes
from processes import COMMAND, ENVIRONMENT

__all__ = ["COMMAND", "ENVIRONMENT", "Served", "run", "served"]


class Served:
    """`emulator serve`, running."""

    def __init__(self, *options: str, environment: Mapping[str, str] | None = None) -> None:
        self.started = time.monotonic()
        self.process = processes.Popen(
            [*COMMAND, "serve", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**ENVIRONMENT, **(environment or {})},
        )
        is_json = "json" in options  # whose stdout holds nothing but JSON
        self.banner = self.process.stderr if is_json else self.process.stdout
        assert self.banner is not None
        first = self.banner.readline()
        found = re.search(r"https?://[^ ]+:(\d+)", first)
        if found is None:
            raise AssertionError(first + "".join(self.process.communicate()))
        self.port = int(found[1])
        self.first_line = first

    def lines(self, last: str) -> list[str]:
        """What it printed after its first line, until a line that holds `last`."""
        assert self.process.stdout is not None
        lines: list[str] = []
        while not lines or last not in lines[-1]:
            line = self.process.stdout.readline()
            assert line, "it printed no such line"
            lines.append(line.rstrip("\n"))
        return lines

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def finish(self, timeout: float = 20) -> tuple[int, str, str]:
        """Wait for the end: the exit code, what else was printed, and the errors."""
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, self.first_line + out, err


@contextmanager
def served(*options: str, environment: Mapping[str, str] | None = None) -> Iterator[Served]:
    """`emulator serve` on a free port, until the block ends."""
    running = Served("--port", "0", *options, environment=environment)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            processes.end(running.process)
            running.process.communicate()
        for pipe in (running.process.stdout, running.process.stderr):
            assert pipe is not None
            pipe.close()


def run(*arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """One command, run to its end: exit code, output, errors."""
    done = processes.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env={**ENVIRONMENT, **(environment or {})},
    )
    return done.returncode, done.stdout, done.stderr
