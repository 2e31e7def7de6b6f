"""The server as a process: how fast it starts, and how it ends."""

import asyncio
import json
import signal
import socket
import statistics
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psutil
import pytest
from rawhttp import Connection, eventually, request
from served import run, served
from talk import KEYS, PATHS, question

from emulator.errors import BindError
from emulator.server.server import Server, ServerOptions, loop_factory
from emulator.server.sockets import MAX_FILES, bind
from emulator.state.compiled import compile_scenario

GRACE = 2.0
"""Seconds that `docs` promise: answers are given this long to end."""
EXAMPLE = {"model": "MaaS_Deepseek_V4_pro_20260424", "messages": [{"role": "user", "content": "Hi"}]}
"""The request of the Cloudsway document."""


def ask(port: int, *, stream: bool = False, receive_buffer: int | None = None) -> Connection:
    client = Connection(port, receive_buffer=receive_buffer)
    body = json.dumps({**EXAMPLE, "stream": stream}).encode()
    client.send(request("/cloudsway/v1/ai/any/chat/completions", body, authorization="Bearer k"))
    return client


def scenario(path: Path, words: int, tokens_per_second: float | None = None) -> str:
    rule: dict[str, object] = {"reply": {"content": "word " * words}}
    if tokens_per_second is not None:
        rule["pace"] = {"tokens_per_second": tokens_per_second}
    file = path / "scenario.json"
    file.write_text(json.dumps({"version": 1, "rules": [rule]}))
    return str(file)


def is_refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_resets_fifty_streams_that_cannot_end_in_time(tmp_path: Path, number: signal.Signals) -> None:
    with served("--scenario", scenario(tmp_path, 500, tokens_per_second=1)) as server, ExitStack() as stack:
        clients = [stack.enter_context(ask(server.port, stream=True)) for _ in range(50)]
        for client in clients:
            client.read_until(b"data: ")
        reported = time.monotonic()
        server.signal(number)
        for client in clients:
            data, ending = client.read_rest()
            assert (data.endswith(b"0\r\n\r\n"), ending) == (False, "reset")
        code, _, err = server.finish()
        assert (code, err) == (0, "")
        assert time.monotonic() - reported < GRACE + 1
        bind("127.0.0.1", server.port).close()  # the port is free again


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_stream_that_can_end_in_time_ends_whole_after_a_signal(tmp_path: Path, version: str) -> None:
    with (
        served("--scenario", scenario(tmp_path, 20, tokens_per_second=20)) as server,
        Connection(server.port) as client,
    ):
        body = json.dumps(question("serevix", stream=True)).encode()
        client.send(request("/serevix" + PATHS["serevix"], body, version=version, **KEYS["serevix"]))
        client.read_until(b"data: ")
        server.signal(signal.SIGTERM)
        data, ending = client.read_rest()
        last = b"data: [DONE]\n\n" + (b"\r\n0\r\n\r\n" if version == "1.1" else b"")
        assert (data[-len(last) :], ending) == (last, "eof")
        assert server.finish()[0] == 0


def test_a_stream_that_ends_with_its_connection_is_reset_and_not_closed(tmp_path: Path) -> None:
    with (
        served("--scenario", scenario(tmp_path, 500, tokens_per_second=5)) as server,
        Connection(server.port) as client,
    ):
        body = json.dumps(question("serevix", stream=True)).encode()
        client.send(request("/serevix" + PATHS["serevix"], body, version="1.0", **KEYS["serevix"]))
        client.read_until(b"data: ")
        server.signal(signal.SIGTERM)
        assert client.read_rest()[1] == "reset"
        assert server.finish()[0] == 0


def test_an_idle_server_ends_at_once_with_idle_connections_open() -> None:
    with served() as server, ask(server.port) as client:
        assert client.response().status == 200
        reported = time.monotonic()
        server.signal(signal.SIGTERM)
        assert client.read_rest() == (b"", "eof")
        code, _, err = server.finish()
        assert (code, err) == (0, "")
        assert time.monotonic() - reported < GRACE


def test_whoever_does_not_read_is_cut_off_after_the_grace(tmp_path: Path) -> None:
    with (
        served("--scenario", scenario(tmp_path, 50_000), "--speed", "max") as server,
        ask(server.port, stream=True, receive_buffer=4096) as client,
    ):
        client.read_until(b"data: ")
        reported = time.monotonic()
        server.signal(signal.SIGTERM)
        code, _, err = server.finish()
        assert (code, err) == (0, "")
        assert GRACE - 0.5 < time.monotonic() - reported < GRACE + 1.5


