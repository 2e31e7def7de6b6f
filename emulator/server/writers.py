"""How a recorder parses and writes in the background: on a thread, or in a process that outlives it."""

import asyncio
import contextlib
import gc
import os
import pickle
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any, Protocol, cast

from emulator.offload import yielding_often
from emulator.recording.tape import Tape
from emulator.server.keeping import Asked, Keeper, Seen

LENGTH = 8
"""The bytes of the length before a message."""
NICE = 10
"""The niceness of the writing process, so that it yields to forwarded streams on a busy processor."""


class Writer(Protocol):
    """Runs a `Keeper` outside of the event loop."""

    async def open(self) -> None:
        """Must be called before the first `take`; further calls do nothing."""

    def take(self, asked: Asked, tape: Tape, upstream: str) -> "asyncio.Future[Seen]":
        """Parses and keeps a response. It is kept even if this process is killed (if the writer is a process), or
        soon after.
        """

    async def close(self) -> None:
        """Returns once everything is written."""


class ThreadWriter:
    """Works on a thread that yields often, so that no request waits for it. What it has not written is lost with the
    process.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._pool = ThreadPoolExecutor(1, "recorder")
        self._writes: set[asyncio.Future[None]] = set()

    async def open(self) -> None:
        pass

    def take(self, asked: Asked, tape: Tape, upstream: str) -> "asyncio.Future[Seen]":
        loop = asyncio.get_running_loop()
        seen: asyncio.Future[Seen] = loop.create_future()

        def work() -> None:
            with yielding_often():
                self._keeper.work(asked, tape, upstream, lambda found: loop.call_soon_threadsafe(_set, seen, found))

        writing = loop.run_in_executor(self._pool, work)
        self._writes.add(writing)
        writing.add_done_callback(self._writes.discard)
        return seen

    async def close(self) -> None:
        while self._writes:
            await asyncio.wait(tuple(self._writes))
        await asyncio.to_thread(self._pool.shutdown)


class ProcessWriter:
    """Works in a separate process, forked while this one has no threads. Once a response is handed over, it is kept
    whatever happens to this process.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._link: _Link | None = None
        self._opening = asyncio.Lock()
        self._socket, far = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            self._socket.close()
            _write(far, keeper)
        far.close()
        self._socket.setblocking(False)

    async def open(self) -> None:
        async with self._opening:  # the first requests may arrive together
            if self._link is not None:
                return
            loop = asyncio.get_running_loop()
            _, self._link = await loop.create_connection(lambda: _Link(self._keeper), sock=self._socket)

    def take(self, asked: Asked, tape: Tape, upstream: str) -> "asyncio.Future[Seen]":
        assert self._link is not None
        return self._link.send(asked, tape, upstream)

    async def close(self) -> None:
        if self._link is not None:
            await self._link.close()
        else:
            self._socket.close()
        with contextlib.suppress(ChildProcessError):
            await asyncio.to_thread(os.waitpid, self._pid, 0)


class _Link(asyncio.Protocol):
    """The recorder's end of the connection to its writing process."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._transport = cast(asyncio.Transport, None)
        self._seen: dict[int, asyncio.Future[Seen]] = {}
        self._open: set[int] = set()
        """Responses that are not kept yet."""
        self._number = 0
        self._data = b""
        self._idle: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, asked: Asked, tape: Tape, upstream: str) -> "asyncio.Future[Seen]":
        """Hands a response over."""
        seen: asyncio.Future[Seen] = asyncio.get_running_loop().create_future()
        self._number += 1
        self._seen[self._number] = seen
        self._open.add(self._number)
        if self._transport.is_closing():
            self.connection_lost(None)
        else:
            self._transport.write(packed((self._number, asked, tape, upstream)))
        return seen

    def data_received(self, data: bytes) -> None:
        self._data += data
        while len(self._data) >= LENGTH:
            end = LENGTH + int.from_bytes(self._data[:LENGTH], "big")
            if len(self._data) < end:
                return
            message, self._data = self._data[LENGTH:end], self._data[end:]
            self._heard(*pickle.loads(message))

    def _heard(self, kind: str, number: int, value: Any) -> None:
        if kind == "say":
            self._keeper.say(value)
        elif kind == "recorded":
            self._keeper.on_recorded(value)
        elif kind == "seen":
            _set(self._seen.pop(number), value)
        else:
            self._keeper.counts.add(value)
            self._open.discard(number)
            self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        lost, self._open = len(self._open), set()
        for seen in self._seen.values():
            _set(seen, Seen(0))
        self._seen.clear()
        if lost:
            self._keeper.counts.failed += lost
            self._keeper.say(f"not recorded: the writing process has ended before {lost} answers were written.")
        self._settle()

    def _settle(self) -> None:
        if not self._open and self._idle is not None:
            _set(self._idle, None)

    async def close(self) -> None:
        """Returns once everything is written."""
        if self._open:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        self._transport.close()


def _set(future: "asyncio.Future[Any]", value: Any) -> None:
    if not future.done():
        future.set_result(value)


def packed(message: Any) -> bytes:
    """Encodes a message for the connection."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(LENGTH, "big") + data


def _write(line: socket.socket, keeper: Keeper) -> None:
    """Runs the writing process, until the other end of the connection is closed for any reason. Never returns."""
    code = 1
    try:
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)
        gc.enable()  # it is disabled while the recorder starts
        os.setpgid(0, 0)  # a signal for all processes of the recorder must not affect what it has handed over
        os.nice(NICE)
        with yielding_often():
            serve(line, keeper)
        code = 0
    finally:
        os._exit(code)


def serve(line: socket.socket, keeper: Keeper) -> None:
    """The writing process: has the keeper work on each response from the connection, until its other end is closed
    and nothing is left to do.
    """

    def tell(kind: str, number: int, value: Any) -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            line.sendall(packed((kind, number, value)))

    keeper.say = lambda text: tell("say", 0, text)
    keeper.on_recorded = lambda path: tell("recorded", 0, path)
    messages: SimpleQueue[bytes | None] = SimpleQueue()
    threading.Thread(target=_read, args=(line, messages.put), daemon=True).start()
    while (message := messages.get()) is not None:
        number, asked, tape, upstream = pickle.loads(message)
        keeper.work(asked, tape, upstream, partial(tell, "seen", number))
        tell("done", number, keeper.counts.taken())


def _read(line: socket.socket, put: Callable[[bytes | None], None]) -> None:
    """Reads messages as soon as they are sent, however much is still to be written: the other end may be killed."""
    reader = line.makefile("rb", buffering=2**20)
    with contextlib.suppress(OSError):
        while len(head := reader.read(LENGTH)) == LENGTH:
            size = int.from_bytes(head, "big")
            message = reader.read(size)
            if len(message) < size:
                break  # the other end was killed in the middle of this message
            put(message)
    put(None)
