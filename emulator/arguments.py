"""Checks the arguments that Python programs pass: each wrong type or value raises a clear UsageError at once."""

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any, TypeVar

from emulator.errors import UsageError, did_you_mean
from emulator.faults import fault_of
from emulator.faults.base import Fault
from emulator.pace import Pace, checked_speed
from emulator.scenario.models import Scenario

Kind = TypeVar("Kind")
ScenarioSource = str | PathLike[str] | Mapping[str, Any] | Scenario


def text(what: str, value: object) -> str:
    """A string. Raises UsageError."""
    if not isinstance(value, str):
        raise UsageError(f"{what} is {value!r}; expected a string.")
    return value


def whole(what: str, value: object, low: int | None = None, high: int | None = None) -> int:
    """A whole number between bounds. Raises UsageError."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or (low is not None and value < low) or (high is not None and value > high):  # type: ignore[operator]
        bounds = f" from {low} to {high}" if low is not None else ""
        raise UsageError(f"{what} is {value!r}; expected a whole number{bounds}.")
    assert isinstance(value, int)
    return value


def number(what: str, value: object) -> float:
    """A number, which may be infinite. Raises UsageError."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UsageError(f"{what} is {value!r}; expected a number.")
    return value


def switch(what: str, value: object) -> bool:
    """True or False. Raises UsageError."""
    if not isinstance(value, bool):
        raise UsageError(f"{what} is {value!r}; expected True or False.")
    return value


def one_of(what: str, value: Kind, known: Iterable[Kind]) -> Kind:
    """One of a few values. Raises UsageError."""
    values = list(known)
    if value not in values:
        hint = did_you_mean(value, [str(each) for each in values]) if isinstance(value, str) else ""
        raise UsageError(f"{what} is {value!r}.{hint} Allowed: {', '.join(map(str, values))}.")
    return value


def seed(value: object) -> int | None:
    """A seed or None. Raises UsageError."""
    return None if value is None else whole("seed", value)


def speed(value: object) -> float:
    """A speed multiplier. Raises UsageError."""
    return checked_speed(number("speed", value))


def pace(value: object) -> Pace | None:
    """A pace or None. Raises UsageError."""
    if value is not None and not isinstance(value, Pace):
        raise UsageError(f"pace is {value!r}; expected Pace(ttft=SECONDS, tokens_per_second=NUMBER) or None.")
    return value


def source(value: object) -> ScenarioSource:
    """The source of a scenario. Raises UsageError."""
    if not isinstance(value, str | PathLike | Mapping | Scenario):
        raise UsageError(f"scenario is {value!r}; expected a path, or the scenario itself as a mapping.")
    return value


def faults(value: object) -> tuple[Fault, ...]:
    """One fault or several. Raises UsageError."""
    if isinstance(value, str | Mapping | Fault):
        return (fault_of(value),)
    if not isinstance(value, Iterable):
        raise UsageError(f"faults is {value!r}; expected a fault such as 'reset:after_tokens=5', or a list of faults.")
    return tuple([fault_of(each) for each in value])
