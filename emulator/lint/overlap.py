"""Whether one condition takes all that another takes, and whether any request can meet one at all.

Both are answered only where it is sure: `covers` says no and `contradiction` says nothing when in doubt.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from emulator.matching.conditions import normalized
from emulator.patterns import allow, compiled
from emulator.providers import COMPLETIONS, PROVIDERS
from emulator.scenario.document import KeyPath, quote
from emulator.scenario.models import BodyCondition, Match, NumberCondition, TextCondition, glob_pattern

RuleMatch = tuple[KeyPath, str]
"""Where in a match something cannot hold, and why."""
TEXTS = ("prompt", "system", "message", "key")
NUMBERS = {"turn": 1, "messages": 0, "attempt": 1}
"""What is counted, in whole numbers, and the least it can be."""


def texts_in(condition: TextCondition, key_path: KeyPath = ()) -> Iterator[tuple[KeyPath, TextCondition]]:
    """A condition on a text, and every condition in it."""
    yield key_path, condition
    for number, part in enumerate(condition.any_of or ()):
        yield from texts_in(part, (*key_path, "any_of", number))
    if condition.not_ is not None:
        yield from texts_in(condition.not_, (*key_path, "not"))


# Covering: what `narrow` takes, `wide` takes too


def covers(wide: Match, narrow: Match) -> bool:
    """Whether `wide` matches every request that `narrow` matches, as far as can be determined. Both stand outermost in
    their rules, with `normalize` filled in."""
    if wide == narrow:
        return True
    if not set(narrow.operation or COMPLETIONS) <= set(wide.operation or COMPLETIONS):
        return False
    return _implies(narrow, wide if wide.operation is None else wide.model_copy(update={"operation": None}))


def _implies(narrow: Match, wide: Match) -> bool:
    """Whether each condition of `wide` follows from `narrow`."""
    if wide == narrow:
        return True
    needs_texts = any(getattr(wide, name) is not None for name in TEXTS) or wide.tool_result or _nested(wide)
    if needs_texts and (wide.normalize or ()) != (narrow.normalize or ()):
        return False
    how = wide.normalize or ()
    if _plain_follows(narrow, wide, how):
        some = wide.any_of is None or wide.any_of == narrow.any_of
        some = some or any(_implies(narrow, _inheriting(part, wide)) for part in wide.any_of or ())
        every = all(_implies(narrow, _inheriting(part, wide)) for part in wide.all_of or ())
        if some and every and (wide.not_ is None or wide.not_ == narrow.not_):
            return True
    # What is required beside counts as well: any part of all_of, or every part of any_of.
    if any(_implies(_inheriting(part, narrow), wide) for part in narrow.all_of or ()):
        return True
    return bool(narrow.any_of) and all(_implies(_inheriting(part, narrow), wide) for part in narrow.any_of or ())


def _plain_follows(narrow: Match, wide: Match, how: Sequence[str]) -> bool:
    return (
        _subset(narrow.provider, wide.provider, PROVIDERS)
        and (wide.operation is None or (narrow.operation is not None and set(narrow.operation) <= set(wide.operation)))
        and (wide.stream is None or wide.stream is narrow.stream)
        and (wide.state is None or wide.state == narrow.state)
        and (wide.model is None or (narrow.model is not None and _globs_cover(wide.model, narrow.model)))
        and all(_text_follows(getattr(narrow, name), getattr(wide, name), how) for name in TEXTS)
        and all(_number_follows(getattr(narrow, name), getattr(wide, name), least) for name, least in NUMBERS.items())
        and set(wide.tools or ()) <= set(narrow.tools or ())
        and (wide.tool_result is None or wide.tool_result == narrow.tool_result or _any_result(wide, narrow))
        and _headers_follow(narrow, wide)
        and all(condition in (narrow.body or ()) for condition in wide.body or ())
    )


def _inheriting(part: Match, outer: Match) -> Match:
    return part if part.normalize is not None else part.model_copy(update={"normalize": outer.normalize})


def _nested(match: Match) -> bool:
    return bool(match.any_of or match.all_of or match.not_)


def _subset(narrow: Sequence[str] | None, wide: Sequence[str] | None, everything: Any) -> bool:
    return wide is None or set(everything if narrow is None else narrow) <= set(wide)


def _globs_cover(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    pattern = glob_pattern(tuple(wide))
    folded = {glob.lower() for glob in wide}
    return all(
        "*" in folded or glob.lower() in folded or (not set(glob) & set("*?[") and bool(pattern.match(glob)))
        for glob in narrow
    )


def _any_result(wide: Match, narrow: Match) -> bool:
    asked = wide.tool_result
    return asked is not None and not asked.model_dump(exclude_none=True) and narrow.tool_result is not None


def _headers_follow(narrow: Match, wide: Match) -> bool:
    given = {name.lower(): condition for name, condition in (narrow.header or {}).items()}
    for name, condition in (wide.header or {}).items():
        if name.lower() not in given:
            return False
        other = given[name.lower()]
        if condition is None or other is None:
            if condition is not other:
                return False
        elif not _text_follows(other, condition, ()):
            return False
    return True


def _text_follows(narrow: TextCondition | None, wide: TextCondition | None, how: Sequence[str]) -> bool:
    """Whether a text that is as `narrow` says is as `wide` says."""
    if wide is None or wide == narrow:
        return True
    if narrow is None:
        return False
    if narrow.equals is not None:
        return fits(narrow.equals, wide, how)
    if narrow.any_of and all(_text_follows(part, wide, how) for part in narrow.any_of):
        return True
    contains = None if narrow.contains is None else normalized(narrow.contains, how)
    return all(
        (
            wide.equals is None,
            wide.contains is None or (contains is not None and normalized(wide.contains, how) in contains),
            wide.regex is None or wide.regex == narrow.regex,
            wide.glob is None or wide.glob == "*" or wide.glob == narrow.glob,
            wide.any_of is None
            or wide.any_of == narrow.any_of
            or any(_text_follows(narrow, part, how) for part in wide.any_of),
            wide.not_ is None or wide.not_ == narrow.not_,
        )
    )


def fits(text: str, condition: TextCondition, how: Sequence[str]) -> bool:
    """Whether a text is as a condition says."""
    allow()
    text = normalized(text, how)
    return all(
        (
            condition.equals is None or text == normalized(condition.equals, how),
            condition.contains is None or normalized(condition.contains, how) in text,
            condition.regex is None or compiled(condition.regex).is_in(text),
            condition.glob is None or glob_pattern((normalized(condition.glob, how),)).match(text) is not None,
            condition.any_of is None or any(fits(text, part, how) for part in condition.any_of),
            condition.not_ is None or not fits(text, condition.not_, how),
        )
    )


def _number_follows(narrow: NumberCondition | None, wide: NumberCondition | None, least: int) -> bool:
    if wide is None or wide == narrow:
        return True
    listed = _listed(narrow)
    if listed is not None:
        return all(_is(number, wide) for number in listed if narrow is None or _is(number, narrow))
    low, high = _bounds(narrow, least)
    if wide.equals is not None or wide.in_ is not None:
        return low == high and _is(low, wide)
    return (wide.gt is None or low > wide.gt) and (wide.lt is None or high < wide.lt)


def _listed(condition: NumberCondition | None) -> Sequence[float] | None:
    if condition is None:
        return None
    return (condition.equals,) if condition.equals is not None else condition.in_


def _bounds(condition: NumberCondition | None, least: int) -> tuple[float, float]:
    """The least and the most whole number that a condition without a list allows."""
    low, high = float(least), math.inf
    if condition is not None and condition.gt is not None:
        low = max(low, math.floor(condition.gt) + 1)
    if condition is not None and condition.lt is not None:
        high = math.ceil(condition.lt) - 1
    return low, high


def _is(number: float, condition: NumberCondition) -> bool:
    return (
        (condition.equals is None or number == condition.equals)
        and (condition.in_ is None or number in condition.in_)
        and (condition.gt is None or number > condition.gt)
        and (condition.lt is None or number < condition.lt)
    )


# Contradictions: no request can be as a match says


def contradiction(match: Match, normalize: Sequence[str] = ()) -> RuleMatch | None:
    """Why no request meets a match, and where in it; None when one may."""
    how = normalize if match.normalize is None else match.normalize
    for found in (_empty_list(match), _impossible_number(match), _impossible_text(match, how), _impossible_body(match)):
        if found is not None:
            return found
    for number, part in enumerate(match.all_of or ()):
        wrong = contradiction(part, how)
        if wrong is not None:
            return ("all_of", number, *wrong[0]), wrong[1]
    wrongs = [contradiction(part, how) for part in match.any_of or ()]
    if wrongs and all(wrongs):
        key_path, reason = wrongs[0] or ((), "")
        return ("any_of", 0, *key_path), reason
    return _against_itself(match, how)


def _empty_list(match: Match) -> RuleMatch | None:
    for name in ("provider", "operation", "model", "any_of"):
        if getattr(match, name) == ():
            return (name,), f"{name} is an empty list"
    return None


def _impossible_number(match: Match) -> RuleMatch | None:
    for name, least in NUMBERS.items():
        condition = getattr(match, name)
        if condition is None:
            continue
        listed = _listed(condition)
        if listed == ():
            return (name,), f"{name} is in an empty list"
        if listed is not None:
            if not any(_is(number, condition) and number >= least and number == int(number) for number in listed):
                shown = " or ".join(f"{number:.15g}" for number in listed)
                return (name,), f"{name} counts in whole numbers from {least} and is never {shown} as it is wanted"
        else:
            low, high = _bounds(condition, least)
            if low > high:
                return (name,), f"{name} counts in whole numbers from {least}, and none is in the range that is wanted"
    return None


def _impossible_text(match: Match, how: Sequence[str]) -> RuleMatch | None:
    named: list[tuple[KeyPath, TextCondition | None, Sequence[str]]] = [
        (("prompt",), match.prompt, how),
        (("system",), match.system, how),
        (("message",), match.message, how),
        (("key",), match.key, ()),
        (("tool_result", "content"), match.tool_result.content if match.tool_result else None, how),
        *((("header", name), condition, ()) for name, condition in (match.header or {}).items()),
    ]
    for key_path, condition, normalize in named:
        wrong = None if condition is None else _text_against_itself(condition, normalize)
        if wrong is not None:
            return (*key_path, *wrong[0]), f"{key_path[-1]} {wrong[1]}"
    return None


def _text_against_itself(condition: TextCondition, how: Sequence[str]) -> RuleMatch | None:
    if condition.any_of == ():
        return ("any_of",), "has an empty any_of"
    if condition.equals is not None:
        for name, word in (("contains", "contain"), ("regex", "match the regex"), ("glob", "fit the glob")):
            wanted = getattr(condition, name)
            if wanted is not None and not fits(condition.equals, TextCondition(**{name: wanted}), how):
                return (name,), f"cannot equal {quote(condition.equals)} and {word} {quote(wanted)}"
        if condition.any_of is not None and not any(fits(condition.equals, part, how) for part in condition.any_of):
            return ("any_of",), f"cannot equal {quote(condition.equals)} and be any of the others"
    if condition.not_ is not None:
        rest = condition.model_copy(update={"not_": None})
        if _text_follows(rest, condition.not_, how):
            return ("not",), "is what `not` forbids whenever the rest holds"
    wrongs = [_text_against_itself(part, how) for part in condition.any_of or ()]
    return (("any_of", 0, *wrongs[0][0]), wrongs[0][1]) if wrongs and wrongs[0] and all(wrongs) else None


def _impossible_body(match: Match) -> RuleMatch | None:
    for number, condition in enumerate(match.body or ()):
        reason = _body_against_itself(condition)
        if reason is not None:
            return ("body", number), f"body at {condition.path} {reason}"
    return None


def _body_against_itself(condition: BodyCondition) -> str | None:
    if condition.exists is False:
        return None
    if condition.in_ == ():
        return "is never in an empty list"
    if condition.gt is not None and condition.lt is not None and condition.gt >= condition.lt:
        return f"cannot be above {condition.gt:g} and below {condition.lt:g}"
    is_number = condition.gt is not None or condition.lt is not None
    if is_number and (condition.regex is not None or "contains" in condition.model_fields_set):
        return "cannot be a number and a text"
    return None


def _against_itself(match: Match, how: Sequence[str]) -> RuleMatch | None:
    """What one part requires and another one forbids."""
    parts = list(_required(match))
    for name in ("provider", "operation"):
        lists = [set(getattr(part, name)) for part in parts if getattr(part, name) is not None]
        if lists and not set.intersection(*lists):
            return ("all_of",), f"no {name} is in all of the lists"
    for name in ("stream", "state"):
        values = {getattr(part, name) for part in parts} - {None}
        if len(values) > 1:
            shown = " and ".join(sorted(str(value).lower() for value in values))
            return ("all_of",), f"{name} cannot be {shown} at once"
    exact = [part.prompt.equals for part in parts if part.prompt is not None and part.prompt.equals is not None]
    if len({normalized(text, how) for text in exact}) > 1:
        return ("all_of",), "the prompt cannot be two texts at once"
    if match.not_ is not None:
        forbidden = _inheriting(match.not_, match.model_copy(update={"normalize": tuple(how)}))
        rest = match.model_copy(update={"not_": None, "normalize": tuple(how)})
        if _implies(rest, forbidden):
            return ("not",), "`not` forbids what the rest requires"
    return None


def _required(match: Match) -> Iterator[Match]:
    yield match
    for part in match.all_of or ():
        yield from _required(part)
