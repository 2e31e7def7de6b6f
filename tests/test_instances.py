"""Instances of a JSON Schema: valid according to `jsonschema`, the same for the same seed, and found quickly."""

import json
import re
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hits import examples
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator, Draft7Validator, Draft201909Validator, Draft202012Validator, FormatChecker

from emulator.generation.instances import UnsatisfiableSchema, instance
from emulator.generation.instances.patterns import Pattern
from emulator.generation.instances.search import Fuel
from emulator.generation.instances.validity import CHECKS

Schema = dict[str, Any]

PATTERNS = (
    r"^\d{3}-\d{4}$",
    r"^[A-Z]{2,5}$",
    r"^(red|green|blue)(-\w+)?$",
    r"^[^@\s]+@[a-z]+\.(com|org)$",
    r"colou?r",
    r"^https?://[a-z0-9.-]+(/\S*)?$",
    r"^(?=.*[A-Z])(?=.*\d).{8,}$",
    r"^v(0|[1-9]\d*)\.(0|[1-9]\d*)$",
    r"[^a-zA-Z0-9]$",
    r"\bword\b",
    r"^(?:[a-f0-9]{2}:){5}[a-f0-9]{2}$",
    r"^(ab)*$",
    r"^.+?\.(txt|md)$",
    r"^(?!admin)[a-z]{3,10}(?<!x)$",
)
FORMATS = {  # what jsonschema cannot check without other packages is checked here, roughly
    "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "date": r"\d{4}-\d\d-\d\d",
    "time": r"\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "duration": r"P(\d+[YMWD])*(T(\d+[HMS])+)?",
    "email": r"[^@\s]+@[^@\s]+\.[a-z]+",
    "hostname": r"[a-z0-9-]+(\.[a-z0-9-]+)*",
    "ipv4": r"\d+(\.\d+){3}",
    "ipv6": r"[0-9a-f:]+",
    "uri": r"[a-z][a-z0-9+.-]*:\S+",
    "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}
NAMES = st.sampled_from(
    ["name", "email", "city", "price", "date", "url", "description", "tags", "a/b", "x~y", "größe", "id"]
)
SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 2.0, "red", "green", ""])


def has_format(expression: str, value: object) -> bool:
    return not isinstance(value, str) or bool(re.fullmatch(expression, value))


CHECKER = FormatChecker(("date", "email", "ipv4", "ipv6", "uuid", "regex"))
for each in FORMATS.keys() - {"date", "email", "ipv4", "ipv6", "uuid"}:
    CHECKER.checkers[each] = (partial(has_format, FORMATS[each]), ())


def valid(schema: Any, value: Any) -> bool:
    """Whether jsonschema accepts the value, sent through JSON and back."""
    return bool(Draft202012Validator(schema, format_checker=CHECKER).is_valid(json.loads(json.dumps(value))))


def bounds(draw: Any, low: str, high: str, limit: int, spare: int = 0) -> Schema:
    """Both, one or neither of two keywords that bound a size, never in conflict."""
    least = draw(st.integers(0, limit))
    both = {low: least, high: least + spare + draw(st.integers(0, limit))}
    return {keyword: both[keyword] for keyword in draw(st.sets(st.sampled_from([low, high])))}


@st.composite
def strings(draw: Any) -> Schema:
    kind = draw(st.sampled_from(["plain", "pattern", "format"]))
    if kind == "plain":
        return {"type": "string", **bounds(draw, "minLength", "maxLength", 30)}
    return {"type": "string", kind: draw(st.sampled_from(PATTERNS if kind == "pattern" else list(FORMATS)))}


@st.composite
def numbers(draw: Any) -> Schema:
    schema: Schema = {"type": draw(st.sampled_from(["integer", "number"]))}
    number = st.integers(-1000, 1000) | st.decimals(-100, 100, places=2).map(float)
    low = draw(number)
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = low + draw(st.integers(20, 1000))
    if draw(st.booleans()):
        schema["multipleOf"] = draw(st.sampled_from([1, 2, 3, 7, 0.5, 0.25, 0.1, 0.01, 0.3, 1.5, 2.0]))
    return schema


