"""How the events of a stream are framed: valid or nearly so, and each of these once broke a client."""

import json
import time
import zlib
from collections.abc import Sequence
from itertools import pairwise

import pytest
from raw import Live
from rawhttp import Response
from tables import each_of

from emulator.dialects.wire_shape import WireShape
from emulator.engine import Options, PlannedResponse
from emulator.faults import fault_of
from emulator.faults.base import FaultContext, NotApplicable
from emulator.providers import PROVIDERS
from emulator.request import HttpRequest
from emulator.server.protocol import ConnectionHandle
from emulator.state.namespace import Namespace
from emulator.wire import Close, Data, End, Head, Raw, Reset, Step

pytest_plugins = ["running"]

CHUNK = '{"id":"one","object":"chat.completion.chunk","created":1,"model":"deepseek-r1","choices":[%s]%s}'
CHOICE = '{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}'
USAGE = (
    ',"usage":{"prompt_tokens":5,"completion_tokens":4,"total_tokens":9,'
    '"completion_tokens_details":{"reasoning_tokens":0}}'
)


def event(delta: str, finish: str = "null", more: str = "") -> bytes:
    return f"data: {CHUNK % (CHOICE % (delta, finish), more)}\n\n".encode()


EVENTS = [
    event('{"role":"assistant","content":""}'),
    event('{"content":"H"}'),
    event('{"content":"é"}'),
    event('{"content":","}'),
    event('{"content":" you"}'),
    event('{"content":""}', '"stop"', USAGE),
    b"data: [DONE]\n\n",
]
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"
)


def chunked(frames: Sequence[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(frame), frame) for frame in frames) + b"0\r\n\r\n"


def ended(lines: bytes, blank: bytes) -> list[bytes]:
    return [frame[:-2] + lines + blank for frame in EVENTS]


def lined(between: bytes = b"") -> list[bytes]:
    """Each event's JSON on three lines."""
    spread = [
        b"data: {\n%bdata: %b\ndata: }\n\n" % (between, frame.removeprefix(b"data: {").removesuffix(b"}\n\n"))
        for frame in EVENTS[:-1]
    ]
    return [*spread, EVENTS[-1]]


def with_block(block: bytes, after: int) -> list[bytes]:
    return [*EVENTS[:after], block, *EVENTS[after:]]


def padded(size: int) -> list[bytes]:
    first = EVENTS[0].removesuffix(b"}\n\n")
    padding = b"." * (size - len(first) - len(b',"padding":""}\n\n'))
    return [b'%b,"padding":"%b"}\n\n' % (first, padding), *EVENTS[1:]]


def spoken(more: str) -> list[bytes]:
    return [*EVENTS[:1], event(f'{{"content":"H{more}"}}'), *EVENTS[2:]]


def in_pieces(size: int) -> list[bytes]:
    return [frame[start : start + size] for frame in EVENTS for start in range(0, len(frame), size)]


MIXED = [(b"\r\n", b"\n"), (b"\n", b"\r\n"), (b"\r", b"\r\n"), (b"\r\n", b"\r"), (b"\n", b"\r")]
CUT_IN_A_CHARACTER = EVENTS[2].index("é".encode()) + 1

