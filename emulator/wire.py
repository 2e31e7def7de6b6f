"""An answer on its way, as data: what is sent, in which pieces and when. No sockets and no clocks here.

A dialect renders a `PlannedBody`: the head and the runs of a healthy answer, which playback sends as they are. A fault
works on the same answer spelled out as a list of `Step`s (`PlannedBody.steps`), and may put anything in it.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Literal

from emulator.records import record

Header = tuple[bytes, bytes]
Part = Literal[
    "body",
    "role",
    "frame",
    "reasoning",
    "content",
    "tool_calls",
    "finish",
    "usage",
    "done",
    "ping",
    "comment",
    "piece",
    "packed",
]
"""What a frame means. `role` opens the stream, `frame` begins or ends a block of it, `ping` is an event that says
nothing. Faults make two more kinds: `piece`, bytes whose event ends in a later frame, and `packed`, what counts as an
event and is none that could be read: the last piece of one, several together, or a compressed one."""
NOTHING_ELSE: frozenset[Part] = frozenset()
Framing = Literal["chunks", "length", "close", "none"]
"""How the client learns where a body ends: chunks, a Content-Length, the end of the connection; or there is no body."""


@record
class FrameRun:
    """Frames that differ only in their middle: frame k is `before + pieces[k] + after`.

    A stream of 200 tokens is one run over pieces that were cut and escaped once for all requests. `tokens[k]` is how
    many tokens frame k delivers: the pace counts them; a frame of 0 travels together with its neighbour."""

    part: Part
    before: bytes
    pieces: Sequence[bytes]
    after: bytes
    tokens: Sequence[int]
    also: frozenset[Part] = NOTHING_ELSE
    """What else each frame means: one event may bring the finish reason, the usage and the end."""
    first: int | None = None
    """The number of the first frame, for streams whose events are counted: frame k is
    `before + str(first + k) + middle + pieces[k] + after`."""
    middle: bytes = b""
    """What stands between the number and the piece."""

    def frames(self) -> Iterator[bytes]:
        if self.first is not None:
            for number, piece in enumerate(self.pieces, self.first):
                yield b"%b%d%b%b%b" % (self.before, number, self.middle, piece, self.after)
            return
        for piece in self.pieces:
            yield self.before + piece + self.after

    def joined(self) -> bytes:
        """All frames in one piece, in one pass over memory."""
        if not self.pieces:
            return b""
        if self.first is not None:
            number = len(self.pieces)
            parts = [self.after + self.before] * (4 * number)
            parts[0] = self.before
            parts[1::4] = _numbers(self.first, number)
            parts[2::4] = [self.middle] * number
            parts[3::4] = self.pieces
            return b"".join((*parts, self.after))
        return self.before + (self.after + self.before).join(self.pieces) + self.after


@lru_cache(maxsize=64)
def _numbers(first: int, count: int) -> tuple[bytes, ...]:
    """So many numbers in digits."""
    return tuple([b"%d" % number for number in range(first, first + count)])


def single(part: Part, frame: bytes, tokens: int = 0, also: frozenset[Part] = NOTHING_ELSE) -> FrameRun:
    """A run of one frame."""
    return FrameRun(part, b"", (frame,), b"", (tokens,), also)


@record
class Head:
    """The status line and the headers."""

    status: int
    headers: tuple[Header, ...]
    at: float = 0.0
    framing: Framing | None = None
    """How the body is framed; None: as the headers and HTTP demand."""
    over: float = 0.0
    """Seconds over which it dribbles out, byte by byte."""


@record
class Data:
    """Bytes of the body, framed as HTTP demands (one chunk, or as they are under a Content-Length)."""

    data: bytes
    part: Part = "body"
    tokens: int = 0
    at: float = 0.0
    gap: float = 0.0
    """At least so many seconds after the bytes before it, also when those were late: a segment of its own."""
    also: frozenset[Part] = NOTHING_ELSE
    """What else it means beside `part`."""

    def means(self, *parts: Part) -> bool:
        """Whether it has any of these meanings."""
        return self.part in parts or not self.also.isdisjoint(parts)


@record
class Raw:
    """Bytes past the HTTP layer, exactly as they are: anything, also before the head."""

    data: bytes
    at: float = 0.0


@record
class End:
    """The body ends as HTTP demands; the connection stays open for the next request."""

    at: float = 0.0
    trailers: tuple[Header, ...] = ()
    """What follows the last chunk."""


@record
class Close:
    """The connection is closed with FIN, whatever the body still owes."""

    at: float = 0.0


@record
class Reset:
    """The connection is reset: a real RST, unsent bytes are dropped."""

    at: float = 0.0


@record
class Hang:
    """Nothing more is sent and nothing closed, until the client leaves."""

    at: float = 0.0


@record
class Afterwards:
    """How the connection behaves once this answer is over. Sends nothing itself."""

    next: Literal["answer", "close", "reset"] = "answer"
    """What the next request gets: an answer, or FIN or RST without a byte."""
    idle: float | None = None
    """Seconds without a request after which the connection is closed; also one that was to be closed at once."""
    at: float = 0.0


@record
class Refuse:
    """The server stops listening for so many seconds of real time: new connections are refused, idle ones closed."""

    seconds: float
    at: float = 0.0


@record
class ResetAccepts:
    """So many of the connections that come next are reset as soon as they are accepted, within so many seconds of
    real time."""

    count: int
    seconds: float
    at: float = 0.0


Handshake = Literal["expired", "wrong_host", "unknown_ca", "refuse", "reset"]
"""What may go wrong with a TLS handshake on purpose: with the certificate, or the handshake as a whole."""


@record
class BreakHandshakes:
    """So many of the TLS handshakes that come next go wrong, within so many seconds of real time."""

    how: Handshake
    count: int
    seconds: float
    at: float = 0.0


Step = Head | Data | Raw | End | Close | Reset | Hang | Afterwards | Refuse | ResetAccepts | BreakHandshakes


@record
class PlannedBody:
    """A healthy answer: head, then runs. `at` holds the due moment of every frame in turn, in seconds from the start,
    never falling; empty means that all is due at once."""

    status: int
    headers: tuple[Header, ...]
    runs: tuple[FrameRun, ...]
    streamed: bool
    at: Sequence[float] = field(default=())
    exact: "Sequence[Step]" = ()
    """The steps of an answer that is given as it was recorded; empty: they are made of the runs."""

    def body(self) -> bytes:
        """Everything that follows the head."""
        if len(self.runs) == 1:
            return self.runs[0].joined()
        return b"".join([run.joined() for run in self.runs])

    def frames(self) -> Iterator[bytes]:
        for run in self.runs:
            yield from run.frames()

    def tokens(self) -> Iterator[int]:
        return chain.from_iterable([run.tokens for run in self.runs])

    def steps(self) -> list[Step]:
        """The same answer spelled out. The head of a stream goes at once, that of a whole body with it."""
        if self.exact:
            return list(self.exact)
        moments = iter(self.at)
        datas = [
            Data(frame, run.part, tokens, next(moments, 0.0), also=run.also)
            for run in self.runs
            for frame, tokens in zip(run.frames(), run.tokens, strict=True)
        ]
        last = datas[-1].at if datas else 0.0
        if self.streamed:
            return [Head(self.status, self.headers), *datas, End(last)]
        length = (b"content-length", b"%d" % sum(len(data.data) for data in datas))
        return [Head(self.status, (*self.headers, length), last), *datas, End(last)]


Ended = Literal["complete", "client_closed", "closed", "reset", "shutdown"]
"""How an answer ended."""
MAX_MOMENTS = 4096
"""Frames of one answer whose moments are kept."""


@dataclass(slots=True)
class Playback:
    """What became of an answer. Moments are on the clock's hand of deadlines; `late` is the worst delay in seconds."""

    ended: Ended = "complete"
    bytes_sent: int = 0
    frames_sent: int = 0
    first_sent: float | None = None
    last_sent: float | None = None
    late: float = 0.0
    sent: "array[float] | None" = None
    """When each of the first frames was sent, where they were not all sent at once."""
    ended_at: float | None = None
    """When the answer was over or the client had gone; None: with the last byte."""

    def moments(self, frames: int) -> Sequence[float]:
        """When each frame that was sent was sent, on the clock, as far as that is kept."""
        if self.sent is not None:
            return self.sent
        return [] if self.last_sent is None else [self.last_sent] * min(frames, self.frames_sent)
