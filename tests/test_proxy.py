"""The proxy's connections: which are answered, passed on or refused, and how they end."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import cast

import pytest

from emulator.interception import proxy as proxies
from emulator.interception.front import TlsFront
from emulator.interception.proxy import Proxy, Target, answer, as_origin, host_list, is_loopback, target_of

OURS = "api.openai.com"


class Seen:
    def __init__(self) -> None:
        self.refused: dict[str, int] = {}

    def refuse(self, host: str) -> None:
        self.refused[host] = self.refused.get(host, 0) + 1


class Front:
    """The part of the front that the proxy asks."""

    hosts = (OURS,)

    def __init__(self) -> None:
        self.seen = Seen()


class Gate:
    """The server's listening socket."""

    is_open = True
    resets = False

    def resets_next(self) -> bool:
        return self.resets


class Echo(asyncio.Protocol):
    """The server's protocol: sends back what it gets."""

    def __init__(self, transports: list[asyncio.Transport]) -> None:
        self._transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._transports.append(self.transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Session:
    """A proxy, a server behind it on this machine, and what the proxy has reported."""

    def __init__(self) -> None:
        self.reports: list[str] = []
        self._transports: list[asyncio.Transport] = []
        """The ends on the server's side, which must not outlive the event loop."""
        self.gate = Gate()
        self.proxy = Proxy(cast(TlsFront, Front()), ["*.allowed.test"], self.reports.append)
        self.got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> "Session":
        await self.proxy.start(partial(Echo, self._transports), self.gate)
        self.far = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.far_port: int = self.far.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.proxy.stop()
        self.far.close()
        await turns()  # no connection is accepted any more
        for transport in self._transports:
            transport.abort()
        await turns()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the first bytes, and then what arrived until the client's end."""
        self._transports.append(cast(asyncio.Transport, writer.transport))
        first = await reader.read(65536)
        if not self.got.done():
            self.got.set_result(first)
        writer.write(b"got " + first)
        rest = await reader.read()
        writer.write(b"rest " + rest)
        writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.proxy.port)

    async def ask(self, words: bytes, *, ends: bool = False) -> bytes:
        """Everything that the proxy answers until the end of the connection."""
        reader, writer = await self.connect()
        writer.write(words)
        if ends:
            writer.write_eof()
        try:
            return await asyncio.wait_for(reader.read(), 30)
        finally:
            writer.close()


async def turns() -> None:
    """Lets the event loop do what is due."""
    for _ in range(5):
        await asyncio.sleep(0)


def held(test: Callable[[Session], Awaitable[None]]) -> None:
    """Runs a test with a session in a new event loop."""

    async def inside() -> None:
        async with Session() as session:
            await test(session)

    asyncio.run(inside())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (b"GET / HTTP/2\r\n\r\n", answer(400, "This is a proxy for HTTP/1.1")),
        (b"CONNECT nowhere HTTP/1.1\r\n\r\n", answer(400, "CONNECT needs host:port")),
        (b"GET /path HTTP/1.1\r\n\r\n", answer(400, "This is a proxy: it accepts CONNECT and http:// URLs")),
        (b"GET http://[bad/ HTTP/1.1\r\n\r\n", answer(400, "This is a proxy: it accepts CONNECT and http:// URLs")),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70000, answer(431, "Request Header Fields Too Large")),
    ],
)
def test_what_is_no_request_to_a_proxy_is_answered_with_its_reason(words: bytes, expected: bytes) -> None:
    async def test(session: Session) -> None:
        assert await session.ask(words) == expected

    held(test)


def test_other_hosts_are_blocked_and_reported_the_first_time() -> None:
    async def test(session: Session) -> None:
        words = "other.test is not emulated and was blocked. --allow other.test lets it through"
        for request in (b"CONNECT other.test:443 HTTP/1.1\r\n\r\n", b"GET https://other.test/ HTTP/1.1\r\n\r\n"):
            assert await session.ask(request) == answer(403, words)
        assert session.reports == [f"refused: {words}."]

    held(test)


def test_a_plain_request_to_this_machine_is_passed_on_in_its_own_form() -> None:
    async def test(session: Session) -> None:
        head = f"GET http://127.0.0.1:{session.far_port}/a?b=1 HTTP/1.1\r\nProxy-Connection: keep-alive\r\nX: 1\r\n\r\n"
        passed = (
            f"GET /a?b=1 HTTP/1.1\r\nHost: 127.0.0.1:{session.far_port}\r\nX: 1\r\nConnection: close\r\n\r\n".encode()
        )
        assert await session.ask(head.encode(), ends=True) == b"got " + passed + b"rest "

    held(test)


def test_a_tunnel_carries_what_was_sent_early_and_both_ends() -> None:
    async def test(session: Session) -> None:
        reader, writer = await session.connect()
        writer.write(f"CONNECT 127.0.0.1:{session.far_port} HTTP/1.1\r\n\r\nearly".encode())
        assert await session.got == b"early"
        writer.write(b"later")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 30) == proxies.ESTABLISHED + b"got earlyrest later"
        writer.close()

    held(test)


