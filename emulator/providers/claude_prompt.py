"""The parts of a prompt for Claude, in the order in which they are cached: tools, system, messages."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from emulator.dialects.base import CachePoint

PER_MESSAGE, PER_ANSWER = 3, 4
"""The tokens around each message, and those before the answer."""
TOOLS_AUTO, TOOLS_FORCED = 346, 313
"""The tokens of the tool instructions, if the model may call tools and if it must."""
PER_IMAGE = 1600
"""The tokens of an image, or of a document that is not text: those of the largest possible image."""
FIVE_MINUTES, HOUR = 300.0, 3600.0
MAX_POINTS = 4
Json = Mapping[str, Any]
Part = tuple[str, Any]
"""A text and its `cache_control`."""


def fixed_tokens(body: Json) -> int:
    """Counts the tokens other than those of texts."""
    messages = body.get("messages") or ()
    fixed = PER_ANSWER + PER_MESSAGE * len(messages)
    if body.get("tools"):
        kind = (body.get("tool_choice") or {}).get("type")
        fixed += TOOLS_FORCED if kind in ("any", "tool") else TOOLS_AUTO
    return fixed + PER_IMAGE * sum(_pictures(message.get("content")) for message in messages)


def parts_of(body: Json) -> list[Part]:
    """Returns every text of a prompt."""
    parts: list[Part] = []
    for tool in body.get("tools") or ():
        words = {name: value for name, value in tool.items() if name != "cache_control"}
        parts.append((orjson.dumps(words, default=str).decode(), tool.get("cache_control")))
    parts += blocks_of(body.get("system"))
    for message in body.get("messages") or ():
        parts += blocks_of(message.get("content"))
    return parts


def blocks_of(content: Any) -> Iterator[Part]:
    """Yields the texts of a content, one for each block."""
    if isinstance(content, str):
        yield content, None
    elif isinstance(content, list):
        for block in content:
            yield text_of_block(block), block.get("cache_control")


def text_of_block(block: Json) -> str:
    """Returns the text of a block."""
    match block.get("type"):
        case "text":
            return str(block.get("text") or "")
        case "thinking":
            return ""  # the model does not read its earlier thoughts
        case "tool_use" | "server_tool_use":
            return f"{block.get('name')} {orjson.dumps(block.get('input'), default=str).decode()}"
        case "tool_result" | "search_result":
            return "".join(text for text, _ in blocks_of(block.get("content")))
        case "document":
            return f"{block.get('title') or ''}{block.get('context') or ''}{document_text(block)}"
        case _:
            return ""


def document_text(block: Json) -> str:
    """Returns the text of a document; empty if it is not in the request as text."""
    source = block.get("source") or {}
    if source.get("type") == "text":
        return str(source.get("data") or "")
    if source.get("type") == "content":
        return "".join(text for text, _ in blocks_of(source.get("content")))
    return ""


def _pictures(content: Any) -> int:
    """Counts the images and the documents that are not text."""
    if not isinstance(content, list):
        return 0
    count = 0
    for block in content:
        source = block.get("source")
        is_pages = isinstance(source, dict) and source.get("type") in ("base64", "url", "file")
        count += block.get("type") == "image" or (block.get("type") == "document" and is_pages)
        count += _pictures(block.get("content")) if block.get("type") == "tool_result" else 0
    return count


def controls(body: Json) -> Sequence[Any]:
    """Returns every `cache_control`, in order."""
    marks = [mark for _, mark in parts_of(body) if mark]
    return [*marks, body["cache_control"]] if body.get("cache_control") else marks


def points_of(body: Json, least: int) -> list[CachePoint]:
    """Returns the positions up to which the prompt is cached."""
    parts = parts_of(body)
    marks = [(number, mark) for number, (_, mark) in enumerate(parts, 1) if mark]
    if body.get("cache_control") and parts:
        marks.append((len(parts), body["cache_control"]))
    return [CachePoint(number, HOUR if mark.get("ttl") == "1h" else FIVE_MINUTES, least) for number, mark in marks]
