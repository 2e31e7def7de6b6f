"""A saved run is replayed by a server in this process."""

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rawhttp import Connection, request, undated
from talk import single

from emulator import Emulator
from emulator.cli.app import cli
from emulator.control.access import access_for
from emulator.engine import Options
from emulator.server.replaying import Replay, can_replay, steps_of
from emulator.server.server import Server, ServerOptions
from emulator.server.sockets import bind
from emulator.state.compiled import compile_scenario
from emulator.wire import Close, Data, End, Hang, Head, Raw, Reset, Step

RULES: dict[str, Any] = {
    "rules": [
        {"match": {"prompt": "Busy"}, "error": "overloaded"},
        {"match": {}, "replies": [{"reply": {"content": "one"}}, {"reply": {"content": "two"}}]},
    ]
}


def asking(prompt: str, *, stream: bool = True) -> bytes:
    body = {"model": "deepseek-v3", "stream": stream, "messages": [{"role": "user", "content": prompt}]}
    return request("/serevix/v1/chat/completions", json.dumps(body).encode(), authorization="Bearer sk-test-replay")


def answer(port: int, data: bytes) -> tuple[int, bytes]:
    with Connection(port) as connection:
        connection.send(data)
        got = connection.response()
        return got.status, got.body


@contextmanager
def replayed(run: dict[str, Any]) -> Iterator[tuple[Server, int]]:
    """A server that replays a run, and its port."""
    sock = bind("127.0.0.1", 0)
    port: int = sock.getsockname()[1]
    replay = Replay(run["exchanges"])
    access = access_for("127.0.0.1", None, ())
    server = Server(
        ServerOptions(compile_scenario(run["scenario"]), Options(), seed=run["seed"], access=access, replay=replay)
    )
    ready = threading.Event()
    thread = threading.Thread(target=server.run, args=(sock, ready.set))
    thread.start()
    try:
        assert ready.wait(30)
        yield server, port
    finally:
        server.stop()
        thread.join()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run, and what its client got."""
    from click.testing import CliRunner

    path: Path = tmp_path_factory.mktemp("run") / "run.json"
    with Emulator(RULES, seed=7) as server:
        got: dict[str, Any] = {"first": answer(server.port, asking("Hi")), "second": answer(server.port, asking("Hi"))}
        got["busy"] = answer(server.port, asking("Busy"))
        got["whole"] = answer(server.port, asking("Whole", stream=False))
        server.faults.next("reset:after_tokens=1")
        with Connection(server.port) as connection:
            connection.send(asking("Broken"))
            got["broken"] = connection.read_rest()
        assert CliRunner().invoke(cli, ["verdict", server.origin, "--save", str(path)]).exit_code == 0
    return json.loads(path.read_text()), got


def test_answers_come_in_their_recorded_order_and_the_last_one_again(
    saved: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    run, got = saved
    with replayed(run) as (server, port):
        assert server.app is not None
        hi = [answer(port, asking("Hi")) for _ in range(3)]
        assert hi == [got["first"], got["second"], got["second"]]
        assert answer(port, asking("Busy")) == got["busy"]
        assert answer(port, asking("a new body")) == got["whole"]  # the next that is left at its path
        with Connection(port) as connection:
            connection.send(asking("Broken"))
            data, ending = connection.read_rest()
        assert (undated(data), ending) == (undated(got["broken"][0]), "reset")
        elsewhere = single.post(f"http://127.0.0.1:{port}/openai/v1/nothing", json={})
        assert elsewhere.status_code in (401, 404)
        notes = [exchange.notes for exchange in server.app.namespaces.default.journal][:3]
        assert notes == [(f"replayed: exchange {number} of the saved run",) for number in (1, 2, 2)]


def row(text: str = "", ended: str = "complete", **response: Any) -> dict[str, Any]:
    frames = response.pop("frames", [])
    about = {"status": 200, "headers": {"content-type": "text/plain"}, "text": text, "truncated": False, **response}
    return {
        "provider": "openai",
        "response": about,
        "frames": [{"sent": sent, "bytes": size, "part": part} for sent, size, part in frames],
        "ended": ended,
        "last_sent": 0.5,
        "ended_at": 0.75,
    }


HEADERS = ((b"content-type", b"text/plain"),)


@pytest.mark.parametrize(
    ("saved_row", "steps"),
    [
        (
            row("abcd", frames=[(0.25, 2, "content"), (0.5, 2, "raw"), (None, 9, "content")]),
            [Head(200, HEADERS, 0.25), Data(b"ab", "content", at=0.25), Raw(b"cd", 0.5), End(0.75)],
        ),
        (
            row("abc", "closed", frames=[(0.25, 2, "body")]),
            [Head(200, HEADERS, 0.25), Data(b"ab", "body", at=0.25), Data(b"c", at=0.5), Close(0.75)],
        ),
        (row("", "reset", is_head_sent=False), [Reset(0.75)]),
        (row("", "shutdown", status=0), [Reset(0.75)]),
        (row("", "client_closed", framing="chunks"), [Head(200, HEADERS, 0.0, framing="chunks"), Hang(0.75)]),
        (
            row(
                headers={"content-type": "text/event-stream"},
                body_base64=b64encode(b"\xff").decode(),
                frames=[(0.25, 1, "frame")],
            ),
            [
                Head(200, ((b"content-type", b"text/event-stream"),), 0.0),
                Data(b"\xff", "frame", at=0.25),
                End(0.75),
            ],
        ),
    ],
    ids=["raw", "closed", "reset", "shutdown", "client closed", "binary"],
)
def test_a_recorded_answer_is_sent_as_it_was(saved_row: dict[str, Any], steps: list[Step]) -> None:
    assert list(steps_of(saved_row)) == steps


@pytest.mark.parametrize(
    ("change", "can"),
    [({}, True), ({"provider": None}, False), ({"ended": None}, False), ({"response": {"truncated": True}}, False)],
)
def test_only_a_complete_record_can_be_replayed(change: dict[str, Any], can: bool) -> None:
    assert can_replay({**row("a"), **change}) is can
