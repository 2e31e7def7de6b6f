"""The request body of responses and its conversion to neutral terms: items instead of messages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import orjson
from pydantic import Discriminator, Tag

from emulator.dialects.chat_input import Many, Strict, ToolChoice, text_or_list
from emulator.dialects.parameters import ECHOED
from emulator.request import Message, Tool, ToolCall

CALLS = {"function_call": "function", "custom_tool_call": "custom"}
"""The items that are tool calls, with the kind of call."""
RESULTS = ("function_call_output", "custom_tool_call_output")
"""The items that are tool results."""
PLAIN_TEXT: Mapping[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
"""The parameters of a tool that takes any text."""


class PartBody(Strict):
    """One part of a content. Its `type` determines which members matter."""

    type: str
    text: str | None = None
    error_spec: str | None = None
    image_url: str | None = None
    file_id: str | None = None


PartsOrText = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[Many[PartBody], Tag("<list>")], Discriminator(text_or_list)
]


class ItemBody(Strict):
    """One item of the input; without a `type`, it is a message."""

    type: str | None = None
    id: str | None = None
    role: str | None = None
    content: PartsOrText | None = None
    summary: Many[PartBody] | None = None
    encrypted_content: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    output: PartsOrText | None = None

    @property
    def kind(self) -> str:
        return self.type or "message"


class ToolBody(Strict):
    """A function, a tool that takes any text, or a tool that the provider runs."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ReasoningBody(Strict):
    effort: str | None = None
    summary: str | None = None


class TextBody(Strict):
    format: dict[str, Any] | None = None
    verbosity: Annotated[str | None, ECHOED] = None


Input = Annotated[Annotated[str, Tag("<text>")] | Annotated[Many[ItemBody], Tag("<list>")], Discriminator(text_or_list)]


class ResponsesBody(Strict):
    """The members that every vendor reads; a vendor's own body subclasses it."""

    model: str
    input: Input | None = None
    instructions: str | None = None
    stream: bool | None = None
    temperature: Annotated[float | None, ECHOED] = None
    top_p: Annotated[float | None, ECHOED] = None
    max_output_tokens: int | None = None
    top_logprobs: int | None = None
    tools: Many[ToolBody] | None = None
    tool_choice: ToolChoice | None = None
    reasoning: ReasoningBody | None = None
    text: TextBody | None = None
    user: Annotated[str | None, ECHOED] = None

    @property
    def items(self) -> Sequence[ItemBody]:
        """Returns the items of the input; none if the input is a text."""
        return self.input if isinstance(self.input, list) else ()

    @property
    def format(self) -> Mapping[str, Any]:
        """Returns the required format of the answer."""
        return (self.text.format if self.text is not None else None) or {"type": "text"}


# The conversation


def read_input(body: ResponsesBody, developer: str) -> tuple[Message, ...]:
    """Converts the conversation to neutral terms. `developer` is the role that `developer` messages get.

    The items of one turn of the model become one message."""
    messages = [Message("system", body.instructions)] if body.instructions else []
    if isinstance(body.input, str):
        return (*messages, Message("user", body.input))
    said: list[ItemBody] = []
    for item in body.items:
        if item.kind == "reasoning" or item.kind in CALLS or (item.kind == "message" and item.role == "assistant"):
            said.append(item)
            continue
        messages += _answered(said)
        said = []
        messages += _asked(item, developer)
    return (*messages, *_answered(said))


def _answered(items: Sequence[ItemBody]) -> Iterator[Message]:
    """Collects the model's items into one message for each turn. A thought after an answer begins a new turn."""
    turn: list[ItemBody] = []
    for item in items:
        if item.kind == "reasoning" and any(each.kind != "reasoning" for each in turn):
            yield _turn(turn)
            turn = []
        turn.append(item)
    if turn:
        yield _turn(turn)


def _turn(items: Sequence[ItemBody]) -> Message:
    thoughts = [text_of(item.content) for item in items if item.kind == "reasoning"]
    calls = [
        ToolCall(
            item.name or "",
            (item.arguments if item.kind == "function_call" else item.input) or "",
            item.call_id or "",
            "custom" if item.kind == "custom_tool_call" else "function",
        )
        for item in items
        if item.kind in CALLS
    ]
    return Message(
        "assistant",
        "".join([text_of(item.content) for item in items if item.kind == "message"]),
        reasoning="".join(thoughts) if thoughts else None,
        tool_calls=tuple(calls),
    )


def _asked(item: ItemBody, developer: str) -> Iterator[Message]:
    """Converts an item of the client: a message or a tool result; nothing for other kinds."""
    if item.kind in RESULTS:
        yield Message("tool", text_of(item.output), tool_call_id=item.call_id or "", images=images_in(item.output))
    elif item.kind == "message":
        role = item.role or "user"
        text = text_of(item.content)
        yield Message(developer if role == "developer" else role, text, images=images_in(item.content))


def text_of(content: Any) -> str:
    """Returns the text of a content: its text parts, joined."""
    if isinstance(content, str):
        return content
    return "".join([part.text or part.error_spec or "" for part in content or ()])


def images_in(content: Any) -> int:
    """Counts the images in a content."""
    return sum(part.type == "input_image" for part in parts_of(content))


def parts_of(content: Any) -> Sequence[PartBody]:
    """Returns the parts of a content; none if it is a text."""
    return content if isinstance(content, list) else ()


# Parameters


def read_tools(tools: Sequence[ToolBody] | None) -> tuple[Tool, ...]:
    """Converts the client's tools to neutral terms, without the tools that the provider runs."""
    found = []
    for tool in tools or ():
        if tool.type in ("function", "custom"):
            parameters = PLAIN_TEXT if tool.type == "custom" else tool.parameters or {}
            found.append(Tool(tool.name or "", tool.description or "", parameters))
    return tuple(found)


def wants_search(tools: Sequence[ToolBody] | None) -> bool:
    """Whether the provider may search the web."""
    return any(tool.type.startswith("web_search") for tool in tools or ())


def read_tool_choice(choice: Any) -> str:
    """Returns `none`, `auto`, `required` or `name:FUNCTION`."""
    if isinstance(choice, Mapping):
        if choice.get("type") in ("function", "custom") and isinstance(choice.get("name"), str):
            return f"name:{choice['name']}"
        if choice.get("type") == "allowed_tools":
            return "required" if choice.get("mode") == "required" else "auto"
        return "auto"
    return choice if isinstance(choice, str) else "auto"


def read_format(format: Mapping[str, Any]) -> tuple[Literal["text", "json_object", "json_schema"], Any]:
    """Returns the format of the answer and its schema."""
    kind = format.get("type")
    if kind == "json_schema":
        schema = format.get("schema")
        return "json_schema", schema if isinstance(schema, dict) else None
    return ("json_object" if kind == "json_object" else "text"), None


def as_custom(calls: Sequence[ToolCall], tools: Sequence[ToolBody | Mapping[str, Any]]) -> tuple[ToolCall, ...]:
    """Returns the calls; those of tools that take any text get the plain text."""
    custom = {_member(tool, "name") for tool in tools if _member(tool, "type") == "custom"}
    return tuple([_plain(call) if call.name in custom else call for call in calls])


def _member(tool: Any, name: str) -> Any:
    return tool.get(name) if isinstance(tool, Mapping) else getattr(tool, name)


def _plain(call: ToolCall) -> ToolCall:
    try:
        value = orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        value = None
    is_wrapped = isinstance(value, dict) and list(value) == ["input"] and isinstance(value["input"], str)
    text = value["input"] if is_wrapped else call.arguments
    return replace(call, kind="custom", arguments=text)