def test_a_host_that_cannot_be_reached_is_said() -> None:
    async def test(session: Session) -> None:
        got = await session.ask(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 502 127.0.0.1:1 cannot be reached: ")

    held(test)


def test_plain_bytes_in_a_tunnel_to_a_known_host_reach_the_server_even_early() -> None:
    async def test(session: Session) -> None:
        reader, writer = await session.connect()
        writer.write(f"CONNECT {OURS}:80 HTTP/1.1\r\n\r\nGET".encode())
        assert await reader.readexactly(len(proxies.ESTABLISHED) + 3) == proxies.ESTABLISHED + b"GET"
        writer.close()

    held(test)


def test_a_server_that_is_down_resets_tunnels_and_a_plain_connection_stays_with_its_host() -> None:
    async def test(session: Session) -> None:
        session.gate.resets = True
        with pytest.raises(ConnectionResetError):
            await session.ask(f"CONNECT {OURS}:443 HTTP/1.1\r\n\r\n".encode())
        reader, writer = await session.connect()
        writer.write(f"GET http://{OURS}/a HTTP/1.1\r\n\r\n".encode())
        first = f"GET /a HTTP/1.1\r\nHost: {OURS}\r\n\r\n".encode()
        assert await reader.readexactly(len(first)) == first
        writer.write(b"a body")
        assert await reader.readexactly(6) == b"a body"
        writer.write(b"GET http://other.test/ HTTP/1.1\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()

    held(test)


def test_stopping_ends_open_connections_and_those_on_their_way() -> None:
    async def test(session: Session) -> None:
        started, never = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            started.set()
            await never.wait()

        session.proxy.spawn(work())
        await started.wait()
        reader, writer = await session.connect()
        writer.write(b"GET http://")
        refused, again = await session.connect()
        again.write(b"GET / HTTP/2\r\n\r\n")
        await refused.read()  # by now, both connections are known
        again.close()
        session.proxy.stop()
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()

    held(test)


def test_a_proxy_that_was_never_started_can_be_stopped() -> None:
    Proxy(cast(TlsFront, Front()), (), print).stop()


class Closing(asyncio.Protocol):
    """A server that takes no more connections."""

    got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()

    def data_received(self, data: bytes) -> None:
        self.got += data


def test_a_server_that_closes_a_connection_at_once_is_sent_nothing() -> None:
    async def test(session: Session) -> None:
        server, near = Closing(), Pauses()
        connection = proxies._Connection(session.proxy)
        session.proxy.inner = lambda: server  # type: ignore[method-assign]  # the server that is tested
        connection.connection_made(near)
        connection.data_received(f"GET http://{OURS}/ HTTP/1.1\r\n\r\n".encode())
        connection._say(b"too late")
        assert (server.got, near.events) == (b"", ["_OneHost", "close"])

    held(test)


class Pauses(asyncio.Transport):
    """A transport that keeps what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.events.append(type(protocol).__name__)

    def is_closing(self) -> bool:
        return "close" in self.events

    def close(self) -> None:
        self.events.append("close")

    def abort(self) -> None:
        self.events.append("close")

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.events.append(bytes(data).decode())

    def write_eof(self) -> None:
        self.events.append("eof")

    def pause_reading(self) -> None:
        self.events.append("pause")

    def resume_reading(self) -> None:
        self.events.append("resume")


def test_the_far_end_of_a_tunnel_follows_the_pace_of_the_near_one() -> None:
    near, far = Pauses(), Pauses()
    end = proxies._Far(near)
    end.connection_made(far)
    end.pause_writing()
    end.resume_writing()
    end.data_received(b"data")
    assert end.eof_received() is True
    end.connection_lost(None)
    end.data_received(b"late")
    assert end.eof_received() is True
    end.connection_lost(None)
    assert (near.events, far.events) == (["pause", "resume", "data", "eof", "close"], [])


def test_the_near_end_of_a_tunnel_follows_the_pace_of_the_far_one() -> None:
    async def test(session: Session) -> None:
        near, far = Pauses(), Pauses()
        end = proxies._Connection(session.proxy)
        end.pause_writing()
        end.resume_writing()
        end.connection_made(near)
        end._other = far
        end.pause_writing()
        end.resume_writing()
        end.data_received(b"data")
        end.connection_lost(None)
        assert (near.events, far.events) == ([], ["pause", "resume", "data", "close"])

    held(test)


def test_a_client_that_sends_much_before_its_tunnel_opens_waits() -> None:
    async def test(session: Session) -> None:
        near = Pauses()
        end = proxies._Connection(session.proxy)
        end.connection_made(near)
        end.data_received(f"CONNECT 127.0.0.1:{session.far_port} HTTP/1.1\r\n\r\n".encode())
        end.data_received(b"x" * 65536)
        assert near.events == []
        end.data_received(b"y")
        assert near.events == ["pause"]
        near.close()  # it leaves before the tunnel is open
        for task in tuple(session.proxy._tasks):
            await task
        assert near.events == ["pause", "close"]
        end.connection_lost(None)

    held(test)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("A.Host.:443", Target("a.host", 443)),
        ("[::1]:80", Target("::1", 80)),
        ("a.host:0", None),
        ("a.host:65536", None),
        ("a.host", None),
        ("user@a.host:1", None),
    ],
)
def test_the_target_of_a_tunnel(text: str, target: Target | None) -> None:
    assert target_of(text) == target


def test_hosts_and_their_lists() -> None:
    assert [is_loopback(host) for host in ("127.0.0.9", "::1", "localhost", "a.localhost", "10.0.0.1", "a.com")] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]
    assert host_list(["A.com, b.com", " ", "c.com"]) == ["a.com", "b.com", "c.com"]
    assert (str(Target("a", 443)), str(Target("a", 80))) == ("a", "a:80")


def test_a_request_in_the_form_of_its_host_keeps_its_body() -> None:
    data = b"POST http://a/ HTTP/1.1\r\nHost: b\r\nConnection: keep-alive\r\nproxy-authorization: x\r\n\r\nbody"
    assert as_origin(data, Target("a", 80), "/", ends=False) == (
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\nbody"
    )
    assert as_origin(data, Target("a", 81), "/", ends=True) == (
        b"POST / HTTP/1.1\r\nHost: a:81\r\nConnection: close\r\n\r\nbody"
    )
