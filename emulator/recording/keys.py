"""The digest of a request's redacted form, by which the recorder and the matcher identify it."""

from hashlib import blake2b
from typing import Any

import orjson

from emulator.recording.redaction import Redaction, redacted_json, redacted_query, redacted_text
from emulator.request import HttpRequest

LENGTH = 16
"""The bytes of a digest."""
MAX_DEPTH = 250
"""The levels of JSON that are kept: orjson writes few more, and calls can't nest much deeper."""


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
    """Returns the body of a request without secrets: JSON, or its text. If it nests too deeply, a digest of it."""
    data = http_request.body
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return redacted_text(data.decode("utf-8", "surrogateescape"), redaction, http_request.key)
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _is_deep(value):
        return f"[nested more than {MAX_DEPTH} levels: {blake2b(data, digest_size=LENGTH).hexdigest()}]"
    return redacted_json(value, redaction, http_request.key)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _canonical(value: Any) -> bytes:
    return b"json " + orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
