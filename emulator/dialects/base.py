"""What every dialect says of itself, so that faults, journal and timing need no vendor's and no dialect's words.

A dialect is the wire of an API family. A vendor (a `Provider`) speaks one or several, and its table of operations says
which one each endpoint speaks (`Operation.dialect`). To add one, write one file here with a subclass of `Dialect`:

1. `dialect`: what operations call it.
2. The way in, `parse(call, key)`: a body becomes a `ModelRequest`; raise `refuse(…)` for a bad one. Several parts of a
   body that together are one message of the conversation become one `Message`, each tool result one of role `tool`.
3. The way out: `body(completion, request)`, the JSON of a whole answer, and `stream(completion, request)`, the runs of
   a stream. Mark every frame by its meaning (`wire.Part`): `role` opens the stream, `frame` begins or ends a block,
   `reasoning`, `content` and `tool_calls` are deltas, `finish`, `usage` and `done` the end. A frame that means several
   of them has one in `part` and the others in `also`. Text comes as prepared runs: `around(native)` gives what stands
   before and after a piece, `tokens.pieces` the pieces.
4. `REASONS`: its words for the neutral finish reasons; what is not listed is said as it is.
5. Its wire shape, `WireShape`: `event_name` when events have an `event:` line, `terminator` and `without_end` for how a
   stream ends, `places` for where things stand in one JSON, and those of the other methods whose answer is not what
   `WireShape` says. A fault that finds nothing here raises `NotApplicable` with a sentence; none has to be edited.
6. `error_frame(form, refusal, body)`: how an error looks in a stream that has begun; `error_envelope` when refusals
   look different from the vendor's own.
7. `make_id`, `call_id` where ids have a form, and `heartbeat` for what is said while the client waits.

What a vendor does differently stands in a subclass in the vendor's file, listed in `Provider.dialects`. An operation at
which no model writes, such as embeddings, overrides `result` and has `is_completion=False`.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Protocol

import orjson
import pydantic
from typing_extensions import TypeVar  # Python's own has defaults from 3.13 on

from emulator import seeded, tokens
from emulator.dialects.turns import Answer, Turn, plain_turns
from emulator.records import record
from emulator.reply import Choice, Completion, ErrorReply, Reply, Usage
from emulator.request import HttpRequest, Message, ModelRequest, ToolCall
from emulator.wire import NOTHING_ELSE, FrameRun, Header, Part, PlannedBody, single

Mark = Literal["documented", "public", "inferred"]
"""How sure a fact is: shown in the provider's document; in another public source; decided here."""
Meaning = Literal["content", "reasoning", "call_index", "finish", "usage", "number", "id", "signature"]
"""What stands at a place of an event or of a whole body."""
Edge = Literal["start", "stop"]
"""Which end of a block or an item an event tells."""
DONE = b"data: [DONE]\n\n"
"""The mark at the end of many streams."""
MAX_HEARTBEATS = 100_000
PIECE = f"\x1f{secrets.token_hex(16)}\x1f"
"""Stands for the piece that differs from frame to frame while the frame around it is written once. As nobody can guess
it, it is nowhere else in the frame, whatever the request says."""
PIECE_IN_JSON = orjson.dumps(PIECE)[1:-1]
_EVENT_END = re.compile(rb"((?:\r\n|\n|\r){2,})")


def plain_call_id(entropy: seeded.Entropy, index: int, number: int) -> str:
    """An id for a tool call, in no provider's form."""
    return f"call_{seeded.alphanumeric(24, 'tool_call', entropy, index, number)}"


@record
class Habits:
    """What a provider's models do to every answer."""

    thought_end: int = 0
    """Tokens that stand between a thought and what follows, and belong to neither."""
    call_id: Callable[[seeded.Entropy, int, int], str] = plain_call_id
    """The id of a tool call, from random bytes, the number of the choice and its own."""
    render_calls: Callable[[tuple[ToolCall, ...]], str] | None = None
    """The markup in which the model writes its calls after its text; None: only names and arguments are counted."""
    forced_call: int = 0
    """Tokens of that markup that stand in the prompt already when the client wants a call in any case."""
    write_arguments: Callable[[str], str] | None = None
    """The arguments of a call, given as data, with the model's own blanks."""
    argument_pieces: Callable[[str], tokens.Pieces] = tokens.pieces
    """The pieces in which arguments are streamed."""


PLAIN = Habits()


