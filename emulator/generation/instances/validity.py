"""Checks whether a value is valid under a JSON Schema (draft 2020-12), with one function for each keyword.

It checks what `making` has made, and chooses among examples. It also reads the keywords of older drafts, and omits what
no generated value depends on (`content…`, vocabularies).
"""

import datetime
import ipaddress
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from functools import partial
from typing import Any

from emulator.generation.instances.patterns import pattern_of
from emulator.generation.instances.references import REFERENCES, JsonSchema, References
from emulator.generation.instances.search import Fuel, Miss

MAX_DEPTH = 150
Evaluated = Callable[["SchemaDocument", Mapping[str, Any], Any], set[Any]]


class SchemaDocument:
    """A whole schema: resolves its references and checks values against its parts."""

    def __init__(self, root: JsonSchema, fuel: Fuel) -> None:
        self.root, self.fuel = root, fuel
        self.references = References(root, fuel)
        self.scope: list[str] = [self.references.base_of(root) or ""]
        self.depth = 0
        self.listed: dict[int, frozenset[Any]] = {}
        self.unheeded: frozenset[str] = frozenset()
        """The ignored keywords."""
        self.newer = self.references.newer if uses(root, self.references.newer, fuel) else frozenset()

    def entered(self, schema: JsonSchema, scope: list[str]) -> str:
        """Returns the base of the schema, which is now the innermost one of the dynamic scope."""
        base = self.references.base_of(schema)
        if base is None:
            return scope[-1]
        if base != scope[-1]:
            scope.append(base)
        return base

    def follow(self, keyword: str, reference: Any, schema: JsonSchema, scope: list[str]) -> JsonSchema:
        """Resolves a schema's reference in a dynamic scope. Raises Miss if its target is not in this document."""
        return self.references.resolve(keyword, str(reference), self.references.base_of(schema) or scope[-1], scope)

    def referred(self, schema: Mapping[str, Any]) -> list[JsonSchema]:
        """Returns what the references of the schema refer to here."""
        return [self.follow(each, schema[each], schema, self.scope) for each in REFERENCES if each in schema]

    def fault(self, schema: JsonSchema, value: Any) -> str | None:
        """Returns the first keyword of `schema` that `value` violates; None if the value is valid."""
        self.fuel.burn(10)
        if isinstance(schema, bool):
            return None if schema else "false"
        if self.depth > MAX_DEPTH:
            raise Miss("the schema nests too deeply, or refers to itself without end")
        self.depth += 1
        before = len(self.scope)
        self.entered(schema, self.scope)
        try:
            for keyword, argument in self.heeded(schema):
                check = CHECKS.get(keyword)
                if check and not check(self, argument, value, schema):
                    return keyword
        finally:
            self.depth -= 1
            del self.scope[before:]
        return None

    def fault_by_the_letter(self, schema: JsonSchema, value: Any) -> str | None:
        """The same for validators that ignore keywords that the draft does not define."""
        if not self.newer:
            return None
        self.unheeded = self.newer
        try:
            return self.fault(schema, value)
        finally:
            self.unheeded = frozenset()

    def heeded(self, schema: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
        """Returns the keywords that apply: in drafts up to 7, a `$ref` hides the others."""
        if self.references.is_legacy and "$ref" in schema:
            return (("$ref", schema["$ref"]),)
        if self.unheeded:
            return [(keyword, argument) for keyword, argument in schema.items() if keyword not in self.unheeded]
        return schema.items()

    def evaluated(self, schema: JsonSchema, value: Any, parts_of: Evaluated) -> set[Any]:
        """Returns the property names or item indices that the schema evaluates, for a valid value."""
        self.fuel.burn(10)
        if isinstance(schema, bool):
            return set()
        if self.depth > MAX_DEPTH:
            raise Miss("the schema nests too deeply, or refers to itself without end")
        self.depth += 1
        before = len(self.scope)
        self.entered(schema, self.scope)
        try:
            found = parts_of(self, schema, value)
            for other in self._beside(schema, value):
                found |= self.evaluated(other, value, parts_of)
        finally:
            self.depth -= 1
            del self.scope[before:]
        return found

    def _beside(self, schema: Mapping[str, Any], value: Any) -> Iterator[JsonSchema]:
        """Yields the other schemas that apply to the same value."""
        yield from self.referred(schema)
        yield from schema.get("allOf", ())
        for keyword in ("anyOf", "oneOf"):
            yield from (branch for branch in schema.get(keyword, ()) if self.allows(branch, value))
        if "if" in schema:
            holds = self.allows(schema["if"], value)
            yield from (schema["if"], schema.get("then", True)) if holds else (schema.get("else", True),)
        if isinstance(value, Mapping):
            yield from (each for name, each in schema.get("dependentSchemas", {}).items() if name in value)

    def allows(self, schema: JsonSchema, value: Any) -> bool:
        """Whether the value is valid."""
        return self.fault(schema, value) is None

    def among(self, choices: list[Any], value: Any) -> bool:
        """Whether the value is one of the values of an `enum`."""
        known = self.listed.get(id(choices))
        if known is None:
            self.fuel.burn(5 * size_of(choices, self.fuel))
            known = self.listed[id(choices)] = frozenset(map(frozen, choices))
        return frozen(value) in known

    def count(self, schemas: list[JsonSchema], value: Any) -> int:
        """Counts the schemas under which the value is valid."""
        return sum(self.allows(schema, value) for schema in schemas)


def size_of(value: Any, fuel: Fuel) -> int:
    """Counts the values in a JSON value, including itself."""
    count, waiting = 0, [value]
    while waiting:
        part = waiting.pop()
        count += 1
        fuel.burn(5)
        if isinstance(part, list | tuple):
            waiting += part
        elif isinstance(part, Mapping):
            waiting += part.values()
    return count


def uses(schema: JsonSchema, keywords: frozenset[str], fuel: Fuel) -> bool:
    """Whether one of the keywords occurs anywhere in a schema."""
    waiting: list[Any] = [schema] if keywords else []
    while waiting:
        part = waiting.pop()
        fuel.burn(5)
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, Mapping):
            if not keywords.isdisjoint(part):
                return True
            waiting += part.values()
    return False


