"""The interface between a dialect and the vendor that speaks it: errors, habits of models, the `Vendor` protocol."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, Literal, NamedTuple, Protocol

import pydantic
from typing_extensions import TypeVar  # Python's own has defaults from 3.13 on

from emulator import seeded, tokens
from emulator.records import record
from emulator.reply import ErrorReply
from emulator.request import HttpRequest, Message, ModelRequest, ToolCall
from emulator.wire import Header

Mark = Literal["documented", "public", "inferred"]
"""How well a fact is known: from the provider's document, from another public source, or by inference."""


def plain_call_id(entropy: seeded.Entropy, index: int, number: int) -> str:
    """A tool call id in no particular provider's format."""
    return f"call_{seeded.alphanumeric(24, 'tool_call', entropy, index, number)}"


@record
class Habits:
    """Habits of a provider's models, which affect every answer."""

    thought_end: int = 0
    """The number of tokens between a thought and the text after it that belong to neither."""
    call_id: Callable[[seeded.Entropy, int, int], str] = plain_call_id
    """Makes the id of a tool call from random bytes, the number of the choice and the number of the call."""
    render_calls: Callable[[tuple[ToolCall, ...]], str] | None = None
    """Renders the markup in which the model writes its calls. None: only names and arguments are counted."""
    forced_call: int = 0
    """The number of tokens of that markup that are part of the prompt when the client forces a call."""
    write_arguments: Callable[[str], str] | None = None
    """Writes the arguments of a call with the model's own whitespace."""
    argument_pieces: Callable[[str], tokens.Pieces] = tokens.pieces
    """Splits arguments into the pieces in which they are streamed."""


PLAIN = Habits()


@record
class CachePoint:
    """A position up to which a request asks for its prompt to be cached."""

    parts: int
    """The number of the prompt's texts before it."""
    seconds: float
    """How long it stays cached after its last use."""
    least: int = 1
    """A shorter prompt is not cached."""


class Plain(NamedTuple):
    """A body whose conversation consists only of non-empty texts and ends with the user's."""

    messages: tuple[Message, ...]
    """The conversation as `parse` reads it."""
    form: Any
    """Everything else in the body, and the roles: whatever `parse` may depend on."""


PLAIN_ROLES = frozenset(["system", "user", "assistant"])


def text_turns(turns: Any) -> list[Message] | None:
    """Reads the turns of a conversation that consists only of texts; None for any other."""
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
    """The provider rejects the request; raised while the request is authenticated and parsed."""

    def __init__(self, reply: ErrorReply) -> None:
        self.reply = reply
        super().__init__(reply.name or reply.status)


def provider_error(name: str, message: str | None = None, **details: Any) -> ProviderError:
    """Use it as `raise provider_error("bad_request", "…")`."""
    return ProviderError(ErrorReply(name=name, message=message, **details))


@record
class ErrorSpec:
    """One row of a provider's error table: what an error name means on the wire."""

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
