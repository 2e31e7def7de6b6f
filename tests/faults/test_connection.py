"""Faults of connections and of HTTP itself: exact bytes, and a real FIN or RST."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest
from raw import HTTP, SCENARIO, Live, exchange
from rawhttp import Connection, Ending, eventually, undated
from tables import each_of
from test_framing import BODY, EVENTS, chunked

from emulator import Emulator
from emulator.faults import fault_of
from emulator.faults.base import FaultContext, NotApplicable
from emulator.faults.selection import FaultRegistry
from emulator.providers import PROVIDERS
from emulator.server.protocol import ConnectionHandle
from emulator.wire import Afterwards, Close, Data, End, Hang, Head, Raw, Refuse, Reset, ResetAccepts, Step

pytest_plugins = ["running"]

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
HEAD = STREAM + b"transfer-encoding: chunked\r\n\r\n"
CLOSING = STREAM + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
SIZED = JSON + b"content-length: %d\r\n\r\n"
LAST = b"0\r\n\r\n"
SIZE = sum(map(len, EVENTS))


def open_chunks(*frames: bytes) -> bytes:
    return chunked(frames).removesuffix(LAST)


ENDED: dict[str, tuple[bytes, Ending]] = {
    "reset": (b"", "reset"),
    "reset:after_events=2": (HEAD + open_chunks(*EVENTS[:2]), "reset"),
    "close": (b"", "eof"),
    "close:after_tokens=0": (HEAD + open_chunks(EVENTS[0]), "eof"),
    "close:after_tokens=2": (HEAD + open_chunks(*EVENTS[:3]), "eof"),
    "close:after_bytes=200": (HEAD + open_chunks(EVENTS[0], EVENTS[1][: 200 - len(EVENTS[0])]), "eof"),
    "close:after_events=7": (HEAD + open_chunks(*EVENTS), "eof"),
    "close:after_events=1,announce=true": (CLOSING + open_chunks(EVENTS[0]), "eof"),
    "half_status": (b"HTTP/1.1 20", "eof"),
    "malformed_chunk": (HEAD + open_chunks(EVENTS[0]) + b"zz\r\n", "eof"),
    "malformed_chunk:after_tokens=4": (HEAD + open_chunks(*EVENTS[:5]) + b"zz\r\n", "eof"),
    "content_length": (STREAM + b"content-length: %d\r\n\r\n" % (SIZE + 10) + b"".join(EVENTS), "eof"),
    "no_length_close": (STREAM + b"connection: close\r\n\r\n" + b"".join(EVENTS), "eof"),
    "no_length_close:announce=false": (STREAM + b"\r\n" + b"".join(EVENTS), "eof"),
    "no_length_close:after_events=3": (STREAM + b"connection: close\r\n\r\n" + b"".join(EVENTS[:3]), "eof"),
    "idle_close:seconds=0.02": (HEAD + chunked(EVENTS), "eof"),
    "slow_close:seconds=0.02": (CLOSING + chunked(EVENTS), "eof"),
}
ENDED_WHOLE: dict[str, tuple[bytes, Ending]] = {
    "reset:after_bytes=10": (SIZED % len(BODY) + BODY[:10], "reset"),
    "close": (b"", "eof"),
    "close:after_bytes=10": (SIZED % len(BODY) + BODY[:10], "eof"),
    "close:after_tokens=2": (SIZED % len(BODY) + BODY[: len(BODY) // 2], "eof"),
    "half_status": (b"HTTP/1.1 20", "eof"),
    "malformed_chunk": (JSON + b"transfer-encoding: chunked\r\n\r\n" + open_chunks(BODY) + b"zz\r\n", "eof"),
    "content_length": (SIZED % (len(BODY) + 10) + BODY, "eof"),
    "content_length:by=1000": (SIZED % (len(BODY) + 1000) + BODY, "eof"),
    "no_length_close": (JSON + b"connection: close\r\n\r\n" + BODY, "eof"),
    "no_length_close:after_bytes=20,announce=false": (JSON + b"\r\n" + BODY[:20], "eof"),
    "idle_close:seconds=0.02": (SIZED % len(BODY) + BODY, "eof"),
    "slow_close:seconds=0.02": (JSON + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(BODY) + BODY, "eof"),
}


@each_of("fault", ENDED)
def test_a_stream_ends_to_the_byte(live: Live, fault: str) -> None:
    assert live.exchange(fault) == ENDED[fault]


@each_of("fault", ENDED_WHOLE)
def test_a_whole_body_ends_to_the_byte(live: Live, fault: str) -> None:
    assert live.exchange(fault, stream=False) == ENDED_WHOLE[fault]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("random_data:size=100", b""),
        ("random_data:size=100,after_events=1", HEAD + open_chunks(EVENTS[0])),
    ],
)
def test_random_data_is_sent_outside_http(live: Live, fault: str, expected: bytes) -> None:
    data, ending = live.exchange(fault)
    assert (data[: len(expected)], len(data) - len(expected), ending) == (expected, 100, "eof")


def test_a_length_that_is_too_short_leaves_bytes_over(live: Live) -> None:
    with live.connect() as client:
        client.send(live.ask("content_length:too=short,by=7", stream=False))
        response = client.response()
        assert response.headers["content-length"] == str(len(BODY) - 7)
        assert response.body + client.read_exactly(7) == BODY
        client.send(live.ask(stream=False))
        assert client.response().body == BODY


# The next request


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("size", [0, 1_000_000], ids=["small", "large"])
def test_a_stale_connection_meets_its_next_request_without_a_byte(
    live: Live, end: str, stream: bool, size: int
) -> None:
    with live.connect() as client:
        client.send(live.ask(f"stale_keepalive:end={end}", stream=stream))
        assert client.response().status == 200
        seen = len(live.emulator.journal)
        ending = talk_into(client, live.ask() + b" " * size)
        # Whoever still writes when the connection is reset, may learn it from the write.
        assert ending == (b"", {"close": "eof", "reset": "reset"}[end])
    assert len(live.emulator.journal) == seen


def talk_into(client: Connection, data: bytes) -> tuple[bytes, Ending]:
    """Send, and read what comes."""
    try:
        client.send(data)
    except (ConnectionResetError, BrokenPipeError):
        return b"", "reset"
    return client.read_rest()


def test_an_idle_connection_is_closed_in_time_and_a_busy_one_is_not(live: Live) -> None:
    with live.connect() as client:
        start = time.monotonic()
        client.send(live.ask("idle_close:seconds=0.1"))
        client.response()
        client.send(live.ask("latency:seconds=0.2", stream=False))
        assert client.response().body == BODY
        client.send(live.ask("idle_close:seconds=0.1"))
        client.response()
        assert client.read_rest() == (b"", "eof")
        assert 0.3 <= time.monotonic() - start < 3


@pytest.mark.parametrize("asked", ["keep-alive", "close"])
def test_a_slow_close_does_not_hold_up_whoever_reads_as_http_demands(live: Live, asked: str) -> None:
    with live.connect() as client:
        start = time.monotonic()
        client.send(live.ask("slow_close:seconds=0.2", connection=asked))
        assert client.response().body == b"".join(EVENTS)
        received = time.monotonic()
        assert client.read_rest() == (b"", "eof")
        assert time.monotonic() - start >= 0.2
        assert received - start < time.monotonic() - start


@pytest.mark.parametrize("closes", [True, False], ids=["asked to close", "kept alive"])
def test_a_slow_close_ends_at_once_for_whoever_asks_on(live: Live, closes: bool) -> None:
    with live.connect() as client:
        client.send(live.ask("slow_close:seconds=60", connection="close" if closes else "keep-alive"))
        client.response()
        assert talk_into(client, live.ask()) == (b"", "eof")


# The listening socket


def test_a_port_that_refuses_opens_again_after_its_time(live: Live) -> None:
    with live.connect() as idle:
        idle.send(live.ask(stream=False))
        assert idle.response().body == BODY
        start = time.monotonic()
        assert live.exchange("refuse_connections:seconds=0.3") == (b"", "reset")
        assert idle.read_rest() == (b"", "eof")
    refused = 0
    while (answer := answered_or_refused(live)) is None:
        refused += 1
        time.sleep(0.01)
    assert refused > 0
    assert time.monotonic() - start >= 0.3
    assert (answer[0].endswith(b"\r\n\r\n" + BODY), answer[1]) == (True, "eof")


def answered_or_refused(live: Live) -> tuple[bytes, Ending] | None:
    try:
        return live.exchange(stream=False, connection="close")
    except ConnectionRefusedError:
        return None


def test_the_longest_of_several_refusals_counts(live: Live) -> None:
    listener_control = live.emulator._server.listener_control
    assert listener_control is not None
    start = time.monotonic()
    for seconds in (0.1, 0.3, 0.2):
        live.emulator._server.call(lambda seconds=seconds: listener_control.refuse(seconds))  # type: ignore[misc]
    with pytest.raises(ConnectionRefusedError):
        live.connect()
    eventually(lambda: listener_control.is_open)
    assert time.monotonic() - start >= 0.3
    assert live.exchange("close") == (b"", "eof")


def test_an_answer_that_is_on_its_way_arrives_while_the_port_refuses(live: Live) -> None:
    with live.connect() as client:
        client.send(live.ask("stall:seconds=0.2,after_events=1"))
        client.read_until(EVENTS[0])
        assert live.exchange("refuse_connections:seconds=0.1") == (b"", "reset")
        assert client.read_rest() == (b"\r\n" + chunked(EVENTS[1:]), "eof")
    wait_until_open(live)


def wait_until_open(live: Live) -> None:
    listener_control = live.emulator._server.listener_control
    assert listener_control is not None
    eventually(lambda: listener_control.is_open)


def test_faults_of_a_port_end_with_their_time_and_with_the_server() -> None:
    with Emulator(SCENARIO) as emulator:
        control = emulator._server.listener_control
        assert control is not None
        emulator._server.call(lambda: control.reset_accepts(1, 0.0))
        assert not control.is_untouched
        assert Live(emulator).exchange("close") == (b"", "eof")
        assert control.is_untouched
    control.refuse(60)  # another worker may say so as this one ends
    assert control.is_untouched


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_server_can_be_stopped_while_its_port_refuses(loop: Literal["uvloop", "asyncio"]) -> None:
    with Emulator(SCENARIO, loop=loop) as emulator:
        on = Live(emulator)
        assert on.exchange("refuse_connections:seconds=60") == (b"", "reset")
    with Emulator(SCENARIO, loop=loop, port=emulator.port) as again:
        assert Live(again).exchange("close") == (b"", "eof")


def test_a_server_can_be_stopped_while_a_connection_lingers() -> None:
    for http in HTTP:
        with Emulator(SCENARIO, http=http) as emulator, Live(emulator).connect() as client:
            client.send(Live(emulator).ask("slow_close:seconds=60", connection="close"))
            assert client.response().body == b"".join(EVENTS)
            emulator.stop()
            assert client.read_rest() == (b"", "eof")


@pytest.mark.parametrize("count", [1, 3])
def test_connections_are_reset_as_soon_as_they_are_accepted(live: Live, count: int) -> None:
    assert live.exchange(f"reset_on_accept:count={count}") == (b"", "reset")
    for _ in range(count):
        assert exchange(live.address, b"") == (b"", "reset")
    assert exchange(live.address, live.ask("close")) == (b"", "eof")


# Slowness


SLOW: dict[str, tuple[float, bytes]] = {
    "latency:seconds=0.2": (0.2, HEAD + chunked(EVENTS)),
    "slow_headers:seconds=0.2": (0.2, HEAD + chunked(EVENTS)),
    "dribble:pieces=4,seconds=0.2": (0.2, b""),
    f"bandwidth:bytes_per_second={SIZE * 4}": (0.2, b""),
}


@pytest.mark.parametrize("fault", SLOW)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_what_is_slow_takes_its_time_and_is_whole_in_the_end(live: Live, fault: str, stream: bool) -> None:
    seconds, expected = SLOW[fault]
    whole = b"".join(EVENTS) if stream else BODY
    if fault.startswith("bandwidth"):
        seconds *= len(whole) / SIZE
    with live.connect() as client:
        start = time.monotonic()
        client.send(live.ask(fault, stream=stream))
        if expected:
            data = undated(client.read_until(LAST if stream else BODY))
            assert data == (expected if stream else SIZED % len(BODY) + BODY)
        else:
            response = client.response()
            assert response.body == whole
            assert "dribble" not in fault or not stream or len(response.chunks) == 4
        assert seconds <= time.monotonic() - start < seconds + 5


def test_headers_dribble_byte_by_byte(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    write = ConnectionHandle.write

    def record(handle: ConnectionHandle, data: bytes) -> None:
        writes.append(data)
        write(handle, data)

    monkeypatch.setattr(ConnectionHandle, "write", record)
    with live.connect() as client:
        client.send(live.ask("slow_headers:seconds=0.05"))
        client.response()
    head = b"".join(writes).index(b"\r\n\r\n") + 4
    assert [len(data) for data in writes[:head]] == [1] * head


# Steps, pure

START = Head(200, ((b"content-type", b"text/event-stream"),), 0.25)
ONE = Data(b"data: 1\n\n", "content", 1, 0.5)
TWO = Data(b"data: 2\n\n", "content", 1, 0.75)
STEPS: list[Step] = [START, ONE, TWO, End(1.0)]
SCENE = FaultContext(PROVIDERS["maxtoken"](), None, True, b"material")


def rewritten(fault: str, steps: Sequence[Step] = STEPS) -> list[Step]:
    return fault_of(fault).transform_steps(list(steps), SCENE)


def headed(*headers: tuple[bytes, bytes], **more: Any) -> Head:
    return Head(200, (*START.headers, *headers), START.at, **more)


BROKEN: dict[str, list[Step]] = {
    "close": [Close()],
    "close:after_events=1": [START, ONE, Close(0.5)],
    "close:after_seconds=0.6": [START, ONE, Close(0.6)],
    "close:after_events=1,announce=true": [headed((b"connection", b"close")), ONE, Close(0.5)],
    "half_status": [Raw(b"HTTP/1.1 20", 0.25), Close(0.25)],
    "malformed_chunk": [headed(framing="chunks"), ONE, Raw(b"zz\r\n", 0.5), Close(0.5)],
    "content_length": [headed((b"content-length", b"28"), framing="length"), ONE, TWO, Close(1.0)],
    "content_length:too=short,by=2": [headed((b"content-length", b"16"), framing="length"), ONE, TWO, End(1.0)],
    "content_length:too=short,by=99": [headed((b"content-length", b"0"), framing="length"), ONE, TWO, End(1.0)],
    "no_length_close": [headed((b"connection", b"close"), framing="close"), ONE, TWO, Close(1.0)],
    "no_length_close:announce=false,after_tokens=1": [headed(framing="close"), ONE, Close(0.5)],
    "stale_keepalive:end=reset": [START, ONE, TWO, Afterwards("reset", at=1.0), End(1.0)],
    "idle_close:seconds=3": [START, ONE, TWO, Afterwards(idle=3.0, at=1.0), End(1.0)],
    "slow_close:seconds=3": [
        headed((b"connection", b"close")),
        ONE,
        TWO,
        Afterwards("close", 3.0, 1.0),
        End(1.0),
    ],
    "slow_headers:seconds=2": [
        headed(over=2.0),
        Data(ONE.data, "content", 1, 2.5),
        Data(TWO.data, "content", 1, 2.75),
        End(3.0),
    ],
    "dribble:pieces=3,seconds=2": [
        START,
        Data(b"data: ", "piece", 0, 0.5),
        Data(b"1\n\ndat", "piece", 1, 1.5),
        Data(b"a: 2\n\n", "packed", 1, 2.5),
        End(2.5),
    ],
    "dribble:pieces=2,seconds=0": [
        START,
        Data(ONE.data, "piece", 1, 0.5),
        Data(TWO.data, "packed", 1, 0.75),  # not before it is there
        End(1.0),
    ],
    "bandwidth:bytes_per_second=80": [
        START,
        Data(b"data", "piece", 0, 0.5),
        Data(b": 1\n", "piece", 0, 0.55),
        Data(b"\n", "packed", 1, 0.6),
        Data(b"data", "piece", 0, 0.75),
        Data(b": 2\n", "piece", 0, 0.8),
        Data(b"\n", "packed", 1, 0.85),
        End(1.0),
    ],
    "latency:seconds=2": [
        Head(200, START.headers, 2.25),
        Data(ONE.data, "content", 1, 2.5),
        Data(TWO.data, "content", 1, 2.75),
        End(3.0),
    ],
    "refuse_connections:seconds=2": [Refuse(2.0, 0.25), Reset(0.25)],
    "reset_on_accept:count=2": [ResetAccepts(2, 60.0, 0.25), Reset(0.25)],
}


@each_of("fault", BROKEN)
def test_steps_are_rewritten(fault: str) -> None:
    assert [*map(rounded, rewritten(fault))] == BROKEN[fault]


def rounded(step: Step) -> Step:
    return replace(step, at=round(step.at, 9))


def test_a_slow_line_is_busy_until_it_has_carried_what_came_before() -> None:
    late = rewritten("bandwidth:bytes_per_second=20")
    assert [round(step.at, 9) for step in late] == [0.25, *(round(0.5 + k * 0.05, 9) for k in range(19))]


def test_jitter_is_seeded_and_keeps_within_its_bounds() -> None:
    throws = set()
    for k in range(100):
        scene = FaultContext(SCENE.provider, None, True, b"%d" % k)
        fault = fault_of("latency:seconds=1,jitter=0.5")
        first = fault.transform_steps([End()], scene)[0].at
        assert fault.transform_steps([End()], scene)[0].at == first
        assert 0.5 <= first < 1.5
        throws.add(first)
    assert len(throws) == 100


def test_random_data_is_the_same_for_the_same_request() -> None:
    (first, close), (second, _) = rewritten("random_data"), rewritten("random_data")
    assert isinstance(first, Raw)
    assert (first, len(first.data), close) == (second, 64, Close())


def test_what_a_connection_does_afterwards_adds_up() -> None:
    twice = rewritten("idle_close:seconds=3", rewritten("stale_keepalive"))
    assert twice[-2:] == [Afterwards("close", 3.0, 1.0), End(1.0)]


OTHERS: dict[str, tuple[str, list[Step]]] = {
    "no headers are sent that could announce it": ("close:announce=true", STEPS),
    "no headers are sent that a chunk could follow": ("malformed_chunk:after_bytes=0", [Raw(b"x"), Close()]),
    "no headers are sent": ("no_length_close", [Raw(b"x"), Close()]),
    "the connection closes after this answer": ("stale_keepalive", [START, ONE, Hang(0.5)]),
    "another fault sends raw bytes": ("dribble", [START, ONE, Raw(b"x"), Close()]),
    "the answer has no body": ("dribble", [START, End()]),
    "another fault removed the head of the answer": ("content_length", [Close()]),
    "the answer would have more than 200000 pieces": (
        "bandwidth:bytes_per_second=1",
        [START, Data(b"." * 200_001), End()],
    ),
}


@each_of("reason", OTHERS)
def test_what_cannot_be_done_to_an_answer_is_reported(reason: str) -> None:
    fault, steps = OTHERS[reason]
    with pytest.raises(NotApplicable) as raised:
        rewritten(fault, steps)
    assert str(raised.value) == reason


def test_live_faults_break_either_handshakes_or_answers() -> None:
    registry = FaultRegistry()
    handshake, answer = registry.add(fault_of("tls_expired")), registry.add(fault_of("reset"))
    queued = registry.push(fault_of("tls_refused"))
    assert [each.id for each in registry.armed(of_handshake=False)] == [answer]
    assert [each.id for each in registry.armed(of_handshake=True)] == [queued, handshake]
    assert [each.id for each in registry.armed()] == [handshake, answer]
