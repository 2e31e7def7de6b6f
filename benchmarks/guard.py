"""Notices when a request costs more than it did: `python -m benchmarks.guard`, or `make guard`.

Times say little on a shared machine, so this counts what Python executes for one request, bytecodes and calls of C
functions, which is the same in every run. Each count is divided by that of a floor, an empty ASGI app on the same
uvicorn, so that another version of uvicorn changes little. The ratios are compared with those in guard.json, which has
them for each version of Python, and one that is more than a fifth larger fails. `--write` keeps the present ones.
"""

import argparse
import asyncio
import gc
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from math import inf
from pathlib import Path
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from benchmarks import servers
from benchmarks.floors import empty_app
from benchmarks.scenario import PROMPT, SYSTEM
from emulator import tokens
from emulator.clock import WallClock
from emulator.engine import Options
from emulator.server.app import App
from emulator.server.http_server import HttpServer
from emulator.state.compiled import compile_scenario
from emulator.state.namespaces import Namespaces

KEPT = Path(__file__).with_name("guard.json")
MOST = 1.2
"""The factor by which a ratio may grow."""
C_CALL = 5
"""The cost of a call of a C function, in bytecodes."""
WARM_UP, COUNTED = 60, 9
"""Numbers of requests."""
FLOOR = "floor"
HEADERS = {"Host": "127.0.0.1:8080", **servers.HEADERS}
"""A request's head, as an SDK sends it."""


def chat(prompt: str, stream: bool) -> dict[str, Any]:
    turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]
    return {"model": "deepseek-v3", "messages": turns, "temperature": 0.7, "stream": stream}


def message(prompt: str, stream: bool) -> dict[str, Any]:
    turns = [{"role": "user", "content": prompt}]
    return {"model": "claude-sonnet-4-5", "max_tokens": 1024, "system": SYSTEM, "messages": turns, "stream": stream}


def response(prompt: str, stream: bool) -> dict[str, Any]:
    return {"model": "deepseek-flash", "instructions": SYSTEM, "input": prompt, "stream": stream, "store": False}


Body = Callable[[str, bool], dict[str, Any]]
CASES: dict[str, tuple[str, Body, bool, bool, bool]] = {
    "chat, known": ("/serevix/v1/chat/completions", chat, False, False, False),
    "chat, new": ("/serevix/v1/chat/completions", chat, False, True, False),
    "chat, new, head first": ("/serevix/v1/chat/completions", chat, False, True, True),
    "chat, new, stream": ("/serevix/v1/chat/completions", chat, True, True, False),
    "messages, new": ("/anthropic/v1/messages", message, False, True, False),
    "messages, new, stream": ("/anthropic/v1/messages", message, True, True, False),
    "responses, new": ("/deepseek/v1/responses", response, False, True, False),
    "responses, new, stream": ("/deepseek/v1/responses", response, True, True, False),
}
"""Path, body, whether it is a stream, whether every prompt is new, whether the head comes before the body."""


class Transport(asyncio.Transport):
    """A transport that discards what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 8080)})
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    close = pause_reading = resume_reading = lambda self: None


@contextmanager
def counting(total: list[int]) -> Iterator[None]:
    """Counts what Python executes in the block."""

    def trace(frame: Any, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            total[0] += 1
        return trace

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "c_call":
            total[0] += C_CALL

    before = sys.gettrace(), sys.getprofile()
    gc.disable()
    sys.setprofile(profile)
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
        gc.enable()


async def cost(connection: Any, packets: Callable[[], list[bytes]]) -> float:
    """Returns the cost of one request once the caches are warm."""
    transport = Transport()
    connection.connection_made(transport)
    costs = []
    for number in range(WARM_UP + COUNTED):
        transport.written, sent = b"", packets()
        total = [0]
        if number < WARM_UP:
            await _ask(connection, transport, sent)
        else:
            with counting(total):
                await _ask(connection, transport, sent)
        assert transport.written.startswith(b"HTTP/1.1 200 "), transport.written[:200]
        costs.append(total[0])
    connection.connection_lost(None)
    return statistics.median(costs[WARM_UP:])


async def _ask(connection: Any, transport: Transport, sent: list[bytes]) -> None:
    for data in sent:
        connection.data_received(data)
    while not transport.written:  # noqa: ASYNC110 - the turns of the loop are what the floor needs
        await asyncio.sleep(0)


NUMBERS = count(100_000_000)


def packets_of(path: str, body: Body, stream: bool, is_new: bool, head_first: bool) -> Callable[[], list[bytes]]:
    """Makes one request after another."""
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())

    def made() -> list[bytes]:
        prompt = PROMPT.format(number=next(NUMBERS) if is_new else 100_000_000)
        data = json.dumps(body(prompt, stream), separators=(",", ":")).encode()
        whole = f"POST {path} HTTP/1.1\r\n{head}Content-Length: {len(data)}\r\n\r\n".encode()
        return [whole, data] if head_first else [whole + data]

    return made


async def costs_of(file: Path) -> dict[str, float]:
    """Returns the cost of a request of each kind, and of the floor's."""
    tokens.load()
    clock = WallClock()
    app = App(Namespaces(compile_scenario(file), clock), Options(speed=inf))
    server = HttpServer(app, "httptools", clock)
    costs = {}
    for name, case in CASES.items():
        costs[name] = await cost(server._make_connection(), packets_of(*case))
    config = Config(empty_app(0, 0), lifespan="off", log_config=None, access_log=False)
    config.load()
    floor = HttpToolsProtocol(config, ServerState(), {})
    costs[FLOOR] = await cost(floor, packets_of("/", chat, False, True, False))
    clock.close()
    return costs


def ratios(costs: dict[str, float]) -> dict[str, float]:
    """Returns each cost as a multiple of the floor's."""
    return {name: round(each / costs[FLOOR], 3) for name, each in costs.items() if name != FLOOR}


def grown(now: dict[str, float], kept: dict[str, float]) -> list[str]:
    """Returns the cases that cost too much or have no stored ratio."""
    return [name for name, ratio in now.items() if ratio > MOST * kept.get(name, 0)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__)
    parser.add_argument("--write", action="store_true", help="store the measured ratios")
    options = parser.parse_args()
    file = KEPT.with_name("scenario.yaml")
    costs = asyncio.run(costs_of(file))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    every = json.loads(KEPT.read_text())
    now, kept = ratios(costs), every.get(version, {})
    for name, ratio in now.items():
        print(f"{name:24} {costs[name]:7,.0f} bytecodes  {ratio:6.3f} x floor (was {kept.get(name, 0):.3f})")
    if options.write:
        KEPT.write_text(json.dumps({**every, version: now}, indent=2, sort_keys=True) + "\n")
        return 0
    if not kept:
        print(f"No ratios are stored for Python {version}; `python -m benchmarks.guard --write` stores them.")
        return 0
    failed = grown(now, kept)
    for name in failed:
        print(f"{name} costs more than {MOST} x what it did. Fix it, or store the new ratio with --write.")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
