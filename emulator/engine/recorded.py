"""Replays a recorded answer, either with its original timing or paced by its tokens."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from emulator import tokens
from emulator.dialects.base import Dialect, Meaning
from emulator.dialects.usage import usage_in
from emulator.engine.endings import error_message
from emulator.engine.rendering import paced
from emulator.engine.stages import Admitted, RequestContext
from emulator.pace import Pace
from emulator.recording.readable import natives_of
from emulator.recording.wire_file import Segment, WireRecord
from emulator.reply import Usage
from emulator.request import ModelRequest
from emulator.wire import Close, Data, End, FrameRun, Framing, Head, Header, Part, PlannedBody, Raw, Reset, Step, single

PARTS: tuple[tuple[Meaning, Part], ...] = (
    ("content", "content"),
    ("reasoning", "reasoning"),
    ("call_index", "tool_calls"),
    ("finish", "finish"),
    ("usage", "usage"),
)
"""The meaning of an event by what it contains, most important first."""


def replayed(wire: WireRecord, admitted: Admitted) -> PlannedBody:
    """Returns a recorded answer. A pace in the file replaces its timing; otherwise the server's speed scales it."""
    context, exchange = admitted.context, admitted.context.exchange
    exchange.status = wire.status
    exchange.outcome = "error" if wire.status >= 400 else "reply" if admitted.operation.is_completion else "listing"
    if wire.status >= 400:
        exchange.message = error_message(wire.body)
    else:
        _charge(
            used_in(wire, context.dialect, admitted.request, is_completion=admitted.operation.is_completion), admitted
        )
    match, scenario = admitted.match, context.namespace.compiled.scenario
    assert match is not None
    is_cut_anew = scenario.defaults.segments == "events" and wire.is_stream and wire.framing != "raw"
    segments = events_of(wire, context.dialect) if is_cut_anew else wire.segments
    runs = tuple(runs_of(segments, context.dialect, is_stream=wire.is_stream))
    if match.rule.pace is not None and wire.ended == "complete" and wire.framing != "raw":
        return _paced_anew(wire, runs, match.rule.pace.at_speed(context.options.speed), context)
    moments = [segment.at / context.options.speed for segment in segments]
    steps = tuple(exact_steps(wire, runs, moments, context.options.speed))
    return PlannedBody(wire.status, headers_of(wire), runs, streamed=wire.framing == "chunks", exact=steps)


def _paced_anew(wire: WireRecord, runs: tuple[FrameRun, ...], pace: Pace, context: RequestContext) -> PlannedBody:
    """Returns a recorded answer with other timing. Segments that are due together remain separate."""
    is_open = wire.is_stream or wire.framing == "chunks"
    planned = paced(PlannedBody(wire.status, (), runs, is_open), pace, context.dialect, context.entropy)
    steps = planned.steps()
    first, datas, end = steps[0], steps[1:-1], steps[-1]
    if wire.framing == "length" and len(datas) > len(runs):  # heartbeats, which its length does not include
        wire = replace(wire, framing="chunks")
    assert wire.framing != "raw"
    head = Head(wire.status, headers_of(wire), first.at, wire.framing)
    return replace(planned, headers=head.headers, exact=(head, *datas, End(end.at, trailers_of(wire))))


def used_in(wire: WireRecord, dialect: Dialect, request: ModelRequest | None, *, is_completion: bool) -> Usage | None:
    """Returns the usage that an answer reports; None if it reports none."""
    natives = natives_of(wire, dialect)
    if is_completion or request is None or len(natives) != 1:
        return usage_in(natives, dialect)
    try:
        usage = dialect.spent(natives[0], request)
    except (KeyError, TypeError):  # it is not what this provider is known to send
        return None
    return usage if usage is not None and isinstance(usage.prompt, int) else None


def _charge(usage: Usage | None, admitted: Admitted) -> None:
    """Records the usage of the answer: the recorded one, or a scenario's."""
    if usage is None:
        return
    context, exchange = admitted.context, admitted.context.exchange
    exchange.usage = usage
    exchange.cost = context.provider.cost(usage, admitted.request.model, exchange.received)
    if admitted.lease is not None:
        admitted.lease.charge(usage, exchange.cost, exchange.received)


