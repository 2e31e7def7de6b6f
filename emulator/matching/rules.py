"""Finds the rule that answers a request, and explains why others don't: pure functions over a compiled scenario."""

from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from emulator import seeded
from emulator.faults.base import Fault
from emulator.matching.conditions import Condition, MatchContext, conditions, normalized
from emulator.matching.conditions.recorded import Recorded
from emulator.matching.conditions.values import TextCondition
from emulator.matching.literals import folded
from emulator.pace import Pace
from emulator.patterns import Pattern, allow, compiled
from emulator.records import record
from emulator.reply import ErrorReply, Reply, ReplyTemplate
from emulator.request import ModelRequest
from emulator.scenario.models import AnswerModel, Match, RuleModel, Scenario
from emulator.scenario.wires import wire_of

if TYPE_CHECKING:
    from emulator.recording.wire_file import WireRecord


@record
class Answer:
    """One of a rule's answers."""

    content: ReplyTemplate | ErrorReply
    chance: float | None = None
    set_state: str | None = None
    wire: "WireRecord | None" = None
    """The recorded answer, which is replayed byte for byte instead of the content."""


@record
class Rule:
    """A compiled rule."""

    name: str
    position: int
    """Its position in the order in which rules are tried."""
    origin: str
    """Its position, as `path:line:column`."""
    conditions: tuple[Condition[Any], ...]
    answers: tuple[Answer, ...]
    then: str
    times: int | None
    chance: float | None
    pace: Pace | None
    faults: tuple[Fault, ...]
    literal: str | None
    """The exact prompt that this rule requires, if any: looked up instead of tried."""
    patterns: tuple[Pattern, ...]
    """The regexes on the prompt, whose groups templates may use."""
    model: RuleModel
    """The model it was compiled from."""
    normalize: tuple[str, ...] = ()

    @property
    def is_constant(self) -> bool:
        """Whether it always gives the same answer."""
        is_single = len(self.answers) == 1 and self.answers[0].chance is None and self.then in ("repeat_last", "cycle")
        return is_single and self.times is None and self.chance is None

    def answer(self, used: int, ask: MatchContext) -> Answer | None:
        """The answer for use number `used` (0 for the first); None if the rule is used up."""
        answers = self.answers
        if self.times is not None and used >= self.times:
            return None
        if any(item.chance is not None for item in answers):
            return self._drawn(ask)
        if used < len(answers):
            return answers[used]
        if self.then == "cycle":
            return answers[used % len(answers)]
        return answers[-1] if self.then == "repeat_last" else None

    def _drawn(self, ask: MatchContext) -> Answer:
        ends = [*accumulate(1.0 if item.chance is None else item.chance for item in self.answers)]
        point = seeded.fraction(ask.seed, "weights", self.name, ask.identity, ask.attempt) * ends[-1]
        return self.answers[min(bisect(ends, point), len(ends) - 1)]  # a rounded product may be no less than the sum

    @property
    def is_cacheable(self) -> bool:
        """Whether it matches the same request each time."""
        return self.chance is None and not any(condition.depends_on == "more" for condition in self.conditions)

    def skips(self, ask: MatchContext) -> bool:
        """Whether `chance` skips the rule for this request."""
        chance = self.chance
        return (
            chance is not None and seeded.fraction(ask.seed, "chance", self.name, ask.identity, ask.attempt) >= chance
        )

    def groups(self, prompt: str) -> dict[str, Any]:
        """The groups of the regexes on the prompt: named groups by name, all by number."""
        allow()
        found: dict[str, Any] = {}
        for pattern in self.patterns:
            groups = pattern.groups_in(prompt)
            if groups is None and self.normalize:  # searches the original text if possible, else the normalized one
                groups = pattern.groups_in(normalized(prompt, self.normalize))
            found.update(groups or {})
        return found


@record
class RuleMatch:
    """A rule and its next answer."""

    rule: Rule
    answer: Answer

    @property
    def is_cacheable(self) -> bool:
        """Whether this rule always gives exactly this answer."""
        rule, content = self.rule, self.answer.content
        return (
            len(rule.answers) == 1
            and rule.times is None
            and not rule.faults
            and self.answer.set_state is None
            and self.answer.wire is None
            and isinstance(content, ReplyTemplate)
            and not content.is_templated
            and content.code is None
        )


