"""Requests as plain data, parsed once and shared by matching, generation and rendering."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from emulator.records import record
from emulator.stored import ResponseStore

Role = str
"""As on the wire: `system`, `user`, `assistant`, `tool`, …"""


@record
class ToolCall:
    """One tool call by the model. `arguments` is JSON text, as on the wire."""

    name: str
    arguments: str
    id: str = ""
    kind: Literal["function", "custom", "server"] = "function"
    """`custom`: the arguments are plain text; `server`: the provider runs the tool."""
    is_data: bool = field(default=False, compare=False)
    """Whether the arguments were given as data, so that each model may write them with its own whitespace."""


@record
class Message:
    """One message of the conversation; `content` is its text, with list parts joined."""

    role: Role
    content: str = ""
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    prefix: bool = False
    images: int = 0
    """The number of images in it."""
    image_tokens: int | None = None
    """Their tokens, if known."""
    is_error: bool = False
    """Whether it is the result of a failed tool call."""
    continues: bool = False
    """Whether it belongs to the same turn as the message before it, for example a text next to tool results."""


@record
class Tool:
    """A function that the client offers. `parameters` is a JSON Schema."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@record
class Controls:
    """The parameters that shape an answer, with each provider's defaults applied. None: not requested."""

    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    logprobs: bool = False
    top_logprobs: int = 0
    response_format: Literal["text", "json_object", "json_schema"] = "text"
    schema: Mapping[str, Any] | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    """`none`, `auto`, `required` or `name:FUNCTION`."""
    thinking: bool | None = None
    """Whether the model should think; None if the provider has no such option."""
    reasoning_effort: str | None = None
    include_thoughts: bool = False
    """Whether to show thoughts that are otherwise hidden."""
    include_usage: bool = False
    searches: bool = False
    """Whether the provider searches the web first."""


@record
class HttpRequest:
    """An HTTP request to a provider. Routing adds to it by making another one (`routed`)."""

    provider: str
    method: str
    path: str
    """The documented path, without the emulator's own prefixes."""
    headers: Mapping[str, str]
    """Names in lower case."""
    query: str
    body: bytes
    key: str | None = None
    """The credential, from any place that the provider accepts; None if there is none."""
    operation: str = ""
    """The name of the operation; empty if the path has none."""
    dialect: str = ""
    """The operation's dialect; empty if it has none."""
    faults: tuple[str, ...] = ()
    """The faults in the URL, as they are written there."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """The variable parts of the path, such as `model_name`."""
    sent_path: str = ""
    """The path as it was sent."""
    head_size: int = 0
    """The bytes of the request line and headers."""
    store: ResponseStore | None = field(default=None, repr=False, compare=False)
    """The stored responses of its namespace."""
    head: object = field(default=None, repr=False, compare=False)
    """The same object for all requests whose heads differ only in the length of the body; None if that is unknown."""

    def routed(
        self, operation: str, dialect: str, parameters: Mapping[str, str], store: ResponseStore | None = None
    ) -> "HttpRequest":
        """Returns the request with its operation, dialect and parameters."""
        return HttpRequest(
            self.provider,
            self.method,
            self.path,
            self.headers,
            self.query,
            self.body,
            self.key,
            operation,
            dialect,
            self.faults,
            parameters,
            self.sent_path,
            self.head_size,
            store,
            self.head,
        )


@record
class ModelRequest:
    """An `HttpRequest` that the provider accepted: its meaning in neutral terms, and the native body."""

    http_request: HttpRequest
    model: str
    messages: tuple[Message, ...]
    stream: bool
    controls: Controls
    key: str
    """The credential, without its scheme."""
    body: Mapping[str, Any]
    """The native body as sent."""
    served: str = ""
    """The model that serves the requested name, if it differs."""

    prompt: str = field(init=False)
    """The text of the last user message; empty if there is none."""

    def __post_init__(self) -> None:
        prompt = ""
        for message in reversed(self.messages):
            if message.role == "user":
                prompt = message.content
                break
        object.__setattr__(self, "prompt", prompt)

    @property
    def turn(self) -> int:
        """1 for the first answer in a conversation, 2 for the second, …"""
        return 1 + sum(message.role == "assistant" for message in self.messages)
