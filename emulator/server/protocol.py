"""The connection protocol: what both of uvicorn's protocol classes are given, so that an answer has the socket itself.

It lets a stream write past ASGI, where every token would cost a coroutine, lets a fault do what HTTP forbids, tells
when the client has gone, and gives every request limits: for the size of its head, and for the time it may take.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Iterator, Sized
from typing import Any, Literal, Protocol

from emulator.clock import Alarm, Clock, unix_time
from emulator.server.uvicorn_adapter import Cycle, Scope, UvicornProtocol, head_size
from emulator.state.connections import ConnectionRecord
from emulator.wire import Afterwards, Handshake


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError)


logger = logging.getLogger("emulator.http")
"""Instead of `uvicorn.error`, which may belong to the program around the emulator."""
# A warning about each request that is no HTTP would fill the log of a fuzz test, and a server that ends cancels.
logger.setLevel(logging.ERROR)
logger.addFilter(_is_no_cancellation)

HANDLE = "emulator.connection"
HEAD_TIMEOUT = 10.0
"""Seconds in which the head of a request has to come, and each `LEAST_IN_TIME` bytes of its body."""
MIN_BODY_PROGRESS = 65536
MAX_HEAD_BYTES = 65536
DISCARD_TIMEOUT = 2.0
MAX_DISCARDED = 2**24
"""After an answer that came before its request was over: so long and so much is still taken and thrown away. A close
at once would be a reset, and could cost the client its answer."""
MAX_PIPELINED = 1000
MAX_BACKLOG = 2**20
"""How much of what a client sends ahead is kept: requests by httptools, bytes by h11."""
_REFUSED = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
REQUEST_TIMEOUT = _REFUSED % b"408 Request Timeout"
HEAD_TOO_LARGE = _REFUSED % b"431 Request Header Fields Too Large"
BAD_REQUEST = _REFUSED % b"400 Bad Request"


class ListenerControl(Protocol):
    """What the transport may do with the server's listening sockets."""

    numbers: Iterator[int]
    """Connections are counted from 1."""

    def refuse(self, seconds: float) -> None:
        """Stop listening for so long."""

    def reset_accepts(self, count: int, seconds: float) -> None:
        """Reset so many more of the connections that come next, within so many seconds."""

    def resets_next(self) -> bool:
        """Whether the connection that has just been accepted is to be reset. It counts."""

    def break_handshakes(self, how: Handshake, count: int, seconds: float) -> None:
        """Let so many more of the TLS handshakes that come next go wrong, within so many seconds."""

    def lost(self) -> None:
        """A connection is gone."""


class Listener(Protocol):
    """What a connection reports while an answer is sent."""

    is_held: bool
    """The client reads too slowly."""

    def wake(self) -> None:
        """The client can take more data again."""

    def lost(self) -> None:
        """The connection is gone."""


