"""Conditions that other distributions bring along: entry points of the group `emulator.conditions`.

Such a condition is a key of `match` like the emulator's own: checked, described in the docs and the JSON Schema, and
explained when it does not hold. One that cannot be used is refused with one sentence.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint
from keyword import iskeyword
from typing import Any, get_args

from emulator.matching.conditions.base import Condition, DependsOn
from emulator.plugins import loaded, points, refused

GROUP = "emulator.conditions"
KEY = re.compile(r"[a-z][a-z0-9_]*")
RESERVED = ("normalize",)
"""Keys of a match that are no conditions."""


def brought(own: Sequence[str]) -> Mapping[str, type[Condition[Any]]]:
    """The conditions of installed distributions in the order of their names. `own` are the keys that are taken.

    Raises UsageError for one that cannot be loaded or used."""
    found: dict[str, type[Condition[Any]]] = {}
    for point in points(GROUP):
        if point.name in (*own, *found, *RESERVED):
            raise refused("condition", point, "there is such a key already")
        found[point.name] = loaded("condition", point, complaint_of)
    return found


def complaint_of(condition: Any, point: EntryPoint) -> str | None:
    """Why something is no condition that can be used."""
    if not (isinstance(condition, type) and issubclass(condition, Condition)):
        return f"{point.value} is {condition!r}; expected a subclass of emulator.matching.conditions.base.Condition"
    missing = [fact for fact in ("key", "value_type", "__doc__") if not getattr(condition, fact, None)]
    missing += sorted(condition.__abstractmethods__)
    if missing:
        return f"{condition.__qualname__} does not state {', '.join(missing)}"
    if condition.key != point.name:
        return f"{condition.__qualname__}.key is '{condition.key}', but must be the name of its entry point"
    if not KEY.fullmatch(condition.key) or iskeyword(condition.key):
        return "a key has lower-case letters, digits and '_', and is no keyword of Python"
    if condition.depends_on not in get_args(DependsOn):
        known = ", ".join(get_args(DependsOn))
        return f"{condition.__qualname__}.depends_on is {condition.depends_on!r}; expected one of {known}"
    return None
