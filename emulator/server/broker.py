"""The control channel of several workers: control requests to one of them reach all of them, in the same order.

Each worker has a socket pair with its parent, which forwards frames and reads only their heads, except for frames to
its store, in which all workers count together (`emulator.state.store`). The parent numbers frames to all workers, and
every worker, including the sender, acts on them in this order, so all of them are in the same state. A new worker takes
over the state of another one."""

import socket
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from emulator.records import record
from emulator.server.worker_store import owner_of, replied
from emulator.state.memory_store import MemoryStore

ALL, ANY = 0, 0xFFFF
"""Receivers of a frame other than workers' indexes: every worker; any other one that serves, or else an older one,
which answers once it serves."""
CALL, ANSWER, PART, MORE, CANCEL, SENT, GONE, JOINED, STORE, HEIR = range(10)
"""Kinds of frames: a call; a whole answer; a part of an answer that continues; a request for the next part; the end
of interest in more; the workers to which a call was forwarded; a worker is gone; a worker has joined; a call to the
parent's store, and its reply; what to take over of a worker that is gone, and that it was taken over.
"""
HEAD = struct.Struct("!IBHHIQ")
"""The size of the payload, kind, receiver, sender, number of the call, number among frames to all workers."""
BEQUEST = struct.Struct("!HH")
"""The payload about a worker that is gone: the number of its box, and its own."""
MAX_PENDING_BYTES = 512 * 2**20
"""The bytes that may wait for a worker that does not read before it counts as gone."""
RECEIVE = 1 << 18
MAX_READS = 8
"""The most reads from one worker in a turn. Whatever a killed one has left takes fewer."""


@record
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
    """Removes and returns the complete frames at the beginning of a buffer."""
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
    slot: int
    """The number of its worker's box."""
    sock: socket.socket
    serves: bool = False
    received: bytearray = field(default_factory=bytearray)
    to_send: bytearray = field(default_factory=bytearray)


@dataclass(slots=True, eq=False)
class _Left:
    """What a worker that is gone has left."""

    owner: int
    heir: int | None = None
    """The worker that takes it over."""


class Broker:
    """The parent's part: forwards frames. It never waits; its owner says which descriptors can be read and written."""

    def __init__(self, slots: int) -> None:
        """slots: how many boxes there are (`server/black_box.py`)."""
        self.store = MemoryStore()
        """The store in which the workers count together."""
        self._lines: dict[int, _Line] = {}
        self._free = deque(range(slots))
        """The boxes that nobody uses."""
        self._left: dict[int, _Left] = {}
        """The boxes of workers that are gone."""
        self._order = 0
        self.has_forgotten = False
        """Whether every worker that acted on earlier calls to all of them is gone."""

    def connect(self, index: int) -> tuple[socket.socket, int]:
        """Returns a worker's end of a socket pair, and the number of its box, before it is forked."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        slot = self._free.popleft() if self._free else next(iter(self._left))  # nobody is left to take over the oldest
        self._left.pop(slot, None)
        self._lines[index] = _Line(index, slot, ours)
        return theirs, slot

    def close(self) -> None:
        """Closes all sockets: in the parent when it ends, in a child as soon as it is forked."""
        for line in self._lines.values():
            line.sock.close()
        self._lines.clear()

    def lost(self, index: int) -> None:
        """Removes a worker that is gone."""
        line = self._lines.pop(index, None)
        if line is not None:
            line.sock.close()
            if self._order and line.serves and not any(each.serves for each in self._lines.values()):
                self.has_forgotten = True
            self.store.lost(owner_of(index))
            self._left[line.slot] = _Left(index)
            for left in self._left.values():
                if left.heir == index:
                    left.heir = None
            self._bequeath()
            self._send(tuple(self._lines.values()), Frame(GONE, ALL, index, 0, self._order, b""))

    def readers(self) -> list[int]:
        """The descriptors to read from."""
        return [line.sock.fileno() for line in self._lines.values()]

    def writers(self) -> list[int]:
        """The descriptors with data to write."""
        return [line.sock.fileno() for line in self._lines.values() if line.to_send]

    def turn(self, ready: Iterable[int]) -> None:
        """Reads, forwards and writes as much as possible. `ready` are the descriptors that can be read."""
        can_be_read = set(ready)
        lines = [line for line in self._lines.values() if line.sock.fileno() in can_be_read]
        gone = [line for line in lines if not self._read(line)]
        for line in gone:  # first, so that whoever calls now hears of all that they have left
            self._forward(line)
            self.lost(line.index)
        for line in lines:
            if line.index in self._lines:
                self._forward(line)
        for line in tuple(self._lines.values()):
            if line.to_send:
                self._flush(line)

    def _read(self, line: _Line) -> bool:
        """Returns whether the worker is still there. If not, its last frames may be read before its end."""
        for _ in range(MAX_READS):
            try:
                data = line.sock.recv(RECEIVE)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:  # pragma: no cover - a killed worker's socket ends like this or with an error
                return False
            line.received += data
        return True

    def _forward(self, line: _Line) -> None:
        for frame in take_frames(line.received):
            self._pass_on(line, frame)

    def _bequeath(self) -> None:
        """Asks a worker to take over what others have left."""
        heir = next((line for line in self._lines.values() if line.serves), None)
        if heir is not None:
            for slot, left in self._left.items():
                if left.heir is None:
                    left.heir = heir.index
                    self._send((heir,), Frame(HEIR, heir.index, 0, 0, 0, BEQUEST.pack(slot, left.owner)))

    def _pass_on(self, source: _Line, frame: Frame) -> None:
        receivers: tuple[_Line, ...]
        if frame.kind == STORE:
            reply = replied(self.store, frame.payload)
            self._send((source,), Frame(STORE, source.index, 0, frame.call, 0, reply))
            return
        if frame.kind == HEIR:
            slot, owner = BEQUEST.unpack(frame.payload)
            if slot in self._left and self._left[slot].owner == owner:
                del self._left[slot]
                self._free.append(slot)
            return
        if frame.kind == JOINED:
            source.serves = True
            self._bequeath()
            receivers = self._others(source.index)
        elif frame.to == ALL:
            self._order += 1
            receivers = tuple(self._lines.values())
        elif frame.to == ANY:
            others = self._others(source.index)
            serving = tuple(line for line in others if line.serves)
            receivers = (serving or tuple(line for line in others if line.index < source.index))[:1]
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
