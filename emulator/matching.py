"""Which rule answers a request, and why the others do not: pure functions over a compiled scenario."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Literal, NamedTuple

import orjson

from emulator import dice
from emulator.faults.base import Fault
from emulator.hints import literal_in
from emulator.pace import Pace
from emulator.records import record
from emulator.reply import Draft, ErrorReply
from emulator.request import ModelRequest
from emulator.scenario import (
    AnswerModel,
    BodyCondition,
    Match,
    NumberCondition,
    RuleModel,
    Scenario,
    TextCondition,
    glob_pattern,
)

SHOWN = 60
LONGEST_SEARCHED = 65536
"""Regexes see this much of a text."""
LooksAt = Literal["class", "body", "more"]
COMPLETIONS = ("chat", "completions")


@record
class Ask:
    """A request, and what the world knows of it: everything a condition may look at."""

    request: ModelRequest
    state: str = "start"
    attempt: int = 1
    identity: bytes = b""
    seed: int = 0


@record
class Condition:
    """One thing that must hold, and the sentence for when it does not."""

    holds: Callable[[Ask], bool]
    miss: Callable[[Ask], str]
    looks_at: LooksAt = "body"
    """`class`: what many requests have in common (provider, operation, model, stream); `body`: what only the body
    says; `more`: also headers, the key, or what changes from request to request."""
    needle: str | None = None
    """What the prompt has to contain, when that is the whole condition."""
    hint: str | None = None
    """What the prompt, if it is ASCII, has to contain in lower case for the condition to hold."""


@record
class Answer:
    """One of a rule's answers."""

    content: Draft | ErrorReply
    chance: float | None = None
    set_state: str | None = None


@record
class Rule:
    """A rule ready to be asked."""

    name: str
    position: int
    """Its place in the order of trying."""
    origin: str
    """Where it stands, as `path:line:column`."""
    conditions: tuple[Condition, ...]
    answers: tuple[Answer, ...]
    then: str
    times: int | None
    chance: float | None
    pace: Pace | None
    faults: tuple[Fault, ...]
    literal: str | None
    """The exact prompt that this rule wants, when it wants one: looked up instead of tried."""
    patterns: tuple[re.Pattern[str], ...]
    """The regexes on the prompt, whose groups templates may use."""
    normalize: tuple[str, ...] = ()

    def answer(self, used: int, ask: Ask) -> Answer | None:
        """The answer for the use number `used` (0 for the first); None when the rule is used up."""
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

    def _drawn(self, ask: Ask) -> Answer:
        weights = [1.0 if item.chance is None else item.chance for item in self.answers]
        point = dice.fraction(ask.seed, "weights", self.name, ask.identity, ask.attempt) * sum(weights)
        for item, weight in zip(self.answers, weights, strict=True):
            point -= weight
            if point < 0:
                return item
        return self.answers[-1]

    @property
    def is_steady(self) -> bool:
        """Whether it matches the same request each time."""
        return self.chance is None and not any(condition.looks_at == "more" for condition in self.conditions)

    def skips(self, ask: Ask) -> bool:
        """Whether the dice let this request pass on to the next rule."""
        chance = self.chance
        return chance is not None and dice.fraction(ask.seed, "chance", self.name, ask.identity, ask.attempt) >= chance

    def groups(self, prompt: str) -> dict[str, Any]:
        """What the regexes found in the prompt: named groups by name, all by number."""
        found: dict[str, Any] = {}
        for pattern in self.patterns:
            match = pattern.search(prompt[:LONGEST_SEARCHED])
            if match is None and self.normalize:  # found as it stands if possible, else as it was compared
                match = pattern.search(normalized(prompt, self.normalize)[:LONGEST_SEARCHED])
            if match is not None:
                found.update({str(number): text for number, text in enumerate(match.groups(), 1)})
                found.update(match.groupdict())
        return found


@record
class Found:
    """A rule and which of its answers it is the turn of."""

    rule: Rule
    answer: Answer

    @property
    def is_steady(self) -> bool:
        """Whether this rule always gives this answer, word for word."""
        rule, content = self.rule, self.answer.content
        return (
            len(rule.answers) == 1
            and rule.times is None
            and not rule.faults
            and self.answer.set_state is None
            and isinstance(content, Draft)
            and not content.is_templated
            and content.code is None
        )


