"""The base class of dialects, and how to write one. Faults, journal and timing work through it and know no dialect.

A dialect is the wire format of an API family. A vendor (a `Provider`) speaks one or more of them, and its table of
operations says which one each endpoint speaks (`Operation.dialect`). To add a dialect, subclass `Dialect` in a new
file:

1. `dialect`: its name in the table of operations.
2. Input: `parse(http_request, key)` turns a body into a `ModelRequest`; raise `provider_error(…)` for a bad one. Parts
   of a body that form one message become one `Message`; each tool result becomes a message with role `tool`.
3. Output: `body(completion, request)` returns the JSON of a whole answer; `stream(completion, request)` returns the
   runs of a stream. Mark every frame by its meaning (`wire.Part`): `role` opens the stream, `frame` begins or ends a
   block, `reasoning`, `content` and `tool_calls` are deltas, and `finish`, `usage` and `done` end it. If a frame has
   several meanings, put one into `part` and the others into `also`. Text is sent as prepared runs: `around(native)`
   returns what precedes and follows a piece, `tokens.pieces` the pieces.
4. `REASONS`: its words for the neutral finish reasons; a reason that is not listed is sent unchanged.
5. Its wire shape: override those methods of `WireShape` whose defaults don't fit, such as `event_name` if events have
   an `event:` line, `terminator` and `without_end` for how a stream ends, and `places` for where things are in the
   JSON. A fault that finds nothing raises `NotApplicable` with a reason; no fault needs to be edited.
6. `error_frame(form, row, body)`: an error in a stream that has begun; `error_envelope` if error responses differ from
   the vendor's own.
7. `make_id` if ids have a particular form, and `heartbeat` for what is sent while the client waits.

Put a vendor's differences into a subclass and list it in `Provider.dialects`. In a file of its own, listed by `Lazy`,
it is loaded when a request speaks it. For an operation without a model's answer, such as embeddings, override `result`
and set `is_completion=False`.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Generic

import orjson
import pydantic

from emulator import seeded, tokens
from emulator.dialects.vendor import (
    PLAIN,
    CachePoint,
    ErrorSpec,
    Habits,
    Mark,
    Plain,
    ProviderError,
    Vendor,
    VendorT,
    plain_call_id,
    provider_error,
    text_turns,
)
from emulator.dialects.wire_shape import DONE, Edge, Event, Meaning, Place, WireShape
from emulator.reply import Choice, Completion, Reply, Usage
from emulator.request import HttpRequest, ModelRequest
from emulator.wire import NOTHING_ELSE, FrameRun, Header, Part, PlannedBody, single

__all__ = [
    "DONE", "PIECE", "PIECE_IN_JSON", "PLAIN", "CachePoint", "Dialect", "Edge", "ErrorSpec", "Event", "Habits", "Mark",
    "Meaning", "Place", "Plain", "ProviderError", "Vendor", "VendorT", "WireShape", "delivered", "opening_of",
    "plain_call_id", "provider_error", "text_turns",
]  # fmt: skip

MAX_HEARTBEATS = 100_000
PIECE = f"\x1f{secrets.token_hex(16)}\x1f"
"""A placeholder for the piece that differs between frames, so that the rest of the frame is written only once. It is
random, so no request can contain it."""
PIECE_IN_JSON = orjson.dumps(PIECE)[1:-1]


class Dialect(WireShape, Generic[VendorT]):
    """The wire format of an API family, as one provider speaks it. `Provider.dialects` names the class."""

    dialect: ClassVar[str]
    """Its name in the table of operations."""
    REASONS: ClassVar[Mapping[str, str]] = {}
    """This dialect's words for the neutral finish reasons, where they differ."""
    id_form: ClassVar[str] = "{}"
    """The format of ids; `{}` is replaced with 24 random letters and digits."""
    is_repeatable: ClassVar[bool] = True
    """Whether a repeated request gets the same answer except for its id, time and request id."""
    has_item_ids: ClassVar[bool] = False
    """Whether such an answer also has further new ids: `item_ids`."""
    has_stored: ClassVar[bool] = False
    """Whether requests may refer to stored responses: `stored_ids`."""
    fails_as_a_whole: ClassVar[bool] = False
    """Whether `failure` reports an error in a stream instead of a separate event."""
    weighs_words: ClassVar[bool] = True
    """Whether what `parse` makes of a request depends on the texts of plain messages. If False, `parse` is skipped
    for a request that differs from an earlier one only in these texts. Each subclass must declare it.
    """

    def __init_subclass__(cls, **given: Any) -> None:
        super().__init_subclass__(**given)
        cls.weighs_words = cls.__dict__.get("weighs_words", True)

    def __init__(self, provider: VendorT) -> None:
        self.provider = provider

    def dumps(self, value: Any) -> bytes:
        return self.provider.dumps(value)

    # Requests

    def key_in(self, http_request: HttpRequest) -> str:
        """Returns the key of a request. Raises ProviderError if it is missing or in the wrong place."""
        return self.key_of(http_request.headers)

    def key_of(self, headers: Mapping[str, str]) -> str:
        """Returns the key in these headers. Raises ProviderError if it is missing or in the wrong place."""
        return self.provider.authenticate(headers)

    def body_of(self, operation: str) -> type[pydantic.BaseModel] | None:
        """The model of an operation's body, which also declares what each parameter does; None if it is not
        declared."""
        body: type[pydantic.BaseModel] | None = getattr(self, "Body", None)
        return body

    @property
    def refuses_unknown_members(self) -> bool:
        """Whether unknown members of a body are rejected."""
        return bool(getattr(self.provider.settings, "strict_members", False))

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        """Parses a request body. Raises ProviderError with this provider's own message."""
        raise NotImplementedError

    def plain(self, native: Any) -> Plain | None:
        """Splits a body whose conversation consists only of texts; None for any other body."""
        return None

    def model_habits(self) -> Habits:
        """The habits of the models behind this dialect, which affect every answer."""
        return self.provider.habits

    def prompt_parts(self, request: ModelRequest) -> tuple[int, Sequence[str]]:
        """The prompt of a request for counting: a fixed number of tokens, and the texts."""
        return self.provider.prompt_texts(request)

    def cache_points(self, request: ModelRequest) -> Sequence[CachePoint] | None:
        """Where a request asks for its prompt to be cached; None: the provider decides."""
        return None

    def check_prompt(self, request: ModelRequest, prompt: int) -> None:
        """Raises ProviderError if the prompt and the answer don't fit into the model's context."""
        self.provider.check_context_length(request, prompt)

    # The answer

    def adapt(self, reply: Reply, request: ModelRequest) -> Reply:
        """Reduces a reply to what this dialect can express."""
        return reply

    def unshown(self, reply: Reply) -> tuple[str, ...]:
        """The kinds of blocks in a reply that this dialect can't show."""
        return ()

    def make_id(self, entropy: bytes) -> str:
        """Returns an id in this dialect's format, made from 32 random bytes."""
        return self.id_form.format(seeded.letters(entropy, 24))

    def item_ids(self, id: str, choices: Sequence[Choice]) -> list[str]:
        """Returns the further ids in an answer with this id, each derived from it."""
        raise NotImplementedError

    def reason(self, choice: Choice) -> str:
        """Why an answer ended, in this dialect's words."""
        return self.REASONS.get(choice.finish_reason, choice.finish_reason)

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        """Returns the JSON of a whole answer."""
        raise NotImplementedError

    def stream(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        """Yields every run of a stream, in order."""
        raise NotImplementedError

    def result(self, request: ModelRequest) -> Any:
        """Returns the JSON of an operation without a model's answer."""
        raise NotImplementedError

    def spent(self, result: Any, request: ModelRequest) -> Usage | None:
        """The usage of such an operation."""
        return None

    def is_quick(self, request: ModelRequest) -> bool:
        """Whether `result` is fast enough for the event loop."""
        return True

    def is_immediate(self, request: ModelRequest) -> bool:
        """Whether the answer is sent immediately, whatever the pace, because the real one is created in the
        background."""
        return False

    def stored_ids(self, http_request: HttpRequest) -> Sequence[str]:
        """The ids of stored responses, and of their items, that a routed request names."""
        raise NotImplementedError

    def keeps(self, request: ModelRequest) -> bool:
        """Whether the provider stores its answer to a request."""
        return False

    def keep(self, completion: Completion, request: ModelRequest, begins: float, ready: float) -> None:
        """Stores an answer that starts and is ready at these times (Unix time)."""

    def headers_of(self, completion: Completion, stream: bool) -> tuple[Header, ...]:
        """Returns the response headers; those of the reply come last."""
        own = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in completion.headers.items()]
        taken = {name for name, _ in own}
        provider = self.provider
        base: tuple[Header, ...] = provider.stream_headers if stream else provider.json_headers
        base = base + provider.response_headers(completion.request_id)
        return (*(header for header in base if header[0] not in taken), *own) if own else base

    def render(self, completion: Completion, request: ModelRequest) -> PlannedBody:
        """Renders the whole answer, as a JSON body or as a stream, as requested."""
        headers = self.headers_of(completion, request.stream)
        if request.stream:
            return PlannedBody(200, headers, tuple(self.stream(completion, request)), streamed=True)
        body = self.dumps(self.body(completion, request))
        return PlannedBody(200, headers, (single("body", body, tokens=delivered(completion)),), streamed=False)

    def event(self, part: Part, native: Any, tokens: int = 0, also: frozenset[Part] = NOTHING_ELSE) -> FrameRun:
        """One server-sent event."""
        return single(part, self.frame(native), tokens, also)

    def around(self, native: Any) -> tuple[bytes, bytes]:
        """Returns what precedes and what follows `PIECE` in an event."""
        before, _, after = self.frame(native).partition(PIECE_IN_JSON)
        return before, after

    # While the client waits

    @property
    def heartbeat(self) -> bytes:
        """What a stream sends while the client waits; empty if the provider sends nothing."""
        return self.provider.heartbeat_comment

    @property
    def heartbeat_part(self) -> Part:
        """The meaning of a heartbeat frame."""
        return "comment" if self.heartbeat.startswith(b":") else "ping"

    @property
    def waits_after_opening(self) -> bool:
        """Whether heartbeats follow the opening events of a stream instead of preceding them."""
        return False

    def waiting(self, planned: PlannedBody) -> PlannedBody:
        """Adds heartbeats to a paced body, for the time until the first token or until the whole body."""
        interval = getattr(self.provider.settings, "heartbeat", None)
        said = self.heartbeat if planned.streamed else self.provider.heartbeat_blank
        if not interval or not said or planned.at[0] <= interval:
            return planned
        number = min(int(planned.at[0] / interval - 1e-9), MAX_HEARTBEATS)
        part = self.heartbeat_part if planned.streamed else "comment"
        beats = FrameRun(part, b"", (said,) * number, b"", (0,) * number)
        moments = [interval * (count + 1) for count in range(number)]
        opening = opening_of(planned.runs) if self.waits_after_opening else 0
        frames = sum(len(run.pieces) for run in planned.runs[:opening])
        return replace(
            planned,
            runs=(*planned.runs[:opening], beats, *planned.runs[opening:]),
            at=(*[0.0] * frames, *moments, *planned.at[frames:]),
            streamed=True,  # a body that starts before it is complete is sent like a stream: head first, then chunks
        )

    # Errors

    def error_envelope(self, row: ErrorSpec, request_id: str) -> Any:
        """Returns the JSON body of an error response."""
        return self.provider.error_body(row, request_id)

    def error_frame(self, form: str, row: ErrorSpec, body: bytes) -> bytes | None:
        """Returns an error for a stream that has begun, as bytes. `data` is the usual form, `event` has an `event:
        error` line, and `bare` is `body` as an error response would have it. None if the dialect has no such form."""
        frame = b"data: %b\n\n" % body
        return {"data": frame, "bare": frame, "event": b"event: error\n" + frame}.get(form)


def opening_of(runs: Sequence[FrameRun]) -> int:
    """The number of runs at the start of a stream that carry no tokens."""
    return next((place for place, run in enumerate(runs) if run.part not in ("role", "ping")), len(runs))


def delivered(completion: Completion) -> int:
    """The number of tokens until the answer is complete: those of the longest choice."""
    return max(
        tokens.count(choice.reasoning or "")
        + tokens.count(choice.content)
        + sum(tokens.count(call.arguments) for call in choice.tool_calls)
        for choice in completion.choices
    )


def arguments_of(text: str) -> Any:
    """Returns the arguments of a call as an object, or the text itself if it isn't one."""
    if not text:
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, dict) else text
