"""The wire shape of generate content: reads and changes one event or one body."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import orjson

from emulator.dialects.base import Event, Meaning, Place, WireShape
from emulator.dialects.turns import Answer, Turn, content_answer, content_turns

BLOCKED = {"blockReason": "OTHER"}
"""What an answer without candidates has instead."""


class GenerateContentShape(WireShape):
    """Each event is a complete answer with a piece of the text; the last one also has the finish reason."""

    end_is: ClassVar[str] = "the event with the finish reason"
    reason_is_end: ClassVar[bool] = True
    takes_key_in_url: ClassVar[bool] = True
    facts: ClassVar[tuple[str, ...]] = ("responseId", "modelVersion")
    counted_as: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "prompt": ("promptTokenCount", "toolUsePromptTokenCount"),
        "completion": ("candidatesTokenCount", "thoughtsTokenCount"),
        "total": ("totalTokenCount",),
        "reasoning": ("thoughtsTokenCount",),
        "cached": ("cachedContentTokenCount",),
    }

    def turns(self, body: Mapping[str, Any]) -> list[Turn]:
        return content_turns(body) or super().turns(body)

    def answer_of(self, natives: Sequence[dict[str, Any]]) -> Answer:
        return content_answer(natives)

    def event_dumps(self, native: Any) -> bytes:
        """Returns the JSON of an event, on one line."""
        return orjson.dumps(native)

    def frame(self, native: Any, name: str | None = None) -> bytes:
        data = b"data: %b\r\n\r\n" % self.event_dumps(native)
        return data if name is None else b"event: %b\r\n%b" % (name.encode(), data)

    def read_frame(self, data: bytes) -> Event | None:
        return super().read_frame(data.replace(b"\r\n", b"\n"))

    # Where values are

    def candidates(self, native: dict[str, Any]) -> list[dict[str, Any]]:
        """Returns the candidates of an event or a body."""
        found = native.get("candidates")
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def places(self, native: dict[str, Any], *meanings: Meaning) -> Iterator[Place]:
        for candidate in self.candidates(native):
            index = candidate.get("index", 0)
            for part in parts_of(candidate):
                meaning: Meaning = "reasoning" if part.get("thought") else "content"
                if meaning in meanings and "text" in part:
                    yield Place(part, "text", meaning, index)
                if "signature" in meanings and "thoughtSignature" in part:
                    yield Place(part, "thoughtSignature", "signature", index)
            if "finish" in meanings and "finishReason" in candidate:
                yield Place(candidate, "finishReason", "finish", index)
        if "usage" in meanings and "usageMetadata" in native:
            yield Place(native, "usageMetadata", "usage")
        if "id" in meanings and "responseId" in native:
            yield Place(native, "responseId", "id")

    def objects(self, native: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield native
        for candidate in self.candidates(native):
            yield candidate
            if isinstance(candidate.get("content"), dict):
                yield candidate["content"]
            yield from parts_of(candidate)

    # Faults

    def without_answer(self, native: dict[str, Any], value: Any) -> bool:
        native["candidates"] = value
        native["promptFeedback"] = BLOCKED
        return True

    def without_end(self, native: dict[str, Any]) -> dict[str, Any] | None:
        native.pop("usageMetadata", None)
        for candidate in self.candidates(native):
            for name in ("finishReason", "finishMessage", "safetyRatings"):
                candidate.pop(name, None)
        is_said = any(part != {"text": ""} for each in self.candidates(native) for part in parts_of(each))
        return native if is_said else None

    def without_answers(self, native: dict[str, Any]) -> dict[str, Any] | None:
        if "usageMetadata" not in native:
            return None
        native.pop("candidates", None)
        return native

    def is_only_usage(self, native: dict[str, Any]) -> bool:
        return not native.get("candidates") and "promptFeedback" not in native

    def late_text(self, native: dict[str, Any], text: str) -> dict[str, Any] | None:
        content = {"parts": [{"text": text}], "role": "model"}
        native["candidates"] = [{"content": content, "index": 0}]
        return native


class ArrayShape(GenerateContentShape):
    """The same as a JSON array, the format of streams without `alt=sse`."""

    stream_type: ClassVar[str] = "json"
    opening: ClassVar[bytes] = b"["

    def is_last(self, native: dict[str, Any]) -> bool:
        """Whether an element is the last one: only the finish reason or an error shows it."""
        return "error" in native or "promptFeedback" in native or any(self.places(native, "finish"))

    def frame(self, native: Any, name: str | None = None) -> bytes:
        element = self.dumps(native).rstrip(b"\n")
        return element + (b"\n]\n" if self.is_last(native) else b"\n,\r\n")

    def read_frame(self, data: bytes) -> Event | None:
        native = self.read_body(data.removeprefix(self.opening).rstrip(b"\r\n,]"))
        return Event(None, native) if native is not None else None

    def split(self, body: bytes) -> list[bytes]:
        return _ELEMENT_END.split(body)


_ELEMENT_END = re.compile(rb"(\n,\r\n|\n\]\n)")


def parts_of(candidate: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the parts of a candidate."""
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
