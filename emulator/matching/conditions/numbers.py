"""Conditions on counts: turns, messages, attempts. All are whole numbers."""

import math
from collections.abc import Sequence

from emulator.matching.conditions.base import Compiling, Condition, DependsOn, Impossible, MatchContext
from emulator.matching.conditions.values import NumberCondition


class Number(Condition[NumberCondition]):
    """A condition on a count."""

    depends_on: DependsOn = "body"
    least = 0
    """The lowest possible count."""
    name = ""
    """Its name in messages; by default, its key."""

    def __init__(self, value: NumberCondition, compiling: Compiling) -> None:
        super().__init__(value, compiling)
        self.wish = wish(value)

    def count(self, ask: MatchContext) -> int:
        """The number to compare."""
        raise NotImplementedError

    def holds(self, ask: MatchContext) -> bool:
        return fits(self.count(ask), self.value)

    def mismatch(self, ask: MatchContext) -> str:
        return f"{self.name or self.key} is {self.count(ask)}, the rule expects {self.wish}"

    def implies(self, other: Condition[NumberCondition]) -> bool:
        return self.is_same(other) or follows(self.value, other.value, self.least)

    def is_universal(self) -> bool:
        return follows(None, self.value, self.least)

    def impossible(self) -> Impossible | None:
        listed = numbers_in(self.value)
        counted = f"{self.key} is a whole number from {self.least} on"
        if listed == ():
            return self.place, f"{self.key} is in an empty list"
        if listed is not None:
            if any(fits(each, self.value) and each >= self.least and each == int(each) for each in listed):
                return None
            shown = " or ".join(f"{number:.15g}" for number in listed)
            return self.place, f"{counted}, so it is never {shown}"
        low, high = bounds(self.value, self.least)
        return (self.place, f"{counted}, and none is in the given range") if low > high else None


class Turn(Number):
    """The number of assistant messages so far, plus one."""

    key = "turn"
    least = 1

    def count(self, ask: MatchContext) -> int:
        return ask.request.turn


class Messages(Number):
    """The number of messages."""

    key = "messages"
    name = "the number of messages"

    def count(self, ask: MatchContext) -> int:
        return len(ask.request.messages)


class Attempt(Number):
    """How many times this exact request has arrived."""

    key = "attempt"
    least = 1
    depends_on = "more"
    reads = frozenset(("attempt",))

    def count(self, ask: MatchContext) -> int:
        return ask.attempt


def fits(number: float, wanted: NumberCondition) -> bool:
    """Whether a number meets a condition."""
    return (
        (wanted.equals is None or number == wanted.equals)
        and (wanted.gt is None or number > wanted.gt)
        and (wanted.lt is None or number < wanted.lt)
        and (wanted.in_ is None or number in wanted.in_)
    )


def wish(wanted: NumberCondition) -> str:
    """The expected numbers, to end a sentence: `more than 1 and less than 3`."""
    wishes = [
        f"{word} {getattr(wanted, name):.15g}"
        for name, word in (("equals", "exactly"), ("gt", "more than"), ("lt", "less than"))
        if getattr(wanted, name) is not None
    ]
    if wanted.in_ is not None:
        wishes.append(f"one of {', '.join(f'{number:.15g}' for number in wanted.in_)}")
    return " and ".join(wishes)


def follows(narrow: NumberCondition | None, wide: NumberCondition, least: int) -> bool:
    """Whether every whole number from `least` on that meets `narrow` meets `wide`."""
    listed = None if narrow is None else numbers_in(narrow)
    if listed is not None:
        return all(fits(number, wide) for number in listed if narrow is None or fits(number, narrow))
    low, high = bounds(narrow, least)
    if wide.equals is not None or wide.in_ is not None:
        return low == high and fits(low, wide)
    return (wide.gt is None or low > wide.gt) and (wide.lt is None or high < wide.lt)


def numbers_in(condition: NumberCondition) -> Sequence[float] | None:
    """The only numbers that a condition allows; None if it lists none."""
    return (condition.equals,) if condition.equals is not None else condition.in_


def bounds(condition: NumberCondition | None, least: int) -> tuple[float, float]:
    """The lowest and highest whole numbers that a condition without a list allows."""
    low, high = float(least), math.inf
    if condition is not None and condition.gt is not None:
        low = max(low, math.floor(condition.gt) + 1)
    if condition is not None and condition.lt is not None:
        high = math.ceil(condition.lt) - 1
    return low, high
