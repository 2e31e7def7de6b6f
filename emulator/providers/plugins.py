"""Providers from other packages: entry points in the group `emulator.providers`.

An unusable provider is rejected with one sentence that names its package; none is silently skipped.
docs/adding-a-provider.md shows a complete one.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emulator.plugins import distribution, loaded, points, refused
from emulator.providers.base import ERROR_NAMES, INTERNAL_NAMES, Provider

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "emulator.providers"
NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
FACTS = ("name", "title", "hosts", "document", "auth_header", "operations", "errors", "example")
"""What a provider must state."""


def with_plugins(own: Mapping[str, type[Provider]]) -> Mapping[str, type[Provider]]:
    """Built-in providers, then those from installed packages, sorted by name.

    Raises UsageError for one that can't be loaded, isn't a provider, or has the name or host of another."""
    providers = dict(own)
    brought_by: dict[str, str] = {}
    for point in points(GROUP):
        if point.name in providers:
            other = brought_by.get(point.name, "the emulator itself")
            raise refused("provider", point, f"its name is already taken, by {other}")
        provider = loaded("provider", point, complaint_of)
        taken = {host: name for name, present in providers.items() for host in present.hosts}
        for host in provider.hosts:
            if host in taken:
                raise refused("provider", point, f"its host {host} is already taken, by the provider '{taken[host]}'")
        providers[point.name] = provider
        brought_by[point.name] = distribution(point)
    return providers


def complaint_of(provider: Any, point: "EntryPoint") -> str | None:
    """Returns why an object isn't a usable provider; None if it is one."""
    if not (isinstance(provider, type) and issubclass(provider, Provider)):
        return f"{point.value} is {provider!r}; expected a subclass of emulator.providers.base.Provider"
    missing = [fact for fact in FACTS if not hasattr(provider, fact)]
    if missing:
        return f"{provider.__qualname__} does not state {', '.join(missing)}"
    if provider.name != point.name:
        return f"{provider.__qualname__}.name is '{provider.name}', but must be the name of its entry point"
    if not NAME.fullmatch(provider.name):
        return "a name may contain only lowercase letters and digits, with '-' or '_' between them"
    unmapped = [name for name in (*ERROR_NAMES, *INTERNAL_NAMES) if name not in provider.errors]
    if unmapped:
        return f"{provider.__qualname__}.errors has no {', '.join(unmapped)}"
    try:
        made = provider()
    except Exception as error:
        return f"{provider.__qualname__}() failed: {type(error).__name__}: {error}"
    unspoken = [each for each in provider.operations if each.is_completion and each.dialect not in made.spoken]
    if unspoken:
        known = f"it speaks {', '.join(made.spoken)}" if made.spoken else "it speaks none"
        return f"{provider.__qualname__} has no dialect '{unspoken[0].dialect}' for {unspoken[0].path}: {known}"
    return None