@record
class CachePoint:
    """A place of a prompt up to which the request wants it cached."""

    parts: int
    """How many of the prompt's texts stand before it."""
    seconds: float
    """How long it stays there after its last use."""
    least: int = 1
    """Fewer tokens are not cached."""


class Plain(NamedTuple):
    """A body whose conversation is nothing but texts, none of them empty, and whose last word is the user's."""

    messages: tuple[Message, ...]
    """The conversation, as `parse` reads it."""
    form: Any
    """All that else stands in the body, and who speaks when: whatever `parse` may look at."""


PLAIN_ROLES = frozenset(["system", "user", "assistant"])


def text_turns(turns: Any) -> list[Message] | None:
    """The turns of a conversation that has nothing but texts; None for any other."""
    if type(turns) is not list:
        return None
    messages: list[Message] = []
    for turn in turns:
        if type(turn) is not dict or len(turn) != 2:
            return None
        role, text = turn.get("role"), turn.get("content")
        if type(role) is not str or role not in PLAIN_ROLES or type(text) is not str or not text:
            return None
        messages.append(Message(role, text))
    return messages if messages and messages[-1].role == "user" else None


class ProviderError(Exception):
    """The provider refuses this request; raised while it is authenticated and parsed."""

    def __init__(self, reply: ErrorReply) -> None:
        self.reply = reply
        super().__init__(reply.name or reply.status)


def provider_error(name: str, message: str | None = None, **details: Any) -> ProviderError:
    """`raise refuse("bad_request", "…")`."""
    return ProviderError(ErrorReply(name=name, message=message, **details))


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """One row of a provider's table of errors: what an error name means on its wire."""

    status: int
    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None
    mark: Mark = "inferred"
    headers: Mapping[str, str] = field(default_factory=dict)


class Vendor(Protocol):
    """What every dialect asks of the provider that speaks it. A dialect that asks for more names its provider's class,
    or a protocol of its own, as the type argument of its base class."""

    @property
    def settings(self) -> pydantic.BaseModel: ...
    @property
    def habits(self) -> Habits: ...
    @property
    def json_headers(self) -> tuple[Header, ...]: ...
    @property
    def stream_headers(self) -> tuple[Header, ...]: ...
    @property
    def heartbeat_comment(self) -> bytes: ...
    @property
    def heartbeat_blank(self) -> bytes: ...
    def dumps(self, value: Any) -> bytes: ...
    def authenticate(self, headers: Mapping[str, str]) -> str: ...
    def listed(self, http_request: HttpRequest, key: str) -> ModelRequest: ...
    def prompt_texts(self, request: ModelRequest) -> tuple[int, Sequence[str]]: ...
    def check_context_length(self, request: ModelRequest, prompt: int) -> None: ...
    def response_headers(self, request_id: str) -> tuple[Header, ...]: ...
    def error_body(self, row: ErrorSpec, request_id: str) -> Any: ...


VendorT = TypeVar("VendorT", bound=Vendor, default=Vendor)
"""The provider that speaks a dialect."""


