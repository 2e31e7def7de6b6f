"""JSONPath (RFC 9535), with `match` and `search` as bounded as other regexes."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from emulator.patterns import compiled

MAX_PATTERN = 1000
"""The most characters in a pattern, which may come from a request body."""
FUNCTIONS = ("match", "search")
INSIDE = ("segments", "selectors", "expression", "left", "right", "args", "path", "query")
"""The members of a compiled path that hold further parts of it."""
_DOT = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\.", re.DOTALL)


def compiled_path(path: str) -> Any:
    """Compiles a path. Raises jsonpath's JSONPathError."""
    return _environment().compile(path)


@cache
def _environment() -> Any:
    from jsonpath import JSONPathEnvironment  # only body conditions pay for this import
    from jsonpath.function_extensions import ExpressionType, FilterFunction

    class Fits(FilterFunction):
        arg_types = [ExpressionType.VALUE, ExpressionType.VALUE]  # noqa: RUF012 - jsonpath's own way
        return_type = ExpressionType.LOGICAL

        def __init__(self, *, is_whole: bool) -> None:
            self._is_whole = is_whole

        def __call__(self, value: object, pattern: object) -> bool:
            return isinstance(value, str) and isinstance(pattern, str) and fits(value, pattern, is_whole=self._is_whole)

    environment = JSONPathEnvironment(strict=True)
    environment.function_extensions["match"] = Fits(is_whole=True)
    environment.function_extensions["search"] = Fits(is_whole=False)
    return environment


def patterns_in(path: str) -> Iterator[str]:
    """Yields the patterns that a path passes to `match` and `search`."""
    waiting: list[Any] = [compiled_path(path)]
    while waiting:
        part = waiting.pop()
        if getattr(part, "name", None) in FUNCTIONS and len(getattr(part, "args", ())) == 2:
            pattern = getattr(part.args[1], "value", None)
            if isinstance(pattern, str):
                yield pattern
        waiting += [each for name in INSIDE for each in _as_list(getattr(part, name, None))]


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def as_regex(pattern: str) -> str:
    """Converts an I-Regexp to Python's syntax: a dot doesn't match a line end."""
    return _DOT.sub(lambda found: r"[^\n\r]" if found[0] == "." else found[0], pattern)


def fits(text: str, pattern: str, *, is_whole: bool) -> bool:
    """Whether a text matches an I-Regexp (RFC 9485). An invalid one matches nothing, as RFC 9535 requires."""
    if len(pattern) > MAX_PATTERN:
        return False
    try:
        return compiled(as_regex(pattern), is_whole=is_whole).is_in(text)
    except (re.error, OverflowError, RecursionError):
        return False
