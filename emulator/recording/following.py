"""Parses a relayed response: its head, its segments and its end."""

from dataclasses import field
from typing import Any

import h11

from emulator.recording.tape import BODILESS, MAX_HEAD, Tape
from emulator.recording.wire_file import Segment, WireEnd, WireFraming
from emulator.records import struct


@struct
class Followed:
    """A response as it arrived."""

    status: int = 0
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    framing: WireFraming = "raw"
    segments: list[Segment] = field(default_factory=list)
    trailers: tuple[tuple[str, str], ...] = ()
    head_at: float = 0.0
    ended: WireEnd = "complete"
    ended_at: float = 0.0
    is_readable: bool = True
    """Whether it was valid HTTP."""
    is_too_long: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it is complete and well-formed."""
        return self.ended == "complete" and self.is_readable and not self.is_too_long


def followed(tape: Tape) -> Followed:
    """Parses a whole response."""
    if tape.is_too_long:
        return Followed(is_too_long=True, ended_at=tape.ended_at)
    follower = Follower(tape.method)
    for data, at in zip(tape.pieces, tape.moments, strict=True):
        follower.feed(data, at)
    follower.end(tape.ended_at, is_reset=tape.is_reset, is_cut=tape.has_left)
    return follower.followed


class Follower:
    """Parses one response, piece by piece."""

    def __init__(self, method: str) -> None:
        self.followed = Followed()
        self.is_over = False
        """Whether the response is complete."""
        self._method = method
        self._connection: Any = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._connection.send(h11.Request(method=method, target="/", headers=[("host", "upstream")]))
        self._connection.send(h11.EndOfMessage())
        self._raw: list[Segment] = []
        self._chunk: list[bytes] = []
        self._has_head = False

    def feed(self, data: bytes, at: float) -> None:
        """Parses bytes that arrived at this time."""
        if self.is_over:
            return  # nothing is expected after a complete response
        self._raw.append(Segment(at, data))
        if self.followed.is_readable:
            self._read(data, at)

    def end(self, at: float, *, is_reset: bool = False, is_cut: bool = False) -> None:
        """Handles the end of the upstream's side of the connection. `is_cut`: because its client had left."""
        if self.is_over:
            return
        if not is_reset and not is_cut and self.followed.is_readable and self._raw:
            self._read(b"", at)  # may be the regular end of a body without a length
        if not self.is_over:
            self._finish(at, "reset" if is_reset else "closed")

    def _finish(self, at: float, ended: WireEnd) -> None:
        followed = self.followed
        if self._chunk:
            followed.segments.append(Segment(at, b"".join(self._chunk)))
            self._chunk.clear()
        self.is_over = True
        followed.ended, followed.ended_at = ended, at
        if not self._has_head or not followed.is_readable:
            followed.is_readable, followed.framing, followed.segments = False, "raw", self._raw
        self._raw = []

    def _read(self, data: bytes, at: float) -> None:
        try:
            self._connection.receive_data(data)
            while True:
                event = self._connection.next_event()
                if event in (h11.NEED_DATA, h11.PAUSED):
                    return
                self._take(event, at)
                if self.is_over or isinstance(event, h11.ConnectionClosed):
                    return
        except h11.ProtocolError:
            if data or not self._has_head:
                self.followed.is_readable = False

    def _take(self, event: Any, at: float) -> None:
        followed = self.followed
        if isinstance(event, h11.Response):
            self._has_head = True
            followed.status, followed.reason = event.status_code, event.reason.decode("latin-1")
            followed.headers = _texts(event.headers.raw_items())
            followed.head_at = at
            followed.framing = self._framing(event)
        elif isinstance(event, h11.Data):
            self._take_data(event, at)
        elif isinstance(event, h11.EndOfMessage):
            followed.trailers = _texts(event.headers.raw_items())
            self._finish(at, "complete")

    def _take_data(self, event: Any, at: float) -> None:
        data = bytes(event.data)
        if self.followed.framing != "chunks":
            self.followed.segments.append(Segment(at, data))
            return
        self._chunk.append(data)
        if event.chunk_end:
            self.followed.segments.append(Segment(at, b"".join(self._chunk)))
            self._chunk.clear()

    def _framing(self, head: Any) -> WireFraming:
        if self._method == "HEAD" or head.status_code in BODILESS:
            return "none"
        names = {name.lower(): value.lower() for name, value in head.headers}
        if b"chunked" in names.get(b"transfer-encoding", b""):
            return "chunks"
        return "length" if b"content-length" in names else "close"


def _texts(headers: Any) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