def headers_of(wire: WireRecord) -> tuple[Header, ...]:
    """Returns the recorded headers, with a Content-Length if the body has one."""
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in wire.headers]
    headers = [header for header in headers if header[0] not in (b"content-length", b"transfer-encoding", b"date")]
    if wire.framing == "length":
        declared = len(wire.body) + (0 if wire.ended == "complete" else 1)  # an interrupted one is incomplete
        headers.append((b"content-length", b"%d" % declared))
    return tuple(headers)


def exact_steps(wire: WireRecord, runs: Sequence[FrameRun], moments: Sequence[float], speed: float) -> Iterator[Step]:
    """Yields the steps of the answer as it was recorded."""
    if wire.framing == "raw":
        yield from (Raw(segment.data, at) for segment, at in zip(wire.segments, moments, strict=True))
    else:
        framing: Framing = wire.framing
        yield Head(wire.status, headers_of(wire), wire.head_at / speed, framing)
        for run, at in zip(runs, moments, strict=True):
            yield Data(run.pieces[0], run.part, run.tokens[0], at, also=run.also)
    at = wire.ended_at / speed
    if wire.ended == "reset":
        yield Reset(at)
    elif wire.ended == "closed" or wire.framing == "raw":
        yield Close(at)
    else:
        yield End(at, trailers_of(wire))


def trailers_of(wire: WireRecord) -> tuple[Header, ...]:
    """Returns the recorded trailers."""
    return tuple((name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in wire.trailers)


def events_of(wire: WireRecord, dialect: Dialect) -> tuple[Segment, ...]:
    """Splits a stream into its events, each at the time when its last byte arrived."""
    parts = dialect.split(wire.body)
    frames = [part + b"".join(parts[place + 1 : place + 2]) for place, part in enumerate(parts) if place % 2 == 0]
    ends, position = [], 0
    for segment in wire.segments:
        position += len(segment.data)
        ends.append((position, segment.at))
    made, position, number = [], 0, 0
    for frame in frames:
        position += len(frame)
        while number < len(ends) - 1 and ends[number][0] < position:
            number += 1
        if frame:
            made.append(Segment(ends[number][1], frame))
    return tuple(made)


def runs_of(
    segments: Sequence[Segment], dialect: Dialect, *, is_stream: bool, count: Callable[[str], int] = tokens.count
) -> Iterator[FrameRun]:
    """Converts segments to frames that faults and paces understand. `count` counts the tokens of a text."""
    for segment in segments:
        if not is_stream:
            yield single("body", segment.data)
            continue
        part, brought, also = meaning_of(segment.data, dialect, count)
        yield single(part, segment.data, brought, also)


def meaning_of(
    data: bytes, dialect: Dialect, count: Callable[[str], int] = tokens.count
) -> tuple[Part, int, frozenset[Part]]:
    """Returns a frame's main meaning, its number of tokens, and its other meanings."""
    if not data.endswith((b"\n\n", b"\r\r", b"\r\n\r\n")):
        return "piece", 0, frozenset()
    found: list[Part] = []
    brought = 0
    if dialect.terminator is not None and data.strip() == dialect.terminator.strip():
        return "done", 0, frozenset()
    events = [part for part in dialect.split(data)[::2] if part]
    if events and all(event.startswith(b":") for event in events):
        return "comment", 0, frozenset()
    if len(events) > 1:
        return "packed", sum(meaning_of(event + b"\n\n", dialect, count)[1] for event in events), frozenset()
    event = dialect.read_frame(events[0]) if events else None
    if event is None:
        return "frame", 0, frozenset()
    for meaning, part in PARTS:
        values = [place.value for place in dialect.places(event.native, meaning)]
        if any(value not in (None, "") for value in values):
            found.append(part)
            if part in ("content", "reasoning"):
                brought += sum(count(value) for value in values if isinstance(value, str))
    if "tool_calls" in found and not brought:
        brought = 1
    return (found[0], brought, frozenset(found[1:])) if found else ("frame", 0, frozenset())
