"""The one place where bytes and time are real: plays a track or a list of steps on a connection.

The door to the socket is a subclass of uvicorn's own protocol class (`with_door`). It lets a stream write past ASGI,
where every token would cost a coroutine, lets a fault do what HTTP forbids, and tells when the client has gone.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from emulator.clock import Alarm, Clock
from emulator.wire import Close, Data, End, Hang, Head, Raw, Reset, Run, Step, Track

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Any]
Send = Callable[[Message], Any]
Ended = Literal["complete", "client_closed", "closed", "reset", "shutdown"]

DOOR = "emulator.door"
LARGEST_WRITE = 65536
"""What is due at once is sent at once, but in writes of at most this size, so that a slow reader is noticed."""


class Door:
    """What the transport may do with one connection, beyond ASGI."""

    __slots__ = ("on_lost", "on_resume", "protocol")

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.on_lost: Callable[[], None] | None = None
        self.on_resume: Callable[[], None] | None = None

    @property
    def is_lost(self) -> bool:
        """The connection is closing or gone."""
        return bool(self.protocol.transport.is_closing())

    @property
    def is_full(self) -> bool:
        """The client reads too slowly; `on_resume` is called when there is room again."""
        return bool(self.protocol.flow.write_paused)

    def write(self, data: bytes) -> None:
        self.protocol.transport.write(data)

    def close(self) -> None:
        """Send what is buffered, then FIN."""
        self.protocol.transport.close()

    def reset(self) -> None:
        """A real RST: without the linger option an abort sends FIN."""
        transport = self.protocol.transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def with_door(base: type[Any]) -> type[Any]:
    """A subclass of uvicorn's h11 or httptools protocol that puts a `Door` into every request's state."""

    class Protocol(base):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.door = Door(self)
            self.app_state: dict[str, Any] = {**self.app_state, DOOR: self.door}

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            # uvicorn forgets this after a reset, and would keep the connection in memory until the timer is due.
            self._unset_keepalive_if_required()
            if self.door.on_lost is not None:
                self.door.on_lost()

        def resume_writing(self) -> None:
            super().resume_writing()
            if self.door.on_resume is not None:
                self.door.on_resume()

    return Protocol


@dataclass(slots=True)
class Playback:
    """What became of an answer. Moments are on the clock's hand of deadlines; `late` is the worst delay in seconds."""

    ended: Ended = "complete"
    bytes_sent: int = 0
    frames_sent: int = 0
    first_sent: float | None = None
    last_sent: float | None = None
    late: float = 0.0


class Players:
    """The answers being played now, so that a shutdown can end them."""

    def __init__(self) -> None:
        self.active: set[_Player] = set()
        self.draining = False

    def drain(self) -> None:
        """End every open answer now."""
        self.draining = True
        for player in tuple(self.active):
            player.finish("shutdown")


async def play(
    answer: Track | Sequence[Step], start: float, clock: Clock, scope: Scope, send: Send, players: Players
) -> Playback:
    """Send an answer whose moments count from `start` on the clock. Returns when its last byte is handed to the
    socket, the client has gone, or the server shuts down; never raises for what a client does."""
    if isinstance(answer, Track):
        if not answer.at:
            return await _send_whole(answer, start, clock, scope, send)
        if not answer.streamed:
            answer = answer.steps()
    door = cast(Door, scope["state"][DOOR])
    player: _Player
    if isinstance(answer, Track):
        await send(_start(answer.status, answer.headers))
        player = _TrackPlayer(door, start, clock, answer)
    else:
        player = _StepPlayer(door, start, clock, answer, send)
    await player.play(players)
    playback = player.playback
    if playback.ended in ("complete", "shutdown") and not door.is_lost:
        if player.head_sent:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await _close(door)
    return playback


async def _close(door: Door) -> None:
    """Close and wait until it is done: uvicorn logs an error when an answer without its end returns earlier."""
    lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    door.on_lost = lambda: lost.set_result(None)
    door.close()
    await lost


