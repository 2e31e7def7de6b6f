"""An answer as data before it is sent: which bytes, in which pieces, and when. No sockets and no clocks here.

A dialect renders a `PlannedBody`: the head and the runs of a healthy answer, which playback sends as they are. A fault
works on the same answer as a list of `Step`s (`PlannedBody.steps`), which it may change in any way.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import field
from functools import cache, lru_cache
from http import HTTPStatus
from itertools import chain
from typing import Literal

from emulator.records import record, struct

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
"""The meaning of a frame. `role` opens the stream, `frame` begins or ends a block, `ping` is an event without
content. Faults add two kinds: `piece`, bytes whose event ends in a later frame, and `packed`, which counts as an
event but can't be parsed as one: the last piece of an event, several events together, or a compressed one.
"""
NOTHING_ELSE: frozenset[Part] = frozenset()
Framing = Literal["chunks", "length", "close", "none"]
"""How the end of a body is marked: chunks, a Content-Length, the end of the connection; `none`: there is no body."""


@record
class FrameRun:
    """Frames that differ only in their middle: frame k is `before + pieces[k] + after`.

    A stream of 200 tokens is one run over pieces that were split and escaped once for all requests. `tokens[k]` is the
    number of tokens in frame k, for the pace; a frame without tokens is sent together with its neighbor."""

    part: Part
    before: bytes
    pieces: Sequence[bytes]
    after: bytes
    tokens: Sequence[int]
    also: frozenset[Part] = NOTHING_ELSE
    """Further meanings of each frame: one event may have the finish reason, the usage and the end."""
    first: int | None = None
    """The number of the first frame, for streams with numbered events: frame k is
    `before + str(first + k) + middle + pieces[k] + after`."""
    middle: bytes = b""
    """The bytes between the number and the piece."""

    def frames(self) -> Iterator[bytes]:
        return map(self.frame, range(len(self.pieces)))

    def frame(self, index: int) -> bytes:
        """Returns one of its frames."""
        if self.first is None:
            return self.before + self.pieces[index] + self.after
        return b"%b%d%b%b%b" % (self.before, self.first + index, self.middle, self.pieces[index], self.after)

    def size(self, begin: int, end: int) -> int:
        """Returns the number of bytes of the frames from number `begin` until number `end`."""
        if self.first is not None:
            return sum([len(self.frame(number)) for number in range(begin, end)])
        return sum(map(len, self.pieces[begin:end])) + (end - begin) * (len(self.before) + len(self.after))

    def joined(self) -> bytes:
        """Returns all frames joined, in one pass over memory."""
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
    """Returns `count` consecutive numbers as digits."""
    return tuple([b"%d" % number for number in range(first, first + count)])


@cache
def status_line(status: int) -> bytes:
    """Returns the first line of a response, without its end."""
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = ""
    return b"HTTP/1.1 %d %b" % (status, reason.encode())


def single(part: Part, frame: bytes, tokens: int = 0, also: frozenset[Part] = NOTHING_ELSE) -> FrameRun:
    """Returns a run of one frame."""
    return FrameRun(part, b"", (frame,), b"", (tokens,), also)


@record
class Head:
    """The status line and the headers."""

    status: int
    headers: tuple[Header, ...]
    at: float = 0.0
    framing: Framing | None = None
    """How the body is framed; None: as the headers and HTTP require."""
    over: float = 0.0
    """Seconds over which it is sent byte by byte."""


@record
class Data:
    """Bytes of the body, framed as HTTP requires (as one chunk, or unchanged with a Content-Length)."""

    data: bytes
    part: Part = "body"
    tokens: int = 0
    at: float = 0.0
    gap: float = 0.0
    """The minimum number of seconds after the previous bytes, even if those were late, so that it is a separate
    segment.
    """
    also: frozenset[Part] = NOTHING_ELSE
    """Its meanings in addition to `part`."""

    def means(self, *parts: Part) -> bool:
        """Whether it has any of these meanings."""
        return self.part in parts or not self.also.isdisjoint(parts)


@record
class Raw:
    """Raw bytes, not framed by HTTP; they may even precede the head."""

    data: bytes
    at: float = 0.0


@record
class End:
    """The body ends as HTTP requires; the connection stays open for the next request."""

    at: float = 0.0
    trailers: tuple[Header, ...] = ()
    """The headers after the last chunk."""


@record
class Close:
    """The connection is closed with FIN, even if the body is incomplete."""

    at: float = 0.0


@record
class Reset:
    """The connection is reset with a real RST; unsent bytes are dropped."""

    at: float = 0.0


@record
class Hang:
    """Nothing more is sent, and the connection stays open until the client leaves."""

    at: float = 0.0


@record
class Afterwards:
    """How the connection behaves once this answer is over. Sends nothing itself."""

    next: Literal["answer", "close", "reset"] = "answer"
    """What the next request gets: an answer, or FIN or RST without any bytes."""
    idle: float | None = None
    """Seconds without a request after which the connection is closed, even if it would have been closed immediately."""
    at: float = 0.0


@record
class Refuse:
    """The server stops listening for this many seconds of real time: new connections are refused, idle ones are
    closed."""

    seconds: float
    at: float = 0.0


@record
class ResetAccepts:
    """The next `count` connections are reset as soon as they are accepted, within `seconds` of real time."""

    count: int
    seconds: float
    at: float = 0.0


Handshake = Literal["expired", "wrong_host", "unknown_ca", "refuse", "reset"]
"""How to break a TLS handshake: by its certificate, or as a whole."""


@record
class BreakHandshakes:
    """The next `count` TLS handshakes fail, within `seconds` of real time."""

    how: Handshake
    count: int
    seconds: float
    at: float = 0.0


Step = Head | Data | Raw | End | Close | Reset | Hang | Afterwards | Refuse | ResetAccepts | BreakHandshakes


@record
class PlannedBody:
    """An answer without faults: a head, then runs. `at` is the time of every frame in seconds from the start, never
    decreasing; empty means that everything is due at once.
    """

    status: int
    headers: tuple[Header, ...]
    runs: tuple[FrameRun, ...]
    streamed: bool
    at: Sequence[float] = field(default=())
    exact: "Sequence[Step]" = ()
    """The steps of an answer that is replayed as it was recorded; empty: they follow from the runs."""

    def body(self) -> bytes:
        """Returns everything after the head."""
        if len(self.runs) == 1:
            return self.runs[0].joined()
        return b"".join([run.joined() for run in self.runs])

    def frames(self) -> Iterator[bytes]:
        for run in self.runs:
            yield from run.frames()

    def size(self, begin: int, end: int) -> int:
        """Returns the number of bytes of the frames from number `begin` until number `end`, counted over all runs."""
        size = 0
        for run in self.runs:
            number = len(run.pieces)
            if begin < number and end > 0:
                size += run.size(max(begin, 0), min(end, number))
            begin, end = begin - number, end - number
        return size

    def tokens(self) -> Iterator[int]:
        return chain.from_iterable([run.tokens for run in self.runs])

    def steps(self) -> list[Step]:
        """Returns the answer as steps. The head of a stream is sent immediately, that of a whole body together
        with it."""
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


Ended = Literal["complete", "client_closed", "closed", "reset", "shutdown", "lost"]
"""How an answer ended. `lost`: its process was killed, and nobody knows how much of it was sent."""
MAX_MOMENTS = 4096
"""The maximum number of frames of an answer whose times are kept."""


@struct
class Playback:
    """How an answer was sent. Times are those of `Clock.now`; `late` is the worst delay in seconds."""

    ended: Ended = "complete"
    bytes_sent: int = 0
    frames_sent: int = 0
    first_sent: float | None = None
    last_sent: float | None = None
    late: float = 0.0
    sent: "array[float] | None" = None
    """When each of the first frames was sent, unless all were sent at once."""
    ended_at: float | None = None
    """When the answer ended or the client left; None: with the last byte."""

    def moments(self, frames: int) -> Sequence[float]:
        """Returns when each frame was sent, as far as that is kept."""
        if self.sent is not None:
            return self.sent
        return [] if self.last_sent is None else [self.last_sent] * min(frames, self.frames_sent)


def says_close(headers: Sequence[Header]) -> bool:
    """Whether headers announce that the connection ends with this message."""
    for name, value in headers:  # noqa: SIM110 - in a third of the time of `any`
        if name == b"connection" and b"close" in value.lower():
            return True
    return False