STREAMS: dict[str, list[bytes]] = {
    "line_ends": ended(b"\r\n", b"\r\n"),
    "line_ends:ends=cr": ended(b"\r", b"\r"),
    "line_ends:ends=mixed": [ended(*pair)[k] for k, pair in enumerate([*MIXED, *MIXED[:2]])],
    "line_ends:ends=split": [piece for frame in EVENTS for piece in (frame[:-2] + b"\r", b"\n\r", b"\n")],
    "data_space": [frame.replace(b"data: ", b"data:") for frame in EVENTS],
    "data_space:spaces=two": [frame.replace(b"data: ", b"data:  ") for frame in EVENTS],
    "split:gap=0": [bytes([byte]) for frame in EVENTS for byte in frame],
    "split:into=pieces,size=100": in_pieces(100),
    "split:into=characters": [
        *EVENTS[:2],
        EVENTS[2][:CUT_IN_A_CHARACTER],
        EVENTS[2][CUT_IN_A_CHARACTER:],
        *EVENTS[3:],
    ],
    "coalesce": [b"".join(EVENTS)],
    "coalesce:events=3": [b"".join(EVENTS[:3]), b"".join(EVENTS[3:6]), EVENTS[6]],
    "multi_line_data": lined(),
    "id_lines:pings=false": [b"id: %d\n%b" % (k, frame) for k, frame in enumerate(EVENTS, 1)],
    "id_lines": [piece for k, frame in enumerate(EVENTS, 1) for piece in (b"id: %d\n%b" % (k, frame), b": ping\n\n")][
        :-1
    ],
    "retry_lines": with_block(b"retry: 3000\n\n", 0),
    "retry_lines:milliseconds=5,after_events=6": with_block(b"retry: 5\n\n", 6),
    "empty_data": with_block(b"data:\n\n", 1),
    "empty_data:after_events=0": with_block(b"data:\n\n", 0),
    "event_lines": with_block(b"event: ping\n\n", 1),
    "event_lines:name=message": with_block(b"event: message\n\n", 1),
    "unknown_sse_fields": [b"trace: 1\nbare\n" + frame for frame in EVENTS],
    "comments": with_block(b": ................\n\n", 1),
    "comments:length=1000000": with_block(b": " + b"." * 1_000_000 + b"\n\n", 1),
    "comments:place=inside,length=3": lined(b": ...\n"),
    "odd_separators": spoken("\u2028\u2029\u0085"),
    "odd_separators:characters=control": spoken("\v\f\x1c"),
    "odd_separators:characters=all": spoken("\u2028\u2029\u0085\v\f\x1c"),
    "bom": [b"\xef\xbb\xbf" + EVENTS[0], *EVENTS[1:]],
    "large_event": padded(65536),
    "large_event:size=1048576": padded(1048576),
}


@each_of("fault", STREAMS)
def test_a_stream_is_framed_to_the_byte(live: Live, fault: str) -> None:
    assert live.exchange(fault, connection="close") == (HEAD + chunked(STREAMS[fault]), "eof")


@each_of("fault", STREAMS)
def test_its_data_stay_whatever_an_sse_reader_makes_of_them(fault: str) -> None:
    """Of a reader that does all as the specification says."""
    expected = [json.loads(frame[6:]) for frame in EVENTS[:-1]]
    text = b"".join(STREAMS[fault]).removeprefix(b"\xef\xbb\xbf").decode()
    if fault.startswith("odd_separators"):
        expected[1]["choices"][0]["delta"]["content"] = json.loads(STREAMS[fault][1][6:], strict=False)["choices"][0][
            "delta"
        ]["content"]
    datas = [data for data in dispatched(text) if data]
    chunks = [json.loads(data, strict=False) for data in datas[:-1]]
    for chunk in chunks:
        chunk.pop("padding", None)
    assert (chunks, datas[-1].strip()) == (expected, "[DONE]")


