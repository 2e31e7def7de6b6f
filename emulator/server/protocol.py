"""The connection protocol: additions to both of uvicorn's protocol classes, so that an answer can use the socket.

It lets a stream write past ASGI, where every token would cost a coroutine, lets a fault do what HTTP forbids, notices
when the client is gone, and gives every request limits: for the size of its head, and for the time it may take.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Iterator, Sized
from typing import Any, Literal, Protocol

from emulator.clock import Alarm, Clock, unix_time
from emulator.server.uvicorn_adapter import GONE, Cycle, Scope, UvicornProtocol, head_size
from emulator.state.connections import ConnectionRecord
from emulator.wire import Afterwards, Handshake


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError)


logger = logging.getLogger("emulator.http")
"""Used instead of `uvicorn.error`, which may belong to the surrounding program."""
# A warning about each invalid request would fill the log of a fuzz test, and a stopping server cancels tasks.
logger.setLevel(logging.ERROR)
logger.addFilter(_is_no_cancellation)

HANDLE = "emulator.connection"
HEAD_TIMEOUT = 10.0
"""Seconds within which the head of a request must arrive, and each `MIN_BODY_PROGRESS` bytes of its body."""
MIN_BODY_PROGRESS = 65536
MAX_HEAD_BYTES = 65536
DISCARD_TIMEOUT = 2.0
MAX_DISCARDED = 2**24
"""How long, and how many bytes of, an incomplete request are still read and discarded after its answer. Closing
immediately would be a reset, and the client could lose its answer."""
MAX_PIPELINED = 1000
MAX_BACKLOG = 2**20
"""The most pipelined data to keep: requests with httptools, bytes with h11."""
_REFUSED = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
REQUEST_TIMEOUT = _REFUSED % b"408 Request Timeout"
HEAD_TOO_LARGE = _REFUSED % b"431 Request Header Fields Too Large"
BAD_REQUEST = _REFUSED % b"400 Bad Request"


class ListenerControl(Protocol):
    """Control over the server's listening sockets."""

    numbers: Iterator[int]
    """The numbers of connections, counted from 1."""

    def refuse(self, seconds: float) -> None:
        """Stops listening for this long."""

    def reset_accepts(self, count: int, seconds: float) -> None:
        """Resets the next `count` connections (in addition to earlier calls), within `seconds`."""

    def resets_next(self) -> bool:
        """Whether to reset the connection that has just been accepted; counts it."""

    def break_handshakes(self, how: Handshake, count: int, seconds: float) -> None:
        """Breaks the next `count` TLS handshakes (in addition to earlier calls), within `seconds`."""

    def lost(self) -> None:
        """Handles the end of a connection."""


class Listener(Protocol):
    """The events of a connection while an answer is sent."""

    is_held: bool
    """Whether the client reads too slowly."""

    def wake(self) -> None:
        """Called when the client can take more data again."""

    def lost(self) -> None:
        """Called when the connection is lost."""


class ConnectionHandle:
    """Control over one connection, beyond ASGI."""

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
        """What the next request gets. It is set with the last byte of an answer, since a fast client's next request
        may arrive before the answer's task runs again."""
        self.is_met = False
        """Whether the next request arrived before the connection was done with the answer."""
        self.idle: Alarm | None = None
        self.known: Any = None  # the form of the last head on the fast path
        self.was_cut = False
        """Whether the server stopped before the answer ended."""

    @property
    def is_lost(self) -> bool:
        """Whether the connection is closing or gone."""
        return bool(self.protocol.transport.is_closing())

    def has_left(self) -> bool:
        """The same as a function, for slow work in a thread whose result is no longer needed."""
        return self.is_lost

    @property
    def is_full(self) -> bool:
        """Whether the client reads too slowly."""
        return bool(self.protocol.flow.write_paused)

    def write(self, data: bytes) -> None:
        if not (transport := self.protocol.transport).is_closing():  # asyncio would soon warn of it
            transport.write(data)

    def close(self) -> None:
        """Sends what is buffered, then FIN."""
        self.record.closed_by = self.record.closed_by or "server"
        self.protocol.transport.close()

    def reset(self) -> None:
        """Sends a real RST: without the linger option, an abort sends FIN."""
        self.record.closed_by = self.record.closed_by or "server"
        transport = self.protocol.transport
        sock = transport.get_extra_info("socket")
        if sock is not None:  # pragma: no branch - the transport may have been closed just before
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def cut(self) -> None:
        """Ends the connection because the server stops. A FIN could be mistaken for the end of an unfinished answer."""
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
        """Ends the connection when the next request arrives."""
        if self.next == "reset":
            self.reset()
        else:
            self.protocol.transport.write_eof()  # closing would send RST if the client is still sending its request


