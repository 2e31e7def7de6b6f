"""The ASGI application: finds the provider by URL or host, reads the body, lets the engine answer and plays the answer.

A bare ASGI application: every layer around it would cost each token of each stream. Only what is not a provider's
(the front page, the control API) goes through Starlette, which is loaded when first asked for.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from emulator.clock import Clock, VirtualClock
from emulator.control.access import Access
from emulator.engine import Options, PlannedResponse, answer, misused, refused
from emulator.errors import Problem
from emulator.providers import CREDENTIALS, PROVIDERS
from emulator.providers.base import bearer
from emulator.reply import ErrorReply
from emulator.request import HttpRequest
from emulator.server.playback import Players, Receive, Send, play
from emulator.server.protocol import HANDLE
from emulator.server.strays import misframed, without_endpoint, without_provider
from emulator.server.strays import refused as turned_away
from emulator.server.uvicorn_adapter import Scope
from emulator.state.journal import Exchange, RecordedRequest
from emulator.state.namespace import NAME, Namespace, Namespaces
from emulator.state.timing import Timing
from emulator.state.totals import Totals
from emulator.wire import Header, PlannedBody, Playback

logger = logging.getLogger("emulator")

MAX_BODY_BYTES = 32 * 2**20
CONTROL = "/__emulator"
ICON = "/favicon.ico"
PENDING = "emulator.begun"
"""Where a scope holds an answer that has been begun already."""
HOSTS: Mapping[str, str] = {
    host: name for name, provider in PROVIDERS.items() for host in (*provider.hosts, f"{name}.localhost")
}
"""The provider behind each host name."""


NO_NAMESPACE = "is not the name of a namespace: 1 to 128 letters, digits, dots, hyphens and underscores."
NAMESPACE_HEADER = "x-emulator-namespace"
NAMESPACE_KEY = "sk-emu-"
ALLOWED_HEADERS = ", ".join(sorted({"authorization", "content-type", "x-api-key", *CREDENTIALS}))
"""What a page may send when it does not say what it wants to."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: a provider, the documented path, and what the URL names besides: namespace and faults."""

    provider: str
    """Empty when the URL names none."""
    path: str
    namespace: str | None = None
    """As it stands there, whether it can be one or not."""
    faults: tuple[str, ...] = ()
    prefix: str = ""
    """Namespace and faults as they stand in the URL."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What the head of a request says: all that is to be known before its body is read."""

    target: Target
    method: str
    headers: Mapping[str, str]
    """Names in lower case."""
    query: str
    key: str | None
    """The credential, wherever the provider lets it stand."""
    namespace: str | None
    complaint: str = ""
    """Why the request cannot be sent to the world that it names."""
    sent_path: str = ""
    """The path as it was sent."""
    size: int = 0
    """Bytes of the head."""

    def with_body(self, body: bytes) -> HttpRequest:
        """The whole request."""
        target = self.target
        return HttpRequest(
            target.provider,
            self.method,
            target.path,
            self.headers,
            self.query,
            body,
            key=self.key,
            faults=target.faults,
            sent_path=self.sent_path,
            head_size=self.size,
        )


