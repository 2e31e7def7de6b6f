"""Players: each sends one answer whose bytes are due at different times, on one connection."""

from collections.abc import Callable, Sequence
from math import inf
from operator import sub

from emulator.clock import Alarm, Clock, WallClock
from emulator.server.frames import FramePlayer
from emulator.server.protocol import ConnectionHandle
from emulator.server.uvicorn_adapter import Scope
from emulator.wire import (
    MAX_MOMENTS,
    Afterwards,
    BreakHandshakes,
    Close,
    Data,
    End,
    Ended,
    FrameRun,
    Framing,
    Hang,
    Head,
    Header,
    PlannedBody,
    Playback,
    Raw,
    Refuse,
    Reset,
    ResetAccepts,
    Step,
    says_close,
    status_line,
)

CLOSE_HEADER: Header = (b"connection", b"close")
MAX_WRITE = 65536
"""Everything that is due is sent immediately, but in writes of at most this size, so that a slow reader is noticed."""

END_OF_CHUNKS = b"0\r\n\r\n"

BeforeLast = Callable[[Playback, int, int, float], None]
"""Receives the progress so far, the bytes and frames that are about to be sent, and the time."""


class Players:
    """The answers that are being played, so that a shutdown can end them."""

    def __init__(self) -> None:
        self.active: set[Player] = set()
        self.draining = False

    def drain(self, grace: float) -> None:
        """Stops, at the server's end: resets every answer that can't end within `grace` seconds."""
        self.draining = True
        for player in tuple(self.active):
            if not player.can_end_within(grace):
                player.handle.cut()


class Player(FramePlayer):
    """Sends what is due, then sleeps until the next deadline. It is its own alarm, without a task."""

    __slots__ = (
        "afterwards",
        "before_last",
        "ending",
        "error",
        "first",
        "framing",
        "handle",
        "is_last",
        "is_over",
        "on_end",
        "playback",
        "scope",
    )

    def __init__(
        self, handle: ConnectionHandle, start: float, clock: Clock, scope: Scope, *, is_last: bool = False
    ) -> None:
        """`scope` is that of the request; with `is_last`, the connection closes after the answer."""
        super().__init__(handle.protocol.transport, start, clock)
        self.handle = handle
        self.is_over = False
        self.scope = scope
        self.framing: Framing | None = None  # None until the head is sent
        self.is_last = is_last
        self.ending: Ended = "client_closed"  # the ending if the connection is lost
        self.playback = Playback(sent=self.sent)
        self.afterwards: Afterwards | None = None
        self.before_last: BeforeLast | None = None
        self.first: Alarm | None = None
        """The alarm for the first deadline. That may be far away, and a canceled call holds on to no player."""
        self.error: Exception | None = None
        """Why it could not go on."""
        self.on_end: Callable[[], None] | None = None
        """Called once, at its end or after an error. Raises nothing."""

    def join(self, players: Players, on_end: Callable[[], None]) -> None:
        """Sends what is due, and goes on when more is. `on_end` is called after the last byte, and calls `leave`."""
        handle, self.on_end = self.handle, on_end
        handle.player = self
        self.is_held = handle.is_full  # perhaps since its head was written
        players.active.add(self)
        if handle.is_lost:
            self.lost()
        else:
            handle.protocol.flow.resume_reading()  # a large request leaves it paused, and a disconnect unnoticed
            self.wake()

    def leave(self, players: Players) -> None:
        """Lets go of the connection and the clock."""
        players.active.discard(self)
        self.handle.player = self.on_end = None
        self._let_go()

    def advance(self) -> None:
        """Does everything that is due, then sets the alarm for the next step or finishes."""
        raise NotImplementedError

    def begin(self, status: int, headers: Sequence[Header], framing: Framing | None = None) -> bytes:
        """Returns the bytes of the head, with the headers that HTTP requires in addition to the given ones."""
        scope, given = self.scope, dict(headers)
        demanded: list[Header] = []
        if says_close(headers):
            self.is_last = True
        elif self.is_last:
            headers = [header for header in headers if header[0] != b"connection"]
            demanded.append(CLOSE_HEADER)
        if scope["method"] == "HEAD" or status in (204, 304):
            self.framing = "none"
        elif framing is not None:
            self.framing = framing
        elif b"content-length" in given:
            self.framing = "length"
        elif scope["http_version"] == "1.0":
            self.framing = "close"
        else:
            self.framing = "chunks"
        if self.framing == "close":
            self.is_last = True
        if self.framing == "chunks" and b"transfer-encoding" not in given:
            demanded.append((b"transfer-encoding", b"chunked"))
        lines = [
            b"%b: %b" % header for header in (*self.handle.protocol.server_state.default_headers, *headers, *demanded)
        ]
        if any(b"\r" in line or b"\n" in line for line in lines):
            raise ValueError(f"a header contains a line end: {headers}")
        return b"\r\n".join((status_line(status), *lines, b"", b""))

    def end(self) -> bool:
        """Marks the end of the body, if possible. Returns whether the connection must be closed."""
        if self.framing == "chunks":
            self.handle.write(END_OF_CHUNKS)
        return self.is_last

    def last_due(self) -> float:
        """The time of its last byte on its clock; infinite if it never ends."""
        raise NotImplementedError

    def can_end_within(self, seconds: float) -> bool:
        """Whether it may end by then. The speed of virtual time is unknown."""
        return not isinstance(self.clock, WallClock) or self.last_due() <= self.clock.now() + seconds

    def finish(self, ended: Ended, now: float | None = None) -> None:
        """Ends the answer. now: the time before its last bytes were sent; a client that has them may ask elsewhere."""
        if not self.is_over:  # pragma: no branch - a client may leave before the task of its answer runs again
            self.playback, self.is_over = self.progress(), True
            self.playback.ended = ended
            self.playback.ended_at = self.clock.now() if now is None else now
            if self.afterwards is not None and ended == "complete":
                self.handle.next = self.afterwards.next
            assert self.on_end is not None
            self.on_end()

    def lost(self) -> None:
        """Handles the loss of the connection."""
        self.finish(self.ending)

    def wake(self) -> None:
        """Continues after a pause."""
        self._let_go()
        self.is_canceled = False
        self.go_on()

    def _let_go(self) -> None:
        if self.first is not None:
            self.first.cancel()
            self.first = None
        self.clock.drop(self)

    def go_on(self) -> None:
        if self.is_over or self.transport.is_closing():
            return  # `lost`, which is about to be called, does the rest
        try:
            self.advance()
        except Exception as error:
            self.playback, self.is_over, self.error = self.progress(), True, error
            assert self.on_end is not None
            self.on_end()

    def go_on_at(self, when: float) -> None:
        """Goes on then."""
        if self.playback.frames_sent or self.index:
            self.clock.renew(self, when)
        else:
            self.first = self.clock.call_at(when, self.go_on, is_urgent=True)

    def progress(self) -> Playback:
        """Returns how it was sent so far. Any thread may ask."""
        return self.playback


