"""Helpers for faults: reading and changing the steps of an answer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from emulator.dialects.base import Event, Meaning, Place
from emulator.faults.base import FaultContext, NotApplicable, head_of
from emulator.wire import Afterwards, Close, Data, End, Head, Part, Step


def delayed(steps: Sequence[Step], seconds: float) -> list[Step]:
    """The same steps, all delayed."""
    return [replace(step, at=step.at + seconds) for step in steps]


def with_headers(head: Head, **headers: str | None) -> Head:
    """The head with headers set or removed (None). Underscores stand for hyphens."""
    changed = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    kept = [header for header in head.headers if header[0] not in changed]
    added = [(name, value.encode("latin-1")) for name, value in changed.items() if value is not None]
    return replace(head, headers=(*kept, *added))


def need_stream(context: FaultContext) -> None:
    """Raises NotApplicable if the answer is not a stream."""
    if not context.streamed:
        raise NotApplicable("the answer is not a stream")


def need_whole(context: FaultContext) -> None:
    """Raises NotApplicable if the answer is a stream."""
    if context.streamed:
        raise NotApplicable("the answer is a stream")


def need_answer(context: FaultContext) -> None:
    """Raises NotApplicable if no model answers."""
    if not context.answered:
        raise NotApplicable("the answer doesn't come from a model")


def is_event(step: Step) -> bool:
    """Whether a step is a stream event that carries JSON."""
    return isinstance(step, Data) and step.part not in ("body", "comment", "piece", "packed") and not is_mark(step)


def is_mark(step: Data) -> bool:
    """Whether a step is the terminator of a stream, which isn't JSON."""
    return step.part == "done" and b"{" not in step.data


def events(steps: Sequence[Step], *parts: Part) -> Iterator[tuple[int, Data]]:
    """The events that carry JSON, with their indexes; only those of the given parts, if any."""
    for index, step in enumerate(steps):
        if isinstance(step, Data) and is_event(step) and (not parts or step.means(*parts)):
            yield index, step


def edited_event(step: Data, change: Callable[[Any], Any], context: FaultContext) -> Data:
    """An event with changed JSON. `change` gets the chunk and returns another, or changes it in place (None)."""
    event = event_of(step, context)
    changed = change(event.native)
    return replace(step, data=context.dialect.frame(event.native if changed is None else changed, event.name))


def edited_body(steps: Sequence[Step], change: Callable[[Any], Any], context: FaultContext) -> list[Step]:
    """A whole answer with changed JSON, and a matching Content-Length if it has one."""
    place, step = body_of(steps)
    native = chunk_of(step, context)
    changed = change(native)
    return with_body_at(steps, place, context.dialect.dumps(native if changed is None else changed))


def edited(steps: Sequence[Step], change: Callable[[Any], Any], context: FaultContext) -> list[Step]:
    """An answer with changed JSON: that of every event, or of the body."""
    if not context.streamed:
        return edited_body(steps, change, context)
    return [
        edited_event(step, change, context) if isinstance(step, Data) and is_event(step) else step for step in steps
    ]


def body_of(steps: Sequence[Step]) -> tuple[int, Data]:
    """The body of a whole answer, with its index. Raises NotApplicable."""
    for place, step in enumerate(steps):
        if isinstance(step, Data) and step.part == "body":
            return place, step
    raise NotApplicable("another fault removed the body of the answer")


def with_body_at(steps: Sequence[Step], place: int, body: bytes) -> list[Step]:
    """The same answer with another body, and a matching Content-Length if it has one."""
    changed = list(steps)
    for index, step in enumerate(steps):
        if isinstance(step, Head) and any(name == b"content-length" for name, _ in step.headers):
            changed[index] = with_headers(step, content_length=str(len(body)))
        if index == place and isinstance(step, Data):
            changed[index] = replace(step, data=body)
    return changed


def with_body(steps: Sequence[Step], body: bytes, **headers: str | None) -> list[Step]:
    """The same answer with another whole body and a matching Content-Length."""
    head = with_headers(head_of(steps), content_length=str(len(body)), **headers)
    tokens = sum(step.tokens for step in steps if isinstance(step, Data))
    last = max((step.at for step in steps), default=0.0)
    return [head, Data(body, "body", tokens, last), End(last)]


