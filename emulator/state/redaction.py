"""Redacts credentials in everything that is shown: headers, queries, bodies, and texts split over stream events."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

from emulator.dialects.base import Event, Place, WireShape
from emulator.providers import CREDENTIALS

REDACTED = "[redacted]"
SECRET_HEADERS = frozenset(
    [
        *CREDENTIALS,
        "authorization",
        "x-api-key",
        "api-key",
        "apikey",
        "x-goog-api-key",
        "cookie",
        "set-cookie",
        "proxy-authorization",
        "x-auth-token",
        "x-amz-security-token",
    ]
)
SECRETS = ("key", "api_key", "api-key", "apikey", "access_token", "token", "x-api-key")
"""Query parameters that contain a credential, in any case."""
MIN_KEY = 8
"""The minimum length of a request's key to search for: a shorter one may be an ordinary word."""
KEYS = re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{6,}")
"""Texts that look like keys."""
_FIELDS = re.compile(
    r'("(?:x-)?(?:api[_-]?key|access[_-]?token|client[_-]?secret|authorization)"\s*:\s*")((?:[^"\\]|\\.)+)',
    re.IGNORECASE,
)
"""JSON members that contain a credential."""


def redacted(text: str, key: str | None = None) -> str:
    """Returns a text without anything that looks like a key, and without the request's own key."""
    if key and len(key) >= MIN_KEY and key in text:
        text = text.replace(key, REDACTED)
    if "sk-" in text:
        text = KEYS.sub(REDACTED, text)
    return text


def redacted_body(
    body: bytes, key: str | None = None, shape: WireShape | None = None, *, only_members: bool = False
) -> bytes:
    """Returns a body without credentials. With a `shape`, it is a stream, and keys that are split over events are
    also found.
    """
    if shape is not None:
        body = _without_split_keys(body, key, shape)
    text = body.decode("latin-1")
    clean = text if only_members else redacted(text, key.encode().decode("latin-1") if key else None)
    if _FIELDS.search(clean):
        clean = _FIELDS.sub(lambda found: f"{found[1]}{REDACTED}", clean)
    return body if clean == text else clean.encode("latin-1")


def headers_of(headers: Mapping[str, str], key: str | None) -> dict[str, str]:
    """Returns headers without credentials."""
    return {
        name: REDACTED if name in SECRET_HEADERS or holds(value, key) else redacted(value, key)
        for name, value in headers.items()
    }


def holds(value: str, key: str | None) -> bool:
    """Whether a header contains the key, alone or after a scheme."""
    return bool(key) and (value.strip() == key or value.rpartition(" ")[2] == key)


def query_of(query: str, key: str | None) -> str:
    """Returns a query string as it was sent, except for the values of parameters with credentials."""
    parts = re.split("([&;])", query)
    for place, part in enumerate(parts):
        name, equals, value = part.partition("=")
        if equals and (unquote_plus(name).strip().lower() in SECRETS or holds(unquote_plus(value), key)):
            parts[place] = f"{name}={REDACTED}"
    return redacted("".join(parts), key)


def events_of(body: bytes, shape: WireShape) -> Iterator[tuple[bytes, bytes, Event | None]]:
    """Yields the events of a stream: each as it was sent, the blank line after it, and its data if it can be parsed."""
    parts = shape.split(body)
    for place in range(0, len(parts), 2):
        yield parts[place], parts[place + 1] if place + 1 < len(parts) else b"", shape.read_frame(parts[place])


def _without_split_keys(body: bytes, key: str | None, shape: WireShape) -> bytes:
    """Redacts keys that are split over several events."""
    events = list(events_of(body, shape))
    texts: dict[tuple[str, Any], list[tuple[int, Place]]] = {}
    for number, (_, _, event) in enumerate(events):
        for place in shape.places(event.native, "content", "reasoning") if event is not None else ():
            if isinstance(place.value, str) and place.value:
                texts.setdefault((place.meaning, place.key), []).append((number, place))
    changed: set[int] = set()
    for pieces in texts.values():
        whole = "".join(place.value for _, place in pieces)
        found = [match.span() for match in KEYS.finditer(whole)]
        if key and len(key) >= MIN_KEY:
            found += [match.span() for match in re.finditer(re.escape(key), whole)]
        for start, end in found:
            changed |= _blank(pieces, start, end)
    if not changed:
        return body
    shown = []
    for number, (sent, gap, event) in enumerate(events):
        is_changed = event is not None and number in changed
        frame = shape.frame(event.native, event.name) if event is not None and is_changed else sent
        shown.append((frame.removesuffix(gap).rstrip(b"\r\n") if is_changed else frame) + gap)
    return b"".join(shown)


def _blank(pieces: list[tuple[int, Place]], start: int, end: int) -> set[int]:
    """Replaces a span of the joined pieces with asterisks; returns the numbers of the changed events."""
    position, changed = 0, set()
    for number, place in pieces:
        text: str = place.value
        low, high = max(start - position, 0), min(end - position, len(text))
        if low < high:
            place.put(text[:low] + "*" * (high - low) + text[high:])
            changed.add(number)
        position += len(text)
    return changed
