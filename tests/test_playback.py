"""What the transport puts on the wire, seen by raw sockets: over both parsers of uvicorn and on both event loops."""

import asyncio
import gc
import logging
import socket
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import pytest
from rawhttp import Connection, Response, eventually, request, undated

from emulator import Emulator
from emulator.clock import WallClock
from emulator.engine import Options, PlannedResponse
from emulator.request import HttpRequest
from emulator.state.namespace import Namespace
from emulator.wire import (
    MAX_MOMENTS,
    Close,
    Data,
    End,
    FrameRun,
    Hang,
    Head,
    Header,
    PlannedBody,
    Playback,
    Raw,
    Reset,
    Step,
    single,
)

Http = Literal["httptools", "h11"]
Loop = Literal["uvloop", "asyncio"]
KINDS = [(http, loop) for http in get_args(Http) for loop in get_args(Loop)]

PATH = "/serevix/v1/chat/completions"
STREAM: tuple[Header, ...] = ((b"content-type", b"text/event-stream"),)
JSON: tuple[Header, ...] = ((b"content-type", b"application/json"),)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
LONG_AGO = 3600.0
"""Seconds: no test waits for what is due then."""


class Stage:
    """A running emulator that answers whatever a test puts on it, one answer for each request in turn."""

    def __init__(self, http: Http, loop: Loop) -> None:
        self.emulator = Emulator(http=http, loop=loop)
        self.answers: list[PlannedBody | Sequence[Step]] = []
        self._before = 0

    def prepare(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on it answers what is put on it."""

        async def answer(
            http_request: HttpRequest, namespace: Namespace, options: Options, *given: object
        ) -> PlannedResponse:
            return PlannedResponse(self.answers.pop(0), namespace.begin(http_request))

        monkeypatch.setattr("emulator.server.app.answer", answer)

    def put(self, *answers: PlannedBody | Sequence[Step]) -> None:
        self.answers = list(answers)
        self._before = max((exchange.number for exchange in self.emulator.journal), default=0)

    def connect(self, *, receive_buffer: int | None = None) -> Connection:
        return Connection(self.emulator.port, receive_buffer=receive_buffer)

    @property
    def _state(self) -> Any:
        server = self.emulator._server.http
        assert server is not None
        return server.server_state

    def is_idle(self) -> bool:
        """Every request is done with, and none has begun."""
        return not self._state.tasks and not any(protocol.held for protocol in self.protocols())

    def is_alone(self) -> bool:
        """Nobody is connected, and every request is done with."""
        return not self._state.connections and self.is_idle()

    def protocols(self) -> tuple[Any, ...]:
        """The server's side of each connection."""
        return tuple(self._state.connections)

    def buffered(self) -> int:
        """How many bytes wait in the server for the client to read on; 0 as long as it may write."""
        return sum(
            protocol.transport.get_write_buffer_size() for protocol in self.protocols() if protocol.flow.write_paused
        )

    def playback(self) -> Playback:
        """What became of the last answer since something was put on the stage, once it is over."""
        eventually(lambda: any(e.number > self._before for e in self.emulator.journal))
        exchange = self.emulator.journal[-1]
        eventually(lambda: exchange.playback is not None)
        assert exchange.playback is not None
        return exchange.playback

    def ended(self) -> tuple[str, int, int]:
        """How that answer ended, and how many bytes and frames of it were sent."""
        playback = self.playback()
        return playback.ended, playback.bytes_sent, playback.frames_sent


@pytest.fixture(scope="module")
def stages() -> Iterator[Callable[[Http, Loop], Stage]]:
    """A stage of each kind, started when it is first asked for."""
    running: dict[tuple[Http, Loop], Stage] = {}

    def stage(http: Http, loop: Loop) -> Stage:
        if (http, loop) not in running:
            running[http, loop] = Stage(http, loop)
            running[http, loop].emulator.start()
        return running[http, loop]

    yield stage
    for each in running.values():
        each.emulator.stop()


@pytest.fixture(params=KINDS, ids="-".join)
def stage(
    request: pytest.FixtureRequest,
    stages: Callable[[Http, Loop], Stage],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Stage]:
    """A stage that nobody else is connected to. Nothing may be logged, and nobody may be left behind."""
    on = stages(*request.param)
    on.prepare(monkeypatch)
    with caplog.at_level(logging.WARNING):
        yield on
        eventually(on.is_alone)
    assert [record.getMessage() for record in caplog.get_records("call")] == []


def ask(**headers: str) -> bytes:
    return request(PATH, b"{}", **headers)


def planned(*pieces: bytes, at: Sequence[float] = (), streamed: bool = True) -> PlannedBody:
    """An answer of one frame for each piece."""
    run = FrameRun("content", b"data: ", pieces, b"\n\n", (1,) * len(pieces))
    return PlannedBody(200, STREAM if streamed else JSON, (run,), streamed, at)


def chunked(*datas: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(data), data) for data in datas)


