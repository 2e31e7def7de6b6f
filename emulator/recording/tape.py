"""Keeps a response as it is relayed, and detects its end, but does no other work while the next request may wait."""

import re
from array import array
from dataclasses import field
from typing import Any, Literal

import h11

from emulator.records import struct

MAX_HEAD = 2**20
MAX_KEPT = 64 * 2**20
"""The maximum bytes of a response; a longer one is not recorded."""
MAX_LINE = 65536
BODILESS = (204, 304)
HEAD_END = re.compile(rb"\n\r?\n")
SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;.*)?\r?", re.DOTALL)


class EndFinder:
    """Finds the end of a response in its bytes. Anything but HTTP ends with its connection."""

    def __init__(self, method: str) -> None:
        self.status = 0
        self.is_over = False
        """Whether the response is complete."""
        self.keeps_alive = False
        """Whether the connection can take another request."""
        self.ends_by_closing = False
        """Whether the end of the connection is the regular end of the response."""
        self._state: Literal["head", "length", "chunks", "trailers", "rest"] = "head"
        self._has_body = method != "HEAD"
        self._pending = b""
        """The beginning of an incomplete head or line."""
        self._left = 0
        self._connection: Any = None
        self._method = method

    def feed(self, data: bytes) -> None:
        """Handles the next bytes of the response."""
        if self._state == "head":
            data = self._read_head(self._pending + data)
        if self._state == "length":
            self._left -= len(data)
            self.is_over = self._left <= 0
        elif self._state in ("chunks", "trailers") and data:
            self._read_chunks(data)

    def _read_head(self, data: bytes) -> bytes:
        """Handles the complete head, and returns what follows it."""
        while (found := HEAD_END.search(data)) is not None:
            head, data = data[: found.end()], data[found.end() :]
            try:
                response = self._parsed(head)
            except h11.ProtocolError:
                break
            if isinstance(response, h11.Response):
                self._begin_body(response)
                return data
        else:
            self._pending = data
            if len(data) <= MAX_HEAD:
                return b""
        self._state = "rest"
        return b""

    def _parsed(self, head: bytes) -> Any:
        if self._connection is None:
            self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
            self._connection.send(h11.Request(method=self._method, target="/", headers=[("host", "upstream")]))
            self._connection.send(h11.EndOfMessage())
        self._connection.receive_data(head)
        return self._connection.next_event()

    def _begin_body(self, head: Any) -> None:
        names = {name: value.lower() for name, value in head.headers}
        self.status, self._pending, self._connection = head.status_code, b"", None
        self.keeps_alive = head.http_version == b"1.1" and b"close" not in names.get(b"connection", b"")
        if not self._has_body or self.status in BODILESS:
            self._state, self.is_over = "length", True
        elif b"chunked" in names.get(b"transfer-encoding", b""):
            self._state = "chunks"
        elif b"content-length" in names:
            self._state, self._left = "length", int(names[b"content-length"])
        else:
            self._state, self.ends_by_closing, self.keeps_alive = "rest", True, False

    def _read_chunks(self, data: bytes) -> None:
        position, size = 0, len(data)
        while position < size:
            if self._left:
                step = min(self._left, size - position)
                self._left -= step
                position += step
                continue
            end = data.find(b"\n", position)
            if end < 0:
                self._pending += data[position:]
                if len(self._pending) > MAX_LINE:
                    self._state = "rest"
                return
            line, self._pending, position = self._pending + data[position:end], b"", end + 1
            if not self._take_line(line):
                return

    def _take_line(self, line: bytes) -> bool:
        """Handles a line between chunks. Returns whether more is expected."""
        if self._state == "trailers":
            self.is_over = line in (b"", b"\r")
            return not self.is_over
        found = SIZE.fullmatch(line)
        if found is None:
            self._state = "rest"
            return False
        length = int(found[1], 16)
        if length:
            self._left = length + 2  # and its line end
        else:
            self._state = "trailers"
        return True


@struct
class Tape:
    """A response as it arrived: every piece with its time, and the ending. Pieces and times are in separate lists,
    which Python's garbage collector can skip.
    """

    method: str
    pieces: list[bytes] = field(default_factory=list)
    moments: "array[float]" = field(default_factory=lambda: array("d"))
    size: int = 0
    ended_at: float = 0.0
    is_reset: bool = False
    """Whether the upstream reset the connection."""
    has_left: bool = False
    """Whether the client left before it was complete."""
    is_too_long: bool = False

    def add(self, data: bytes, at: float) -> None:
        """Adds bytes that arrived at this time."""
        self.size += len(data)
        self.ended_at = at
        if self.size > MAX_KEPT:
            self.is_too_long = True
            self.pieces.clear()
            del self.moments[:]
        else:
            self.pieces.append(data)
            self.moments.append(at)
