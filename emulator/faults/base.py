"""The base class of faults: a kind, how often it applies, and what it can change.

A fault is one small class in one file. It overrides what it needs of `refuse` (an error instead of an answer),
`mutate_request`, `mutate_completion` (the answer's content) and `transform_steps` (the steps on the wire). All are
pure; only the server touches sockets.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from emulator import seeded
from emulator.dialects.base import Dialect
from emulator.errors import did_you_mean, shortened
from emulator.plugins import moved
from emulator.providers import PROVIDERS
from emulator.providers.base import ERROR_NAMES, Provider
from emulator.records import record
from emulator.reply import Completion, ErrorReply
from emulator.request import ModelRequest
from emulator.wire import BreakHandshakes, Close, Data, End, Handshake, Hang, Head, PlannedBody, Raw, Reset, Step

Family = Literal["status", "waiting", "content", "framing", "connection"]
Delay = Annotated[float, Field(ge=0, le=86400)]
NonNegative = Annotated[int, Field(ge=0, le=2**31)]
Times = Annotated[int, Field(ge=0, le=100_000)]
"""The number of repetitions, each sent as a separate step."""
Interval = Annotated[float, Field(gt=0, le=86400)]
MAX_LIGHT = 1000
"""The most pieces or bytes to add on the event loop; beyond that, a thread does it."""


def known_errors() -> list[str]:
    """Every error name: the common ones, then those of individual providers."""
    extra = {name: None for provider in PROVIDERS.values() for name in provider.errors if name not in ERROR_NAMES}
    return [*ERROR_NAMES, *extra]


def _known_error(name: str) -> str:
    known = known_errors()
    if name not in known:
        raise ValueError(f"is '{shortened(name)}'.{did_you_mean(name, known)} Errors: {', '.join(known)}")
    return name


ErrorName = Annotated[str, AfterValidator(_known_error), WithJsonSchema({"type": "string", "enum": known_errors()})]
"""An error name, such as `overloaded`, or one that only one provider has."""


class NotApplicable(Exception):
    """The fault can't act on this answer, for example because it isn't a stream. The journal notes it."""


@record
class FaultContext:
    """What a fault knows about the answer it breaks. `entropy` seeds its random choices."""

    provider: Provider
    request: ModelRequest | None
    """None if the request was rejected before it was parsed."""
    streamed: bool
    entropy: bytes
    now: float = 0.0
    """Unix time on the namespace's clock."""
    answered: bool = True
    """Whether a model answers; otherwise it is an error, or the provider's own list."""
    speaks_tls: bool = False
    """Whether the server uses TLS."""

    @property
    def dialect(self) -> Dialect:
        """The dialect of the request's endpoint, which reads and changes events and bodies."""
        return self.provider.speaking(self.request.http_request.dialect if self.request is not None else "")

    def error(self, reply: ErrorReply) -> PlannedBody:
        """An error as the provider would send it for this request."""
        http_request = self.request.http_request if self.request is not None else None
        return self.provider.error(reply, http_request, self.provider.request_id(self.now, self.entropy))

    def roll(self, *what: seeded.Entropy) -> int:
        """An integer in [0, 2**64), the same for the same request, attempt and purpose."""
        return seeded.roll(self.entropy, *what)


