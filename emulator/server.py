"""Runs the application under uvicorn: the socket, the loop, the signals and an orderly end."""

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import uvicorn

from emulator.app import HOSTS, App
from emulator.clock import WallClock, wait_until
from emulator.door import with_door
from emulator.engine import Options, handshake_fault
from emulator.errors import BindError, EmulatorError, ScenarioError
from emulator.journal import Exchange
from emulator.namespace import Namespaces, Script
from emulator.reloading import fingerprint, watch
from emulator.shortcut import shortcut_for
from emulator.sources import Source
from emulator.wire import Handshake

if TYPE_CHECKING:
    from emulator.interception.front import TlsFront
    from emulator.interception.proxy import Proxy

Result = TypeVar("Result")
logger = logging.getLogger("emulator")

CALL_TIMEOUT = 30.0
GRACE = 2.0
"""Seconds that a shutdown waits for answers to end."""
TICK = 0.1
"""Seconds between two ticks of uvicorn, which renews the header Date every tenth."""
KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: longer than client pools keep theirs, so that the client closes first."""
BACKLOG = 2048
MANUAL_CLOCK = (
    "The clock is manual: streams and delays wait until it is moved. To let 60 seconds pass: "
    'POST /__emulator/clock/advance with Content-Type: application/json and the body {"seconds": 60}; '
    "with ?namespace=NAME for another namespace."
)
HINTS = {
    errno.EADDRINUSE: "Another program listens there; choose another with --port.",
    errno.EACCES: "Ports below 1024 may need more rights; choose another with --port.",
}
PROTOCOLS = {
    "httptools": ("uvicorn.protocols.http.httptools_impl", "HttpToolsProtocol"),
    "h11": ("uvicorn.protocols.http.h11_impl", "H11Protocol"),
}


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How to serve."""

    script: Script
    options: Options = field(default_factory=Options)
    provider: str | None = None
    """Serve this provider alone, at the root."""
    seed: int | None = None
    """Replaces the scenario's seed."""
    sources: tuple[Source, ...] = ()
    """What to load again when its files change; empty: nothing is watched."""
    tell: Callable[[Exchange], None] | None = None
    """What tells each exchange once it is over."""
    hosts: Mapping[str, str] = field(default_factory=lambda: HOSTS)
    """The provider behind each host name."""
    front: "TlsFront | None" = None
    """Speaks TLS at the port."""
    proxy: "Proxy | None" = None
    """Listens beside the port, for clients that keep their documented URLs."""
    loop: Literal["auto", "uvloop", "asyncio"] = "auto"
    http: Literal["httptools", "h11"] = "httptools"


