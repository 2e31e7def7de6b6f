"""The format of Claude's messages: ids, signed and hidden thoughts, citations, searches, usage, pings."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, Generic

import orjson

from emulator import seeded, tokens
from emulator.dialects.base import Habits, VendorT
from emulator.dialects.messages import Messages, citation_row
from emulator.providers.claude_signatures import signed
from emulator.reply import Block, Choice, Citation, Completion, Search, Thought, Usage
from emulator.wire import FrameRun

BASE58 = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58 = bytes(BASE58[byte % 58] for byte in range(256))


def base58(entropy: bytes, length: int) -> str:
    """Encodes random bytes with base58, which has no letters and digits that look alike."""
    return entropy[:length].translate(_BASE58).decode()


def call_id(entropy: seeded.Entropy, index: int, number: int) -> str:
    """Returns the id of a tool call."""
    return f"toolu_01{base58(seeded.digest('tool_call', entropy, index, number), 22)}"


class ClaudeShape(Messages[VendorT], Generic[VendorT]):
    """Renders messages as Claude's models do."""

    pings = True
    opening_output = 1
    own_habits: ClassVar[Habits] = Habits(call_id=call_id)

    def model_habits(self) -> Habits:
        return self.own_habits

    def make_id(self, entropy: bytes) -> str:
        return f"msg_01{base58(entropy, 22)}"

    def signature(self, thought: Thought, completion: Completion) -> str | None:
        return thought.signature or signed(thought.text, completion.id)

    def message(
        self, completion: Completion, content: list[dict[str, Any]], choice: Choice | None, usage: dict[str, Any]
    ) -> dict[str, Any]:
        message = super().message(completion, content, choice, usage)
        details = None if choice is None else stop_details(message["stop_reason"])
        return message if details is None else {**message, "stop_details": details}

    def ending(self, choice: Choice) -> dict[str, Any]:
        ending = super().ending(choice)
        details = stop_details(ending["stop_reason"])
        return ending if details is None else {**ending, "stop_details": details}

    def usage(self, usage: Usage) -> dict[str, Any]:
        return {
            "input_tokens": max(0, usage.prompt - usage.cached - usage.cache_written),
            "cache_creation_input_tokens": usage.cache_written,
            "cache_read_input_tokens": usage.cached,
            "cache_creation": {
                "ephemeral_5m_input_tokens": usage.cache_written - usage.cache_written_1h,
                "ephemeral_1h_input_tokens": usage.cache_written_1h,
            },
            "output_tokens": usage.completion,
            **usage_details(usage),
            "service_tier": "standard",
        }

    def first_usage(self, usage: Usage) -> dict[str, Any]:
        return self.usage(replace(usage, reasoning=0, searches=0))

    def last_usage(self, usage: Usage) -> dict[str, Any]:
        row = self.usage(usage)
        return {name: value for name, value in row.items() if name not in ("cache_creation", "service_tier")}

    def rows(self, block: Block, completion: Completion) -> list[dict[str, Any]]:
        if isinstance(block, Thought) and block.encrypted is None and block.summary is not None:
            return [{"type": "thinking", "thinking": block.summary, "signature": self.signature(block, completion)}]
        return super().rows(block, completion)

    def block_runs(self, block: Block, completion: Completion, index: int) -> Iterator[list[FrameRun]]:
        if isinstance(block, Thought) and block.encrypted is None and block.summary is not None:
            signed_with = {"type": "signature_delta", "signature": self.signature(block, completion)}
            start = {"type": "thinking", "thinking": "", "signature": ""}
            delta = ("thinking_delta", "thinking")
            *runs, _ = self.framed(index, start, "reasoning", block.summary, delta, [signed_with])
            stop = {"type": "content_block_stop", "index": index}
            yield [*runs, self.event("frame", stop, tokens=tokens.count(block.text))]  # hidden, but it takes its time
            return
        if isinstance(block, Search):
            asked, found = self.search(block)
            query = orjson.dumps(asked["input"]).decode()
            delta = ("input_json_delta", "partial_json")
            yield self.framed(index, {**asked, "input": {}}, "tool_calls", query, delta)
            yield self.framed(index + 1, found)
            return
        yield from super().block_runs(block, completion, index)

    def search(self, search: Search) -> Iterator[dict[str, Any]]:
        id = search.id if search.id.startswith("srv") else f"srv{search.id}"
        asked, found = super().search(replace(search, id=id))
        if isinstance(found["content"], list):
            found["content"] = [
                {"type": row["type"], "title": row["title"], "url": row["url"], "encrypted_content": sealed(row["url"]),
                 "page_age": None}
                for row in found["content"]
            ]  # fmt: skip
        yield asked
        yield found

    def citation(self, citation: Citation) -> dict[str, Any]:
        if citation.passage is None:
            return {**citation_row(citation), "encrypted_index": sealed(citation.url + citation.cited_text)}
        return passage_row(citation)


def usage_details(usage: Usage) -> dict[str, Any]:
    """Returns the details of the usage, if there are any."""
    row: dict[str, Any] = {}
    if usage.reasoning:
        row["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if usage.searches:
        row["server_tool_use"] = {"web_search_requests": usage.searches, "web_fetch_requests": 0}
    return row


def stop_details(reason: Any) -> dict[str, Any] | None:
    """Returns the details of a refusal; None for any other reason."""
    return {"type": "refusal", "category": None, "explanation": None} if reason == "refusal" else None


def sealed(text: str) -> str:
    """Returns an encrypted value that only the provider could read."""
    return "E" + seeded.alphanumeric(31, "sealed", text)


def passage_row(citation: Citation) -> dict[str, Any]:
    """Returns a citation of one of the client's documents."""
    passage = citation.passage
    assert passage is not None
    row: dict[str, Any] = {"cited_text": citation.cited_text}
    if passage.kind == "results":
        return {
            "type": "search_result_location",
            **row,
            "source": citation.url,
            "title": citation.title or None,
            "search_result_index": passage.index,
            "start_block_index": passage.start,
            "end_block_index": passage.end,
        }
    kind, unit = {
        "characters": ("char_location", "char_index"),
        "pages": ("page_location", "page_number"),
        "blocks": ("content_block_location", "block_index"),
    }[passage.kind]
    return {
        "type": kind,
        **row,
        "document_index": passage.index,
        "document_title": citation.title or None,
        f"start_{unit}": passage.start,
        f"end_{unit}": passage.end,
        "file_id": None,
    }
