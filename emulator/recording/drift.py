"""Compares the shapes of two recorded answers: which members, of which types, in which events, in which order."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Literal

from emulator.dialects.base import Meaning, WireShape
from emulator.providers import shape_of
from emulator.recording.redaction import REDACTED
from emulator.recording.wire_file import WireRecord
from emulator.records import record, struct

Level = Literal["info", "warning", "error"]
LEVELS: tuple[Level, ...] = ("error", "warning", "info")
MEANINGS: tuple[Meaning, ...] = ("reasoning", "content", "call_index", "finish", "usage")
WORDS = {"call_index": "tool call"}
UNSTABLE = frozenset(["date", "content-length", "transfer-encoding", "connection", "x-request-id", "request-id"])
"""Headers whose presence is not part of an answer's shape."""
FREE = frozenset(["args", "arguments", "input", "metadata", "parsed"])
"""Members whose own members the model or the client chooses."""
MAX_NOTED = 32
"""The maximum number of different orders and values of a member that are kept."""
MAX_SHOWN = 60
"""The maximum characters of a value in a message."""

Facts = Mapping[str, Mapping[str, frozenset[str]]]
"""For each kind of event, the possible values of its members, as JSON."""


@record
class Drift:
    """One difference. A new member is info, a missing one a warning; a different type, order, event or fixed value
    is an error.
    """

    level: Level
    path: str
    """The member, as in `$.choices[].delta.content`; a header, an event, or the status."""
    message: str
    where: str = ""
    """The event of a stream that contains the member."""
    known: frozenset[str] = frozenset()
    """For a different value: the possible values, as JSON."""

    def __str__(self) -> str:
        place = f" in {self.where}" if self.where else ""
        return f"{self.level}: {self.path}{place} {self.message}"


@struct
class Member:
    """The values of one member."""

    types: set[str] = field(default_factory=set)
    orders: set[tuple[str, ...]] = field(default_factory=set)
    """For objects: the names of their members, in order."""
    values: set[str] = field(default_factory=set)
    """Strings, numbers and booleans, as JSON."""


@struct
class Shape:
    """The shape of an answer, without its content."""

    status: int
    is_stream: bool
    headers: dict[str, str]
    events: list[str] = field(default_factory=list)
    """The kinds of events, in the order of their first occurrence."""
    members: dict[str, dict[str, Member]] = field(default_factory=dict)
    """For each kind of event, its members by path; those of a whole body are under an empty name."""


def shape_in(wire: WireRecord) -> Shape:
    """Returns the shape of a recorded answer."""
    headers = {name.lower(): value for name, value in wire.headers}
    found = Shape(wire.status, wire.is_stream, headers)
    reader = shape_of(wire.provider, wire.dialect) or WireShape()
    if not wire.is_stream:
        native = reader.read_body(wire.body)
        if native is not None:
            note(native, found.members.setdefault("", {}))
        return found
    for frame in reader.split(wire.body)[::2]:
        kind, native = _event(frame, reader)
        if not kind:
            continue
        if kind not in found.events:
            found.events.append(kind)
        if native is not None:
            note(native, found.members.setdefault(kind, {}))
    return found


def _event(frame: bytes, reader: WireShape) -> tuple[str, Any]:
    """Returns the kind of an event (empty if it isn't one) and its content."""
    if not frame.strip() or frame.startswith(b":"):
        return "", None
    event = reader.read_frame(frame)
    if event is None:
        line = frame.split(b"\n")[-1].decode("utf-8", "replace")
        return f"the event `{line[:40]}`", None
    native = event.native
    name = event.name or (native["type"] if isinstance(native.get("type"), str) else None)
    if name is not None:
        return f"the event {name}", native
    said = [
        WORDS.get(meaning, meaning)
        for meaning in MEANINGS
        if any(place.value not in (None, "") for place in reader.places(native, meaning))
    ]
    return f"the chunk with {' and '.join(said)}" if said else "the chunk without text", native


def members_of(native: Any) -> dict[str, Member]:
    """Returns everything in JSON by its path."""
    members: dict[str, Member] = {}
    note(native, members)
    return members


def note(native: Any, members: dict[str, Member], path: str = "$") -> None:
    """Adds everything in JSON to the members by path."""
    member = members.setdefault(path, Member())
    member.types.add(type_of(native))
    if isinstance(native, dict):
        if path.rpartition(".")[2] in FREE:
            return
        if len(member.orders) < MAX_NOTED:
            member.orders.add(tuple(native))
        for name, value in native.items():
            note(value, members, f"{path}.{name}")
    elif isinstance(native, list):
        for value in native:
            note(value, members, f"{path}[]")
    elif native is not None and len(member.values) < MAX_NOTED:
        member.values.add(json.dumps(native, ensure_ascii=False))


