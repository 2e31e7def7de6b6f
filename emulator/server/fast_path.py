"""The fast path for requests whose head is known: they are not parsed again.

A client sends the same head with every request of a kind, except for the length of the body. So the bytes of a head are
cached with what uvicorn and the application made of them, and a complete request that begins with them goes straight to
the engine. Many clients send head and body separately; then the head waits for its body. An answer that is planned
without waiting is sent immediately, or played as a stream; for every other one, a task of the application continues
where the engine has stopped.

Everything unusual is parsed normally: a new head, a request in more than two packets or followed by others, an answer
that is still being sent, a client that expects a `100 Continue`, an upgrade, a page of another origin.
"""

import logging
from asyncio import Future
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import field, replace
from functools import partial
from types import coroutine
from typing import Any, TypeVar

from emulator.clock import Clock
from emulator.engine import PlannedResponse, form_to_count, look_up, recall, recall_counted, recall_form_counted
from emulator.records import struct
from emulator.server import uvicorn_adapter
from emulator.server.app import PENDING, App, PendingResponse, settle
from emulator.server.awaiting import Awaiting, Result
from emulator.server.heads import RequestHead
from emulator.server.playback import Writer, send_in_one, send_recollection
from emulator.server.protocol import ConnectionHandle
from emulator.server.spool import Catch
from emulator.server.strays import misframed
from emulator.server.streaming import stream
from emulator.server.uvicorn_adapter import Scope
from emulator.state.blanks import Recollection
from emulator.state.compiled import CompiledScenario
from emulator.state.exchanges import Exchange, came_on
from emulator.state.namespace import Namespace
from emulator.state.store_reply import StoreReply
from emulator.wire import Playback

Value = TypeVar("Value")
logger = logging.getLogger("emulator")

MAX_HEADS = 256
MAX_HEAD_LENGTH = 4096
MAX_LENGTHS = 64
"""The most body lengths that are cached for one head."""
MAX_HELD = 65536
"""The most bytes of a body for which its head waits."""
MAX_DIGITS = 9
"""The most digits of a length."""
END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"ength: "
"""The end of the name of the Content-Length header, in any capitalization."""
OF_THE_CONNECTION = ("client", "server", "scheme", "state")
"""The parts of a scope that are not in the head."""
TESTED = "0.54."
"""The version of uvicorn for whose protocol this was written."""


def fast_path_for(app: App, protocol_class: type[Any]) -> "FastPath | None":
    """Returns the fast path, if the server's protocol allows one. With another version of uvicorn, it stays off,
    with a log message.
    """
    if not protocol_class.keeps_no_state:
        return None  # h11 must see every byte
    if not uvicorn_adapter.version().startswith(TESTED):
        words = "The fast path for known requests is off: it was made for uvicorn %sx, this is %s."
        logger.warning(words, TESTED, uvicorn_adapter.version())
        return None
    return FastPath(app)


@struct
class Known:
    """The parsed form of a head."""

    scope: Scope
    """The head with the body length of its first request."""
    request_head: RequestHead
    before: bytes
    after: bytes
    """The bytes of the head on both sides of the length."""
    compiled: CompiledScenario
    """The default namespace's scenario at that time, which may decide where the key is."""
    lengths: dict[bytes, RequestHead] = field(default_factory=dict)
    """The head with other body lengths."""

    def of_length(self, length: bytes, namespace: Namespace) -> RequestHead:
        """Returns the head of a request whose body has this length."""
        if self.request_head.compiled is not namespace.compiled:  # its provider may take the key from elsewhere
            self.request_head = self.request_head.within(namespace).routed()
            self.lengths.clear()
        found = self.lengths.get(length)
        if found is None:
            if len(self.lengths) >= MAX_LENGTHS:
                self.lengths.clear()
            found = self.lengths[length] = self.request_head.of_length(length.decode())
        return found


def taken_apart(data: bytes) -> tuple[bytes, bytes, int]:
    """Splits the beginning of a request: the head without the body's length, that length, and where the body begins.
    Empty and 0 if the head is incomplete or has no length.
    """
    end = data.find(END_OF_HEAD, 0, MAX_HEAD_LENGTH) + len(END_OF_HEAD)
    start = data.find(LENGTH, 0, end) + len(LENGTH)
    if end < len(END_OF_HEAD) or start < len(LENGTH):
        return b"", b"", 0
    stop = data.find(b"\r", start)
    length = data[start:stop]
    return (
        (data[:start] + data[stop:end], length, end)
        if length.isdigit() and len(length) <= MAX_DIGITS
        else (b"", b"", 0)
    )


