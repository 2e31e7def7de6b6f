"""Accepts connections and ends them: what a server does with its sockets."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import partial
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING
from weakref import WeakSet

from emulator.clock import WallClock
from emulator.engine import handshake_fault
from emulator.server.app import App
from emulator.server.fast_path import fast_path_for
from emulator.server.listener_control import ListenerControl
from emulator.server.protocol import Connection, ConnectionHandle
from emulator.server.sockets import BACKLOG
from emulator.server.uvicorn_adapter import ServerState, settings
from emulator.wire import Handshake

if TYPE_CHECKING:
    from emulator.interception.front import TlsFront
    from emulator.interception.proxy import Proxy

GRACE = 2.0
"""Seconds that a shutdown waits for open answers."""
CLOSE_TIMEOUT = 0.05
"""Seconds for closing connections to close; only clients that don't read need them."""
CANCEL_AFTER = 1.0
"""Seconds for an answer's work to end once its connection is closed."""
KEEP_ALIVE = 75
"""Seconds that an idle connection stays open: longer than in client pools, so that the client closes first."""
ACCEPTS = 4
"""The number of connections accepted in one turn of uvloop's loop: by default, one, and turns are long under load."""
CONNECTIONS = {
    "httptools": ("emulator.server.connection_httptools", "HttpToolsConnection"),
    "h11": ("emulator.server.connection_h11", "H11Connection"),
}


class HttpServer:
    """Accepts connections for the application until it is asked to stop; then open answers get some time to end."""

    def __init__(
        self,
        app: App,
        parser: str,
        clock: WallClock,
        front: "TlsFront | None" = None,
        proxy: "Proxy | None" = None,
    ) -> None:
        module, name = CONNECTIONS[parser]
        connection_class = getattr(import_module(module), name)
        self.listener_control = ListenerControl(clock, self)
        self.server_state = ServerState()
        self.servers: list[asyncio.Server] = []
        self._app = app
        self._clock = clock
        self._make_connection = partial(
            connection_class,
            config=settings(app, connection_class, KEEP_ALIVE),
            server_state=self.server_state,
            app_state={},
            listener_control=self.listener_control,
            fast_path=fast_path_for(app, connection_class),
        )
        self._front, self._proxy = front, proxy
        for each in (front, proxy.front if proxy is not None else None):
            if each is not None:
                each.fault = self._handshake_fault
        self._loop = asyncio.get_running_loop()
        self._grace = GRACE
        self._stopping = asyncio.Event()
        self._is_over = asyncio.Event()
        """Set when no connection is left, or after a second signal."""

    async def serve(self, sock: socket.socket, on_ready: Callable[[], None]) -> None:
        """Serves until `stop`."""
        _running.add(self)
        with self._signals():
            self._set_date()
            await self.listen(sock)
            if self._proxy is not None:
                await self._proxy.start(self._make_connection, self.listener_control)
            on_ready()
            while not self._stopping.is_set():
                self._set_date()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1 - self._clock.time() % 1):
                        await self._stopping.wait()
            await self._end()

    def descriptors(self) -> list[int]:
        """Returns the descriptors of all its sockets."""
        sockets = [sock for server in self.servers for sock in server.sockets]
        sockets += [connection.transport.get_extra_info("socket") for connection in self.server_state.connections]
        return [number for sock in sockets if sock is not None and (number := sock.fileno()) >= 0]

    async def listen(self, sock: socket.socket) -> None:
        """Accepts connections on a socket."""
        make: Callable[[], asyncio.Protocol] = self._make_connection
        if self._front is not None:
            make = partial(self._front.protocol, make)
        is_slow = type(self._loop).__module__.partition(".")[0] == "uvloop"
        for listener in (sock, *[sock.dup() for _ in range(ACCEPTS - 1)]) if is_slow else (sock,):
            self.servers.append(await self._loop.create_server(make, sock=listener, backlog=BACKLOG))

    def _handshake_fault(self, host: str) -> Handshake | None:
        return self.listener_control.breaks_next() or handshake_fault(
            host, self._app.namespaces.default, self._app.options
        )

    def stop(self, grace: float = GRACE) -> None:
        """Starts to stop; if it has already started, stops immediately."""
        if self._stopping.is_set():
            self._is_over.set()
        self._grace = grace
        self._stopping.set()

    def lost(self) -> None:
        """Removes a closed connection."""
        if self._stopping.is_set() and not self.server_state.connections:
            self._is_over.set()

    def _set_date(self) -> None:
        self.server_state.default_headers = [(b"date", formatdate(self._clock.time(), usegmt=True).encode())]

    async def _end(self) -> None:
        state = self.server_state
        self.listener_control.close()
        for each in (self._proxy, self._proxy.front if self._proxy is not None else None, self._front):
            if each is not None:
                each.stop()
        for server in self.servers:
            server.close()
        self._app.players.drain(self._grace)
        for connection in tuple(state.connections):
            connection.shutdown()
        await self._until_over(self._grace)
        self._cut_off(lambda handle: not handle.is_lost)
        await self._until_over(CLOSE_TIMEOUT)
        self._cut_off(lambda handle: True)
        if state.tasks:
            _, late = await asyncio.wait(state.tasks, timeout=CANCEL_AFTER)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        for server in self.servers:
            await server.wait_closed()
        _running.discard(self)

    async def _until_over(self, seconds: float) -> None:
        """Returns once no connection is left, after a second signal, or after `seconds`."""
        if self.server_state.connections and seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._is_over.wait()

    def _cut_off(self, whom: Callable[[ConnectionHandle], bool]) -> None:
        for connection in tuple(self.server_state.connections):
            assert isinstance(connection, Connection)
            if whom(connection.handle):
                connection.handle.cut()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first signal stops the server in an orderly way, the second one immediately, whichever they are."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            self._loop.call_soon_threadsafe(self.stop)

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


_running: "WeakSet[HttpServer]" = WeakSet()


def _leave_to_parent() -> None:
    """Closes the servers' sockets in a forked child, since only its parent serves them. Otherwise, the port would
    stay open and connections would not end while the child runs. Their descriptors stay in use, since their owners
    may close them again.
    """
    if not _running:
        return
    nothing = os.open(os.devnull, os.O_RDWR)
    for server in _running:
        for number in server.descriptors():
            os.dup2(nothing, number, inheritable=False)
    os.close(nothing)
    _running.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch - the tests do not run on Windows, which has no forks
    os.register_at_fork(after_in_child=_leave_to_parent)
