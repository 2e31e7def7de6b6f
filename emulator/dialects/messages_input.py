"""The request body of messages, as every vendor reads it, and its conversion to neutral terms."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import orjson
from pydantic import Discriminator, Tag

from emulator.dialects.chat_input import Many, Strict, text_or_list
from emulator.dialects.parameters import SAMPLING, ignored
from emulator.request import Message, Tool, ToolCall


class BlockBody(Strict):
    """One block of a turn. Its `type` determines which members matter."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    tool_use_id: str | None = None
    content: Any = None
    is_error: bool | None = None
    source: Any = None


Blocks = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[Many[BlockBody], Tag("<list>")], Discriminator(text_or_list)
]


class TurnBody(Strict):
    role: str
    content: Blocks


class ToolBody(Strict):
    """A function or, if `type` names one, a tool that the provider runs."""

    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None


class Thinking(Strict):
    type: str
    budget_tokens: Annotated[int | None, ignored("the scenario determines how long a thought is")] = None


class OutputConfig(Strict):
    effort: str | None = None


class MessagesBody(Strict):
    """The members that every vendor reads; a vendor's own body subclasses it."""

    model: str
    max_tokens: int
    messages: Many[TurnBody]
    system: Blocks | None = None
    stop_sequences: Many[str] | None = None
    stream: bool | None = None
    temperature: Annotated[float | None, SAMPLING] = None
    top_p: Annotated[float | None, SAMPLING] = None
    tools: Many[ToolBody] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None


# The meaning of a body


def read_turns(system: Any, turns: Sequence[TurnBody]) -> tuple[Message, ...]:
    """Converts the conversation to neutral terms."""
    messages: list[Message] = []
    if system:
        messages.append(Message("system", text_of(system)))
    for turn in turns:
        if isinstance(turn.content, str):
            messages.append(Message(turn.role, turn.content))
        elif turn.role == "assistant":
            messages.append(_answered(turn.content))
        else:
            messages += _asked(turn.role, turn.content)
    return tuple(messages)


def text_of(content: Any) -> str:
    """Returns the text of a content: its text blocks, joined."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts: list[str] = []
    for block in content:
        kind, text = (block.get("type"), block.get("text")) if isinstance(block, dict) else (block.type, block.text)
        if kind == "text" and isinstance(text, str):
            parts.append(text)
    return "".join(parts)


def _answered(blocks: Sequence[BlockBody]) -> Message:
    """Converts a turn of the model."""
    thoughts = [block.thinking or "" for block in blocks if block.type == "thinking"]
    calls = [
        ToolCall(block.name or "", orjson.dumps({} if block.input is None else block.input).decode(), block.id or "")
        for block in blocks
        if block.type == "tool_use"
    ]
    return Message(
        "assistant", text_of(list(blocks)), reasoning="".join(thoughts) if thoughts else None, tool_calls=tuple(calls)
    )


def _asked(role: str, blocks: Sequence[BlockBody]) -> Iterator[Message]:
    """Converts a turn of the user: each tool result becomes a message of its own, the rest becomes one."""
    for block in blocks:
        if block.type == "tool_result":
            yield Message(
                "tool", text_of(block.content), tool_call_id=block.tool_use_id or "", is_error=bool(block.is_error)
            )
    others = [block for block in blocks if block.type != "tool_result"]
    if others or not blocks:
        images = sum(block.type == "image" for block in others)
        yield Message(role, text_of(others), images=images, continues=len(others) < len(blocks))


def read_tools(tools: Sequence[ToolBody] | None) -> tuple[Tool, ...]:
    """Converts the client's functions to neutral terms, without the tools that the provider runs."""
    functions = [tool for tool in tools or () if tool.type in (None, "custom")]
    return tuple([Tool(tool.name, tool.description or "", tool.input_schema or {}) for tool in functions])


def wants_search(tools: Sequence[ToolBody] | None) -> bool:
    """Whether the provider may search the web."""
    return any((tool.type or "").startswith("web_search") for tool in tools or ())


def read_tool_choice(choice: Mapping[str, Any] | None) -> str:
    """Returns `none`, `auto`, `required` or `name:FUNCTION`."""
    kind = choice.get("type") if choice is not None else None
    if kind == "tool" and choice is not None and isinstance(choice.get("name"), str):
        return f"name:{choice['name']}"
    return {"any": "required", "none": "none"}.get(str(kind), "auto")