class FastPath:
    """The recent heads, for all connections of one server."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._heads: dict[bytes, Known] = {}

    def learn(self, data: bytes, scope: Scope) -> None:
        """Caches the head of a request that arrived alone, with its head in one packet, and keeps its
        connection open."""
        if self.app.is_recording:
            return
        head, length, end = taken_apart(data)
        headers = dict(scope["headers"])
        if (
            not head
            or scope["method"] != "POST"
            or scope["http_version"] != "1.1"
            or [value for name, value in scope["headers"] if name == b"content-length"] != [length]
            or not head[: head.find(LENGTH)].lower().endswith(b"\r\ncontent-l")
            or len(data) - end > int(length)
            or any(name == b"connection" and value.lower() != b"keep-alive" for name, value in scope["headers"])
            or not headers.keys().isdisjoint((b"transfer-encoding", b"expect", b"upgrade", b"origin"))
        ):
            return
        request_head = self.app.heads.read(scope) if misframed(scope) is None else None
        if request_head is not None and request_head.target.provider and not request_head.complaint:
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            shared = {name: value for name, value in scope.items() if name not in OF_THE_CONNECTION}
            start, compiled = head.find(LENGTH) + len(LENGTH), self.app.namespaces.default.compiled
            request_head = replace(request_head, kind=object()).routed()
            self._heads[head] = Known(shared, request_head, head[:start], head[start:], compiled)

    def awaits(self, protocol: Any, data: bytes) -> bool:
        """Whether this is a known head whose body has not arrived yet."""
        known, length, end = self._known(protocol.handle, data)
        return known is not None and len(data) - end < int(length) <= MAX_HELD and not self.app.is_recording

    def _known(self, handle: ConnectionHandle, data: bytes) -> tuple[Known | None, bytes, int]:
        """The head that a request begins with, the length of the body, and where that begins. As a rule it is the head
        that came last on the connection."""
        known: Known | None = handle.known
        if known is not None and data.startswith(known.before):
            start = len(known.before)
            stop = data.find(b"\r", start, start + MAX_DIGITS + 1)
            length = data[start:stop]
            if length.isdigit() and data.startswith(known.after, stop):
                return known, length, stop + len(known.after)
        head, length, end = taken_apart(data)
        handle.known = self._heads.get(head)
        return handle.known, length, end

    def take(self, protocol: Any, data: bytes) -> bool:
        """Answers a request or lets the application do so. Returns False if it must be parsed."""
        handle, app = protocol.handle, self.app
        known, length, end = self._known(handle, data)
        if known is None or app.is_recording:
            return False
        namespaces = app.namespaces
        if namespaces.default.compiled is not known.compiled:  # a provider may now take the key from elsewhere
            self._heads.clear()
            handle.known = None
            return False
        if len(data) - end != int(length) or handle.is_full or handle.is_lost or app.players.draining:
            return False
        namespace, name = namespaces.default, known.request_head.namespace
        if name is not None:
            if namespaces.complaint(name):
                return False
            namespace = namespaces.get(name)
        request_head = known.of_length(length, namespace)
        clock = namespace.clock
        start = clock.now()
        http_request = request_head.with_body(data[end:])
        before = recalled = None
        try:
            before = None if app.replay is not None else look_up(http_request, namespace)
            recalled = None if before is None else recall(http_request, namespace, app.options, before)
        except Exception:  # it will fail in the same way below, and be logged and answered
            before = None
        if recalled is not None and recalled.is_at_once:
            self.recollect(recalled.recollection, recalled.exchange, protocol, namespace, start)
            return True
        begun = _Begun(self, protocol, known.scope, namespace, clock, start)
        if recalled is not None:
            begun.finish(recalled.response())
            return True
        store, cached = namespace.store, None if before is None else before.cached
        coroutine: Coroutine[Any, Any, Result]
        if store is not None and cached is not None and cached.is_at_once and cached.answer.is_at_once:
            coroutine = recall_counted(cached, http_request, namespace, app.options, store)
        else:
            plan = partial(app.plan, http_request, namespace, handle.has_left, before)
            form = None if store is None else form_to_count(http_request, namespace, app.options, before)
            coroutine = plan() if form is None else recall_form_counted(*form, namespace, app.options, plan)
        try:
            awaited = coroutine.send(None)
        except StopIteration as stop:
            begun.finish(stop.value)
        else:
            if store is not None and isinstance(awaited, Future | StoreReply):
                protocol.ongoing = Awaiting(app, coroutine, awaited, begun.finish, begun.hand_on)
            else:
                begun.hand_on(coroutine, awaited)
        return True

    def send(self, plan: PlannedResponse, protocol: Any, namespace: Namespace, start: float) -> bool:
        """Whether the whole answer could be sent immediately."""
        spool, handle = self.app.spool, protocol.handle
        catch = None if spool is None else Catch(protocol)
        playback = _sent(plan, start, namespace.clock, handle if catch is None else catch)
        if playback is None:
            return False
        plan.exchange.playback = playback
        came_on(plan.exchange, handle.record)
        if spool is not None and catch is not None:
            spool.answered(plan.exchange, catch)
        self.app.close(plan, namespace)
        protocol.rest()
        return True

    def recollect(
        self, recollection: Recollection, exchange: Exchange, protocol: Any, namespace: Namespace, start: float
    ) -> None:
        """Sends a cached answer."""
        handle, spool = protocol.handle, self.app.spool
        came_on(exchange, handle.record)
        if spool is None:
            exchange.playback = send_recollection(recollection, start, namespace.clock, handle)
        else:
            catch = Catch(protocol)
            exchange.playback = send_recollection(recollection, start, namespace.clock, catch)
            spool.answered(exchange, catch, recollection)
        exchange.end(recollection)
        settle(self.app, exchange, namespace)
        protocol.rest()


@struct
class _Begun:
    """A request that the engine has begun to answer."""

    path: FastPath
    protocol: Any
    scope: Scope
    namespace: Namespace
    clock: Clock
    start: float

    def finish(self, result: Result) -> None:
        """Sends the answer, immediately if possible."""
        protocol, path = self.protocol, self.path
        protocol.ongoing = None
        handle = protocol.handle
        takes_all = not (handle.is_full or handle.is_lost)
        if not isinstance(result, PlannedResponse):
            recollection, exchange = result
            if takes_all:
                path.recollect(recollection, exchange, protocol, self.namespace, self.start)
                return
            result = spelled_out(recollection, exchange)  # pragma: no cover - a client is rarely slow or gone just now
        if takes_all and path.send(result, protocol, self.namespace, self.start):
            return
        pending = PendingResponse(result, self.namespace, self.clock, self.start)
        if not (takes_all and stream(pending, path.app, protocol, self.scope)):
            protocol.begin({**self.scope, PENDING: pending})

    def hand_on(self, coroutine: Coroutine[Any, Any, Result], awaited: Any) -> None:
        """Lets a task of the application do the rest."""
        self.protocol.ongoing = None
        pending = PendingResponse(_planned(_rest(coroutine, awaited)), self.namespace, self.clock, self.start)
        self.protocol.begin({**self.scope, PENDING: pending})


def spelled_out(recollection: Recollection, exchange: Exchange) -> PlannedResponse:
    """Returns a cached answer to send step by step."""
    return PlannedResponse(recollection.planned(), exchange)


async def _planned(rest: Awaitable[Result]) -> PlannedResponse:
    result = await rest
    return result if isinstance(result, PlannedResponse) else spelled_out(*result)


def _sent(plan: PlannedResponse, start: float, clock: Clock, handle: Writer) -> Playback | None:
    try:
        return send_in_one(plan.answer, start, clock, handle)
    except ValueError:  # a header that is invalid in HTTP, perhaps from a plugin's provider
        return None  # the task will fail in the same way, and be answered


def started(coroutine: Coroutine[Any, Any, Value]) -> Value | Awaitable[Value]:
    """Runs a coroutine immediately. Returns its result, or the rest of it if it must wait."""
    try:
        awaited = coroutine.send(None)
    except StopIteration as stop:
        result: Value = stop.value
        return result
    return _rest(coroutine, awaited)


@coroutine
def _rest(coroutine: Coroutine[Any, Any, Value], awaited: Any) -> Generator[Any, Any, Value]:
    """The rest of a waiting coroutine, to be awaited in a task."""
    while True:
        try:
            sent = yield awaited
        except BaseException as error:  # the task was canceled
            go_on: Callable[[], Any] = partial(coroutine.throw, error)
        else:
            go_on = partial(coroutine.send, sent)
        try:
            awaited = go_on()
        except StopIteration as stop:
            result: Value = stop.value
            return result
