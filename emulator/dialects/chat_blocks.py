"""How chat completions say what only blocks can: refusals, citations, calls of tools that take plain text."""

from typing import Any

from emulator.dialects.base import PIECE
from emulator.reply import Choice, Refusal, Text
from emulator.request import ToolCall

Json = dict[str, Any]


def refused(choice: Choice) -> str | None:
    """The words in which the model refuses; None when it does not."""
    texts = [block.text for block in choice.blocks if isinstance(block, Refusal)]
    return "".join(texts) if texts else None


def annotations(choice: Choice) -> list[Json]:
    """What the texts of a choice cite, as `annotations`."""
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
    """A call as it stands on the wire, with these arguments."""
    if call.kind == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": text}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}}


def call_piece(call: ToolCall) -> Json:
    """A call in an event that brings one more piece of its arguments."""
    return {"custom": {"input": PIECE}} if call.kind == "custom" else {"function": {"arguments": PIECE}}