def type_of(value: Any) -> str:
    """Returns the JSON type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def drifts_in(old: WireRecord, new: WireRecord, facts: Facts | None = None) -> list[Drift]:
    """Returns how the shape of one answer differs from that of another, the worst first. `facts` are the values that
    `new` can also have.
    """
    one, other = shape_in(old), shape_in(new)
    found = [*_heads(one, other)]
    if one.is_stream == other.is_stream:
        found += _events(one.events, other.events)
        for kind in one.members:
            if kind in other.members:
                found += _members(one.members[kind], other.members[kind], kind)
                found += _values((facts or {}).get(kind, {}), one.members[kind], other.members[kind], kind)
    return sorted(found, key=lambda drift: LEVELS.index(drift.level))


def _heads(one: Shape, other: Shape) -> Iterator[Drift]:
    if one.status != other.status:
        yield Drift("error", "status", f"was {one.status} and is {other.status}")
    if one.is_stream != other.is_stream:
        words = {True: "a stream", False: "a whole body"}
        yield Drift("error", "body", f"was {words[one.is_stream]} and is {words[other.is_stream]}")
    types = [shape.headers.get("content-type", "none").partition(";")[0].strip().lower() for shape in (one, other)]
    if types[0] != types[1]:
        yield Drift("error", "header content-type", f"was {types[0]} and is {types[1]}")
    for name in sorted(one.headers.keys() - other.headers.keys() - UNSTABLE - {"content-type"}):
        yield Drift("warning", f"header {name}", "is missing")
    for name in sorted(other.headers.keys() - one.headers.keys() - UNSTABLE - {"content-type"}):
        yield Drift("info", f"header {name}", "is new")


def _events(one: Sequence[str], other: Sequence[str]) -> Iterator[Drift]:
    for kind in one:
        if kind not in other:
            yield Drift("error", kind, "is missing")
    for kind in other:
        if kind not in one:
            yield Drift("error", kind, "is new")
    before, after = [kind for kind in one if kind in other], [kind for kind in other if kind in one]
    for was, now in zip(before, after, strict=True):
        if was != now:
            yield Drift("error", now, f"came where {was} came before: the order has changed")
            return


def _members(one: dict[str, Member], other: dict[str, Member], where: str) -> Iterator[Drift]:
    for path, member in one.items():
        if path not in other:
            if _has_parent(path, other):
                yield Drift("warning", path, "is missing", where)
        elif member.types.isdisjoint(other[path].types):
            yield Drift("error", path, f"was {_words(member.types)} and is {_words(other[path].types)}", where)
        elif (orders := _reordered(member.orders, other[path].orders)) is not None:
            before, after = (", ".join(names) for names in orders)
            yield Drift("error", path, f"had {before} and has {after}: the order has changed", where)
    for path in other:
        if path not in one and _has_parent(path, one):
            yield Drift("info", path, "is new", where)


def _reordered(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> tuple[list[str], list[str]] | None:
    """Returns an order of members that no object had before, after the previous one: of the common members, those
    between the first and the last that has moved.
    """
    if not one:
        return None
    for new in sorted(other - one):
        shared = [([name for name in old if name in new], [name for name in new if name in old]) for old in sorted(one)]
        if all(before != after for before, after in shared):
            before, after = shared[0]
            moved = [place for place, (was, now) in enumerate(zip(before, after, strict=True)) if was != now]
            return before[moved[0] : moved[-1] + 1], after[moved[0] : moved[-1] + 1]
    return None


def _values(
    facts: Mapping[str, frozenset[str]], one: dict[str, Member], other: dict[str, Member], where: str
) -> Iterator[Drift]:
    for path, possible in facts.items():
        if path not in one or path not in other or one[path].types.isdisjoint(other[path].types):
            continue
        strange = {value for value in other[path].values - possible if REDACTED not in value}
        if strange:
            yield Drift("error", path, f"was {_listed(possible)} and is {_listed(strange)}", where, possible)


def _listed(values: set[str] | frozenset[str]) -> str:
    return " or ".join(
        value if len(value) <= MAX_SHOWN else f"{value[: MAX_SHOWN - 1].rstrip()}…" for value in sorted(values)
    )


def _has_parent(path: str, members: dict[str, Member]) -> bool:
    """Whether the object that contains a member is also present. An empty list shows nothing about its items."""
    return not path.endswith("[]") and path.rpartition(".")[0] in members


def _words(types: set[str]) -> str:
    return " or ".join(sorted(types))
