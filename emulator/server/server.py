"""Runs the application under uvicorn: the socket, the loop, the signals and a clean shutdown."""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import field, replace
from functools import partial
from hashlib import blake2b
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import orjson

from emulator.clock import Clock, WallClock
from emulator.control.access import Access
from emulator.engine import Options
from emulator.errors import EmulatorError, ScenarioError, StoreGone
from emulator.records import record
from emulator.scenario.sources import Source
from emulator.server.app import App
from emulator.server.heads import HOSTS
from emulator.server.http_server import GRACE, HttpServer
from emulator.state.compiled import CompiledScenario
from emulator.state.exchanges import Exchange
from emulator.state.journal import MAX_BYTES, MAX_UNCUT, Shelf
from emulator.state.namespace import Namespace
from emulator.state.namespaces import Namespaces
from emulator.state.reloading import fingerprint, watch
from emulator.state.store import LASTING_COUNTS, Store, change_of

if TYPE_CHECKING:
    from emulator.interception.front import TlsFront
    from emulator.interception.proxy import Proxy
    from emulator.server.channel import Channel, Member
    from emulator.server.listener_control import ListenerControl
    from emulator.server.recorder import Recorder
    from emulator.server.replaying import Replay
    from emulator.server.sharing import Sharing
    from emulator.state.redis_connection import RedisConnection, StoreAddress
    from emulator.state.redis_store import RedisStore

Result = TypeVar("Result")
logger = logging.getLogger("emulator")

CALL_TIMEOUT = 30.0
WATCH_DELAY = 0.25
"""Seconds after which the watch of scenario files begins: what it loads must not delay the first answers. A change in
between is not missed."""
MANUAL_CLOCK = (
    "The clock is manual: streams and delays wait until you advance it. To advance it by 60 seconds: "
    'POST /__emulator/clock/advance with Content-Type: application/json and the body {"seconds": 60}; '
    "with ?namespace=NAME for another namespace."
)


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
            if not is_replica:
                _keep(app, channel, member, clock)
            await _join(app, channel, is_replica=is_replica)
        sharing = None if shared is None or redis is None else await _sharing(app, redis, shared, clock)
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
        except TimeoutError:
            future.cancel()  # nobody waits for it any longer
            raise
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


def _keep(app: App, channel: "Channel", member: "Member", clock: Clock) -> None:
    """Keeps a worker's exchanges where others find them if it is killed."""
    from emulator.server.worker_spool import WorkerSpool

    boxes, shelf = member.boxes, app.namespaces.shelf
    most = member.workers * shelf.most_bytes
    shelf.free = lambda: most - boxes.journals_of_others(member.slot)
    app.spool = spool = WorkerSpool(app, boxes[member.slot], member.index)
    channel.inherit = lambda slot, owner: spool.adopt(boxes[slot], owner)
    spool.watch(clock)


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


async def _sharing(app: App, connection: "RedisConnection", store: "RedisStore", clock: WallClock) -> "Sharing":
    """Makes a server one of several replicas."""
    from emulator.server.sharing import Sharing

    sharing = Sharing(app, connection, store.packets, clock)
    await sharing.start()
    return sharing


def _do(work: Callable[[], Result], result: "Future[Result]") -> None:
    try:
        result.set_result(work())
    except BaseException as error:
        result.set_exception(error)


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
