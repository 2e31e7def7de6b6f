"""Conditions from other packages: entry points in the group `emulator.conditions`.

Such a condition is a key of `match` like a built-in one: validated, described in the docs and the JSON Schema, and
explained if it doesn't hold. An unusable one is rejected with one sentence.
"""

import re
from collections.abc import Mapping, Sequence
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, get_args

from emulator.matching.conditions.base import Condition, DependsOn
from emulator.plugins import loaded, points, refused

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "emulator.conditions"
KEY = re.compile(r"[a-z][a-z0-9_]*")
RESERVED = ("normalize",)
"""Keys of a match that aren't conditions."""


def brought(own: Sequence[str]) -> Mapping[str, type[Condition[Any]]]:
    """Returns the conditions of installed packages, sorted by name. `own` are the built-in keys. Raises UsageError
    for one that can't be loaded or used.
    """
    found: dict[str, type[Condition[Any]]] = {}
    for point in points(GROUP):
        if point.name in (*own, *found, *RESERVED):
            raise refused("condition", point, "its key is already taken")
        found[point.name] = loaded("condition", point, complaint_of)
    return found


def complaint_of(condition: Any, point: "EntryPoint") -> str | None:
    """Returns why an object isn't a usable condition; None if it is one."""
    if not (isinstance(condition, type) and issubclass(condition, Condition)):
        return f"{point.value} is {condition!r}; expected a subclass of emulator.matching.conditions.base.Condition"
    missing = [fact for fact in ("key", "value_type", "__doc__") if not getattr(condition, fact, None)]
    missing += sorted(condition.__abstractmethods__)
    if missing:
        return f"{condition.__qualname__} does not state {', '.join(missing)}"
    if condition.key != point.name:
        return f"{condition.__qualname__}.key is '{condition.key}', but must be the name of its entry point"
    if not KEY.fullmatch(condition.key) or iskeyword(condition.key):
        return "a key may contain only lowercase letters, digits and '_', and must not be a Python keyword"
    if condition.depends_on not in get_args(DependsOn):
        known = ", ".join(get_args(DependsOn))
        return f"{condition.__qualname__}.depends_on is {condition.depends_on!r}; expected one of {known}"
    return None
