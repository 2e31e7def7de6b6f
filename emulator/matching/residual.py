"""The rest of matching, after everything that depends on the request alone has been determined.

The rest depends on other requests: the state, the number of the attempt, the uses of a rule. The number of the attempt
also determines random choices. So each rule that may answer gets a small table of the states and attempts in which it
matches."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from emulator.matching.conditions import Condition, MatchContext
from emulator.matching.conditions.combined import states_of
from emulator.matching.literals import folded
from emulator.matching.rules import Rule, RuleSet
from emulator.patterns import allow

_OTHER = "\0other"
"""Represents all states that no rule names."""


class Residual(NamedTuple):
    """A rule that may answer."""

    rule: Rule
    when: dict[str | None, str]
    """For each state (None: any other), `1` or `0` for each attempt; empty: always."""
    drawn: list[int]
    """The index of the answer for each attempt, if answers are chosen at random."""


class Left(NamedTuple):
    """A rule and its remaining conditions."""

    rule: Rule
    conditions: tuple[Condition[Any], ...]
    reads_state: bool
    reads_attempt: bool
    """Whether the number of the attempt matters, even if only for random choices."""

    @property
    def is_certain(self) -> bool:
        """Whether no later rule can answer."""
        rule = self.rule
        runs_out = rule.times is not None or not (self.is_drawn or rule.then in ("cycle", "repeat_last"))
        return not (self.conditions or rule.chance is not None or runs_out)

    @property
    def is_drawn(self) -> bool:
        return any(answer.chance is not None for answer in self.rule.answers)


def left_of(book: RuleSet, ask: MatchContext) -> list[Left]:
    """Returns the rules that may answer, in order, up to the first one that certainly does."""
    allow()
    prompt = ask.request.prompt
    lowered = folded(prompt)
    found: list[Left] = []
    for rule, substring, _, _, _ in book.candidates(ask, lowered):
        if substring is not None and substring not in prompt:
            continue
        later = tuple([condition for condition in rule.conditions if condition.reads])
        if not all(
            condition.holds(ask)
            for condition in rule.conditions
            if condition.depends_on != "class" and not condition.reads
        ):
            continue
        left = _left(rule, later)
        found.append(left)
        if left.is_certain:
            break
    return found


def _left(rule: Rule, later: tuple[Condition[Any], ...]) -> Left:
    reads = {read for condition in later for read in condition.reads}
    by_chance = rule.chance is not None or any(answer.chance is not None for answer in rule.answers)
    return Left(rule, later, "state" in reads, "attempt" in reads or by_chance)


def residuals(found: Sequence[Left], book: RuleSet, ask: MatchContext, attempts: range) -> list[Residual]:
    """Returns the tables of these rules for some attempts. If the attempt doesn't matter to a rule, one result is
    used for all.
    """
    allow()
    return [_residual(left, book, ask, attempts) for left in found]


def _residual(left: Left, book: RuleSet, ask: MatchContext, attempts: range) -> Residual:
    rule, asks = left.rule, [ask]
    if left.reads_attempt:
        asks = [replace(ask, attempt=attempt) for attempt in attempts]
    drawn: list[int] = []
    if left.is_drawn:
        places = {id(answer): place for place, answer in reversed(tuple(enumerate(rule.answers)))}
        drawn = [places[id(rule.answer(0, replace(ask, attempt=attempt)) or rule.answers[0])] for attempt in attempts]
    if not left.conditions and rule.chance is None:
        return Residual(rule, {}, drawn)
    states: Sequence[str | None] = (None,)
    if left.reads_state:
        states = (*_states(left, book), None)
    when = {state: _mask(left, state, asks) for state in states}
    if not left.reads_attempt:
        when = {state: mask * len(attempts) for state, mask in when.items()}
    return Residual(rule, when, drawn)


def _states(left: Left, book: RuleSet) -> Sequence[str]:
    """Returns the states that make a difference: those that its conditions name, or all if that is unknown."""
    named = states_of(left.conditions)
    if named is None:
        found = [state for rule in book.rules for state in states_of(rule.conditions) or ()]
        found += [answer.set_state for rule in book.rules for answer in rule.answers if answer.set_state is not None]
        named = ("start", *found)
    return list(dict.fromkeys(named))


def _mask(left: Left, state: str | None, asks: Sequence[MatchContext]) -> str:
    return "".join("1" if _holds(left, state, ask) else "0" for ask in asks)


def _holds(left: Left, state: str | None, ask: MatchContext) -> bool:
    if left.reads_state:
        ask = replace(ask, state=_OTHER if state is None else state)
    return all(condition.holds(ask) for condition in left.conditions) and not left.rule.skips(ask)
