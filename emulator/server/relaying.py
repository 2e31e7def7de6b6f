"""Forwards a request to the real provider, and relays the bytes of its response as they arrive."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import NamedTuple, cast
from urllib.parse import quote, urlsplit
from weakref import WeakKeyDictionary, finalize, ref

from emulator.clock import Clock
from emulator.errors import UsageError
from emulator.providers import PROVIDERS
from emulator.recording.tape import EndFinder, Tape
from emulator.request import HttpRequest
from emulator.server.keeping import Seen
from emulator.server.players import Players
from emulator.server.protocol import ConnectionHandle
from emulator.wire import Ended, Header, Playback

CONNECT_TIMEOUT = 30.0
OWN_HEADERS = (b"host", b"content-length", b"transfer-encoding", b"expect", b"accept-encoding", b"proxy-connection")
"""Request headers that are replaced: recordings must be readable, so responses must not be compressed."""
OWN_PREFIX = b"x-emulator-"
SAFE = "/:@!$&'()*+,;=~"


class Upstream(NamedTuple):
    """The address of a real provider."""

    host: str
    port: int
    is_tls: bool
    path: str = ""
    """The prefix of the documented path."""

    def __str__(self) -> str:
        usual = 443 if self.is_tls else 80
        return f"{'https' if self.is_tls else 'http'}://{self.authority(usual)}{self.path}"

    def authority(self, usual: int | None = None) -> str:
        """Returns the host as it is written in a URL and in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = (443 if self.is_tls else 80) if usual is None else usual
        return host if self.port == usual else f"{host}:{self.port}"


def upstream_of(url: str) -> Upstream:
    """Parses the URL of an upstream. Raises UsageError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError(f"--upstream {url}: this is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"--upstream {url}: expected a URL such as https://llm.example.com, without a query")
    is_tls = parts.scheme == "https"
    return Upstream(parts.hostname, port or (443 if is_tls else 80), is_tls, parts.path.rstrip("/"))


def documented_upstream(provider: str) -> Upstream:
    """Returns the provider's own documented host."""
    return Upstream(PROVIDERS[provider].hosts[0], 443, True)


def request_bytes(http_request: HttpRequest, headers: Sequence[Header], upstream: Upstream) -> bytes:
    """Returns the request for the upstream: with the client's headers, except those of the connection."""
    path = (
        upstream.path + quote(http_request.path, safe=SAFE) + (f"?{http_request.query}" if http_request.query else "")
    )
    lines = [
        f"{http_request.method} {path or '/'} HTTP/1.1".encode("latin-1"),
        b"host: " + upstream.authority().encode(),
    ]
    lines += [
        b"%b: %b" % header
        for header in headers
        if header[0].lower() not in OWN_HEADERS and not header[0].lower().startswith(OWN_PREFIX)
    ]
    lines.append(b"accept-encoding: identity")
    if http_request.body or http_request.method in ("POST", "PUT", "PATCH"):
        lines.append(b"content-length: %d" % len(http_request.body))
    return b"\r\n".join([*lines, b"", b""]) + http_request.body


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class UpstreamConnection(asyncio.Protocol):
    """One connection to an upstream. It belongs to one client connection, so that whatever the upstream does with
    it, such as closing it between requests, reaches that client.
    """

    def __init__(self, upstream: Upstream, client: ConnectionHandle) -> None:
        self.upstream = upstream
        self.relay: Relay | None = None
        self.transport = cast(asyncio.Transport, None)
        self._client = ref(client)  # which refers to this connection, not vice versa

    @property
    def is_open(self) -> bool:
        return not self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.relay is not None:
            self.relay.received(data)
        elif (client := self._client()) is not None and not client.is_lost:
            client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        is_reset = isinstance(exc, ConnectionError)
        if self.relay is not None:
            self.relay.upstream_lost(is_reset=is_reset)
        elif (client := self._client()) is not None and not client.is_lost:
            client.reset() if is_reset else client.close()

    def abort(self) -> None:
        self.transport.abort()


