"""Redacts recordings before anything reaches a file, with built-in patterns and the user's own lists."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

import orjson

from emulator.dialects.base import Event, WireShape
from emulator.errors import UsageError
from emulator.json_paths import compiled_path
from emulator.patterns import compiled
from emulator.records import record

REDACTED = "[redacted]"
KEPT_TRAILERS = re.compile(r"(?!set-cookie|cookie|authorization|x-api-key).*", re.IGNORECASE)
MIN_KEY = 8
"""The minimum length of a request's key to search for everywhere: a shorter one may be a word."""
SECRET_TEXT = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-[A-Za-z0-9_-]{6,}|AIza[A-Za-z0-9_-]{20,}|(?:gsk|hf|xai|r8|nvapi|ghp|gho|github_pat)[_-][A-Za-z0-9_-]{16,}"
    r"|AKIA[A-Z0-9]{12,}|xox[abprs]-[A-Za-z0-9-]{10,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|(?:org|acct|cus)[-_][A-Za-z0-9]{10,}"
    r")"
)
"""Patterns of keys, tokens and account ids, anywhere."""
SECRET_MEMBERS = re.compile(
    r"(?:x-)?(?:api[_-]?key|access[_-]?token|refresh[_-]?token|client[_-]?secret|authorization|password|secret|cookie"
    r"|account_?id|organi[sz]ation(?:_?id)?|org_?id|customer_?id|user_?id|billing_?id)",
    re.IGNORECASE,
)
"""JSON members that contain a credential or an account id."""
SECRET_QUERY = frozenset(["key", "api_key", "api-key", "apikey", "access_token", "token", "x-api-key"])
"""URL parameters that contain a credential, in any case."""
KEPT_HEADERS = re.compile(
    r"content-type|cache-control|retry-after(?:-ms)?|connection|allow|location|date|server"
    r"|x-should-retry|(?:x-[a-z0-9-]*)?request-id|x-accel-buffering|x-billing-token|x-emulator-error|x-generation-id"
    r"|(?:[a-z]+-)?ratelimit-[a-z0-9-]+|[a-z]+-(?:processing-ms|version|model)|x-ds-trace-id|server-timing",
    re.IGNORECASE,
)
"""The response headers that are kept; all others may identify an account."""
KEPT_REQUEST_HEADERS = re.compile(
    r"content-type|accept|user-agent|[a-z]+-(?:version|beta)|x-stainless-[a-z-]+", re.IGNORECASE
)
TIMEOUT = 1.0
"""The maximum seconds for one of the user's regexes in one text."""
Edit = tuple[int, int, bytes]
"""A range of bytes, and their replacement."""


@record
class Redaction:
    """What the user wants to redact, in addition to the built-in patterns."""

    names: tuple[str, ...] = ()
    """Names of JSON members and headers, in any case."""
    paths: tuple[str, ...] = ()
    """JSONPaths in bodies."""
    regexes: tuple[str, ...] = ()
    """Patterns in texts, even across chunks and events."""

    def checked(self) -> "Redaction":
        """Returns itself. Raises UsageError for an invalid path or regex."""
        from jsonpath.exceptions import JSONPathError

        for path in self.paths:
            try:
                compiled_path(path)
            except (JSONPathError, RecursionError):
                raise UsageError(f"'{path}' is not a JSONPath: write it like $.metadata.user") from None
        for regex in self.regexes:
            try:
                compiled(regex)
            except (re.error, OverflowError, RecursionError) as error:
                raise UsageError(f"'{regex}' is not a regular expression: {error}") from None
        return self

    @property
    def is_plain(self) -> bool:
        """Whether the user's lists are empty."""
        return not (self.names or self.paths or self.regexes)

    def to_dict(self) -> dict[str, list[str]]:
        """Returns the form in a rule, without empty lists."""
        rows = {"names": self.names, "paths": self.paths, "regexes": self.regexes}
        return {name: list(values) for name, values in rows.items() if values}


def spans(text: str, redaction: Redaction, key: str | None) -> list[tuple[int, int]]:
    """Returns the positions of secrets in a text, in order and without overlaps."""
    found = [match.span() for match in SECRET_TEXT.finditer(text)]
    if key and len(key) >= MIN_KEY:
        found += [match.span() for match in re.finditer(re.escape(key), text)]
    for regex in redaction.regexes:
        found += _found(regex, text)
    return _merged(found)


