"""Tables of classes that are imported when they are named, and plugins from other packages, found by entry points."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any, TypeVar

from emulator.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Class = TypeVar("Class")

LAZY = "emulator_lazy"
"""The key in a pydantic core schema's metadata for a function that makes the actual schema, which only errors need."""


class Lazy(Mapping[str, Class]):
    """A table of classes by name, each given as `module:Class` and imported on first use."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places
        self._found: dict[str, Class] = {}

    def __getitem__(self, name: str) -> Class:
        found = self._found.get(name)
        if found is None:
            module, _, member = self._places[name].partition(":")
            found = self._found[name] = getattr(import_module(module), member)
        return found

    def is_loaded(self, name: str) -> bool:
        """Whether a class is at hand."""
        return name in self._found

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def points(group: str) -> "Sequence[EntryPoint]":
    """Returns the entry points of a group, sorted by name."""
    found = _every(tuple(sys.path))
    return sorted(found.select(group=group), key=lambda point: (point.name, distribution(point))) if found else ()


@lru_cache(maxsize=1)
def _every(path: tuple[str, ...]) -> Any:
    """Returns the entry points of all groups, or None if there is no plugin. Cached, since finding any reads a file of
    every installed package."""
    others = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions") and finder is not PathFinder]
    if not others and not any(map(_may_bring, path)):
        return None
    from importlib.metadata import entry_points

    return entry_points()


def _may_bring(folder: str) -> bool:
    """Whether a folder on the module search path may hold a package with plugins. Nearly always none does, and then
    `importlib.metadata` need not be loaded, which takes longer than to look here."""
    try:
        with os.scandir(folder or ".") as entries:
            inside = [entry.path for entry in entries if entry.name.lower().endswith((".dist-info", ".egg-info"))]
    except FileNotFoundError:
        return False
    except OSError:  # such as a zip file
        return True
    return folder.endswith(".egg") or any(map(_mentions_plugins, inside))


def _mentions_plugins(information: str) -> bool:
    try:
        with open(f"{information}/entry_points.txt", "rb", buffering=0) as file:
            return b"[emulator." in file.read()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def loaded(noun: str, point: "EntryPoint", complaint_of: "Callable[[Any, EntryPoint], str | None]") -> Any:
    """Loads an entry point. Raises UsageError if that fails or if `complaint_of` finds it invalid."""
    try:
        found = point.load()
    except Exception as error:
        raise refused(noun, point, f"loading {point.value} failed: {type(error).__name__}: {error}") from error
    complaint = complaint_of(found, point)
    if complaint is not None:
        raise refused(noun, point, complaint)
    return found


def distribution(point: "EntryPoint") -> str:
    """Returns the package that provides an entry point, with its version."""
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown package"


def refused(noun: str, point: "EntryPoint", reason: str) -> UsageError:
    """Returns an error that names the package. `noun` is the kind of plugin, such as `provider`."""
    where, advice = f"of {distribution(point)}", "Fix the package."
    if point.dist is not None:
        where = f"of the package {distribution(point)}"
        advice = f"Fix the package; or uninstall it: pip uninstall {point.dist.name}."
    return UsageError(f"The {noun} '{point.name}' {where} can't be used: {reason}. {advice}")


def moved(module: str, name: str, *homes: str) -> Any:
    """Returns what a module once defined and one of `homes` defines now, for packages that import it by its old path.
    Raises AttributeError if there is no such name. Meant for a module's `__getattr__`."""
    for home in homes:
        found = vars(import_module(home)).get(name)
        if found is not None and getattr(found, "__module__", home) == home:
            return found
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
