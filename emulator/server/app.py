"""The ASGI application: finds the provider by URL or host, reads the body, and plays the engine's answer.

It is a bare ASGI application, since every layer around it would add its cost to each token of each stream. Only other
routes (the front page, the control API) use Starlette, which is loaded on first use.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from emulator.clock import Clock, VirtualClock
from emulator.control.access import Access
from emulator.engine import Lookup, Options, PlannedResponse, answer, misused, refused
from emulator.errors import Problem
from emulator.providers import CREDENTIALS, PROVIDERS
from emulator.records import record
from emulator.reply import ErrorReply
from emulator.request import HttpRequest
from emulator.server.heads import HOSTS, Heads, RequestHead
from emulator.server.playback import Receive, Send, play
from emulator.server.players import Players
from emulator.server.protocol import HANDLE
from emulator.server.strays import misframed, turned_away, without_endpoint, without_provider
from emulator.server.uvicorn_adapter import Scope
from emulator.state.exchanges import Exchange, came_on
from emulator.state.namespace import Namespace
from emulator.state.namespaces import Namespaces
from emulator.state.recorded import RecordedRequest
from emulator.state.timing import Timing
from emulator.state.totals import Totals
from emulator.wire import Header, PlannedBody, Playback

if TYPE_CHECKING:
    from emulator.control.controlled import Peers
    from emulator.control.stored import Stored
    from emulator.server.recorder import Recorder
    from emulator.server.replaying import Replay
    from emulator.server.spool import Spool
    from emulator.state.redis_connection import RedisConnection

logger = logging.getLogger("emulator")

MAX_BODY_BYTES = 32 * 2**20
PENDING = "emulator.begun"
"""The key in a scope for an answer that has already begun."""
ALLOWED_HEADERS = ", ".join(sorted({"authorization", "content-type", "x-api-key", *CREDENTIALS}))
"""The headers that a page may send if its preflight request lists none."""


@record
class PendingResponse:
    """An open answer, with the namespace and the clock with which it began."""

    plan: PlannedResponse | Awaitable[PlannedResponse]
    namespace: Namespace
    clock: Clock
    start: float
    is_for_a_page: bool = False
    """Whether the request is from a page in a browser, which needs CORS headers."""


class _TooLarge(Exception):
    """The body of a request is over the limit."""


class App:
    """One server's application."""

    def __init__(
        self,
        namespaces: Namespaces,
        options: Options,
        provider: str | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        hosts: Mapping[str, str] = HOSTS,
    ) -> None:
        self.namespaces = namespaces
        self.options = options
        self.provider = provider
        self.heads = Heads(namespaces, provider, hosts)
        self.max_body_bytes = max_body_bytes
        self.access = Access()
        """Who may use the control API."""
        self.replay: Replay | None = None
        """A saved run to replay."""
        self.recorder: Recorder | None = None
        """Forwards requests to the real providers and records their answers."""
        self.is_recording = False
        """Whether any namespace, or all of them, are being recorded."""
        self.players = Players()
        self.timing = Timing()
        self.totals = Totals()
        self.peers: Peers | None = None
        """The workers of this server, or its replicas, including this process."""
        self.stored: Stored | None = None
        """Its part of the store that the replicas share."""
        self.redis: RedisConnection | None = None
        """The connection to the store that this server shares with others."""
        self.act_on_listener: Callable[[Mapping[str, Any]], None] = lambda _: None
        """Changes the listening sockets as another worker was asked to."""
        self.spool: Spool | None = None
        """Keeps exchanges safe from the death of this process, if others show them."""
        self.on_exchange: Callable[[Exchange], None] | None = None
        """Called with each exchange once it has ended."""
        self.problems: tuple[Problem, ...] = ()
        """The problems in the newest version of the files; meanwhile, the last valid one answers."""
        self._open = 0
        self._idle: list[asyncio.Future[None]] = []
        self._control: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if PENDING in scope:
            await self._answer(scope[PENDING], scope, send)
            return
        if (unfit := misframed(scope)) is not None:
            await self._turn_away(*unfit, scope, send)
            return
        request_head = self.heads.read(scope)
        if request_head is None:
            await self._to_control(scope, receive, send)
            return
        complaint = request_head.complaint or self.namespaces.complaint(request_head.namespace)
        namespace = self.namespaces.get(None if complaint else request_head.namespace)
        request_head = request_head.within(namespace)
        if request_head.method == "OPTIONS" and request_head.target.provider:
            await self._send(preflight(request_head.headers), namespace, scope, send)
            return
        is_too_large = False
        try:
            body = await self._read(receive, request_head.headers)
        except _TooLarge:
            body, is_too_large = b"", True
        if body is None:
            return  # the client left while it was sending
        clock = namespace.clock  # the namespace may get another clock before this answer ends
        start = clock.now()
        http_request = request_head.with_body(body)
        if self.is_recording and request_head.target.provider and not is_too_large and not complaint:
            recorder = namespace.recorder or self.recorder
            if recorder is not None and await recorder.take(self, http_request, namespace, scope, send):
                return
        plan: PlannedResponse | Awaitable[PlannedResponse]
        if not request_head.target.provider:
            plan = self._stray(http_request, namespace, request_head, complaint)
        elif is_too_large:
            plan = too_large(http_request, namespace)
        elif complaint:
            plan = misused(http_request, namespace, complaint, "namespace")
        else:
            plan = self.plan(http_request, namespace, scope["state"][HANDLE].has_left)
        is_for_a_page = bool(request_head.target.provider) and "origin" in request_head.headers
        await self._answer(PendingResponse(plan, namespace, clock, start, is_for_a_page), scope, send)

    async def _answer(self, pending: PendingResponse, scope: Scope, send: Send) -> None:
        plan, namespace = pending.plan, pending.namespace
        began(self)
        try:
            if not isinstance(plan, PlannedResponse):
                plan = await plan
            try:
                if pending.is_for_a_page:
                    plan = replace(plan, answer=with_cors_headers(plan.answer))
                exchange = plan.exchange
                came_on(exchange, scope["state"][HANDLE].record)
                exchange.planned = plan.answer
                before_last = None
                if self.spool is not None:
                    before_last = self.spool.begin(exchange)
                    await self.spool.safe()
                exchange.playback = await play(
                    plan.answer, pending.start, pending.clock, scope, send, self.players, exchange, before_last
                )
            finally:
                self.close(plan, namespace)
        finally:
            ended(self)

    def close(self, plan: PlannedResponse, namespace: Namespace) -> None:
        """Records a finished answer."""
        exchange, answer = plan.exchange, plan.answer
        playback = exchange.playback
        if playback is not None and isinstance(answer, PlannedBody) and answer.at and playback.ended == "complete":
            self.timing.note(playback, answer.at[-1] - answer.at[0])
        if exchange.status in (404, 405):
            exchange.notes += self._mend(exchange.request, namespace)
        plan.end()
        settle(self, exchange, namespace)

    @property
    def speed(self) -> float:
        """The speed multiplier for all paces."""
        return self.options.speed

    def set_speed(self, speed: float) -> None:
        """Multiplies all paces from the next answer on. Drops cached answers, which depend on the speed."""
        self.options = replace(self.options, speed=speed)
        for namespace in self.namespaces:
            namespace.response_cache.clear()

    async def until_idle(self) -> None:
        """Waits until no request is being answered."""
        if self._open:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(future)
            await future

    def _mend(self, request: RecordedRequest, namespace: Namespace) -> tuple[str, ...]:
        """Suggests a path, for one that the provider doesn't have."""
        if not request.provider or request.operation:
            return ()
        mended = without_endpoint(request, namespace.compiled.providers[request.provider])
        return (mended,) if mended else ()

    def _stray(
        self, http_request: HttpRequest, namespace: Namespace, request_head: RequestHead, complaint: str
    ) -> PlannedResponse:
        """Returns the answer to a request that reaches no provider."""
        if complaint:
            return PlannedResponse(*turned_away(http_request, namespace, 400, complaint, "namespace"))
        target, providers = request_head.target, namespace.compiled.providers
        message = without_provider(http_request.method, target.path, target.prefix, providers)
        origin = f"http://{http_request.headers.get('host', 'localhost')}{target.prefix}"
        urls = {"providers": {name: f"{origin}/{name}" for name in PROVIDERS}}
        return PlannedResponse(*turned_away(http_request, namespace, 404, message, "provider", urls))

    async def _turn_away(self, status: int, reason: str, scope: Scope, send: Send) -> None:
        """Rejects a request whose head isn't valid HTTP/1.1. Its body isn't read, because its end is unknown."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query, namespace = scope["query_string"].decode("latin-1"), self.namespaces.default
        http_request = HttpRequest("", scope["method"], scope["path"], headers, query, b"")
        start = namespace.clock.now()
        plan = PlannedResponse(*turned_away(http_request, namespace, status, reason, "http"))
        await self._answer(PendingResponse(plan, namespace, namespace.clock, start), scope, send)

    async def plan(
        self,
        http_request: HttpRequest,
        namespace: Namespace,
        has_left: Callable[[], bool],
        before: Lookup | None = None,
    ) -> PlannedResponse:
        """Returns the answer to send. Never raises. Slow work ends soon after the client `has_left`."""
        clock = namespace.clock
        try:
            if self.replay is not None and (planned := self.replay.take(http_request, namespace)) is not None:
                return planned
            if not isinstance(clock, VirtualClock):
                return await answer(http_request, namespace, self.options, has_left, before)
            with clock.working():
                return await answer(http_request, namespace, self.options, has_left)
        except Exception:
            logger.exception("The emulator failed on %s %s: please report this", http_request.method, http_request.path)
            return refused(
                http_request, namespace, ErrorReply(name="server_error", headers={"x-emulator-error": "internal"})
            )

    async def _read(self, receive: Receive, headers: Mapping[str, str]) -> bytes | None:
        """Returns the whole body; None if the client has left. Raises _TooLarge, without reading the rest."""
        declared = headers.get("content-length", "")
        if len(declared) > 7 and int(declared) > self.max_body_bytes:
            raise _TooLarge
        message = await receive()
        if message["type"] == "http.request" and not message["more_body"]:
            whole: bytes = message["body"]
            return whole
        parts: list[bytes] = []
        size = 0
        while message["type"] == "http.request":
            parts.append(message["body"])
            size += len(message["body"])
            if size > self.max_body_bytes:
                raise _TooLarge
            if not message["more_body"]:
                return b"".join(parts)
            message = await receive()
        return None

    async def _send(self, planned: PlannedBody, namespace: Namespace, scope: Scope, send: Send) -> Playback:
        return await play(planned, namespace.clock.now(), namespace.clock, scope, send, self.players)

    async def _to_control(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._control is None:
            from emulator.control.http import ControlApp  # Starlette takes a tenth of a second to load

            self._control = ControlApp(self)
        await self._control(scope, receive, send)


def began(app: App) -> None:
    """An answer is under way."""
    app._open += 1


def ended(app: App) -> None:
    """It no longer is."""
    app._open -= 1
    if not app._open:
        for future in app._idle:
            if not future.done():
                future.set_result(None)
        app._idle.clear()


async def answer_with(app: App, plan: PlannedResponse, namespace: Namespace, scope: Scope, send: Send) -> None:
    """Continues an answer that has already begun."""
    await app._answer(PendingResponse(plan, namespace, namespace.clock, namespace.clock.now()), scope, send)


def settle(app: App, exchange: Exchange, namespace: Namespace) -> None:
    """Counts a finished exchange, and reports it."""
    app.totals.note(exchange)
    if app.spool is not None:
        app.spool.end(exchange)
    namespace.journal.settle(exchange)
    if app.on_exchange is not None:
        app.on_exchange(exchange)


def too_large(http_request: HttpRequest, namespace: Namespace) -> PlannedResponse:
    """Marks the connection for closing, since the rest of the body isn't read."""
    return refused(http_request, namespace, ErrorReply(name="too_large", headers={"connection": "close"}))


def with_cors_headers(answer: Any) -> Any:
    """Adds CORS headers for pages of any origin."""
    own: tuple[Header, ...] = ((b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"*"))
    if isinstance(answer, PlannedBody):
        return replace(answer, headers=answer.headers + own)
    return [replace(step, headers=step.headers + own) if hasattr(step, "headers") else step for step in answer]


def preflight(headers: Mapping[str, str]) -> PlannedBody:
    """Returns the answer to a CORS preflight request. It lists the headers, because `*` does not cover
    Authorization."""
    wanted = headers.get("access-control-request-headers", ALLOWED_HEADERS)
    return PlannedBody(
        204,
        (
            (b"access-control-allow-origin", b"*"),
            (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
            (b"access-control-allow-headers", wanted.encode("latin-1")),
            (b"access-control-max-age", b"600"),
        ),
        (),
        streamed=True,  # a 204 has no body and no Content-Length
    )