class FastPath(Protocol):
    """May answer a request before uvicorn parses it."""

    def awaits(self, protocol: Any, data: bytes) -> bool:
        """Whether this is the beginning of a request that it can answer once the rest has arrived."""

    def take(self, protocol: Any, data: bytes) -> bool:
        """Answers a request, if possible. Returns whether it did."""

    def learn(self, data: bytes, scope: Scope) -> None:
        """Learns from a packet with one request, or its head and a part of its body, and from the parsed head."""


class _Limits(UvicornProtocol):
    """The limits of requests on one connection: the size of a head, and the time for each part."""

    # uvicorn's own attributes are few enough for a table that all connections share; more would give each its own.
    __slots__ = ("backlog", "deadline", "handle", "unfinished")
    keeps_no_state: bool
    """Whether an answer may be written past the parser."""
    backlog: Sized
    """The queue of pipelined requests: httptools keeps them as cycles, h11 as bytes."""
    most_backlog: int
    handle: ConnectionHandle
    deadline: asyncio.TimerHandle | None
    unfinished: int
    """The bytes of an incomplete request."""

    def is_body_open(self) -> bool:
        """Whether more of the body of an answered request is expected."""
        raise NotImplementedError

    def is_pipelining(self) -> bool:
        """Whether an answer is due before that of the newest request."""
        raise NotImplementedError

    def consider(self, before: Cycle | None, was_in_body: bool) -> None:
        """Gives a request that arrives in pieces a limit and a deadline; nearly all arrive complete."""
        cycle = self.cycle
        is_new = cycle is not before
        if self.flow.read_paused and self.is_writing() and (cycle is None or len(cycle.body) < MIN_BODY_PROGRESS):
            self.flow.resume_reading()  # uvicorn stops reading after a second request, and misses a disconnect
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
        """Closes the connection, after reading what the client still sends."""
        self.stop_patience()
        self.handle.next = "discard"
        self.deadline = self.loop.call_later(DISCARD_TIMEOUT, self.transport.close)
        self.flow.resume_reading()
        self.transport.write_eof()

    def discard(self, size: int) -> None:
        """Counts bytes that arrived after the end."""
        self.unfinished += size
        if self.unfinished > MAX_DISCARDED:
            self.transport.close()

    def be_patient(self) -> None:
        """Starts the deadline for the missing part."""
        if self.deadline is not None:
            self.deadline.cancel()
        self.deadline = self.loop.call_later(HEAD_TIMEOUT, self._run_out)

    def stop_patience(self) -> None:
        """Handles a complete request."""
        self.unfinished = 0
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def give_up(self, words: bytes) -> None:
        """Closes the connection, with this response unless it would be in the middle of an answer."""
        self.stop_patience()
        if self.transport.is_closing():
            return
        if not self.is_writing():
            self.transport.write(words)
            if self.cycle is not None:
                self.cycle.disconnected = True  # the request is already answered
        self.transport.close()

    def is_writing(self) -> bool:
        """Whether an answer has begun but not ended, so that nothing else may be written."""
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
        """Handles a missed deadline. A current answer may end first, since its client may pipeline."""
        self.deadline = None
        cycle = self.cycle
        if self.is_writing() or (cycle is not None and not cycle.response_complete and not cycle.more_body):
            self.be_patient()
        else:
            self.give_up(REQUEST_TIMEOUT)


