"""What a client asks for, read once into plain data that matching, generation and rendering share."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from emulator.records import record
from emulator.stored import ResponseStore

Role = str
"""As on the wire: `system`, `user`, `assistant`, `tool`, …"""


@record
class ToolCall:
    """One call of a tool, asked for by the model. `arguments` is JSON text, as on the wire."""

    name: str
    arguments: str
    id: str = ""
    kind: Literal["function", "custom", "server"] = "function"
    """`custom`: the arguments are plain text; `server`: the provider runs the tool itself."""
    is_data: bool = field(default=False, compare=False)
    """Whether the arguments were given as data, so that each model may write them with blanks of its own."""


@record
class Message:
    """One message of the conversation; `content` is its text, list parts joined."""

    role: Role
    content: str = ""
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    prefix: bool = False
    images: int = 0
    """How many images it holds."""
    image_tokens: int | None = None
    """What they cost, where that is known."""
    is_error: bool = False
    """Whether it is the result of a tool that failed."""
    continues: bool = False
    """Whether it stands in one turn with the message before, as a text beside the results of tools."""


@record
class Tool:
    """A function that the client offers. `parameters` is a JSON Schema."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@record
class Controls:
    """The parameters that shape an answer, after each provider's defaults. None: not asked for."""

    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    logprobs: bool = False
    top_logprobs: int = 0
    response_format: Literal["text", "json_object", "json_schema"] = "text"
    schema: Mapping[str, Any] | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    """`none`, `auto`, `required`, or `name:FUNCTION`."""
    thinking: bool | None = None
    """True or False: the model should think or not; None: the provider has no such switch."""
    reasoning_effort: str | None = None
    include_thoughts: bool = False
    """Whether thoughts are to be shown, where they are hidden otherwise."""
    include_usage: bool = False
    searches: bool = False
    """Whether the provider is to search the Web first."""


@record
class HttpRequest:
    """An HTTP request to a provider, and everything it carried. What routing finds out makes another one: `routed`."""

    provider: str
    method: str
    path: str
    """The documented path, without the emulator's own prefixes."""
    headers: Mapping[str, str]
    """Names in lower case."""
    query: str
    body: bytes
    key: str | None = None
    """The credential, wherever the provider lets it stand; None when there is none."""
    operation: str = ""
    """Which endpoint it is; empty when there is none at this path."""
    dialect: str = ""
    """The dialect that the endpoint speaks; empty when it speaks none."""
    faults: tuple[str, ...] = ()
    """The faults that the URL asks for, as they stand there."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """The variable parts of the path, such as `model_name`."""
    sent_path: str = ""
    """The path as it was sent."""
    head_size: int = 0
    """Bytes of the request's line and headers."""
    store: ResponseStore | None = field(default=None, repr=False, compare=False)
    """The responses that its namespace keeps."""
    head: object = field(default=None, repr=False, compare=False)
    """The same for all requests whose heads differ in nothing but the length of the body; None: nobody knows."""

    def routed(
        self, operation: str, dialect: str, parameters: Mapping[str, str], store: ResponseStore | None = None
    ) -> "HttpRequest":
        """The same request at an endpoint that is known."""
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
    """A `HttpRequest` that the provider accepted: its meaning in neutral terms, and the native body beside it."""

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
    """The model that answers to the name that was sent, where that is another one."""

    prompt: str = field(init=False)
    """The text of the last user message, or nothing."""

    def __post_init__(self) -> None:
        prompt = ""
        for message in reversed(self.messages):
            if message.role == "user":
                prompt = message.content
                break
        object.__setattr__(self, "prompt", prompt)

    @property
    def turn(self) -> int:
        """1 for the first answer of a conversation, 2 for the second, …"""
        return 1 + sum(message.role == "assistant" for message in self.messages)
