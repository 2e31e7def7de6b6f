"""What a request has to be for a rule to match, and the sentence for when it is not: made of what a scenario says."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import orjson

from emulator import patterns
from emulator.json_paths import compiled_path
from emulator.matching.literals import literal_in
from emulator.providers import COMPLETIONS
from emulator.records import record
from emulator.request import ModelRequest
from emulator.scenario.models import BodyCondition, Match, NumberCondition, TextCondition, glob_pattern

SHOWN = 60
LooksAt = Literal["class", "body", "more"]


@record
class MatchContext:
    """A request, and what the world knows of it: everything a condition may look at."""

    request: ModelRequest
    state: str = "start"
    attempt: int = 1
    identity: bytes = b""
    seed: int = 0


@record
class Condition:
    """One thing that must hold, and the sentence for when it does not."""

    holds: Callable[[MatchContext], bool]
    miss: Callable[[MatchContext], str]
    looks_at: LooksAt = "body"
    """`class`: what many requests have in common (provider, operation, model, stream); `body`: what only the body
    says; `more`: also headers, the key, or what changes from request to request."""
    needle: str | None = None
    """What the prompt has to contain, when that is the whole condition."""
    hint: str | None = None
    """What the folded prompt has to contain for the condition to hold."""


# Conditions, cheap ones first


def conditions(match: Match, normalize: Sequence[str], *, is_outermost: bool = False) -> Iterator[Condition]:
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

    def miss(ask: MatchContext) -> str:
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

    def miss(ask: MatchContext) -> str:
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

    def holds(ask: MatchContext) -> bool:
        return any(
            (pattern is None or pattern.match(called) is not None) and fits(text)
            for called, text in tool_results(ask.request)
        )

    def miss(ask: MatchContext) -> str:
        results = tool_results(ask.request)
        if not results:
            return "the conversation does not end with a tool result"
        if pattern is not None and not any(pattern.match(called) for called, _ in results):
            return f"the tool result is of '{results[-1][0]}', the rule wants '{name}'"
        return f"the tool result {_shown(results[-1][1])} {wish(results[-1][1])}"

    return Condition(holds, miss)


def tool_results(request: ModelRequest) -> list[tuple[str, str]]:
    """(function, content) of the tool messages that end a conversation, or stand in one turn with what ends it."""
    results: list[tuple[str, str]] = []
    for message in reversed(request.messages):
        if message.continues and not results:
            continue
        if message.role != "tool":
            break
        results.append((message.name or _called(request, message.tool_call_id), message.content))
    return results[::-1]


def _called(request: ModelRequest, call_id: str | None) -> str:
    calls = (call for message in request.messages for call in message.tool_calls)
    return next((call.name for call in calls if call.id == call_id), "")


def _body_condition(wanted: BodyCondition) -> Condition:
    from jsonpath.exceptions import JSONPathError

    compiled = compiled_path(wanted.path)
    said = wanted.model_fields_set
    pattern = None if wanted.regex is None else patterns.compiled(wanted.regex)

    def fits(value: Any) -> bool:
        return (
            ("equals" not in said or _same(value, wanted.equals))
            and ("contains" not in said or (isinstance(value, str | list) and _holds(value, wanted.contains)))
            and (pattern is None or (isinstance(value, str) and pattern.is_in(value)))
            and (wanted.in_ is None or any(_same(value, item) for item in wanted.in_))
            and (wanted.gt is None or (_is_number(value) and value > wanted.gt))
            and (wanted.lt is None or (_is_number(value) and value < wanted.lt))
        )

    def found(ask: MatchContext) -> list[Any]:
        try:
            values: list[Any] = compiled.findall(ask.request.body)
        except JSONPathError:  # `$..x` in a body that is nested too deep
            return []
        return values

    def holds(ask: MatchContext) -> bool:
        values = found(ask)
        return not values if wanted.exists is False else any(fits(value) for value in values)

    wishes = [name for name in BodyCondition.model_fields if name in said and name != "path"]
    wish = " and ".join(f"{name.removesuffix('_')} {_wished(getattr(wanted, name))}" for name in wishes)

    def miss(ask: MatchContext) -> str:
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
    try:
        written = orjson.dumps(value).decode()
    except TypeError:  # orjson writes less deep than it reads
        return "a value that is nested too deep to be shown"
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
        yield from conditions(part, normalize)
    if match.any_of is not None:
        groups = [tuple(conditions(part, normalize)) for part in match.any_of]
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
        forbidden = tuple(conditions(match.not_, normalize))
        yield Condition(
            lambda ask: not all(condition.holds(ask) for condition in forbidden),
            lambda ask: "everything under `not` holds",
            _looks_at(forbidden),
        )


def _looks_at(conditions: Iterable[Condition]) -> LooksAt:
    return "more" if any(condition.looks_at == "more" for condition in conditions) else "body"


# Kinds of conditions


def _is_one_of(what: str, value: Callable[[MatchContext], str], wanted: Sequence[str], looks_at: LooksAt) -> Condition:
    return Condition(
        lambda ask: value(ask) in wanted,
        lambda ask: f"{what} is '{value(ask)}', the rule wants {_list(wanted)}",
        looks_at,
    )


def _fits_glob(what: str, value: Callable[[MatchContext], str], globs: tuple[str, ...]) -> Condition:
    pattern = glob_pattern(globs)
    return Condition(
        lambda ask: pattern.match(value(ask)) is not None,
        lambda ask: f"{what} is '{value(ask)}', the rule wants {_list(globs)}",
        "class",
    )


def _number(what: str, value: Callable[[MatchContext], int], wanted: NumberCondition) -> Condition:
    def holds(ask: MatchContext) -> bool:
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


def _text(what: str, text: Callable[[MatchContext], str], wanted: TextCondition, normalize: Sequence[str]) -> Condition:
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
        tests.append(patterns.compiled(wanted.regex).is_in)
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
