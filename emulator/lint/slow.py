"""Which regexes are not searched in linear time, and why."""

import re

from emulator.patterns import TIME_FOR_SEARCH, compiled


def doubt_about(pattern: str) -> str | None:
    """What may surprise in a regex; None for one that every text is searched for at once."""
    try:
        limit = compiled(pattern).limit
    except (re.error, OverflowError, RecursionError) as error:  # in a JSONPath; others are refused
        return f"is not a regular expression, so it matches nothing: {error}"
    if limit is None:
        return None
    milliseconds = round(TIME_FOR_SEARCH * 1000)
    return (
        f"has {limit}, which cannot be searched in linear time: a text that takes over {milliseconds} ms does not match"
    )
