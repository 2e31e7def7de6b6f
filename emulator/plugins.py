"""What other distributions bring along, found by their entry points. Nothing is left out in silence."""

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from emulator.errors import UsageError


def points(group: str) -> Sequence[EntryPoint]:
    """The entry points of a group, in the order of their names."""
    return sorted(entry_points(group=group), key=lambda point: (point.name, distribution(point)))


def loaded(noun: str, point: EntryPoint, complaint_of: Callable[[Any, EntryPoint], str | None]) -> Any:
    """What an entry point names. Raises UsageError if it cannot be loaded or `complaint_of` says why it is unfit."""
    try:
        found = point.load()
    except Exception as error:
        raise refused(noun, point, f"loading {point.value} failed: {type(error).__name__}: {error}") from error
    complaint = complaint_of(found, point)
    if complaint is not None:
        raise refused(noun, point, complaint)
    return found


def distribution(point: EntryPoint) -> str:
    """The distribution that an entry point comes from, with its version."""
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown distribution"


def refused(noun: str, point: EntryPoint, reason: str) -> UsageError:
    """One sentence that names the distribution. `noun`: what was expected of it, such as `provider`."""
    name = f"; or uninstall it: pip uninstall {point.dist.name}" if point.dist is not None else ""
    return UsageError(
        f"The {noun} '{point.name}' of the distribution {distribution(point)} can't be used: {reason}. "
        f"Correct the distribution{name}."
    )
