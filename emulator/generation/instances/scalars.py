"""Generates numbers and strings within their bounds, plausible for the name of their property."""

import math
import string
import sys
from collections.abc import Callable, Mapping
from fractions import Fraction
from random import Random
from typing import Any

from emulator.generation.instances.names import FORMS, SPANS, STRETCHED, WORDS, looked_up, plausible
from emulator.generation.instances.patterns import pattern_of
from emulator.generation.instances.search import Fuel, Miss
from emulator.generation.instances.validity import FORMATS, is_multiple

MAX_LENGTH = 4_096
"""Characters. Longer strings are not generated."""
WIDEST_NUMBER = 4_096
"""The bits of an integer, about 1,200 digits; the integer part of a float has at most 1,024."""
MAX_FLOAT = Fraction(sys.float_info.max)


def make_string(schema: Mapping[str, Any], name: str, random: Random, fuel: Fuel, attempt: int) -> str:
    """Returns a string of the right length that matches the pattern and the format. Raises Miss if none is found."""
    low, high = int(schema.get("minLength", 0)), int(min(schema.get("maxLength", MAX_LENGTH), MAX_LENGTH))
    if low > MAX_LENGTH:
        raise Miss(f"minLength is {low}; strings are made up to {MAX_LENGTH}")
    if low > high:
        raise Miss(f"minLength {low} is above maxLength {high}")
    fuel.burn(low)
    patterns, form = schema.get("pattern", []), schema.get("format")
    if form in FORMS and form in FORMATS and not (patterns and attempt % 2):
        return _formed(form, low, high, random)
    if patterns:
        return _patterned(patterns, low, high, random, fuel)
    fuel.burn(1000)
    if attempt == 0 and (text := plausible(name, low, high, random)):
        return text
    # If words fail, for example because of a `not`, the shortest string or a long one may work.
    if attempt > 3 and attempt % 3 == 0:
        high = low
    if attempt > 3 and attempt % 3 == 1:
        low = min(high, 10 * low + 50)
    return _worded(low, high, random)


def _formed(form: str, low: int, high: int, random: Random) -> str:
    for _ in range(20):
        text = FORMS[form](random)
        if low <= len(text) <= high:
            return text
    if form in STRETCHED:
        text = STRETCHED[form](random, max(low, min(high, 12)))
        if low <= len(text) <= high:
            return text
    raise Miss(f"no {form} was found with {low} to {high} characters", final=False)


def _patterned(patterns: list[str], low: int, high: int, random: Random, fuel: Fuel) -> str:
    """Returns a candidate for several patterns: a string for one of them, or strings for all of them, concatenated."""
    first = random.choice(patterns)
    text = pattern_of(first, fuel).write(low, high, random, fuel)
    if len(patterns) > 1 and random.random() < 0.6:
        text = "".join(
            pattern_of(each, fuel).write(0, high, random, fuel) for each in random.sample(patterns, len(patterns))
        )
    return text


def _worded(low: int, high: int, random: Random) -> str:
    text = " ".join(random.sample(WORDS, random.randint(1, 3)))
    while len(text) < low:
        text += " " + random.choice(WORDS)
    text = text[: max(low, min(high, len(text)))]
    return text[:-1] + random.choice(string.ascii_lowercase) if text.endswith(" ") else text


