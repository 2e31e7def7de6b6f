"""Plugins from other packages, found by entry points. None is skipped silently."""

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from emulator.errors import UsageError


def points(group: str) -> Sequence[EntryPoint]:
    """The entry points of a group, sorted by name."""
    return sorted(entry_points(group=group), key=lambda point: (point.name, distribution(point)))


def loaded(noun: str, point: EntryPoint, complaint_of: Callable[[Any, EntryPoint], str | None]) -> Any:
    """Loads an entry point. Raises UsageError if that fails or if `complaint_of` finds it invalid."""
    try:
        found = point.load()
    except Exception as error:
        raise refused(noun, point, f"loading {point.value} failed: {type(error).__name__}: {error}") from error
    complaint = complaint_of(found, point)
    if complaint is not None:
        raise refused(noun, point, complaint)
    return found


def distribution(point: EntryPoint) -> str:
    """The package that provides an entry point, with its version."""
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown package"


def refused(noun: str, point: EntryPoint, reason: str) -> UsageError:
    """An error that names the package. `noun` is the kind of plugin, such as `provider`."""
    name = f"; or uninstall it: pip uninstall {point.dist.name}" if point.dist is not None else ""
    return UsageError(
        f"The {noun} '{point.name}' of the package {distribution(point)} can't be used: {reason}. "
        f"Fix the package{name}."
    )