def bind(host: str, port: int, *, listens: bool = True, shares_port: bool = False) -> socket.socket:
    """A listening socket, or one that refuses. Port 0 takes a free one. Raises BindError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares_port:  # each process gets an accept queue of its own
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        if listens:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        hint = HINTS.get(error.errno or 0, "Check --host.")
        raise BindError(f"Cannot listen on {host}:{port}: {error.strerror or error}. {hint}") from None
    except OverflowError:
        sock.close()
        raise BindError(f"Cannot listen on {host}:{port}: a port is a number from 0 to 65535.") from None
    sock.setblocking(False)
    return sock


def _shares_port(sock: socket.socket) -> bool:
    return hasattr(socket, "SO_REUSEPORT") and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT))


class Server:
    """One server in one event loop."""

    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self.app: App | None = None
        self.gate: Gate | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._uvicorn: _Uvicorn | None = None
        self._seen = fingerprint(options.sources, options.script.files) if options.sources else b""

    def run(self, sock: socket.socket, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serve until stopped, by a signal or by `stop()`. Blocks."""
        with asyncio.Runner(loop_factory=loop_factory(self.options.loop)) as runner:
            runner.run(self.serve(sock, on_ready))

    async def serve(self, sock: socket.socket, on_ready: Callable[[], None] = lambda: None) -> None:
        """The same inside a running loop."""
        clock = WallClock()
        namespaces = Namespaces(self.options.script, clock, self.options.seed)
        self.app = App(namespaces, self.options.options, self.options.provider, hosts=self.options.hosts)
        self.app.tell = self.options.tell
        self.app.timing.watch(clock)
        module, name = PROTOCOLS[self.options.http]
        protocol = getattr(import_module(module), name)
        self.gate = Gate(clock)
        http: Any = with_door(protocol, self.gate, shortcut_for(self.app, protocol))
        front, proxy = self.options.front, self.options.proxy
        for each in (front, proxy.front if proxy is not None else None):
            if each is not None:
                each.fault = partial(_handshake_fault, self.app, self.gate)
        config = uvicorn.Config(
            self.app,
            http=http if front is None else front.wrapped(http),  # type: ignore[arg-type]  # called, not looked into
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE + 1,  # type: ignore[arg-type]  # typed as whole seconds, used as any
        )
        self._uvicorn = _Uvicorn(config, self.app, self.gate, on_ready, proxy, http)
        # Requests that are no HTTP are answered with 400; a warning about each would fill the log of a fuzz test.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        watching = asyncio.create_task(self._watch(self.app, stop)) if self.options.sources else None
        try:
            await self._uvicorn.serve(sockets=[sock])
        finally:
            self._loop = None
            stop.set()
            if watching is not None:
                await watching
            clock.close()

    async def _watch(self, app: App, stop: asyncio.Event) -> None:
        def deliver(script: Script) -> None:
            app.namespaces.reload(script)
            app.problems = ()
            if script.scenario.clock == "manual":
                logger.warning(MANUAL_CLOCK)
            logger.info("The scenario was loaded again: %d rules.", len(script.rules.rules))

        def complain(error: ScenarioError) -> None:
            app.problems = error.problems
            logger.error("The scenario cannot be used, the last good version stays:\n%s", error)

        await watch(self.options.sources, self.options.script, deliver, complain, stop, self._seen)

    def call(self, work: Callable[[], Result]) -> Result:
        """Do something in the loop's thread, or here when the server does not run (any more)."""
        loop = self._loop
        if loop is None:
            if self.app is None:
                raise EmulatorError("The emulator was not started: use `with Emulator(…)` or call start().")
            return work()

        async def do() -> Result:
            return work()

        return asyncio.run_coroutine_threadsafe(do(), loop).result(CALL_TIMEOUT)

    def call_async(self, work: Callable[[App], Coroutine[Any, Any, Result]], timeout: float) -> Result:
        """Run a coroutine in the loop's thread and wait for it. Raises TimeoutError."""
        if self._loop is None or self.app is None:
            raise EmulatorError("The emulator does not run.")
        return asyncio.run_coroutine_threadsafe(work(self.app), self._loop).result(timeout)

    def stop(self) -> None:
        """Ask for an orderly end; may be called from any thread."""
        if self._uvicorn is not None:
            self._uvicorn.end()


def _handshake_fault(app: App, gate: "Gate", host: str) -> Handshake | None:
    return gate.breaks_next() or handshake_fault(host, app.namespaces.default, app.options)