class Candidate(NamedTuple):
    """A rule that requests of one class may match, and what is left to be asked."""

    rule: Rule
    needle: str | None
    """What the prompt has to contain, when that is all there is to ask: asked in place, without a call."""
    hint: str | None
    """What an ASCII prompt in lower case has to contain at least."""
    tests: tuple[Callable[[Ask], bool], ...]


class Candidates(NamedTuple):
    """The rules for one class of requests, in order; those that want an exact prompt are looked up by it."""

    by_prompt: Mapping[str, tuple[Candidate, ...]]
    others: tuple[Candidate, ...]
    first_unsteady: int
    """The place of the first of them that may answer the same request once and not again."""

    by_gram: Mapping[str, tuple[Candidate, ...]]
    """Those of the others that want something of the prompt, each under a part of it that few of them share."""
    unindexed: tuple[Candidate, ...]
    """The others that are not there."""

    def of(self, prompt: str, lowered: str | None) -> Sequence[Candidate]:
        """Those that this prompt may fit, in order; `lowered` is the prompt in lower case, if it is ASCII."""
        exact, others = self.by_prompt.get(prompt, ()), self.others
        if lowered is not None and len(lowered) < len(others) - len(self.unindexed):
            grams = {lowered[start : start + GRAM] for start in range(len(lowered) - GRAM + 1)}
            likely = [candidate for gram in grams & self.by_gram.keys() for candidate in self.by_gram[gram]]
            if not likely and not exact:
                return self.unindexed
            others = (*self.unindexed, *likely)
        elif not exact or not others:
            return exact or others
        return sorted((*exact, *others), key=lambda candidate: candidate.rule.position)


MOST_CLASSES = 256
GRAM = 4
"""Characters of the parts of prompts under which rules are looked up, when there are many."""


@record
class Rulebook:
    """All rules of a scenario in the order of trying.

    Requests that agree in provider, operation, model and stream are one class: which rules they can match at all is
    found out once, so that a rule for another provider costs nothing."""

    rules: tuple[Rule, ...]
    _classes: dict[tuple[str, str, str, bool], Candidates] = field(default_factory=dict)

    def candidates(self, ask: Ask, lowered: str | None) -> Sequence[Candidate]:
        """The rules that this request may match, in order: few, however many there are."""
        return self._class_of(ask).of(ask.request.prompt, lowered)

    def is_steady(self, ask: Ask, found: Found | None) -> bool:
        """Whether the same request finds the same rule each time, whatever else there is to look at."""
        last = found.rule.position if found is not None else len(self.rules) - 1
        return last < self._class_of(ask).first_unsteady

    def _class_of(self, ask: Ask) -> Candidates:
        request = ask.request
        key = (request.call.provider, request.call.operation, request.model, request.stream)
        found = self._classes.get(key)
        if found is None:
            if len(self._classes) >= MOST_CLASSES:
                self._classes.clear()
            found = self._classes[key] = self._sorted_out(ask)
        return found

    def _sorted_out(self, ask: Ask) -> Candidates:
        by_prompt: dict[str, list[Candidate]] = {}
        others: list[Candidate] = []
        first_unsteady = len(self.rules)
        for rule in self.rules:
            if all(condition.holds(ask) for condition in rule.conditions if condition.looks_at == "class"):
                if not rule.is_steady:
                    first_unsteady = min(first_unsteady, rule.position)
                left = [condition for condition in rule.conditions if condition.looks_at != "class"]
                needle = left[0].needle if len(left) == 1 else None
                hint = next((condition.hint for condition in left if condition.hint is not None), None)
                candidate = Candidate(rule, needle, hint, tuple(condition.holds for condition in left))
                (others if rule.literal is None else by_prompt.setdefault(rule.literal, [])).append(candidate)
        exact = {prompt: tuple(rules) for prompt, rules in by_prompt.items()}
        return Candidates(exact, tuple(others), first_unsteady, *_indexed(others))


def _indexed(candidates: Sequence[Candidate]) -> tuple[dict[str, tuple[Candidate, ...]], tuple[Candidate, ...]]:
    """Candidates by the rarest gram of what they want, in lower case; and those that want nothing so plain."""
    wanted = [_wanted(candidate) for candidate in candidates]
    counts = Counter(gram for grams in wanted for gram in set(grams))
    index: dict[str, list[Candidate]] = {}
    for candidate, grams in zip(candidates, wanted, strict=True):
        if grams:
            index.setdefault(min(grams, key=counts.__getitem__), []).append(candidate)
    unindexed = [candidate for candidate, grams in zip(candidates, wanted, strict=True) if not grams]
    return {gram: tuple(found) for gram, found in index.items()}, tuple(unindexed)