# Steps: exact bytes, and how the connection ended


EXACT: dict[str, tuple[list[Step], bytes, str, tuple[str, int, int]]] = {
    "close before the head": ([Close()], b"", "eof", ("closed", 0, 0)),
    "reset before the head": ([Reset()], b"", "reset", ("reset", 0, 0)),
    "hang before the head": ([Hang()], b"", "timeout", ("client_closed", 0, 0)),
    "close after the head": ([Head(200, STREAM), Close()], STREAM_HEAD, "eof", ("closed", 0, 0)),
    "close in the stream": (
        [Head(200, STREAM), Data(b"data: a\n\n"), Data(b"data: b\n\n"), Close()],
        STREAM_HEAD + chunked(b"data: a\n\n", b"data: b\n\n"),
        "eof",
        ("closed", 18, 2),
    ),
    "reset in the stream": (
        [Head(200, STREAM), Data(b"data: a\n\n"), Reset(at=0.05)],
        STREAM_HEAD + chunked(b"data: a\n\n"),
        "reset",
        ("reset", 9, 1),
    ),
    "hang in the stream": (
        [Head(200, STREAM), Data(b"data: a\n\n"), Hang(), Data(b"never"), End()],
        STREAM_HEAD + chunked(b"data: a\n\n"),
        "timeout",
        ("client_closed", 9, 1),
    ),
    "half a status line": ([Raw(b"HTTP/1.1 20"), Close()], b"HTTP/1.1 20", "eof", ("closed", 11, 1)),
    "garbage": ([Raw(b"\x00\xff\r\n\r\n"), Close()], b"\x00\xff\r\n\r\n", "eof", ("closed", 6, 1)),
    "malformed chunk": (
        [Head(200, STREAM), Data(b"data: a\n\n"), Raw(b"zz\r\n"), Close()],
        STREAM_HEAD + chunked(b"data: a\n\n") + b"zz\r\n",
        "eof",
        ("closed", 13, 2),
    ),
    "a length longer than the body": (
        [Head(200, (*JSON, (b"content-length", b"100"))), Data(b'{"a":1}'), Close()],
        JSON_HEAD + b'content-length: 100\r\n\r\n{"a":1}',
        "eof",
        ("closed", 7, 1),
    ),
    "no length, no chunks": (
        [Raw(JSON_HEAD + b"\r\n"), Raw(b'{"a":'), Close()],
        JSON_HEAD + b'\r\n{"a":',
        "eof",
        ("closed", len(JSON_HEAD) + 7, 2),
    ),
    "a status of one's own": (
        [Head(529, JSON), Data(b"{}"), Close()],
        b"HTTP/1.1 529 \r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(b"{}"),
        "eof",
        ("closed", 2, 1),
    ),
    "a head that closes": (
        [Head(200, (*JSON, (b"connection", b"close"))), Data(b"{}"), End()],
        JSON_HEAD + b"connection: close\r\ncontent-length: 2\r\n\r\n{}",
        "eof",
        ("complete", 2, 1),
    ),
    "data before any head": ([Data(b"data: a\n\n"), Close()], b"data: a\n\n", "eof", ("closed", 9, 1)),
}


