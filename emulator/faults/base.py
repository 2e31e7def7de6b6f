"""What every fault is: a kind, how often it strikes, and its two powers: what is said, and how it travels.

A fault is one small class in one file. It overrides what it needs of `refuse` (an error instead of an answer), `spoil`
(the answer's content) and `rewrite` (the steps on the wire). All three are pure; sockets are the transport's.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from emulator import dice
from emulator.providers.base import Provider
from emulator.reply import Completion, ErrorReply
from emulator.request import ModelRequest
from emulator.wire import Close, Data, End, Hang, Head, Raw, Reset, Step

Family = Literal["status", "waiting", "content", "framing", "connection"]
Seconds = Annotated[float, Field(ge=0, le=86400)]
Count = Annotated[int, Field(ge=0, le=2**31)]


class NotApplicable(Exception):
    """This answer has nothing that the fault could break, for example no stream. It is told, never silently lost."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault may know of the answer that it breaks. `material` seeds its dice."""

    room: Provider
    request: ModelRequest | None
    """None when the request was refused before it was understood."""
    streamed: bool
    material: bytes
    now: float = 0.0
    """Unix time on the namespace's clock."""

    def roll(self, *what: dice.Ingredient) -> int:
        """A whole number in [0, 2**64), the same for the same request, attempt and purpose."""
        return dice.roll(self.material, *what)


