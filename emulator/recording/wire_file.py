"""The file beside a recorded rule: one exchange as it went over the wire, in its segments and with their moments.

Its first line is a JSON object, each line after it one segment: `[seconds, "text"]`, or `[seconds, {"base64": …}]` for
what is no text. Every value in it is redacted."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from emulator.records import record

VERSION = 1
FOLDER = "wire"
SUFFIX = ".wire"
WireFraming = Literal["chunks", "length", "close", "none", "raw"]
"""How the body is framed; `raw`: what came was no HTTP that can be read, and the segments are all of it."""
WireEnd = Literal["complete", "closed", "reset"]
"""How the answer ended."""


@record
class Segment:
    """Bytes of the body that came together: one chunk, or one read."""

    at: float
    """Seconds from the request."""
    data: bytes


@record
class WireRecord:
    """One exchange."""

    status: int
    headers: tuple[tuple[str, str], ...]
    framing: WireFraming
    segments: tuple[Segment, ...]
    head_at: float = 0.0
    """When the head came."""
    ended: WireEnd = "complete"
    ended_at: float = 0.0
    reason: str = ""
    """The phrase on the status line."""
    trailers: tuple[tuple[str, str], ...] = ()
    provider: str = ""
    operation: str = ""
    dialect: str = ""
    upstream: str = ""
    recorded: str = ""
    """When, as in ISO 8601."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """Method, path, query, headers and body."""
    said: str = ""
    """The digest of the reply that stands beside it in the rule; when that was edited, the rule answers by itself."""

    @property
    def body(self) -> bytes:
        return b"".join(segment.data for segment in self.segments)

    @property
    def is_stream(self) -> bool:
        """Whether it is a stream of events."""
        return any("event-stream" in value for name, value in self.headers if name.lower() == "content-type")


class WireFileError(ValueError):
    """This is no wire file; the message says why."""


def written(wire: WireRecord) -> bytes:
    """A record as the bytes of its file."""
    head = {
        "version": VERSION,
        "provider": wire.provider,
        "operation": wire.operation,
        "dialect": wire.dialect,
        "upstream": wire.upstream,
        "recorded": wire.recorded,
        "said": wire.said,
        "request": dict(wire.request),
        "response": {
            "status": wire.status,
            "reason": wire.reason,
            "headers": [list(header) for header in wire.headers],
            "trailers": [list(header) for header in wire.trailers],
            "framing": wire.framing,
            "at": round(wire.head_at, 6),
        },
        "ended": {"how": wire.ended, "at": round(wire.ended_at, 6)},
        "segments": len(wire.segments),
    }
    lines = [_dumped(head), *(_dumped([round(each.at, 6), _packed(each.data)]) for each in wire.segments)]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def read(path: Path) -> WireRecord:
    """The record in a file. Raises WireFileError, OSError."""
    try:
        return parsed(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError:
        raise WireFileError("it is not UTF-8") from None


def parsed(text: str) -> WireRecord:
    """The record in the text of a file. Raises WireFileError."""
    lines = text.split("\n")
    try:
        head = json.loads(lines[0])
        if head["version"] != VERSION:
            raise WireFileError(f"its version is {head['version']}, {VERSION} was expected")
        segments = tuple(_segments(lines[1:]))
        if len(segments) != head["segments"]:
            raise WireFileError(f"it has {len(segments)} segments of {head['segments']}: the rest is missing")
        response, ended = head["response"], head["ended"]
        return WireRecord(
            status=int(response["status"]),
            headers=_pairs(response["headers"]),
            framing=response["framing"],
            segments=segments,
            head_at=float(response["at"]),
            ended=ended["how"],
            ended_at=float(ended["at"]),
            reason=response.get("reason", ""),
            trailers=_pairs(response.get("trailers", ())),
            provider=head.get("provider", ""),
            operation=head.get("operation", ""),
            dialect=head.get("dialect", ""),
            upstream=head.get("upstream", ""),
            recorded=head.get("recorded", ""),
            request=head.get("request", {}),
            said=head.get("said", ""),
        )
    except WireFileError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise WireFileError("it is no wire file, or not all of one") from None


def _segments(lines: Sequence[str]) -> Iterator[Segment]:
    for line in lines:
        if line:
            at, packed = json.loads(line)
            yield Segment(float(at), packed.encode() if isinstance(packed, str) else b64decode(packed["base64"]))


def _pairs(rows: Any) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(value)) for name, value in rows)


def _packed(data: bytes) -> Any:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
