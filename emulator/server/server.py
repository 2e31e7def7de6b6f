"""Runs the application under uvicorn: the socket, the loop, the signals and a clean shutdown."""

import asyncio
import contextlib
import errno
import logging
import os
import secrets
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from functools import partial
from hashlib import blake2b
from importlib import import_module
from itertools import count
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from weakref import WeakSet

import orjson

from emulator.clock import WallClock, wait_until
from emulator.control.access import Access
from emulator.engine import Options, handshake_fault
from emulator.errors import BindError, EmulatorError, ScenarioError, StoreGone
from emulator.records import record
from emulator.scenario.sources import Source
from emulator.server.app import App
from emulator.server.fast_path import fast_path_for
from emulator.server.heads import HOSTS
from emulator.server.protocol import Connection, ConnectionHandle
from emulator.server.uvicorn_adapter import ServerState, settings
from emulator.state.compiled import CompiledScenario
from emulator.state.exchanges import Exchange
from emulator.state.journal import MAX_BYTES, MAX_UNCUT, Shelf
from emulator.state.namespace import Namespace
from emulator.state.namespaces import Namespaces
from emulator.state.reloading import fingerprint, watch
from emulator.state.store import LASTING_COUNTS, Store, change_of
from emulator.wire import Handshake

if TYPE_CHECKING:
    from emulator.interception.front import TlsFront
    from emulator.interception.proxy import Proxy
    from emulator.server.channel import Channel, Member
    from emulator.server.recorder import Recorder
    from emulator.server.replaying import Replay
    from emulator.server.sharing import Sharing
    from emulator.state.redis_connection import RedisConnection, StoreAddress
    from emulator.state.redis_store import RedisStore
    from emulator.state.shared import Shared

Result = TypeVar("Result")
logger = logging.getLogger("emulator")

CALL_TIMEOUT = 30.0
GRACE = 2.0
"""Seconds that a shutdown waits for open answers."""
CLOSE_TIMEOUT = 0.05
"""Seconds for closing connections to close; only clients that don't read need them."""
CANCEL_AFTER = 1.0
"""Seconds for an answer's work to end once its connection is closed."""
KEEP_ALIVE = 75
"""Seconds that an idle connection stays open: longer than in client pools, so that the client closes first."""
WATCH_DELAY = 0.25
"""Seconds after which the watch of scenario files begins: what it loads must not delay the first answers. A change in
between is not missed."""
BACKLOG = 2048
ACCEPTS = 4
"""The number of connections accepted in one turn of uvloop's loop: by default, one, and turns are long under load."""
MANUAL_CLOCK = (
    "The clock is manual: streams and delays wait until you advance it. To advance it by 60 seconds: "
    'POST /__emulator/clock/advance with Content-Type: application/json and the body {"seconds": 60}; '
    "with ?namespace=NAME for another namespace."
)
HINTS = {
    errno.EADDRINUSE: "Another program is using this port; choose another with --port.",
    errno.EACCES: "Ports below 1024 may need more rights; choose another with --port.",
}
CONNECTIONS = {
    "httptools": ("emulator.server.connection_httptools", "HttpToolsConnection"),
    "h11": ("emulator.server.connection_h11", "H11Connection"),
}


@record
class ServerOptions:
    """The options of a server."""

    compiled: CompiledScenario
    engine: Options = field(default_factory=Options)
    provider: str | None = None
    """Serve only this provider, at the root."""
    seed: int | None = None
    """Overrides the scenario's seed."""
    sources: tuple[Source, ...] = ()
    """The sources to reload when their files change; empty if nothing is watched."""
    on_exchange: Callable[[Exchange], None] | None = None
    """Called with each exchange once it has ended."""
    exports_spans: bool = False
    """Whether each exchange gets an OpenTelemetry span."""
    access: Access = field(default_factory=Access)
    """Who may use the control API."""
    hosts: Mapping[str, str] = field(default_factory=lambda: HOSTS)
    """The provider behind each host name."""
    store: "StoreAddress | None" = None
    """The Redis that keeps the server's state; None: the server keeps it."""
    member: "Member | None" = None
    """Its connection to other workers, if it is a worker."""
    front: "TlsFront | None" = None
    """Handles TLS on the port."""
    proxy: "Proxy | None" = None
    """A second listener, for clients that keep their documented URLs."""
    replay: "Replay | None" = None
    """A saved run to replay."""
    recorder: "Recorder | None" = None
    """Forwards requests to the real providers and records their answers."""
    loop: Literal["auto", "uvloop", "asyncio"] = "auto"
    http: Literal["httptools", "h11"] = "httptools"


