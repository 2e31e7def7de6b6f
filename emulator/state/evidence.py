"""What a verdict needs to know about an exchange beyond its usual record."""

import secrets
from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from emulator.clock import unix_time
from emulator.dialects.parameters import undeclared_in
from emulator.providers import shape_of
from emulator.request import HttpRequest
from emulator.state.connections import body_digest
from emulator.state.redaction import MIN_KEY, query_of, redacted_body

if TYPE_CHECKING:
    from emulator.state.exchanges import Exchange

_salts = [secrets.token_bytes(16)]
"""New for each process, so that keys in a saved journal can't be found by trying likely ones."""


def salt() -> bytes:
    """Returns the salt for digests of keys in this process."""
    return _salts[0]


def set_salt(salt: bytes) -> None:
    """Uses the salt of other processes whose exchanges are in the same journal."""
    _salts[0] = salt


def key_id(key: str | None) -> str | None:
    """Returns a digest that distinguishes keys without revealing them; None if there is no key."""
    if not key:
        return None
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, salt=salt()).hexdigest()


def leaks(http_request: HttpRequest) -> Iterator[str]:
    """Yields the parts of a request (`url`, `body`) with a credential that belongs in a header."""
    key = http_request.key
    path = http_request.sent_path or http_request.path
    shape = shape_of(http_request.provider, http_request.dialect)
    may_be_there = shape is not None and shape.takes_key_in_url
    named = not may_be_there and query_of(http_request.query, key) != http_request.query
    if named or (key and len(key) >= MIN_KEY and key in path):
        yield "url"
    body = http_request.body
    own = bool(key and len(key) >= MIN_KEY and key.encode("utf-8", "surrogatepass") in body)
    if own or redacted_body(body, only_members=True) != body:
        yield "body"


def undeclared(exchange: "Exchange") -> list[str]:
    """Returns the members of the body that the provider does not document for this endpoint."""
    http_request = exchange._http_request
    shape = shape_of(http_request.provider, http_request.dialect)
    model = getattr(shape, "Body", None)
    body = exchange.request.json if model is not None else None
    return list(undeclared_in(model, body)) if model is not None and isinstance(body, dict) else []


def evidence_of(exchange: "Exchange") -> dict[str, Any]:
    """Returns plain data without credentials. `arrived` is real Unix time, whatever the namespace's clock says;
    other times are in seconds since the request.
    """
    http_request, playback = exchange._http_request, exchange.so_far()
    ended_at = None
    if exchange.playback is not None:
        ended_at = exchange.playback.ended_at or exchange.playback.last_sent
    return {
        "dialect": http_request.dialect,
        "key_id": key_id(http_request.key),
        "leaks": list(leaks(http_request)),
        "undeclared": undeclared(exchange),
        "arrived": exchange.arrived,
        "age": unix_time() - exchange.arrived,
        "ended_at": None if ended_at is None else ended_at - exchange.started,
        "is_over": playback is not None and exchange.playback is not None,
        "body_digest": body_digest(http_request.body) if exchange.body_size == len(http_request.body) else None,
        "acknowledged_after": exchange.acknowledged_after,
        "socket": None if exchange.socket is None else exchange.socket.to_dict(),
    }
