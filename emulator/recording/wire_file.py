"""The file next to a recorded rule: one exchange as it was on the wire, in segments with their times.

Its first line is a JSON object, and each following line is one segment: `[seconds, "text"]`, or `[seconds, {"base64":
…}]` for anything but text. Every value in it is redacted."""

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
"""How the body is framed; `raw`: the response was not valid HTTP, and the segments are all of its bytes."""
WireEnd = Literal["complete", "closed", "reset"]
"""How the answer ended."""


@record
class Segment:
    """Bytes of the body that arrived together: one chunk, or one read."""

    at: float
    """Seconds since the request."""
    data: bytes


@record
class WireRecord:
    """One exchange."""

    status: int
    headers: tuple[tuple[str, str], ...]
    framing: WireFraming
    segments: tuple[Segment, ...]
    head_at: float = 0.0
    """When the head arrived."""
    ended: WireEnd = "complete"
    ended_at: float = 0.0
    reason: str = ""
    """The reason phrase on the status line."""
    trailers: tuple[tuple[str, str], ...] = ()
    provider: str = ""
    operation: str = ""
    dialect: str = ""
    upstream: str = ""
    recorded: str = ""
    """The time of recording in ISO 8601."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """Method, path, query, headers and body."""
    said: str = ""
    """The digest of the reply next to it in the rule; if that has been edited, the rule's reply is used instead."""

    @property
    def body(self) -> bytes:
        return b"".join(segment.data for segment in self.segments)

    @property
    def is_stream(self) -> bool:
        """Whether it is a stream of events."""
        return any("event-stream" in value for name, value in self.headers if name.lower() == "content-type")


class WireFileError(ValueError):
    """The file is not a wire file; the message says why."""


def written(wire: WireRecord) -> bytes:
    """Encodes a record for its file."""
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
    """Reads the record in a file. Raises WireFileError or OSError."""
    try:
        return parsed(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError:
        raise WireFileError("it is not UTF-8") from None


def parsed(text: str) -> WireRecord:
    """Parses the text of a file. Raises WireFileError."""
    lines = text.split("\n")
    try:
        head = json.loads(lines[0])
        if head["version"] != VERSION:
            raise WireFileError(f"its version is {head['version']}; expected {VERSION}")
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
        raise WireFileError("it is not a complete wire file") from None


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
