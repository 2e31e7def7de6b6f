"""Faults from other packages: entry points in the group `emulator.faults`.

Such a fault has all the powers of a built-in one: it can be named in URLs, headers, keys and scenarios, is listed with
its parameters, and is part of the JSON Schema. An unusable one is rejected with one sentence.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from emulator.faults.base import Family, Fault
from emulator.plugins import Lazy, distribution, loaded, points, refused

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "emulator.faults"
KIND = re.compile(r"[a-z][a-z0-9_]*")
FACTS = ("family", "effect", "tests")
"""What a fault must state."""


def with_plugins(own: Mapping[str, str]) -> Mapping[str, type[Fault]]:
    """Built-in faults and those from installed packages, sorted by family, which is the order in which they act. Raises
    UsageError for one that can't be loaded or used."""
    table: Lazy[type[Fault]] = Lazy(own)
    found = points(GROUP)
    if not found:
        return table
    faults = list(table.values())
    brought_by = dict.fromkeys(own, "the emulator itself")
    for point in found:
        if point.name in brought_by:
            raise refused("fault", point, f"its kind is already taken, by {brought_by[point.name]}")
        fault = loaded("fault", point, complaint_of)
        places = [place for place, each in enumerate(faults) if each.family == fault.family]
        faults.insert(places[-1] + 1, fault)
        brought_by[point.name] = distribution(point)
    return {kind_of(fault): fault for fault in faults}


def kind_of(fault: type[Fault]) -> str:
    """The fault's name in scenarios, headers and URLs."""
    return str(fault.model_fields["kind"].default)


def complaint_of(fault: Any, point: "EntryPoint") -> str | None:
    """Why an object isn't a usable fault."""
    if not (isinstance(fault, type) and issubclass(fault, Fault)):
        return f"{point.value} is {fault!r}, not a subclass of emulator.faults.base.Fault"
    missing = [fact for fact in FACTS if not isinstance(getattr(fault, fact, None), str)]
    if missing:
        return f"{fault.__qualname__} does not state {', '.join(missing)}"
    if fault.family not in get_args(Family):
        return f"{fault.__qualname__}.family is '{fault.family}', but must be one of {', '.join(get_args(Family))}"
    field = fault.model_fields["kind"]
    if get_origin(field.annotation) is not Literal or get_args(field.annotation) != (point.name,):
        return f'{fault.__qualname__} must declare kind: Literal["{point.name}"] = "{point.name}", like its entry point'
    if field.default != point.name:
        return f"{fault.__qualname__}.kind is '{field.default}', but must be the name of its entry point"
    if not KIND.fullmatch(point.name):
        return "a kind may contain only lowercase letters, digits and '_'"
    return None
