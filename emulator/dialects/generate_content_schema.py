"""Converts Google's schemas, a subset of OpenAPI with type names in capitals, to JSON Schema."""

from collections.abc import Mapping
from typing import Any

from pydantic.alias_generators import to_camel

COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
"""The members that are numbers and may arrive as strings, as 64-bit numbers do in Google's JSON."""
SAME = ("title", "description", "enum", "pattern", "required", "minimum", "maximum", "default", "additionalProperties")
FORMATS = ("date", "date-time", "time", "duration", "uuid", "email", "uri", "ipv4", "ipv6")
"""The formats that JSON Schema also has; the others are sizes of numbers, or `enum`."""


def json_schema_of(schema: Any) -> Any:
    """Converts a schema."""
    if not isinstance(schema, Mapping):
        return schema
    given = {name if name.startswith("$") else to_camel(name): value for name, value in schema.items()}
    made: dict[str, Any] = {}
    kind = given.get("type")
    if isinstance(kind, str) and kind.upper() != "TYPE_UNSPECIFIED":
        made["type"] = [kind.lower(), "null"] if given.get("nullable") else kind.lower()
    elif kind is not None and not isinstance(kind, str):
        made["type"] = kind
    made |= {name: given[name] for name in SAME if name in given}
    made |= {name: _number(given[name]) for name in COUNTS if name in given}
    if given.get("format") in FORMATS:
        made["format"] = given["format"]
    if given.get("nullable") and "enum" in made and None not in made["enum"]:
        made["enum"] = [*made["enum"], None]
    for name in ("items", "additionalProperties"):
        if isinstance(given.get(name), Mapping):
            made[name] = json_schema_of(given[name])
    for name in ("anyOf", "prefixItems"):
        if isinstance(given.get(name), list):
            made[name] = [json_schema_of(each) for each in given[name]]
    if given.get("nullable") and "anyOf" in made:
        made["anyOf"].append({"type": "null"})
    for name in ("$ref", "ref"):
        if name in given:
            made["$ref"] = given[name]
    for name in ("$defs", "defs"):
        if isinstance(given.get(name), Mapping):
            made["$defs"] = {key: json_schema_of(each) for key, each in given[name].items()}
    if isinstance(given.get("properties"), Mapping):
        made["properties"] = _in_order(given["properties"], given.get("propertyOrdering"))
    return made


def _in_order(properties: Mapping[str, Any], order: Any) -> dict[str, Any]:
    """Returns the properties in the order in which the model writes them."""
    first = [name for name in order if name in properties] if isinstance(order, list) else []
    return {name: json_schema_of(properties[name]) for name in dict.fromkeys([*first, *properties])}


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdigit() else value
