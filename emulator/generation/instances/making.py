"""The search for a value: at each place in the schema, choose a branch and a type, make a value, check it, or try
again.

All random choices depend on the seed and the place in the value, so a property keeps its value when another one is
added. A failed attempt moves on to the next branch. If a place has finally failed, the place above it stops trying.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from emulator import seeded
from emulator.errors import EmulatorError, did_you_mean
from emulator.generation.instances.merging import (
    MORE_CONTAINS,
    Flat,
    both,
    closed,
    flattened,
    merged,
    part,
    property_schema,
)
from emulator.generation.instances.names import WORDS
from emulator.generation.instances.patterns import pattern_of
from emulator.generation.instances.references import REFERENCES, JsonSchema
from emulator.generation.instances.scalars import make_number, make_string
from emulator.generation.instances.search import NO_VALUE, Exhausted, Fuel, Miss
from emulator.generation.instances.validity import SchemaDocument, frozen, is_writable
from emulator.records import record

T = TypeVar("T")
Seed = int | str
RECURSIONS = 3
"""How often a reference may occur between the root and a value, so that trees have at most four levels."""
MAX_DEPTH = 60
MAX_WIDTH = 1_000
"""The maximum number of items in an array, and of properties in an object."""
PLENTY = 200
"""After this many values, only required ones are made."""
TRIES = 24
MAX_GUESSED = 3
"""With more `if`s at a place than this, a guess at which of them hold is seldom right, so they are settled at once."""
PRESENCE = (0.9, 1.0, 0.5, 0.0)
"""The probability of an optional property, by attempt; it varies so that `not`, `oneOf` and `maxProperties` are met
sooner or later.
"""
KINDS = {
    "object": ("properties", "required", "additionalProperties", "patternProperties", "minProperties", "propertyNames"),
    "array": ("items", "prefixItems", "contains", "minItems", "uniqueItems"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("pattern", "format", "minLength", "maxLength"),
    "integer": (),
    "boolean": (),
    "null": (),
}


class UnsatisfiableSchema(EmulatorError):
    """No value was found: none exists, the schema is malformed, or it asks for more than the emulator can make."""


def instance(schema: JsonSchema, seed: Seed, fuel: Fuel | None = None) -> Any:
    """Returns a JSON value that is valid under the schema, always the same one for the same seed.

    Properties have the order of the schema. Raises UnsatisfiableSchema, which says where and why.
    """
    fuel = fuel or Fuel()
    maker = _Maker(fuel, seed)
    try:
        maker.document = SchemaDocument(schema, fuel)
        place = Place(scope=tuple(maker.document.scope))
        reserve = fuel.set_aside(3)
        try:
            return maker.make(schema, place)
        except Exhausted:
            maker.made = PLENTY + 1  # a minimal value may still be found
            fuel.refill(reserve)
            return maker.make(schema, place)
    except Miss as miss:
        raise UnsatisfiableSchema(f"No value fits the schema at {_short(miss.pointer)}: {miss}") from None
    except Exhausted:
        where, why = maker.last_miss or ("#", "it is too large")
        raise UnsatisfiableSchema(f"The search for a value was given up; last at {_short(where)}: {why}") from None
    except RecursionError:
        raise UnsatisfiableSchema(f"The schema nests too deeply at {_short(maker.where)}") from None
    except (TypeError, ValueError, AttributeError, ArithmeticError, LookupError) as error:
        # A keyword has an argument that the draft forbids; checking each one beforehand would repeat the draft here.
        raise UnsatisfiableSchema(f"The schema is malformed at {_short(maker.where)}: {error}") from error


@record
class Place:
    """Where the search is."""

    pointer: str = "#"
    """The place in the schema."""
    path: str = ""
    """The place in the value, with the attempts on the way there, from which random choices are derived."""
    name: str = ""
    """The property that holds the value, or the array that contains it."""
    refs: tuple[str, ...] = ()
    """The references that led here."""
    scope: tuple[str, ...] = ("",)
    """The resources that led here, for dynamic references."""
    level: int = 0
    turn: int | None = None
    """The number of the item, if all items must differ."""

    def inside(self, step: str, key: str | int, name: str) -> "Place":
        """Returns the place of a part of the value."""
        return Place(f"{self.pointer}/{step}", f"{self.path}/{key}", name, self.refs, self.scope, self.level + 1)


class _Choices:
    """Which branch to take at each fork of a place: attempts go through all combinations, mixed with random ones."""

    def __init__(
        self, seed: Seed, place: Place, attempt: int, fuel: Fuel, holding: frozenset[int] | None = None
    ) -> None:
        self.fuel, self.holding = fuel, holding
        self.seed, self.path, self.attempt = seed, place.path, attempt
        self.rest = attempt // 2 if attempt % 2 == 0 else None
        self.forks = 0
        self.options = 1
        self.scope = list(place.scope)
        self.refs: list[str] = []
        """The references that were followed at this place."""
        self.conditions: list[JsonSchema] = []
        """The `if`s at this place. `holding` has the ids of those that are taken to hold; None: chance decides."""

    def branch(self, condition: JsonSchema, then: JsonSchema, otherwise: JsonSchema) -> JsonSchema:
        """Returns what must hold at an `if`: the condition with its `then`, or the `else`."""
        self.conditions.append(condition)
        if self.holding is None:
            return self.pick([both(condition, then), otherwise], lambda branch: 0)
        return both(condition, then) if id(condition) in self.holding else otherwise

    def pick(self, options: list[T], rank: Callable[[T], int]) -> T:
        """Returns one of the options: at the first attempt one of rank 0 or, one time in ten, of rank 1."""
        if not options:
            raise Miss("there is no branch to choose")
        if len(options) == 1:
            return options[0]
        self.fuel.burn(100 + 20 * len(options))
        self.options = min(self.options * len(options), 1_000_000)
        self.forks += 1
        random = seeded.generator(self.seed, self.path, "fork", self.forks)  # the same in every attempt
        rare = random.random() < 0.1
        ranked = random.sample(options, len(options))
        ranked.sort(key=lambda option: rank(option) * (rank(option) != 1 or not rare))
        if self.rest is None:
            return ranked[seeded.roll(self.seed, self.path, self.forks, self.attempt) % len(ranked)]
        self.rest, index = divmod(self.rest, len(ranked))
        return ranked[index]


class _Maker:
    document: SchemaDocument

    def __init__(self, fuel: Fuel, seed: Seed) -> None:
        self.fuel, self.seed = fuel, seed
        self.made = 0
        self.where = "#"
        self.last_miss: tuple[str, str] | None = None

    def make(self, schema: JsonSchema, place: Place) -> Any:
        """Returns a value for the schema. Raises Miss."""
        self.fuel.burn(200)
        self.made += 1
        self.where = place.pointer
        attempt = 0
        while True:
            choices = _Choices(self.seed, place, attempt, self.fuel)
            try:
                return self._valid(schema, place, attempt, choices)
            except Miss as error:
                miss = error
            if choices.conditions and (attempt < len(PRESENCE) or attempt % 8 == 0):
                with suppress(Miss):
                    return self._settled(schema, place, attempt)
            attempt += 1
            if (miss.final and choices.options == 1) or attempt >= min(200, max(TRIES, 6 * choices.options)):
                miss.final = True
                raise miss
            self.fuel.burn(200)

    def _valid(self, schema: JsonSchema, place: Place, attempt: int, choices: _Choices) -> Any:
        """Returns a value of one attempt. Raises Miss, with the value if one was made."""
        miss = None
        try:
            value = self._attempt(schema, place, attempt, choices)
            self.document.scope = list(place.scope)
            broken = self.document.fault(schema, value) or self.document.fault_by_the_letter(schema, value)
            if broken is None:
                return value
            miss = Miss(f"none of {attempt + 1} values that were tried satisfies '{broken}'", final=False)
            miss.value = value
        except Miss as error:
            miss = error
        miss.pointer = miss.pointer or place.pointer
        self.last_miss = miss.pointer, str(miss)
        raise miss

    def _settled(self, schema: JsonSchema, place: Place, attempt: int) -> Any:
        """Returns a value whose `if`s are what they turn out to be: made as if none held, then as if those held that
        the value satisfies, until that changes nothing. Raises Miss."""
        holding: frozenset[int] = frozenset()
        while True:
            choices = _Choices(self.seed, place, attempt, self.fuel, holding)
            try:
                return self._valid(schema, place, attempt, choices)
            except Miss as miss:
                before, value = holding, miss.value
                if value is NO_VALUE:
                    raise
                self.document.scope = list(place.scope)
                met = [id(each) for each in choices.conditions if self.document.allows(each, value)]
                holding = before.union(met)
                if holding == before:
                    raise

    def _attempt(self, schema: JsonSchema, place: Place, attempt: int, choices: _Choices) -> Any:
        if place.level > MAX_DEPTH:
            raise Miss(f"the value would nest deeper than {MAX_DEPTH} levels")
        flat = self._flat(schema, place, choices)
        if choices.holding is None and attempt == 0 and len(choices.conditions) > MAX_GUESSED:
            raise Miss("its conditions depend on each other", final=False)
        random = seeded.generator(self.seed, place.path, attempt)
        path = f"{place.path}~{attempt}" if attempt else place.path
        # A reference is the better location for what is inside it, even if one of its siblings may be the cause.
        pointer = next((ref for ref in reversed(choices.refs) if ref[0] == "#"), place.pointer)
        here = replace(place, pointer=pointer, path=path, refs=(*place.refs, *choices.refs), scope=tuple(choices.scope))
        shown = [*flat.get("examples", ()), *([flat["default"]] if flat.get("default") is not None else ())]
        if shown and attempt == 0 and random.random() < 0.3:
            example = random.choice(shown)
            if is_writable(example, self.fuel) and self.document.allows(schema, example):
                return copy.deepcopy(example)
        if "enum" in flat:
            return self._listed(flat["enum"], schema, here)
        match _kind(flat, choices):
            case "object":
                return self._object(flat, here, attempt, random)
            case "array":
                return self._array(flat, here, random)
            case "string":
                return make_string(flat, place.name, random, self.fuel, attempt)
            case "integer" | "number" as kind:
                return make_number(flat, place.name, random, kind == "integer", attempt, place.turn or 0, self.fuel)
            case "boolean":
                return random.random() < 0.5 if place.turn is None else place.turn % 2 == 0
            case "null":
                return None
            case unknown:
                raise Miss(f"there is no type '{unknown}'.{did_you_mean(unknown, list(KINDS))}")

    def _flat(self, schema: JsonSchema, place: Place, choices: _Choices, chain: tuple[int, ...] = ()) -> Flat:
        """Returns the schema with its references resolved and one branch of each fork chosen."""
        self.fuel.burn(20 + (len(schema) if isinstance(schema, Mapping) else 0))
        if schema is True:
            return {}
        if not isinstance(schema, Mapping):
            raise Miss("false allows nothing" if schema is False else "a schema must be an object or a boolean")
        flat = flattened(schema)
        self.document.entered(schema, choices.scope)
        is_stateless = self.document.references.is_legacy and "$ref" in schema  # up to draft 7
        if is_stateless:
            flat = {}
        for keyword in REFERENCES:
            if keyword in schema:
                target = self._followed(keyword, schema, place, choices, chain)
                flat = merged(flat, self._flat(target, place, choices, (*chain, id(target))), self.fuel)
        for other in () if is_stateless else self._others(schema, place, choices):
            flat = merged(flat, self._flat(other, place, choices, chain), self.fuel)
        return closed(flat)

    def _followed(
        self, keyword: str, schema: Mapping[str, Any], place: Place, choices: _Choices, chain: tuple[int, ...]
    ) -> JsonSchema:
        ref = str(schema[keyword])
        target = self.document.follow(keyword, ref, schema, choices.scope)
        if id(target) in chain:
            raise Miss(f"'{ref}' refers to itself")
        if place.refs.count(ref) >= RECURSIONS:
            raise Miss(f"'{ref}' would have to contain itself without end")
        choices.refs.append(ref)
        return target

    def _others(self, schema: Mapping[str, Any], place: Place, choices: _Choices) -> Iterator[JsonSchema]:
        """Yields the other schemas that must hold in addition to the schema's own keywords."""
        yield from schema.get("allOf", ())
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                yield choices.pick(list(schema[keyword]), lambda branch: self._rank(branch, place))
        if "if" in schema and ("then" in schema or "else" in schema):
            yield choices.branch(schema["if"], part(schema, "then"), part(schema, "else"))
        dependent = {name: each for name, each in schema.get("dependencies", {}).items() if not isinstance(each, list)}
        for name, demanded in {**dependent, **schema.get("dependentSchemas", {})}.items():
            branches: list[JsonSchema] = [both({"required": [name]}, demanded), {"properties": {name: False}}]
            yield branches[choices.pick([0, 1], lambda index: 2 * index)]

    def _rank(self, branch: JsonSchema, place: Place) -> int:
        """Ranks null branches, and branches that recurse further after some levels, last."""
        if isinstance(branch, Mapping) and (branch.get("type") == "null" or branch.get("const", 0) is None):
            return 1
        depth = self._recursions(branch, place)
        return 2 if depth >= 2 or (depth and self.made > PLENTY) else 0

    def _recursions(self, schema: Any, place: Place, depth: int = 3) -> int:
        """Returns how often the references near the top of the schema have already occurred on the way here."""
        if not place.refs:
            return 0
        self.fuel.burn(15 + 2 * (len(schema) if isinstance(schema, Mapping | list) else 0))
        parts = schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else ()
        own = max(place.refs.count(schema.get(each, "")) for each in REFERENCES) if isinstance(schema, Mapping) else 0
        if depth == 0:
            return own
        return max([own, *(self._recursions(part, place, depth - 1) for part in parts)])

    def _listed(self, values: list[Any], schema: JsonSchema, place: Place) -> Any:
        """Returns one of the allowed values; items of an array that must differ get different ones."""
        where = place.path if place.turn is None else place.pointer
        self.fuel.burn(10 * len(values))
        order = seeded.generator(self.seed, where, "enum").sample(values, len(values))
        start = (place.turn or 0) % max(len(order), 1)
        for value in order[start:] + order[:start]:
            if is_writable(value, self.fuel) and self.document.allows(schema, value):
                return copy.deepcopy(value)
        raise Miss("none of its allowed values (enum, const) satisfies the other keywords")

    def _array(self, flat: Flat, place: Place, random: Random) -> list[Any]:
        prefix: list[JsonSchema] = flat.get("prefixItems", [])
        rest, held = part(flat, "items"), part(flat, "contains")
        wanted_items = [held] * (int(min(flat.get("minContains", 1), MAX_WIDTH)) if "contains" in flat else 0)
        wanted_items += flat.get(MORE_CONTAINS, [])
        holding = len(wanted_items)
        low = max(flat.get("minItems", 0), holding)
        high = min(flat.get("maxItems", MAX_WIDTH), len(prefix) if rest is False else MAX_WIDTH)
        _check_size("items", low, high)
        wanted = (
            low
            if self._is_enough([*prefix, rest], place)
            else max(low, len(prefix) + holding, 1) + random.randint(0, 2)
        )
        size = int(min(wanted, high))
        places = random.sample(range(len(prefix) if size - len(prefix) >= holding else 0, size), holding)
        held_at = dict(zip(places, wanted_items, strict=True))
        items: list[Any] = []
        known: set[Any] | None = set() if flat.get("uniqueItems") else None
        for index in range(size):
            schema = prefix[index] if index < len(prefix) else rest
            if index in held_at:
                schema = both(schema, held_at[index])
            elif "contains" in flat and "maxContains" in flat:
                schema = both(schema, {"not": held})
            step = f"prefixItems/{index}" if index < len(prefix) else "items" if "items" in flat else "contains"
            try:
                items.append(self._item(schema, known, place, step, index))
            except Miss as miss:
                miss.final = miss.final and index not in held_at  # it may be contained elsewhere
                if len(items) < low:
                    raise
                break  # there are enough without it; if that breaks `contains`, another attempt follows
        return items

    def _item(self, schema: JsonSchema, known: set[Any] | None, place: Place, step: str, index: int) -> Any:
        """Returns an item, which differs from the known ones if they must differ."""
        name = place.name.removesuffix("s")
        if known is None:
            return self.make(schema, place.inside(step, index, name))
        for turn in range(60):
            inside = place.inside(step, f"{index}.{turn}", name)
            item = self.make(schema, replace(inside, turn=index + turn))
            twin = frozen(item)
            if twin not in known:
                known.add(twin)
                return item
        raise Miss(f"only {len(known)} different items were found", final=False)

    def _object(self, flat: Flat, place: Place, attempt: int, random: Random) -> dict[str, Any]:
        own = flat.get("properties", {})
        low, high = flat.get("minProperties", 0), flat.get("maxProperties", MAX_WIDTH * 10)
        _check_size("properties", low, high)
        must = _with_dependents(flat.get("required", ()), flat)
        if len(must) > high:
            raise Miss(f"{len(must)} properties are required and only {high} are allowed")
        chosen = self._chosen(flat, must, place, PRESENCE[attempt % len(PRESENCE)], random)
        value: dict[str, Any] = {}
        for name in [*(name for name in own if name in chosen), *(name for name in chosen if name not in own)]:
            try:
                schema = property_schema(flat, name, self.fuel)
                value[name] = self.make(schema, place.inside(f"properties/{_escaped(name)}", name, name))
            except Miss:
                if name in must:
                    raise
        self._extend(value, flat, place, attempt, random)
        if len(value) < low:
            raise Miss(f"only {len(value)} of {low} properties were found", final=False)
        return value

    def _chosen(self, flat: Flat, must: dict[str, None], place: Place, share: float, random: Random) -> dict[str, None]:
        """Returns the names of the properties to make, including those that others depend on."""
        own = flat.get("properties", {})
        names_like = flat.get("propertyNames", True)
        optional = [name for name in own if name not in must and own[name] is not False]
        optional = [name for name in optional if self.document.allows(names_like, name)]
        shares = [0.0 if self._is_enough([own[name]], place, random) else share for name in optional]
        names = [name for name, chance in zip(optional, shares, strict=True) if random.random() < chance]
        missing = int(flat.get("minProperties", 0)) - len(must) - len(names)
        names += [name for name in optional if name not in names][: max(0, missing)]
        provider = int(min(flat.get("maxProperties", len(own)), len(own) + len(must))) - len(must)
        return _with_dependents([*must, *names[: max(0, provider)]], flat)

    def _extend(self, value: dict[str, Any], flat: Flat, place: Place, attempt: int, random: Random) -> None:
        """Adds properties that the schema does not name: as many as are missing, or some if it names none."""
        rest, patterns = flat.get("additionalProperties", True), list(flat.get("patternProperties", ()))
        missing = int(flat.get("minProperties", 0)) - len(value)
        if not flat.get("properties") and (isinstance(rest, Mapping) or patterns):
            missing = max(missing, 0 if self._is_enough([rest], place) else random.randint(1, 3))
        if attempt > 3 and attempt % 3 == 0:  # the schema of an unknown property may be the one that is missing
            missing = max(missing, 1)
        missing = min(missing, int(flat.get("maxProperties", MAX_WIDTH)) - len(value))
        for turn in range(4 * missing + 20 if missing > 0 else 0):
            name = self._new_name(flat, patterns, place, turn, random)
            schema = property_schema(flat, name, self.fuel)
            if schema is False or name in value or name in flat.get("properties", ()):
                continue
            try:
                value[name] = self.make(schema, place.inside("additionalProperties", name, name))
            except Miss:
                continue
            missing -= 1
            if missing == 0:
                break

    def _new_name(self, flat: Flat, patterns: list[str], place: Place, turn: int, random: Random) -> str:
        if "propertyNames" in flat:
            schema = both(flat["propertyNames"], {"type": "string"})
            return str(self.make(schema, place.inside("propertyNames", f"name {turn}", "")))
        if patterns and (flat.get("additionalProperties") is False or random.random() < 0.7):
            return pattern_of(random.choice(patterns), self.fuel).write(0, 40, random, self.fuel)
        return f"{random.choice(WORDS)}_{turn}" if turn > 10 else random.choice(WORDS)

    def _is_enough(self, schemas: list[JsonSchema], place: Place, random: Random | None = None) -> bool:
        """Whether to leave out what is not required, because there is enough or because it is recursive."""
        if self.made > PLENTY:
            return True
        depth = max(self._recursions(schema, place) for schema in schemas)
        return depth > 0 and (depth >= RECURSIONS or (random is not None and random.random() < 0.3 * depth))


