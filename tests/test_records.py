"""Records behave like frozen dataclasses, but cost less to define."""

import copy
import pickle
from dataclasses import dataclass, field, fields, replace
from typing import Any

import pytest
from tables import each_of

from emulator.records import record, struct


@record
class Nothing:
    """No fields."""


@record
class Point:
    """Two fields that are compared, one that isn't, and one that isn't shown."""

    x: float
    y: float = 0.0
    note: str = field(default="", compare=False)
    secret: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Reference:
    """The same as a frozen dataclass."""

    x: float
    y: float = 0.0
    note: str = field(default="", compare=False)
    secret: tuple[str, ...] = field(default=(), repr=False)


@record
class Named(Point):
    """A record that extends another."""

    name: str = "?"


@record
class Loud:
    """A record with methods of its own."""

    word: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loud) and self.word.upper() == other.word.upper()

    def __hash__(self) -> int:
        return hash(self.word.upper())

    def __repr__(self) -> str:
        return self.word.upper()


VALUES: tuple[dict[str, Any], ...] = (
    {"x": 1.0},
    {"x": 1.0, "y": 2.0},
    {"x": 1.0, "note": "other"},
    {"x": 1.0, "secret": ("s",)},
    {"x": 2.0},
)


@each_of("one", VALUES)
@each_of("other", VALUES)
def test_they_are_equal_when_frozen_dataclasses_are(one: dict[str, Any], other: dict[str, Any]) -> None:
    is_equal = Reference(**one) == Reference(**other)
    assert (Point(**one) == Point(**other)) is is_equal
    assert len({Point(**one), Point(**other)}) == len({Reference(**one), Reference(**other)})
    assert Named(**one) not in {Point(**one), Reference(**one)}
    assert [Point(**one)].count(Reference(**one)) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("values", VALUES)
def test_they_are_shown_copied_and_pickled_like_dataclasses(values: dict[str, Any]) -> None:
    point = Point(**values)
    assert repr(point) == repr(Reference(**values)).replace("Reference", "Point")
    assert [each.name for each in fields(point)] == [each.name for each in fields(Reference)]
    for same in (replace(point), copy.deepcopy(point), pickle.loads(pickle.dumps(point))):
        assert same is not point
        assert (same, same.note) == (point, point.note)
    assert not hasattr(point, "__dict__")


def test_their_own_methods_and_inherited_fields_count() -> None:
    assert (repr(Nothing()), Nothing() == Nothing(), len({Nothing(), Nothing()})) == ("Nothing()", True, 1)
    assert repr(Named(1.0, name="n")) == "Named(x=1.0, y=0.0, note='', name='n')"
    assert Named(1.0, name="n") != Named(1.0, name="m")
    assert (repr(Loud("a")), Loud("a") == Loud("A"), len({Loud("a"), Loud("A")})) == ("A", True, 1)


def test_one_that_contains_itself_is_shown() -> None:
    inside: list[Any] = []
    point = Point(1.0, secret=())
    loop = Named(1.0, note="", name=inside)  # type: ignore[arg-type]
    inside.append(loop)
    assert repr(loop) == "Named(x=1.0, y=0.0, note='', name=[...])"
    assert repr(point) == "Point(x=1.0, y=0.0, note='')"


@struct
class Tally:
    """Changes, and so has no hash."""

    count: int = 0
    note: str = field(default="", compare=False)


@struct
class Counted(Tally):
    """A record that extends it, with a method of its own."""

    def __repr__(self) -> str:
        return f"<{self.count}>"


def test_structs_change_and_have_no_hash() -> None:
    tally = Tally(note="n")
    tally.count += 1
    assert (tally, repr(tally)) == (Tally(1), "Tally(count=1, note='n')")
    assert tally != Counted(1)
    assert (repr(Counted(1)), Counted(1) == Counted(1)) == ("<1>", True)
    for unhashable in (tally, Counted(1)):
        with pytest.raises(TypeError, match="unhashable type"):
            hash(unhashable)