def dispatched(text: str) -> list[str]:
    """The data of each event, as the HTML standard reads a stream."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found: list[str] = []
    data: list[str] = []
    for line in lines:
        name, _, value = line.partition(":")
        if not line and data:
            found.append("\n".join(data))
            data = []
        elif name == "data":
            data.append(value.removeprefix(" "))
    return found


BODY = (
    '{"id":"one","object":"chat.completion","created":1,"model":"deepseek-r1","choices":[{"index":0,"message":'
    '{"role":"assistant","content":"Hé, you"},"finish_reason":"stop"}]' + USAGE + "}"
).encode()
WHOLE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\nconnection: close\r\n\r\n"
BODIES = {"bom": b"\xef\xbb\xbf" + BODY, "split:into=pieces,size=10": BODY, "split:into=characters": BODY}


@each_of("fault", BODIES)
def test_a_whole_body_is_framed_to_the_byte(live: Live, fault: str) -> None:
    body = BODIES[fault]
    assert live.exchange(fault, stream=False, connection="close") == (WHOLE_HEAD % (b"", len(body)) + body, "eof")


# Compressed


def test_a_compressed_stream_can_be_read_as_it_comes(live: Live) -> None:
    response = answered(live, "gzip")
    assert response.headers["content-encoding"] == "gzip"
    unpacker = zlib.decompressobj(wbits=31)
    assert [unpacker.decompress(chunk) for chunk in response.chunks] == EVENTS
    assert unpacker.eof


def test_a_compressed_body_has_its_own_length(live: Live) -> None:
    response = answered(live, "gzip", stream=False)
    assert (response.headers["content-encoding"], int(response.headers["content-length"])) == (
        "gzip",
        len(response.body),
    )
    assert zlib.decompress(response.body, wbits=31) == BODY


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_truncated_body_ends_as_http_demands_and_not_as_gzip_does(live: Live, stream: bool) -> None:
    whole = answered(live, "gzip", stream=stream)
    half = answered(live, "gzip:form=truncated", stream=stream)
    pieces = whole.chunks or (whole.body,)
    middle = len(pieces) // 2
    assert (half.chunks or (half.body,)) == (*pieces[:middle], pieces[middle][: len(pieces[middle]) // 2])
    unpacker = zlib.decompressobj(wbits=31)
    unpacked = unpacker.decompress(half.body)
    assert unpacked.startswith(b"".join(EVENTS[:middle]))
    assert (b"".join(EVENTS) if stream else BODY).startswith(unpacked)
    assert not unpacker.eof


def answered(live: Live, fault: str, *, stream: bool = True) -> Response:
    """The response, read as HTTP demands, and nothing after it."""
    with live.connect() as client:
        client.send(live.ask(fault, stream=stream, connection="close"))
        response = client.response()
        assert client.read_rest() == (b"", "eof")
    return response


# Segments


def test_segments_are_really_apart(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = recorded(monkeypatch)
    live.exchange("split:into=pieces,size=50", connection="close")
    body = [moment for moment, data in moments if data.endswith(b"\r\n") and b"HTTP/1.1" not in data][:-1]
    assert len(body) == len(in_pieces(50))
    assert all(later - earlier >= 0.002 for earlier, later in pairwise(body))


def test_segments_are_apart_even_when_the_server_is_late(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Step] = [Head(200, ()), *(Data(b"x", "piece", gap=0.02) for _ in range(4)), End()]

    async def answer(http_request: HttpRequest, namespace: Namespace, options: Options, *_: object) -> PlannedResponse:
        return PlannedResponse(steps, namespace.begin(http_request))

    monkeypatch.setattr("emulator.server.app.answer", answer)
    moments = recorded(monkeypatch)
    live.exchange(connection="close")
    body = [moment for moment, data in moments if b"x" in data and b"HTTP/1.1" not in data]
    assert len(body) == 4
    assert all(later - earlier >= 0.02 for earlier, later in pairwise(body))


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, bytes]]:
    """Every write from now on, and when it was made."""
    writes: list[tuple[float, bytes]] = []
    write = ConnectionHandle.write

    def record(handle: ConnectionHandle, data: bytes) -> None:
        writes.append((time.monotonic(), data))
        write(handle, data)

    monkeypatch.setattr(ConnectionHandle, "write", record)
    return writes


# Steps, pure

STREAM = Head(200, ((b"content-type", b"text/event-stream"),))
FIRST = Data(b'data: {"a":1}\n\n', "content", 1, 0.1)
SECOND = Data('data: {"é":2}\n\n'.encode(), "content", 1, 0.2)
DONE = Data(b"data: [DONE]\n\n", "done", 0, 0.2)
STEPS: list[Step] = [STREAM, FIRST, SECOND, DONE, End(0.2)]


def rewritten(fault: str, steps: Sequence[Step] = STEPS, *, streamed: bool = True) -> list[Step]:
    scene = FaultContext(PROVIDERS[PROVIDER](), None, streamed, b"material")
    return fault_of(fault).transform_steps(list(steps), scene)


PROVIDER = "maxtoken"


def test_pieces_come_one_after_the_other_and_nothing_overtakes_them() -> None:
    start = FIRST.at
    assert rewritten("split:into=pieces,size=8,gap=0.0625", [STREAM, FIRST, SECOND, End(0.2)]) == [
        STREAM,
        Data(b'data: {"', "piece", 0, 0.1, 0.0625),
        Data(b'a":1}\n\n', "packed", 1, start + 0.0625, 0.0625),
        Data(b'data: {"', "piece", 0, start + 2 * 0.0625, 0.0625),
        Data('é":2}\n\n'.encode(), "packed", 1, start + 3 * 0.0625, 0.0625),
        End(start + 3 * 0.0625),
    ]


def test_the_tokens_of_a_whole_body_come_in_shares() -> None:
    head = Head(200, ((b"content-length", b"8"),))
    steps: list[Step] = [head, Data(b'{"a": 1}', "body", 5), End()]
    assert rewritten("split:into=pieces,size=3,gap=0", steps, streamed=False) == [
        head,
        Data(b'{"a', "piece", 1),
        Data(b'": ', "piece", 2),
        Data(b"1}", "packed", 2),
        End(),
    ]


def test_events_that_travel_together_come_when_the_last_is_due() -> None:
    joined = Data(FIRST.data + SECOND.data, "packed", 2, 0.2)
    assert rewritten("coalesce:events=2") == [STREAM, joined, DONE, End(0.2)]


def test_a_cut_counts_events_whatever_the_pieces_they_come_in() -> None:
    pieces = rewritten("split:into=pieces,size=8")
    first = [step for step in pieces if isinstance(step, Data)][:2]
    assert rewritten("reset:after_events=1", pieces) == [STREAM, *first, Reset(first[-1].at)]
    assert rewritten("close:after_tokens=1", pieces) == [STREAM, *first, Close(first[-1].at)]
    assert rewritten("close:after_tokens=0", pieces) == [STREAM, Close(0.0)]


def test_a_truncated_gzip_body_is_over_when_its_last_byte_is_sent() -> None:
    *_, last, end = rewritten("gzip:form=truncated", [STREAM, FIRST, SECOND, DONE, End(9.0)])
    assert isinstance(last, Data)
    assert end == End(last.at)


OTHERS: dict[str, tuple[str, list[Step], bool]] = {
    "the answer is not a stream": ("id_lines", STEPS, False),
    "another fault has split or joined the events": ("id_lines", [STREAM, Data(b"d", "piece"), End()], True),
    "there is no event to change": ("line_ends", [Raw(b"x"), Close()], True),
    "there is nothing to split": ("split:into=characters", [STREAM, FIRST, End()], True),
    "there is nothing to join": ("coalesce", [STREAM, FIRST, End()], True),
    "the answer has no body": ("gzip", [STREAM, Reset()], True),
    "another fault removed the head of the answer": ("bom", [Raw(b"x"), Close()], True),
    "no event has text": ("odd_separators", STEPS, True),
    "there is no event, or none small enough": (
        "large_event:size=1024",
        [STREAM, Data(b'data: {"a":"%b"}\n\n' % (b"." * 1024), "content")],
        True,
    ),
    "the body is already compressed": (
        "gzip",
        [Head(200, ((b"content-encoding", b"gzip"),)), Data(b"x", "packed"), End()],
        True,
    ),
    "there is no JSON object to change": (
        "large_event",
        [STREAM, Data(b"data: {\ndata: }\n\n", "content"), End()],
        True,
    ),
    "the comments would have more than 67108864 bytes": ("comments:place=inside,length=16777216", STEPS, True),
    "the answer would have more than 200000 pieces": ("split", [STREAM, Data(b"." * 200_002), End()], True),
}


def test_an_event_that_is_nothing_but_the_end_is_cut_off_whole() -> None:
    last = Data(b'data: {"choices":[]}\n\n', "content", 1, 0.2, also=frozenset({"usage"}))
    assert rewritten("truncate:after_events=9", [STREAM, FIRST, last, End(0.2)]) == [STREAM, FIRST, End(0.2)]


def test_a_dialect_may_have_nothing_to_send_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.dialects.chat_shape.ChatShape.late_text", WireShape.late_text)
    with pytest.raises(NotApplicable, match="this dialect has no event to send late"):
        rewritten("data_after_done")


@each_of("reason", OTHERS)
def test_what_cannot_be_framed_so_is_reported(reason: str) -> None:
    fault, steps, streamed = OTHERS[reason]
    with pytest.raises(NotApplicable) as raised:
        rewritten(fault, steps, streamed=streamed)
    assert str(raised.value) == reason