def _kind(flat: Flat, choices: _Choices) -> str:
    """Returns the type to make. If `type` leaves it open, the other keywords determine it; the default is a string."""
    if "type" in flat:
        return choices.pick([str(kind) for kind in flat["type"]], lambda kind: int(kind == "null"))
    meant = [kind for kind, keywords in KINDS.items() if any(keyword in flat for keyword in keywords)] or ["string"]
    return choices.pick(list(KINDS), lambda kind: 2 * (kind not in meant))


def _check_size(what: str, low: float, high: float) -> None:
    if low > MAX_WIDTH:
        raise Miss(f"at least {low} {what} are required; at most {MAX_WIDTH} are supported")
    if low > high:
        raise Miss(f"at least {low} and at most {high} {what} are required")


def _with_dependents(names: Any, flat: Flat) -> dict[str, None]:
    """Returns the names and everything that `dependentRequired` adds to them."""
    found, waiting = dict.fromkeys(names), list(names)
    while waiting:
        for name in flat.get("dependentRequired", {}).get(waiting.pop(), ()):
            if name not in found:
                found[name] = None
                waiting.append(name)
    return found


def _short(pointer: str) -> str:
    return pointer if len(pointer) <= 160 else f"{pointer[:100]}…{pointer[-50:]}"


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
