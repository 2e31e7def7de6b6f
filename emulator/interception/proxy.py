"""A proxy on loopback: the server answers requests to known hosts; everything else is refused and reported."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import partial
from ipaddress import ip_address
from typing import NamedTuple, Protocol, cast
from urllib.parse import urlsplit

from emulator.interception.front import MakeProtocol, TlsFront
from emulator.interception.tls import HANDSHAKE_RECORD, reset

MAX_HEAD = 65536
HEAD_TIMEOUT = 10.0
CONNECT_TIMEOUT = 30.0
PORT_OF = {"http": 80, "https": 443}
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
TARGET = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]/@]+):(?P<port>\d{1,5})")
HOP_HEADERS = (b"proxy-connection:", b"proxy-authorization:", b"connection:", b"keep-alive:")


class Target(NamedTuple):
    """A client's destination."""

    host: str
    """In lower case, without the brackets of an IPv6 address."""
    port: int

    def __str__(self) -> str:
        return self.host if self.port == PORT_OF["https"] else f"{self.host}:{self.port}"


class ListenerControl(Protocol):
    """The state of the server's listening socket."""

    @property
    def is_open(self) -> bool:
        """Whether connections are accepted."""

    def resets_next(self) -> bool:
        """Whether to reset the new connection; counts it."""


