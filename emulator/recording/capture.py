"""Redacts exchanges: from the bytes on the wire to what may be written."""

from dataclasses import replace

from emulator.providers import shape_of
from emulator.recording.following import Followed
from emulator.recording.keys import redacted_request_body
from emulator.recording.redaction import (
    KEPT_REQUEST_HEADERS,
    KEPT_TRAILERS,
    Redaction,
    applied,
    redacted_body,
    redacted_headers,
    redacted_query,
    redacted_text,
)
from emulator.recording.wire_file import Segment, WireRecord
from emulator.request import HttpRequest


def captured(http_request: HttpRequest, followed: Followed, upstream: str, recorded: str) -> WireRecord:
    """An exchange as it was, including secrets."""
    return WireRecord(
        status=followed.status,
        reason=followed.reason,
        headers=followed.headers,
        framing=followed.framing,
        segments=tuple(followed.segments),
        head_at=followed.head_at,
        ended=followed.ended,
        ended_at=followed.ended_at,
        trailers=followed.trailers,
        provider=http_request.provider,
        operation=http_request.operation,
        dialect=http_request.dialect,
        upstream=upstream,
        recorded=recorded,
    )


def cleaned(wire: WireRecord, http_request: HttpRequest, redaction: Redaction) -> WireRecord:
    """Returns the redacted exchange. Raises if redaction can't be guaranteed."""
    key = http_request.key
    shape = shape_of(wire.provider, wire.dialect) if wire.is_stream else None
    segments = [segment.data for segment in wire.segments]
    edits = redacted_body(b"".join(segments), redaction, key, shape)
    data = applied(segments, edits) if edits else segments
    return replace(
        wire,
        segments=tuple(Segment(old.at, new) for old, new in zip(wire.segments, data, strict=True) if new),
        headers=tuple(redacted_headers(wire.headers, redaction, key)),
        trailers=tuple(redacted_headers(wire.trailers, redaction, key, KEPT_TRAILERS)),
        reason=redacted_text(wire.reason, redaction, key),
        request={
            "method": http_request.method,
            "path": redacted_text(http_request.path, redaction, key),
            "query": redacted_query(http_request.query, redaction, key),
            "headers": redacted_headers(list(http_request.headers.items()), redaction, key, KEPT_REQUEST_HEADERS),
            "body": redacted_request_body(http_request, redaction),
        },
    )
