"""Reads the usage that an answer reports, in the terms of its dialect."""

from collections.abc import Iterable, Mapping
from typing import Any

from emulator.dialects.base import WireShape
from emulator.reply import Usage


def usage_in(natives: Iterable[dict[str, Any]], shape: WireShape) -> Usage | None:
    """Returns the usage in the events of a stream, or in the single body; None if they report none."""
    counts: dict[str, Any] = {}
    for native in natives:
        for place in shape.places(native, "usage"):
            if isinstance(place.value, dict):  # later events replace the counts they name and keep the rest
                counts |= {name: value for name, value in place.value.items() if value is not None}
    found = {name: sum(_count(counts, path) for path in paths) for name, paths in shape.counted_as.items()}
    if not counts or not found:
        return None
    total = found.pop("total", 0) or found["prompt"] + found["completion"]
    return Usage(total=total, **found)


def _count(counts: Mapping[str, Any], path: str) -> int:
    value: Any = counts
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