class _Uvicorn(uvicorn.Server):
    """uvicorn's server, which ends its streams when it is told to, and leaves with exit code 0."""

    def __init__(
        self,
        config: uvicorn.Config,
        app: App,
        gate: "Gate",
        on_ready: Callable[[], None],
        proxy: "Proxy | None",
        protocol: Callable[..., asyncio.Protocol],
    ) -> None:
        super().__init__(config)
        self._proxy = proxy
        self._protocol = protocol
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()
        self._app = app
        self._gate = gate
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._gate.server = self
        if self._proxy is not None:
            state = {"server_state": self.server_state, "app_state": self.lifespan.state}
            await self._proxy.start(partial(self._protocol, config=self.config, **state), self._gate)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.players.drain()
        self._gate.close()
        if self._proxy is not None:
            self._proxy.stop()
        logging.getLogger("uvicorn.error").disabled = True  # it logs an error for every answer that it has to cancel
        cutting = asyncio.get_running_loop().call_later(GRACE, self._cut_off)
        try:
            if not self.server_state.connections and not self.server_state.tasks:
                for listener in (*self.servers, *(sockets or ())):
                    listener.close()
                return  # uvicorn would wait a moment for nobody
            await super().shutdown(sockets)
            self._cut_off()
            if self.server_state.tasks:
                await asyncio.wait(self.server_state.tasks)
        finally:
            cutting.cancel()
            logging.getLogger("uvicorn.error").disabled = False

    def _cut_off(self) -> None:
        """Leave those who do not even read what is there for them."""
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal asks for an orderly end, the second for an end at once, whichever they are."""
        self.force_exit = self.should_exit
        self.end()

    def end(self) -> None:
        """Ask for the end, from any thread."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed already
                self._loop.call_soon_threadsafe(self._ending.set)

    async def main_loop(self) -> None:
        """uvicorn's, but the end is noticed when it is asked for, not at the next tick."""
        self._loop = asyncio.get_running_loop()
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % 864000
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._ending.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Like uvicorn's, but a signal is an orderly end here, so it is not raised again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Gate:
    """A server's listening sockets: they can be closed for a while, and what they accept can be reset. To be used in
    the event loop. Real time counts, for the port belongs to all namespaces."""

    def __init__(self, clock: WallClock) -> None:
        self.resets = 0
        self.server: uvicorn.Server | None = None
        self._clock = clock
        self._until = 0.0
        self._resets_until = 0.0
        self._broken: tuple[Handshake, int, float] | None = None
        self._reopening: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._reopening is None or self._reopening.done()

    def refuse(self, seconds: float) -> None:
        """Refuse connections for so long, or longer if that was said before. Idle connections are closed and busy ones
        end with their answer, as when a server goes down."""
        if self.server is None:
            return
        self._until = max(self._until, self._clock.now() + seconds)
        if self.is_open:
            self._reopening = asyncio.create_task(self._reopen(self.server, self._shut(self.server)))

    def reset_accepts(self, count: int, seconds: float) -> None:
        """Reset so many more of the connections that come next, within so many seconds."""
        now = self._clock.now()
        if now >= self._resets_until:
            self.resets = 0
        self.resets += count
        self._resets_until = max(self._resets_until, now + seconds)

    def resets_next(self) -> bool:
        """Whether the connection that has just been accepted is to be reset. It counts."""
        if self.resets <= 0:
            return False
        in_time = self._clock.now() < self._resets_until
        self.resets = self.resets - 1 if in_time else 0
        return in_time

    def break_handshakes(self, how: Handshake, count: int, seconds: float) -> None:
        """Let so many more of the TLS handshakes that come next go wrong, within so many seconds."""
        self._broken = (how, count, self._clock.now() + seconds)

    def breaks_next(self) -> Handshake | None:
        """What goes wrong with the handshake that is about to begin. It counts."""
        if self._broken is None:
            return None
        how, count, until = self._broken
        in_time = self._clock.now() < until
        self._broken = (how, count - 1, until) if in_time and count > 1 else None
        return how if in_time else None

    def close(self) -> None:
        """Stay as it is: the server ends."""
        self.server = None
        if self._reopening is not None:
            self._reopening.cancel()

    def _shut(self, server: uvicorn.Server) -> list[socket.socket]:
        sockets = [sock for listener in server.servers for sock in listener.sockets]
        addresses = [(*sock.getsockname()[:2], _shares_port(sock)) for sock in sockets]
        for listener in server.servers:
            listener.close()
        server.servers.clear()
        for connection in tuple(server.server_state.connections):
            if not connection.transport.is_closing():
                connection.shutdown()
        # Bound but not listening: connections are refused, and nobody else can take the port.
        return [bind(host, port, listens=False, shares_port=shares) for host, port, shares in addresses]

    async def _reopen(self, server: uvicorn.Server, bound: list[socket.socket]) -> None:
        loop, config = asyncio.get_running_loop(), server.config
        state: dict[str, Any] = {"server_state": server.server_state, "app_state": server.lifespan.state}
        protocol: Callable[[], Any] = partial(config.http_protocol_class, config=config, **state)  # type: ignore[call-arg]
        try:
            while True:
                await wait_until(self._clock, self._until)
                for sock in bound:
                    server.servers.append(await loop.create_server(protocol, sock=sock, backlog=BACKLOG))
                if self._clock.now() >= self._until:
                    return
                bound = self._shut(server)
        except asyncio.CancelledError:
            for sock in bound:
                sock.close()
            raise


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop where it is to be had, else asyncio's own loop."""
    if name != "asyncio":
        try:
            uvloop: Any = import_module("uvloop")
        except ImportError:
            if name == "uvloop":
                raise
        else:
            factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
            return factory
    return asyncio.new_event_loop