class Candidate(NamedTuple):
    """A rule that requests of one class may match, and its remaining conditions."""

    rule: Rule
    substring: str | None
    """The text that the prompt must contain, if that is the only condition: tested inline, without a call."""
    required_substring: str | None
    """A text that the folded prompt must contain."""
    tests: tuple[Callable[[MatchContext], bool], ...]
    always: RuleMatch | None
    """The match, if it is always the same."""


class Candidates(NamedTuple):
    """The rules for one class of requests, in order; those that require an exact prompt are looked up."""

    by_prompt: Mapping[str, tuple[Candidate, ...]]
    first_uncacheable: int
    """The position of the first rule that may answer the same request once but not again."""

    by_ngram: Mapping[str, tuple[Candidate, ...]]
    """The other rules that require some text in the prompt, each under a part of it that few of them share."""
    unindexed: tuple[Candidate, ...]
    """The remaining rules."""
    needed: tuple[tuple[str, tuple[tuple[str, Candidate], ...]], ...]
    """The other rules, each with the text that it requires in the folded prompt (or an empty one), grouped by the
    first characters of that text.
    """

    def of(self, prompt: str, lowered: str) -> Sequence[Candidate]:
        """The rules that this prompt may match, in order; `lowered` is the folded prompt."""
        found = [*self.by_prompt.get(prompt, ()), *self._likely(lowered)]
        return found if len(found) < 2 else sorted(found, key=_position)

    def _likely(self, lowered: str) -> Sequence[Candidate]:
        """Those of them that require no exact prompt, in any order."""
        if len(self.needed) <= len(lowered):  # a few stems, even if many rules share them
            groups = [group for stem, group in self.needed if stem in lowered]
            if sum(map(len, groups)) <= len(lowered):
                return [each for group in groups for text, each in group if text in lowered]
        ngrams = {lowered[start : start + NGRAM] for start in range(len(lowered) - NGRAM + 1)}
        likely = [candidate for ngram in ngrams & self.by_ngram.keys() for candidate in self.by_ngram[ngram]]
        return [*self.unindexed, *likely] if likely else self.unindexed


def _position(candidate: Candidate) -> int:
    return candidate.rule.position


MAX_CLASSES = 256
STEM = 8
"""The length of the beginning of a required text that is tested once for all rules that share it."""
NGRAM = 4
"""The length of the text parts under which rules are looked up, if there are many."""


@record
class RuleSet:
    """All rules of a scenario, in the order in which they are tried.

    Requests with the same provider, operation, model and stream form a class. The rules that a class can match are
    determined once, so that a rule for another provider costs nothing."""

    rules: tuple[Rule, ...]
    _classes: dict[tuple[str, str, str, bool], Candidates] = field(default_factory=dict)

    def candidates(self, ask: MatchContext, lowered: str) -> Sequence[Candidate]:
        """The rules that this request may match, in order: only a few, however many rules there are."""
        return self._class_of(ask).of(ask.request.prompt, lowered)

    def is_cacheable(self, ask: MatchContext, found: RuleMatch | None) -> bool:
        """Whether the same request always finds the same rule, whatever the namespace's state."""
        last = found.rule.position if found is not None else len(self.rules) - 1
        return last < self._class_of(ask).first_uncacheable

    def _class_of(self, ask: MatchContext) -> Candidates:
        request = ask.request
        key = (request.http_request.provider, request.http_request.operation, request.model, request.stream)
        found = self._classes.get(key)
        if found is None:
            if len(self._classes) >= MAX_CLASSES:
                self._classes.clear()
            found = self._classes[key] = self._sorted_out(ask)
        return found

    def _sorted_out(self, ask: MatchContext) -> Candidates:
        by_prompt: dict[str, list[Candidate]] = {}
        others: list[Candidate] = []
        first_uncacheable = len(self.rules)
        for rule in self.rules:
            if all(condition.holds(ask) for condition in rule.conditions if condition.depends_on == "class"):
                if not rule.is_cacheable:
                    first_uncacheable = min(first_uncacheable, rule.position)
                left = [condition for condition in rule.conditions if condition.depends_on != "class"]
                substring = left[0].substring if len(left) == 1 else None
                required_substring = next(
                    (condition.required_substring for condition in left if condition.required_substring is not None),
                    None,
                )
                always = RuleMatch(rule, rule.answers[0]) if rule.is_constant else None
                tests = tuple([condition.holds for condition in left])
                candidate = Candidate(rule, substring, required_substring, tests, always)
                (others if rule.literal is None else by_prompt.setdefault(rule.literal, [])).append(candidate)
        exact = {prompt: tuple(rules) for prompt, rules in by_prompt.items()}
        return Candidates(exact, first_uncacheable, *_indexed(others), _grouped(others))


