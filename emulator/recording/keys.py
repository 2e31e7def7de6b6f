"""The digest of a request's redacted form, by which the recorder and the matcher identify it."""

from hashlib import blake2b
from typing import Any

import orjson

from emulator.recording.redaction import Redaction, redacted_json, redacted_query, redacted_text
from emulator.request import HttpRequest

LENGTH = 16
"""The bytes of a digest."""


def digest_of(http_request: HttpRequest, redaction: Redaction) -> str:
    """Returns the digest of a request: of its provider, method, path, query and body, without secrets. The order of
    members and the whitespace of a JSON body, the headers and the key don't matter.
    """
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
    """Returns the body of a request without secrets: JSON, or its text."""
    try:
        return redacted_json(orjson.loads(http_request.body), redaction, http_request.key)
    except orjson.JSONDecodeError:
        return redacted_text(http_request.body.decode("utf-8", "surrogateescape"), redaction, http_request.key)


def _canonical(value: Any) -> bytes:
    try:
        return b"json " + orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # nested too deeply for orjson, or a number that is too large
        return b"repr " + repr(value).encode("utf-8", "surrogateescape")
