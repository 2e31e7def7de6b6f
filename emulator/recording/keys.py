"""What makes a request the same as a recorded one: a digest of its redacted form, for recorder and matcher alike."""

from hashlib import blake2b
from typing import Any

import orjson

from emulator.recording.redaction import Redaction, redacted_json, redacted_query, redacted_text
from emulator.request import HttpRequest

LENGTH = 16
"""Bytes of a digest."""


def digest_of(http_request: HttpRequest, redaction: Redaction) -> str:
    """What tells a request apart from others: provider, method, path, query and body, each without secrets. The order
    of a JSON body's members and its blanks do not matter; headers and the key don't either."""
    key = http_request.key
    parts = (
        http_request.provider,
        http_request.method,
        redacted_text(http_request.path, redaction, key),
        redacted_query(http_request.query, redaction, key),
    )
    body = redacted_request_body(http_request, redaction)
    form = body.encode("utf-8", "surrogateescape") if isinstance(body, str) else _canonical(body)
    return blake2b("\0".join(parts).encode("utf-8", "surrogateescape") + b"\0" + form, digest_size=LENGTH).hexdigest()


def redacted_request_body(http_request: HttpRequest, redaction: Redaction) -> Any:
    """The body of a request without secrets: JSON, or its text."""
    try:
        return redacted_json(orjson.loads(http_request.body), redaction, http_request.key)
    except orjson.JSONDecodeError:
        return redacted_text(http_request.body.decode("utf-8", "surrogateescape"), redaction, http_request.key)


def _canonical(value: Any) -> bytes:
    try:
        return b"json " + orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # nested too deep for orjson, or a number that is too large
        return b"repr " + repr(value).encode("utf-8", "surrogateescape")
