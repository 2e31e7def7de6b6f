"""Which rule answers a request, and why the others do not: pure functions over a compiled scenario."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from emulator.pace import Pace
from emulator.reply import ErrorReply, Reply
from emulator.request import ModelRequest
from emulator.scenario import Match, RuleModel, Scenario, TextCondition, glob_pattern

SHOWN = 60


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must hold, and the sentence for when it does not."""

    holds: Callable[[ModelRequest], bool]
    miss: Callable[[ModelRequest], str]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule ready to be asked."""

    name: str
    position: int
    conditions: tuple[Condition, ...]
    answers: tuple[Reply | ErrorReply, ...]
    then: str
    pace: Pace | None
    literal: str | None
    """The exact prompt that this rule wants, when it wants one: looked up instead of tried."""

    def answer(self, used: int) -> Reply | ErrorReply | None:
        """The answer for the use number `used` (0 for the first); None when the rule is used up."""
        if used < len(self.answers):
            return self.answers[used]
        if self.then == "cycle":
            return self.answers[used % len(self.answers)]
        return self.answers[-1] if self.then == "repeat_last" else None


@dataclass(frozen=True, slots=True)
class Found:
    """A rule and which of its answers it is the turn of."""

    rule: Rule
    answer: Reply | ErrorReply


@dataclass(frozen=True, slots=True)
class Rulebook:
    """All rules of a scenario, with those that want an exact prompt indexed by it."""

    rules: tuple[Rule, ...]
    by_prompt: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    others: tuple[Rule, ...] = ()

    def candidates(self, request: ModelRequest) -> Sequence[Rule]:
        """The rules that may match, in order: a few, however many there are with other exact prompts."""
        exact = self.by_prompt.get(request.prompt, ())
        if not exact:
            return self.others
        return sorted((*exact, *self.others), key=lambda rule: rule.position)


def compile_rules(scenario: Scenario) -> Rulebook:
    """Make a scenario's rules quick to ask."""
    rules = tuple(_compiled(model, position, scenario) for position, model in enumerate(scenario.rules))
    by_prompt: dict[str, tuple[Rule, ...]] = {}
    for rule in rules:
        if rule.literal is not None:
            by_prompt[rule.literal] = (*by_prompt.get(rule.literal, ()), rule)
    return Rulebook(rules, by_prompt, tuple(rule for rule in rules if rule.literal is None))


def find(book: Rulebook, request: ModelRequest, used: Mapping[int, int]) -> Found | None:
    """The first rule that matches and is not used up. `used` counts the uses of each rule by its position."""
    for rule in book.candidates(request):
        for condition in rule.conditions:
            if not condition.holds(request):
                break
        else:
            answer = rule.answer(used.get(rule.position, 0))
            if answer is not None:
                return Found(rule, answer)
    return None


def misses(book: Rulebook, request: ModelRequest) -> Iterator[str]:
    """For each rule, why it does not answer this request: its first condition that fails."""
    for rule in book.rules:
        failed = next((condition for condition in rule.conditions if not condition.holds(request)), None)
        yield f"{rule.name}: {failed.miss(request) if failed else 'it matches, but all its replies are used up'}"


def _compiled(model: RuleModel, position: int, scenario: Scenario) -> Rule:
    pace = model.pace or scenario.defaults.pace
    prompt = model.match.prompt
    return Rule(
        name=model.name or f"rules[{position}]",
        position=position,
        conditions=tuple(_conditions(model.match)),
        answers=model.answers(),
        then=model.then or "repeat_last",
        pace=pace.to_pace() if pace else None,
        literal=prompt.equals if prompt else None,
    )


def _conditions(match: Match) -> Iterator[Condition]:
    if match.provider is not None:
        providers = match.provider
        yield Condition(
            lambda request: request.call.provider in providers,
            lambda request: f"provider is '{request.call.provider}', the rule wants {_list(providers)}",
        )
    if match.model is not None:
        globs = match.model
        pattern = glob_pattern(globs)
        yield Condition(
            lambda request: pattern.match(request.model) is not None,
            lambda request: f"model is '{request.model}', the rule wants {_list(globs)}",
        )
    if match.stream is not None:
        stream = match.stream
        yield Condition(
            lambda request: request.stream is stream,
            lambda request: f"stream is {str(request.stream).lower()}, the rule wants {str(stream).lower()}",
        )
    if match.prompt is not None:
        yield from _text_conditions("prompt", lambda request: request.prompt, match.prompt)


def _text_conditions(what: str, text: Callable[[ModelRequest], str], wanted: TextCondition) -> Iterator[Condition]:
    def told(request: ModelRequest) -> str:
        return f"{what} {_shown(text(request))}"

    if wanted.equals is not None:
        equals = wanted.equals
        yield Condition(lambda r: text(r) == equals, lambda r: f"{told(r)} is not {_shown(equals)}")
    if wanted.contains is not None:
        contains = wanted.contains
        yield Condition(lambda r: contains in text(r), lambda r: f"{told(r)} does not contain {_shown(contains)}")
    if wanted.regex is not None:
        pattern = re.compile(wanted.regex)
        yield Condition(
            lambda r: pattern.search(text(r)) is not None,
            lambda r: f"{told(r)} does not match the regex {_shown(pattern.pattern)}",
        )


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def _list(names: Sequence[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)