def bind(host: str, port: int, *, listens: bool = True, shares_port: bool = False) -> socket.socket:
    """A listening socket, or one that refuses connections. Port 0 picks a free one. Raises BindError."""
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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


class Server:
    """One server in one event loop."""

    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self.app: App | None = None
        self.http: HttpServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._process = 0
        self._lock = threading.RLock()
        self._calls: deque[Callable[[], None]] = deque()
        self._seen = fingerprint(options.sources, options.compiled.files) if options.sources else b""

    def run(self, sock: socket.socket, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serves until stopped by a signal or by `stop()`, and closes the socket. Blocks."""
        with sock, asyncio.Runner(loop_factory=loop_factory(self.options.loop)) as runner:
            runner.run(self.serve(sock, on_ready))

    async def serve(self, sock: socket.socket, on_ready: Callable[[], None] = lambda: None) -> None:
        """The same inside a running loop."""
        clock = WallClock()
        member = self.options.member
        shelf = None
        if member is not None:
            shelf = Shelf(MAX_BYTES // member.workers, MAX_UNCUT // member.workers, member.shared)
        is_replica = self.options.store is not None
        channel = None if member is None else _channel(member)
        redis = shared = None
        store: Store | None = None if channel is None or is_replica else _worker_store(channel)
        if self.options.store is not None:
            redis = await _connected(self.options.store)
            store = shared = _redis_store(redis)
        namespaces = Namespaces(self.options.compiled, clock, self.options.seed, shelf, store)
        engine = self.options.engine
        if shared is not None:  # ids that it makes alone must differ from all others
            engine = replace(engine, salt=secrets.randbits(48) + 1)
        app = App(namespaces, engine, self.options.provider, hosts=self.options.hosts)
        app.on_exchange, app.access = self.options.on_exchange, self.options.access
        app.replay = self.options.replay
        app.recorder, app.is_recording = self.options.recorder, self.options.recorder is not None
        app.timing.watch(clock)
        app.redis = redis
        http = HttpServer(app, self.options.http, clock, self.options.front, self.options.proxy)
        stop = asyncio.Event()
        watching = asyncio.create_task(self._watch(app, stop)) if self.options.sources else None
        with self._lock:
            self.app, self.http = app, http
            self._loop, self._thread, self._process = asyncio.get_running_loop(), threading.get_ident(), os.getpid()
        if channel is not None and member is not None:
            http.listener_control.join(member.shared, partial(_tell_workers, channel))
            app.act_on_listener = http.listener_control.act
            await _join(app, channel, is_replica=is_replica)
        sharing = None if app.redis is None else await _sharing(app, app.redis, clock)
        try:
            await http.serve(sock, on_ready)
        finally:
            if channel is not None:
                channel.close()
            with self._lock:  # from now on, callers do the work themselves
                self._loop = None
                self._do_calls()
            stop.set()
            if watching is not None:
                await watching
            if self.options.recorder is not None:
                await self.options.recorder.close()
            if sharing is not None:
                await sharing.close()
            if shared is not None:
                await shared.close()
            if redis is not None:
                await redis.close()
            clock.close()

    async def _watch(self, app: App, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        restarting: set[asyncio.Task[None]] = set()

        def deliver(compiled: CompiledScenario) -> None:
            restarts = app.namespaces.reload(compiled)
            if restarts:
                restarting.add(task := loop.create_task(_restarted(restarts, compiled)))
                task.add_done_callback(restarting.discard)
            app.problems = ()
            if compiled.scenario.clock == "manual":
                logger.warning(MANUAL_CLOCK)
            logger.info("The scenario was reloaded: %d rules.", len(compiled.rules.rules))

        def complain(error: ScenarioError) -> None:
            app.problems = error.problems
            logger.error("The scenario is invalid, so the last valid version stays active:\n%s", error)

        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), WATCH_DELAY)
        await watch(self.options.sources, self.options.compiled, deliver, complain, stop, self._seen)

    def call(self, work: Callable[[], Result]) -> Result:
        """Runs a function in the loop's thread, or in this thread if the server is not running. Raises EmulatorError
        if it was never started, or runs in the parent of this process.
        """
        with self._lock:
            if self.app is None:
                raise EmulatorError("The emulator was not started: use `with Emulator(…)` or call start().")
            loop = self._running_loop()
            if loop is None or threading.get_ident() == self._thread:
                return work()
            result: Future[Result] = Future()
            self._calls.append(partial(_do, work, result))
            loop.call_soon_threadsafe(self._do_calls)
        return result.result(CALL_TIMEOUT)

    def call_async(self, work: Callable[[App], Coroutine[Any, Any, Result]], timeout: float) -> Result:
        """Runs a coroutine in the loop's thread and waits for it. Raises TimeoutError, or EmulatorError if the
        server is not running or stops in the meantime.
        """
        with self._lock:
            loop, app = self._running_loop(), self.app
            if loop is None or app is None:
                raise EmulatorError("The emulator is not running; call start() first.")
            future = asyncio.run_coroutine_threadsafe(work(app), loop)
        try:
            return future.result(timeout)
        except CancelledError:
            raise EmulatorError("The emulator has stopped in the meantime.") from None

    def _do_calls(self) -> None:
        while self._calls:
            self._calls.popleft()()

    def _running_loop(self) -> asyncio.AbstractEventLoop | None:
        if self._loop is not None and self._process != os.getpid():
            raise EmulatorError(
                f"The emulator runs in process {self._process}; a process forked from it can only use its URLs."
            )
        return self._loop

    @property
    def listener_control(self) -> "ListenerControl | None":
        """The listening sockets, once they exist."""
        return self.http.listener_control if self.http is not None else None

    @property
    def is_elsewhere(self) -> bool:
        """Whether the server runs in the process from which this one was forked."""
        return self._loop is not None and self._process != os.getpid()

    def stop(self, grace: float = GRACE) -> None:
        """Requests an orderly stop, from any thread. Answers that are still open after `grace` seconds are reset."""
        with self._lock:
            loop, http = self._loop, self.http
            if loop is not None and http is not None and not self.is_elsewhere:
                loop.call_soon_threadsafe(http.stop, grace)


async def _connected(address: "StoreAddress") -> "RedisConnection":
    from emulator.state.redis_connection import RedisConnection

    connection = RedisConnection(address)
    await connection.start()
    return connection


def _redis_store(connection: "RedisConnection") -> "RedisStore":
    from emulator.state.redis_store import RedisStore

    store = RedisStore(connection)
    store.start()
    return store


def _channel(member: "Member") -> "Channel":
    from emulator.server.channel import Channel

    return Channel(member)


def _worker_store(channel: "Channel") -> "Store":
    from emulator.server.worker_store import WorkerStore

    return WorkerStore(channel)


async def _restarted(namespaces: Sequence[tuple[Namespace, bool]], compiled: CompiledScenario) -> None:
    """Restarts the shared store with a scenario: only once, although each process reloads it."""
    text = await asyncio.to_thread(repr, compiled.scenario)
    token = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    for namespace, renews_quotas in namespaces:
        change = change_of("restart", 0, token=token, keys=list(LASTING_COUNTS), renews_quotas=renews_quotas)
        try:
            assert namespace.store is not None
            await namespace.store.change(namespace.name, change)
        except StoreGone as error:
            logger.error("The rules of namespace %s keep their counts after the reload: %s", namespace.name, error)


async def _join(app: App, channel: "Channel", *, is_replica: bool) -> None:
    """Makes a server one of several workers. With a store, workers send each other only messages about the port."""
    from emulator.control.calls import join, perform

    await channel.start()
    if is_replica:
        channel.serve(partial(perform, app))
    else:
        app.peers = channel
        await join(app, channel)


def _tell_workers(channel: "Channel", order: dict[str, Any]) -> None:
    """Sends all workers an order for their listening sockets."""
    from emulator.server.broker import ALL, CALL

    channel.send(CALL, ALL, 0, orjson.dumps({"listener": order}))


async def _sharing(app: App, connection: "RedisConnection", clock: WallClock) -> "Sharing":
    """Makes a server one of several replicas."""
    from emulator.server.sharing import Sharing

    sharing = Sharing(app, connection, clock)
    await sharing.start()
    return sharing


def _do(work: Callable[[], Result], result: "Future[Result]") -> None:
    try:
        result.set_result(work())
    except BaseException as error:
        result.set_exception(error)


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


@dataclass(slots=True)
class _Charge:
    """A fault for the next connections."""

    count: int
    until: float
    how: Handshake | None
    key: int
    """The key under which all workers count it."""
    used: int = 0
    """The number of connections that it has applied to in this process."""

    def takes(self, now: float, shared: "Shared | None") -> bool:
        """Whether it applies to the next connection; counts it."""
        if self.used >= self.count or now >= self.until:
            self.used = self.count
        elif shared is not None and not shared.claim(self.key, 0, self.count, hits=True):
            self.used = self.count  # by the other workers
        else:
            self.used += 1
            return True
        return False


class ListenerControl:
    """A server's listening sockets: they can be closed for a while, and what they accept can be broken, in all workers.
    To be used in the event loop. It uses real time, since the port belongs to all namespaces.
    """

    def __init__(self, clock: WallClock, server: HttpServer) -> None:
        self.numbers = count(1)
        self._server: HttpServer | None = server
        self._clock = clock
        self._until = 0.0
        self._resets: list[_Charge] = []
        self._broken: _Charge | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._shared: Shared | None = None
        self._tell: Callable[[dict[str, Any]], None] = self.act
        self.lost = server.lost

    def join(self, shared: "Shared", tell: Callable[[dict[str, Any]], None]) -> None:
        """Shares the port with other workers. `tell` makes all of them `act`, including this one."""
        self._shared, self._tell = shared, tell

    @property
    def is_open(self) -> bool:
        return self._reopening is None or self._reopening.done()

    @property
    def is_untouched(self) -> bool:
        """Whether it accepts connections, and no fault closes or breaks them."""
        return self.is_open and not self._resets and self._broken is None

    def refuse(self, seconds: float) -> None:
        """Refuses connections for this long, or longer if an earlier call said so. Idle connections are closed and
        busy ones end with their answer, as when a server goes down.
        """
        self._tell({"what": "refuse", "seconds": seconds})

    def reset_accepts(self, count: int, seconds: float) -> None:
        """Resets the next `count` connections (in addition to earlier calls), within `seconds`."""
        self._charge("reset", count, seconds, "")

    def break_handshakes(self, how: Handshake, count: int, seconds: float) -> None:
        """Breaks the next `count` TLS handshakes, within `seconds`."""
        self._charge("handshake", count, seconds, how)

    def _charge(self, what: str, count: int, seconds: float, how: str) -> None:
        key = secrets.randbits(63)
        if self._shared is not None:
            self._shared.open(key)
        self._tell({"what": what, "count": count, "seconds": seconds, "how": how, "key": key})

    def act(self, order: Mapping[str, Any]) -> None:
        """Executes an order that any of the workers has received."""
        if order["what"] == "refuse":
            self._refuse(order["seconds"])
            return
        until = self._clock.now() + order["seconds"]
        charge = _Charge(order["count"], until, order["how"] or None, order["key"])
        if order["what"] == "reset":
            self._resets.append(charge)
        else:
            self._broken = charge

    def _refuse(self, seconds: float) -> None:
        if self._server is None:
            return
        self._until = max(self._until, self._clock.now() + seconds)
        if self.is_open:
            self._reopening = asyncio.create_task(self._reopen(self._server, self._shut(self._server)))

    def resets_next(self) -> bool:
        """Whether to reset the connection that has just been accepted; counts it."""
        while self._resets:
            if self._resets[0].takes(self._clock.now(), self._shared):
                if self._resets[0].used == self._resets[0].count:
                    del self._resets[0]
                return True
            del self._resets[0]
        return False

    def breaks_next(self) -> Handshake | None:
        """Returns how to break the handshake that is about to begin; counts it."""
        charge = self._broken
        if charge is None:
            return None
        takes = charge.takes(self._clock.now(), self._shared)
        if charge.used >= charge.count:
            self._broken = None
        return charge.how if takes else None

    def close(self) -> None:
        """Stops all timers, at the server's end."""
        self._server = None
        if self._reopening is not None:
            self._reopening.cancel()

    def _shut(self, server: HttpServer) -> list[socket.socket]:
        sockets = [sock for listener in server.servers for sock in listener.sockets]
        addresses = dict.fromkeys([(*sock.getsockname()[:2], _shares_port(sock)) for sock in sockets])
        for listener in server.servers:
            listener.close()
        server.servers.clear()
        for connection in tuple(server.server_state.connections):
            if not connection.transport.is_closing():
                connection.shutdown()
        # Bound but not listening: connections are refused, and no other program can take the port.
        return [bind(host, port, listens=False, shares_port=shares) for host, port, shares in addresses]

    async def _reopen(self, server: HttpServer, bound: list[socket.socket]) -> None:
        try:
            while True:
                await wait_until(self._clock, self._until)
                for sock in bound:
                    await server.listen(sock)
                if self._clock.now() >= self._until:
                    return
                bound = self._shut(server)
        except asyncio.CancelledError:
            for sock in bound:
                sock.close()
            raise


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Returns uvloop's loop factory if it is available, otherwise asyncio's own."""
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
