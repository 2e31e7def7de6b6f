"""The wire shape of responses: reads and changes one event or one body."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from emulator.dialects.base import Edge, ErrorSpec, Meaning, Place, WireShape
from emulator.dialects.turns import Answer, Turn, item_answer, item_turns

LASTS = ("response.completed", "response.incomplete", "response.failed")
"""The events that end a stream."""
TEXT_EVENTS: Mapping[str, Meaning] = {
    "response.output_text": "content",
    "response.refusal": "content",
    "response.reasoning_text": "reasoning",
    "response.reasoning_summary_text": "reasoning",
}
"""The meaning of each text event, by its type without `.delta` or `.done`."""
PARTS: Mapping[str, tuple[str, Meaning]] = {
    "output_text": ("text", "content"),
    "refusal": ("refusal", "content"),
    "reasoning_text": ("text", "reasoning"),
    "summary_text": ("text", "reasoning"),
}
"""For each type of part: the member that holds its text, and its meaning."""


class ResponsesShape(WireShape):
    """Reads and changes numbered typed events, and the object in the first and last of them."""

    end_is: ClassVar[str] = "the event with the final status"
    facts: ClassVar[tuple[str, ...]] = ("id", "object", "created_at", "model", "sequence_number")
    counted_as: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "prompt": ("input_tokens",),
        "completion": ("output_tokens",),
        "total": ("total_tokens",),
        "reasoning": ("output_tokens_details.reasoning_tokens",),
        "cached": ("input_tokens_details.cached_tokens",),
    }

    def event_name(self, native: Any) -> str | None:
        name = native.get("type")
        return name if isinstance(name, str) else None

    # The conversation

    def turns(self, body: Mapping[str, Any]) -> list[Turn]:
        return item_turns(body)

    def answer_of(self, natives: Sequence[dict[str, Any]]) -> Answer:
        return item_answer(natives)

    # Where values are

    def places(self, native: dict[str, Any], *meanings: Meaning) -> Iterator[Place]:
        yield from [place for place in self.texts(native) if place.meaning in meanings]
        if "call_index" in meanings and "output_index" in native:
            yield Place(native, "output_index", "call_index", native["output_index"])
        if "id" in meanings and "id" in response_in(native):
            yield Place(response_in(native), "id", "id")
        if "signature" in meanings:
            thoughts = [item for _, item in items_in(native) if "encrypted_content" in item]
            yield from [Place(item, "encrypted_content", "signature") for item in thoughts]
        if "number" in meanings and "sequence_number" in native:
            yield Place(native, "sequence_number", "number")
        response = response_in(native)
        if "finish" in meanings and (native.get("type") in LASTS or response is native) and "status" in response:
            yield Place(response, "status", "finish")
        if "usage" in meanings and "usage" in response:
            yield Place(response, "usage", "usage")

    def texts(self, native: dict[str, Any]) -> Iterator[Place]:
        """Yields every text, with a key that separates deltas from the events that repeat them."""
        subject, _, step = str(native.get("type")).rpartition(".")
        if subject in TEXT_EVENTS:
            name = "delta" if step == "delta" else "refusal" if subject == "response.refusal" else "text"
            key = (step, native.get("output_index"), native.get("content_index"), native.get("summary_index"))
            if name in native:
                yield Place(native, name, TEXT_EVENTS[subject], key)
        for key, part in parts_in(native):
            name, meaning = PARTS.get(str(part.get("type")), ("", "content"))
            if name and name in part:
                yield Place(part, name, meaning, key)

    def objects(self, native: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield native
        response = response_in(native)
        if response and response is not native:
            yield response
        yield from [item for _, item in items_in(native)]
        yield from [part for _, part in parts_in(native)]

    # Blocks are called items here

    block_word: ClassVar[str] = "item"

    def edge_of(self, native: dict[str, Any]) -> Edge | None:
        edges: Mapping[Any, Edge] = {"response.output_item.added": "start", "response.output_item.done": "stop"}
        return edges.get(native.get("type"))

    def block_events(self, index: int, kind: str) -> list[dict[str, Any]]:
        item = {"id": f"x_{index}", "type": kind, "status": "in_progress"}
        added = {"type": "response.output_item.added", "sequence_number": 0, "output_index": index, "item": item}
        done = {**added, "type": "response.output_item.done", "item": {**item, "status": "completed"}}
        return [added, done]

    def add_block(self, native: dict[str, Any], kind: str) -> bool:
        output = response_in(native).get("output")
        if isinstance(output, list):
            output.append({"id": f"x_{len(output)}", "type": kind, "status": "completed"})
        return isinstance(output, list)

    def repeated(self, native: dict[str, Any]) -> Iterator[Place]:
        yield from [place for place in self.texts(native) if place.meaning == "content" and place.key[0] != "delta"]

    # Faults

    def without_facts(self, native: dict[str, Any]) -> dict[str, Any]:
        for holder in (native, response_in(native)):
            for name in self.facts:
                holder.pop(name, None)
        return native

    def without_answer(self, native: dict[str, Any], value: Any) -> bool:
        response = response_in(native)
        if "output" in response:
            response["output"] = value
        return bool(response)

    def without_end(self, native: dict[str, Any]) -> dict[str, Any] | None:
        response = response_in(native)
        response.update(status="in_progress", usage=None)
        return native

    def late_text(self, native: dict[str, Any], text: str) -> dict[str, Any] | None:
        return {
            "type": "response.output_text.delta",
            "sequence_number": native.get("sequence_number", 0) + 1,
            "item_id": native.get("item_id", self.item_id(response_in(native).get("id", ""), "msg", 0)),
            "output_index": native.get("output_index", 0),
            "content_index": native.get("content_index", 0),
            "delta": text,
            "logprobs": [],
        }

    def failure(self, native: dict[str, Any], row: ErrorSpec) -> dict[str, Any] | None:
        response = {**response_in(native), "status": "failed", "error": self.failed_with(row), "usage": None}
        return {
            "type": "response.failed",
            "sequence_number": native.get("sequence_number", 0) + 1,
            "response": response,
        }

    def failed_with(self, row: ErrorSpec) -> dict[str, Any]:
        """Returns the error of a failed response."""
        return {"code": "rate_limit_exceeded" if row.status == 429 else "server_error", "message": row.message}

    def item_id(self, id: str, kind: str, index: int) -> str:
        """Returns the id of an item."""
        raise NotImplementedError


def response_in(native: dict[str, Any]) -> dict[str, Any]:
    """Returns the response in an event, or the whole body itself; empty for other events."""
    response = native.get("response")
    if isinstance(response, dict):
        return response
    return native if "output" in native and native.get("object") == "response" else {}


def items_in(native: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
    """Returns the items in an event or a body, each with its key."""
    found: list[tuple[Any, Any]] = [(("item", native.get("output_index")), native.get("item"))]
    output = response_in(native).get("output")
    found += [(("response", index), item) for index, item in enumerate(output if isinstance(output, list) else ())]
    return [(key, item) for key, item in found if isinstance(item, dict)]


def parts_in(native: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
    """Returns the parts in an event or a body, each with its key."""
    found: list[tuple[Any, Any]] = [
        (("part", native.get("output_index"), native.get("content_index")), native.get("part"))
    ]
    for key, item in items_in(native):
        for name in ("summary", "content"):
            parts = item.get(name)
            found += [
                ((*key, name, number), part) for number, part in enumerate(parts if isinstance(parts, list) else ())
            ]
    return [(key, part) for key, part in found if isinstance(part, dict)]