@pytest.mark.parametrize("case", EXACT)
def test_steps_that_end_the_connection_are_sent_to_the_byte(stage: Stage, case: str) -> None:
    steps, expected, ending, ended = EXACT[case]
    stage.put(steps)
    with stage.connect() as client:
        client.send(ask())
        data, seen = client.read_rest(timeout=0.3 if ending == "timeout" else 10.0)
        assert (undated(data), seen) == (expected, ending)
    assert stage.ended() == ended


def test_a_client_that_was_reset_gets_a_real_reset_even_with_nothing_left_to_read(stage: Stage) -> None:
    stage.put([Head(200, STREAM), Data(b"data: a\n\n"), Reset(at=0.05)])
    with stage.connect() as client:
        client.send(ask())
        assert client.read_until(b"\n\n\r\n").endswith(b"data: a\n\n\r\n")
        with pytest.raises(ConnectionResetError):
            client.read()


REUSABLE: dict[str, tuple[list[Step], bytes]] = {
    "a stream": (
        [Head(200, STREAM), Data(b"data: a\n\n"), Data(b"data: b\n\n"), End()],
        STREAM_HEAD + chunked(b"data: a\n\n", b"data: b\n\n") + b"0\r\n\r\n",
    ),
    "a stream without a word": ([Head(200, STREAM), End()], STREAM_HEAD + b"0\r\n\r\n"),
    "a stream without an end": ([Head(200, STREAM)], STREAM_HEAD + b"0\r\n\r\n"),
    "empty data": ([Head(200, STREAM), Data(b""), Data(b"x"), End()], STREAM_HEAD + chunked(b"x") + b"0\r\n\r\n"),
    "a whole body": (
        [Head(200, JSON), Data(b'{"a":'), Data(b"1}"), End()],
        JSON_HEAD + b'content-length: 7\r\n\r\n{"a":1}',
    ),
    "a body in chunks": (
        [Head(200, (*JSON, (b"transfer-encoding", b"chunked"))), Data(b"{}"), End()],
        JSON_HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked(b"{}") + b"0\r\n\r\n",
    ),
    "a length shorter than the body": (
        [Head(200, (*JSON, (b"content-length", b"1"))), Data(b"{"), Raw(b"}"), End()],
        JSON_HEAD + b"content-length: 1\r\n\r\n{}",
    ),
    "no body at all": ([Head(204, ()), End()], b"HTTP/1.1 204 No Content\r\n\r\n"),
    "everything raw": (
        [Raw(b"HTTP/1.1 200 OK\r\nconten"), Raw(b"t-length: 2\r\n\r\n{}", at=0.02), End(at=0.02)],
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    ),
    "nothing at all": ([], b""),
}


@pytest.mark.parametrize("case", REUSABLE)
def test_after_its_end_an_answer_leaves_the_connection_to_the_next_request(stage: Stage, case: str) -> None:
    steps, expected = REUSABLE[case]
    stage.put(steps, planned(b"next"))
    with stage.connect() as client:
        client.send(ask())
        first = stage_bytes(client, len(expected), dated=any(isinstance(step, Head) for step in steps))
        assert undated(first) == expected
        assert stage.ended()[0] == "complete"
        eventually(stage.is_idle)
        client.send(ask())
        assert client.response().chunks == (b"data: next\n\n",)


def stage_bytes(client: Connection, size: int, *, dated: bool) -> bytes:
    """As many bytes as are expected, beside the date."""
    return client.read_exactly(size + (len(b"date: Sun, 22 Nov 2026 07:00:00 GMT\r\n") if dated else 0))