def is_writable(value: Any, fuel: Fuel) -> bool:
    """Whether JSON can express a value: it has no infinite numbers, and UTF-8 has no lone surrogates."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        fuel.burn(8)
        if isinstance(part, float):
            if not math.isfinite(part):
                return False
        elif isinstance(part, list | tuple):
            waiting += part
        elif isinstance(part, Mapping):
            waiting += [each for pair in part.items() for each in pair]
        elif isinstance(part, str) and not (part.isascii() or _is_text(part)):
            return False
    return True


def _is_text(part: str) -> bool:
    return not re.search("[\ud800-\udfff]", part)


def frozen(value: Any) -> Any:
    """Returns a hashable form of a JSON value; two forms are equal if and only if JSON Schema considers the values
    equal.
    """
    match value:
        case bool():
            return ("boolean", value)
        case list():
            return ("array", *map(frozen, value))
        case Mapping():
            return ("object", frozenset((name, frozen(part)) for name, part in value.items()))
    return value


def is_number(value: Any) -> bool:
    """Whether a value is a number in JSON; booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_multiple(value: int | float, step: int | float) -> bool:
    """Whether `value` is a multiple, in the arithmetic of common validators: floats are divided as floats."""
    if not isinstance(step, float):
        return value % step == 0
    try:
        quotient = value / step
        return int(quotient) == quotient
    except OverflowError:
        return (Fraction(value) / Fraction(step)).denominator == 1


def is_type(value: Any, name: str) -> bool:
    """Whether the value is of the JSON Schema type."""
    match name:
        case "integer":
            return is_number(value) and (isinstance(value, int) or value.is_integer())
        case "number":
            return is_number(value)
        case "null":
            return value is None
    kinds: dict[str, Any] = {"string": str, "boolean": bool, "array": list, "object": Mapping}
    return name in kinds and isinstance(value, kinds[name])


def type_list(types: Any) -> list[str]:
    """Returns the types of a `type` keyword, which may be one name or several."""
    return [types] if isinstance(types, str) else list(types)


def uncovered(schema: Mapping[str, Any], names: Mapping[str, Any], fuel: Fuel) -> list[str]:
    """Returns the names that neither `properties` nor `patternProperties` covers."""
    patterns = [pattern_of(pattern, fuel) for pattern in schema.get("patternProperties", ())]
    own = schema.get("properties", {})
    return [name for name in names if name not in own and not any(each.matches(name, fuel) for each in patterns)]


def _has_format(name: str, value: str) -> bool:
    check = FORMATS.get(name)
    try:
        return check is None or bool(check(value))
    except (ValueError, re.error):
        return False


def _contains(document: SchemaDocument, schema: JsonSchema, value: list[Any], whole: Mapping[str, Any]) -> bool:
    found = sum(document.allows(schema, item) for item in value)
    return bool(whole.get("minContains", 1) <= found <= whole.get("maxContains", math.inf))


def _items(
    document: SchemaDocument, rest: JsonSchema | list[JsonSchema], value: list[Any], whole: Mapping[str, Any]
) -> bool:
    if isinstance(rest, list):  # `prefixItems` before draft 2020-12
        others = whole.get("additionalItems", True)
        return all(map(document.allows, rest, value)) and all(
            document.allows(others, item) for item in value[len(rest) :]
        )
    return all(document.allows(rest, item) for item in value[len(whole.get("prefixItems", ())) :])


