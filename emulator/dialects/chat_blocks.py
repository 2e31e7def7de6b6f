"""Refusals, citations and custom tool calls in chat completions: what a reply can contain only as blocks."""

from typing import Any

from emulator.dialects.base import PIECE
from emulator.reply import Choice, Refusal, Text
from emulator.request import ToolCall

Json = dict[str, Any]


def refused(choice: Choice) -> str | None:
    """Returns the text of the model's refusal; None if it does not refuse."""
    texts = [block.text for block in choice.blocks if isinstance(block, Refusal)]
    return "".join(texts) if texts else None


def annotations(choice: Choice) -> list[Json]:
    """Returns the citations of a choice as `annotations`."""
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": each.start or 0,
                "end_index": each.end or 0,
                "title": each.title,
                "url": each.url,
            },
        }
        for block in choice.blocks
        if isinstance(block, Text)
        for each in block.citations
    ]


def call_row(call: ToolCall, text: str) -> Json:
    """Returns a tool call in wire format, with these arguments."""
    if call.kind == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": text}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}}


def call_piece(call: ToolCall) -> Json:
    """Returns the part of a tool call in an event that carries another piece of its arguments."""
    return {"custom": {"input": PIECE}} if call.kind == "custom" else {"function": {"arguments": PIECE}}
