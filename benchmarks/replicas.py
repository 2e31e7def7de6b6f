"""What replicas that share a Redis cost beside one server that shares nothing: CPU time of all processes.

    python -m benchmarks.replicas [--rounds 5] [--seconds 1] [--replicas 3] [--json] [--write docs/scale.md]

Both sides are asked in turn, in the same run, by the same client; each figure is the least of all rounds. The ratio
says how many requests replicas and store serve in a second of CPU time, against the server alone."""

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.bench import _emulator
from benchmarks.servers import BINARIES, HEADERS, Server, Unavailable, _stat, free_port, request_body

CONNECTIONS = (1, 32, 96)
BEGIN, END = "<!-- replicas:begin -->", "<!-- replicas:end -->"
TICK = 1e6 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Side:
    """Processes that are measured together."""

    ports: Sequence[int]
    servers: Sequence[int]
    """The process ids."""
    store: Sequence[int]


@dataclass(frozen=True)
class Cost:
    """CPU time per request, in µs."""

    servers: float
    store: float

    @property
    def total(self) -> float:
        return self.servers + self.store


class Case:
    """One kind of load."""

    def __init__(self, connections: int, *, is_new: bool) -> None:
        self.connections, self.is_new = connections, is_new
        self.costs: dict[str, list[Cost]] = {"alone": [], "shared": []}

    @property
    def name(self) -> str:
        asked = "every prompt new" if self.is_new else "one prompt"
        return f"{asked}, {self.connections} connection{'s' if self.connections > 1 else ''}"

    def best(self, side: str) -> Cost:
        return min(self.costs[side], key=lambda cost: cost.total)

    @property
    def ratio(self) -> float:
        return self.best("alone").total / self.best("shared").total


_counter = 0


def ask(side: Side, case: Case, seconds: float, folder: Path) -> Cost:
    """Let clients ask, each one of the servers, and add up what that has cost. Raises Unavailable."""
    global _counter
    body = folder / "body.json"
    body.write_bytes(request_body(stream=False, is_new=case.is_new))
    shares = [case.connections // len(side.ports)] * len(side.ports)
    for place in range(case.connections - sum(shares)):
        shares[place] += 1
    before = used(side.servers), used(side.store)
    clients = []
    for port, share in zip(side.ports, shares, strict=True):
        if share:
            _counter += 20_000_000
            command = [str(BINARIES / "client"), "json", "--port", str(port), "--path", "/serevix/v1/chat/completions"]
            command += ["--body", str(body), "--connections", str(share), "--seconds", str(seconds)]
            command += ["--counter", str(_counter % 1_000_000_000)]
            for name, value in HEADERS.items():
                command += ["--header", f"{name}: {value}"]
            clients.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    figures = [json.loads(client.communicate()[0]) for client in clients]
    after = used(side.servers), used(side.store)
    if failures := sum(each["failures"] + each["bad_status"] for each in figures):
        raise Unavailable(f"{failures} requests failed")
    answers = sum(each["answers"] for each in figures)
    return Cost((after[0] - before[0]) / answers, (after[1] - before[1]) / answers)


def used(processes: Sequence[int]) -> float:
    """Returns the CPU time of a process, user and system, in µs."""
    return sum(sum(int(value) for value in _stat(process)[11:13]) for process in processes) * TICK


@contextlib.contextmanager
def running_redis(folder: Path) -> Iterator[tuple[int, int]]:
    """Runs a Redis without persistence and yields its port and its process id. Raises Unavailable."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise Unavailable("redis-server is not installed (Debian: apt-get install redis-server)")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen([*command, "--dir", str(folder)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            if time.monotonic() > until:
                raise Unavailable("redis-server does not start")
            time.sleep(0.02)
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def sides(folder: Path, replicas: int) -> Iterator[dict[str, Side]]:
    """Starts both sides and sends each a request."""
    with contextlib.ExitStack() as stack:
        port, redis = stack.enter_context(running_redis(folder))
        plain = _emulator()
        cores = os.sched_getaffinity(0)
        alone = stack.enter_context(Server(plain, folder, cores=cores))
        shared = []
        for number in range(replicas):
            target = replace(
                plain,
                name=f"replica-{number}",
                command=lambda wish: [*plain.command(wish), "--store", f"redis://127.0.0.1:{port}/0"],
            )
            shared.append(stack.enter_context(Server(target, folder, cores=cores)))
        yield {
            "alone": Side([alone.port], alone.processes(), []),
            "shared": Side([one.port for one in shared], [pid for one in shared for pid in one.processes()], [redis]),
        }


def measure(rounds: int, seconds: float, replicas: int) -> list[Case]:
    cases = [Case(connections, is_new=is_new) for is_new in (False, True) for connections in CONNECTIONS]
    with tempfile.TemporaryDirectory(prefix="emulator-replicas-") as name:
        folder = Path(name)
        with sides(folder, replicas) as both:
            for side in both.values():  # warm-up, which isn't counted
                for case in cases:
                    ask(side, case, seconds / 4, folder)
            for _ in range(rounds):
                for case in cases:
                    for which, side in both.items():
                        case.costs[which].append(ask(side, case, seconds, folder))
    return cases


def table(cases: Sequence[Case], replicas: int) -> str:
    lines = [
        f"| CPU µs for each request | one alone | {replicas} replicas | their store | requests per CPU second |",
        "|---|---:|---:|---:|---:|",
    ]
    for case in cases:
        alone, shared = case.best("alone"), case.best("shared")
        lines.append(
            f"| {case.name} | {alone.total:.0f} | {shared.servers:.0f} | {shared.store:.0f} | {case.ratio:.2f} × |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replicas", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="the length of each measurement")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print all figures")
    parser.add_argument("--write", type=Path, help="replace what is between the two marks in this file")
    given = parser.parse_args()
    try:
        cases = measure(given.rounds, given.seconds, given.replicas)
    except Unavailable as error:
        print(f"replicas: {error}", file=sys.stderr)
        return 1
    text = table(cases, given.replicas)
    if given.json:
        print(
            json.dumps(
                {
                    case.name: {side: [vars(each) for each in costs] for side, costs in case.costs.items()}
                    for case in cases
                }
            )
        )
    else:
        print(text)
    if given.write is not None:
        before, _, rest = given.write.read_text().partition(BEGIN)
        given.write.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
