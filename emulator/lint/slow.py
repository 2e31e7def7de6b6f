"""Regexes that can't be searched in linear time."""

import re

from emulator.patterns import TIME_FOR_SEARCH, compiled


def doubt_about(pattern: str) -> str | None:
    """A warning about a regex; None if it is searched in linear time."""
    try:
        limit = compiled(pattern).limit
    except (re.error, OverflowError, RecursionError):
        return None
    if limit is None:
        return None
    milliseconds = round(TIME_FOR_SEARCH * 1000)
    return f"has {limit}, which can't be searched in linear time: after {milliseconds} ms, a text doesn't match"