class Relay:
    """One response on its way from the upstream to the client."""

    def __init__(self, handle: ConnectionHandle, method: str, clock: Clock, start: float) -> None:
        self.handle = handle
        self.tape = Tape(method)
        self.finder = EndFinder(method)
        self.playback = Playback()
        self.keep: Callable[[], asyncio.Future[Seen]] | None = None
        """Called once the response is complete, or no more of it will arrive."""
        self.kept: asyncio.Future[Seen] | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Whether the connection can take its next request, or has ended."""
        self.is_last = False
        """Whether the connection ends with this response."""
        self._connection: UpstreamConnection | None = None
        self._clock = clock
        self._start = start

    def begin(self, connection: UpstreamConnection, request: bytes) -> None:
        """Sends the request. From here on, the response goes to the client."""
        self._connection = connection
        connection.relay = self
        connection.transport.write(request)

    def received(self, data: bytes) -> None:
        """Forwards a part of the response to the client before anything else."""
        handle, now = self.handle, self._clock.now()
        if not handle.is_lost:
            handle.write(data)
            if handle.is_full and self._connection is not None:
                self._connection.transport.pause_reading()
        playback = self.playback
        playback.bytes_sent += len(data)
        playback.frames_sent += 1
        playback.first_sent = now if playback.first_sent is None else playback.first_sent
        playback.last_sent = now
        if self.finder.is_over:
            return  # nothing is expected after a complete response
        self.tape.add(data, now - self._start)
        self.finder.feed(data)
        if self.finder.is_over:
            self._hand_over()
            if self.finder.keeps_alive:
                self._finish("complete", now)

    def upstream_lost(self, *, is_reset: bool) -> None:
        """Ends the client's connection in the same way as the upstream has ended its own."""
        if not self.handle.is_lost:  # the client comes first
            self.handle.reset() if is_reset else self.handle.close()
        is_complete = self.finder.is_over
        if not is_complete:
            self.tape.ended_at, self.tape.is_reset = self._clock.now() - self._start, is_reset
            is_complete = self.finder.ends_by_closing and not is_reset
        self.is_last = True
        self._hand_over()
        self._finish("complete" if is_complete else "reset" if is_reset else "closed")

    # Called by the client's connection

    def wake(self) -> None:
        """Resumes when the client reads again."""
        if self._connection is not None and not self.handle.is_full:
            with suppress(RuntimeError):
                self._connection.transport.resume_reading()

    def lost(self) -> None:
        """Ends when the client is gone."""
        if not self.finder.is_over and not self.is_last:
            self.tape.ended_at, self.tape.has_left = self._clock.now() - self._start, True
        self.is_last = True
        if self._connection is not None:
            self._connection.relay = None
            self._connection.abort()
        self._hand_over()
        self._finish("client_closed" if self.tape.has_left else "complete")

    @property
    def is_held(self) -> bool:
        return False

    @is_held.setter
    def is_held(self, value: bool) -> None:
        """Pauses or resumes as the client reads slowly or catches up."""
        if self._connection is not None and value:
            with suppress(RuntimeError):
                self._connection.transport.pause_reading()

    def can_end_within(self, seconds: float) -> bool:
        """Whether it may have ended by then, which is unknown."""
        return True

    def _hand_over(self) -> None:
        if self.keep is not None:
            keep, self.keep = self.keep, None  # which refers to this object
            self.kept = keep()

    def _finish(self, ended: Ended, now: float | None = None) -> None:
        if not self.over.done():
            self.playback.ended = ended
            self.playback.ended_at = self._clock.now() if now is None else now
            if self._connection is not None:
                self._connection.relay = None
            self.over.set_result(None)


class Connections:
    """The connections to upstreams, one for each client connection."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[ConnectionHandle, UpstreamConnection] = WeakKeyDictionary()

    async def get(self, handle: ConnectionHandle, upstream: Upstream) -> UpstreamConnection:
        """Returns the upstream connection of a client connection. Raises OSError or TimeoutError."""
        known = self._of.get(handle)
        if known is not None and known.is_open and known.upstream == upstream:
            return known
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, made = await loop.create_connection(
                lambda: UpstreamConnection(upstream, handle),
                upstream.host,
                upstream.port,
                ssl=_tls() if upstream.is_tls else None,
            )
        self._of[handle] = made
        finalize(handle, made.abort).atexit = False
        return made

    def forget(self, handle: ConnectionHandle) -> None:
        """Ends the upstream connection of a client connection that has ended."""
        known = self._of.pop(handle)
        known.relay = None
        known.abort()


def attach(relay: Relay, players: Players) -> None:
    """Registers with the client's connection."""
    relay.handle.player = relay
    relay.handle.protocol.flow.resume_reading()
    players.active.add(relay)  # type: ignore[arg-type]


def detach(relay: Relay, players: Players) -> None:
    """Ends the response."""
    players.active.discard(relay)
    relay.handle.player = None
