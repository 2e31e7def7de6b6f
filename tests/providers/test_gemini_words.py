"""Google's small forms: schemas in OpenAPI's style become JSON Schema, and signatures are recognized."""

import base64
from typing import Any

import pytest

from emulator.dialects.generate_content_schema import json_schema_of
from emulator.dialects.generate_content_words import UNSIGNED, is_signature


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (True, True),
        ({"type": "STRING", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": "INTEGER", "format": "int64"}, {"type": "integer"}),
        ({"type": "TYPE_UNSPECIFIED"}, {}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"type": "STRING", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        (
            {"nullable": True, "anyOf": [{"type": "STRING"}, {"type": "NUMBER"}]},
            {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]},
        ),
        (
            {"type": "ARRAY", "prefix_items": [{"type": "STRING"}], "min_items": "1", "items": {"type": "BOOLEAN"}},
            {"type": "array", "minItems": 1, "items": {"type": "boolean"}, "prefixItems": [{"type": "string"}]},
        ),
        (
            {"ref": "#/$defs/a", "defs": {"a": {"type": "STRING"}}},
            {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}},
        ),
        (
            {"type": "OBJECT", "properties": {"a": {}, "b": {}}, "propertyOrdering": ["b", "a"]},
            {"type": "object", "properties": {"b": {}, "a": {}}},
        ),
    ],
)
def test_a_schema_of_googles_means_one_of_json_schema(schema: Any, expected: Any) -> None:
    assert json_schema_of(schema) == expected


VARINT, FIXED64, BYTES, FIXED32, GROUP = (8 | kind for kind in (0, 1, 2, 5, 3))


@pytest.mark.parametrize(
    ("data", "is_one"),
    [
        (bytes([VARINT, 0xFF, 0x01]), True),
        (bytes([FIXED64, *bytes(8)]), True),
        (bytes([BYTES, 2, 0, 0]), True),
        (bytes([FIXED32, *bytes(4)]), True),
        (bytes([FIXED32, *bytes(4), VARINT, 1]), True),
        (bytes([FIXED64, *bytes(7)]), False),
        (bytes([BYTES, 3, 0, 0]), False),
        (bytes([GROUP, 0]), False),
        (bytes([0, 1]), False),
        (bytes([VARINT, *[0x80] * 12]), False),
        (bytes([VARINT, 0x80]), False),
        (b"", False),
    ],
    ids=["varint", "64 bits", "bytes", "32 bits", "two fields", "cut off", "cut off bytes", "of unknown type",
         "field 0", "endless number", "open number", "empty"],
)  # fmt: skip
def test_a_signature_is_a_message_of_protobuf(data: bytes, is_one: bool) -> None:
    assert is_signature(base64.b64encode(data).decode()) is is_one


def test_a_signature_is_base64_or_one_of_googles_words() -> None:
    assert [is_signature(each) for each in (*UNSIGNED, "no base64!", "a")] == [True] * len(UNSIGNED) + [False] * 2
