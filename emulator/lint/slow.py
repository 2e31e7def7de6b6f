"""Regexes that can't be searched in linear time."""

import re

from emulator.patterns import TIME_FOR_SEARCH, compiled


def doubt_about(pattern: str) -> str | None:
    """A warning about a regex; None if it is searched in linear time."""
    try:
        limit = compiled(pattern).limit
    except (re.error, OverflowError, RecursionError) as error:  # in a JSONPath; others are refused
        return f"is not a regular expression, so it matches nothing: {error}"
    if limit is None:
        return None
    milliseconds = round(TIME_FOR_SEARCH * 1000)
    return f"has {limit}, which can't be searched in linear time: after {milliseconds} ms, a text doesn't match"