def _wanted(candidate: Candidate) -> list[str]:
    text = (candidate.needle or candidate.hint or "").lower()
    return [text[start : start + GRAM] for start in range(len(text) - GRAM + 1)] if text.isascii() else []


def compile_rules(scenario: Scenario, origins: Sequence[str] = ()) -> Rulebook:
    """Make a scenario's rules quick to ask. `origins` tells where each stands."""
    told = [*origins, *(f"rules[{number}]" for number in range(len(origins), len(scenario.rules)))]
    compiled = [_compiled(model, told[number], number, scenario) for number, model in enumerate(scenario.rules)]
    order = sorted(range(len(compiled)), key=lambda number: -scenario.rules[number].priority)
    return Rulebook(tuple(replace(compiled[number], position=position) for position, number in enumerate(order)))


def find(book: Rulebook, ask: Ask, used: Mapping[int, int]) -> Found | None:
    """The first rule that matches and is not used up. `used` counts the uses of each rule by its position."""
    prompt = ask.request.prompt
    lowered = prompt.lower() if prompt.isascii() else None
    for rule, needle, hint, tests in book.candidates(ask, lowered):
        if needle is not None:
            if needle not in prompt:
                continue
        elif (hint is not None and lowered is not None and hint not in lowered) or not _all_hold(tests, ask):
            continue
        if rule.skips(ask):
            continue
        answer = rule.answer(used.get(rule.position, 0), ask)
        if answer is not None:
            return Found(rule, answer)
    return None


def _all_hold(tests: Sequence[Callable[[Ask], bool]], ask: Ask) -> bool:
    for test in tests:  # noqa: SIM110 - a generator would cost more than most tests do
        if not test(ask):
            return False
    return True


def misses(book: Rulebook, ask: Ask, most: int = 20) -> list[str]:
    """For each rule, why it does not answer this request: its first condition that fails. Those that came nearest
    stand first; at most `most` are told."""
    tried: list[tuple[float, Rule, Condition | None]] = []
    for rule in book.rules:
        for held, condition in enumerate(rule.conditions):
            if not condition.holds(ask):
                tried.append((held / (len(rule.conditions) + 1), rule, condition))
                break
        else:
            tried.append((1.0, rule, None))
    tried.sort(key=lambda row: (-row[0], row[1].position))
    told = [f"{rule.name}: {_reason(rule, failed, ask)}" for _, rule, failed in tried[:most]]
    left = len(tried) - most
    return told + ([f"… and {left} more {'rule' if left == 1 else 'rules'}"] if left > 0 else [])


def _reason(rule: Rule, failed: Condition | None, ask: Ask) -> str:
    if failed is not None:
        return failed.miss(ask)
    return "the dice let it pass" if rule.skips(ask) else "it matches, but all its replies are used up"


def _compiled(model: RuleModel, origin: str, number: int, scenario: Scenario) -> Rule:
    pace = model.pace or scenario.defaults.pace
    normalize = scenario.defaults.normalize if model.match.normalize is None else model.match.normalize
    prompt = model.match.prompt
    return Rule(
        name=model.name or f"rules[{number}]",
        position=number,
        origin=origin,
        conditions=tuple(_conditions(model.match, normalize, is_outermost=True)),
        answers=tuple(_answer(item, model) for item in model.answers()),
        then=model.then or "repeat_last",
        times=model.times,
        chance=model.chance,
        pace=pace.to_pace() if pace else None,
        faults=model.faults,
        literal=prompt.equals if prompt and not normalize else None,
        patterns=tuple(re.compile(regex) for regex in _regexes(model.match)),
        normalize=tuple(normalize),
    )


def _regexes(wanted: Match | TextCondition) -> Iterator[str]:
    """The regexes that a prompt may have to match."""
    if isinstance(wanted, TextCondition):
        if wanted.regex is not None:
            yield wanted.regex
    elif wanted.prompt is not None:
        yield from _regexes(wanted.prompt)
    for part in (*(wanted.any_of or ()), *((wanted.all_of or ()) if isinstance(wanted, Match) else ())):
        yield from _regexes(part)


def _answer(item: AnswerModel, model: RuleModel) -> Answer:
    if item.reply is not None:
        return Answer(item.reply.to_draft(), item.chance, item.set_state or model.set_state)
    assert item.error is not None
    return Answer(item.error.to_reply(), item.chance, item.set_state or model.set_state)


# Conditions, cheap ones first


