"""The request body of a chat completion, as the providers of this dialect read it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, WrapValidator

from emulator import large
from emulator.request import Message, Tool, ToolCall

BodyType = TypeVar("BodyType", bound=BaseModel)
Item = TypeVar("Item")


Many = Annotated[list[Item], Field(fail_fast=True), WrapValidator(large.in_slices)]
"""A list that stops at its first wrong item: only that one is reported, and a body can hold millions."""


class Strict(BaseModel):
    """A part of a body: types are not coerced and unknown members are ignored, as providers do."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, defer_build=True)


class ContentPart(Strict):
    """One part of a message whose content is a list. Parts other than text are accepted and count no tokens."""

    type: str
    text: str | None = None


class TextPart(ContentPart):
    text: str


# The value's shape selects the branch of a union, so there is one error instead of one per branch.


def _part_kind(value: Any) -> str:
    return "<text>" if isinstance(value, Mapping) and value.get("type") == "text" else "<other>"


def text_or_list(value: Any) -> str:
    return "<list>" if isinstance(value, list) else "<text>"


def text_or_map(value: Any) -> str:
    return "<map>" if isinstance(value, Mapping) else "<text>"


Parts = Many[
    Annotated[Annotated[TextPart, Tag("<text>")] | Annotated[ContentPart, Tag("<other>")], Discriminator(_part_kind)]
]
Content = Annotated[Annotated[str, Tag("<text>")] | Annotated[Parts, Tag("<list>")], Discriminator(text_or_list)]
Stop = Annotated[Annotated[str, Tag("<text>")] | Annotated[Many[str], Tag("<list>")], Discriminator(text_or_list)]
ToolChoice = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[dict[str, Any], Tag("<map>")], Discriminator(text_or_map)
]


class FunctionCall(Strict):
    name: str = ""
    arguments: str = ""


class ToolCallBody(Strict):
    id: str = ""
    type: str = "function"
    function: FunctionCall


class MessageBody(Strict):
    """One message. Providers narrow `role` and add what they require."""

    role: str | None = None
    content: Content | None = None
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: Many[ToolCallBody] | None = None
    tool_call_id: str | None = None
    prefix: bool | None = None


class FunctionBody(Strict):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ToolBody(Strict):
    type: Literal["function"]
    function: FunctionBody


Form = Literal["text", "json_object", "json_schema"]


class ResponseFormat(Strict):
    type: str
    json_schema: dict[str, Any] | None = None


class StreamOptions(Strict):
    include_usage: bool | None = None


class ChatBody(Strict):
    """The members that every provider of this dialect reads; a provider's own body subclasses it."""

    model: str
    messages: Sequence[MessageBody]
    stream: bool | None = None


def text_of(content: str | Sequence[ContentPart] | None) -> str:
    """Returns the text of a message's content: its text parts, joined."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(part.text or "" for part in content if part.type == "text")


def read_message(body: MessageBody) -> Message:
    """Converts a message to neutral terms."""
    calls = body.tool_calls
    return Message(
        role=body.role or "user",
        content=text_of(body.content),
        reasoning=body.reasoning_content,
        tool_calls=tuple([ToolCall(call.function.name, call.function.arguments, call.id) for call in calls])
        if calls
        else (),
        tool_call_id=body.tool_call_id,
        name=body.name,
        prefix=bool(body.prefix),
    )


def read_tools(tools: Sequence[ToolBody] | None) -> tuple[Tool, ...]:
    """Converts the functions that the client offers to neutral terms."""
    if not tools:
        return ()
    return tuple(
        [Tool(tool.function.name, tool.function.description or "", tool.function.parameters or {}) for tool in tools]
    )


def read_tool_choice(choice: Any) -> str:
    """Returns `none`, `auto`, `required` or `name:FUNCTION`."""
    if isinstance(choice, Mapping):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
        return f"name:{name}" if name else "auto"
    return choice if isinstance(choice, str) else "auto"


def read_format(form: ResponseFormat | None) -> tuple[Form, dict[str, Any] | None]:
    """Returns the format of the answer and its schema. Providers have already rejected other types."""
    if form is None:
        return "text", None
    schema = (form.json_schema or {}).get("schema")
    return form.type if form.type in get_args(Form) else "text", schema  # type: ignore[return-value]  # one of Form


def read_stop(stop: Any) -> tuple[str, ...]:
    """Converts a string, a list of strings or None to a tuple, without empty strings, which stop nothing."""
    if isinstance(stop, str):
        return (stop,) if stop else ()
    return tuple([item for item in stop if item]) if stop else ()
