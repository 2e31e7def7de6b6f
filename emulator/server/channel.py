"""A worker's end of the control channel: asks all workers, and answers what they ask."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from emulator.errors import StoreGone, Unanswered
from emulator.server.broker import (
    ALL,
    ANSWER,
    ANY,
    CALL,
    CANCEL,
    GONE,
    JOINED,
    MORE,
    PART,
    SENT,
    STORE,
    Frame,
    take_frames,
)
from emulator.state.shared import Shared

if TYPE_CHECKING:
    from emulator.control.api import Handle

STORE_TIMEOUT = 3.0
"""Seconds that the parent's store has to reply in."""
ANSWER_TIMEOUT = 10.0
"""Seconds that workers have to answer in."""


@dataclass(frozen=True, slots=True)
class Member:
    """What a worker gets from its parent."""

    index: int
    sock: socket.socket
    """Its end of the control channel."""
    shared: Shared
    """What it counts together with the others."""
    workers: int
    """How many workers there are."""


@dataclass(slots=True, eq=False)
class _Asked:
    """A call whose answers are awaited."""

    done: asyncio.Future[None]
    expected: set[int] | None = None
    """None: it is not known yet to whom it was passed on."""
    answers: dict[int, bytes] = field(default_factory=dict)

    def look(self) -> None:
        """Finds out whether all has come that will come."""
        if self.expected is not None and self.expected <= self.answers.keys() and not self.done.done():
            self.done.set_result(None)


