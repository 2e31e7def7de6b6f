"""A connection that httptools parses. It only parses, so answers can be written past it."""

import asyncio
from collections.abc import Sized
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from emulator.server.protocol import BAD_REQUEST, MAX_PIPELINED, Connection
from emulator.server.uvicorn_adapter import Scope

_FRAMING = (b"content-length", b"transfer-encoding")


class _Dropped(list[tuple[bytes, bytes]]):
    """A sink for trailer fields, which come after the body and aren't headers."""

    def append(self, header: tuple[bytes, bytes]) -> None:
        pass


_TRAILER = _Dropped()


class _Unawaited(asyncio.Event):
    """The event of a request that has been read, for which nobody waits. An actual one costs more to make."""

    def __init__(self) -> None:
        pass

    def set(self) -> None:
        pass


class HttpToolsConnection(Connection, HttpToolsProtocol):
    """uvicorn's httptools protocol with a `ConnectionHandle`."""

    __slots__ = ("_answering",)
    keeps_no_state = True
    most_backlog = MAX_PIPELINED

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.backlog: Sized = self.pipeline
        self._answering: RequestResponseCycle | None = None

    def feed(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                self._ignore_upgrade()
            except httptools.HttpParserError:
                self.give_up(BAD_REQUEST)
                return
            else:
                return

    def _ignore_upgrade(self) -> None:
        """Continues with HTTP/1.1 after a head that asks for another protocol, as RFC 9110 7.8 allows. llhttp treats
        such a head as the end of HTTP and skips the body, so another parser continues at the beginning of the body.
        """
        framing = [b"%b: %b\r\n" % header for header in self.scope["headers"] if header[0] in _FRAMING]
        parser = httptools.HttpRequestParser(_AfterUpgrade(self))
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser = parser
        parser.feed_data(b"".join([b"POST / HTTP/1.1\r\n", *framing, b"\r\n"]))

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.headers = _TRAILER

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # its body must still be read
        super().on_message_complete()
        if not self.parser.should_keep_alive():
            self.cycle.keep_alive = False  # a trailer may say so too, and llhttp reads nothing after it
        self.cycle.more_body = False  # uvicorn ignores it if the answer was sent before the body arrived

    def is_pipelining(self) -> bool:
        return bool(self.pipeline)

    def cycle_for(self, scope: Scope) -> RequestResponseCycle:
        state = {"client": self.client, "server": self.server, "scheme": self.scheme, "state": self.app_state}
        whole: Any = {**scope, **state}
        return RequestResponseCycle(
            scope=whole,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=_Unawaited(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=self.on_response_complete,
        )

    def start(self, cycle: Any) -> None:
        self._start_asgi_task(cycle, self.app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        answering, self._answering = self._answering, None
        if answering is not None and not answering.response_complete:
            answering.disconnected = True  # uvicorn notifies only the last of pipelined requests
            answering.message_event.set()
        super().connection_lost(exc)


class _AfterUpgrade:
    """The callbacks of a parser for the body of a request; they ignore its artificial head."""

    def __init__(self, connection: HttpToolsConnection) -> None:
        self._connection = connection
        self._is_in_head = True
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_message_complete

    def on_message_begin(self) -> None:
        if not self._is_in_head:
            self._connection.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._is_in_head:
            self._connection.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:
            self._connection.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._is_in_head:
            self._is_in_head = False
        else:
            self._connection.on_headers_complete()