class Proxy:
    """The policy of one proxy, and its open connections.

    allowed: hosts that may be reached, also as `*.example.com` or `*`.
    report: receives one line for each refused host, the first time."""

    def __init__(self, front: TlsFront, allowed: Iterable[str] = (), report: Callable[[str], None] = print) -> None:
        self.front = front
        self.allowed = frozenset(host.lower() for host in allowed)
        self._report = report
        self._make: MakeProtocol | None = None
        self._gate: ListenerControl | None = None
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.BaseTransport] = set()
        self._tasks: set[asyncio.Future[None]] = set()

    async def start(self, make_protocol: MakeProtocol, listener_control: ListenerControl) -> None:
        """Listens on a free port of loopback, and hands connections to known hosts to protocols made here."""
        self._make, self._gate = make_protocol, listener_control
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(partial(_Connection, self), "127.0.0.1", 0)

    @property
    def port(self) -> int:
        """Its port on loopback."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def stop(self) -> None:
        """Stops listening, and closes every connection that isn't the server's own."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        for transport in tuple(self._open):
            cast(asyncio.Transport, transport).abort()

    def inner(self) -> asyncio.Protocol:
        """The server's protocol for one connection."""
        assert self._make is not None
        return self._make()

    def is_down(self) -> bool:
        """Whether a fault rejects connections now; counts it."""
        return self._gate is not None and (not self._gate.is_open or self._gate.resets_next())

    def is_ours(self, target: Target) -> bool:
        """Whether the emulator itself answers for a host."""
        return target.host in self.front.hosts

    def is_allowed(self, target: Target) -> bool:
        """Whether to pass on a connection: to allowed hosts, and within this machine."""
        names = (target.host, f"{target.host}:{target.port}")
        return is_loopback(target.host) or any(fnmatchcase(name, each) for each in self.allowed for name in names)

    def refusal(self, target: Target) -> bytes:
        """The response for other hosts, with the reason in the status line, which most clients show."""
        is_new = str(target) not in self.front.seen.refused
        self.front.seen.refuse(str(target))
        words = f"{target} is not emulated and was blocked. --allow {target.host} lets it through"
        if is_new:
            self._report(f"refused: {words}.")
        return answer(403, words)

    def planned(self, transport: asyncio.BaseTransport) -> None:
        self._open.add(transport)

    def forget(self, transport: asyncio.BaseTransport) -> None:
        self._open.discard(transport)

    def spawn(self, work: Awaitable[None]) -> None:
        """Runs something until the proxy stops."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Connection(asyncio.Protocol):
    """A client's connection until its destination is known; then another protocol takes over."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._data = b""
        self._target: Target | None = None
        """The destination of a tunnel that has not received its first byte."""
        self._transport = cast(asyncio.Transport, None)
        self._deadline: asyncio.TimerHandle | None = None
        self._other: asyncio.Transport | None = None
        """The other end of a tunnel into the network."""
        self._waits = self._has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._proxy.planned(transport)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HEAD_TIMEOUT, self._say, answer(408, "Request Timeout"))

    def data_received(self, data: bytes) -> None:
        if self._other is not None:
            self._other.write(data)
            return
        self._data += data
        if self._waits:
            if len(self._data) > MAX_HEAD:
                self._transport.pause_reading()
        elif self._target is not None:
            self._enter(self._target)
        elif b"\r\n\r\n" in self._data:
            self._stop_deadline()
            self._decide()
        elif len(self._data) > MAX_HEAD:
            self._say(answer(431, "Request Header Fields Too Large"))

    def eof_received(self) -> bool:
        if self._other is not None and self._other.can_write_eof():
            self._other.write_eof()
            return True
        self._has_ended = True
        return self._waits  # what it has sent is still passed on

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        self._proxy.forget(self._transport)
        if self._other is not None:
            self._other.close()

    def pause_writing(self) -> None:
        if self._other is not None:
            self._other.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None:
            self._other.resume_reading()

    # Destinations

    def _decide(self) -> None:
        line, _, _ = self._data.partition(b"\r\n")
        method, _, rest = line.decode("latin-1").partition(" ")
        target_text, _, version = rest.rpartition(" ")
        if not version.startswith("HTTP/1."):
            self._say(answer(400, "This is a proxy for HTTP/1.1"))
        elif method == "CONNECT":
            self._connect(target_of(target_text))
        else:
            self._forward(target_text)

    def _connect(self, target: Target | None) -> None:
        if target is None:
            self._say(answer(400, "CONNECT needs host:port"))
        elif self._proxy.is_ours(target):
            if self._proxy.is_down():
                reset(self._transport)
                return
            self._data = self._data.partition(b"\r\n\r\n")[2]
            self._transport.write(ESTABLISHED)
            self._target = target
            if self._data:
                self._enter(target)
        elif self._proxy.is_allowed(target):
            self._data = self._data.partition(b"\r\n\r\n")[2]
            self._tunnel(target, ESTABLISHED)
        else:
            self._say(self._proxy.refusal(target))

    def _enter(self, target: Target) -> None:
        """The first bytes of a tunnel to a known host: most clients use TLS in it, some plain HTTP."""
        is_tls = self._data[0] == HANDSHAKE_RECORD
        inner = self._proxy.inner
        self._hand_over(self._proxy.front.protocol(inner, target.host) if is_tls else inner())

    def _forward(self, url: str) -> None:
        """A plain request: `GET http://host/path`."""
        parts = _split(url)
        if parts is None:
            self._say(answer(400, "This is a proxy: it accepts CONNECT and http:// URLs"))
            return
        target, path = parts
        if self._proxy.is_ours(target):
            self._data = as_origin(self._data, target, path, ends=False)
            self._hand_over(_OneHost(self._proxy, target, self._proxy.inner()))
        elif self._proxy.is_allowed(target):
            self._data = as_origin(self._data, target, path, ends=True)
            self._tunnel(target, b"")
        else:
            self._say(self._proxy.refusal(target))

    def _hand_over(self, protocol: asyncio.Protocol) -> None:
        self._stop_deadline()
        self._proxy.forget(self._transport)
        data, self._data = self._data, b""
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if data and not self._transport.is_closing():
            protocol.data_received(data)

    def _tunnel(self, target: Target, greeting: bytes) -> None:
        self._waits = True
        self._proxy.spawn(self._open_tunnel(target, greeting))

    async def _open_tunnel(self, target: Target, greeting: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                other, _ = await loop.create_connection(lambda: _Far(self._transport), target.host, target.port)
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "no answer in time"
            self._say(answer(502, f"{target} cannot be reached: {reason}"))
            return
        if self._transport.is_closing():
            other.abort()
            return
        self._waits, self._other = False, other
        if greeting:
            self._transport.write(greeting)
        if self._data:
            other.write(self._data)
            self._data = b""
        if self._has_ended:
            other.write_eof()
        with suppress(RuntimeError):
            self._transport.resume_reading()

    def _say(self, words: bytes) -> None:
        self._stop_deadline()
        if not self._transport.is_closing():
            self._transport.write(words)
            self._transport.close()

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Far(asyncio.Protocol):
    """The far end of a tunnel: its data goes to the client."""

    def __init__(self, near: asyncio.Transport) -> None:
        self._near = near
        self._far = cast(asyncio.Transport, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._far = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._near.is_closing():
            self._near.write(data)

    def eof_received(self) -> bool:
        if not self._near.is_closing():
            self._near.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._near.is_closing():
            self._near.close()

    def pause_writing(self) -> None:
        self._near.pause_reading()

    def resume_writing(self) -> None:
        self._near.resume_reading()


class _OneHost(asyncio.Protocol):
    """A plain connection to one known host. If a client sends its next request on it to another host, the connection is
    closed, and the client retries on a new one."""

    def __init__(self, proxy: Proxy, target: Target, inner: asyncio.Protocol) -> None:
        self._proxy = proxy
        self._target = target
        self._inner = inner
        self._transport = cast(asyncio.Transport, None)
        for name in ("eof_received", "connection_lost", "pause_writing", "resume_writing"):
            setattr(self, name, getattr(inner, name))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        found = re.match(rb"[A-Z]{3,10} (http://[^ ]+) HTTP/1\.", data)
        if found is not None:
            parts = _split(found[1].decode("latin-1"))
            if parts is None or parts[0] != self._target:
                self._transport.close()
                return
            data = as_origin(data, *parts, ends=False)
        self._inner.data_received(data)


def answer(status: int, words: str) -> bytes:
    """A complete response from the proxy itself."""
    body = f"{words}.\n".encode()
    head = f"HTTP/1.1 {status} {words}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {len(body)}\r\n"
    return f"{head}x-emulator-error: proxy\r\nconnection: close\r\n\r\n".encode("latin-1", "replace") + body


def target_of(text: str) -> Target | None:
    """`host:port` as a target; None if it isn't one."""
    found = TARGET.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        return None
    return Target(found["host"].strip("[]").rstrip(".").lower(), int(found["port"]))


def _split(url: str) -> tuple[Target, str] | None:
    """The target and the path of an http URL; None for anything else."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in PORT_OF or not host:
        return None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(host.rstrip(".").lower(), port or PORT_OF[parts.scheme]), path


def as_origin(data: bytes, target: Target, path: str, *, ends: bool) -> bytes:
    """A proxy request in the form that the host itself would receive. ends: the connection closes after it."""
    head, _, body = data.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    method, _, rest = line.partition(b" ")
    version = rest.rpartition(b" ")[2]
    dropped = HOP_HEADERS if ends else HOP_HEADERS[:2]
    kept = [header for header in headers if not header.lower().startswith((*dropped, b"host:"))]
    host = target.host if target.port == PORT_OF["http"] else f"{target.host}:{target.port}"
    lines = [b"%b %b %b" % (method, path.encode("latin-1"), version), b"Host: " + host.encode("latin-1"), *kept]
    if ends:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: by address, or `localhost`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def host_list(values: Collection[str]) -> list[str]:
    """Host names from options, which may also be separated by commas."""
    return [part.strip().lower() for value in values for part in value.split(",") if part.strip()]