class ConnectionHandle:
    """What the transport may do with one connection, beyond ASGI."""

    __slots__ = (
        "__weakref__",
        "idle",
        "is_met",
        "known",
        "listener_control",
        "next",
        "player",
        "protocol",
        "record",
        "was_cut",
    )

    def __init__(self, protocol: Any, listener_control: ListenerControl) -> None:
        self.protocol = protocol
        self.record = ConnectionRecord(next(listener_control.numbers), unix_time())
        self.listener_control = listener_control
        self.player: Listener | None = None
        """Notified when the connection is lost, and when the client reads too slowly."""
        self.next: Literal["answer", "close", "reset", "discard"] = "answer"
        """What the next request gets. Set with the last byte of an answer: a quick client has the next request here
        before the task of the answer runs again."""
        self.is_met = False
        """The next request came before the connection was done with the answer."""
        self.idle: Alarm | None = None
        self.known: Any = None  # what the short-cut made of the head that came last
        self.was_cut = False
        """The server ended before the answer did."""

    @property
    def is_lost(self) -> bool:
        """The connection is closing or gone."""
        return bool(self.protocol.transport.is_closing())

    def has_left(self) -> bool:
        """The same as a function, for slow work in a thread: nobody waits for its result any more."""
        return self.is_lost

    @property
    def is_full(self) -> bool:
        """The client reads too slowly."""
        return bool(self.protocol.flow.write_paused)

    def write(self, data: bytes) -> None:
        self.protocol.transport.write(data)

    def close(self) -> None:
        """Send what is buffered, then FIN."""
        self.record.closed_by = self.record.closed_by or "server"
        self.protocol.transport.close()

    def reset(self) -> None:
        """A real RST: without the linger option an abort sends FIN."""
        self.record.closed_by = self.record.closed_by or "server"
        transport = self.protocol.transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def cut(self) -> None:
        """End the connection because the server ends. A FIN would pass for the end of an answer that is not over."""
        self.was_cut = True
        self.reset()

    def prepare(self, afterwards: Afterwards, clock: Clock) -> None:
        """From now on, the connection waits for its next request and behaves as prepared."""
        self.next = afterwards.next
        if self.is_met:
            self.turn_away()
        elif afterwards.idle is not None:
            self.protocol.unset_keep_alive()  # uvicorn would not wait forever
            self.idle = clock.call_at(clock.now() + afterwards.idle, self.close)

    def stop_waiting(self) -> None:
        if self.idle is not None:
            self.idle.cancel()
            self.idle = None

    def turn_away(self) -> None:
        """Meet the next request with the end of the connection."""
        if self.next == "reset":
            self.reset()
        else:
            self.protocol.transport.write_eof()  # a close would send RST if the client is not done with its request


class _Gone:
    """Stands for the protocol of a lost connection. Protocol and handle would keep each other in memory until
    Python looks for such pairs, which stops every stream for a while."""

    keeps_no_state = write_paused = False

    def __init__(self) -> None:
        self.transport = self.flow = self

    def is_closing(self) -> bool:
        return True

    def resume_reading(self) -> None:
        pass

    write = close = abort = write_eof = get_extra_info = lambda *_: None


GONE = _Gone()


class FastPath(Protocol):
    """What may answer a request before uvicorn parses it."""

    def awaits(self, protocol: Any, data: bytes) -> bool:
        """Whether this is the beginning of a request that it may answer once the rest is there."""

    def take(self, protocol: Any, data: bytes) -> bool:
        """Whether that was done."""

    def learn(self, data: bytes, scope: Scope) -> None:
        """A packet was one request, or its head and a part of its body; this is what the head said."""