def _conditions(match: Match, normalize: Sequence[str], *, is_outermost: bool = False) -> Iterator[Condition]:
    normalize = normalize if match.normalize is None else match.normalize
    if match.provider is not None:
        yield _is_one_of("provider", lambda ask: ask.request.call.provider, match.provider, "class")
    if match.operation is not None or is_outermost:
        yield _is_one_of("operation", lambda ask: ask.request.call.operation, match.operation or COMPLETIONS, "class")
    if match.state is not None:
        yield _is_one_of("state", lambda ask: ask.state, (match.state,), "more")
    if match.stream is not None:
        stream = match.stream
        yield Condition(
            lambda ask: ask.request.stream is stream,
            lambda ask: f"stream is {str(ask.request.stream).lower()}, the rule wants {str(stream).lower()}",
            "class",
        )
    if match.model is not None:
        yield _fits_glob("model", lambda ask: ask.request.model, match.model)
    yield from _numbers(match)
    yield from _texts(match, normalize)
    yield from _tools(match, normalize)
    for wanted in match.body or ():
        yield _body_condition(wanted)
    yield from _combined(match, normalize)


def _numbers(match: Match) -> Iterator[Condition]:
    if match.turn is not None:
        yield _number("turn", lambda ask: ask.request.turn, match.turn)
    if match.messages is not None:
        yield _number("the number of messages", lambda ask: len(ask.request.messages), match.messages)
    if match.attempt is not None:
        yield replace(_number("attempt", lambda ask: ask.attempt, match.attempt), looks_at="more")


def _texts(match: Match, normalize: Sequence[str]) -> Iterator[Condition]:
    if match.prompt is not None:
        condition = _text("prompt", lambda ask: ask.request.prompt, match.prompt, normalize)
        is_needle = match.prompt.model_fields_set == {"contains"} and not normalize
        hint = literal_in(match.prompt.regex) if match.prompt.regex is not None and not normalize else None
        yield replace(condition, needle=match.prompt.contains if is_needle else None, hint=hint)
    if match.system is not None:
        yield _text("system", lambda ask: _joined(ask.request, "system"), match.system, normalize)
    if match.message is not None:
        yield _message(match.message, normalize)
    if match.key is not None:
        fits_key, wish_key = _fitting(match.key, ())
        yield Condition(
            lambda ask: fits_key(ask.request.key), lambda ask: f"the key {wish_key(ask.request.key)}", "more"
        )
    for name, wanted in (match.header or {}).items():
        yield _header(name.lower(), wanted)


def _message(wanted: TextCondition, normalize: Sequence[str]) -> Condition:
    fits, wish = _fitting(wanted, normalize)

    def miss(ask: Ask) -> str:
        messages = ask.request.messages
        return f"none of {len(messages)} messages fits{f': the last {wish(messages[-1].content)}' if messages else ''}"

    return Condition(lambda ask: any(fits(message.content) for message in ask.request.messages), miss)


def _header(name: str, wanted: TextCondition | None) -> Condition:
    if wanted is None:
        return Condition(
            lambda ask: name not in ask.request.call.headers,
            lambda ask: f"header {name} is there, the rule wants none",
            "more",
        )
    fits, wish = _fitting(wanted, ())

    def miss(ask: Ask) -> str:
        value = ask.request.call.headers.get(name)
        return f"header {name} is missing" if value is None else f"header {name} {_shown(value)} {wish(value)}"

    return Condition(
        lambda ask: name in ask.request.call.headers and fits(ask.request.call.headers[name]), miss, "more"
    )


def _tools(match: Match, normalize: Sequence[str]) -> Iterator[Condition]:
    for glob in match.tools or ():
        yield _tool(glob)
    if match.tool_result is not None:
        yield _tool_result(match.tool_result.name, match.tool_result.content, normalize)


def _tool(glob: str) -> Condition:
    pattern = glob_pattern((glob,))
    return Condition(
        lambda ask: any(pattern.match(tool.name) for tool in ask.request.controls.tools),
        lambda ask: (
            f"no tool '{glob}' is offered, only "
            f"{', '.join(tool.name for tool in ask.request.controls.tools) or 'none at all'}"
        ),
    )


