"""What a request for a response says: items instead of messages, read into neutral terms."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import orjson
from pydantic import Discriminator, Tag

from emulator.dialects.chat_input import Many, Strict, ToolChoice, text_or_list
from emulator.dialects.parameters import ECHOED
from emulator.request import Message, Tool, ToolCall

CALLS = {"function_call": "function", "custom_tool_call": "custom"}
"""The items that call a tool, with the kind of call."""
RESULTS = ("function_call_output", "custom_tool_call_output")
"""The items that tell what a tool answered."""
PLAIN_TEXT: Mapping[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
"""What stands for the parameters of a tool that takes any text."""


class PartBody(Strict):
    """One part of a content. Which members count depends on its `type`."""

    type: str
    text: str | None = None
    error_spec: str | None = None
    image_url: str | None = None
    file_id: str | None = None


PartsOrText = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[Many[PartBody], Tag("<list>")], Discriminator(text_or_list)
]


class ItemBody(Strict):
    """One item of the input; without a `type` it is a message."""

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
    """A function, a tool that takes any text, or one that the provider runs itself."""

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
        """The items of the input; a text has none."""
        return self.input if isinstance(self.input, list) else ()

    @property
    def format(self) -> Mapping[str, Any]:
        """The form that the answer has to have."""
        return (self.text.format if self.text is not None else None) or {"type": "text"}


# The conversation


def read_input(body: ResponsesBody, developer: str) -> tuple[Message, ...]:
    """The conversation in neutral terms; `developer` is what that role counts as. What the model said before stands in
    several items and is one message."""
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
    """What the model said before: one message for each turn. A thought after an answer begins another one."""
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
    """What comes from the client: a message, or what a tool answered. Items of other kinds say nothing."""
    if item.kind in RESULTS:
        yield Message("tool", text_of(item.output), tool_call_id=item.call_id or "", images=images_in(item.output))
    elif item.kind == "message":
        role = item.role or "user"
        text = text_of(item.content)
        yield Message(developer if role == "developer" else role, text, images=images_in(item.content))


def text_of(content: Any) -> str:
    """The text of a content: parts joined, other kinds left out."""
    if isinstance(content, str):
        return content
    return "".join([part.text or part.error_spec or "" for part in content or ()])


def images_in(content: Any) -> int:
    """How many images a content holds."""
    return sum(part.type == "input_image" for part in parts_of(content))


def parts_of(content: Any) -> Sequence[PartBody]:
    """The parts of a content; a text has none."""
    return content if isinstance(content, list) else ()


# What is asked for


def read_tools(tools: Sequence[ToolBody] | None) -> tuple[Tool, ...]:
    """The offered functions in neutral terms, without the tools that the provider runs itself."""
    found = []
    for tool in tools or ():
        if tool.type in ("function", "custom"):
            parameters = PLAIN_TEXT if tool.type == "custom" else tool.parameters or {}
            found.append(Tool(tool.name or "", tool.description or "", parameters))
    return tuple(found)


def wants_search(tools: Sequence[ToolBody] | None) -> bool:
    """Whether the provider may search the Web."""
    return any(tool.type.startswith("web_search") for tool in tools or ())


def read_tool_choice(choice: Any) -> str:
    """`none`, `auto`, `required`, or `name:FUNCTION`."""
    if isinstance(choice, Mapping):
        if choice.get("type") in ("function", "custom") and isinstance(choice.get("name"), str):
            return f"name:{choice['name']}"
        if choice.get("type") == "allowed_tools":
            return "required" if choice.get("mode") == "required" else "auto"
        return "auto"
    return choice if isinstance(choice, str) else "auto"


def read_format(format: Mapping[str, Any]) -> tuple[Literal["text", "json_object", "json_schema"], Any]:
    """The form of the answer, and its schema."""
    kind = format.get("type")
    if kind == "json_schema":
        schema = format.get("schema")
        return "json_schema", schema if isinstance(schema, dict) else None
    return ("json_object" if kind == "json_object" else "text"), None


def as_custom(calls: Sequence[ToolCall], tools: Sequence[ToolBody | Mapping[str, Any]]) -> tuple[ToolCall, ...]:
    """The calls, those of tools that take any text with the text alone."""
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