class Channel(asyncio.Protocol):
    """A worker's part: asks all workers, and answers what is asked of this one."""

    def __init__(self, member: Member) -> None:
        self.index = member.index
        self.workers = member.workers
        self._sock = member.sock
        self._handle: Handle | None = None
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._held: list[Frame] = []
        """What came before this worker has taken over what another one was given."""
        self._order = 0
        """Up to where this worker has acted on what went to all."""
        self._calls = 0
        self._asked: dict[int, _Asked] = {}
        self._stored: dict[int, asyncio.Future[bytes]] = {}
        """The replies of the parent's store that are awaited."""
        self._streams: dict[int, asyncio.Queue[Frame]] = {}
        self._played: dict[tuple[int, int], tuple[asyncio.Task[None], asyncio.Event]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False

    async def start(self) -> None:
        """Connect. Calls of others are held back until `serve`."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=self._sock)

    def serve(self, handle: "Handle", order: int = 0) -> None:
        """Answer calls from now on, `order`: which of those that went to all have been taken over already."""
        self._handle, self._order = handle, order
        self._send(JOINED, ALL, 0)
        held, self._held = self._held, []
        for frame in held:
            self._on_call(frame)

    @property
    def order(self) -> int:
        """Up to where this worker has acted on what went to all."""
        return self._order

    def close(self) -> None:
        """The server ends."""
        self._is_closing = True
        for task, _ in self._played.values():
            task.cancel()
        if self._transport is not None:
            self._transport.close()

    async def ask(self, message: bytes, *, to_all: bool = True) -> list[bytes]:
        """The answers of all workers, this one included, in the order of their indices; or of one other that serves, if
        there is one. Raises Unanswered."""
        call = self._next_call()
        asked = self._asked[call] = _Asked(asyncio.get_running_loop().create_future())
        try:
            self._send(CALL, ALL if to_all else ANY, call, message)
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await asked.done
        except TimeoutError:
            missing = sorted((asked.expected or set()) - asked.answers.keys())
            names = ", ".join(map(str, missing)) or "?"
            raise Unanswered(
                f"Worker {names} has not answered within {ANSWER_TIMEOUT:.0f} s; the others have."
            ) from None
        finally:
            del self._asked[call]
        return [answer for _, answer in sorted(asked.answers.items()) if answer]

    async def ask_store(self, message: bytes) -> bytes:
        """The reply of the parent's store. Raises StoreGone. It may run outside of a task."""
        call, loop = self._next_call(), asyncio.get_running_loop()
        reply: asyncio.Future[bytes] = loop.create_future()
        self._stored[call] = reply
        timer = loop.call_later(STORE_TIMEOUT, _is_late, reply)
        try:
            self._send(STORE, ALL, call, message)
            return await reply
        finally:
            timer.cancel()
            del self._stored[call]

    def tell_store(self, message: bytes) -> None:
        """The same without a reply."""
        self._send(STORE, ALL, 0, message)

    async def stream(self, message: bytes) -> AsyncIterator[bytes]:
        """The parts of all workers' answers as they come, until the reader leaves. A worker that comes later joins."""
        call = self._next_call()
        queue = self._streams[call] = asyncio.Queue()
        called: set[int] = set()
        try:
            self._send(CALL, ALL, call, message)
            while True:
                frame = await queue.get()
                if frame.kind == PART:
                    yield frame.payload
                    self._send(MORE, frame.sender, call)
                elif frame.kind == SENT:
                    called |= _indices(frame.payload)
                elif frame.sender not in called:
                    called.add(frame.sender)
                    self._send(CALL, frame.sender, call, message)
        finally:
            del self._streams[call]
            self._send(CANCEL, ALL, call)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        for frame in take_frames(self._received):
            self._on_frame(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_closing:  # the parent has given this worker up, or is gone
            os.kill(os.getpid(), signal.SIGTERM)

    def _on_frame(self, frame: Frame) -> None:
        kind = frame.kind
        if kind == STORE:
            reply = self._stored.get(frame.call)
            if reply is not None and not reply.done():
                reply.set_result(frame.payload)
        elif kind in (CALL, CANCEL):
            if self._handle is None:
                self._held.append(frame)
            else:
                self._on_call(frame)
        elif kind == MORE:
            if (played := self._played.get((frame.sender, frame.call))) is not None:
                played[1].set()
        elif (stream := self._streams.get(frame.call)) is not None and kind in (PART, SENT):
            stream.put_nowait(frame)
        elif kind == JOINED:
            for queue in self._streams.values():
                queue.put_nowait(frame)
        elif kind == GONE:
            for asked in self._asked.values():
                if asked.expected is not None:
                    asked.expected.discard(frame.sender)
                    asked.look()
            for key in [key for key in self._played if key[0] == frame.sender]:
                self._played.pop(key)[0].cancel()
        elif (waiting := self._asked.get(frame.call)) is not None:
            if kind == SENT:
                waiting.expected = _indices(frame.payload)
            elif kind == ANSWER:
                waiting.answers[frame.sender] = frame.payload
            waiting.look()

    def _on_call(self, frame: Frame) -> None:
        key = (frame.sender, frame.call)
        if frame.kind == CANCEL:
            if (played := self._played.pop(key, None)) is not None:
                played[0].cancel()
            return
        if frame.to == ALL:
            if frame.order <= self._order:  # taken over already
                self._send(ANSWER, frame.sender, frame.call)
                return
            self._order = frame.order
        assert self._handle is not None
        answer = self._handle(frame.payload)
        if isinstance(answer, bytes):
            self._send(ANSWER, frame.sender, frame.call, answer)
            return
        event = asyncio.Event()
        if isinstance(answer, AsyncIterator):
            task = asyncio.create_task(self._play(frame, answer, event))
            self._played[key] = (task, event)
        else:
            task = asyncio.create_task(self._answer_later(frame, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_later(self, frame: Frame, answer: Awaitable[bytes]) -> None:
        self._send(ANSWER, frame.sender, frame.call, await answer)

    async def _play(self, frame: Frame, parts: AsyncIterator[bytes], event: asyncio.Event) -> None:
        async for part in parts:
            event.clear()
            self._send(PART, frame.sender, frame.call, part)
            await event.wait()

    def _next_call(self) -> int:
        self._calls = self._calls % 0xFFFFFFFF + 1
        return self._calls

    def _send(self, kind: int, to: int, call: int, payload: bytes = b"") -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(Frame(kind, to, self.index, call, 0, payload).encoded())


def _indices(payload: bytes) -> set[int]:
    return {int.from_bytes(payload[at : at + 2]) for at in range(0, len(payload), 2)}


def _is_late(reply: "asyncio.Future[bytes]") -> None:
    if not reply.done():
        words = f"The store in the parent of the workers has not replied within {STORE_TIMEOUT:.0f} s."
        reply.set_exception(StoreGone(words))