class _Limits(UvicornProtocol):
    """The limits of a request on one connection: how large its head may be, and how long its parts may take."""

    # Besides uvicorn's own attributes, for which Python keeps no table of names per connection: they are less than 30.
    __slots__ = ("backlog", "deadline", "handle", "unfinished")
    keeps_no_state: bool
    """Whether an answer may be written past the parser."""
    backlog: Sized
    """Requests that wait for their turn: httptools keeps them as cycles, h11 as bytes."""
    most_backlog: int
    handle: ConnectionHandle
    deadline: asyncio.TimerHandle | None
    unfinished: int
    """Bytes of a request whose end has not come."""

    def is_body_open(self) -> bool:
        """Whether more of the body of an answered request is to come."""
        raise NotImplementedError

    def is_pipelining(self) -> bool:
        """Whether an answer is due before that of the newest request."""
        raise NotImplementedError

    def consider(self, before: Cycle | None, was_in_body: bool) -> None:
        """Give a request that comes in pieces a limit and a deadline; nearly all come whole."""
        cycle = self.cycle
        is_new = cycle is not before
        if self.flow.read_paused and self.is_writing() and (cycle is None or len(cycle.body) < MIN_BODY_PROGRESS):
            self.flow.resume_reading()  # uvicorn stops to read after a second request: nobody would see who leaves
        is_large = self.unfinished > MAX_HEAD_BYTES
        if len(self.backlog) > self.most_backlog or (is_large and is_new and head_size(cycle.scope) > MAX_HEAD_BYTES):
            self.give_up(HEAD_TOO_LARGE)
        elif (not is_new and not was_in_body) or self.scope is not cycle.scope:  # in a head
            if is_new:
                self.unfinished = 0
            if self.unfinished > MAX_HEAD_BYTES:
                self.give_up(HEAD_TOO_LARGE)
            elif self.deadline is None:
                self.be_patient()
        elif self._is_in_body(cycle):
            if is_new or self.deadline is None or self.unfinished >= MIN_BODY_PROGRESS:
                self.be_patient()
                self.unfinished = 0
        else:
            self.stop_patience()

    def part(self) -> None:
        """Close the connection, after what the client still sends."""
        self.stop_patience()
        self.handle.next = "discard"
        self.deadline = self.loop.call_later(DISCARD_TIMEOUT, self.transport.close)
        self.flow.resume_reading()
        self.transport.write_eof()

    def discard(self, size: int) -> None:
        """So much came after the end."""
        self.unfinished += size
        if self.unfinished > MAX_DISCARDED:
            self.transport.close()

    def be_patient(self) -> None:
        """Wait for what has to come, from now on."""
        if self.deadline is not None:
            self.deadline.cancel()
        self.deadline = self.loop.call_later(HEAD_TIMEOUT, self._run_out)

    def stop_patience(self) -> None:
        """A request is here."""
        self.unfinished = 0
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def give_up(self, words: bytes) -> None:
        """Close the connection, with these words where they do not stand in the midst of an answer."""
        self.stop_patience()
        if self.transport.is_closing():
            return
        if not self.is_writing():
            self.transport.write(words)
            if self.cycle is not None:
                self.cycle.disconnected = True  # what was asked for is answered already
        self.transport.close()

    def is_writing(self) -> bool:
        """Whether an answer has begun and not ended, so that nothing may be written between."""
        cycle = self.cycle
        return (
            self.handle.player is not None
            or self.is_pipelining()
            or (cycle is not None and cycle.response_started and not cycle.response_complete)
        )

    def _is_in_body(self, cycle: Cycle) -> bool:
        if cycle.response_complete and not self.keeps_no_state:
            cycle.more_body = self.is_body_open()
        return bool(cycle.more_body)

    def _run_out(self) -> None:
        """Too little has come in time. An answer under way is let end first: its client may pipeline."""
        self.deadline = None
        cycle = self.cycle
        if self.is_writing() or (cycle is not None and not cycle.response_complete and not cycle.more_body):
            self.be_patient()
        else:
            self.give_up(REQUEST_TIMEOUT)


class _Held(_Limits):
    """A known head that waits for its body, and is left to the parser if that does not come."""

    __slots__ = ("awaiting", "held")
    awaiting: Any
    """A request of the short-cut that waits for the store."""

    def feed(self, data: bytes) -> None:
        """Let the parser have what came."""
        raise NotImplementedError

    def unset_keep_alive(self) -> None:
        """Let the connection rest for as long as it wants."""
        self._unset_keepalive_if_required()

    def hold(self, data: bytes) -> None:
        """Keep a known head until its body is there."""
        self.held = data
        self.unset_keep_alive()
        self.be_patient()

    def let_go(self) -> None:
        """Let the parser have what was kept."""
        held, self.held = self.held, b""
        if held:
            self.unfinished += len(held)
            self.feed(held)

    def stop_awaiting(self) -> None:
        """From now on, a task of the application waits."""
        if self.awaiting is not None:
            self.awaiting.hand_over()

    def _run_out(self) -> None:
        self.let_go()
        super()._run_out()

    def shutdown(self) -> None:
        """uvicorn's own: a request that has begun is still answered."""
        self.let_go()
        self.stop_awaiting()
        super().shutdown()


