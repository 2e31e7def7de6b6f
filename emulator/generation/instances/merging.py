"""Merges two schemas that must both hold into one, for `allOf`, `$ref` with siblings, and a chosen branch.

A *flat* schema has only keywords about the value itself, in one spelling: `type`, `pattern` and `multipleOf` are lists,
and `const` is an `enum` with one value. Merging may lose what one flat schema can't express (two formats, for example).
The finished value is checked against the original schema, so this costs a retry but never gives a wrong value.
"""

from collections.abc import Callable, Mapping
from typing import Any

from emulator.generation.instances.patterns import pattern_of
from emulator.generation.instances.references import JsonSchema
from emulator.generation.instances.search import Fuel, Miss
from emulator.generation.instances.validity import frozen, type_list, uncovered

Flat = dict[str, Any]
MORE_CONTAINS = "\0contains"
"""The member of a flat schema for what it must contain in addition to its `contains`; no client's keyword has this
name.
"""
BRANCHING = frozenset(
    {"$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"}
)


def flattened(schema: Mapping[str, Any]) -> Flat:
    """Returns the schema's own keywords, without those that apply other schemas to the same value."""
    flat = {keyword: argument for keyword, argument in schema.items() if keyword not in BRANCHING}
    if "type" in flat:
        flat["type"] = type_list(flat["type"])
    for keyword in ("pattern", "multipleOf"):
        if keyword in flat:
            flat[keyword] = [flat[keyword]]
    if "const" in flat:
        flat["enum"] = _shared(flat.get("enum", [flat["const"]]), [flat.pop("const")])
    _modernize(flat)
    return flat


def _modernize(flat: Flat) -> None:
    """Converts the keywords of drafts before 2020-12."""
    rest = flat.pop("additionalItems", True)
    if isinstance(flat.get("items"), list):
        flat["prefixItems"] = flat.pop("items")
        if rest is not True:
            flat["items"] = rest
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(flat.get(exclusive), bool) and flat.pop(exclusive) and bound in flat:
            flat[exclusive] = flat[bound]
    names = {name: each for name, each in flat.pop("dependencies", {}).items() if isinstance(each, list)}
    if names:
        flat["dependentRequired"] = {**names, **flat.get("dependentRequired", {})}


def closed(flat: Flat) -> Flat:
    """Returns the same schema once everything that evaluates its properties and items is merged into it. From then
    on, `unevaluated…` is `additional…`, so it applies to the names in other schemas.
    """
    for keyword, rest in (("unevaluatedProperties", "additionalProperties"), ("unevaluatedItems", "items")):
        if keyword in flat:
            others = flat.pop(keyword)
            if keyword == "unevaluatedItems" and "contains" in flat:  # contained items count as evaluated
                others = {"anyOf": [flat["contains"], others]}
            flat.setdefault(rest, others)
    return flat


def merged(one: Flat, two: Flat, fuel: Fuel) -> Flat:
    """Returns a flat schema for values that are valid under both. Raises Miss if they clearly exclude each other."""
    fuel.burn(10 + len(one) + len(two))
    flat = {**two, **one}
    for keyword, combine in COMBINED.items():
        if keyword in one and keyword in two:
            fuel.burn(2 * (_length(one[keyword]) + _length(two[keyword])))
            flat[keyword] = combine(one[keyword], two[keyword])
    more = [*one.get(MORE_CONTAINS, ()), *two.get(MORE_CONTAINS, ())]
    if "contains" in one and "contains" in two and one["contains"] is not two["contains"]:
        more.append(two["contains"])
    if more:
        flat[MORE_CONTAINS] = more
    flat |= _properties(one, two, fuel)
    flat |= _items(one, two)
    return flat


def both(one: JsonSchema, two: JsonSchema) -> JsonSchema:
    """Returns a schema for values that are valid under both."""
    if one is True or one is two:
        return two
    if two is True:
        return one
    return False if one is False or two is False else {"allOf": [one, two]}


def _length(argument: Any) -> int:
    return len(argument) if isinstance(argument, Mapping | list | tuple) else 1


def part(flat: Mapping[str, Any], keyword: str) -> JsonSchema:
    """Returns the schema under the keyword, or one that allows everything."""
    schema: JsonSchema = flat.get(keyword, True)
    return schema


def property_schema(flat: Flat, name: str, fuel: Fuel) -> JsonSchema:
    """Returns the schema of the property `name`."""
    schema = _outside_patterns(flat, name, fuel)
    for pattern, demanded in flat.get("patternProperties", {}).items():
        if pattern_of(pattern, fuel).matches(name, fuel):
            schema = both(schema, demanded)
    return schema


def _outside_patterns(flat: Flat, name: str, fuel: Fuel) -> JsonSchema:
    """Returns the schema of the property without `patternProperties`."""
    covered = not uncovered(flat, {name: None}, fuel)
    return part(flat.get("properties", {}), name) if covered else part(flat, "additionalProperties")


def _properties(one: Flat, two: Flat, fuel: Fuel) -> Flat:
    """`additionalProperties` of each side applies to the names that only the other side has."""
    names = dict.fromkeys([*one.get("properties", ()), *two.get("properties", ())])
    flat: Flat = {}
    if names:
        sides = [{name: _outside_patterns(side, name, fuel) for name in names} for side in (one, two)]
        flat["properties"] = {name: both(sides[0][name], sides[1][name]) for name in names}
    if "additionalProperties" in one or "additionalProperties" in two:
        flat["additionalProperties"] = both(part(one, "additionalProperties"), part(two, "additionalProperties"))
    return flat


def _items(one: Flat, two: Flat) -> Flat:
    """`items` of each side applies to the positions that only the other side's `prefixItems` has."""
    first, second = one.get("prefixItems", []), two.get("prefixItems", [])
    rest_one, rest_two = part(one, "items"), part(two, "items")
    flat: Flat = {}
    if first or second:
        flat["prefixItems"] = [
            both(first[at] if at < len(first) else rest_one, second[at] if at < len(second) else rest_two)
            for at in range(max(len(first), len(second)))
        ]
    if "items" in one or "items" in two:
        flat["items"] = both(rest_one, rest_two)
    return flat


def _types(one: list[str], two: list[str]) -> list[str]:
    shared = [name for name in one if name in two or (name == "integer" and "number" in two)]
    shared += [name for name in two if name == "integer" and "number" in one and name not in shared]
    if not shared:
        raise Miss(f"type {' or '.join(one)} and type {' or '.join(two)} exclude each other")
    return shared


def _shared(one: list[Any], two: list[Any]) -> list[Any]:
    known = {frozen(value) for value in two}
    shared = [value for value in one if frozen(value) in known]
    if not shared:
        raise Miss("two lists of allowed values (enum, const) have none in common")
    return shared


def _united(one: list[Any], two: list[Any]) -> list[Any]:
    return list(dict.fromkeys([*one, *two]))


def _by_name(combine: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda one, two: {
        **one,
        **{name: combine(one[name], value) if name in one else value for name, value in two.items()},
    }


COMBINED: dict[str, Callable[[Any, Any], Any]] = {
    "type": _types,
    "enum": _shared,
    "pattern": _united,
    "multipleOf": _united,
    "required": _united,
    "propertyNames": both,
    "patternProperties": _by_name(both),
    "dependentRequired": _by_name(_united),
    "uniqueItems": lambda one, two: one or two,
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"), min),
}