class BodyPlayer(Player):
    """Plays nearly every stream: shared pieces, an index, and writes past ASGI."""

    __slots__ = ("last_sent", "late", "planned", "run", "runs")

    def __init__(
        self,
        handle: ConnectionHandle,
        start: float,
        clock: Clock,
        scope: Scope,
        planned: PlannedBody,
        *,
        is_last: bool = False,
    ) -> None:
        super().__init__(handle, start, clock, scope, is_last=is_last)
        self.planned = planned
        self.at = planned.at
        self.runs = iter([run for run in planned.runs if run.pieces])
        self.run: FrameRun | None = next(self.runs, None)
        self.late = self.last_sent = 0.0  # of frames whose moments are not kept

    def last_due(self) -> float:
        return self.start + self.at[-1]

    def open(self) -> None:
        """Sends the head. Raises ValueError for a header that is invalid in HTTP."""
        self.transport.write(self.begin(self.planned.status, self.planned.headers))
        self._enter(self.run)

    def advance(self) -> None:
        if self.is_held:
            return
        now = self.clock.now()
        if self.framing is None:
            self.open()
        run, offset = self.run, self.offset
        first = due = self.start + self.at[self.index]
        frames: list[bytes] = []
        size = 0
        while run is not None and due <= now and size < MAX_WRITE:
            frame = run.before + run.pieces[offset] + run.after if run.first is None else run.frame(offset)
            frames.append(frame)
            size += len(frame)
            offset += 1
            if offset == len(run.pieces):
                run, offset = next(self.runs, None), 0
                if run is None:
                    break
            due = self.start + self.at[self.index + len(frames)]
        if frames:
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            if run is None and self.before_last is not None:
                self.before_last(self.progress(), size, len(frames), now)
            if self.framing == "chunks":
                data = b"%x\r\n%b\r\n" % (size, data) if size else b""
                if run is None:  # a write of its own would cost as much as a token
                    data, self.framing = data + END_OF_CHUNKS, "length"
            self.transport.write(data)
            self._note(len(frames), first, now)
            if run is not self.run:
                self._enter(run)
            self.run, self.offset = run, offset
        if run is None:
            self.finish("complete", now)
        else:
            self.go_on_at(due)

    def _enter(self, run: FrameRun | None) -> None:
        self.enter(run if self.framing == "chunks" else None)

    def _note(self, frames: int, due: float, now: float) -> None:
        free = MAX_MOMENTS - len(self.sent)
        self.sent.extend([now] * min(frames, free))
        if frames > free:
            self.late, self.last_sent = max(self.late, now - due), now
        self.index += frames

    def progress(self) -> Playback:
        index, sent = self.index, self.sent
        if self.is_over or not index:
            return self.playback
        last = sent[index - 1] if index <= len(sent) else self.last_sent
        late = max(self.late, round(max(map(sub, sent[:index], self.at)) - self.start, 9))
        return Playback("complete", self.planned.size(0, index), index, sent[0], last, late, sent)


