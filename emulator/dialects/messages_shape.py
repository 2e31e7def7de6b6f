"""The wire shape of messages: reads and changes one event or one body."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from emulator.dialects.turns import Answer, Turn, message_answer, message_turns
from emulator.dialects.wire_shape import Edge, Meaning, Place, WireShape


class MessagesShape(WireShape):
    """Reads and changes typed events, and the message or block in them."""

    terminator = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    facts = ("id", "type", "model", "role")
    counted_as: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "prompt": ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"),
        "completion": ("output_tokens",),
        "reasoning": ("output_tokens_details.thinking_tokens",),
        "cached": ("cache_read_input_tokens",),
        "cache_written": ("cache_creation_input_tokens",),
        "cache_written_1h": ("cache_creation.ephemeral_1h_input_tokens",),
        "searches": ("server_tool_use.web_search_requests",),
    }

    def turns(self, body: Mapping[str, Any]) -> list[Turn]:
        return message_turns(body)

    def answer_of(self, natives: Sequence[dict[str, Any]]) -> Answer:
        return message_answer(natives)

    def event_name(self, native: Any) -> str | None:
        name = native.get("type")
        return name if isinstance(name, str) else None

    def places(self, native: dict[str, Any], *meanings: Meaning) -> Iterator[Place]:
        message = native.get("message") if isinstance(native.get("message"), dict) else None
        for key, block in self.blocks(native):
            if "content" in meanings and "text" in block:
                yield Place(block, "text", "content", key)
            if "reasoning" in meanings and "thinking" in block:
                yield Place(block, "thinking", "reasoning", key)
        if "call_index" in meanings and "index" in native:
            yield Place(native, "index", "call_index", native["index"])
        if "finish" in meanings:
            for holder in (native, native.get("delta")):
                if isinstance(holder, dict) and "stop_reason" in holder:
                    yield Place(holder, "stop_reason", "finish")
        if "usage" in meanings:
            for holder in (native, message):
                if isinstance(holder, dict) and "usage" in holder:
                    yield Place(holder, "usage", "usage")

        if "id" in meanings and isinstance(message, dict) and "id" in message:
            yield Place(message, "id", "id")
        if "signature" in meanings:
            for key, block in self.blocks(native):
                if "signature" in block:
                    yield Place(block, "signature", "signature", key)

    block_word: ClassVar[str] = "block"

    def edge_of(self, native: dict[str, Any]) -> Edge | None:
        edges: Mapping[Any, Edge] = {"content_block_start": "start", "content_block_stop": "stop"}
        return edges.get(native.get("type"))

    def block_events(self, index: int, kind: str) -> list[dict[str, Any]]:
        return [
            {"type": "content_block_start", "index": index, "content_block": {"type": kind}},
            {"type": "content_block_stop", "index": index},
        ]

    def add_block(self, native: dict[str, Any], kind: str) -> bool:
        content = native.get("content")
        if isinstance(content, list):
            content.append({"type": kind})
        return isinstance(content, list)

    def is_hollow(self, native: dict[str, Any]) -> bool:
        return native.get("delta") == {"type": "signature_delta"}

    def blocks(self, native: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
        """Returns the blocks of a whole message, or the block or delta of an event, each with its index."""
        content = native.get("content")
        if isinstance(content, list):
            return [(index, block) for index, block in enumerate(content) if isinstance(block, dict)]
        found = (native.get("content_block"), native.get("delta"))
        return [(native.get("index", 0), block) for block in found if isinstance(block, dict)]

    def objects(self, native: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield native
        if isinstance(native.get("message"), dict):
            yield native["message"]
        yield from [block for _, block in self.blocks(native)]

    def without_facts(self, native: dict[str, Any]) -> dict[str, Any]:
        message = native.get("message") if native.get("type") == "message_start" else native
        if isinstance(message, dict) and "content" in message:
            for name in self.facts:
                message.pop(name, None)
        return native

    def without_answer(self, native: dict[str, Any], value: Any) -> bool:
        for holder in (native, native.get("message")):
            if isinstance(holder, dict) and "content" in holder:
                holder["content"] = value
        return not str(native.get("type")).startswith("content_block_")

    def usage_again(self, native: dict[str, Any]) -> dict[str, Any] | None:
        return native if native.get("type") == "message_delta" else None

    def late_text(self, native: dict[str, Any], text: str) -> dict[str, Any] | None:
        return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