def make_number(
    schema: Mapping[str, Any], name: str, random: Random, whole: bool, attempt: int, turn: int, fuel: Fuel
) -> int | float:
    """Returns a number within its bounds that is a multiple of every step. Raises Miss if there is none. `turn` is
    its number among those that must all differ: the later it is, the larger the choice.
    """
    low, high = _bound(schema, "minimum", "exclusiveMinimum", max), _bound(schema, "maximum", "exclusiveMaximum", min)
    steps = [_exact(step) for step in schema.get("multipleOf", [])] + [Fraction(1)] * whole
    fuel.burn(50 * len(steps))
    if any(step <= 0 for step in steps):
        raise Miss("multipleOf must be above 0")
    span = looked_up(name, SPANS) if attempt == 0 and turn < 20 else None
    step = _common(steps, fuel) if steps else _natural_step(low, high, span)
    if attempt > 3 and attempt % 2:  # if the usual numbers fail, try the bounds and negative numbers
        low = low if low is not None else min(Fraction(0), high or Fraction(0)) - 100 * step * attempt
    first, last = _indices(schema, low, high, step, span, 1 + turn // 20)
    ends = [first, last, (first + last) // 2]
    chance = [random.randint(first, last) for _ in range(30)]
    for index in [random.choice(ends), *chance] if attempt > 3 else [*chance, *ends]:
        fuel.burn(100 + 20 * len(steps) + step.denominator.bit_length())
        value = _plain(step * index)
        if _within(schema, value):
            return value
    raise Miss("no number that was tried is exact enough for its bounds and multipleOf", final=False)


def _exact(number: Any) -> Fraction:
    """Returns the number as it is written: 0.1 is a tenth, not the nearest float."""
    if isinstance(number, float) and not math.isfinite(number):
        raise Miss(f"{number} is not a JSON number")
    if isinstance(number, float) and abs(number) < 2**53:
        return Fraction(repr(number))
    return Fraction(number)  # a large float is exactly an integer


def _bound(schema: Mapping[str, Any], plain: str, exclusive: str, tighter: Callable[..., Fraction]) -> Fraction | None:
    bounds = [_exact(schema[keyword]) for keyword in (plain, exclusive) if keyword in schema]
    return tighter(bounds) if bounds else None


def _common(steps: list[Fraction], fuel: Fuel) -> Fraction:
    """Returns the least common multiple."""
    top, bottom = 1, 0
    for step in steps:
        top, bottom = math.lcm(top, step.numerator), math.gcd(bottom, step.denominator)
        fuel.burn(10 + top.bit_length() // 8)
        if top.bit_length() > WIDEST_NUMBER:
            raise Miss("the steps of multipleOf have no common multiple but 0 that can be written", final=False)
    return Fraction(top, bottom)


def _natural_step(low: Fraction | None, high: Fraction | None, span: tuple[int, int, int] | None) -> Fraction:
    """Returns a decimal step that leaves at least twenty values to choose from."""
    step = Fraction(1, 10 ** (span[2] if span else 1))
    width = high - low if low is not None and high is not None else Fraction(100)
    while 0 < width < 20 * step and step.denominator < 10**300:
        step /= 10
    if width == 0 and low:  # a single value: itself
        return abs(low)
    return step


def _indices(
    schema: Mapping[str, Any],
    low: Fraction | None,
    high: Fraction | None,
    step: Fraction,
    span: tuple[int, int, int] | None,
    width: int,
) -> tuple[int, int]:
    """Returns the first and the last multiple of `step` to choose from."""
    usual = max(Fraction(100), 20 * step) * width
    if span and (low is None or low <= span[0]) and (high is None or span[1] <= high) and step * 2 <= span[1] - span[0]:
        low, high = Fraction(span[0]), Fraction(span[1])
    if low is None:
        low = Fraction(0) if high is None or high > 0 else max(high - usual, min(high, -MAX_FLOAT))
    if high is None:
        high = min(low + usual, max(low, MAX_FLOAT))
    first, last = math.ceil(low / step), math.floor(high / step)
    first += "exclusiveMinimum" in schema and step * first == _exact(schema["exclusiveMinimum"])
    last -= "exclusiveMaximum" in schema and step * last == _exact(schema["exclusiveMaximum"])
    if first > last:
        kind = "number" if step.denominator != 1 else "whole number" if step == 1 else f"multiple of {_plain(step)}"
        raise Miss(f"there is no {kind} between {_plain(low)} and {_plain(high)}")
    return first, last


def _plain(number: Fraction) -> int | float:
    """Returns integers as int, even those over 64 bits unless a float is equal."""
    if number.denominator != 1:
        return float(number)
    return (
        float(number) if abs(number) >= 2**63 and abs(number) <= MAX_FLOAT and float(number) == number else int(number)
    )


def _within(schema: Mapping[str, Any], value: int | float) -> bool:
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
        and all(is_multiple(value, step) for step in schema.get("multipleOf", []))
    )
