"""Paced streams whose request is known: they are sent without a task, and clients can't tell."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from rawhttp import Connection, eventually, request
from stores import on_server
from talk import KEYS, PATHS, question

from emulator import Emulator
from emulator.providers.serevix import Serevix
from emulator.server.app import App
from emulator.server.players import BodyPlayer
from emulator.state.exchanges import Exchange
from emulator.wire import Playback

SCENARIO: dict[str, Any] = {
    "clock": "manual",
    "rules": [
        {"match": {"prompt": "steady"}, "reply": {"content": "Always the same."}},
        {
            "match": {"prompt": "paced"},
            "reply": {"content": "one two three four"},
            "pace": {"ttft": 1, "tokens_per_second": 2},
        },
    ],
}
NEVER = {"rules": [{"reply": {"content": "one two"}, "pace": {"ttft": 3600}}]}
"""Its first token does not come while a test runs."""


def ask(prompt: str, *, stream: bool = True) -> bytes:
    body = json.dumps(question("serevix", prompt, stream=stream)).encode()
    return request(f"/serevix{PATHS['serevix']}", body, **KEYS["serevix"])


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(SCENARIO) as running:
        yield running


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of all requests for which the application had a task."""
    seen: list[str] = []
    call = App.__call__

    async def watched(app: App, scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await call(app, scope, receive, send)

    monkeypatch.setattr(App, "__call__", watched)
    return seen


def known(client: Connection) -> None:
    """Asks until the head is known."""
    for _ in range(2):
        client.send(ask("steady"))
        assert client.response().status == 200


def open_streams(emulator: Emulator) -> int:
    app = emulator._server.app
    assert app is not None
    return len(app.players.active)


def begun(client: Connection, emulator: Emulator, prompt: str = "paced") -> None:
    """Asks for a stream, and waits until it is open."""
    client.send(ask(prompt))
    eventually(lambda: open_streams(emulator) == 1)


def playbacks(emulator: Emulator) -> list[Playback]:
    """How each answer was sent."""
    return [exchange.playback for exchange in emulator.journal if exchange.playback is not None]


def test_a_known_stream_keeps_its_pace_without_a_task(emulator: Emulator, tasks: list[str]) -> None:
    with Connection(emulator.port) as client:
        known(client)
        before = len(tasks)
        for _ in range(2):
            begun(client, emulator)
            assert b"\r\n\r\n" in client.read_until(b"\r\n\r\n")
            emulator.advance(1)
            assert b"one" in client.read_until(b"one")
            emulator.advance(10)
            rest = client.read_until(b"\r\n0\r\n\r\n")
            assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
            eventually(lambda: open_streams(emulator) == 0)
    assert len(tasks) == before
    played = [playback for playback in playbacks(emulator) if playback.frames_sent and playback.first_sent]
    assert [(playback.ended, playback.first_sent) for playback in played] == [("complete", 1.0), ("complete", 12.0)]


def test_a_request_during_a_known_stream_is_answered_after_it(emulator: Emulator, tasks: list[str]) -> None:
    with Connection(emulator.port) as client:
        known(client)
        begun(client, emulator)
        client.send(ask("steady", stream=False) + ask("steady"))
        client.send(ask("paced")[:100])
        emulator.advance(10)
        assert b"three" in client.response().body
        assert [b"Always" in client.response().body for _ in range(2)] == [True, True]
        client.send(ask("paced")[100:])
        eventually(lambda: open_streams(emulator) == 1)
        emulator.advance(10)
        assert b"three" in client.response().body
        known(client)
    assert {playback.ended for playback in playbacks(emulator)} == {"complete"}


def test_a_server_that_stops_sends_a_known_stream_to_its_end_and_closes() -> None:
    soon = {"rules": [{"reply": {"content": "one two"}, "pace": {"ttft": 0.3}}]}
    with Emulator(soon) as emulator, Connection(emulator.port) as client:
        client.send(ask("Hi"))
        assert client.response().status == 200
        begun(client, emulator, "Hi")
        emulator._server.stop(5)
        answer = client.response()
        assert b"two" in answer.body
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert client.read_rest() == (b"", "eof")
        eventually(lambda: len(emulator.journal) == 2)
        assert {playback.ended for playback in playbacks(emulator)} == {"complete"}


def test_a_server_that_stops_cuts_a_known_stream_that_lasts() -> None:
    with Emulator(NEVER) as emulator, Connection(emulator.port) as first, Connection(emulator.port) as client:
        begun(first, emulator, "Hi")
        client.send(ask("Hi"))
        eventually(lambda: open_streams(emulator) == 2)
        emulator.stop()
        head, ending = client.read_rest()
        assert (head[:15], ending) == (b"HTTP/1.1 200 OK", "reset")
        assert [playback.ended for playback in playbacks(emulator)] == ["shutdown", "shutdown"]


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_a_known_stream_is_in_the_journal(emulator: Emulator, reset: bool) -> None:
    with Connection(emulator.port) as client:
        known(client)
        begun(client, emulator)
        client.read_until(b"\r\n\r\n")
        emulator.advance(1.5)
        client.read_until(b"two")
        client.leave(reset=reset)
        eventually(lambda: open_streams(emulator) == 0)
    playback = playbacks(emulator)[-1]
    assert (playback.ended, playback.first_sent, playback.last_sent) == ("client_closed", 1.0, 1.5)
    server: Any = emulator._server.http
    eventually(lambda: not server.server_state.connections)
    assert emulator._server.app is not None
    assert emulator._server.app._open == 0


def test_a_known_stream_waits_for_a_slow_reader() -> None:
    words = " ".join(["word"] * 60_000)
    script = {"rules": [{"reply": {"content": words}, "pace": {"ttft": 0.001, "tokens_per_second": 1e6}}]}
    with Emulator(script) as emulator:
        with Connection(emulator.port) as client:
            client.send(ask("Hi"))
            expected = len(client.response().body)
        server: Any = emulator._server.http
        with Connection(emulator.port, receive_buffer=4096) as client:
            client.send(ask("Hi"))
            eventually(lambda: any(each.flow.write_paused for each in server.server_state.connections))
            assert len(client.response().body) == expected


def test_a_known_stream_waits_if_its_head_has_filled_the_buffer(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_player = BodyPlayer.open

    def filling(player: BodyPlayer) -> None:
        open_player(player)
        player.handle.protocol.pause_writing()

    with Connection(emulator.port) as client:
        known(client)
        with monkeypatch.context() as patch:
            patch.setattr(BodyPlayer, "open", filling)
            begun(client, emulator)
        emulator.advance(10)
        (player,) = on_server(emulator, lambda app: list(app.players.active))
        assert player.progress().frames_sent == 0
        on_server(emulator, lambda app: player.handle.protocol.resume_writing())
        assert b"four" in client.response().body


@pytest.mark.parametrize("value", ["close", "Close", "keep-alive, close"])
@pytest.mark.parametrize("pace", [{"ttft": 0}, {"ttft": 0.01, "tokens_per_second": 1000}], ids=["at once", "paced"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_says_close_closes_however_often_it_is_given(value: str, pace: Any, stream: bool) -> None:
    rule = {"reply": {"content": "one two", "headers": {"connection": value}}, "pace": pace}
    steady = {"match": {"prompt": "steady"}, "reply": {"content": "Always the same."}}
    with Emulator({"rules": [steady, rule]}) as emulator:
        with Connection(emulator.port) as client:
            known(client)
        for _ in range(5):
            with Connection(emulator.port) as client:
                client.send(ask("paced", stream=stream))
                assert b"two" in client.response().body
                assert client.read_rest() == (b"", "eof")


def test_a_known_stream_with_an_invalid_header_gets_a_500(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Emulator(SCENARIO) as emulator:
        with Connection(emulator.port) as client:
            known(client)
        monkeypatch.setattr(Serevix, "response_headers", lambda *_: ((b"x-broken", b"a\r\nb"),))
        with Connection(emulator.port) as client, caplog.at_level(logging.ERROR):
            client.send(ask("paced"))
            assert client.response().status == 500


def test_a_known_stream_that_fails_ends_its_connection_and_is_reported(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    advance = BodyPlayer.advance

    def failing(player: BodyPlayer) -> None:
        if player.index:
            raise ZeroDivisionError("nobody expects this")
        advance(player)

    with Connection(emulator.port) as client:
        known(client)
        monkeypatch.setattr(BodyPlayer, "advance", failing)
        begun(client, emulator)
        client.read_until(b"\r\n\r\n")
        emulator.advance(10)
        _, ending = client.read_rest()
        eventually(lambda: open_streams(emulator) == 0)
    assert ending == "eof"
    assert "A stream failed: please report this" in caplog.text
    assert "nobody expects this" in caplog.text
    assert asyncio.run(_is_idle(emulator))


def test_a_known_stream_that_cannot_be_recorded_leaves_its_connection_usable(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(exchange: Exchange) -> None:
        raise ZeroDivisionError(f"{exchange.model} cannot be divided")

    app = emulator._server.app
    with Connection(emulator.port) as client, Connection(emulator.port) as leaving:
        for each in (client, leaving):
            known(each)
        monkeypatch.setattr(app, "on_exchange", failing)
        begun(client, emulator)
        emulator.advance(10)
        assert b"four" in client.response().body
        begun(leaving, emulator)
        leaving.leave()
        eventually(lambda: open_streams(emulator) == 0)
        monkeypatch.undo()
        known(client)
    assert caplog.text.count("A stream could not be recorded: please report this") == 2
    server: Any = emulator._server.http
    eventually(lambda: not server.server_state.connections)
    assert asyncio.run(_is_idle(emulator))


async def _is_idle(emulator: Emulator) -> bool:
    assert emulator._server.app is not None
    await asyncio.wait_for(emulator._server.app.until_idle(), 5)
    return True