class _Held(_Limits):
    """A known head that waits for its body, and goes to the parser if that does not arrive."""

    __slots__ = ("checking", "held", "held_since", "ongoing")
    ongoing: Any
    """A request of the fast path that is being answered without a task."""
    held_since: float
    """When the head arrived, in the loop's time."""
    checking: asyncio.TimerHandle | None
    """The last timer of the fast path, which also notices a body that does not arrive."""

    def feed(self, data: bytes) -> None:
        """Passes what has arrived to the parser."""
        raise NotImplementedError

    def unset_keep_alive(self) -> None:
        """Stops the keep-alive timer, so that the connection may stay idle."""
        self._unset_keepalive_if_required()

    def hold(self, data: bytes) -> None:
        """Keeps a known head until its body has arrived."""
        self.held, self.held_since = data, self.loop.time()
        if self.timeout_keep_alive_task is None or self.timeout_keep_alive_task is not self.checking:
            self.unset_keep_alive()
            self.be_patient()

    def let_go(self) -> None:
        """Passes what was kept to the parser."""
        held, self.held = self.held, b""
        if held:
            self.unfinished += len(held)
            self.feed(held)

    def hand_over(self) -> None:
        """Lets uvicorn know of the request that is being answered."""
        if self.ongoing is not None:
            self.ongoing.hand_over()

    def _run_out(self) -> None:
        self.let_go()
        super()._run_out()

    def shutdown(self) -> None:
        """uvicorn's own timeout: a request that has begun is still answered."""
        self.let_go()
        self.hand_over()
        super().shutdown()


class Connection(_Held):
    """A mixin for both of uvicorn's protocol classes that puts a `ConnectionHandle` into every request's state."""

    __slots__ = ("_answered", "_gate", "_shortcut")

    def __init__(self, listener_control: ListenerControl, fast_path: FastPath | None, **given: Any) -> None:
        super().__init__(**given)
        self.logger = logger
        self.access_log = False
        self._gate = listener_control
        self._shortcut = fast_path
        self._answered = 0.0  # when the fast path last answered, in the loop's time
        self.deadline, self.unfinished, self.ongoing = None, 0, None
        self.held, self.held_since, self.checking = b"", 0.0, None

    def cycle_for(self, scope: Scope) -> Cycle:
        """Returns uvicorn's record of a complete request that needs no parsing."""
        raise NotImplementedError

    def start(self, cycle: Cycle) -> None:
        """Lets the application answer."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.handle = ConnectionHandle(self, self._gate)
        self.app_state = {**self.app_state, HANDLE: self.handle}
        self.be_patient()
        if self._gate.resets_next():
            self.handle.reset()

    def data_received(self, data: bytes) -> None:
        if self.ongoing is not None:
            self.ongoing.hand_over()
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
        """Whether the connection is idle: no open answer, and no part of a request."""
        cycle = self.cycle
        if cycle is None:
            return self.scope is None
        return cycle.response_complete and not cycle.more_body and self.scope is cycle.scope

    def begin(self, scope: Scope) -> None:
        """Lets the application answer a request that needs no parsing and no reading, as uvicorn does."""
        self.stop_timers()
        self.start(self.open_cycle(scope))

    def stop_timers(self) -> None:
        """Stops the timers of an idle connection, since an answer begins."""
        if self.deadline is not None:
            self.stop_patience()
        self.unset_keep_alive()

    def open_cycle(self, scope: Scope) -> Cycle:
        """Returns uvicorn's record of a request that needs no reading, as the newest one."""
        cycle = self.cycle = self.cycle_for(scope)
        self.scope, cycle.more_body = cycle.scope, False
        return cycle

    def rest(self) -> None:
        """Waits for the next request, after an answer was sent past uvicorn."""
        if self.deadline is not None:
            self.stop_patience()
        self.server_state.total_requests += 1
        self._answered = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_handler()

    def timeout_keep_alive_handler(self) -> None:
        """Closes an idle connection. For the fast path, the timer is set again if it was too early."""
        self.hand_over()
        due = self.held_since + HEAD_TIMEOUT if self.held else self._answered + self.timeout_keep_alive
        left = due - self.loop.time()
        if left > 0:
            left = min(left, HEAD_TIMEOUT)  # a head may have to wait for its body meanwhile
            self.checking = self.loop.call_later(left, self.timeout_keep_alive_handler)
            self.timeout_keep_alive_task = self.checking
        elif self.held:
            self.timeout_keep_alive_task = None
            self._run_out()
        else:
            super().timeout_keep_alive_handler()

    def eof_received(self) -> None:
        """Handles the client's end of the connection, or of its half."""
        if not self.transport.is_closing():  # pragma: no branch - both may end it in the same moment
            self.handle.record.closed_by = "client"
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.hand_over()
        super().connection_lost(exc)
        # After a reset, uvicorn does not do this, and would keep the connection in memory until the timer is due.
        self.unset_keep_alive()
        self.checking = None
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