def objects(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Schema]:
    @st.composite
    def build(draw: Any) -> Schema:
        properties = draw(st.dictionaries(NAMES, children, max_size=4))
        schema: Schema = {"type": "object", "properties": properties}
        names = sorted(properties)
        if names and draw(st.booleans()):
            schema["required"] = draw(st.lists(st.sampled_from(names), unique=True))
        if draw(st.booleans()):
            schema["additionalProperties"] = draw(st.booleans() | children)
        if draw(st.booleans()):
            schema["minProperties"] = draw(st.integers(0, len(names)))
        if len(names) > 1 and draw(st.booleans()):
            schema["dependentRequired"] = {names[0]: [names[1]]}
        if draw(st.booleans()):
            schema["patternProperties"] = {"^x-[a-z]+$": draw(children)}
        return schema

    return build()


def arrays(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Schema]:
    @st.composite
    def build(draw: Any) -> Schema:
        schema: Schema = {"type": "array", "items": draw(children), **bounds(draw, "minItems", "maxItems", 4, spare=2)}
        if draw(st.booleans()):
            schema["prefixItems"] = draw(st.lists(children, min_size=1, max_size=2))
        if draw(st.integers(0, 3)) == 0:
            schema = {**schema, "items": {"type": "integer"}, "uniqueItems": True}
        if draw(st.integers(0, 3)) == 0:
            schema |= {"items": True, "contains": draw(children), "maxItems": 6}
        return schema

    return build()


def mixtures(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Schema]:
    """Keywords that join schemas. Some of them have no instance at all."""
    several = st.lists(children, min_size=1, max_size=3)
    return st.one_of(
        st.builds(lambda branches: {"anyOf": branches}, several),
        st.builds(lambda branches: {"oneOf": branches}, several),
        st.builds(lambda parts: {"allOf": parts}, several),
        st.builds(lambda child, other: {**child, "not": other}, children, children),
        st.builds(lambda child, then: {**child, "if": {"type": "object"}, "then": then}, children, children),
        st.builds(
            lambda child, test: {**child, "if": test, "then": {}, "else": {"not": {"const": 1}}}, children, children
        ),
        st.builds(lambda child: {"$ref": "#/$defs/one", "$defs": {"one": child}}, children),
        st.builds(lambda child, name: {**child, "dependentSchemas": {name: {"required": ["id"]}}}, children, NAMES),
    )