class StepPlayer(Player):
    """Plays everything unusual: any steps in any order."""

    __slots__ = ("steps",)

    def __init__(
        self,
        handle: ConnectionHandle,
        start: float,
        clock: Clock,
        scope: Scope,
        steps: Sequence[Step],
        *,
        is_last: bool = False,
    ) -> None:
        super().__init__(handle, start, clock, scope, is_last=is_last)
        self.steps = steps

    def last_due(self) -> float:
        rest = self.steps[self.index :]
        if any(isinstance(step, Hang) for step in rest):
            return inf
        gaps = sum(step.gap for step in rest if isinstance(step, Data) and step.gap)
        return max(self.start + max((step.at for step in rest), default=0.0), self.clock.now() + gaps)

    def advance(self) -> None:
        now = None
        while not self.is_over and self.ending == "client_closed":
            if self.index == len(self.steps):
                return self.finish("complete", now)
            step, before = self.steps[self.index], now
            now = self.clock.now()
            due = self.start + step.at
            if isinstance(step, Data) and step.gap and self.playback.last_sent is not None:
                due = max(due, self.playback.last_sent + step.gap)
            if due > now:
                return self.go_on_at(due)
            if isinstance(step, Hang) or (self.is_held and isinstance(step, Head | Data | Raw)):
                return None  # nothing more to do until the client leaves or continues reading
            self.index += 1
            if isinstance(step, End) and self.framing != "chunks" and before is not None:
                now = before  # the client needs nothing more
            self._do(step, now)
        return None

    def _note(self, size: int, due: float, now: float) -> None:
        playback, sent = self.playback, self.sent
        if not playback.frames_sent:
            playback.first_sent = now
        playback.bytes_sent += size
        playback.frames_sent += 1
        playback.last_sent = now
        playback.late = max(playback.late, now - due)
        if len(sent) < MAX_MOMENTS:
            sent.append(now)

    def _do(self, step: Step, now: float) -> None:
        if self.before_last is not None and isinstance(step, Data | Raw) and self._is_last():
            self.before_last(self.playback, len(step.data), 1, now)
        match step:
            case Head():
                head = self.begin(step.status, self._sized(step), step.framing)
                if step.over:
                    self.steps = [*_dribbled(head, step), *self.steps[self.index :]]
                    self.index = 0
                else:
                    self.handle.write(head)
            case Data():
                data = step.data
                if self.framing == "none" or not data:
                    return
                self.handle.write(b"%x\r\n%b\r\n" % (len(data), data) if self.framing == "chunks" else data)
                self._note(len(data), self.start + step.at, now)
                if step.gap:
                    self.playback.last_sent = self.clock.now()  # writing may have taken a while
            case Raw():
                self.handle.write(step.data)
                self._note(len(step.data), self.start + step.at, now)
            case End():
                if step.trailers and self.framing == "chunks":
                    lines = b"".join([b"%b: %b\r\n" % header for header in step.trailers])
                    self.handle.write(b"0\r\n%b\r\n" % lines)
                    self.framing = "length"  # the body has ended
                self.finish("complete", now)
            case Close():
                self.ending = "closed"
                self.handle.close()
            case Reset():
                self.ending = "reset"
                self.handle.reset()
            case Afterwards():
                self.afterwards = step
            case Refuse():
                self.handle.listener_control.refuse(step.seconds)
            case ResetAccepts():
                self.handle.listener_control.reset_accepts(step.count, step.seconds)
            case BreakHandshakes():
                self.handle.listener_control.break_handshakes(step.how, step.count, step.seconds)
            case Hang():  # pragma: no cover - advance stays before it
                pass

    def _is_last(self) -> bool:
        """Whether nothing follows that the client could see."""
        rest = self.steps[self.index : self.index + 3]
        return all(isinstance(step, End | Afterwards) for step in rest)

    def _sized(self, head: Head) -> Sequence[Header]:
        """Returns the framing: a whole body has a Content-Length, as its provider would send it; a stream is sent in
        chunks.
        """
        rest = self.steps[self.index :]
        is_event_stream = any(name == b"content-type" and b"event-stream" in value for name, value in head.headers)
        is_sized = any(name in (b"content-length", b"transfer-encoding") for name, _ in head.headers)
        if (
            head.status in (204, 304)
            or is_event_stream
            or is_sized
            or head.framing is not None
            or not all(isinstance(step, Data | End | Afterwards) for step in rest)
        ):
            return head.headers
        size = sum(len(step.data) for step in rest if isinstance(step, Data))
        return (*head.headers, (b"content-length", b"%d" % size))


def _dribbled(data: bytes, head: Head) -> list[Step]:
    return [Raw(data[k : k + 1], head.at + head.over * k / len(data)) for k in range(len(data))]
