"""Faults that other distributions bring along: entry points of the group `emulator.faults`.

Such a fault has all the powers of the emulator's own: it is named in URLs, headers, keys and scenarios, listed with its
parameters, and stands in the JSON Schema. One that cannot be used is refused with one sentence.
"""

import re
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import Any, Literal, get_args, get_origin

from emulator.faults.base import Family, Fault
from emulator.plugins import distribution, loaded, points, refused

GROUP = "emulator.faults"
KIND = re.compile(r"[a-z][a-z0-9_]*")
FACTS = ("family", "effect", "tests")
"""What a fault has to state."""


def with_plugins(own: Sequence[type[Fault]]) -> tuple[type[Fault], ...]:
    """The emulator's own faults and those of installed distributions, each behind the others of its family, as that is
    the order in which they act. Raises UsageError for one that cannot be loaded or used."""
    faults = list(own)
    brought_by = dict.fromkeys([kind_of(fault) for fault in own], "the emulator itself")
    for point in points(GROUP):
        if point.name in brought_by:
            raise refused("fault", point, f"there is one of that kind already, from {brought_by[point.name]}")
        fault = loaded("fault", point, complaint_of)
        places = [place for place, each in enumerate(faults) if each.family == fault.family]
        faults.insert(places[-1] + 1, fault)
        brought_by[point.name] = distribution(point)
    return tuple(faults)


def kind_of(fault: type[Fault]) -> str:
    """What a fault is called in scenarios, headers and URLs."""
    return str(fault.model_fields["kind"].default)


def complaint_of(fault: Any, point: EntryPoint) -> str | None:
    """Why something is no fault that can be used."""
    if not (isinstance(fault, type) and issubclass(fault, Fault)):
        return f"{point.value} is {fault!r}, a subclass of emulator.faults.base.Fault was expected"
    missing = [fact for fact in FACTS if not isinstance(getattr(fault, fact, None), str)]
    if missing:
        return f"{fault.__qualname__} does not state {', '.join(missing)}"
    if fault.family not in get_args(Family):
        return f"{fault.__qualname__}.family is '{fault.family}', one of {', '.join(get_args(Family))} was expected"
    field = fault.model_fields["kind"]
    if get_origin(field.annotation) is not Literal or get_args(field.annotation) != (point.name,):
        return f'{fault.__qualname__} has to say kind: Literal["{point.name}"] = "{point.name}", as its entry point'
    if field.default != point.name:
        return f"{fault.__qualname__}.kind is '{field.default}', the name of its entry point was expected"
    if not KIND.fullmatch(point.name):
        return "a kind has lower-case letters, digits and '_'"
    return None