@record
class Event:
    """One event of a stream, read."""

    name: str | None
    """The type on its `event:` line; None without one."""
    native: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in an event or a whole body: the object that holds it, and its name there."""

    holder: dict[str, Any]
    name: str
    meaning: Meaning
    key: Any = 0
    """What tells it apart from its like: the choice, the block, the call."""

    @property
    def value(self) -> Any:
        return self.holder.get(self.name)

    def put(self, value: Any) -> None:
        self.holder[self.name] = value

    def remove(self) -> None:
        self.holder.pop(self.name, None)


class WireShape:
    """Reads and changes what a dialect puts on the wire: one event, or one whole body, at a time.

    The defaults are right for a dialect that has nothing of the kind."""

    terminator: ClassVar[bytes | None] = None
    """The last event of a stream, when it does nothing but end it."""
    end_is: ClassVar[str] = "the event with the finish reason"
    """What ends a stream that has no terminator, for people."""
    stream_type: ClassVar[str] = "event-stream"
    """What the Content-Type of a stream holds."""
    reason_is_end: ClassVar[bool] = False
    """Whether nothing but the finish reason shows that a stream is complete."""
    facts: ClassVar[tuple[str, ...]] = ()
    """The members that say what an answer is, but not what it says."""

    deprecated: ClassVar[Mapping[str, str]] = {}
    """Members of a request that are still read and should not be sent, with what to do instead."""
    takes_key_in_url: ClassVar[bool] = False
    """Whether the key may stand in the URL, as `?key=`, by the provider's own documents."""
    ignores_as_documented: ClassVar[bool] = False
    """Whether the provider itself ignores what its body declares as ignored."""
    wants_reasoning_back: ClassVar[bool] = False
    """Whether the reasoning of a turn that calls tools has to stand in the history of the next request."""

    block_word: ClassVar[str] = ""
    """What the parts of an answer are called, where it is made of parts of several kinds."""

    def dumps(self, value: Any) -> bytes:
        """JSON as it is written here."""
        return orjson.dumps(value)

    # One frame

    def event_name(self, native: Any) -> str | None:
        """The type that stands on the `event:` line of an event; None where there is no such line."""
        return None

    def frame(self, native: Any, name: str | None = None) -> bytes:
        """One event. `name` replaces its type."""
        if name is None:
            name = self.event_name(native)
        data = b"data: %b\n\n" % self.dumps(native)
        return data if name is None else b"event: %b\n%b" % (name.encode(), data)

    def read_frame(self, data: bytes) -> Event | None:
        """What `frame` made; None when that holds no JSON object, or a fault has laid it out in another way."""
        name: str | None = None
        found: bytes | None = None
        for line in data.split(b"\n"):
            if line.startswith(b"data: "):
                if found is not None:
                    return None
                found = line[6:]
            elif line.startswith(b"event: "):
                name = line[7:].decode("utf-8", "replace")
        native = self.read_body(found) if found is not None else None
        return Event(name, native) if native is not None else None

    def split(self, body: bytes) -> list[bytes]:
        """A stream as its events, each followed by what stands between it and the next."""
        return _EVENT_END.split(body)

    def read_body(self, data: bytes) -> dict[str, Any] | None:
        """The JSON object of a whole body; None when it is none."""
        try:
            native = orjson.loads(data)
        except orjson.JSONDecodeError:
            return None
        return native if isinstance(native, dict) else None

    # The conversation, for a verdict: what was asked and said, also where `parse` would refuse it

    def turns(self, body: Mapping[str, Any]) -> list[Turn]:
        """The turns that a request sends."""
        return list(plain_turns(body))

    def answer_of(self, natives: Sequence[dict[str, Any]]) -> Answer:
        """What the events of a stream, or the one body, say together."""
        return Answer()

    # Where things stand

    def places(self, native: dict[str, Any], *meanings: Meaning) -> Iterator[Place]:
        """Where things of these meanings stand in an event or a whole body, in order, empty and null ones too."""
        yield from ()

    def objects(self, native: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Every object that a new member could turn up in: the event or body itself, then what it holds."""
        yield native

    def call_objects(self, native: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
        """The objects that tell of a tool call where each of its pieces repeats them, with what tells calls apart."""
        yield from ()

    # What can be wrong with them. `native` is changed in place

    def without_facts(self, native: dict[str, Any]) -> dict[str, Any]:
        """Without the members of `facts`."""
        for name in self.facts:
            native.pop(name, None)
        return native

    def without_text(self, native: dict[str, Any]) -> None:
        """Null wherever a text stands or could stand."""
        for place in self.places(native, "content"):
            place.put(None)

    def without_answer(self, native: dict[str, Any], value: Any) -> bool:
        """An event or a body with `value`, an empty list or null, in place of all that is answered. False: the event
        has no place in such a stream."""
        return True

    def without_end(self, native: dict[str, Any]) -> dict[str, Any] | None:
        """An event with the finish reason, without it and what goes with it; None when nothing is left."""
        return None

    def without_answers(self, native: dict[str, Any]) -> dict[str, Any] | None:
        """A healthy kind of event without any answer, made of another event; None where there is no such thing."""
        return None

    def is_only_usage(self, native: dict[str, Any]) -> bool:
        """Whether an event is there for the usage alone."""
        return False

    def usage_again(self, native: dict[str, Any]) -> dict[str, Any] | None:
        """The event that says the usage a second time; None where that is no mistake or cannot be."""
        return None

    def late_text(self, native: dict[str, Any], text: str) -> dict[str, Any] | None:
        """A delta that comes after the end, made of an earlier event."""
        return None

    def with_text_so_far(self, native: dict[str, Any], said: Mapping[Any, str]) -> bool:
        """Puts the text so far of each choice (`said`, by its key) next to the delta. False if there is no place."""
        return False

    def edge_of(self, native: dict[str, Any]) -> Edge | None:
        """Which end of a block an event tells; None for all others."""
        return None

    def block_events(self, index: int, kind: str) -> list[dict[str, Any]]:
        """The events of a block of an unknown kind, at this place among the blocks."""
        return []

    def add_block(self, native: dict[str, Any], kind: str) -> bool:
        """Such a block in a whole body; whether there is a place for it."""
        return False

    def repeated(self, native: dict[str, Any]) -> Iterator[Place]:
        """Where an event repeats a text that deltas have said."""
        yield from ()

    def is_hollow(self, native: dict[str, Any]) -> bool:
        """Whether an event says nothing any more, after something was taken out of it."""
        return False

    def failure(self, native: dict[str, Any], row: ErrorSpec) -> dict[str, Any] | None:
        """The event that ends a stream because the answer has failed, made of the first event; None where there is no
        such event."""
        return None

    def with_split_name(self, native: dict[str, Any]) -> list[dict[str, Any]]:
        """An event that names a tool as two events with half of the name each; empty when it does not."""
        return []


class Dialect(WireShape, Generic[VendorT]):
    """The wire of an API family, as one provider speaks it: `Provider.dialects` says which class that is."""

    dialect: ClassVar[str]
    """What operations call it."""
    REASONS: ClassVar[Mapping[str, str]] = {}
    """This dialect's words for the neutral finish reasons, where they are not the same."""
    id_form: ClassVar[str] = "{}"
    """What ids look like around 24 random letters and digits."""
    is_repeatable: ClassVar[bool] = True
    """Whether nothing but the id, the time and the request id of an answer is new when the same is asked again."""
    has_item_ids: ClassVar[bool] = False
    """Whether what is new besides are further ids: `item_ids`."""
    fails_as_a_whole: ClassVar[bool] = False
    """Whether `failure` reports an error in a stream, and not a separate event."""
    weighs_words: ClassVar[bool] = True
    """Whether what `parse` makes of a request depends on the words of plain messages. False lets `parse` be skipped for
    a request that differs from an earlier one in these words alone. A subclass has to say so itself."""

    def __init_subclass__(cls, **given: Any) -> None:
        super().__init_subclass__(**given)
        cls.weighs_words = cls.__dict__.get("weighs_words", True)

    def __init__(self, provider: VendorT) -> None:
        self.provider = provider

    def dumps(self, value: Any) -> bytes:
        return self.provider.dumps(value)

    # The way in

    def key_in(self, http_request: HttpRequest) -> str:
        """The key of a request. Raises ProviderError when it is missing, or not where it has to be."""
        return self.key_of(http_request.headers)

    def key_of(self, headers: Mapping[str, str]) -> str:
        """The key of a request. Raises Refused when it is missing, or not where it has to be."""
        return self.provider.authenticate(headers)

    def body_of(self, operation: str) -> type[pydantic.BaseModel] | None:
        """What the body of an operation is read as, which also says what becomes of each parameter; None: of nothing
        in it anything is known."""
        body: type[pydantic.BaseModel] | None = getattr(self, "Body", None)
        return body

    @property
    def refuses_unknown_members(self) -> bool:
        """Whether a body may only have members that are known."""
        return bool(getattr(self.provider.settings, "strict_members", False))

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        """Read a request body. Raises Refused with this provider's own complaint."""
        raise NotImplementedError

    def plain(self, native: Any) -> Plain | None:
        """A body taken apart, if its conversation is nothing but texts; None for any other."""
        return None

    def model_habits(self) -> Habits:
        """What the models that speak this dialect do to every answer."""
        return self.provider.habits

    def prompt_parts(self, request: ModelRequest) -> tuple[int, Sequence[str]]:
        """What a request costs as a prompt: fixed tokens, and the texts between them."""
        return self.provider.prompt_texts(request)

    def cache_points(self, request: ModelRequest) -> Sequence[CachePoint] | None:
        """Where a request wants its prompt cached; None: the provider caches what it likes."""
        return None

    def check_prompt(self, request: ModelRequest, prompt: int) -> None:
        """Raises ProviderError when prompt and answer do not fit into the model's context."""
        self.provider.check_context_length(request, prompt)

    # The answer

    def adapt(self, reply: Reply, request: ModelRequest) -> Reply:
        """The part of a reply that there are words for."""
        return reply

    def unshown(self, reply: Reply) -> tuple[str, ...]:
        """The kinds of blocks in a reply that do not show here."""
        return ()

    def make_id(self, entropy: bytes) -> str:
        """An id in this dialect's form, from 32 random bytes."""
        return self.id_form.format(seeded.letters(entropy, 24))

    def item_ids(self, id: str, choices: Sequence[Choice]) -> list[str]:
        """The further ids in an answer with this id, each of which is made of it."""
        return []

    def reason(self, choice: Choice) -> str:
        """Why an answer ended, in this dialect's words."""
        return self.REASONS.get(choice.finish_reason, choice.finish_reason)

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        """The JSON of a whole answer."""
        raise NotImplementedError

    def stream(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        """Every run of a stream, in order."""
        raise NotImplementedError

    def result(self, request: ModelRequest) -> Any:
        """The JSON answer of an operation at which no model writes."""
        raise NotImplementedError

    def spent(self, result: Any, request: ModelRequest) -> Usage | None:
        """What such an answer used."""
        return None

    def is_quick(self, request: ModelRequest) -> bool:
        """Whether making such an answer holds nobody up."""
        return True

    def is_immediate(self, request: ModelRequest) -> bool:
        """Whether the answer comes at once, whatever the pace: it only tells that another one is being made."""
        return False

    def keeps(self, request: ModelRequest) -> bool:
        """Whether the provider keeps its answer to a request."""
        return False

    def keep(self, completion: Completion, request: ModelRequest, begins: float, ready: float) -> None:
        """Put an answer into the request's store. It begins and is ready at these moments, in Unix time."""

    def headers_of(self, completion: Completion, stream: bool) -> tuple[Header, ...]:
        """The response headers, the reply's own last."""
        own = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in completion.headers.items()]
        taken = {name for name, _ in own}
        provider = self.provider
        base: tuple[Header, ...] = provider.stream_headers if stream else provider.json_headers
        base = base + provider.response_headers(completion.request_id)
        return (*(header for header in base if header[0] not in taken), *own) if own else base

    def render(self, completion: Completion, request: ModelRequest) -> PlannedBody:
        """The whole answer, as one JSON body or as a stream: as the request asks."""
        headers = self.headers_of(completion, request.stream)
        if request.stream:
            return PlannedBody(200, headers, tuple(self.stream(completion, request)), streamed=True)
        body = self.dumps(self.body(completion, request))
        return PlannedBody(200, headers, (single("body", body, tokens=delivered(completion)),), streamed=False)

    def event(self, part: Part, native: Any, tokens: int = 0, also: frozenset[Part] = NOTHING_ELSE) -> FrameRun:
        """One server-sent event."""
        return single(part, self.frame(native), tokens, also)

    def around(self, native: Any) -> tuple[bytes, bytes]:
        """What stands before and after `PIECE` in an event."""
        before, _, after = self.frame(native).partition(PIECE_IN_JSON)
        return before, after

    # While the client waits

    @property
    def heartbeat(self) -> bytes:
        """What a stream says while it waits; empty for providers that say nothing."""
        return self.provider.heartbeat_comment

    @property
    def heartbeat_part(self) -> Part:
        """What that means."""
        return "comment" if self.heartbeat.startswith(b":") else "ping"

    @property
    def waits_after_opening(self) -> bool:
        """Whether what is said while the client waits follows the first events, or comes before them."""
        return False

    def waiting(self, planned: PlannedBody) -> PlannedBody:
        """A paced body with what the provider says while the client waits for the first token, or for the body."""
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
            streamed=True,  # what is sent before its end is there goes like a stream: head first, in chunks
        )

    # Refusals

    def error_envelope(self, row: ErrorSpec, request_id: str) -> Any:
        """The JSON body of a refusal."""
        return self.provider.error_body(row, request_id)

    def error_frame(self, form: str, row: ErrorSpec, body: bytes) -> bytes | None:
        """An error in a stream that has begun: `data`, the usual form; `event`, under `event: error`; `bare`, `body` as
        it would stand under its own status, without an `event:` line. None: there is no such form here."""
        frame = b"data: %b\n\n" % body
        return {"data": frame, "bare": frame, "event": b"event: error\n" + frame}.get(form)


def opening_of(runs: Sequence[FrameRun]) -> int:
    """How many runs a stream begins with that bring no token."""
    return next((place for place, run in enumerate(runs) if run.part not in ("role", "ping")), len(runs))


def delivered(completion: Completion) -> int:
    """How many tokens pass before the answer is whole: the longest choice."""
    return max(
        tokens.count(choice.reasoning or "")
        + tokens.count(choice.content)
        + sum(tokens.count(call.arguments) for call in choice.tool_calls)
        for choice in completion.choices
    )
