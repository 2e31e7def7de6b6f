"""The control channel of several workers: what one of them is asked reaches all of them, in one order.

Each worker has a socket pair with its parent, which passes frames on and reads no more of them than their heads, but
for those that go to its store: there all workers count together (`emulator.state.store`). What
goes to all workers gets a number there, and every worker acts on it in this order, the one that sent it included: so
all of them are given the same things in the same order. A worker that comes later takes over what another was given."""

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from emulator.server.worker_store import owner_of, replied
from emulator.state.memory_store import MemoryStore

ALL, ANY = 0, 0xFFFF
"""Receivers of a frame besides workers' indices: every worker; one that has been there for longer."""
CALL, ANSWER, PART, MORE, CANCEL, SENT, GONE, JOINED, STORE = range(9)
"""What is asked; the whole answer; a part of one that goes on; that the next part may come; that no more is wanted;
which workers a call was passed on to; that a worker is gone; that one has come; what the parent's store is asked, and
its reply."""
HEAD = struct.Struct("!IBHHIQ")
"""Bytes of the payload, kind, receiver, sender, number of the call, place in the order of what went to all."""
MAX_PENDING_BYTES = 512 * 2**20
"""Bytes that wait for a worker that does not read, before it counts as gone."""
RECEIVE = 1 << 18


@dataclass(frozen=True, slots=True)
class Frame:
    """A message on the channel."""

    kind: int
    to: int
    sender: int
    call: int
    order: int
    payload: bytes

    def encoded(self) -> bytes:
        return HEAD.pack(len(self.payload), self.kind, self.to, self.sender, self.call, self.order) + self.payload


def take_frames(buffer: bytearray) -> list[Frame]:
    """The whole frames at the beginning of a buffer, which loses them."""
    frames, start = [], 0
    while len(buffer) - start >= HEAD.size:
        size, kind, to, sender, call, order = HEAD.unpack_from(buffer, start)
        end = start + HEAD.size + size
        if len(buffer) < end:
            break
        frames.append(Frame(kind, to, sender, call, order, bytes(buffer[start + HEAD.size : end])))
        start = end
    if start:
        del buffer[:start]
    return frames


@dataclass(slots=True, eq=False)
class _Line:
    """The parent's end of one worker's socket pair."""

    index: int
    sock: socket.socket
    serves: bool = False
    received: bytearray = field(default_factory=bytearray)
    to_send: bytearray = field(default_factory=bytearray)


class Broker:
    """The parent's part: passes frames on. It never waits; its owner says what can be read and written."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        """What the workers count together."""
        self._lines: dict[int, _Line] = {}
        self._order = 0

    def connect(self, index: int) -> socket.socket:
        """A worker is about to be forked; the answer is its end."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self._lines[index] = _Line(index, ours)
        return theirs

    def close(self) -> None:
        """Let go of all sockets: in the parent when it ends, in a child as soon as it is forked."""
        for line in self._lines.values():
            line.sock.close()
        self._lines.clear()

    def lost(self, index: int) -> None:
        """A worker is gone."""
        line = self._lines.pop(index, None)
        if line is not None:
            line.sock.close()
            self.store.lost(owner_of(index))
            self._send(tuple(self._lines.values()), Frame(GONE, ALL, index, 0, self._order, b""))

    def readers(self) -> list[int]:
        """The descriptors that something may come from."""
        return [line.sock.fileno() for line in self._lines.values()]

    def writers(self) -> list[int]:
        """The descriptors that something waits for."""
        return [line.sock.fileno() for line in self._lines.values() if line.to_send]

    def turn(self, ready: Iterable[int]) -> None:
        """Read, pass on and write what is possible. `ready`: the descriptors that can be read."""
        can_be_read = set(ready)
        for line in tuple(self._lines.values()):
            if line.sock.fileno() in can_be_read:
                self._read(line)
        for line in tuple(self._lines.values()):
            if line.to_send:
                self._flush(line)

    def _read(self, line: _Line) -> None:
        try:
            data = line.sock.recv(RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.lost(line.index)
            return
        line.received += data
        for frame in take_frames(line.received):
            self._pass_on(line, frame)

    def _pass_on(self, source: _Line, frame: Frame) -> None:
        receivers: tuple[_Line, ...]
        if frame.kind == STORE:
            reply = replied(self.store, frame.payload)
            self._send((source,), Frame(STORE, source.index, 0, frame.call, 0, reply))
            return
        if frame.kind == JOINED:
            source.serves = True
            receivers = self._others(source.index)
        elif frame.to == ALL:
            self._order += 1
            receivers = tuple(self._lines.values())
        elif frame.to == ANY:
            receivers = tuple(line for line in self._others(source.index) if line.serves)[:1]
        else:
            receivers = tuple(line for index, line in self._lines.items() if index == frame.to)
        if frame.kind == CALL:
            indices = b"".join(line.index.to_bytes(2) for line in receivers)
            self._send((source,), Frame(SENT, source.index, 0, frame.call, self._order, indices))
        order = self._order if frame.to == ALL else 0
        self._send(receivers, Frame(frame.kind, frame.to, source.index, frame.call, order, frame.payload))

    def _others(self, index: int) -> tuple[_Line, ...]:
        return tuple(line for line in self._lines.values() if line.index != index)

    def _send(self, receivers: tuple[_Line, ...], frame: Frame) -> None:
        data = frame.encoded()
        for line in receivers:
            line.to_send += data

    def _flush(self, line: _Line) -> None:
        try:
            sent = line.sock.send(line.to_send)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.lost(line.index)
            return
        del line.to_send[:sent]
        if len(line.to_send) > MAX_PENDING_BYTES:
            self.lost(line.index)