def _indexed(candidates: Sequence[Candidate]) -> tuple[dict[str, tuple[Candidate, ...]], tuple[Candidate, ...]]:
    """Candidates by the rarest n-gram of their required text, in lower case; and those without such a text."""
    wanted = [_wanted(candidate) for candidate in candidates]
    counts = Counter(ngram for ngrams in wanted for ngram in set(ngrams))
    index: dict[str, list[Candidate]] = {}
    for candidate, ngrams in zip(candidates, wanted, strict=True):
        if ngrams:
            index.setdefault(min(ngrams, key=counts.__getitem__), []).append(candidate)
    unindexed = [candidate for candidate, ngrams in zip(candidates, wanted, strict=True) if not ngrams]
    return {ngram: tuple(found) for ngram, found in index.items()}, tuple(unindexed)


def _grouped(candidates: Sequence[Candidate]) -> tuple[tuple[str, tuple[tuple[str, Candidate], ...]], ...]:
    """Candidates with the texts that they require, grouped by the first characters of these."""
    groups: dict[str, list[tuple[str, Candidate]]] = {}
    for candidate in candidates:
        text = _needed(candidate)
        groups.setdefault(text[:STEM], []).append((text, candidate))
    return tuple([(stem, tuple(group)) for stem, group in groups.items()])


def _wanted(candidate: Candidate) -> list[str]:
    text = _needed(candidate)
    return [text[start : start + NGRAM] for start in range(len(text) - NGRAM + 1)]


def _needed(candidate: Candidate) -> str:
    text = (candidate.substring or candidate.required_substring or "").lower()
    return text if text.isascii() else ""


def compile_rules(scenario: Scenario, origins: Sequence[str] = ()) -> RuleSet:
    """Compiles a scenario's rules for fast matching. `origins` has the position of each."""
    lines = [*origins, *(f"rules[{number}]" for number in range(len(origins), len(scenario.rules)))]
    compiled = [_compiled(model, lines[number], number, scenario) for number, model in enumerate(scenario.rules)]
    order = sorted(range(len(compiled)), key=lambda number: -scenario.rules[number].priority)
    return RuleSet(tuple(replace(compiled[number], position=position) for position, number in enumerate(order)))


def compile_added(
    model: RuleModel,
    name: str,
    scenario: Scenario,
    functions: Mapping[int, Callable[[ModelRequest], Any]] | None = None,
) -> Rule:
    """Compiles a rule that is added while the server runs. `name` is its default name. `functions` return its
    answers, by position, instead of what the model says there.
    """
    rule = _compiled(model, name, 0, scenario)
    if functions:
        answers = (_given_by(functions.get(place), answer) for place, answer in enumerate(rule.answers))
        rule = replace(rule, answers=tuple(answers))
    return rule if model.name else replace(rule, name=name)


def _given_by(function: Callable[[ModelRequest], Any] | None, answer: Answer) -> Answer:
    content = answer.content
    if function is None or not isinstance(content, ReplyTemplate):
        return answer
    return replace(answer, content=replace(content, code=function))


def with_added(book: RuleSet, added: Sequence[Rule]) -> RuleSet:
    """Returns the rules with added ones before them: newer before older, unless their priorities say otherwise. The
    priorities of the scenario's own rules apply only among themselves.
    """
    rules = (*added, *book.rules)
    return RuleSet(tuple(replace(rule, position=position) for position, rule in enumerate(rules)))


def find(book: RuleSet, ask: MatchContext, used: Mapping[int, int]) -> RuleMatch | None:
    """The first rule that matches and is not used up. `used` has the number of uses of each rule by its position."""
    allow()
    prompt = ask.request.prompt
    lowered = folded(prompt)
    for rule, substring, required_substring, tests, always in book.candidates(ask, lowered):
        if substring is not None:
            if substring not in prompt:
                continue
        elif (required_substring is not None and required_substring not in lowered) or not _all_hold(tests, ask):
            continue
        if always is not None:
            return always
        if rule.skips(ask):
            continue
        answer = rule.answer(used.get(rule.position, 0), ask)
        if answer is not None:
            return RuleMatch(rule, answer)
    return None


def _all_hold(tests: Sequence[Callable[[MatchContext], bool]], ask: MatchContext) -> bool:
    for test in tests:  # noqa: SIM110 - a generator would cost more than most tests do
        if not test(ask):
            return False
    return True


