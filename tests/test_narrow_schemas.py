"""Schemas with few values, or with odd, deep and enormous ones: the value that there is, or why there is none."""

import math
from typing import Any

from tables import each_of

from emulator.generation.instances import UnsatisfiableSchema, instance

Schema = dict[str, Any]
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
TOO_DEEP = "the schema nests too deeply, or refers to itself without end"


def nested(depth: int, schema: Schema) -> Schema:
    for _ in range(depth):
        schema = {"allOf": [schema]}
    return schema


@each_of(
    ("schema", "expected"),
    [
        ({"type": "string", "format": "date", "enum": ["2024-13-45", "2024-02-01"]}, "2024-02-01"),
        ({"type": "string", "format": "regex", "enum": ["(", "a"]}, "a"),
        ({"enum": [math.inf, [-math.inf], {"a": math.nan}, 1]}, 1),
        ({"enum": ["\ud800", ["\udfff"], {"\ud800": 1}, "é"]}, "é"),
        ({"$ref": "#/$defs/any", "$defs": {"any": True}, "const": 5}, 5),
        (
            {"type": "array", "minItems": 2, "maxItems": 2, "items": {"const": 3}, "unevaluatedItems": False},
            [3, 3],
        ),
        (
            {
                "allOf": [{"prefixItems": [{"const": 1}], "items": {"const": "a"}}],
                "minItems": 2,
                "maxItems": 2,
                "type": "array",
                "unevaluatedItems": False,
            },
            [1, "a"],
        ),
        (  # one pattern of property names has no value, another one does
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "patternProperties": {"^a$": {"type": "string", "maxLength": 0, "minLength": 1}, "^b$": {"const": 2}},
                "additionalProperties": False,
            },
            {"b": 2},
        ),
        (
            {
                "$schema": DRAFT_7,
                "type": "array",
                "items": [{"const": 1}],
                "minItems": 2,
                "maxItems": 2,
                "contains": {"const": 2},
            },
            [1, 2],
        ),
    ],
)
def test_the_value_that_is_left_is_found(schema: Schema, expected: Any) -> None:
    assert [instance(schema, seed) for seed in range(5)] == [expected] * 5


@each_of(
    ("schema", "reason"),
    [
        ({"const": math.inf}, "none of its allowed values (enum, const) satisfies the other keywords"),
        ({"type": "string", "format": "date", "maxLength": 5}, "no date was found with 0 to 5 characters"),
        ({"type": "string", "format": "email", "maxLength": 3}, "no email was found with 0 to 3 characters"),
        (
            {"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 1.0000000000000002},
            "no number that was tried is exact enough for its bounds and multipleOf",
        ),
        (
            {"type": "number", "minimum": 1, "multipleOf": 3**2000, "allOf": [{"multipleOf": 7**1000}]},
            "the steps of multipleOf have no common multiple but 0 that can be written",
        ),
        (
            {"type": "object", "minProperties": 2, "additionalProperties": {"type": "null", "enum": [1]}},
            "only 0 of 2 properties were found",
        ),
        ({"if": {"minimum": 1}, "then": {"type": "integer", "maximum": 2, "minimum": 3}, "else": False},
         "there is no whole number between 3 and 2"),
        ({"type": "object", "properties": {"a": True}, "required": ["a"], "unevaluatedProperties": False,
          **nested(200, {})}, TOO_DEEP),
    ],
)  # fmt: skip
def test_a_schema_without_a_value_says_why(schema: Schema, reason: str) -> None:
    assert refusal(schema) == f"No value fits the schema at #: {reason}"


def refusal(schema: Schema) -> str:
    try:
        return f"not refused: {instance(schema, 1)}"
    except UnsatisfiableSchema as error:
        return str(error)


def test_a_schema_that_nests_deeper_than_calls_can_is_refused() -> None:
    assert refusal(nested(1000, {})) == "The schema nests too deeply at #"


def test_a_long_host_name_has_labels_that_are_allowed() -> None:
    name = instance({"type": "string", "format": "hostname", "minLength": 130, "maxLength": 140}, 1)
    assert (130 <= len(name) <= 140, max(map(len, name.split("."))) <= 63, min(map(len, name.split("."))) > 0) == (
        True,
        True,
        True,
    )
