"""The hot path: most frames of most streams are sent here, one at a time."""

import asyncio
from array import array
from collections.abc import Sequence

from emulator.clock import Alarm, Clock
from emulator.wire import MAX_MOMENTS, FrameRun


class _Lines(dict[int, bytes]):
    """The first lines of chunks, by their size."""

    def __missing__(self, size: int) -> bytes:
        line = b"%x\r\n" % size
        if size < MAX_KEPT:
            self[size] = line
        return line


MAX_KEPT = 4096
_lines = _Lines()
_join = b"".join


class FramePlayer(Alarm):
    """The next frame of a run, with its deadline. What a token needs is close together in one object: with a thousand
    streams, whatever is elsewhere costs the processor one more fetch from memory.
    """

    __slots__ = (
        "after",
        "at",
        "before",
        "clock",
        "index",
        "is_held",
        "offset",
        "pieces",
        "sent",
        "start",
        "transport",
        "usual",
        "width",
    )

    def __init__(self, transport: asyncio.Transport, start: float, clock: Clock) -> None:
        super().__init__(start)
        self.transport, self.start, self.clock = transport, start, clock
        self.is_held = False
        """Whether the client reads too slowly; `wake` is called when it can take more."""
        self.at: Sequence[float] = ()
        self.index = 0
        """The number of the next frame."""
        self.sent = array("d")
        self.offset = 0
        """Its number in its run."""
        self.usual = 0
        """The number of frames of the run that may be sent here. The last one is not among them."""
        self.before = self.after = b""
        self.pieces: Sequence[bytes] = ()
        self.width = 0

    def enter(self, run: FrameRun | None) -> None:
        """Begins a run. None: what is sent next is not sent in chunks."""
        if run is None or run.first is not None or not run.before:
            self.usual = 0
            return
        self.usual = min(len(run.pieces) - 1, MAX_MOMENTS - len(self.sent))
        self.before, self.after, self.pieces = run.before, run.after + b"\r\n", run.pieces
        self.width = len(run.before) + len(run.after)

    def go_off(self) -> float | None:
        """Sends the frame that is due, if it is a usual one and the next one is not due as well."""
        offset = self.offset
        if offset < self.usual and not self.is_held and not self.transport.is_closing():
            index = self.index + 1
            due = self.start + self.at[index]
            now = self.clock.now()
            if now < due:
                piece = self.pieces[offset]
                self.transport.write(_join((_lines[self.width + len(piece)], self.before, piece, self.after)))
                self.sent.append(now)
                self.index, self.offset = index, offset + 1
                return due
        self.go_on()
        return None

    def go_on(self) -> None:
        """Does whatever is due."""
        raise NotImplementedError
