"""The one place where bytes and time are real: plays a planned body or a list of steps on a connection."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Protocol, cast

from emulator.clock import Clock
from emulator.server.players import (
    CLOSE_HEADER,
    MAX_WRITE,
    BeforeLast,
    BodyPlayer,
    Player,
    Players,
    StepPlayer,
)
from emulator.server.protocol import HANDLE, ConnectionHandle
from emulator.server.uvicorn_adapter import Cycle, Message, Scope
from emulator.state.blanks import LAST_CHUNK, Recollection, lines_of
from emulator.wire import (
    Header,
    PlannedBody,
    Playback,
    Step,
    says_close,
    status_line,
)

Receive = Callable[[], Any]
Send = Callable[[Message], Any]

BODILESS = (204, 304)


class Watcher(Protocol):
    """Observes the progress of an answer."""

    underway: Callable[[], Playback] | None


class Writer(Protocol):
    """A connection, as far as a whole answer needs it."""

    @property
    def protocol(self) -> Any: ...

    def write(self, data: bytes) -> None: ...


async def play(
    answer: PlannedBody | Sequence[Step],
    start: float,
    clock: Clock,
    scope: Scope,
    send: Send,
    players: Players,
    watcher: Watcher | None = None,
    before_last: "BeforeLast | None" = None,
) -> Playback:
    """Sends an answer whose times are relative to `start` on the clock.

    Returns when its last byte has been passed to the socket, the client is gone, or the server shuts down. Clients
    can't cause exceptions. `scope` and `send` are uvicorn's own, without middleware in between. `watcher` observes the
    progress; `before_last` is called before the last bytes of an answer that is sent in frames."""
    cycle: Cycle = send.__self__  # type: ignore[attr-defined]
    handle = cast(ConnectionHandle, scope["state"][HANDLE])
    if players.draining:
        cycle.keep_alive = False
    return with_ending(await _play(answer, start, clock, cycle, handle, players, watcher, before_last), handle)


def with_ending(playback: Playback, handle: ConnectionHandle) -> Playback:
    """Returns how an answer was sent; if the server has cut it, its client did not close the connection."""
    if handle.was_cut and playback.ended == "client_closed":
        playback.ended = "shutdown"
    return playback


async def _play(
    answer: PlannedBody | Sequence[Step],
    start: float,
    clock: Clock,
    cycle: Cycle,
    handle: ConnectionHandle,
    players: Players,
    watcher: Watcher | None,
    before_last: "BeforeLast | None",
) -> Playback:
    if isinstance(answer, PlannedBody):
        if not answer.at or cycle.scope["method"] == "HEAD":
            return await _send_whole(answer, start, clock, cycle, handle)
        if not answer.streamed:
            answer = answer.steps()
    scope = cycle.scope
    is_last = not cycle.keep_alive or scope["http_version"] == "1.0" or says_close(scope["headers"])
    player: Player
    if isinstance(answer, PlannedBody):
        player = BodyPlayer(handle, start, clock, scope, answer, is_last=is_last)
    else:
        player = StepPlayer(handle, start, clock, scope, answer, is_last=is_last)
    player.before_last = before_last
    if watcher is not None:  # pragma: no branch - only preflights have none, and they need no player
        watcher.underway = player.progress
    await _to_its_end(player, players)
    if handle.is_lost:
        cycle.disconnected = True  # uvicorn does this only for the last of pipelined requests
        return player.playback
    is_last = player.end()
    if handle.protocol.keeps_no_state and not is_last and player.afterwards is None and cycle.keep_alive:
        finish_records(cycle)
        return player.playback
    afterwards = player.afterwards if player.playback.ended == "complete" else None
    lingers = afterwards is not None and afterwards.idle is not None and afterwards.next != "answer"
    await _finish_cycle(cycle, is_last and not lingers, lingers=lingers)
    if afterwards is not None and not handle.is_lost:
        handle.prepare(afterwards, clock)
    return player.playback


async def _to_its_end(player: Player, players: Players) -> None:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    try:
        player.join(players, lambda: None if done.done() else done.set_result(None))  # the task may be canceled
        await done
    finally:
        player.leave(players)
    if player.error is not None:
        raise player.error


class _Mute:
    """A transport that writes nothing, and stays open if it `lingers`."""

    def __init__(self, transport: asyncio.Transport, lingers: bool) -> None:
        self._transport = transport
        self._lingers = lingers

    def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        if not self._lingers:
            self._transport.close()


class _Parting:
    """A protocol's transport whose `close` first reads what the client still sends."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def close(self) -> None:
        transport = self._protocol.transport
        if not transport.is_closing():  # pragma: no branch - it was open when the last bytes were written
            self._protocol.part()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol.transport, name)


async def _finish_cycle(cycle: Cycle, is_last: bool, *, lingers: bool) -> None:
    """Lets uvicorn finish an answer that was written past it: then it takes the connection's next request, or closes
    it after the last one.
    """
    cycle.transport = _Mute(cycle.transport, lingers)
    await cycle.send({"type": "http.response.start", "status": 204, "headers": [CLOSE_HEADER] if is_last else []})
    await cycle.send({"type": "http.response.body", "body": b"", "more_body": False})