class Window(BaseModel):
    """A span of the namespace's time, counted from its start."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    after: Seconds = 0.0
    """Seconds from the start of the namespace until the fault begins."""
    for_: Annotated[Seconds | None, Field(alias="for")] = None
    """Seconds that it lasts; for ever when left out."""

    def holds(self, elapsed: float) -> bool:
        """Whether a moment, in seconds from the start, is within."""
        return self.after <= elapsed and (self.for_ is None or elapsed < self.after + self.for_)


class Fault(BaseModel):
    """One way in which an answer goes wrong."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    family: ClassVar[Family]
    effect: ClassVar[str]
    """What it does on the wire, in one sentence."""
    tests: ClassVar[str]
    """What it tests in a client, in one sentence."""

    kind: str
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The share of requests that it strikes, by seeded dice, independent of other faults."""
    times: Annotated[int, Field(ge=1)] | None = None
    """How often it strikes before it is spent."""
    skip: Count = 0
    """How many requests it lets pass first."""
    window: Window | None = None
    """When it is active; always when left out."""

    def refuse(self, scene: Scene) -> ErrorReply | None:
        """An error to give instead of an answer."""
        return None

    def spoil(self, completion: Completion, scene: Scene) -> Completion:
        """The answer with something wrong in what it says. Raises NotApplicable."""
        return completion

    def rewrite(self, steps: list[Step], scene: Scene) -> list[Step]:
        """The same answer with something wrong in how it travels. Raises NotApplicable."""
        return steps


Stage = Literal["before_headers", "after_headers", "end"]


class Staged(Fault):
    """A fault that strikes at one point of the answer. At most one `after_…` says where."""

    default_stage: ClassVar[Stage] = "before_headers"
    """Where it strikes when nothing is said."""

    after_tokens: Count | None = None
    """After so many tokens of the answer; 0 is after the headers."""
    after_events: Count | None = None
    """After so many events of the stream."""
    after_bytes: Count | None = None
    """After so many bytes of the body, also in the middle of an event."""
    after_seconds: Seconds | None = None
    """So many seconds after the request."""

    @model_validator(mode="after")
    def _says_one_place(self) -> "Staged":
        given = [name for name in STAGES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"needs at most one of {', '.join(STAGES)}, it has {' and '.join(given)}")
        return self

    def cut(self, steps: Sequence[Step]) -> tuple[list[Step], list[Step], float]:
        """What comes before the point where the fault strikes, what would have followed, and the moment of striking.
        A body too short for the point is cut at its end, before the end is told."""
        if self.after_seconds is not None:
            before: list[Step] = [
                step for step in steps if step.at <= self.after_seconds and not isinstance(step, ENDS)
            ]
            return before, list(steps[len(before) :]), self.after_seconds
        index, rest = self._place(steps)
        before = list(steps[:index])
        after = list(steps[index:])
        if rest and isinstance(steps[index], Data):
            step = steps[index]
            assert isinstance(step, Data)
            before.append(replace(step, data=step.data[:rest], tokens=0))
            after[0] = replace(step, data=step.data[rest:])
        moment = before[-1].at if before else 0.0
        return before, after, moment

    def _place(self, steps: Sequence[Step]) -> tuple[int, int]:
        """The index of the first step that is struck, and how many of its bytes still pass."""
        nothing = self.after_tokens is None and self.after_events is None and self.after_bytes is None
        if nothing and self.default_stage == "before_headers":
            return 0, 0
        head = next((index for index, step in enumerate(steps) if isinstance(step, Head)), -1)
        if nothing and self.default_stage == "after_headers":
            return head + 1, 0
        tokens = events = size = 0
        first = head + 1  # where the event begins of which this step is a piece
        for index, step in enumerate(steps[head + 1 :], head + 1):
            if isinstance(step, ENDS):
                return index, 0
            if not isinstance(step, Data | Raw) or nothing:
                continue
            if self.after_tokens is not None and tokens >= self.after_tokens and _delivers(step):
                return first, 0
            if self.after_events is not None and events >= self.after_events:
                return index, 0
            if self.after_bytes is not None and size + len(step.data) > self.after_bytes:
                return index, self.after_bytes - size
            if isinstance(step, Data) and step.part == "body" and self.after_tokens is not None:
                # A whole body has no events: the share of its tokens is the share of its bytes.
                share = self.after_tokens / max(1, step.tokens)
                return index, min(len(step.data), int(len(step.data) * share))
            is_piece = isinstance(step, Data) and step.part == "piece"
            delivered = step.tokens if isinstance(step, Data) else 0
            tokens += delivered
            events += not is_piece
            size += len(step.data)
            if delivered or not is_piece:
                first = index + 1
        return len(steps), 0


STAGES = ("after_tokens", "after_events", "after_bytes", "after_seconds")
ENDS = (End, Close, Reset, Hang)


def _delivers(step: Step) -> bool:
    return isinstance(step, Data) and (step.tokens > 0 or step.part in ("body", "finish"))


# What faults are made of


def delayed(steps: Sequence[Step], seconds: float) -> list[Step]:
    """The same steps, all of them later."""
    return [replace(step, at=step.at + seconds) for step in steps]


def head_of(steps: Sequence[Step]) -> Head:
    """The head of an answer. Raises NotApplicable when another fault took it."""
    head = next((step for step in steps if isinstance(step, Head)), None)
    if head is None:
        raise NotApplicable("another fault took the head of the answer")
    return head


def with_headers(head: Head, **headers: str | None) -> Head:
    """The head with headers set, or taken away (None). Underscores stand for hyphens."""
    changed = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    kept = [header for header in head.headers if header[0] not in changed]
    added = [(name, value.encode("latin-1")) for name, value in changed.items() if value is not None]
    return replace(head, headers=(*kept, *added))


def need_stream(scene: Scene) -> None:
    """Raises NotApplicable when the answer is not a stream."""
    if not scene.streamed:
        raise NotApplicable("the answer is not a stream")


def need_whole(scene: Scene) -> None:
    """Raises NotApplicable when the answer is a stream."""
    if scene.streamed:
        raise NotApplicable("the answer is a stream")


def is_event(step: Step) -> bool:
    """Whether a step is an event of the stream that carries JSON."""
    return isinstance(step, Data) and step.part not in ("body", "comment", "done", "piece", "packed")


def events(steps: Sequence[Step], *parts: str) -> Iterator[tuple[int, Data]]:
    """The events that carry JSON, with their places; only of these parts when any are named."""
    for index, step in enumerate(steps):
        if isinstance(step, Data) and is_event(step) and (not parts or step.part in parts):
            yield index, step


def edited_event(step: Data, change: Callable[[Any], Any], scene: Scene) -> Data:
    """An event whose JSON was changed. `change` gets the chunk and gives another, or changes it in place (None)."""
    native = _read(step.data.removeprefix(b"data: "))
    changed = change(native)
    return replace(step, data=b"data: %b\n\n" % scene.room.dumps(native if changed is None else changed))


def edited_body(steps: Sequence[Step], change: Callable[[Any], Any], scene: Scene) -> list[Step]:
    """A whole answer whose JSON was changed, with the Content-Length that fits."""
    step = next((step for step in steps if isinstance(step, Data) and step.part == "body"), None)
    if step is None:
        raise NotApplicable("the answer has no body")
    native = _read(step.data)
    changed = change(native)
    return with_body(steps, scene.room.dumps(native if changed is None else changed))


def with_body(steps: Sequence[Step], body: bytes, **headers: str | None) -> list[Step]:
    """The same answer with another whole body, and the Content-Length that fits."""
    head = with_headers(head_of(steps), content_length=str(len(body)), **headers)
    tokens = sum(step.tokens for step in steps if isinstance(step, Data))
    last = max((step.at for step in steps), default=0.0)
    return [head, Data(body, "body", tokens, last), End(last)]


def _read(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        raise NotApplicable("another fault left no JSON to change") from None


def choices_of(chunk: Any) -> list[dict[str, Any]]:
    """The choices of a chunk or a whole body, wherever the provider puts them."""
    inner = chunk.get("model_response", chunk)
    found: list[dict[str, Any]] = inner.get("choices") or []
    return found