LISTED = st.builds(lambda values: {"enum": values}, st.lists(SCALARS, min_size=1, max_size=4))
FIXED = st.builds(lambda value: {"const": value}, SCALARS)
KINDS = st.sampled_from(
    [{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {"type": ["integer", "array"]}]
)
LEAVES = strings() | numbers() | LISTED | FIXED | KINDS
PLAIN = st.recursive(LEAVES, lambda children: objects(children) | arrays(children), max_leaves=10)
MIXED = st.recursive(LEAVES, lambda children: objects(children) | arrays(children) | mixtures(children), max_leaves=8)


def rooted(schema: Any) -> Any:
    """The schema with references that count from the root made to fit: definitions are lifted to it."""
    found: dict[str, Any] = {}

    def lift(part: Any) -> Any:
        if isinstance(part, list):
            return [lift(each) for each in part]
        if not isinstance(part, dict):
            return part
        lifted = {keyword: lift(each) for keyword, each in part.items() if keyword != "$defs"}
        if "$ref" in part:
            name = f"d{len(found)}"
            found[name] = None
            found[name] = lift(part["$defs"]["one"])
            lifted["$ref"] = f"#/$defs/{name}"
        return lifted

    return {**lift(schema), "$defs": found}


@settings(max_examples=examples(500), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(schema=PLAIN, seed=st.integers(0, 99))
def test_every_schema_without_branches_gets_a_valid_instance(schema: Schema, seed: int) -> None:
    value = instance(schema, seed)

    assert valid(schema, value)
    assert instance(schema, seed) == value


@settings(max_examples=examples(700), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(schema=MIXED.map(rooted), seed=st.integers(0, 99))
def test_schemas_that_branch_merge_and_refer_get_valid_instances(schema: Schema, seed: int) -> None:
    try:
        value = instance(schema, seed)
    except UnsatisfiableSchema as error:
        error_spec = str(error)
    else:
        assert valid(schema, value)
        return
    assert "malformed" not in error_spec
    reject()


PIECES = st.sampled_from(
    re.findall(
        r"\S+",
        r"a b [ab] [^a] . \d \w \b ^ $ (a|b) (?:ab|c) a* b+? (ab)? [a-c]{2,3} (a*)* (?=b) (?!a) (?<=a) (?<!b) (a|) "
        r"(b?){2} \s \S+ (^a|b$) a{0} (?P<n>c) (a+|b)*",
    )
)


@settings(max_examples=examples(500), deadline=None, derandomize=True)
@given(pieces=st.lists(PIECES, max_size=5), text=st.text("abc 1\n", max_size=8))
def test_a_pattern_matches_what_re_matches(pieces: list[str], text: str) -> None:
    source = "".join(dict.fromkeys(pieces))

    assert Pattern(source).matches(text, Fuel()) == bool(re.search(source, text))


SHORTER = {  # patterns that cannot have these lengths
    r"^\d{3}-\d{4}$": {14},
    r"^[A-Z]{2,5}$": {8, 14},
    r"^(?:[a-f0-9]{2}:){5}[a-f0-9]{2}$": {8},
    r"^(?!admin)[a-z]{3,10}(?<!x)$": {14},
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("length", [{}, {"minLength": 8, "maxLength": 8}, {"minLength": 14, "maxLength": 40}])
def test_a_pattern_is_met_at_the_wanted_length(pattern: str, length: dict[str, int]) -> None:
    schema = {"type": "string", "pattern": pattern, **length}
    try:
        values = [instance(schema, seed) for seed in range(20)]
    except UnsatisfiableSchema:
        assert length.get("minLength") in SHORTER[pattern]
    else:
        assert all(valid(schema, value) for value in values)


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_is_met_also_at_an_odd_length(form: str) -> None:
    for length in ({}, {"minLength": 36}, {"maxLength": 9}):
        schema = {"type": "string", "format": form, **length}
        try:
            value = instance(schema, 1)
        except UnsatisfiableSchema:
            assert length
            assert form in {"date-time", "date", "time", "ipv4", "ipv6", "uuid"}
        else:
            assert valid(schema, value)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": None}, None),
        ({"type": "integer", "minimum": 7, "exclusiveMaximum": 8}, 7),
        ({"type": "number", "minimum": 0.5, "maximum": 0.5}, 0.5),
        ({"type": "integer", "multipleOf": 2.5, "minimum": 11, "maximum": 19}, 15),
        ({"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True}, {1, 2, 3}),
        ({"type": "array", "prefixItems": [{"const": "a"}, {"const": "b"}], "items": False, "minItems": 2}, ["a", "b"]),
        ({"allOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]}, "b"),
        ({"type": ["string", "integer"], "not": {"type": "string"}, "minimum": 3, "maximum": 3}, 3),
        ({"oneOf": [{"const": 1}, {"const": 1}, {"const": 2}]}, 2),
        ({"$ref": "#/definitions/a~1b", "definitions": {"a/b": {"const": 1}}}, 1),
        ({"$ref": "#here", "$defs": {"x": {"$anchor": "here", "const": 2}}}, 2),
        ({"$ref": "#/properties/a%25", "properties": {"a%": {"const": 3}}}, 3),
        ({"$id": "https://example.com/s", "$ref": "https://example.com/s#/$defs/x", "$defs": {"x": {"const": 4}}}, 4),
        (
            {"type": "object", "maxProperties": 1, "required": ["b"], "properties": {"a": {}, "b": {"const": 1}}},
            {"b": 1},
        ),
    ],
)
def test_the_only_instance_is_found(schema: Schema, expected: Any) -> None:
    value = instance(schema, 1)

    assert (set(value) if isinstance(expected, set) else value) == expected


def test_the_branch_of_a_condition_is_followed() -> None:
    schema = {
        "type": "object",
        "properties": {"country": {"enum": ["US", "NL"]}, "code": {"type": "string"}},
        "required": ["country", "code"],
        "if": {"properties": {"country": {"const": "US"}}},
        "then": {"properties": {"code": {"pattern": "^[0-9]{5}$"}}},
        "else": {"properties": {"code": {"pattern": "^[0-9]{4} [A-Z]{2}$"}}},
    }
    values = [instance(schema, seed) for seed in range(20)]

    assert all(valid(schema, value) for value in values)
    assert {value["country"] for value in values} == {"US", "NL"}


TREE: Schema = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "children", "next"],
            "additionalProperties": False,
        }
    },
}


def height(value: Any) -> int:
    match value:
        case dict():
            return 1 + max([height(part) for part in value["children"]] + [height(value["next"])])
    return 0


def test_recursion_is_shown_and_ends_within_four_levels() -> None:
    values = [instance(TREE, seed) for seed in range(30)]

    assert all(valid(TREE, value) for value in values)
    heights = {height(value) for value in values}
    assert max(heights) > 1
    assert max(heights) <= 4


def test_objects_look_full_and_plausible_and_keep_the_order_of_the_schema() -> None:
    names = ["name", "email", "billingCity", "unit_price", "created_at", "website", "description", "tags", "nickname"]
    properties: Schema = {name: {"type": "string"} for name in names} | {"age": {"type": "integer"}}
    properties["unit_price"] = {"type": "number"}
    properties["tags"] = {"type": "array", "items": {"type": "string"}}
    schema = {"type": "object", "properties": properties}
    values = [instance(schema, seed) for seed in range(20)]

    for value in values:
        assert list(value) == [name for name in properties if name in value]
    assert sum(map(len, values)) > 0.8 * 20 * len(properties)
    first = next(value for value in values if len(value) == len(properties))
    assert first["name"].istitle()
    assert re.fullmatch(r".+@example\.(com|org|net)", first["email"])
    assert first["website"].startswith("https://www.example.com/")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:00Z", first["created_at"])
    assert 18 <= first["age"] <= 80
    assert 5 <= first["unit_price"] <= 250
    assert len(first["description"].split()) > 4


def test_examples_are_used_now_and_then_but_only_valid_ones() -> None:
    schema = {"type": "string", "maxLength": 9, "examples": ["AB-12", "far too long for it"], "default": "CD-34"}
    values = {instance(schema, seed) for seed in range(60)}

    assert {"AB-12", "CD-34"} < values
    assert "far too long for it" not in values


def test_another_property_changes_no_other_and_another_seed_does() -> None:
    small = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    large = {"type": "object", "properties": {"b": {}, "a": {"type": "string"}}, "required": ["a", "b"]}

    assert instance(small, 1)["a"] == instance(large, 1)["a"]
    assert len({instance(small, seed)["a"] for seed in range(20)}) > 15
    assert instance(small, 1) == instance(small, "1")


def test_another_process_gives_the_same_instance() -> None:
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in ("name", "company", "x", "color")}}
    code = (
        f"import json; from emulator.generation.instances import instance; print(json.dumps(instance({schema!r}, 5)))"
    )
    for hash_seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, env={"PYTHONHASHSEED": hash_seed}
        )
        assert json.loads(found.stdout) == instance(schema, 5)