def of_stranger(steps: Sequence[Step], headers: Sequence[tuple[str, str]]) -> list[Step]:
    """An error as another server would send it: without the provider's headers."""
    _, step = body_of(steps)
    head = head_of(steps)
    own = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    length = (b"content-length", b"%d" % len(step.data))
    return [replace(head, headers=(*own, length)) if each is head else each for each in steps]


def in_chunks(head: Head) -> Head:
    """The head of a chunked body, whose length is unknown."""
    return replace(with_headers(head, content_length=None), framing="chunks")


def repeated(data: bytes, count: int, interval: float, start: float = 0.0) -> list[Step]:
    """What is sent repeatedly while the client waits, after each interval."""
    return [Data(data, "comment", 0, start + interval * (number + 1)) for number in range(count)]


def closed(steps: list[Step]) -> list[Step]:
    """The answer with FIN instead of the end that HTTP requires."""
    return [Close(step.at) if isinstance(step, End) else step for step in steps]


def afterwards(steps: list[Step], **how: Any) -> list[Step]:
    """The answer, after which the connection behaves this way. Raises NotApplicable if it closes earlier."""
    end = next((index for index, step in enumerate(steps) if isinstance(step, End)), None)
    if end is None:
        raise NotApplicable("the connection closes after this answer")
    before = steps[end - 1] if end else None
    if isinstance(before, Afterwards):
        return [*steps[: end - 1], replace(before, **how), *steps[end:]]
    return [*steps[:end], Afterwards(**how, at=steps[end].at), *steps[end:]]


def announced(steps: list[Step]) -> list[Step]:
    """The answer with headers that say the connection will close."""
    if not any(isinstance(step, Head) for step in steps):
        raise NotApplicable("no headers are sent that could announce it")
    return [with_headers(step, connection="close") if isinstance(step, Head) else step for step in steps]


def unfinished(steps: Sequence[Step], context: FaultContext) -> list[Step]:
    """A stream without any sign of its end: finish reason, usage, terminator, and the end of its last block."""
    kept: list[Step] = []
    for step in steps:
        if isinstance(step, Data) and step.means("finish", "usage", "done"):
            if not step.means("reasoning", "content", "tool_calls"):
                continue
            native = context.dialect.without_end(event_of(step, context).native)
            if native is None:
                continue
            step = replace(step, data=context.dialect.frame(native), also=frozenset())
        kept.append(step)
    last = max(
        (place for place, step in enumerate(kept) if not (isinstance(step, Data) and step.part == "frame")), default=-1
    )
    return kept[: last + 1]


def deltas(steps: Sequence[Step], nth: int | None) -> list[tuple[int, Data]]:
    """The deltas with their indexes: all, or the n-th, counted from 1. Raises NotApplicable."""
    found = list(events(steps, "reasoning", "content", "tool_calls"))
    if len(found) < (nth or 1):
        raise NotApplicable(f"the stream has {len(found)} deltas")
    return found if nth is None else [found[nth - 1]]


def event_of(step: Data, context: FaultContext) -> Event:
    """A parsed event. Raises NotApplicable."""
    event = context.dialect.read_frame(step.data)
    if event is None:
        raise NotApplicable("there is no JSON object to change")
    return event


def chunk_of(step: Data, context: FaultContext) -> dict[str, Any]:
    """The parsed JSON of an event or body. Raises NotApplicable."""
    if step.part != "body":
        return event_of(step, context).native
    native = context.dialect.read_body(step.data)
    if native is None:
        raise NotApplicable("there is no JSON object to change")
    return native


def numbered(event: dict[str, Any], before: Sequence[Step], context: FaultContext) -> dict[str, Any]:
    """An event with the next number, in streams whose events are numbered."""
    places = list(context.dialect.places(event, "number"))
    last = last_number(before, context) if places else None
    for place in places:
        place.put(0 if last is None else last + 1)
    return event


def last_number(steps: Sequence[Step], context: FaultContext) -> int | None:
    """The last event number."""
    for _, step in reversed(list(events(steps))):
        event = context.dialect.read_frame(step.data)
        numbers: list[int] = [place.value for place in context.dialect.places(event.native, "number")] if event else []
        if numbers:
            return numbers[0]
    return None


def placed(native: dict[str, Any], context: FaultContext, *meanings: Meaning) -> list[Place]:
    """Where these meanings appear in an event or body."""
    return list(context.dialect.places(native, *meanings))
