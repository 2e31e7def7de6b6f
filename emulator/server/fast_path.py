"""A short-cut for requests whose head came before: they need not be parsed again.

A client says the same head with every request of a kind. So the bytes of a head are remembered with what uvicorn and
the application made of them, and a packet that begins with them and holds the whole body goes straight to the
engine. An answer that needs no waiting, neither for work in a thread nor for its pace, is sent on the spot; for every
other one, a task of the application goes on where the engine has come to.

Everything unusual goes the long way: a new head, a request in several packets or with others behind it, an answer that
is still being sent, a client that expects a `100 Continue`, an upgrade, a page of another origin.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from types import coroutine
from typing import Any, NamedTuple, TypeVar

from emulator.clock import Clock
from emulator.engine import PlannedResponse, look_up, recall_at_once
from emulator.server import uvicorn_adapter
from emulator.server.app import PENDING, App, PendingResponse, settle
from emulator.server.heads import RequestHead
from emulator.server.playback import send_in_one, send_recollection
from emulator.server.protocol import ConnectionHandle
from emulator.server.strays import misframed
from emulator.server.uvicorn_adapter import Scope
from emulator.state.exchanges import came_on
from emulator.wire import Playback

Result = TypeVar("Result")
logger = logging.getLogger("emulator")

MAX_HEADS = 256
MAX_HEAD_LENGTH = 4096
END_OF_HEAD = b"\r\n\r\n"
OF_THE_CONNECTION = ("client", "server", "scheme", "state")
"""What a scope says that is not in the head."""
TESTED = "0.54."
"""The uvicorn whose protocol this was made for."""


def fast_path_for(app: App, protocol_class: type[Any]) -> "FastPath | None":
    """The short-cut, where the server's protocol allows one; with another uvicorn it stays off, and says so."""
    if not protocol_class.keeps_no_state:
        return None  # h11 must see every byte
    if not uvicorn_adapter.version().startswith(TESTED):
        words = "The short-cut for known requests is off: it was made for uvicorn %sx, this is %s."
        logger.warning(words, TESTED, uvicorn_adapter.version())
        return None
    return FastPath(app)


class Known(NamedTuple):
    """What was made of a head."""

    scope: Scope
    request_head: RequestHead
    length: int
    """Bytes of the body that has to follow."""


class FastPath:
    """The heads of late, for all connections of one server."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._heads: dict[bytes, Known] = {}
        self._compiled = app.namespaces.default.compiled

    def learn(self, data: bytes, scope: Scope) -> None:
        """Remember the head of a request that came whole and alone in one packet, and keeps its connection open."""
        if self._app.is_recording:
            return
        end = data.find(END_OF_HEAD, 0, MAX_HEAD_LENGTH) + len(END_OF_HEAD)
        length = len(data) - end
        headers = dict(scope["headers"])
        if (
            end < len(END_OF_HEAD)
            or scope["method"] != "POST"
            or scope["http_version"] != "1.1"
            or headers.get(b"content-length") != b"%d" % length
            or any(name == b"connection" and value.lower() != b"keep-alive" for name, value in scope["headers"])
            or not headers.keys().isdisjoint((b"transfer-encoding", b"expect", b"upgrade", b"origin"))
        ):
            return
        request_head = self._app.heads.read(scope) if misframed(scope) is None else None
        if request_head is not None and request_head.target.provider and not request_head.complaint:
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            shared = {name: value for name, value in scope.items() if name not in OF_THE_CONNECTION}
            self._heads[data[:end]] = Known(shared, request_head, length)

    def take(self, protocol: Any, data: bytes) -> bool:
        """Answer a packet or let the application do it; False when it has to be parsed."""
        end = data.find(END_OF_HEAD, 0, MAX_HEAD_LENGTH) + len(END_OF_HEAD)
        known = self._heads.get(data[:end])
        if known is None or self._app.is_recording:
            return False
        scope, request_head, length = known
        app = self._app
        namespaces = app.namespaces
        if namespaces.default.compiled is not self._compiled:  # a provider may now look for the key elsewhere
            self._heads.clear()
            self._compiled = namespaces.default.compiled
            return False
        handle = protocol.handle
        if len(data) - end != length or handle.is_full or handle.is_lost or app.players.draining:
            return False
        if namespaces.complaint(request_head.namespace):
            return False
        namespace = namespaces.get(request_head.namespace)
        if request_head.compiled is not namespace.compiled:  # its provider may look for the key elsewhere
            request_head = request_head.within(namespace)
            self._heads[data[:end]] = Known(scope, request_head, length)
        clock = namespace.clock
        start = clock.now()
        http_request = request_head.with_body(data[end:])
        before = None if app.replay is not None else look_up(http_request, namespace)
        if before is not None and before.cached is not None and before.cached.whole is not None:
            recollection, exchange = recall_at_once(before.cached, http_request, namespace, app.options)
            exchange.playback = send_recollection(recollection, before.cached.whole, start, clock, handle)
            came_on(exchange, handle.record)
            exchange.end(recollection)
            settle(app, exchange, namespace)
            protocol.rest()
            return True
        plan = started(app.plan(http_request, namespace, handle.has_left, before))
        if isinstance(plan, PlannedResponse) and (playback := _sent(plan, start, clock, handle)) is not None:
            plan.exchange.playback = playback
            came_on(plan.exchange, handle.record)
            app.close(plan, namespace)
            protocol.rest()
        else:
            protocol.begin({**scope, PENDING: PendingResponse(plan, namespace, clock, start)})
        return True


def _sent(plan: PlannedResponse, start: float, clock: Clock, handle: ConnectionHandle) -> Playback | None:
    try:
        return send_in_one(plan.answer, start, clock, handle)
    except ValueError:  # a header that HTTP cannot carry, as a provider from elsewhere may write it
        return None  # the task will fail in the same way, and is answered for


def started(coroutine: Coroutine[Any, Any, Result]) -> Result | Awaitable[Result]:
    """Run a coroutine here and now: its result, or the rest of it when it has to wait."""
    try:
        awaited = coroutine.send(None)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    return _rest(coroutine, awaited)


@coroutine
def _rest(coroutine: Coroutine[Any, Any, Result], awaited: Any) -> Generator[Any, Any, Result]:
    """What is left of a coroutine that waits for something: to be awaited in a task."""
    while True:
        try:
            sent = yield awaited
        except BaseException as error:  # the task was cancelled
            go_on: Callable[[], Any] = partial(coroutine.throw, error)
        else:
            go_on = partial(coroutine.send, sent)
        try:
            awaited = go_on()
        except StopIteration as stop:
            result: Result = stop.value
            return result
