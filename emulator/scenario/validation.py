"""Turns pydantic's errors about a document into one clear sentence per mistake.

Pydantic's locations name union branches and tags that are not in the file, and a union reports every branch.
Walking the errors down the model's core schema and the data together shows what each part of a location is, which keys
are possible there, and which branch was meant.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from emulator.errors import Problem, did_you_mean
from emulator.plugins import LAZY
from emulator.records import record
from emulator.scenario.document import Document, Key, KeyPath, hinted, one_line, quote, spell
from emulator.wording import BOUNDS, NOUNS, counted

CoreSchema = Mapping[str, Any]

MAX_LISTED = 12
_UNKNOWN: CoreSchema = {"type": "any"}

_EXTRA = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
_BUILT_IN = frozenset(get_args(ErrorType))
# A validator's message may continue the path, "needs a name or a status", or be a sentence of its own.
_GOES_ON = re.compile(r"(?:is|are|has|have|needs?|says?|must|may|can|cannot|does|wants?|takes?|names?|gives?)\b")


def problems_of(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """One problem for each mistake in the document, in file order."""
    errors = [(each["loc"], each) for each in error.errors(include_url=False)]
    found = _Walk().down(model.__pydantic_core_schema__, _Spot((), (), document.data), errors)
    problems = dict.fromkeys(document.problem(each.key_path, each.message) for each in found)
    return sorted(problems, key=lambda problem: (problem.line, problem.column))


@record
class _Spot:
    """A position in the walk: `key_path` in the data; `name` also has the keys that a validator put in between."""

    key_path: KeyPath
    name: KeyPath
    value: Any

    def step(self, key: Key, *, known: bool) -> "_Spot":
        if isinstance(self.value, Mapping) and key in self.value:
            return _Spot((*self.key_path, key), (*self.name, key), self.value[key])
        is_list = isinstance(self.value, list | tuple)
        if is_list and isinstance(key, int) and key < len(self.value):
            return _Spot((*self.key_path, key), (*self.name, key), self.value[key])
        if known and (is_list or isinstance(key, str)):
            return replace(self, name=(*self.name, key))
        return self  # a label of pydantic's, or the index of a list that a validator made from one value


@record
class _Finding:
    """A mistake in words. `noun` is the expected value, if that is all there is to say: several are joined by "or"."""

    key_path: KeyPath
    message: str
    noun: str | None = None
    words: Sequence[str] = ()


Errors = Sequence[tuple[KeyPath, ErrorDetails]]  # each with the rest of its location

_MAPPINGS = frozenset({"model-fields", "typed-dict", "dataclass-args", "dict"})
_LISTS = frozenset({"list", "tuple", "set", "frozenset", "generator"})
_SCALARS = frozenset({"str", "int", "float", "bool", "decimal", "literal", "enum", "none", "date", "time", "datetime"})
_ANY = frozenset({"mapping", "list", "scalar", "nothing"})


class _Walk:
    """Walks down a core schema; where the schema is unknown, it follows only the data."""

    def __init__(self) -> None:
        self._definitions: dict[str, CoreSchema] = {}

    def down(self, schema: CoreSchema, spot: _Spot, errors: Errors) -> list[_Finding]:
        """Explains the errors, each with the rest of its location, for the value at this spot."""
        schema = self._bare(schema)
        found: list[_Finding] = []
        further: dict[Key, list[tuple[KeyPath, ErrorDetails]]] = {}
        for rest, error in errors:
            if not rest:
                found.append(_said(error, spot, schema))
            elif rest == ("[key]",):
                found.append(_said(error, replace(spot, value=spot.name[-1]), _UNKNOWN, f"the key {spell(spot.name)}"))
            elif len(rest) == 1 and error["type"] in _EXTRA:
                found.append(_unknown_key(str(rest[0]), spot, schema))
            else:
                further.setdefault(rest[0], []).append((rest[1:], error))
        if schema["type"] == "union" and further:
            return found + self._branch(schema, spot, further)
        for key, inner in further.items():
            if schema["type"] == "tagged-union":
                found += self.down(_choices(schema).get(key, _UNKNOWN), spot, inner)
            else:
                child = _child(schema, key)
                known = child is not _UNKNOWN or any(not rest and error["type"] == "missing" for rest, error in inner)
                found += self.down(child, spot.step(key, known=known), inner)
        return found

    def _branch(self, union: CoreSchema, spot: _Spot, branches: Mapping[Key, Errors]) -> list[_Finding]:
        """The findings of the branch that was meant, or one for all branches."""
        # All branches have failed, in order, so labels and choices pair up by position.
        choices: Iterable[CoreSchema] = _choices(union).values()
        if len(branches) != len(_choices(union)):
            choices = [_UNKNOWN] * len(branches)
        tried = [
            (self._shapes(choice), self.down(choice, spot, errors))
            for choice, errors in zip(choices, branches.values(), strict=True)
        ]
        shape = _shape(spot.value)
        fitting = [found for shapes, found in tried if shape in shapes] or [found for _, found in tried]
        # A branch that only expects another type says less than one that looked closer at the value.
        closer = [
            found for found in fitting if len(found) != 1 or not found[0].noun or found[0].key_path != spot.key_path
        ]
        if closer or len(fitting) == 1:
            return min(closer or fitting, key=len)
        alone = [found[0] for found in fitting]
        nouns = _joined(dict.fromkeys(each.noun for each in alone if each.noun))
        return [_expected(spot, spell(spot.name), spot.value, nouns, [word for each in alone for word in each.words])]

    def _bare(self, schema: CoreSchema) -> CoreSchema:
        """The schema without wrappers that don't appear in locations: defaults, None, functions, references."""
        while True:
            match schema["type"]:
                case "definitions":
                    self._definitions.update((each["ref"], each) for each in schema["definitions"])
                    schema = schema["schema"]
                case "definition-ref":
                    schema = self._definitions.get(schema["schema_ref"], _UNKNOWN)
                case "union" if len(schema["choices"]) == 1:
                    schema = next(iter(_choices(schema).values()))
                case "lax-or-strict":
                    schema = schema["lax_schema"]
                case "json-or-python":
                    schema = schema["python_schema"]
                case "function-plain" if LAZY in schema.get("metadata", {}):
                    schema = schema["metadata"][LAZY]()
                case "chain":
                    schema = schema["steps"][0]
                case _ if isinstance(schema.get("schema"), Mapping):
                    schema = schema["schema"]
                case _:
                    return schema

    def _shapes(self, schema: CoreSchema) -> frozenset[str]:
        schema = self._bare(schema)
        match schema["type"]:
            case kind if kind in _MAPPINGS:
                return frozenset({"mapping"})
            case kind if kind in _LISTS:
                return frozenset({"list"})
            case kind if kind in _SCALARS:
                return frozenset({"scalar"})
            case "union" | "tagged-union":
                return frozenset().union(*map(self._shapes, _choices(schema).values()))
            case _:
                return _ANY