class Connection(_Held):
    """What is the same in the connections of both parsers: it stands before one of uvicorn's protocol classes, and puts
    a `ConnectionHandle` into every request's state."""

    __slots__ = ("_answered", "_gate", "_shortcut")

    def __init__(self, listener_control: ListenerControl, fast_path: FastPath | None, **given: Any) -> None:
        super().__init__(**given)
        self.logger = logger
        self.access_log = False
        self._gate = listener_control
        self._shortcut = fast_path
        self._answered = 0.0  # when the short-cut last answered, by the loop's time
        self.deadline, self.unfinished, self.held, self.awaiting = None, 0, b"", None

    def cycle_for(self, scope: Scope) -> Cycle:
        """uvicorn's record of a request that came whole and needs no parsing."""
        raise NotImplementedError

    def start(self, cycle: Cycle) -> None:
        """Let the application answer."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.handle = ConnectionHandle(self, self._gate)
        self.app_state = {**self.app_state, HANDLE: self.handle}
        self.be_patient()
        if self._gate.resets_next():
            self.handle.reset()

    def data_received(self, data: bytes) -> None:
        if self.awaiting is not None:
            self.awaiting.hand_over()
        if self.handle.next != "answer":
            if self.handle.next == "discard":
                self.discard(len(data))
            elif self.handle.player is not None:
                self.handle.is_met = True
                self.handle.record.turn_away(data)
            else:
                self.handle.record.turn_away(data)
                self.handle.turn_away()
            return
        self.handle.stop_waiting()
        before = self.cycle
        short = self._shortcut if not self.unfinished and self._is_between_requests() else None
        if short is not None:
            held, self.held = self.held, b""
            if short.take(self, held + data if held else data):
                return
            if not held and short.awaits(self, data):
                self.hold(data)
                return
            data = held + data
        was_in_body = before is not None and before.more_body
        self.unfinished += len(data)
        self.feed(data)
        cycle = self.cycle
        if (
            cycle is before
            or cycle.more_body
            or self.scope is not cycle.scope
            or self.unfinished > MAX_HEAD_BYTES
            or self.flow.read_paused
        ):
            if short is not None and cycle is not before and cycle.more_body and cycle.keep_alive:
                short.learn(data, cycle.scope)
            self.consider(before, was_in_body)
        else:
            if self.deadline is None:
                self.unfinished = 0
            else:
                self.stop_patience()
            if short is not None and cycle.keep_alive and not self.is_pipelining():
                short.learn(data, self.scope)

    def _is_between_requests(self) -> bool:
        """Whether nothing is open: no answer, and no part of a request."""
        cycle = self.cycle
        if cycle is None:
            return self.scope is None
        return cycle.response_complete and not cycle.more_body and self.scope is cycle.scope

    def begin(self, scope: Scope) -> None:
        """Let the application answer a request that needs no parsing and no reading, as uvicorn does it."""
        if self.deadline is not None:
            self.stop_patience()
        self.unset_keep_alive()
        self.cycle = self.cycle_for(scope)
        self.scope = self.cycle.scope
        self.cycle.more_body = False
        self.start(self.cycle)

    def rest(self) -> None:
        """An answer went out past uvicorn: the connection waits for its next request."""
        if self.deadline is not None:
            self.stop_patience()
        self.server_state.total_requests += 1
        self._answered = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_handler()

    def timeout_keep_alive_handler(self) -> None:
        """uvicorn sets a timer for each answer; the short-cut has this one set again when it was too early."""
        self.stop_awaiting()
        left = self._answered + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def eof_received(self) -> None:
        """The client has ended the connection, or its half of it."""
        if not self.transport.is_closing():
            self.handle.record.closed_by = "client"
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_awaiting()
        super().connection_lost(exc)
        # uvicorn forgets this after a reset, and would keep the connection in memory until the timer is due.
        self.unset_keep_alive()
        self.stop_patience()
        self.handle.stop_waiting()
        if self.handle.player is not None:
            self.handle.player.lost()
        self.handle.protocol = GONE
        record = self.handle.record
        record.close(record.closed_by or ("server" if exc is None else "client"))
        self._gate.lost()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.handle.player is not None:
            self.handle.player.is_held = True

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.handle.player is not None:
            self.handle.player.is_held = False
            self.handle.player.wake()