def _names(document: SchemaDocument, schema: Mapping[str, Any], value: Mapping[str, Any]) -> set[Any]:
    if "additionalProperties" in schema or "unevaluatedProperties" in schema:
        return set(value)
    return set(value) - set(uncovered(schema, value, document.fuel))


def _indices(document: SchemaDocument, schema: Mapping[str, Any], value: list[Any]) -> set[Any]:
    items = schema.get("items")
    listed = items if isinstance(items, list) else schema.get("prefixItems", ())
    if isinstance(items, Mapping | bool) or "unevaluatedItems" in schema or "additionalItems" in schema:
        return set(range(len(value)))
    held = schema.get("contains", False) if document.references.contains_counts else False
    return {at for at, item in enumerate(value) if at < len(listed) or document.allows(held, item)}


def _unevaluated(document: SchemaDocument, rest: JsonSchema, value: Any, whole: Mapping[str, Any]) -> bool:
    """Whether what no other keyword evaluates satisfies `unevaluatedProperties` or `unevaluatedItems`."""
    keyword = "unevaluatedProperties" if isinstance(value, Mapping) else "unevaluatedItems"
    others = {name: argument for name, argument in whole.items() if name != keyword}
    parts_of: Evaluated = _names if isinstance(value, Mapping) else _indices
    found = document.evaluated(others, value, parts_of)
    keys: Iterable[Any] = value if isinstance(value, Mapping) else range(len(value))
    return all(document.allows(rest, value[key]) for key in keys if key not in found)


def _depends(document: SchemaDocument, dependencies: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    """`dependencies` of drafts up to 7: names, or a schema."""
    return all(
        all(other in value for other in wanted) if isinstance(wanted, list) else document.allows(wanted, value)
        for name, wanted in dependencies.items()
        if name in value
    )


def _above(value: Any, limit: Any, schema: Mapping[str, Any]) -> bool:
    return bool(value > (schema.get("minimum", -math.inf) if limit is True else limit)) or limit is False


def _below(value: Any, limit: Any, schema: Mapping[str, Any]) -> bool:
    return bool(value < (schema.get("maximum", math.inf) if limit is True else limit)) or limit is False


def _patterned(document: SchemaDocument, patterns: Mapping[str, JsonSchema], value: Mapping[str, Any]) -> bool:
    return all(
        document.allows(schema, value[name])
        for pattern, schema in patterns.items()
        for name in value
        if pattern_of(pattern, document.fuel).matches(name, document.fuel)
    )


def _are_different(values: list[Any], fuel: Fuel) -> bool:
    size_of(values, fuel)
    return len({*map(frozen, values)}) == len(values)


def _referred(keyword: str, document: SchemaDocument, reference: Any, value: Any, whole: Mapping[str, Any]) -> bool:
    return document.allows(document.follow(keyword, reference, whole, document.scope), value)


def _is_equal(constant: Any, value: Any, fuel: Fuel) -> bool:
    size_of(constant, fuel)
    return bool(frozen(value) == frozen(constant))


def _conditioned(document: SchemaDocument, condition: JsonSchema, value: Any, whole: Mapping[str, Any]) -> bool:
    return document.allows(whole.get("then" if document.allows(condition, value) else "else", True), value)


# fmt: off
DAY, CLOCK = r"\d{4}-\d\d-\d\d", r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([zZ]|[+-]([01]\d|2[0-3]):[0-5]\d)"
LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
DURATION = r"P(?!$)((\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?|\d+W)"
FORMATS: dict[str, Callable[[str], Any]] = {
    "date": lambda text: re.fullmatch(DAY, text, re.ASCII) and datetime.date.fromisoformat(text),
    "time": lambda text: re.fullmatch(CLOCK, text, re.ASCII),
    "date-time": lambda text: re.fullmatch(f"{DAY}[Tt]{CLOCK}", text, re.ASCII)
                              and datetime.date.fromisoformat(text[:10]),
    "duration": lambda text: re.fullmatch(DURATION, text, re.ASCII),
    "email": lambda text: re.fullmatch(r"[^@\s]+@[^@\s]+", text),
    "idn-email": lambda text: re.fullmatch(r"[^@\s]+@[^@\s]+", text),
    "hostname": lambda text: len(text) < 254 and re.fullmatch(rf"{LABEL}(\.{LABEL})*", text),
    "idn-hostname": lambda text: len(text) < 254 and re.fullmatch(r"[\w-]+(\.[\w-]+)*", text),
    "ipv4": ipaddress.IPv4Address,
    "ipv6": lambda text: "%" not in text and ipaddress.IPv6Address(text),
    "iri": lambda text: re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\\<>{}|^`\"]+", text),
    "iri-reference": lambda text: re.fullmatch(r"[^\s\\<>{}|^`\"]*", text),
    "uri-template": lambda text: re.fullmatch(r"([^\s{}<>\"\\^`|]|\{[^{}\s]+\})*", text),
    "relative-json-pointer": lambda text: re.fullmatch(r"(0|[1-9]\d*)(#|(/([^~/]|~[01])*)*)", text, re.ASCII),
    "uri": lambda text: re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\\<>{}|^`\"]+", text),
    "uri-reference": lambda text: re.fullmatch(r"[^\s\\<>{}|^`\"]*", text),
    "uuid": lambda text: re.fullmatch(r"[\da-fA-F]{8}(-[\da-fA-F]{4}){3}-[\da-fA-F]{12}", text, re.ASCII),
    "json-pointer": lambda text: re.fullmatch(r"(/([^~/]|~[01])*)*", text),
    "regex": re.compile,
}