@dataclass(frozen=True, slots=True)
class PendingResponse:
    """An answer on its way, with the world and the clock that it began with."""

    plan: PlannedResponse | Awaitable[PlannedResponse]
    namespace: Namespace
    clock: Clock
    start: float
    is_for_a_page: bool = False
    """Whether a browser asks for a page, which has to be allowed to read it."""


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
        self.hosts = hosts
        self.max_body_bytes = max_body_bytes
        self.access = Access()
        """Who may use the control API."""
        self.players = Players()
        self.timing = Timing()
        self.totals = Totals()
        self.on_exchange: Callable[[Exchange], None] | None = None
        """What tells each exchange once it is over."""
        self.problems: tuple[Problem, ...] = ()
        """What is wrong with the newest version of the files; the last good one answers meanwhile."""
        self._open = 0
        self._idle: list[asyncio.Future[None]] = []
        self._control: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if PENDING in scope:
            await self._answer(scope[PENDING], scope, send)
            return
        if (unfit := misframed(scope)) is not None:
            await self._turn_away(*unfit, scope, send)
            return
        request_head = self.open(scope)
        if request_head is None:
            await self._to_control(scope, receive, send)
            return
        complaint = request_head.complaint or self.namespaces.complaint(request_head.namespace)
        namespace = self.namespaces.get(None if complaint else request_head.namespace)
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
        clock = namespace.clock  # the world may be given another before this answer is over
        start = clock.now()
        http_request = request_head.with_body(body)
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
        self._open += 1
        try:
            if not isinstance(plan, PlannedResponse):
                plan = await plan
            try:
                if pending.is_for_a_page:
                    plan = replace(plan, answer=opened(plan.answer))
                exchange = plan.exchange
                exchange.connection, exchange.planned = scope["state"][HANDLE].number, plan.answer
                exchange.playback = await play(
                    plan.answer, pending.start, pending.clock, scope, send, self.players, exchange
                )
            finally:
                self.close(plan, namespace)
        finally:
            self._open -= 1
            if not self._open:
                self._tell_idle()

    def open(self, scope: Scope) -> RequestHead | None:
        """Read the head of a request; None when it is for the front page or the control API."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        target = self.locate(scope["path"], headers.get("host", ""))
        if target is None:
            return None
        query = scope["query_string"].decode("latin-1")
        if target.provider:
            key = self.namespaces.default.compiled.providers[target.provider].credential_in(headers, query)
        else:
            key = bearer(headers)
        name = named(headers, key) if target.namespace is None else target.namespace
        sent_path = scope.get("raw_path", b"").decode("latin-1") or scope["path"]
        size = len(sent_path) + len(query) + sum(len(key) + len(value) + 4 for key, value in scope["headers"])
        complaint = ""
        if name is not None and not NAME.fullmatch(name):
            name, complaint = None, f"{name!r} {NO_NAMESPACE}"
        return RequestHead(target, scope["method"], headers, query, key, name, complaint, sent_path, size)

    def close(self, plan: PlannedResponse, namespace: Namespace) -> None:
        """Records a finished answer."""
        exchange, answer = plan.exchange, plan.answer
        playback = exchange.playback
        if playback is not None and isinstance(answer, PlannedBody) and answer.at and playback.ended == "complete":
            self.timing.note(playback, answer.at[-1] - answer.at[0])
        if exchange.status in (404, 405):
            exchange.notes += self._mend(exchange.request, namespace)
        plan.end()
        self.totals.note(exchange)
        namespace.journal.settle(exchange)
        if self.on_exchange is not None:
            self.on_exchange(exchange)

    @property
    def speed(self) -> float:
        """How many times as fast all paces are."""
        return self.options.speed

    def set_speed(self, speed: float) -> None:
        """Multiply all paces from the next answer on. Copies of answers know what is sent at once, so they go."""
        self.options = replace(self.options, speed=speed)
        for namespace in self.namespaces:
            namespace.response_cache.clear()

    async def until_idle(self) -> None:
        """Return once no request is being answered."""
        if self._open:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(future)
            await future

    def _tell_idle(self) -> None:
        for future in self._idle:
            if not future.done():
                future.set_result(None)
        self._idle.clear()

    def locate(self, path: str, host: str) -> Target | None:
        """The provider that a URL belongs to: by host name, by the server's own provider, or by the first segment.
        Before it may stand `/@NAME`, a namespace, and `/~KIND:param=value`, faults. None for what is the server's."""
        whole, namespace = path, None
        faults: list[str] = []
        while path.startswith(("/@", "/~")):
            name, slash, rest = path[2:].partition("/")
            if path[1] == "~":
                faults.append(name)
            else:
                namespace = name
            path = slash + rest
        prefix = whole[: len(whole) - len(path)]
        is_named = namespace is None or NAME.fullmatch(namespace)
        if path.startswith(CONTROL) and not faults and is_named:
            return None
        by_host = self.hosts.get(host.partition(":")[0].lower()) or self.provider
        if by_host is not None:
            return Target(by_host, path, namespace, tuple(faults))
        if whole in ("/", ICON):
            return None
        name, slash, rest = path[1:].partition("/")
        if name not in PROVIDERS:
            return Target("", path, namespace, tuple(faults), prefix)
        return Target(name, slash + rest, namespace, tuple(faults))

    def _mend(self, request: RecordedRequest, namespace: Namespace) -> tuple[str, ...]:
        """For a path that its provider does not have: what would do."""
        if not request.provider or request.operation:
            return ()
        return (without_endpoint(request, namespace.compiled.providers[request.provider]),)

    def _stray(
        self, http_request: HttpRequest, namespace: Namespace, request_head: RequestHead, complaint: str
    ) -> PlannedResponse:
        """The answer to a request that reaches no provider."""
        if complaint:
            return PlannedResponse(*turned_away(http_request, namespace, 400, complaint, "namespace"))
        target, providers = request_head.target, namespace.compiled.providers
        message = without_provider(http_request.method, target.path, target.prefix, providers)
        origin = f"http://{http_request.headers.get('host', 'localhost')}{target.prefix}"
        urls = {"providers": {name: f"{origin}/{name}" for name in PROVIDERS}}
        return PlannedResponse(*turned_away(http_request, namespace, 404, message, "provider", urls))

    async def _turn_away(self, status: int, reason: str, scope: Scope, send: Send) -> None:
        """Refuse a request whose head is no HTTP/1.1; its body is not read, as nobody knows where it ends."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query, namespace = scope["query_string"].decode("latin-1"), self.namespaces.default
        http_request = HttpRequest("", scope["method"], scope["path"], headers, query, b"")
        start = namespace.clock.now()
        plan = PlannedResponse(*turned_away(http_request, namespace, status, reason, "http"))
        await self._answer(PendingResponse(plan, namespace, namespace.clock, start), scope, send)

    async def plan(
        self, http_request: HttpRequest, namespace: Namespace, has_left: Callable[[], bool]
    ) -> PlannedResponse:
        """What is to be sent. Never raises. Slow work ends soon after the client `has_left`."""
        clock = namespace.clock
        try:
            if not isinstance(clock, VirtualClock):
                return await answer(http_request, namespace, self.options, has_left)
            with clock.working():
                return await answer(http_request, namespace, self.options, has_left)
        except Exception:
            logger.exception("The emulator failed on %s %s: please report this", http_request.method, http_request.path)
            return refused(
                http_request, namespace, ErrorReply(name="server_error", headers={"x-emulator-error": "internal"})
            )

    async def _read(self, receive: Receive, headers: Mapping[str, str]) -> bytes | None:
        """The whole body; None when the client has gone. Raises _TooLarge, without reading the rest."""
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


def named(headers: Mapping[str, str], key: str | None) -> str | None:
    """What a request names by header or key as its namespace."""
    name = headers.get(NAMESPACE_HEADER)
    if name is None and key is not None and key.startswith(NAMESPACE_KEY):
        return key.removeprefix(NAMESPACE_KEY)
    return name


def too_large(http_request: HttpRequest, namespace: Namespace) -> PlannedResponse:
    """What is left of the body is not read, so nothing can follow on its connection."""
    return refused(http_request, namespace, ErrorReply(name="too_large", headers={"connection": "close"}))


def opened(answer: Any) -> Any:
    """The same answer for a page of any origin."""
    own: tuple[Header, ...] = ((b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"*"))
    if isinstance(answer, PlannedBody):
        return replace(answer, headers=answer.headers + own)
    return [replace(step, headers=step.headers + own) if hasattr(step, "headers") else step for step in answer]


def preflight(headers: Mapping[str, str]) -> PlannedBody:
    """The answer to a browser that asks whether it may. The headers are named: `*` does not cover Authorization."""
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
        streamed=True,  # a 204 has no body, so no length either
    )