@pytest.mark.parametrize(
    ("first", "second"),
    [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)],
)
def test_a_second_signal_ends_everything_at_once(tmp_path: Path, first: signal.Signals, second: signal.Signals) -> None:
    seconds: list[float] = []
    while len(seconds) < 4 and min(seconds, default=GRACE) >= GRACE - 0.5:  # again, while the machine is busy
        with (
            served("--scenario", scenario(tmp_path, 50_000), "--speed", "max") as server,
            ask(server.port, stream=True, receive_buffer=4096) as client,
        ):
            client.read_until(b"data: ")
            server.signal(first)
            eventually(partial(is_refused, server.port))
            reported = time.monotonic()
            server.signal(second)
            code, _, err = server.finish()
            assert (code, err) == (0, "")
            seconds.append(time.monotonic() - reported)
    assert min(seconds) < GRACE - 0.5


def test_a_port_in_use_is_reported_in_one_sentence() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        message = (
            f"Cannot listen on 127.0.0.1:{port}: Address already in use. "
            "Another program is using this port; choose another with --port.\n"
        )
        assert run("serve", "--port", str(port)) == (3, "", message)


def test_an_address_that_is_not_here_is_reported_in_one_sentence() -> None:
    with pytest.raises(BindError) as caught:
        bind("192.0.2.1", 0)
    assert str(caught.value) == "Cannot listen on 192.0.2.1:0: Cannot assign requested address. Check --host."


def test_it_answers_within_a_second_of_its_start() -> None:
    seconds: list[float] = []
    used: list[float] = []
    for _ in range(3):
        with served("--speed", "max") as server, ask(server.port) as client:
            response = client.response()
            seconds.append(time.monotonic() - server.started)
            times = psutil.Process(server.process.pid).cpu_times()
            used.append(times.user + times.system)
            assert json.loads(response.body)["choices"][0]["message"]["content"] == "Hello! How can I help you today?"
            server.signal(signal.SIGTERM)
            assert server.finish()[0] == 0
    wall, processor = statistics.median(seconds), statistics.median(used)
    print(f"from start to first answer: {wall:.2f} s, {processor:.2f} s of them on the processor, medians of 3")
    assert min(wall, processor) < 1.5  # a busy machine lets it wait, which is no fault of ours


def test_help_comes_at_once() -> None:
    seconds: list[float] = []
    for _ in range(3):
        started = time.monotonic()
        code, out, err = run("--help")
        seconds.append(time.monotonic() - started)
        assert (code, out.splitlines()[0], err) == (0, "Usage: emulator [OPTIONS] COMMAND [ARGS]...", "")
    print(f"emulator --help: {statistics.median(seconds):.2f} s, median of 3")
    assert min(seconds) < 0.6


def test_connections_that_come_together_are_accepted_together() -> None:
    """One for each turn of the loop would let new streams wait for all running ones."""

    async def turns_for(clients: int) -> int:
        server, ready = Server(ServerOptions(compile_scenario({"rules": []}))), asyncio.Event()
        sock = bind("127.0.0.1", 0)
        serving = asyncio.create_task(server.serve(sock, ready.set))
        await ready.wait()
        assert server.http is not None
        connections, turns = server.http.server_state.connections, 0
        with ExitStack() as stack:
            for _ in range(clients):
                stack.enter_context(socket.create_connection(sock.getsockname()))
            while len(connections) < clients:
                await asyncio.sleep(0)
                turns += 1
        server.stop()
        await serving
        return turns

    with asyncio.Runner(loop_factory=loop_factory("auto")) as runner:
        assert runner.run(turns_for(64)) < 32


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this table")
@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=" ".join)
def test_no_stream_waits_while_the_table_of_open_files_grows(options: tuple[str, ...]) -> None:
    """With threads, growing it takes Linux 20 ms: so it is large before anyone connects."""
    resource = pytest.importorskip("resource")
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    expected = min(limit, MAX_FILES) if limit != resource.RLIM_INFINITY else MAX_FILES
    with served(*options) as server, ask(server.port) as client:
        assert client.response().status == 200
        process = Path(f"/proc/{server.process.pid}")
        children = (process / "task" / process.name / "children").read_text().split()
        serving = [Path(f"/proc/{pid}") for pid in children] if options else [process]
        assert len(serving) == (2 if options else 1)
        for each in serving:
            lines = dict(line.split(":", 1) for line in (each / "status").read_text().splitlines())
            assert int(lines["FDSize"]) >= expected
            assert len(list((each / "fd").iterdir())) < 100


def test_without_uvloop_there_is_the_loop_of_asyncio_unless_uvloop_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory("auto") is asyncio.new_event_loop
    with pytest.raises(ImportError):
        loop_factory("uvloop")