def _tool_result(name: str | None, content: TextCondition | None, normalize: Sequence[str]) -> Condition:
    pattern = glob_pattern((name,)) if name is not None else None
    fits, wish = _fitting(content or TextCondition(glob="*"), normalize)

    def holds(ask: Ask) -> bool:
        return any(
            (pattern is None or pattern.match(called) is not None) and fits(text)
            for called, text in tool_results(ask.request)
        )

    def miss(ask: Ask) -> str:
        results = tool_results(ask.request)
        if not results:
            return "the conversation does not end with a tool result"
        if pattern is not None and not any(pattern.match(called) for called, _ in results):
            return f"the tool result is of '{results[-1][0]}', the rule wants '{name}'"
        return f"the tool result {_shown(results[-1][1])} {wish(results[-1][1])}"

    return Condition(holds, miss)


def tool_results(request: ModelRequest) -> list[tuple[str, str]]:
    """(function, content) of the tool messages that end a conversation."""
    results = []
    for message in reversed(request.messages):
        if message.role != "tool":
            break
        results.append((message.name or _called(request, message.tool_call_id), message.content))
    return results[::-1]


def _called(request: ModelRequest, call_id: str | None) -> str:
    calls = (call for message in request.messages for call in message.tool_calls)
    return next((call.name for call in calls if call.id == call_id), "")


def _body_condition(wanted: BodyCondition) -> Condition:
    from jsonpath import JSONPathEnvironment
    from jsonpath.exceptions import JSONPathError

    compiled = JSONPathEnvironment(strict=True).compile(wanted.path)
    said = wanted.model_fields_set
    pattern = None if wanted.regex is None else re.compile(wanted.regex)

    def fits(value: Any) -> bool:
        return (
            ("equals" not in said or _same(value, wanted.equals))
            and ("contains" not in said or (isinstance(value, str | list) and _holds(value, wanted.contains)))
            and (pattern is None or (isinstance(value, str) and bool(pattern.search(value[:LONGEST_SEARCHED]))))
            and (wanted.in_ is None or any(_same(value, item) for item in wanted.in_))
            and (wanted.gt is None or (_is_number(value) and value > wanted.gt))
            and (wanted.lt is None or (_is_number(value) and value < wanted.lt))
        )

    def found(ask: Ask) -> list[Any]:
        try:
            return compiled.findall(ask.request.body)
        except JSONPathError:  # `$..x` in a body that is nested too deep
            return []

    def holds(ask: Ask) -> bool:
        values = found(ask)
        return not values if wanted.exists is False else any(fits(value) for value in values)

    wishes = [name for name in BodyCondition.model_fields if name in said and name != "path"]
    wish = " and ".join(f"{name.removesuffix('_')} {_wished(getattr(wanted, name))}" for name in wishes)

    def miss(ask: Ask) -> str:
        values = found(ask)
        shown = _wished(values[0]) if values else "nothing"
        return f"body at {wanted.path} is {shown}, the rule wants {wish}"

    return Condition(holds, miss)


def _wished(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, tuple):
        return " or ".join(map(_wished, value))
    if isinstance(value, str):
        return _shown(value)
    written = orjson.dumps(value).decode()
    return written if len(written) <= SHOWN else written[:SHOWN] + "…"


def _holds(value: Any, part: Any) -> bool:
    return (
        isinstance(part, str) and part in value if isinstance(value, str) else any(_same(item, part) for item in value)
    )


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _combined(match: Match, normalize: Sequence[str]) -> Iterator[Condition]:
    for part in match.all_of or ():
        yield from _conditions(part, normalize)
    if match.any_of is not None:
        groups = [tuple(_conditions(part, normalize)) for part in match.any_of]
        yield Condition(
            lambda ask: any(all(condition.holds(ask) for condition in group) for group in groups),
            lambda ask: (
                "none of any_of holds: "
                + "; ".join(
                    next(condition.miss(ask) for condition in group if not condition.holds(ask)) for group in groups
                )
            ),
            _looks_at(condition for group in groups for condition in group),
        )
    if match.not_ is not None:
        forbidden = tuple(_conditions(match.not_, normalize))
        yield Condition(
            lambda ask: not all(condition.holds(ask) for condition in forbidden),
            lambda ask: "everything under `not` holds",
            _looks_at(forbidden),
        )


def _looks_at(conditions: Iterable[Condition]) -> LooksAt:
    return "more" if any(condition.looks_at == "more" for condition in conditions) else "body"


# Kinds of conditions


def _is_one_of(what: str, value: Callable[[Ask], str], wanted: Sequence[str], looks_at: LooksAt) -> Condition:
    return Condition(
        lambda ask: value(ask) in wanted,
        lambda ask: f"{what} is '{value(ask)}', the rule wants {_list(wanted)}",
        looks_at,
    )