def nested(levels: int, wrap: Any) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = wrap(schema)
    return schema


HOSTILE = {
    "many items": {"type": "array", "minItems": 10**9},
    "long string": {"type": "string", "minLength": 10**9},
    "many properties": {"type": "object", "minProperties": 10**9},
    "items of items": {"type": "array", "minItems": 1000, "items": {"type": "array", "minItems": 1000}},
    "refers to itself": {"$ref": "#"},
    "contains itself": {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    "dangling reference": {"$ref": "#/$defs/nme", "$defs": {"name": {}}},
    "remote reference": {"$ref": "https://example.com/schema"},
    "slow pattern": {"type": "string", "pattern": "^(a+)+$", "not": {"pattern": "a"}},
    "slow check": {"const": "a" * 40 + "!", "pattern": "^(a+)+$"},
    "slow repeats": {"type": "array", "minItems": 1000, "items": {"pattern": "^((a*)*b?)*$", "minLength": 4000}},
    "bad pattern": {"type": "string", "pattern": "("},
    "deep": nested(300, lambda schema: {"type": "array", "items": schema, "minItems": 1}),
    "deep allOf": nested(800, lambda schema: {"allOf": [schema]}),
    "wide fork": nested(3, lambda schema: {"anyOf": [{"type": "array", "items": schema, "contains": False}] * 60}),
    "billion refs": {
        "$ref": "#/$defs/0",
        "$defs": {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 10} for n in range(12)} | {"12": {}},
    },
    "nothing": {"not": {}},
    "false": False,
    "no such type": {"type": "strin"},
    "two types": {"allOf": [{"type": "string"}, {"type": "integer"}]},
    "empty range": {"type": "integer", "minimum": 5, "maximum": 3},
    "infinity": {"type": "number", "minimum": float("inf")},
    "too few values": {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "minItems": 3},
    "malformed": {"type": "object", "properties": [1]},
    "malformed type": {"type": 5},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_is_refused_soon(name: str) -> None:
    start = time.perf_counter()
    with pytest.raises(UnsatisfiableSchema, match="#"):
        instance(HOSTILE[name], 1)
    assert time.perf_counter() - start < 5  # a hundredth of that as a rule; the limit allows for a busy machine


def test_a_wide_recursive_schema_stays_small() -> None:
    node = {"type": "object", "properties": {f"c{n}": {"$ref": "#"} for n in range(40)}}

    assert len(json.dumps(instance(node, 1))) < 20_000


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": ["object"], "required": ["a/b"],
          "properties": {"a/b": {"type": "integer", "minimum": 5, "maximum": 3}}},
         "No value fits the schema at #/properties/a~1b: there is no whole number between 5 and 3"),
        ({"type": "array", "minItems": 10**9},
         "No value fits the schema at #: at least 1000000000 items are required; at most 1000 are supported"),
        ({"$ref": "#/$defs/nme", "$defs": {"name": {}}},
         "No value fits the schema at #: '#/$defs/nme' is not in the schema. Did you mean '#/$defs/name'?"),
        ({"type": "strin"}, "No value fits the schema at #: there is no type 'strin'. Did you mean 'string'?"),
    ],
)  # fmt: skip
def test_a_refusal_says_where_and_why(schema: Schema, message: str) -> None:
    with pytest.raises(UnsatisfiableSchema) as caught:
        instance(schema, 1)
    assert str(caught.value) == message


JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)


@settings(max_examples=examples(400), deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(sorted({*CHECKS, "then", "else", "minContains", "examples"})), JSON, max_size=4))
def test_nonsense_is_refused_but_breaks_nothing(schema: Schema) -> None:
    with suppress(UnsatisfiableSchema):
        json.dumps(instance(schema, 1))


CHECKED_BY = {"7": Draft7Validator, "2019-09": Draft201909Validator, "2020-12": Draft202012Validator}
DIALECTS = {
    "7": "http://json-schema.org/draft-07/schema#",
    "2019-09": "https://json-schema.org/draft/2019-09/schema",
    "2020-12": "https://json-schema.org/draft/2020-12/schema",
}
CELL: Schema = {"type": "array", "minItems": 3, "items": [{"type": "string"}, {"const": 7}],
                "additionalItems": {"type": "boolean"}}  # fmt: skip
CHAIN: Schema = {
    "definitions": {
        "link": {
            "type": "object",
            "properties": {"next": {"$ref": "#/definitions/link"}, "a": {"const": 1}, "b": {"type": "integer"}},
            "required": ["a"],
            "dependencies": {"a": ["b"], "next": {"properties": {"c": {"const": 3}}, "required": ["c"]}},
        }
    },
    "allOf": [{"$ref": "#/definitions/link"}],
}
STRICT_TREE: Schema = {
    "$id": "https://example.com/strict",
    "$dynamicAnchor": "node",
    "$ref": "tree",
    "unevaluatedProperties": False,
    "$defs": {
        "tree": {
            "$id": "tree",
            "$dynamicAnchor": "node",
            "type": "object",
            "properties": {
                "data": {"type": "integer"},
                "children": {"type": "array", "minItems": 1, "items": {"$dynamicRef": "#node"}},
            },
            "required": ["data"],
        }
    },
}
STRICT_TREE_2019: Schema = {
    "$id": "https://example.com/strict",
    "$recursiveAnchor": True,
    "$ref": "tree",
    "unevaluatedProperties": False,
    "$defs": {
        "tree": {
            "$id": "tree",
            "$recursiveAnchor": True,
            "type": "object",
            "properties": {"data": {"type": "integer"}, "children": {"type": "array", "items": {"$recursiveRef": "#"}}},
            "required": ["data"],
        }
    },
}
RELATIVE: Schema = {
    "$id": "https://example.com/a/root.json",
    "type": "array",
    "minItems": 4,
    "prefixItems": [{"$ref": "one.json"}, {"$ref": "/b/two.json#/$defs/inner"}, {"$ref": "b/three.json#named"},
                    {"$ref": "urn:x:four#/$defs/y"}],
    "$defs": {
        "1": {"$id": "one.json", "$ref": "#/$defs/own", "$defs": {"own": {"const": "one"}}},
        "2": {
            "$id": "https://example.com/b/two.json",
            "$defs": {"inner": {"$ref": "#/$defs/own"}, "own": {"const": "two"}},
        },
        "3": {"$id": "b/three.json", "$defs": {"x": {"$anchor": "named", "const": "three"}}},
        "4": {"$id": "urn:x:four", "$defs": {"y": {"$ref": "#/$defs/z"}, "z": {"const": "four"}}},
    },
}  # fmt: skip
OF_ITS_DRAFT = {
    "tuple, 7": ("7", CELL),
    "tuple, 2019-09": ("2019-09", CELL),
    "closed tuple": ("7", {**CELL, "minItems": 2, "additionalItems": False}),
    "dependencies in recursion": ("7", CHAIN),
    "reference with neighbors": (
        "7", {"definitions": {"a": {"type": "integer"}}, "required": ["x"],
              "properties": {"x": {"$ref": "#/definitions/a", "type": "string"}}}),
    "anchor by $id": ("7", {"definitions": {"a": {"$id": "#here", "const": 5}}, "allOf": [{"$ref": "#here"}]}),
    "dynamic reference": ("2020-12", STRICT_TREE),
    "recursive reference": ("2019-09", STRICT_TREE_2019),
    "relative references": ("2020-12", RELATIVE),
    "no other properties": (
        "2020-12", {"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}], "unevaluatedProperties": False,
                    "if": {"required": ["b"]}, "then": {"properties": {"b": {"const": 2}}}}),
    "no other items": ("2020-12", {"type": "array", "prefixItems": [{"const": 1}], "minItems": 2,
                                   "contains": {"const": 2}, "unevaluatedItems": False}),
    "two that are contained": ("7", {"type": "array", "uniqueItems": True, "items": {"type": "string"},
                                     "allOf": [{"contains": {"const": "x"}}, {"contains": {"const": "y"}}]}),
    "an unknown property": ("2020-12", {"not": {"properties": {"a": True}, "unevaluatedProperties": False}}),
    "half of a pair": ("2020-12", {"type": "string", "pattern": r"^\ud83d\ude00{2}$"}),
    "64 bits and more": ("2020-12", {"type": "integer", "minimum": 2**70 + 1, "maximum": 2**70 + 9, "multipleOf": 5}),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_ITS_DRAFT)
