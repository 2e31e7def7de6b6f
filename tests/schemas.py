"""Schemas that a hostile client sends, and random ones."""

import json
import random
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]


def nested(levels: int, wrap: Callable[[Any], Any]) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = wrap(schema)
    return schema


def required(schema: Any) -> Schema:
    return {"type": "object", "properties": {"a": schema}, "required": ["a"]}


COSTLY: dict[str, Any] = {
    "60,000 steps": {"type": "object", "properties": {"a": {"allOf": [{"multipleOf": n} for n in range(1, 60_001)]}},
                     "required": ["a"]},
    "a thousand patterns": {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(300)},
                            "patternProperties": {f"^x{n}[a-z]+$": {"type": "string"} for n in range(1000)}},
    "the least step": {"type": "array", "minItems": 1000, "items": {"type": "number", "multipleOf": 5e-324}},
    "60,000 branches": {"anyOf": [{"type": "string", "pattern": r"^\b$"}] * 60_000},
    "60,000 values": {"type": "array", "minItems": 1000, "items": {"enum": list(range(60_000))}},
    "a large class": {"type": "string", "pattern": f"^[{''.join(chr(200 + n) for n in range(3000))}]{{4000}}$"},
    "a large constant": {"type": "array", "minItems": 1000, "items": {"const": list(range(60_000))}},
    "conditions": {"$ref": "#/$defs/0", "$defs": {
        **{str(n): {key: {"$ref": f"#/$defs/{n + 1}"} for key in ("if", "then", "else")} for n in range(40)},
        "40": {"pattern": "^(a+)+$"},
    }},
}  # fmt: skip

UNWRITABLE = {
    "nested 240 deep": json.dumps(nested(240, required)),
    "nested 240 deep, at will": json.dumps(nested(240, lambda schema: {"properties": {"a": schema}})),
    "a step of 1e308": '{"type":"object","properties":{"a":{"type":"integer","multipleOf":1e308}},"required":["a"]}',
    "a bound of 1e308": '{"type":"object","properties":{"a":{"type":"integer","minimum":1e308}},"required":["a"]}',
    "a bound beyond 64 bits": '{"properties":{"a":{"type":"integer","minimum":36893488147419103232}},"required":["a"]}',
    "a bound below 64 bits": '{"properties":{"a":{"type":"integer","maximum":-36893488147419103233}},"required":["a"]}',
    "half a character": r'{"type":"string","pattern":"^\\ud800$"}',
    "a class of halves": r'{"type":"string","pattern":"^[\\ud800-\\udbff]$"}',
}

NAMES: list[str] = ["name", "price", "a/b", "x~y", "größe", "", "$ref", "id"]
NUMBERS: list[float] = [
    0,
    1,
    -1,
    5,
    0.1,
    1e-9,
    5e-324,
    1e308,
    -1e308,
    2**53 + 1,
    2**64,
    -(2**70),
    3.5,
    10**30,
    1.7976931348623157e308,
]
PATTERNS: list[str] = [
    "^a+$", r"\d{3}", "(a|b)*c", "^$", ".", r"^[\ud800-\udfff]$", r"^\ud800", r"\bx\b", "^(a+)+$", "(?=a)b", "[^a]",
    "(",     r"^.{300}$", "[^ -~]", r"\S\s\S", "(a{0,9}){0,9}", r"\u00e9", "a{1000}",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 0.5, 1e308, 2**64, -(2**80), "", "é", "\u2028", [], [1, [2]], {}, {"a": {"b": None}},
    "x" * 300, [0] * 50, {"\0": "\x1f"},
]  # fmt: skip

KEYWORDS: dict[str, Callable[[random.Random, int], Any]] = {
    "type": lambda chance, depth: chance.choice(
        ["object", "array", "string", "number", "integer", "boolean", "null", ["string", "null"], ["integer", "object"]]
    ),
    "properties": lambda chance, depth: {
        name: random_schema(chance, depth + 1) for name in chance.sample(NAMES, chance.randint(1, 3))
    },
    "required": lambda chance, depth: chance.sample(NAMES, chance.randint(0, 2)),
    "additionalProperties": lambda chance, depth: random_schema(chance, depth + 1),
    "patternProperties": lambda chance, depth: {chance.choice(PATTERNS): random_schema(chance, depth + 1)},
    "propertyNames": lambda chance, depth: {"pattern": chance.choice(PATTERNS)},
    "items": lambda chance, depth: random_schema(chance, depth + 1),
    "prefixItems": lambda chance, depth: [random_schema(chance, depth + 1) for _ in range(chance.randint(1, 2))],
    "contains": lambda chance, depth: random_schema(chance, depth + 1),
    "minItems": lambda chance, depth: chance.randint(0, 3),
    "maxItems": lambda chance, depth: chance.randint(0, 5),
    "uniqueItems": lambda chance, depth: True,
    "minProperties": lambda chance, depth: chance.randint(0, 3),
    "enum": lambda chance, depth: chance.sample(VALUES, chance.randint(1, 4)),
    "const": lambda chance, depth: chance.choice(VALUES),
    "default": lambda chance, depth: chance.choice(VALUES),
    "minimum": lambda chance, depth: chance.choice(NUMBERS),
    "maximum": lambda chance, depth: chance.choice(NUMBERS),
    "exclusiveMinimum": lambda chance, depth: chance.choice(NUMBERS),
    "multipleOf": lambda chance, depth: chance.choice(NUMBERS),
    "minLength": lambda chance, depth: chance.randint(0, 20),
    "maxLength": lambda chance, depth: chance.randint(0, 40),
    "pattern": lambda chance, depth: chance.choice(PATTERNS),
    "format": lambda chance, depth: chance.choice(["date", "uri", "email", "ipv6", "regex", "duration", "x", "uuid"]),
    "allOf": lambda chance, depth: [random_schema(chance, depth + 1) for _ in range(chance.randint(1, 2))],
    "anyOf": lambda chance, depth: [random_schema(chance, depth + 1) for _ in range(chance.randint(1, 3))],
    "oneOf": lambda chance, depth: [random_schema(chance, depth + 1) for _ in range(chance.randint(1, 3))],
    "not": lambda chance, depth: random_schema(chance, depth + 1),
    "if": lambda chance, depth: random_schema(chance, depth + 1),
    "then": lambda chance, depth: random_schema(chance, depth + 1),
    "$ref": lambda chance, depth: chance.choice(["#", "#/properties/name", "#/$defs/nothing", "https://example.com/x"]),
    "dependentRequired": lambda chance, depth: {chance.choice(NAMES): [chance.choice(NAMES)]},
    "unevaluatedProperties": lambda chance, depth: chance.choice([False, True, {"type": "string"}]),
}


def random_schema(chance: random.Random, depth: int = 0) -> Any:
    """A schema of some random keywords that need not go together."""
    if depth > 4 or chance.random() < 0.05:
        return chance.choice([True, False, {}, {"type": "string"}])
    names = chance.sample(list(KEYWORDS), chance.randint(1, 5))
    schema = {name: KEYWORDS[name](chance, depth) for name in names}
    if chance.random() < 0.02:  # and now and then one that is malformed
        schema[chance.choice(list(KEYWORDS))] = chance.choice(VALUES)
    return schema