def _shape(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case Mapping():
            return "mapping"
        case list() | tuple() | set() | frozenset():
            return "list"
        case _:
            return "scalar"


def _choices(union: CoreSchema) -> Mapping[Any, CoreSchema]:
    """The branches of a union, by tag or by number."""
    choices = union.get("choices", {})
    if isinstance(choices, Mapping):
        return {tag.value if isinstance(tag, Enum) else tag: choice for tag, choice in choices.items()}
    return {number: each[0] if isinstance(each, tuple) else each for number, each in enumerate(choices)}


def _fields(schema: CoreSchema) -> Iterator[tuple[list[str], CoreSchema]]:
    """The fields of a mapping with fixed keys: the names of each, the best one first, and its schema."""
    fields = schema.get("fields", {})
    named = fields.items() if isinstance(fields, Mapping) else ((each["name"], each) for each in fields)
    for name, each in named:
        alias = each.get("validation_alias", [])
        paths = [alias] if isinstance(alias, str) or (alias and not isinstance(alias[0], list)) else alias
        yield [*(path if isinstance(path, str) else path[0] for path in paths), name], each["schema"]


def _child(schema: CoreSchema, key: Key) -> CoreSchema:
    """The schema of the value at a key or index."""
    items: CoreSchema | Sequence[CoreSchema] = schema.get("items_schema", _UNKNOWN)
    if "fields" in schema:
        return next((inner for names, inner in _fields(schema) if key in names), _UNKNOWN)
    if schema["type"] == "dict":
        items = schema.get("values_schema", _UNKNOWN)
    if isinstance(items, Mapping):
        return items
    # A tuple; its repeated item covers the rest.
    index = min(key, schema.get("variadic_item_index", key)) if isinstance(key, int) else len(items)
    return items[index] if index < len(items) else _UNKNOWN


def _unknown_key(key: str, spot: _Spot, schema: CoreSchema) -> _Finding:
    known = [names[0] for names, _ in _fields(schema)]
    name = spell((*spot.name, key))
    return _Finding((*spot.key_path, key), f"{name} is not a valid key{_listed('Keys', key, known)}")


def _said(error: ErrorDetails, spot: _Spot, schema: CoreSchema, subject: str = "") -> _Finding:
    """One of pydantic's errors in the terms of a YAML author."""
    kind, context = error["type"], error.get("ctx", {})
    subject = subject or spell(spot.name)
    value = spot.value if spot.name == spot.key_path else error["input"]
    found = f"{subject} is {quote(value)}"
    match kind:
        case "missing":
            message = f"{subject} is missing{MISSING.get(subject, '')}"
        case "union_tag_invalid" | "union_tag_not_found":
            return _unknown_tag(context, spot, subject, schema)
        case "literal_error" if spot.name == ("version",):
            message = f"version is {'the string ' if isinstance(value, str) else ''}{quote(value)}. Write: version: 1"
        case "literal_error" | "enum":
            return _unknown_word(context, spot, subject, value, schema)
        case _ if kind in NOUNS and NOUNS[kind] != quote(value):  # a strict model may expect a tuple, not a list
            finding = _expected(spot, subject, value, NOUNS[kind])
            return replace(finding, message=finding.message + _mend(spot.name, value, schema))
        case _ if kind in BOUNDS:
            name, words = BOUNDS[kind]
            message = f"{found}; expected {words} {_number(context[name])}"
        case "string_too_short":
            message = f"{found}; expected a string of at least {counted(context['min_length'], 'character')}"
        case "string_too_long":
            message = f"{found}; expected a string of at most {counted(context['max_length'], 'character')}"
        case "too_short":
            message = (
                f"{subject} has {counted(context['actual_length'], 'item')}; expected at least {context['min_length']}"
            )
        case "too_long":
            message = (
                f"{subject} has {counted(context['actual_length'], 'item')}; expected at most {context['max_length']}"
            )
        case "string_pattern_mismatch":
            message = f"{found}; expected a string that matches {context['pattern']}"
        case "value_error" | "assertion_error":
            text = str(context["error"])
            message = _continued(subject, text) if text else f"{found}, which is invalid"
        case _ if kind in _BUILT_IN:
            first, rest = error["msg"][:1], error["msg"][1:]
            message = f"{found}: {first if rest[:1].isupper() else first.lower()}{rest}"  # "URL input should be …"
        case _:
            message = _continued(subject, error["msg"])
    return _Finding(spot.key_path, message)


def _unknown_tag(context: Mapping[str, Any], spot: _Spot, subject: str, schema: CoreSchema) -> _Finding:
    tags = sorted(map(str, _choices(schema))) or re.findall(r"'([^']*)'", context.get("expected_tags", ""))
    keys = re.findall(r"'([^']*)'", context["discriminator"])
    if not keys:  # a function selects the branch
        return _Finding(spot.key_path, f"{subject} has none of the possible forms{_listed('Forms', '', tags)}")
    inner = spot.step(
        next((key for key in keys if isinstance(spot.value, Mapping) and key in spot.value), keys[0]), known=True
    )
    tag = inner.value if inner.key_path != spot.key_path else context.get("tag")  # in a mapping that a validator made
    found = "missing" if tag is None and inner.key_path == spot.key_path else quote(tag)
    return _Finding(inner.key_path, f"{spell(inner.name)} is {found}{_listed(f'{keys[0].capitalize()}s', tag, tags)}")


def _unknown_word(context: Mapping[str, Any], spot: _Spot, subject: str, value: object, schema: CoreSchema) -> _Finding:
    known = schema.get("expected") or [member.value for member in schema.get("members", [])]
    words = [each.value if isinstance(each, Enum) else each for each in known]
    if not words:
        return _expected(spot, subject, value, context["expected"])
    shown = [word if isinstance(word, str) else quote(word) for word in words]
    message = f"{subject} is {quote(value)}{_listed('Allowed', value, shown)}"
    return _Finding(spot.key_path, message, _joined(map(quote, words[:MAX_LISTED])), shown)


def _expected(spot: _Spot, subject: str, value: object, noun: str, words: Sequence[str] = ()) -> _Finding:
    message = hinted(f"{subject} is {quote(value)}; expected {noun}", value, words)
    return _Finding(spot.key_path, message, noun, words)


MISSING: Mapping[str, str] = {"version": ": start the scenario with the line `version: 1`"}
"""The fix for a missing key."""


def _mend(name: KeyPath, value: object, schema: CoreSchema) -> str:
    """The fix where a mapping or list belongs, in the syntax of the file; empty if there is nothing to add."""
    key = name[-1] if name else ""
    shown = quote(value)
    match key, value:
        case ["", list()]:
            return ". Write the line `version: 1`, then `rules:` with the list under it"
        case ["error", int()] if not isinstance(value, bool):
            return f". Write: error: {{status: {value}}}, or the name of an error, such as error: rate_limited"
        case ["error" | "reply", list()]:
            return f". For several answers in turn, write: replies: [{{{key}: …}}, {{{key}: …}}]"
        case ["reply", str() | int() | float()]:
            return f". Write: reply: {{content: {shown}}}"
        case ["replies", str()]:
            return f". Write: replies: [{{reply: {{content: {shown}}}}}], or reply: {{content: {shown}}}"
        case ["match", str()]:
            return f". To match what a prompt contains, write: match: {{prompt: {{contains: {shown}}}}}"
        case (("prompt" | "system" | "contains" | "equals" | "regex"), int() | float()):
            return f". Put it in quotes to make it a string: {key}: '{shown}'"
        case ["body", str()]:
            return ". Give a path in the body and the expected value, such as body: {path: $.user, equals: ada}"
        case [_, list()] if {"gt", "lt"} <= _keys(schema):
            return f". Write: {key}: {{in: {one_line(str(value))}}}"
        case [_, str()] if {"gt", "lt"} <= _keys(schema):
            return f". Write a number, such as {key}: 1, or a comparison, such as {key}: {{gt: 1}}"
    keys = [names[0] for names, _ in _fields(schema)]
    return f". Keys: {', '.join(keys[:MAX_LISTED])}{', …' if len(keys) > MAX_LISTED else ''}" if keys else ""


def _keys(schema: CoreSchema) -> set[str]:
    return {names[0] for names, _ in _fields(schema)}


def _listed(title: str, word: object, known: Sequence[str]) -> str:
    hint = did_you_mean(word, known) if isinstance(word, str) else ""
    if hint and len(known) > 2 * MAX_LISTED:  # a mostly omitted list helps nobody
        return f".{hint}"
    more = ", …" if len(known) > MAX_LISTED else ""
    return f".{hint} {title}: {', '.join(known[:MAX_LISTED])}{more}" if known else ""


def _continued(subject: str, text: str) -> str:
    """A validator's message after its path."""
    text = one_line(text)
    return f"{subject} {text}" if _GOES_ON.match(text) else f"{subject}: {text}"


def _joined(nouns: Iterable[str]) -> str:
    *most, last = nouns
    return f"{', '.join(most)} or {last}" if most else last


def _number(bound: object) -> str:
    return str(int(bound)) if isinstance(bound, float) and bound.is_integer() and abs(bound) < 2**53 else str(bound)