def _fits_glob(what: str, value: Callable[[Ask], str], globs: tuple[str, ...]) -> Condition:
    pattern = glob_pattern(globs)
    return Condition(
        lambda ask: pattern.match(value(ask)) is not None,
        lambda ask: f"{what} is '{value(ask)}', the rule wants {_list(globs)}",
        "class",
    )


def _number(what: str, value: Callable[[Ask], int], wanted: NumberCondition) -> Condition:
    def holds(ask: Ask) -> bool:
        number = value(ask)
        return (
            (wanted.equals is None or number == wanted.equals)
            and (wanted.gt is None or number > wanted.gt)
            and (wanted.lt is None or number < wanted.lt)
            and (wanted.in_ is None or number in wanted.in_)
        )

    wishes = [
        f"{word} {getattr(wanted, name):.15g}"
        for name, word in (("equals", "exactly"), ("gt", "more than"), ("lt", "less than"))
        if getattr(wanted, name) is not None
    ]
    if wanted.in_ is not None:
        wishes.append(f"one of {', '.join(f'{number:.15g}' for number in wanted.in_)}")
    wish = " and ".join(wishes)
    return Condition(holds, lambda ask: f"{what} is {value(ask)}, the rule wants {wish}")


def _text(what: str, text: Callable[[Ask], str], wanted: TextCondition, normalize: Sequence[str]) -> Condition:
    fits, wish = _fitting(wanted, normalize)
    return Condition(lambda ask: fits(text(ask)), lambda ask: f"{what} {_shown(text(ask))} {wish(text(ask))}")


Fitting = tuple[Callable[[str], bool], Callable[[str], str]]
"""A test of a text, and for one that fails the end of the sentence: `does not contain 'weather'`."""


def _fitting(wanted: TextCondition, normalize: Sequence[str]) -> Fitting:
    if normalize:
        fits, wish = _fitting_exactly(wanted, normalize)
        return (lambda text: fits(normalized(text, normalize))), (lambda text: wish(normalized(text, normalize)))
    return _fitting_exactly(wanted, ())


def _fitting_exactly(wanted: TextCondition, normalize: Sequence[str]) -> Fitting:
    tests: list[Callable[[str], bool]] = []
    wishes: list[str | Callable[[str], str]] = []
    if wanted.equals is not None:
        equals = normalized(wanted.equals, normalize)
        tests.append(equals.__eq__)
        wishes.append(f"is not {_shown(wanted.equals)}")
    if wanted.contains is not None:
        contains = normalized(wanted.contains, normalize)
        tests.append(lambda text: contains in text)
        wishes.append(f"does not contain {_shown(wanted.contains)}")
    if wanted.regex is not None:
        pattern = re.compile(wanted.regex)
        tests.append(lambda text: pattern.search(text[:LONGEST_SEARCHED]) is not None)
        wishes.append(f"does not match the regex {_shown(wanted.regex)}")
    if wanted.glob is not None:
        glob = glob_pattern((normalized(wanted.glob, normalize),))
        tests.append(lambda text: glob.match(text) is not None)
        wishes.append(f"does not fit {_shown(wanted.glob)}")
    if wanted.any_of is not None:
        parts = [_fitting_exactly(part, normalize) for part in wanted.any_of]
        tests.append(lambda text: any(test(text) for test, _ in parts))
        wishes.append(lambda text: " and ".join(wish(text) for _, wish in parts) or "is none of an empty list")
    if wanted.not_ is not None:
        forbidden, _ = _fitting_exactly(wanted.not_, normalize)
        tests.append(lambda text: not forbidden(text))
        wishes.append("is what `not` forbids")

    def wish(text: str) -> str:
        failed = [wish for test, wish in zip(tests, wishes, strict=True) if not test(text)]
        return " and ".join(each if isinstance(each, str) else each(text) for each in failed)

    return (tests[0] if len(tests) == 1 else lambda text: all(test(text) for test in tests)), wish


_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_DATE = re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?\b")


def normalized(text: str, how: Sequence[str]) -> str:
    """A text with what varies from run to run made the same."""
    if "uuids" in how:
        text = _UUID.sub("<uuid>", text)
    if "dates" in how:
        text = _DATE.sub("<date>", text)
    if "whitespace" in how:
        text = " ".join(text.split())
    return text.casefold() if "case" in how else text


def _joined(request: ModelRequest, role: str) -> str:
    return "\n".join(message.content for message in request.messages if message.role == role)


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def _list(names: Sequence[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)
