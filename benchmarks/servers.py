"""Starts a server on its own core, runs the client against it, and measures its CPU time and memory."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.scenario import PROMPT, SAME_NUMBER, SYSTEM, TOKENS, TOKENS_PER_SECOND

HERE = Path(__file__).parent
BINARIES = HERE / "bin"
SCENARIO = HERE / "scenario.yaml"
CORES: list[int] = sorted(os.sched_getaffinity(0))
"""The cores available to this process before pinning."""
SERVER_CORES = {CORES[0]}
CLIENT_CORES = {CORES[-1]}

HEADERS = {
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
    "Accept": "application/json",
    "Content-Type": "application/json",
    "User-Agent": "OpenAI/Python 3.50.0",
    "X-Stainless-Lang": "python",
    "X-Stainless-Package-Version": "3.50.0",
    "X-Stainless-OS": "Linux",
    "X-Stainless-Arch": "x64",
    "X-Stainless-Runtime": "CPython",
    "X-Stainless-Runtime-Version": "3.11.7",
    "Authorization": "Bearer sk-bench",
    "X-Api-Key": "sk-bench",
    "anthropic-version": "2023-06-01",
    "X-Stainless-Async": "false",
    "x-stainless-retry-count": "0",
    "x-stainless-read-timeout": "600",
}
"""A request's head, as an SDK sends it."""
PATH = "/v1/chat/completions"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Unavailable(Exception):
    """Raised if a server can't be measured on this machine; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How to start a server for one measurement."""

    port: int
    directory: Path
    paced: bool = False
    scenario: Path = SCENARIO
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Target:
    """A server to measure: how to start it and how to send it requests."""

    name: str
    command: Callable[[Wish], list[str]]
    path: str = PATH
    stream_path: str = ""
    """Only if it differs from `path`."""
    gap: float = 1 / TOKENS_PER_SECOND
    """The time between two tokens that it can be configured to keep, in seconds."""
    can_hurry: bool = True
    """Whether it can stream without pauses between tokens."""
    is_shortened: bool = False
    """Whether it honors `max_tokens`."""
    health_path: str = ""
    """A path to check readiness with; if empty, a chat request is used."""
    environment: Callable[[Wish], Mapping[str, str]] = field(default=lambda wish: {})
    setup: Sequence[tuple[str, Any]] = ()
    """The path and the JSON to post once the server is up."""
    version: str = ""

    @property
    def path_of_streams(self) -> str:
        return self.stream_path or self.path


def request_body(
    *, stream: bool, is_new: bool = False, max_tokens: int = 0, prompt: str = "", system: str = SYSTEM
) -> bytes:
    """Returns a chat request. With `is_new`, its prompt has a `%d`, which the client replaces with a unique number."""
    body: dict[str, Any] = {
        "model": "deepseek-v3",
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": prompt or PROMPT.format(number="%d" if is_new else SAME_NUMBER)},
        ],
        "temperature": 0.7,
        "stream": stream,
    }
    if max_tokens:
        body["max_tokens"] = max_tokens
    return json.dumps(body, separators=(",", ":")).encode()


@contextlib.contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """What is started inside inherits these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Server:
    """A running server with its child processes; it ends with the `with` block."""

    def __init__(
        self,
        target: Target,
        directory: Path,
        *,
        paced: bool = False,
        scenario: Path = SCENARIO,
        workers: int = 1,
        cores: set[int] = SERVER_CORES,
    ) -> None:
        self.target = target
        self.directory = directory
        self.wish = Wish(free_port(), directory, paced, scenario, workers)
        self.port = self.wish.port
        self.cores = cores
        self.seconds_to_first_answer = 0.0
        self.log = directory / f"{target.name.replace(' ', '-')}.log"

    def __enter__(self) -> "Server":
        command = self.target.command(self.wish)
        environment = {**os.environ, **self.target.environment(self.wish)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # pip compiles what it installs, so all servers are compiled
        began = time.monotonic()
        try:
            with self.log.open("wb") as log, on_cores(self.cores):
                # Its own session, so that leftover children can be killed with it.
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    cwd=HERE.parent,
                    start_new_session=True,
                )
        except OSError as error:
            raise Unavailable(f"does not start: {error}") from error
        try:
            self._wait()
            self.seconds_to_first_answer = time.monotonic() - began
            for path, body in self.target.setup:
                status, answer = self.ask("POST", path, json.dumps(body).encode())
                if status >= 300:
                    raise Unavailable(f"set-up at {path} failed with {status}: {answer[:120].decode(errors='replace')}")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=3)
                break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _wait(self, limit: float = 20) -> None:
        # A paced answer takes as long as its stream would, so such servers are checked with their health path.
        is_slow = self.wish.paced and self.target.is_shortened
        method, path = ("GET", self.target.health_path) if is_slow else ("POST", self.target.path)
        body = b"" if is_slow else request_body(stream=False)
        end = time.monotonic() + limit
        status, answer = 0, b""
        while time.monotonic() < end:
            if self.process.poll() is not None:
                last = self.log.read_text(errors="replace").strip().splitlines()[-1:] or ["no message"]
                raise Unavailable(f"ended with exit code {self.process.returncode}: {last[0][:160]}")
            try:
                status, answer = self.ask(method, path, body)
            except OSError:
                time.sleep(0.002)
                continue
            if status == 200:
                return
            # The server is up and refuses the request; that rarely changes.
            end = min(end, time.monotonic() + 3)
            time.sleep(0.05)
        last_words = answer[:120].decode(errors="replace")
        raise Unavailable(f"no good answer in time (last: {status or 'no connection'} {last_words})")

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, timeout: float = 20
    ) -> tuple[int, bytes]:
        """Sends one request on its own connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body or None, {**HEADERS, **(headers or {})})
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def processes(self) -> list[int]:
        """Returns the ids of the server's process and all its descendants."""
        parents: dict[int, int] = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    parents[int(entry)] = int(_stat(int(entry))[1])
        tree = [self.process.pid]
        for process in tree:
            tree += [child for child, parent in parents.items() if parent == process]
        return tree

    def cpu_seconds(self) -> float:
        """Returns the CPU time of the process tree, user and system, including ended children."""
        total = 0
        for process in self.processes():
            with contextlib.suppress(OSError):
                total += sum(int(value) for value in _stat(process)[11:15])
        return total / TICKS_PER_SECOND

    def resident_bytes(self) -> int:
        total = 0
        for process in self.processes():
            with contextlib.suppress(OSError):
                total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE
        return total