def test_a_request_that_wants_the_connection_closed_gets_that(stage: Stage) -> None:
    answers: list[PlannedBody | list[Step]] = [
        [Head(200, STREAM), Data(b"x"), End()],
        [Head(200, JSON), Data(b"x"), End()],
        planned(b"x"),
        planned(b"x", at=[0.0]),
        planned(b"x", at=[0.0], streamed=False),
    ]
    for answer in answers:
        stage.put(answer)
        with stage.connect() as client:
            client.send(ask(connection="close"))
            response = client.response()
            assert (response.headers["connection"], response.body.strip(b"data: \n")) == ("close", b"x")
            assert client.read_rest() == (b"", "eof")


def test_steps_come_at_their_moments_and_not_before(stage: Stage) -> None:
    stage.put([Head(200, STREAM, at=0.05), Data(b"a", at=0.1), Data(b"b", at=0.1), Data(b"c", at=0.2), End(at=0.25)])
    with stage.connect() as client:
        asked = time.monotonic()
        client.send(ask())
        assert client.response().chunks == (b"a", b"b", b"c")
        assert time.monotonic() - asked >= 0.25
    playback = stage.playback()
    assert (playback.ended, playback.bytes_sent, playback.frames_sent) == ("complete", 3, 3)
    assert playback.first_sent is not None
    assert playback.last_sent is not None
    assert playback.first_sent - asked >= 0.1
    assert playback.last_sent - asked >= 0.2


@pytest.mark.parametrize("http", get_args(Http))
def test_an_answer_is_over_by_the_time_its_client_has_it(
    stages: Callable[[Http, Loop], Stage], monkeypatch: pytest.MonkeyPatch, http: Http
) -> None:
    """Or else its client could ask another process again before that."""
    stage, moments = stages(http, "asyncio"), list[float]()
    stage.prepare(monkeypatch)
    transport: Any = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    write = transport.write

    def noted(self: Any, data: bytes) -> None:
        moments.append(WallClock.now())
        write(self, data)

    monkeypatch.setattr(transport, "write", noted)
    whole = planned(b"a", streamed=False)
    sized = replace(whole, headers=(*JSON, (b"content-length", b"9")), at=(0.0,))
    sized_steps: list[Step] = [Head(200, sized.headers), Data(b"data: a\n\n")]
    unsized: list[Step] = [Head(200, STREAM), Data(b"data: a\n\n"), End()]
    for answer in (whole, sized, planned(b"a"), sized_steps, [*sized_steps, End()], unsized):
        for more in ({}, {"connection": "close"}):
            stage.put(answer)
            with stage.connect() as client:
                client.send(ask(**more))
                client.response()
                playback = stage.playback()
                over = playback.ended_at or playback.last_sent
                assert over is not None
                assert over <= moments[-1]


