"""Conditions on texts: the prompt, other messages, headers, the key."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from emulator import patterns
from emulator.late import late
from emulator.matching.conditions.base import (
    READS_NOTHING,
    Compiling,
    Condition,
    DependsOn,
    Impossible,
    KeyPath,
    MatchContext,
    shown,
)
from emulator.matching.conditions.values import TextCondition, glob_pattern
from emulator.matching.literals import literal_in


class Text(Condition[TextCondition]):
    """A condition on one text of the request."""

    depends_on: DependsOn = "body"

    def __init__(self, value: TextCondition, compiling: Compiling) -> None:
        super().__init__(value, compiling)
        self.fits, self.wish = fitting(value, self.normalize)

    def text(self, ask: MatchContext) -> str:
        """The text to compare."""
        raise NotImplementedError

    def holds(self, ask: MatchContext) -> bool:
        return self.fits(self.text(ask))

    def mismatch(self, ask: MatchContext) -> str:
        text = self.text(ask)
        return f"{self.key} {shown(text)} {self.wish(text)}"

    def implies(self, other: Condition[TextCondition]) -> bool:
        return self.normalize == other.normalize and text_follows(self.value, other.value, self.normalize)

    def impossible(self) -> Impossible | None:
        return impossible_text(self.value, self.normalize, self.place)

    def regexes(self) -> Iterator[tuple[KeyPath, str]]:
        return regexes_in(self.value, self.place)


class Prompt(Text):
    """The text of the last user message."""

    key = "prompt"

    def __init__(self, value: TextCondition, compiling: Compiling) -> None:
        super().__init__(value, compiling)
        if not self.normalize:
            self.substring = value.contains if value.model_fields_set == {"contains"} else None
            self.required_substring = literal_in(value.regex) if value.regex is not None else None

    def text(self, ask: MatchContext) -> str:
        return ask.request.prompt

    def holds(self, ask: MatchContext) -> bool:
        return self.fits(ask.request.prompt)

    def impossible_beside(self, others: Sequence[Condition[Any]]) -> str | None:
        wanted = self.value.equals
        exact = [
            other.value.equals
            for other in others
            if wanted is not None and isinstance(other, Prompt) and other.normalize == self.normalize
        ]
        differs = any(
            text is not None and normalized(text, self.normalize) != normalized(wanted or "", self.normalize)
            for text in exact
        )
        return "the prompt cannot be two texts at once" if differs else None


class System(Text):
    """The text of all system messages, joined by newlines."""

    key = "system"

    def text(self, ask: MatchContext) -> str:
        return "\n".join(message.content for message in ask.request.messages if message.role == "system")


class AnyMessage(Text):
    """The text of any message."""

    key = "message"

    def holds(self, ask: MatchContext) -> bool:
        return any(self.fits(message.content) for message in ask.request.messages)

    def mismatch(self, ask: MatchContext) -> str:
        messages = ask.request.messages
        last = f": the last {self.wish(messages[-1].content)}" if messages else ""
        return f"none of {len(messages)} messages matches{last}"


class Key(Text):
    """The credential, without its scheme; not normalized."""

    key = "key"
    depends_on = "more"
    reads = READS_NOTHING

    @classmethod
    def each(cls, value: TextCondition, compiling: Compiling) -> Iterator[Condition[Any]]:
        yield cls(value, compiling.as_it_is())

    def text(self, ask: MatchContext) -> str:
        return ask.request.key

    def mismatch(self, ask: MatchContext) -> str:
        return f"the key {self.wish(ask.request.key)}"


class Header(Condition[TextCondition | None]):
    """Request headers by name, not normalized; null means that the header is absent."""

    key = "header"
    reads = READS_NOTHING

    def __init__(self, value: TextCondition | None, compiling: Compiling) -> None:
        super().__init__(value, compiling)
        self.name = str(self.place[-1]).lower()
        self.fits, self.wish = fitting(value or TextCondition(glob="*"), ())

    @classmethod
    def each(cls, value: dict[str, TextCondition | None], compiling: Compiling) -> Iterator[Condition[Any]]:
        for name, wanted in value.items():
            yield cls(wanted, compiling.as_it_is(name))

    def holds(self, ask: MatchContext) -> bool:
        text = ask.request.http_request.headers.get(self.name)
        return text is None if self.value is None else text is not None and self.fits(text)

    def mismatch(self, ask: MatchContext) -> str:
        text = ask.request.http_request.headers.get(self.name)
        if text is None:
            return f"header {self.name} is missing"
        if self.value is None:
            return f"header {self.name} is present, the rule expects none"
        return f"header {self.name} {shown(text)} {self.wish(text)}"

    def implies(self, other: Condition[TextCondition | None]) -> bool:
        assert isinstance(other, Header)
        if self.name != other.name or self.value is None or other.value is None:
            return self.name == other.name and self.value is other.value
        return text_follows(self.value, other.value, ())

    def impossible(self) -> Impossible | None:
        return None if self.value is None else impossible_text(self.value, (), self.place)

    def regexes(self) -> Iterator[tuple[KeyPath, str]]:
        return iter(()) if self.value is None else regexes_in(self.value, self.place)


# Tests of texts


Fitting = tuple[Callable[[str], bool], Callable[[str], str]]
"""A test of a text, and the end of the sentence for a failure: `does not contain 'weather'`."""


def fitting(wanted: TextCondition, normalize: Sequence[str]) -> Fitting:
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
        wishes.append(f"is not {shown(wanted.equals)}")
    if wanted.contains is not None:
        contains = normalized(wanted.contains, normalize)
        tests.append(lambda text: contains in text)
        wishes.append(f"does not contain {shown(wanted.contains)}")
    if wanted.regex is not None:
        tests.append(patterns.compiled(wanted.regex).is_in)
        wishes.append(f"does not match the regex {shown(wanted.regex)}")
    if wanted.glob is not None:
        glob = glob_pattern((normalized(wanted.glob, normalize),))
        tests.append(lambda text: glob.match(text) is not None)
        wishes.append(f"does not match the glob {shown(wanted.glob)}")
    if wanted.any_of is not None:
        parts = [_fitting_exactly(part, normalize) for part in wanted.any_of]
        tests.append(lambda text: any(test(text) for test, _ in parts))
        wishes.append(lambda text: " and ".join(wish(text) for _, wish in parts) or "is not in an empty list")
    if wanted.not_ is not None:
        forbidden, _ = _fitting_exactly(wanted.not_, normalize)
        tests.append(lambda text: not forbidden(text))
        wishes.append("is excluded by `not`")

    def wish(text: str) -> str:
        failed = [wish for test, wish in zip(tests, wishes, strict=True) if not test(text)]
        return " and ".join(each if isinstance(each, str) else each(text) for each in failed)

    return (tests[0] if len(tests) == 1 else lambda text: all(test(text) for test in tests)), wish


_UUID = late(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_DATE = late(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?\b")


def normalized(text: str, how: Sequence[str]) -> str:
    """A text without the differences between runs."""
    if "uuids" in how:
        text = _UUID.sub("<uuid>", text)
    if "dates" in how:
        text = _DATE.sub("<date>", text)
    if "whitespace" in how:
        text = " ".join(text.split())
    return text.casefold() if "case" in how else text


# Conclusions from a condition on a text


def text_follows(narrow: TextCondition, wide: TextCondition | None, how: Sequence[str]) -> bool:
    """Whether every text that meets `narrow` meets `wide`."""
    if wide is None or wide == narrow:
        return True
    if narrow.equals is not None:
        return fits(narrow.equals, wide, how)
    if narrow.any_of and all(text_follows(part, wide, how) for part in narrow.any_of):
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
            or any(text_follows(narrow, part, how) for part in wide.any_of),
            wide.not_ is None or wide.not_ == narrow.not_,
        )
    )


def fits(text: str, condition: TextCondition, how: Sequence[str]) -> bool:
    """Whether a text meets a condition."""
    patterns.allow()
    text = normalized(text, how)
    return all(
        (
            condition.equals is None or text == normalized(condition.equals, how),
            condition.contains is None or normalized(condition.contains, how) in text,
            condition.regex is None or patterns.compiled(condition.regex).is_in(text),
            condition.glob is None or glob_pattern((normalized(condition.glob, how),)).match(text) is not None,
            condition.any_of is None or any(fits(text, part, how) for part in condition.any_of),
            condition.not_ is None or not fits(text, condition.not_, how),
        )
    )


def impossible_text(condition: TextCondition, how: Sequence[str], place: KeyPath) -> Impossible | None:
    """Why no text can meet a condition; `place` is its position, and its last key its name."""
    wrong = text_against_itself(condition, how)
    return None if wrong is None else ((*place, *wrong[0]), f"{place[-1]} {wrong[1]}")


def text_against_itself(condition: TextCondition, how: Sequence[str]) -> Impossible | None:
    if condition.any_of == ():
        return ("any_of",), "has an empty any_of"
    if condition.equals is not None:
        for name, word in (("contains", "contain"), ("regex", "match the regex"), ("glob", "match the glob")):
            wanted = getattr(condition, name)
            if wanted is not None and not fits(condition.equals, TextCondition(**{name: wanted}), how):
                return (name,), f"cannot equal {shown(condition.equals)} and {word} {shown(wanted)}"
        if condition.any_of is not None and not any(fits(condition.equals, part, how) for part in condition.any_of):
            return ("any_of",), f"cannot equal {shown(condition.equals)} and be any of the others"
    if condition.not_ is not None:
        rest = condition.model_copy(update={"not_": None})
        if text_follows(rest, condition.not_, how):
            return ("not",), "is excluded by `not` whenever the rest holds"
    wrongs = [text_against_itself(part, how) for part in condition.any_of or ()]
    return (("any_of", 0, *wrongs[0][0]), wrongs[0][1]) if wrongs and wrongs[0] and all(wrongs) else None


def regexes_in(condition: TextCondition, place: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Every regex in a text condition."""
    for inner, part in texts_in(condition, place):
        if part.regex is not None:
            yield (*inner, "regex"), part.regex


def texts_in(condition: TextCondition, key_path: KeyPath = ()) -> Iterator[tuple[KeyPath, TextCondition]]:
    """A text condition, and every condition in it."""
    yield key_path, condition
    for number, part in enumerate(condition.any_of or ()):
        yield from texts_in(part, (*key_path, "any_of", number))
    if condition.not_ is not None:
        yield from texts_in(condition.not_, (*key_path, "not"))