async def finish_cycle(cycle: Cycle) -> None:
    """The same for an answer without a player, on a connection that stays open."""
    await _finish_cycle(cycle, False, lingers=False)


def finish_records(cycle: Cycle) -> None:
    """The same in four lines, as uvicorn does for httptools after the last byte of an answer."""
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.message_event.set()
    cycle.on_response()


async def _send_whole(
    planned: PlannedBody, start: float, clock: Clock, cycle: Cycle, handle: ConnectionHandle
) -> Playback:
    """Sends an answer that is due immediately: one head and one body, in as few writes as a slow reader allows."""
    playback = send_in_one(planned, start, clock, handle) if _is_usual(cycle, handle) else None
    if playback is not None:
        finish_records(cycle)
        return playback
    body = b"" if planned.status in BODILESS else planned.body()
    if cycle.more_body:
        cycle.transport = _Parting(handle.protocol)
    headers = list(planned.headers)
    if planned.status not in BODILESS and (not planned.streamed or (body and cycle.scope["http_version"] == "1.0")):
        headers.append((b"content-length", b"%d" % len(body)))
    await cycle.send({"type": "http.response.start", "status": planned.status, "headers": headers})
    sent, now = 0, clock.now()
    while len(body) - sent > MAX_WRITE and not handle.is_lost:
        piece = body[sent : sent + MAX_WRITE]
        await cycle.send({"type": "http.response.body", "body": piece, "more_body": True})
        sent += MAX_WRITE
    if not handle.is_lost:
        await cycle.send({"type": "http.response.body", "body": body[sent:] if sent else body, "more_body": False})
    if sent or not cycle.response_complete:  # it may have waited for a slow reader
        now = clock.now()
    if cycle.response_complete:
        return Playback("complete", len(body), sum(len(run.pieces) for run in planned.runs), now, now, now - start)
    cycle.disconnected = True
    frames = sum(end <= sent for end in accumulate(map(len, planned.frames())))
    return Playback("client_closed", sent, frames, now, now, now - start)


def send_in_one(answer: PlannedBody | Sequence[Step], start: float, clock: Clock, handle: Writer) -> Playback | None:
    """Sends head and body in one write, on a connection that accepts them and stays open. Returns None if that is
    impossible: not all of it is due, it is too large, or the connection must close.
    """
    if not isinstance(answer, PlannedBody) or answer.at or answer.status in BODILESS or says_close(answer.headers):
        return None
    body = answer.body()
    if len(body) > MAX_WRITE:
        return None
    now = clock.now()  # first: whoever has the answer may ask another process at once
    handle.write(_in_one(answer, body, handle))
    return Playback("complete", len(body), sum([len(run.pieces) for run in answer.runs]), now, now, now - start)


def send_recollection(recollection: Recollection, start: float, clock: Clock, handle: Writer) -> Playback:
    """Sends a cached answer in one write, on a connection that accepts it and stays open."""
    answer, own = recollection.answer, _default_lines.of(handle.protocol.server_state.default_headers)
    data, size = answer.whole.sent(recollection.values, own, recollection.headers)
    now = clock.now()
    handle.write(data)
    return Playback("complete", size, answer.frames, now, now, now - start)


class _DefaultLines:
    """The lines of the server's own headers, which come first and change once a second."""

    def __init__(self) -> None:
        self._headers: Sequence[Header] = ()
        self._lines = b""

    def of(self, headers: Sequence[Header]) -> bytes:
        if headers is not self._headers:
            self._headers, self._lines = headers, lines_of(headers)
        return self._lines


_default_lines = _DefaultLines()


def _is_usual(cycle: Cycle, handle: ConnectionHandle) -> bool:
    """Whether head and body may be sent in one write, since the request requires nothing else."""
    scope = cycle.scope
    return (
        handle.protocol.keeps_no_state
        and cycle.keep_alive
        and not cycle.disconnected
        and scope["method"] != "HEAD"
        and scope["http_version"] == "1.1"
        and not handle.is_full
        and not handle.is_lost
    )


def _in_one(planned: PlannedBody, body: bytes, handle: Writer) -> bytes:
    """Returns a whole answer as bytes, in chunks if it is a stream."""
    headers = [*handle.protocol.server_state.default_headers, *planned.headers]
    head = b"".join([status_line(planned.status), *[b"\r\n%b: %b" % header for header in headers]])
    if head.count(b"\n") != len(headers) or head.count(b"\r") != len(headers):
        raise ValueError(f"a header contains a line end: {headers}")
    return _framed(head, body, streamed=planned.streamed)


def _framed(head: bytes, body: bytes, *, streamed: bool) -> bytes:
    if not streamed:
        return b"%b\r\ncontent-length: %d\r\n\r\n%b" % (head, len(body), body)
    return b"%b\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b%b" % (head, len(body), body, LAST_CHUNK)
