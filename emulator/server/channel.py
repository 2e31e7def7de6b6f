"""A worker's end of the control channel: calls all workers, and answers their calls."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, cast

from emulator.errors import StoreGone, Unanswered
from emulator.records import record
from emulator.server.black_box import Boxes
from emulator.server.broker import ALL, ANY, BEQUEST, CALL, HEIR, STORE, Frame, take_frames
from emulator.server.conversation import Conversation
from emulator.state.shared import Shared

if TYPE_CHECKING:
    from emulator.control.controlled import Handle

STORE_TIMEOUT = 3.0
"""Seconds to wait for a reply of the parent's store."""
ANSWER_TIMEOUT = 10.0
"""Seconds to wait for the workers' answers."""


@record
class Member:
    """What a worker receives from its parent."""

    index: int
    sock: socket.socket
    """Its end of the control channel."""
    shared: Shared
    """The counts that it shares with the others."""
    workers: int
    """The number of workers."""
    boxes: Boxes
    """The memory of all workers that outlives them."""
    slot: int
    """The number of its own box."""


class Channel(asyncio.Protocol):
    """A worker's part: calls all workers, and answers calls to this one."""

    def __init__(self, member: Member) -> None:
        self.index = member.index
        self.workers = member.workers
        self.inherit: Callable[[int, int], None] | None = None
        """Takes over the box with this number, of the worker with this index, which is gone."""
        self._sock = member.sock
        self._talk = Conversation(self.send)
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._stored: dict[int, asyncio.Future[bytes]] = {}
        """The awaited replies of the parent's store."""
        self._last = 0
        """The number of the last call to it."""
        self._is_closing = False

    async def start(self) -> None:
        """Connects. Calls of others are queued until `serve`."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=self._sock)

    def serve(self, handle: "Handle", order: int = 0) -> None:
        """Starts answering calls. `order`: the calls to all up to this number have already been taken over."""
        self._talk.serve(handle, order)

    @property
    def order(self) -> int:
        """The number of the last call to all on which this worker has acted."""
        return self._talk.answers.order

    def close(self) -> None:
        """Stops, at the server's end."""
        self._is_closing = True
        self._talk.answers.stop()
        if self._transport is not None:
            self._transport.close()

    def check(self) -> None:
        """Always succeeds: the other workers can always be reached."""

    async def ask(self, message: bytes, *, is_write: bool = False) -> list[bytes]:
        """Returns the answers of all workers, including this one, in the order of their indexes. All act on calls in
        the same order. Raises Unanswered.
        """
        return await self._ask(message, ALL, repeats=not is_write)

    async def ask_one(self, message: bytes) -> list[bytes]:
        """Returns the answer of another worker, if there is one; asks the next if it ends first. Raises Unanswered."""
        return await self._ask(message, ANY, repeats=True)

    async def _ask(self, message: bytes, to: int, *, repeats: bool = False) -> list[bytes]:
        with self._talk.asking() as question:
            self.send(CALL, to, question.call, message)
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT):
                    await question.done
            except TimeoutError:
                names = ", ".join(map(str, question.missing)) or "?"
                raise Unanswered(
                    f"Worker {names} has not answered within {ANSWER_TIMEOUT:.0f} s; the others have."
                ) from None
            if not (repeats and question.has_lost):
                return question.parts()
        return await self._ask(message, to, repeats=True)  # others have what the lost one had, or take it over

    def ask_store(self, message: bytes) -> "asyncio.Future[bytes]":
        """Returns the reply of the parent's store. Raises StoreGone."""
        loop = asyncio.get_running_loop()
        call = self._last = self._last % 0xFFFFFFFF + 1
        reply: asyncio.Future[bytes] = loop.create_future()
        timer = loop.call_later(STORE_TIMEOUT, _is_late, reply)

        def over(_: object) -> None:
            timer.cancel()
            del self._stored[call]

        self._stored[call] = reply
        reply.add_done_callback(over)
        self.send(STORE, ALL, call, message)
        return reply

    def stream(self, message: bytes) -> AsyncIterator[bytes]:
        """Yields the parts of all workers' answers as they arrive, until the reader leaves. New workers join in."""
        return self._talk.stream(message)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        for frame in take_frames(self._received):
            if frame.kind == HEIR:
                if self.inherit is not None:
                    self.inherit(*BEQUEST.unpack(frame.payload))
                self.send(HEIR, ALL, 0, frame.payload)
            elif frame.kind != STORE:
                self._talk.on_frame(frame)
            elif (reply := self._stored.get(frame.call)) is not None and not reply.done():
                reply.set_result(frame.payload)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_closing:  # the parent has dropped this worker, or is gone
            os.kill(os.getpid(), signal.SIGTERM)

    def send(self, kind: int, to: int, call: int, payload: bytes = b"") -> None:
        """Sends a frame; to call all workers without waiting for answers, `call` is 0."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(Frame(kind, to, self.index, call, 0, payload).encoded())


def _is_late(reply: "asyncio.Future[bytes]") -> None:
    if not reply.done():
        words = f"The store in the parent of the workers has not replied within {STORE_TIMEOUT:.0f} s."
        reply.set_exception(StoreGone(words))
