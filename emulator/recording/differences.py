"""Describes how a request differs from a recorded one."""

from collections.abc import Iterator, Mapping
from typing import Any

from emulator.recording.keys import redacted_request_body
from emulator.recording.redaction import Redaction, redacted_query, redacted_text
from emulator.request import HttpRequest

MAX_SHOWN = 60
"""The maximum characters of a value."""
MAX_NAMED = 3
"""The maximum number of differences."""
NOTHING = object()


def differences(http_request: HttpRequest, recorded: Mapping[str, Any], redaction: Redaction) -> list[str]:
    """Returns each difference between a request and a recorded one that its digest notices, both without secrets."""
    key = http_request.key
    now = {
        "method": http_request.method,
        "path": redacted_text(http_request.path, redaction, key),
        "query": redacted_query(http_request.query, redaction, key),
    }
    found = [
        f"{name} is {_shown(value)}, {_recorded(recorded.get(name, ''))}"
        for name, value in now.items()
        if value != recorded.get(name, "")
    ]
    return [*found, *_between(redacted_request_body(http_request, redaction), recorded.get("body"), "")]


def named(found: list[str]) -> str:
    """Returns the first of these differences in one sentence without a period."""
    left = len(found) - MAX_NAMED
    more = f"; and {left} more {'difference' if left == 1 else 'differences'}" if left > 0 else ""
    return f"the request differs from the recorded one: {'; '.join(found[:MAX_NAMED])}{more}"


def _between(now: Any, before: Any, path: str) -> Iterator[str]:
    if isinstance(now, dict) and isinstance(before, dict):
        for name in dict.fromkeys((*now, *before)):
            inner = f"{path}.{name}" if path else name
            yield from _between(now.get(name, NOTHING), before.get(name, NOTHING), inner)
    elif isinstance(now, list) and isinstance(before, list):
        for place in range(max(len(now), len(before))):
            one, other = (each[place] if place < len(each) else NOTHING for each in (now, before))
            yield from _between(one, other, f"{path}[{place}]")
    elif now is NOTHING:
        yield f"there is no {path}, {_recorded(before)}"
    elif type(now) is not type(before) or now != before:
        yield f"{path or 'the body'} is {_shown(now)}, {_recorded(before)}"


def _recorded(value: Any) -> str:
    return "which is not in the recording" if value is NOTHING else f"recorded was {_shown(value)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
