"""Finds the JSON Schema, or the example, that a prompt shows to a model in JSON mode.

If a provider does not support schemas, libraries write them into the prompt: `generateObject` of the AI SDK,
`PromptedOutput` of pydantic-ai, the JSON modes of instructor. Guides show an example instead.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emulator.request import Message

MAX_TEXT, MAX_TRIES = 200_000, 200
"""The limits of the search: characters, and positions where an object may begin."""
TELLING = frozenset(["$schema", "properties", "$defs", "definitions", "$ref", "anyOf", "oneOf", "allOf"])
"""Members that only schemas have; other members need a `type` next to them."""
TYPES = frozenset(["object", "array", "string", "number", "integer", "boolean", "null"])
SHAPING = frozenset(["items", "enum", "const", "additionalProperties", "required"])
EXAMPLE = re.compile(r"\b(?:example|sample|for instance|like this|e\.g\.)", re.IGNORECASE)
BEFORE = 120
"""The number of characters before an object in which a word may mark it as an example."""
CODE_BLOCK = re.compile(r"```json\b", re.IGNORECASE)


def schema_in(messages: Sequence[Message]) -> Mapping[str, Any] | None:
    """Returns the schema for the answer, if the prompt has one: its last schema, or one derived from its last
    example."""
    example: Any = None
    for message in reversed(messages):
        if message.role not in ("system", "user", "developer"):
            continue
        for before, value in reversed([*_objects(message.content[-MAX_TEXT:])]):
            if is_schema(value):
                found: Mapping[str, Any] = value
                return found
            if example is None and EXAMPLE.search(before):
                example = value
    return None if example is None else like(example)


def wants_code_block(messages: Sequence[Message]) -> bool:
    """Whether the prompt asks for JSON in a Markdown block."""
    return any(CODE_BLOCK.search(message.content[-MAX_TEXT:]) for message in messages if message.role != "assistant")


def is_schema(value: Mapping[str, Any]) -> bool:
    """Whether an object is a JSON Schema rather than data."""
    if not TELLING.isdisjoint(value):
        return all(isinstance(value.get(name, {}), Mapping) for name in ("properties", "$defs", "definitions"))
    kind = value.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    return all(isinstance(each, str) and each in TYPES for each in kinds) and not SHAPING.isdisjoint(value)


def like(example: Any) -> dict[str, Any]:
    """Returns the schema of values that look like an example."""
    match example:
        case dict():
            return {
                "type": "object",
                "properties": {name: like(value) for name, value in example.items()},
                "required": list(example),
                "additionalProperties": False,
            }
        case list():
            return {"type": "array", "minItems": 1, "maxItems": 3, "items": like(example[0]) if example else {}}
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case float():
            return {"type": "number"}
        case None:
            return {"type": "null"}
        case _:
            return {"type": "string"}


def _objects(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the outermost JSON objects in a text, each with the text before it."""
    decoder = json.JSONDecoder()
    place = text.find("{")
    for _ in range(MAX_TRIES):
        if place < 0:
            return
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            if isinstance(value, dict) and value:
                yield text[max(0, place - BEFORE) : place], value
        place = text.find("{", end)