def test_each_draft_is_followed_in_its_own_words(name: str) -> None:
    template, schema = OF_ITS_DRAFT[name]
    schema = {"$schema": DIALECTS[template], **schema}
    if name == "half of a pair":
        assert {instance(schema, seed) for seed in range(5)} == {"\U0001f600\U0001f600"}
        return
    for seed in range(20):
        value = json.loads(json.dumps(instance(schema, seed)))
        assert list(CHECKED_BY[template](schema).iter_errors(value)) == []


@pytest.mark.parametrize(
    ("draft", "validator"),
    [("http://json-schema.org/draft-04/schema#", Draft4Validator), (None, Draft202012Validator)],
)
def test_a_keyword_that_the_draft_does_not_know_may_be_heeded_or_not(draft: str | None, validator: Any) -> None:
    """`const` came after draft 4: for a validator that passes it over, no orientation fits exactly one branch."""
    schema: Schema = {
        "type": "object",
        "properties": {"orientation": {"oneOf": [{"const": "portrait"}, {"const": "landscape"}]}, "name": {}},
        "required": ["name"],
    }
    if draft is not None:
        schema["$schema"] = draft
    values = [instance(schema, seed) for seed in range(10)]
    assert all(map(validator(schema).is_valid, values))
    assert all(map(Draft202012Validator(schema).is_valid, values))
    assert any("orientation" in value for value in values) == (draft is None)