def test_a_header_with_a_line_end_becomes_a_500_and_no_second_header(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.put([Head(200, (*JSON, (b"x-injected", b"a\r\nset-cookie: b")), at=0.02), Data(b"{}", at=0.02), End(at=0.02)])
    with stage.connect() as client:
        client.send(ask())
        response = client.response()
        assert (response.status, response.body, "set-cookie" in response.headers) == (
            500,
            b"Internal Server Error",
            False,
        )
    eventually(stage.is_idle)
    assert [record.name for record in caplog.records] == ["emulator.http"]
    caplog.clear()


# Tracks


def test_a_stream_at_once_and_a_paced_stream_have_the_same_body(stage: Stage) -> None:
    stage.put(planned(b"a", b"b", b"c"), planned(b"a", b"b", b"c", at=[0.0, 0.02, 0.04]))
    with stage.connect() as client:
        client.send(ask())
        at_once = client.response()
        assert stage.ended() == ("complete", 27, 3)
        eventually(stage.is_idle)
        client.send(ask())
        paced = client.response()
        assert at_once.chunks == (b"data: a\n\ndata: b\n\ndata: c\n\n",)
        assert paced.body == at_once.body
        assert {**at_once.headers, "date": ""} == {**paced.headers, "date": ""}
        assert stage.ended() == ("complete", 27, 3)


def test_a_paced_stream_of_every_kind_of_frame_is_sent_to_the_byte(stage: Stage) -> None:
    """Frames alone and together, numbered and empty ones, runs of one frame, and a frame that is larger than most."""
    runs = (
        FrameRun("content", b"data: ", (b"a", b"", b"\n" * 5000, b"b"), b"\n\n", (1,) * 4),
        single("content", b"data: c\n\n"),
        FrameRun("content", b"", (b"d", b"", b"e"), b"", (1,) * 3),
        FrameRun("content", b"id: ", (b"f",) * 3, b"\n\n", (1,) * 3, first=9, middle=b" data: "),
    )
    at = [0.0, 0.005, 0.01, 0.015, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045]
    stage.put(PlannedBody(200, STREAM, runs, True, at))
    with stage.connect() as client:
        client.send(ask())
        response = client.response()
    body = b"".join(frame for run in runs for frame in run.frames())
    assert response.body == body
    assert stage.ended() == ("complete", len(body), 11)
    playback = stage.playback()
    assert playback.sent is not None
    assert (len(playback.sent), playback.first_sent, playback.last_sent) == (11, playback.sent[0], playback.sent[-1])
    assert list(playback.sent) == sorted(playback.sent)


def test_of_a_very_long_stream_the_first_moments_are_kept(stage: Stage) -> None:
    number = MAX_MOMENTS + 200
    answer = planned(*[b"x"] * number, at=[k / 20_000 for k in range(number)])
    stage.put(answer)
    with stage.connect() as client:
        client.send(ask())
        assert client.response().body == answer.body()
    assert stage.ended() == ("complete", len(answer.body()), number)
    playback = stage.playback()
    assert playback.sent is not None
    assert playback.last_sent is not None
    assert (len(playback.sent), playback.first_sent) == (MAX_MOMENTS, playback.sent[0])
    assert playback.last_sent - playback.sent[0] >= (number - 1) / 20_000 - playback.late
    assert playback.late >= max(moment - k / 20_000 for k, moment in enumerate(playback.sent)) - playback.sent[0]


def test_how_far_a_stream_is_can_be_seen_at_any_time(stage: Stage) -> None:
    stage.put(planned(*[b"abc"] * 100, b"d", at=[k / 1000 for k in range(100)] + [LONG_AGO]))
    with stage.connect() as client:
        client.send(ask())
        frames_sent = []
        for number in range(1, 101):
            client.read_until(b"data: abc\n\n")
            playback = stage.emulator.journal[-1].so_far()
            assert playback is not None
            assert playback.frames_sent >= number - 1  # the frame may have been sent just now
            assert playback.bytes_sent == 11 * playback.frames_sent
            frames_sent.append(playback.frames_sent)
        assert frames_sent == sorted(frames_sent)
        assert stage.emulator.journal[-1].ended is None
    assert stage.ended() == ("client_closed", 1100, 100)


def test_the_head_of_a_paced_stream_comes_at_once(stage: Stage) -> None:
    stage.put(planned(b"a", at=[LONG_AGO]))
    with stage.connect() as client:
        client.send(ask())
        assert undated(client.read_until(b"\r\n\r\n")) == STREAM_HEAD


def test_a_paced_whole_body_comes_whole_when_its_last_frame_is_due(stage: Stage) -> None:
    stage.put(planned(b"a", b"b", at=[0.05, 0.1], streamed=False))
    with stage.connect() as client:
        asked = time.monotonic()
        client.send(ask())
        response = client.response()
        assert (response.headers["content-length"], response.body) == ("18", b"data: a\n\ndata: b\n\n")
        assert time.monotonic() - asked >= 0.1


def test_empty_frames_do_not_end_a_stream(stage: Stage) -> None:
    empty = FrameRun("role", b"", (b"",), b"", (0,))
    full = single("content", b"data: a\n\n", 1)
    stage.put(
        PlannedBody(200, STREAM, (empty, full, empty), True, [0.0, 0.02, 0.04]),
        PlannedBody(200, STREAM, (empty,), True),
    )
    with stage.connect() as client:
        client.send(ask())
        assert client.response().chunks == (b"data: a\n\n",)
        eventually(stage.is_idle)
        client.send(ask())
        assert client.response().chunks == ()


@pytest.mark.parametrize("kind", ["steps", "a sized body in steps", "a stream", "a paced stream", "a paced body"])
def test_head_requests_get_a_head_and_no_body(stage: Stage, kind: str) -> None:
    answers: dict[str, PlannedBody | list[Step]] = {
        "steps": [Head(200, STREAM), Data(b"x"), End()],
        "a sized body in steps": [Head(200, JSON), Data(b"x"), End()],
        "a stream": planned(b"x"),
        "a paced stream": planned(b"x", at=[0.01]),
        "a paced body": planned(b"x", at=[0.01], streamed=False),
    }
    stage.put(answers[kind], planned(b"next"))
    with stage.connect() as client:
        client.send(request(PATH, method="HEAD"))
        assert client.response(has_body=False).status == 200
        eventually(stage.is_idle)
        client.send(ask())
        assert client.response().body == b"data: next\n\n"


ANSWERS_TO_OLD_CLIENTS: dict[str, PlannedBody | list[Step]] = {
    "steps of a stream": [Head(200, STREAM), Data(b"data: a\n\n"), Data(b"data: b\n\n"), End()],
    "steps of a body": [Head(200, JSON), Data(b"data: a\n\n"), Data(b"data: b\n\n"), End()],
    "a stream": planned(b"a", b"b"),
    "a paced stream": planned(b"a", b"b", at=[0.0, 0.02]),
    "a body": planned(b"a", b"b", streamed=False),
    "a paced body": planned(b"a", b"b", at=[0.0, 0.02], streamed=False),
}


@pytest.mark.parametrize("kind", ANSWERS_TO_OLD_CLIENTS)
@pytest.mark.parametrize("asked", ["close", "keep-alive"])
def test_a_client_of_http_1_0_gets_no_chunks_and_the_end_of_the_connection(stage: Stage, kind: str, asked: str) -> None:
    stage.put(ANSWERS_TO_OLD_CLIENTS[kind])
    with stage.connect() as client:
        client.send(request(PATH, b"{}", version="1.0", connection=asked))
        response = client.response()
        assert response.body == b"data: a\n\ndata: b\n\n"
        assert "transfer-encoding" not in response.headers
        assert response.headers["connection"].lower() == "close"
        assert client.read_rest() == (b"", "eof")
    assert stage.ended()[0] == "complete"


def test_a_client_that_waits_for_100_continue_gets_it_once(stage: Stage) -> None:
    steps: list[Step] = [Head(200, STREAM), Data(b"data: a\n\n"), End()]
    for answer in (planned(b"a"), planned(b"a", at=[0.02]), steps):
        stage.put(answer)
        with stage.connect() as client:
            whole = ask(expect="100-continue")
            client.send(whole[:-2])
            assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(whole[-2:])
            assert client.response().body == b"data: a\n\n"


def test_pipelined_requests_are_answered_in_order(stage: Stage) -> None:
    stage.put(
        planned(b"1", at=[0.03]),
        planned(b"2"),
        [Head(200, STREAM), Data(b"3"), End(at=0.02)],
        planned(b"4", at=[0.02], streamed=False),
        [Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n5"), End()],
    )
    with stage.connect() as client:
        client.send(ask() * 5)
        assert [client.response().body for _ in range(5)] == [
            b"data: 1\n\n",
            b"data: 2\n\n",
            b"3",
            b"data: 4\n\n",
            b"5",
        ]
        eventually(stage.is_idle)


# Clients that leave


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("kind", ["a stream", "steps", "before the head", "hang", "a paced body"])
def test_a_client_that_leaves_ends_its_answer_at_once(stage: Stage, kind: str, reset: bool) -> None:
    answers: dict[str, tuple[PlannedBody | list[Step], int]] = {
        "a stream": (planned(b"a", b"b", at=[0.0, LONG_AGO]), 9),
        "steps": ([Head(200, STREAM), Data(b"data: a\n\n"), Data(b"b", at=LONG_AGO), End(at=LONG_AGO)], 9),
        "before the head": ([Head(200, STREAM, at=LONG_AGO), End(at=LONG_AGO)], 0),
        "hang": ([Head(200, STREAM), Data(b"data: a\n\n"), Hang()], 9),
        "a paced body": (planned(b"a", at=[LONG_AGO], streamed=False), 0),
    }
    answer, sent = answers[kind]
    stage.put(answer)
    client = stage.connect()
    client.send(ask())
    if sent:
        client.read_until(b"\n\n\r\n")
    else:
        eventually(lambda: not stage.is_idle() and not stage.answers)
    client.leave(reset=reset)
    assert stage.ended() == ("client_closed", sent, 1 if sent else 0)


def test_a_connection_that_is_over_is_forgotten_without_a_search_for_garbage(stage: Stage) -> None:
    gc.collect()
    gc.disable()  # a search stops every stream while it lasts
    try:
        steps: list[Step] = [Head(200, STREAM), Data(b"x"), End()]
        for answer in (planned(b"x"), planned(b"x", b"x", at=[0.0, 0.01]), steps):
            stage.put(answer)
            with stage.connect() as client:
                client.send(ask())
                client.response()
                left = [weakref.ref(protocol) for protocol in stage.protocols()]
            assert len(left) == 1
            eventually(lambda left=left: left[0]() is None)  # type: ignore[misc]
    finally:
        gc.enable()


def test_a_client_that_leaves_after_a_large_body_is_noticed_too(stage: Stage) -> None:
    stage.put(planned(b"a", b"b", at=[0.0, LONG_AGO]))
    client = stage.connect()
    client.send(request(PATH, b"x" * 300_000))
    client.read_until(b"\n\n\r\n")
    client.leave()
    assert stage.ended() == ("client_closed", 9, 1)


def test_a_client_that_leaves_with_requests_in_the_pipeline_leaves_nothing_behind(stage: Stage) -> None:
    stage.put([Head(200, STREAM), *(Data(b"x", at=k / 1000) for k in range(10_000)), End(at=10.0)], planned(b"never"))
    client = stage.connect()
    client.send(ask() * 3)
    client.read_until(b"x\r\n")
    client.leave(reset=True)
    assert stage.ended()[0] == "client_closed"


def test_pieces_that_are_late_for_a_client_that_has_left_are_not_logged(stage: Stage) -> None:
    """A busy machine sends many at once, before it notices that the client has left."""
    stage.put([Head(200, STREAM), Data(b"x"), Data(b"y", at=60.0), End(at=60.0)])
    client = stage.connect()
    client.send(ask())
    client.read_until(b"x\r\n")
    (protocol,) = stage.protocols()

    def leave() -> None:
        client.leave(reset=True)
        for _ in range(20):
            protocol.handle.write(b"z")

    stage.emulator._server.call(leave)
    assert stage.ended()[0] == "client_closed"


def test_a_client_that_sends_no_whole_body_leaves_nothing_behind(stage: Stage) -> None:
    client = stage.connect()
    client.send(ask(content_length="1000"))
    eventually(lambda: not stage.is_idle())
    client.leave()
    eventually(stage.is_alone)


# A server that stops


@pytest.mark.parametrize("http", get_args(Http))
def test_a_server_that_stops_resets_whatever_is_not_over(
    http: Http, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    body = (*JSON, (b"content-length", b"10"))
    answers: dict[str, tuple[PlannedBody | list[Step], bytes]] = {
        "a stream": (planned(b"a", b"b", at=[0.0, LONG_AGO]), b"data: a\n\n\r\n"),
        "steps": ([Head(200, STREAM), Data(b"x"), Data(b"y", at=LONG_AGO)], b"x\r\n"),
        "a stream that hangs": ([Head(200, STREAM), Data(b"x"), Hang()], b"x\r\n"),
        "half a body": ([Head(200, body), Data(b"12345"), Data(b"67890", at=LONG_AGO), End()], b"12345"),
        "nothing yet": ([Hang()], b""),
        "a paced body": (planned(b"a", at=[LONG_AGO], streamed=False), b""),
    }
    stage = Stage(http, "uvloop")
    stage.prepare(monkeypatch)
    clients: list[Connection] = []
    with stage.emulator:
        for answer, before in answers.values():
            stage.put(answer)
            client = stage.connect()
            client.send(ask())
            client.read_until(before) if before else eventually(lambda: not stage.answers)
            clients.append(client)
    for client in clients:
        assert client.read_rest() == (b"", "reset")
        client.leave()
    assert [exchange.record()["ended"] for exchange in stage.emulator.journal] == ["shutdown"] * len(answers)
    assert [record.getMessage() for record in caplog.records] == []


# Clients that read slowly

SIZE = 20 * 2**20
PIECE = 8192
FRAMES = SIZE // PIECE


def large(kind: str) -> PlannedBody | list[Step]:
    pieces = [b"%08d" % k + b"." * (PIECE - 8) for k in range(FRAMES)]
    if kind == "steps":
        return [Head(200, STREAM), *(Data(piece) for piece in pieces), End()]
    run = FrameRun("content", b"", pieces, b"", (1,) * FRAMES)
    return PlannedBody(200, STREAM, (run,), True, [k / 1e6 for k in range(FRAMES)] if kind == "paced" else ())


@pytest.mark.parametrize("kind", ["at once", "paced", "steps"])
def test_a_slow_reader_holds_the_server_up_and_still_gets_everything_in_order(stage: Stage, kind: str) -> None:
    stage.put(large(kind))
    with stage.connect(receive_buffer=4096) as client:
        client.send(ask(connection="close"))
        eventually(lambda: stage.buffered() > 0)
        assert stage.buffered() < 4 * 65536
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # now it reads fast
        head = client.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        data, ending = client.read_rest()
        assert ending == "eof"
    body = dechunked(data)
    assert (len(body), list(map(int, numbers(body)))) == (SIZE, list(range(FRAMES)))
    assert stage.ended() == ("complete", SIZE, FRAMES)


@pytest.mark.parametrize("kind", ["at once", "paced", "steps"])
def test_a_slow_reader_that_leaves_is_let_go(stage: Stage, kind: str) -> None:
    stage.put(large(kind))
    client = stage.connect(receive_buffer=4096)
    client.send(ask())
    eventually(lambda: stage.buffered() > 0)
    client.leave()
    ended, sent, frames = stage.ended()
    assert (ended, 0 < sent < SIZE, frames) == ("client_closed", True, sent // PIECE)


def dechunked(data: bytes) -> bytes:
    parts: list[bytes] = []
    start = 0
    while True:
        end = data.index(b"\r\n", start)
        size = int(data[start:end], 16)
        if not size:
            assert data[end:] == b"\r\n\r\n"
            return b"".join(parts)
        parts.append(data[end + 2 : end + 2 + size])
        start = end + 2 + size + 2


def numbers(body: bytes) -> Iterator[bytes]:
    return (body[start : start + 8] for start in range(0, len(body), PIECE))


def test_a_paced_stream_catches_up_without_losing_its_order_when_the_reader_comes_back(stage: Stage) -> None:
    pieces = [b"%06d" % k for k in range(20_000)]
    stage.put(planned(*pieces, at=[k / 1e5 for k in range(20_000)]))
    with stage.connect() as client:
        client.send(ask())
        response: Response = client.response()
    seen = [int(frame.removeprefix(b"data: ")) for frame in response.body.split(b"\n\n")[:-1]]
    assert seen == list(range(20_000))
    assert all(len(chunk) <= 70_000 for chunk in response.chunks)
