"""Regular expressions that are compiled on first use. Compiling all of them would take 2 % of a server's start."""

import re
from typing import Any, cast


class _Late:
    """A pattern; its methods are there once one of them is used."""

    def __init__(self, source: str, flags: int) -> None:
        self._source = source
        self._flags = flags

    def __reduce__(self) -> tuple[Any, ...]:
        return _Late, (self._source, self._flags)

    def __getattr__(self, name: str) -> Any:
        pattern = re.compile(self._source, self._flags)
        for each in ("findall", "finditer", "fullmatch", "match", "search", "split", "sub"):
            setattr(self, each, getattr(pattern, each))
        return getattr(pattern, name)


def late(source: str, flags: int = 0) -> re.Pattern[str]:
    """Returns the pattern, without compiling it yet. Errors surface on first use, so use it for constants."""
    return cast("re.Pattern[str]", _Late(source, flags))