Check = Callable[[SchemaDocument, Any, Any, Mapping[str, Any]], bool]
CHECKS: dict[str, Check] = {
    **{keyword: partial(_referred, keyword) for keyword in REFERENCES},
    "allOf": lambda d, a, v, s: all(d.allows(each, v) for each in a),
    "anyOf": lambda d, a, v, s: any(d.allows(each, v) for each in a),
    "oneOf": lambda d, a, v, s: d.count(a, v) == 1,
    "not": lambda d, a, v, s: not d.allows(a, v),
    "if": _conditioned,
    "type": lambda d, a, v, s: any(is_type(v, name) for name in type_list(a)),
    "enum": lambda d, a, v, s: d.among(a, v),
    "const": lambda d, a, v, s: _is_equal(a, v, d.fuel),
    "minimum": lambda d, a, v, s: not is_number(v) or v >= a,
    "maximum": lambda d, a, v, s: not is_number(v) or v <= a,
    "exclusiveMinimum": lambda d, a, v, s: not is_number(v) or _above(v, a, s),
    "exclusiveMaximum": lambda d, a, v, s: not is_number(v) or _below(v, a, s),
    "multipleOf": lambda d, a, v, s: not is_number(v) or is_multiple(v, a),
    "minLength": lambda d, a, v, s: not isinstance(v, str) or len(v) >= a,
    "maxLength": lambda d, a, v, s: not isinstance(v, str) or len(v) <= a,
    "pattern": lambda d, a, v, s: not isinstance(v, str) or pattern_of(a, d.fuel).matches(v, d.fuel),
    "format": lambda d, a, v, s: not isinstance(v, str) or _has_format(a, v),
    "minItems": lambda d, a, v, s: not isinstance(v, list) or len(v) >= a,
    "maxItems": lambda d, a, v, s: not isinstance(v, list) or len(v) <= a,
    "uniqueItems": lambda d, a, v, s: not (a and isinstance(v, list)) or _are_different(v, d.fuel),
    "prefixItems": lambda d, a, v, s: not isinstance(v, list) or all(map(d.allows, a, v)),
    "items": lambda d, a, v, s: not isinstance(v, list) or _items(d, a, v, s),
    "contains": lambda d, a, v, s: not isinstance(v, list) or _contains(d, a, v, s),
    "minProperties": lambda d, a, v, s: not isinstance(v, Mapping) or len(v) >= a,
    "maxProperties": lambda d, a, v, s: not isinstance(v, Mapping) or len(v) <= a,
    "required": lambda d, a, v, s: not isinstance(v, Mapping) or all(name in v for name in a),
    "properties": lambda d, a, v, s: not isinstance(v, Mapping) or all(d.allows(a[n], v[n]) for n in a if n in v),
    "patternProperties": lambda d, a, v, s: not isinstance(v, Mapping) or _patterned(d, a, v),
    "additionalProperties": lambda d, a, v, s: not isinstance(v, Mapping)
                            or all(d.allows(a, v[name]) for name in uncovered(s, v, d.fuel)),
    "propertyNames": lambda d, a, v, s: not isinstance(v, Mapping) or all(d.allows(a, name) for name in v),
    "dependentRequired": lambda d, a, v, s: not isinstance(v, Mapping)
                         or all(name in v for key in a if key in v for name in a[key]),
    "dependentSchemas": lambda d, a, v, s: not isinstance(v, Mapping) or all(d.allows(a[n], v) for n in a if n in v),
    "dependencies": lambda d, a, v, s: not isinstance(v, Mapping) or _depends(d, a, v),
    "unevaluatedProperties": lambda d, a, v, s: not isinstance(v, Mapping) or _unevaluated(d, a, v, s),
    "unevaluatedItems": lambda d, a, v, s: not isinstance(v, list) or _unevaluated(d, a, v, s),
}
# fmt: on