def _start(status: int, headers: Sequence[tuple[bytes, bytes]]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


async def _send_whole(track: Track, start: float, clock: Clock, scope: Scope, send: Send) -> Playback:
    """Everything is due now: one head, one body, in as few writes as a slow reader allows."""
    body = track.body()
    headers = list(track.headers)
    if not track.streamed:
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": track.status, "headers": headers})
    offset = 0
    while len(body) - offset > LARGEST_WRITE:
        piece = body[offset : offset + LARGEST_WRITE]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        offset += LARGEST_WRITE
    await send({"type": "http.response.body", "body": body[offset:] if offset else body, "more_body": False})
    now = clock.now()
    door: Door = scope["state"][DOOR]
    ended: Ended = "client_closed" if door.is_lost and door.protocol.cycle.disconnected else "complete"
    return Playback(ended, len(body), sum(len(run.pieces) for run in track.runs), now, now, now - start)


class _Player:
    """Sends what is due, then sleeps until the next deadline: driven by alarms, without a task of its own."""

    __slots__ = ("alarm", "clock", "done", "door", "ending", "head_sent", "index", "playback", "start")

    def __init__(self, door: Door, start: float, clock: Clock) -> None:
        self.door = door
        self.start = start
        self.clock = clock
        self.index = 0
        self.head_sent = True
        self.ending: Ended = "client_closed"  # how it will have ended when the connection is lost
        self.playback = Playback()
        self.alarm: Alarm | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def play(self, players: Players) -> None:
        door = self.door
        door.on_lost = self._lost
        door.on_resume = self.advance
        players.active.add(self)
        try:
            if players.draining:
                self.finish("shutdown")
            elif door.is_lost:
                self._lost()
            else:
                self.advance()
            await self.done
        finally:
            players.active.discard(self)
            door.on_lost = door.on_resume = None
            if self.alarm is not None:
                self.alarm.cancel()

    def advance(self) -> None:
        """Do everything that is due, then set the alarm for what follows or finish."""
        raise NotImplementedError

    def finish(self, ended: Ended) -> None:
        if self.done.done():
            return
        self.playback.ended = ended
        if self.alarm is not None:
            self.alarm.cancel()
        self.done.set_result(None)

    def _lost(self) -> None:
        self.finish(self.ending)

    def _wake_at(self, when: float) -> None:
        self.alarm = self.clock.call_at(when, self.advance)

    def _note(self, size: int, frames: int, due: float, now: float) -> None:
        playback = self.playback
        playback.bytes_sent += size
        playback.frames_sent += frames
        if playback.first_sent is None:
            playback.first_sent = now
        playback.last_sent = now
        if now - due > playback.late:
            playback.late = now - due


class _TrackPlayer(_Player):
    """The way of nearly every stream: shared pieces, an index, and writes past ASGI."""

    __slots__ = ("at", "offset", "run", "runs")

    def __init__(self, door: Door, start: float, clock: Clock, track: Track) -> None:
        super().__init__(door, start, clock)
        self.at = track.at
        self.runs = iter([run for run in track.runs if run.pieces])
        self.run: Run | None = next(self.runs, None)
        self.offset = 0

    def advance(self) -> None:
        if self.done.done():
            return
        door, at, start = self.door, self.at, self.start
        now = self.clock.now()
        elapsed = now - start
        frames: list[bytes] = []
        size = 0
        first = self.index
        while (run := self.run) is not None and at[self.index] <= elapsed:
            frame = run.before + run.pieces[self.offset] + run.after
            frames.append(frame)
            size += len(frame)
            self.index += 1
            self.offset += 1
            if self.offset == len(run.pieces):
                self.run = next(self.runs, None)
                self.offset = 0
            if size >= LARGEST_WRITE:
                break
        if frames:
            door.write(b"%x\r\n%b\r\n" % (size, frames[0] if len(frames) == 1 else b"".join(frames)))
            self._note(size, len(frames), start + at[first], now)
        if self.run is None:
            self.finish("complete")
        elif door.is_full:
            self.alarm = None  # on_resume goes on
        else:
            self._wake_at(start + at[self.index])


class _StepPlayer(_Player):
    """The way of everything unusual: any steps in any order."""

    __slots__ = ("send", "steps")

    def __init__(self, door: Door, start: float, clock: Clock, steps: Sequence[Step], send: Send) -> None:
        super().__init__(door, start, clock)
        self.steps = steps
        self.send = send
        self.head_sent = False

    def advance(self) -> None:
        while not self.done.done() and self.ending == "client_closed":
            if self.index == len(self.steps):
                return self.finish("complete")
            step = self.steps[self.index]
            now = self.clock.now()
            if step.at > now - self.start:
                return self._wake_at(self.start + step.at)
            if isinstance(step, Hang) or (self.door.is_full and isinstance(step, Data | Raw)):
                self.alarm = None  # nothing more to do until the client leaves, or reads on
                return None
            self.index += 1
            self._do(step, now)
        return None

    def _do(self, step: Step, now: float) -> None:
        match step:
            case Head():
                self.head_sent = True
                _now(self.send(_start(step.status, self._sized(step))))
            case Data():
                _now(self.send({"type": "http.response.body", "body": step.data, "more_body": True}))
                self._note(len(step.data), 1, self.start + step.at, now)
            case Raw():
                self.door.write(step.data)
                self._note(len(step.data), 1, self.start + step.at, now)
            case End():
                self.finish("complete")
            case Close():
                self.ending = "closed"
                self.door.close()
            case Reset():
                self.ending = "reset"
                self.door.reset()
            case Hang():  # never reached: `advance` stays before it
                pass

    def _sized(self, head: Head) -> list[tuple[bytes, bytes]]:
        """A whole body has a Content-Length, as its provider would send it; a stream goes in chunks."""
        headers = list(head.headers)
        rest = self.steps[self.index :]
        is_event_stream = any(name == b"content-type" and b"event-stream" in value for name, value in headers)
        is_sized = any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)
        if not is_event_stream and not is_sized and all(isinstance(step, Data | End) for step in rest):
            headers.append((b"content-length", b"%d" % sum(len(step.data) for step in rest if isinstance(step, Data))))
        return headers


def _now(sending: Any) -> None:
    """Run one `send` of uvicorn to its end; it never waits while the connection has room, which was just checked."""
    try:
        sending.send(None)
    except StopIteration:
        return
    sending.close()
    raise RuntimeError("the server did not take bytes that it had room for")