def busy_seconds() -> float:
    """Returns the CPU time of all programs since the machine started, including the time stolen by its host."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _waiting, interrupt, soft_interrupt, stolen = map(int, file.readline().split()[1:9])
    return (user + nice + system + interrupt + soft_interrupt + stolen) / TICKS_PER_SECOND


def _stat(process: int) -> list[str]:
    """Returns the fields of /proc/PID/stat from the third on (state, parent, …), since the name may contain spaces."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


class Load:
    """A running client."""

    def __init__(
        self, server: Server, mode: str, body: bytes, cores: set[int] = CLIENT_CORES, path: str = "", **options: object
    ) -> None:
        target = server.target
        path = path or (target.path if mode == "json" else target.path_of_streams)
        body_file = server.directory / "body.json"
        body_file.write_bytes(body)
        command = [str(BINARIES / "client"), mode, "--port", str(server.port), "--path", path, "--body", str(body_file)]
        for name, value in HEADERS.items():
            command += ["--header", f"{name}: {value}"]
        for name, option in options.items():
            command += ["--" + name.replace("_", "-"), *([] if option is True else [str(option)])]
        self.server = server
        self.most_resident = 0
        self._cpu = server.cpu_seconds()
        self._busy = busy_seconds()
        self._began = time.monotonic()
        with on_cores(cores):
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait(self) -> dict[str, Any]:
        """Returns the client's figures and the server's CPU time."""
        try:
            while self._process.poll() is None:
                self.most_resident = max(self.most_resident, self.server.resident_bytes())
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=0.25)
        finally:
            # Kills the client only after an error. Its output is one line, which always fits into the pipe.
            self._process.kill()
            output, errors = self._process.communicate()
        if self._process.returncode:
            raise Unavailable(f"the client failed: {errors.strip()[:160]}")
        figures: dict[str, Any] = json.loads(output)
        used = figures["server_cpu_seconds"] = self.server.cpu_seconds() - self._cpu
        others = busy_seconds() - self._busy - used - figures["client_cpu"] * figures["seconds"]
        figures["others_cpu"] = max(0.0, others / (time.monotonic() - self._began))
        figures["most_resident"] = self.most_resident
        return figures


def load(
    server: Server, mode: str, body: bytes, cores: set[int] = CLIENT_CORES, path: str = "", **options: object
) -> dict[str, Any]:
    return Load(server, mode, body, cores, path, **options).wait()


def warm_up(server: Server, seconds: float) -> None:
    """Sends uncounted requests, which fill caches and specialize bytecode."""
    few = 8 if server.target.is_shortened else 0
    load(server, "json", request_body(stream=False, is_new=True, max_tokens=few), connections=32, seconds=seconds)
    if server.wish.paced and server.target.is_shortened:
        body = request_body(stream=True, is_new=True, max_tokens=few)
        load(server, "paced", body, streams=40, ramp=0.2, limit=2)
    elif not server.wish.paced and server.target.can_hurry:
        body = request_body(stream=True, is_new=True)
        load(server, "stream", body, connections=4, seconds=seconds / 2, tokens=TOKENS)