class Window(BaseModel):
    """A period of time, counted from the start of the namespace."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)

    after: Delay = 0.0
    """Seconds from the start of the namespace until the fault begins."""
    for_: Annotated[Delay | None, Field(alias="for")] = None
    """Duration in seconds; by default, forever."""

    def holds(self, elapsed: float) -> bool:
        """Whether a time, in seconds from the start, is inside the window."""
        return self.after <= elapsed and (self.for_ is None or elapsed < self.after + self.for_)


class Fault(BaseModel):
    """One way to break an answer."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)

    family: ClassVar[Family]
    effect: ClassVar[str]
    """What it does on the wire, in one sentence."""
    tests: ClassVar[str]
    """What it tests in a client, in one sentence."""
    kind: str
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The share of requests that it applies to (seeded random, independent of other faults)."""
    times: Annotated[int, Field(ge=1)] | None = None
    """How many times it applies before it is used up."""
    skip: NonNegative = 0
    """How many requests it lets through first."""
    window: Window | None = None
    """When it is active; by default, always."""

    @property
    def is_heavy(self) -> bool:
        """Whether applying it may block the event loop too long, because one of its numbers is large."""
        numbers = (value for name, value in self if name not in ("times", "skip"))
        return any(isinstance(value, int) and value > MAX_LIGHT for value in numbers)

    def refuse(self, context: FaultContext) -> ErrorReply | None:
        """An error to send instead of an answer."""
        return None

    def mutate_request(self, request: ModelRequest) -> ModelRequest:
        """Returns the request as the provider misreads it when it renders the answer."""
        return request

    def mutate_completion(self, completion: Completion, context: FaultContext) -> Completion:
        """Returns the answer with its content broken. Raises NotApplicable. Called only for answers of a model; a
        fault that overrides nothing else calls `need_answer` in `transform_steps`.
        """
        return completion

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        """Returns the same answer with its transport broken. Raises NotApplicable."""
        return steps


class ListenerFault(Fault):
    """A fault of the listening socket, which affects every client. Requests may ask for it only within limits."""

    seconds: Delay = 1.0
    """Duration in seconds."""


class HandshakeFault(ListenerFault):
    """A fault below HTTP, in TLS handshakes. Set for the server, a scenario or a namespace, it breaks handshakes and
    counts them. A request or rule that asks for it is reset, and the following handshakes are broken."""

    how: ClassVar[Handshake]

    count: Annotated[int, Field(ge=1, le=10_000)] = 1
    """The number of handshakes, if a request or a rule asks for it."""
    seconds: Delay = 60.0
    """Real time after which handshakes succeed again, even if fewer have arrived."""

    def transform_steps(self, steps: list[Step], context: "FaultContext") -> list[Step]:
        if not context.speaks_tls:
            raise NotApplicable("this server doesn't use TLS: `serve --tls` and `run --intercept` do")
        moment = steps[0].at if steps else 0.0
        return [BreakHandshakes(self.how, self.count, self.seconds, moment), Reset(moment)]


Stage = Literal["before_headers", "after_headers", "end"]


class Staged(Fault):
    """A fault that acts at one point of the answer. At most one `after_…` says where."""

    default_stage: ClassVar[Stage] = "before_headers"
    """Where it acts by default."""

    after_tokens: NonNegative | None = None
    """Act after this many tokens of the answer; 0 is right after the headers."""
    after_events: NonNegative | None = None
    """Act after this many events of the stream."""
    after_bytes: NonNegative | None = None
    """Act after this many bytes of the body, even inside an event."""
    after_seconds: Delay | None = None
    """Act this many seconds after the request."""

    @model_validator(mode="after")
    def _says_one_place(self) -> "Staged":
        given = [name for name in STAGES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"takes at most one of {', '.join(STAGES)}, but has {' and '.join(given)}")
        return self

    def cut(self, steps: Sequence[Step]) -> tuple[list[Step], list[Step], float]:
        """The steps before the point where the fault acts, the steps after it, and the time at which it acts. A body
        that is too short for the point is cut at its end, before the end is sent."""
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

    def cut_body(self, steps: Sequence[Step]) -> tuple[list[Step], list[Step], float]:
        """Like `cut`, but never before the head is sent. Raises NotApplicable if there is no head."""
        before, after, moment = self.cut(steps)
        head = head_of(steps)
        if head in before:
            return before, after, moment
        index = steps.index(head) + 1
        return list(steps[:index]), list(steps[index:]), head.at

    def _place(self, steps: Sequence[Step]) -> tuple[int, int]:
        """The index of the first affected step, and how many of its bytes are still sent."""
        nothing = self.after_tokens is None and self.after_events is None and self.after_bytes is None
        if nothing and self.default_stage == "before_headers":
            return 0, 0
        head = next((index for index, step in enumerate(steps) if isinstance(step, Head)), -1)
        if nothing and self.default_stage == "after_headers":
            return head + 1, 0
        end = next(index for index, step in enumerate(steps) if isinstance(step, ENDS))
        tokens = events = size = 0
        first = head + 1  # where the event that contains this step begins
        for index, step in enumerate(steps[head + 1 : end], head + 1):
            if not isinstance(step, Data | Raw) or nothing:
                continue
            if self.after_tokens is not None and tokens >= self.after_tokens and _delivers(step):
                return first, 0
            if self.after_events is not None and events >= self.after_events:
                return index, 0
            if self.after_bytes is not None and size + len(step.data) > self.after_bytes:
                return index, self.after_bytes - size
            if isinstance(step, Data) and step.part == "body" and self.after_tokens is not None:
                # A whole body has no events: cut its bytes in proportion to its tokens.
                share = self.after_tokens / max(1, step.tokens)
                return index, min(len(step.data), int(len(step.data) * share))
            is_piece = isinstance(step, Data) and step.part == "piece"
            delivered = step.tokens if isinstance(step, Data) else 0
            tokens += delivered
            events += not is_piece
            size += len(step.data)
            if delivered or not is_piece:
                first = index + 1
        return end, 0


STAGES = ("after_tokens", "after_events", "after_bytes", "after_seconds")
ENDS = (End, Close, Reset, Hang)


def _delivers(step: Step) -> bool:
    return isinstance(step, Data) and (step.tokens > 0 or step.means("body", "finish"))


def head_of(steps: Sequence[Step]) -> Head:
    """The head of an answer. Raises NotApplicable if another fault removed it."""
    head = next((step for step in steps if isinstance(step, Head)), None)
    if head is None:
        raise NotApplicable("another fault removed the head of the answer")
    return head


def __getattr__(name: str) -> Any:
    return moved(__name__, name, "emulator.faults.steps")