def _found(source: str, text: str) -> Iterator[tuple[int, int]]:
    """Yields the matches of one of the user's regexes. Raises TimeoutError if it takes too long."""
    for match in _own(source).finditer(text, timeout=TIMEOUT):
        if match.start() < match.end():
            yield match.span()


@cache
def _own(source: str) -> Any:
    import regex  # imported only if the user lists some

    return regex.compile(source)


def _merged(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def redacted_text(text: str, redaction: Redaction, key: str | None) -> str:
    """Returns a text without secrets."""
    for start, end in reversed(spans(text, redaction, key)):
        text = text[:start] + REDACTED + text[end:]
    return text


def redacted_json(value: Any, redaction: Redaction, key: str | None) -> Any:
    """Redacts JSON, in place if possible: by path, by the names of members, and in every text."""
    for path in redaction.paths:
        for node in compiled_path(path).finditer(value):
            if node.parent is None:
                return REDACTED
            node.parent.obj[node.parts[-1]] = REDACTED
    names = frozenset(name.lower() for name in redaction.names)
    return _cleaned(value, redaction, key, names)


def _cleaned(value: Any, redaction: Redaction, key: str | None, names: frozenset[str]) -> Any:
    if isinstance(value, str):
        return redacted_text(value, redaction, key)
    if isinstance(value, list):
        return [_cleaned(item, redaction, key, names) for item in value]
    if isinstance(value, dict):
        return {
            redacted_text(name, redaction, key): REDACTED
            if _is_secret(name, names) and isinstance(item, str | int | float) and not isinstance(item, bool)
            else _cleaned(item, redaction, key, names)
            for name, item in value.items()
        }
    return value


def _is_secret(name: str, names: frozenset[str]) -> bool:
    return name.lower() in names or SECRET_MEMBERS.fullmatch(name) is not None


def redacted_headers(
    headers: Sequence[tuple[str, str]], redaction: Redaction, key: str | None, kept: re.Pattern[str] = KEPT_HEADERS
) -> list[tuple[str, str]]:
    """Returns the headers that may be kept, redacted."""
    names = frozenset(name.lower() for name in redaction.names)
    return [
        (name, redacted_text(value, redaction, key))
        for name, value in headers
        if kept.fullmatch(name) and name.lower() not in names
    ]


def redacted_query(query: str, redaction: Redaction, key: str | None) -> str:
    """Returns a query without the parameters that contain a credential, and with the others redacted."""
    names = SECRET_QUERY | {name.lower() for name in redaction.names}
    parts = [part for part in query.split("&") if unquote_plus(part.partition("=")[0]).strip().lower() not in names]
    return redacted_text("&".join(parts), redaction, key)


def redacted_body(body: bytes, redaction: Redaction, key: str | None, shape: WireShape | None) -> list[Edit]:
    """Returns the edits to the body of a response, in order. With a `shape`, it is a stream of events, and their
    joined texts are also checked.
    """
    if shape is not None:
        return sorted(_stream_edits(body, redaction, key, shape))
    whole = _json_edit(body, redaction, key)
    return _text_edits(body, redaction, key) if whole is None else whole


def applied(segments: Sequence[bytes], edits: Sequence[Edit]) -> list[bytes]:
    """Applies edits of the joined segments: the replacement of a range stays in its first segment."""
    whole, borders, position = b"".join(segments), [], 0
    for segment in segments:
        position += len(segment)
        borders.append(position)
    made: list[bytes] = []
    pieces: list[bytes] = []
    at, waiting = 0, list(edits)
    for border in borders:
        while waiting and waiting[0][0] < border:
            start, end, new = waiting.pop(0)
            pieces += [whole[at:start], new]
            at = end
        if border > at:
            pieces.append(whole[at:border])
            at = border
        made.append(b"".join(pieces))
        pieces = []
    return made


def _json_edit(body: bytes, redaction: Redaction, key: str | None) -> list[Edit] | None:
    """Returns an edit of the whole body if it is JSON with a secret; None if it isn't JSON."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    before = orjson.dumps(value)
    after = orjson.dumps(redacted_json(value, redaction, key))
    if before == after:
        return []
    changes = _text_edits(body, redaction, key)  # minimal edits keep the format of the rest
    if changes:
        least = applied([body], changes)[0]
        try:
            if orjson.dumps(orjson.loads(least)) == after:
                return changes
        except orjson.JSONDecodeError:
            pass
    return [(0, len(body), after)]


def _text_edits(body: bytes, redaction: Redaction, key: str | None) -> list[Edit]:
    text = body.decode("utf-8", "surrogateescape")
    edits = []
    for start, end in spans(text, redaction, key):
        low = len(text[:start].encode("utf-8", "surrogateescape"))
        edits.append((low, low + len(text[start:end].encode("utf-8", "surrogateescape")), REDACTED.encode()))
    return edits


def _stream_edits(body: bytes, redaction: Redaction, key: str | None, shape: WireShape) -> list[Edit]:
    """Returns an edit for each event that contains a secret or a part of one."""
    frames: list[tuple[int, bytes, Event | None]] = []
    position = 0
    for number, part in enumerate(shape.split(body)):
        if number % 2 == 0 and part:
            frames.append((position, part, shape.read_frame(part)))
        position += len(part)
    natives = [event.native for _, _, event in frames if event is not None]
    if not natives and (whole := _list_edit(body, redaction, key)) is not None:
        return whole
    before = [orjson.dumps(native) for native in natives]
    _blank_split_secrets(natives, redaction, key)
    clean = iter([redacted_json(native, redaction, key) for native in natives])
    unchanged = iter(before)
    edits: list[Edit] = []
    for start, sent, event in frames:
        if event is None:
            edits += [(start + low, start + high, new) for low, high, new in _text_edits(sent, redaction, key)]
            continue
        native = next(clean)
        if orjson.dumps(native) != next(unchanged):
            edits.append((start, start + len(sent), shape.frame(native, event.name).rstrip(b"\r\n")))
    return edits


def _list_edit(body: bytes, redaction: Redaction, key: str | None) -> list[Edit] | None:
    """Parses a stream that is one JSON list; None if it isn't."""
    try:
        natives = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    before = orjson.dumps(natives)
    if isinstance(natives, list):
        _blank_split_secrets(natives, redaction, key)
    after = orjson.dumps(redacted_json(natives, redaction, key))
    return [] if before == after else [(0, len(body), after)]


def _blank_split_secrets(natives: Sequence[Any], redaction: Redaction, key: str | None) -> None:
    """Replaces secrets that are split over several events with asterisks, in place."""
    texts: dict[tuple[str | int, ...], list[tuple[Any, str | int]]] = {}
    for native in natives:
        for path, holder, name in _leaves(native, ()):
            texts.setdefault(path, []).append((holder, name))
    for pieces in texts.values():
        if len(pieces) < 2:
            continue
        whole = "".join(holder[name] for holder, name in pieces)
        for start, end in spans(whole, redaction, key):
            _blank(pieces, start, end)


def _blank(pieces: list[tuple[Any, str | int]], start: int, end: int) -> None:
    position, parts = 0, []
    for holder, name in pieces:
        text: str = holder[name]
        low, high = max(start - position, 0), min(end - position, len(text))
        if low < high:
            parts.append((holder, name, text, low, high))
        position += len(text)
    if len(parts) > 1:  # a secret within one event gets its usual replacement
        for holder, name, text, low, high in parts:
            holder[name] = text[:low] + "*" * (high - low) + text[high:]


def _leaves(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any, str | int]]:
    """Yields every text in JSON: its path, its container, and its key there."""
    pairs: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, dict):
        pairs = iter(value.items())
    elif isinstance(value, list):
        pairs = iter(enumerate(value))
    for name, item in pairs:
        if isinstance(item, str):
            yield (*path, name), value, name
        else:
            yield from _leaves(item, (*path, name))


def redaction_of(value: Mapping[str, Sequence[str]]) -> Redaction:
    """Restores the result of `Redaction.to_dict`."""
    return Redaction(*(tuple(value.get(name, ())) for name in ("names", "paths", "regexes")))
