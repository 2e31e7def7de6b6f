"""Conditions that combine others: any_of, all_of, not."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from emulator.matching.conditions.base import (
    READS_NOTHING,
    Compiling,
    Condition,
    DependsOn,
    Impossible,
    KeyPath,
    MatchContext,
    Read,
)

Conditions = tuple[Condition[Any], ...]


class AnyOf(Condition[Any]):
    """At least one of these must match."""

    key = "any_of"

    def __init__(self, value: Sequence[Any], compiling: Compiling) -> None:
        super().__init__(value, compiling)
        self.groups = tuple(
            compiling.inner(part, compiling.normalize, (*compiling.place, number)) for number, part in enumerate(value)
        )
        self.depends_on = depends_on(condition for group in self.groups for condition in group)

    @property
    def reads(self) -> frozenset[Read]:
        return reads_of(chain.from_iterable(self.groups))

    def states(self) -> tuple[str, ...] | None:
        return states_of(chain.from_iterable(self.groups))

    def holds(self, ask: MatchContext) -> bool:
        return any(all(condition.holds(ask) for condition in group) for group in self.groups)

    def mismatch(self, ask: MatchContext) -> str:
        failed = [next(condition for condition in group if not condition.holds(ask)) for group in self.groups]
        return "none of any_of holds: " + "; ".join(condition.mismatch(ask) for condition in failed)

    def implies(self, other: Condition[Any]) -> bool:
        return self.leaves_only(other) or self.is_same(other)

    def is_same(self, other: Condition[Any]) -> bool:
        return isinstance(other, AnyOf) and are_same(self.groups, other.groups)

    def leaves_only(self, other: Condition[Any]) -> bool:
        return bool(self.groups) and all(other.follows_from(group) for group in self.groups)

    def follows_from(self, conditions: Sequence[Condition[Any]]) -> bool:
        return super().follows_from(conditions) or any(follow_from(group, conditions) for group in self.groups)

    def impossible(self) -> Impossible | None:
        if not self.groups:
            return self.place, "any_of is an empty list"
        wrongs = [contradiction_in(group) for group in self.groups]
        return wrongs[0] if all(wrongs) else None

    def regexes(self) -> Iterator[tuple[KeyPath, str]]:
        for group in self.groups:
            for condition in group:
                yield from condition.regexes()


class AllOf(Condition[Any]):
    """All of these must match. Each becomes a separate condition of the match."""

    key = "all_of"

    @classmethod
    def each(cls, value: Sequence[Any], compiling: Compiling) -> Iterator[Condition[Any]]:
        for number, part in enumerate(value):
            yield from compiling.inner(part, compiling.normalize, (*compiling.place, number))


class Not(Condition[Any]):
    """This must not match as a whole."""

    key = "not"

    def __init__(self, value: Any, compiling: Compiling) -> None:
        super().__init__(value, compiling)
        self.forbidden = compiling.inner(value, compiling.normalize, compiling.place)
        self.depends_on = depends_on(self.forbidden)

    @property
    def reads(self) -> frozenset[Read]:
        return reads_of(self.forbidden)

    def states(self) -> tuple[str, ...] | None:
        return states_of(self.forbidden)

    def holds(self, ask: MatchContext) -> bool:
        return not all(condition.holds(ask) for condition in self.forbidden)

    def mismatch(self, ask: MatchContext) -> str:
        return "everything under `not` holds"

    def implies(self, other: Condition[Any]) -> bool:
        assert isinstance(other, Not)
        return follow_from(self.forbidden, other.forbidden)

    def is_same(self, other: Condition[Any]) -> bool:
        return isinstance(other, Not) and are_same([self.forbidden], [other.forbidden])

    def impossible_beside(self, others: Sequence[Condition[Any]]) -> str | None:
        return "`not` excludes what the rest requires" if follow_from(self.forbidden, others) else None

    def regexes(self) -> Iterator[tuple[KeyPath, str]]:
        for condition in self.forbidden:
            yield from condition.regexes()


def depends_on(conditions: Iterator[Condition[Any]] | Conditions) -> DependsOn:
    """What a combination of these depends on."""
    return "more" if any(condition.depends_on == "more" for condition in conditions) else "body"


def reads_of(conditions: Iterable[Condition[Any]]) -> frozenset[Read]:
    """What a combination of these reads in addition to the request."""
    return READS_NOTHING.union(*(condition.reads for condition in conditions))


def states_of(conditions: Iterable[Condition[Any]]) -> tuple[str, ...] | None:
    """The states that a combination of these distinguishes; None if unknown for one of them."""
    found = [condition.states() for condition in conditions]
    return None if None in found else tuple(state for states in found for state in states or ())


def are_same(one: Sequence[Conditions], other: Sequence[Conditions]) -> bool:
    """Whether groups of conditions are the same, in the same order."""
    return len(one) == len(other) and all(
        len(left) == len(right) and all(each.is_same(twin) for each, twin in zip(left, right, strict=True))
        for left, right in zip(one, other, strict=True)
    )


def follow_from(wide: Sequence[Condition[Any]], narrow: Sequence[Condition[Any]]) -> bool:
    """Whether every request that meets all of `narrow` meets all of `wide`, as far as can be determined."""
    return all(condition.follows_from(narrow) for condition in wide)


def contradiction_in(conditions: Sequence[Condition[Any]]) -> Impossible | None:
    """Why no request meets all of these, and where; None if one may."""
    for condition in conditions:
        wrong = condition.impossible()
        if wrong is not None:
            return wrong
    for number in reversed(range(len(conditions))):
        condition = conditions[number]
        reason = condition.impossible_beside((*conditions[:number], *conditions[number + 1 :]))
        if reason is not None:
            return condition.place, reason
    return None
