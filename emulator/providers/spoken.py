"""The dialects of one provider, each loaded and made when it is first spoken."""

from collections.abc import Iterator, Mapping
from typing import Any

from emulator.dialects.base import Dialect
from emulator.plugins import Lazy


class Spoken(Mapping[str, Dialect[Any]]):
    """A provider's dialects by their names, the provider itself first if it is one."""

    def __init__(self, provider: Any, dialects: Mapping[str, type[Dialect[Any]]]) -> None:
        self._provider = provider
        self._classes = dialects
        own = (provider.dialect,) if isinstance(provider, Dialect) else ()
        self._names = tuple(dict.fromkeys((*own, *dialects)))
        self.made: dict[str, Dialect[Any]] = {name: provider for name in own if name not in dialects}
        """Those that have been spoken."""

    def __getitem__(self, name: str) -> Dialect[Any]:
        found = self.made.get(name)
        if found is None:
            found = self.made.setdefault(name, self._classes[name](self._provider))
        return found

    def known(self, name: str) -> Dialect[Any]:
        """Returns a dialect; for an unknown name, the first one."""
        return self[self._known(name)]

    def loads(self, name: str) -> bool:
        """Whether `known` has to load modules."""
        name = self._known(name)
        return name not in self.made and isinstance(self._classes, Lazy) and not self._classes.is_loaded(name)

    def _known(self, name: str) -> str:
        return name if name in self._names else self._names[0]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
