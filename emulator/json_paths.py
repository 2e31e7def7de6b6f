"""JSONPath (RFC 9535), with `match` and `search` as bounded as other regexes."""

import re
from functools import cache
from typing import Any

from emulator.patterns import compiled

MAX_PATTERN = 1000
"""The most characters in a pattern, which may come from a request body."""
_DOT = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\.", re.DOTALL)


def compiled_path(path: str) -> Any:
    """The compiled path. Raises jsonpath's JSONPathError."""
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


def fits(text: str, pattern: str, *, is_whole: bool) -> bool:
    """Whether a text matches an I-Regexp (RFC 9485). An invalid one matches nothing, as RFC 9535 requires."""
    if len(pattern) > MAX_PATTERN:
        return False
    source = _DOT.sub(lambda found: r"[^\n\r]" if found[0] == "." else found[0], pattern)
    try:
        return compiled(source, is_whole=is_whole).is_in(text)
    except (re.error, OverflowError, RecursionError):
        return False