def misses(book: RuleSet, ask: MatchContext, most: int = 20, before: int | None = None) -> list[str]:
    """For each rule, or each before a position, why it doesn't answer this request: its first failing condition. The
    nearest rules come first; at most `most` are listed."""
    allow()
    tried: list[tuple[float, int, Rule, str]] = []
    for rule in book.rules[:before]:
        for held, condition in enumerate(rule.conditions):
            if not condition.holds(ask):
                distance, reason = _mismatch(rule, condition, ask)
                tried.append((held / (len(rule.conditions) + 1), distance, rule, reason))
                break
        else:
            reason = "skipped by its `chance`" if rule.skips(ask) else "it matches, but it is used up"
            tried.append((1.0, 0, rule, reason))
    tried.sort(key=lambda row: (-row[0], row[1], row[2].position))
    lines = [f"{rule.name}: {reason}" for _, _, rule, reason in tried[:most]]
    left = len(tried) - most
    return lines + ([f"… and {left} more {'rule' if left == 1 else 'rules'}"] if left > 0 else [])


def _mismatch(rule: Rule, failed: Condition[Any], ask: MatchContext) -> tuple[int, str]:
    """How far a request is from a rule's condition, if that can be counted, and why it doesn't meet it."""
    if isinstance(failed, Recorded) and rule.answers[0].wire is not None:
        found = failed.differences(ask, rule.answers[0].wire.request)
        if found:
            from emulator.recording.differences import named

            return len(found), named(found)
    return 0, failed.mismatch(ask)


def explained(book: RuleSet, ask: MatchContext, before: int, most: int = 20) -> list[dict[str, Any]]:
    """For each of the last rules that were tried, and for the one at position `before`: which conditions hold."""
    rules = book.rules[max(0, before - most) : before + 1]
    return [
        {"rule": rule.name, "origin": rule.origin, "matched": rule.position == before, "conditions": _each(rule, ask)}
        for rule in rules
    ]


def _each(rule: Rule, ask: MatchContext) -> list[dict[str, Any]]:
    allow()
    rows: list[dict[str, Any]] = []
    match = rule.model.match if rule.model is not None else Match()
    for name in sorted(match.model_fields_set - {"normalize"}):
        alone = Match.model_construct(_fields_set={name}, **{**dict(Match()), name: getattr(match, name)})
        failed = next((each for each in conditions(alone, rule.normalize) if not each.holds(ask)), None)
        wanted = match.model_dump(mode="json", by_alias=True, include={name}, exclude_unset=True)
        key, value = next(iter(wanted.items()), (name, None))
        reason = None if failed is None else _mismatch(rule, failed, ask)[1]
        rows.append({"condition": key, "wanted": value, "holds": failed is None, "reason": reason})
    return rows


def _compiled(model: RuleModel, origin: str, number: int, scenario: Scenario) -> Rule:
    pace = model.pace or scenario.defaults.pace
    normalize = scenario.defaults.normalize if model.match.normalize is None else model.match.normalize
    prompt = model.match.prompt
    return Rule(
        name=model.name or f"rules[{number}]",
        position=number,
        origin=origin,
        conditions=tuple(conditions(model.match, normalize, is_outermost=True)),
        answers=tuple(_answer(item, model) for item in model.answers()),
        then=model.then or "repeat_last",
        times=model.times,
        chance=model.chance,
        pace=pace.to_pace() if pace else None,
        faults=model.faults,
        literal=prompt.equals if prompt and not normalize else None,
        patterns=tuple(compiled(regex) for regex in _regexes(model.match)),
        normalize=tuple(normalize),
        model=model,
    )


def _regexes(wanted: Match | TextCondition) -> Iterator[str]:
    """The regexes that a prompt may need to match."""
    if isinstance(wanted, TextCondition):
        if wanted.regex is not None:
            yield wanted.regex
    elif wanted.prompt is not None:
        yield from _regexes(wanted.prompt)
    for part in (*(wanted.any_of or ()), *((wanted.all_of or ()) if isinstance(wanted, Match) else ())):
        yield from _regexes(part)


def _answer(item: AnswerModel, model: RuleModel) -> Answer:
    state = item.set_state or model.set_state
    wire = None if item.wire is None else wire_of(item)
    if item.reply is not None:
        return Answer(item.reply.to_draft(), item.chance, state, wire)
    if item.error is not None:
        return Answer(item.error.to_reply(), item.chance, state, wire)
    return Answer(ReplyTemplate(Reply()), item.chance, state, wire)