def degree(number: int) -> Schema:
    """If the degree is this number, as many words have to be in each key of the data, and of their errors."""
    condition: Schema = {"properties": {"head": {"properties": {"degree": {"const": number}}, "required": ["degree"]}}}
    if number == 2:  # the default
        none = {"properties": {"head": {"properties": {"degree": {}}, "required": ["degree"]}}}
        condition = {"oneOf": [{"not": none}, condition]}
    pattern = rf"^\(\s*('[^']*'\s*,\s*){{{number - 1}}}'[^']*'(\s*,\s*'[IR]{{{number}}}')?\s*\)$"
    keys = {"type": "object", "propertyNames": {"pattern": pattern}}
    errors = {"type": "object", "additionalProperties": {"oneOf": [{"type": "array"}, keys]}}
    then = {"properties": {"data": {"patternProperties": {"^(terms|values)$": keys, "^errors$": errors}}}}
    has_list = {"properties": {"head": {"properties": {"scale": {"type": "array"}}, "required": ["scale"]}}}
    few: Schema = {"additionalProperties": {"oneOf": [{"type": "array"}, {**keys, "maxProperties": 1}]}}
    listed = {"if": has_list, "then": {"properties": {"data": {"properties": {"errors": few}}}}}
    return {"if": condition, "then": {"allOf": [then, listed]}}


@pytest.mark.parametrize("seed", range(20))
def test_conditions_that_exclude_each_other_are_all_met(seed: int) -> None:
    numbers = {"type": "object", "minProperties": 1, "additionalProperties": {"type": "array"}}
    head = {"degree": {"enum": [1, 2, 3, 4, 5]}, "scale": {"oneOf": [{"type": "number"}, {"type": "array"}]}}
    schema: Schema = {
        "$schema": DIALECTS["7"],
        "type": "object",
        "properties": {
            "head": {"type": "object", "properties": head, "required": ["scale"]},
            "data": {
                "type": "object",
                "properties": {"terms": numbers, "values": numbers, "errors": {"type": "object", "minProperties": 1}},
                "anyOf": [{"required": ["terms"]}, {"required": ["values"]}],
                "additionalProperties": False,
            },
        },
        "required": ["head", "data"],
        "allOf": [degree(number) for number in (2, 1, 3, 4, 5)],
    }
    value = instance(schema, seed)
    assert list(CHECKED_BY["7"](schema).iter_errors(value)) == []


def test_what_a_dynamic_reference_adds_holds_at_every_level() -> None:
    values = [instance(STRICT_TREE, seed) for seed in range(20)]

    assert any(value.get("children") for value in values)
    for value in values:
        inner = [value]
        while inner:
            node = inner.pop()
            assert set(node) <= {"data", "children"}
            inner += node.get("children", ())


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"^\cA\cz$", "\x01\x1a"),
        (r"^\u{1F600}$", "\U0001f600"),
        (r"^(?<year>[2]{4})$", "2222"),
    ],
)
def test_a_pattern_may_be_written_as_in_javascript(pattern: str, expected: str) -> None:
    assert instance({"type": "string", "pattern": pattern}, 1) == expected


@pytest.mark.parametrize(
    ("pattern", "holds"),
    [
        (r"^\p{Lu}+$", lambda char: unicodedata.category(char) == "Lu"),
        (r"^\p{Letter}+$", str.isalpha),
        (r"^\P{L}+$", lambda char: not char.isalpha()),
        (r"^[\p{Nd}_]+$", lambda char: char.isdecimal() or char == "_"),
        (r"^[^\p{L}\p{N}]+$", lambda char: not char.isalnum()),
        (r"^\p{Script=Cyrillic}+$", lambda char: unicodedata.name(char).startswith("CYRILLIC")),
    ],
)
def test_a_pattern_may_name_properties_of_characters(pattern: str, holds: Callable[[str], bool]) -> None:
    values = [instance({"type": "string", "pattern": pattern, "minLength": 3}, seed) for seed in range(10)]

    assert all(all(map(holds, value)) for value in values)
    assert len(set(values)) > 1


@pytest.mark.parametrize(
    ("form", "expression"),
    [
        ("iri", r"https?://[^\s<>]+"),
        ("iri-reference", r"/[^\s<>]+"),
        ("relative-json-pointer", r"\d(/[^~/]+)+"),
        ("uri-template", r"https://[^\s{}]+\{\w+\}"),
    ],
)
def test_the_rarer_formats_are_met(form: str, expression: str) -> None:
    for seed in range(10):
        assert re.fullmatch(expression, instance({"type": "string", "format": form}, seed))


