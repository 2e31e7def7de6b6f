"""The condition on the request body: a JSONPath, and the expected value."""

from collections.abc import Iterator
from typing import Any

import orjson

from emulator import patterns
from emulator.json_paths import compiled_path, patterns_in
from emulator.matching.conditions.base import SHOWN, Compiling, Condition, Impossible, KeyPath, MatchContext, shown
from emulator.matching.conditions.values import BodyCondition


class Body(Condition[BodyCondition]):
    """Conditions on the request body; all must hold."""

    key = "body"
    depends_on = "body"

    def __init__(self, value: BodyCondition, compiling: Compiling) -> None:
        super().__init__(value, compiling)
        self.path = compiled_path(value.path)
        self.pattern = None if value.regex is None else patterns.compiled(value.regex)

    @classmethod
    def each(cls, value: tuple[BodyCondition, ...], compiling: Compiling) -> Iterator[Condition[Any]]:
        for number, item in enumerate(value):
            yield cls(item, compiling.as_it_is(number))

    def holds(self, ask: MatchContext) -> bool:
        values = self.values(ask)
        return not values if self.value.exists is False else any(self.fits(value) for value in values)

    def mismatch(self, ask: MatchContext) -> str:
        wanted, values = self.value, self.values(ask)
        names = [name for name in BodyCondition.model_fields if name in wanted.model_fields_set and name != "path"]
        wish = " and ".join(f"{name.removesuffix('_')} {_wished(getattr(wanted, name))}" for name in names)
        return f"body at {wanted.path} is {_wished(values[0]) if values else 'nothing'}, the rule expects {wish}"

    def values(self, ask: MatchContext) -> list[Any]:
        """The values at the path."""
        from jsonpath.exceptions import JSONPathError  # only files with body conditions pay for this import

        try:
            values: list[Any] = self.path.findall(ask.request.body)
        except JSONPathError:  # `$..x` in a body that is nested too deeply
            return []
        return values

    def fits(self, value: Any) -> bool:
        """Whether a value meets the condition."""
        wanted, said = self.value, self.value.model_fields_set
        return (
            ("equals" not in said or _same(value, wanted.equals))
            and ("contains" not in said or (isinstance(value, str | list) and _holds(value, wanted.contains)))
            and (self.pattern is None or (isinstance(value, str) and self.pattern.is_in(value)))
            and (wanted.in_ is None or any(_same(value, item) for item in wanted.in_))
            and (wanted.gt is None or (_is_number(value) and value > wanted.gt))
            and (wanted.lt is None or (_is_number(value) and value < wanted.lt))
        )

    def is_same(self, other: Condition[Any]) -> bool:
        if not isinstance(other, Body) or self.value.model_fields_set != other.value.model_fields_set:
            return False
        return repr(self.value) == repr(other.value)  # to Python, 1 and True are equal

    def impossible(self) -> Impossible | None:
        reason = _against_itself(self.value)
        return None if reason is None else (self.place, f"body at {self.value.path} {reason}")

    def regexes(self) -> Iterator[tuple[KeyPath, str]]:
        for pattern in patterns_in(self.value.path):
            yield (*self.place, "path"), pattern
        if self.value.regex is not None:
            yield (*self.place, "regex"), self.value.regex


def _wished(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, tuple):
        return " or ".join(map(_wished, value))
    if isinstance(value, str):
        return shown(value)
    try:
        written = orjson.dumps(value).decode()
    except TypeError:  # orjson writes fewer levels than it reads
        return "a value that is nested too deeply to show"
    return written if len(written) <= SHOWN else written[:SHOWN] + "…"


def _holds(value: Any, part: Any) -> bool:
    return (
        isinstance(part, str) and part in value if isinstance(value, str) else any(_same(item, part) for item in value)
    )


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _against_itself(condition: BodyCondition) -> str | None:
    if condition.exists is False:
        return None
    if condition.in_ == ():
        return "is never in an empty list"
    if condition.gt is not None and condition.lt is not None and condition.gt >= condition.lt:
        return f"cannot be above {condition.gt:g} and below {condition.lt:g}"
    is_number = condition.gt is not None or condition.lt is not None
    if is_number and (condition.regex is not None or "contains" in condition.model_fields_set):
        return "cannot be both a number and a string"
    return None