def test_where_the_full_value_would_cost_too_much_the_least_one_is_made() -> None:
    node = {
        "type": "object",
        "properties": {f"p{n}": {"anyOf": [{"$ref": "#"}, {"enum": list(range(900))}]} for n in range(300)},
    }
    schema = {**node, "required": ["p7"]}
    fuel = Fuel()

    value = instance(schema, 1, fuel)
    assert Draft202012Validator(schema).is_valid(value)
    assert "p7" in value


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "string", "minLength": 5, "maxLength": 3}, "minLength 5 is above maxLength 3"),
        ({"type": "number", "multipleOf": 0}, "multipleOf must be above 0"),
        ({"type": "array", "minItems": 3, "maxItems": 1}, "at least 3 and at most 1 items are required"),
        (
            {"type": "object", "minProperties": 3, "maxProperties": 1},
            "at least 3 and at most 1 properties are required",
        ),
        (
            {"type": "object", "required": ["a", "b"], "maxProperties": 1},
            "2 properties are required and only 1 are allowed",
        ),
        ({"type": "string", "pattern": "a" * 4001}, "the pattern is longer than 4000 characters"),
        ({"type": "string", "pattern": "(?i)a"}, "the pattern '(?i)a' sets flags, which is not supported"),
        ({"type": "string", "pattern": r"(a)\1"}, "groupref is not supported in a pattern"),
        ({"type": "string", "pattern": r"\p{Nope}"}, "there is no character property 'Nope'"),
        ({"$ref": "#/x/9", "x": [1]}, "'#/x/9' is not in the schema."),
        (
            {"type": "string", "pattern": "^(ab|cdef)$", "minLength": 3, "maxLength": 3},
            "no string of 3 to 3 characters was found for the pattern '^(ab|cdef)$'",
        ),
    ],
)
def test_a_schema_without_a_value_says_why(schema: Schema, reason: str) -> None:
    with pytest.raises(UnsatisfiableSchema) as raised:
        instance(schema, 1)
    assert str(raised.value) == f"No value fits the schema at #: {reason}"


@pytest.mark.parametrize(
    ("schema", "matches"),
    [
        ({"type": "string", "pattern": r"^\p{ASCII}\P{White_Space}$"}, r"[\x00-\x7f]\S"),
        ({"type": "string", "pattern": r"^\p{Any}\P{L}\Z"}, r"(?s:.)[^a-zA-Z]"),
        ({"type": "string", "pattern": r"^[^\p{L}]$"}, "[^a-zA-Z]"),
        ({"allOf": [{"type": "string", "pattern": "a"}, {"pattern": "b"}, {"pattern": "^c"}]}, "(?=.*a)(?=.*b)c.*"),
    ],
)
def test_a_text_has_the_characters_that_its_patterns_name(schema: Schema, matches: str) -> None:
    texts = [instance(schema, seed) for seed in range(20)]
    assert [text for text in texts if not re.fullmatch(matches, text)] == []


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "#/definitions/0", "definitions": [{"type": "null"}]}, {"$ref": "#/x/1", "x": [1, {"type": "null"}]}],
)
def test_a_reference_leads_anywhere_even_into_lists(schema: Schema) -> None:
    assert instance(schema, 1) is None


def test_numbers_in_a_narrow_range_and_of_enormous_steps_are_found() -> None:
    narrow = [instance({"type": "number", "minimum": 1, "maximum": 1.00001}, seed) for seed in range(20)]
    assert [number for number in narrow if not 1 <= number <= 1.00001] == []
    steps = {"allOf": [{"type": "integer", "multipleOf": 10**300 + 7}, {"multipleOf": 10**300 + 9}]}
    assert instance(steps, 1) == 0


def test_at_most_so_many_items_are_what_an_array_contains() -> None:
    schema = {"type": "array", "contains": {"const": 1}, "maxContains": 1, "minItems": 3}
    arrays = [instance(schema, seed) for seed in range(20)]
    assert [[each.count(1), len(each) >= 3] for each in arrays] == [[1, True]] * 20


def test_a_bound_of_an_old_draft_may_exclude_itself() -> None:
    schema = {"type": "integer", "minimum": 1, "exclusiveMinimum": True, "maximum": 3, "exclusiveMaximum": False}
    assert {instance(schema, seed) for seed in range(20)} == {2, 3}
