"""TLS between a socket and the server's protocol, with a real client's side in memory."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, cast

import pytest
from stores import on_server
from talk import single

from emulator import Emulator
from emulator.engine import handshake_fault
from emulator.interception.certificates import Authority
from emulator.interception.front import TlsFront
from emulator.interception.tls import ALERT, HandshakeEnd, TlsProtocol, TlsTransport

AUTHORITY = Authority.new()
CONTEXT = AUTHORITY.context("a.host")


class Wire(asyncio.Transport):
    """A socket's transport that keeps what happens to it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.events: list[str] = []
        self.is_open = True

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def is_closing(self) -> bool:
        return not self.is_open

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def _note(self, event: str, *, ends: bool = False) -> None:
        self.events.append(event)
        self.is_open = self.is_open and not ends

    def close(self) -> None:
        self._note("close", ends=True)

    def abort(self) -> None:
        self._note("abort", ends=True)

    def write_eof(self) -> None:
        self._note("write_eof")

    def pause_reading(self) -> None:
        self._note("pause_reading")

    def resume_reading(self) -> None:
        self._note("resume_reading")

    def is_reading(self) -> bool:
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._note(f"limits {high} {low}")

    def get_write_buffer_size(self) -> int:
        return 7


class Inner(asyncio.Protocol):
    """The server's protocol: keeps what happens to it."""

    def __init__(self) -> None:
        self.events: list[str | bytes] = []
        self.keeps_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(TlsTransport, transport)

    def data_received(self, data: bytes) -> None:
        self.events.append(data)

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self.keeps_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")


class Talk:
    """Both sides of a connection."""

    def __init__(self, end: HandshakeEnd | None = None) -> None:
        self.failures: list[str] = []
        self.inner, self.wire = Inner(), Wire()
        self.protocol = TlsProtocol(lambda: self.inner, CONTEXT, self.failures.append, end)
        self.protocol.connection_made(self.wire)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
        self.client = context.wrap_bio(self._in, self._out, server_hostname="a.host")

    def pass_on(self) -> None:
        """Carries the waiting bytes to both sides."""
        if self._out.pending:
            self.protocol.data_received(self._out.read())
        sent, self.wire.sent = self.wire.sent, b""
        self._in.write(sent)

    def shake(self) -> "Talk":
        for _ in range(4):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.client.do_handshake()
            self.pass_on()
        assert self.client.cipher() is not None
        return self

    def say(self, data: bytes) -> None:
        self.client.write(data)
        self.pass_on()

    def goodbye(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.client.unwrap()
        self.pass_on()


def in_loop(test: Callable[[], None]) -> Callable[[], None]:
    """Runs a test within an event loop."""

    def run() -> None:
        async def inside() -> None:
            test()

        asyncio.run(inside())

    run.__name__ = test.__name__
    return run


@in_loop
def test_data_passes_both_ways_and_the_transport_is_the_socket_s() -> None:
    talk = Talk().shake()
    transport = talk.inner.transport
    talk.say(b"ask")
    transport.write(b"answer")
    talk.pass_on()
    assert (talk.inner.events, talk.client.read()) == ([b"ask"], b"answer")
    assert transport.get_extra_info("ssl_object") is talk.protocol.tls
    assert transport.get_extra_info("sslcontext") is CONTEXT
    assert transport.get_extra_info("peername", "nobody") == "nobody"
    transport.pause_reading()
    transport.resume_reading()
    transport.set_write_buffer_limits(9, 3)
    talk.protocol.pause_writing()
    talk.protocol.resume_writing()
    assert (transport.can_write_eof(), transport.is_reading(), transport.get_write_buffer_size()) == (True, True, 7)
    transport.abort()
    transport.close()  # changes nothing: it is closed
    talk.protocol.connection_lost(None)
    assert talk.wire.events == ["pause_reading", "resume_reading", "limits 9 3", "abort"]
    assert talk.inner.events == [b"ask", "pause", "resume", "lost"]
    assert talk.failures == []


@in_loop
def test_an_answer_that_ends_its_half_still_reads_the_client_s() -> None:
    talk = Talk().shake()
    talk.inner.transport.write_eof()
    said = talk.wire.sent
    talk.inner.transport.write_eof()
    talk.inner.transport.write(b"too late")
    assert talk.wire.sent == said  # TLS says its end once
    talk.pass_on()
    assert (talk.client.read(), talk.wire.events) == (b"", ["write_eof", "write_eof"])
    talk.protocol.data_received(b"raw bytes")
    assert talk.inner.events == [b"raw bytes"]
    talk.protocol.connection_lost(None)
    talk.protocol.data_received(b"later")
    assert talk.inner.events == [b"raw bytes", "lost"]


class Leaving(Inner):
    """Ends the connection as soon as it has read something."""

    way = "write_eof"

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        getattr(self.transport, self.way)()


@pytest.mark.parametrize("way", ["write_eof", "abort"])
def test_nothing_is_read_after_the_server_has_ended_the_connection(way: str) -> None:
    async def inside() -> None:
        talk = Talk()
        talk.inner = Leaving()
        talk.inner.way = way
        talk.shake()
        talk.client.write(b"one")
        talk.client.write(b"two")
        talk.pass_on()
        assert (talk.inner.events, talk.wire.events) == ([b"one"], [way])

    asyncio.run(inside())


@in_loop
def test_the_end_of_a_connection_that_is_closed_already_is_not_sent() -> None:
    talk = Talk().shake()
    talk.wire.close()
    talk.inner.transport.write_eof()
    assert talk.wire.events == ["close"]


@in_loop
def test_the_end_of_the_client_closes_unless_the_server_goes_on() -> None:
    closing, going_on = Talk().shake(), Talk().shake()
    going_on.inner.keeps_open = True
    for talk in (closing, going_on):
        talk.goodbye()
        assert talk.inner.events == ["eof"]
    assert (closing.wire.events, going_on.wire.events) == (["close"], [])


@in_loop
def test_bytes_that_are_not_tls_break_an_established_connection() -> None:
    talk = Talk().shake()
    talk.protocol.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert (talk.wire.events, talk.inner.events) == (["abort"], [])


@in_loop
def test_the_end_of_the_socket_is_passed_on_or_gives_up_the_handshake() -> None:
    talk = Talk().shake()
    talk.inner.keeps_open = True
    assert talk.protocol.eof_received() is True
    talk.wire.close()
    assert talk.protocol.eof_received() is False
    assert talk.inner.events == ["eof"]
    silent = Talk()
    silent.protocol.pause_writing()
    silent.protocol.resume_writing()
    assert silent.protocol.eof_received() is False
    silent.protocol.connection_lost(None)
    assert (silent.failures, silent.wire.events) == (["the client closed the connection"], ["close"])


@in_loop
def test_a_client_that_resets_before_its_handshake_is_reported_once() -> None:
    talk = Talk()
    talk.protocol.connection_lost(None)
    assert (talk.failures, talk.inner.events) == (["the client reset the connection"], [])


@in_loop
def test_a_handshake_that_fails_is_reported_with_its_reason() -> None:
    talk = Talk()
    talk.protocol.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert (talk.failures, talk.wire.events) == (["HTTP_REQUEST"], ["close"])


@in_loop
def test_the_server_s_stop_ends_a_handshake_but_not_a_connection() -> None:
    waiting, talking = Talk(), Talk().shake()
    for talk in (waiting, waiting, talking):
        talk.protocol.stop()
    waiting.protocol.connection_lost(None)
    assert (waiting.wire.events, talking.wire.events) == (["abort"], [])
    assert (waiting.failures, talking.failures) == ([], [])


@in_loop
def test_a_write_after_tls_has_ended_breaks_the_connection() -> None:
    talk = Talk().shake()
    talk.protocol.tls = cast(ssl.SSLObject, Ended())
    talk.inner.transport.write(b"answer")
    assert talk.wire.events == ["abort"]


class Ended:
    """TLS after its end."""

    def write(self, data: bytes) -> None:
        raise ssl.SSLError("protocol is shutdown")


@pytest.mark.parametrize(("end", "sent", "event"), [("refuse", ALERT % 40, "close"), ("reset", b"", "abort")])
def test_a_handshake_ends_on_purpose(end: HandshakeEnd, sent: bytes, event: str) -> None:
    async def inside() -> None:
        talk = Talk(end)
        talk.protocol.data_received(b"\x16\x03\x01")
        assert (talk.wire.sent, talk.wire.events, talk.failures) == (sent, [event], [])
        assert (talk.protocol.eof_received(), talk.failures) == (False, [])  # it was no failure of the client

    asyncio.run(inside())


@in_loop
def test_the_server_s_stop_reaches_the_handshakes_of_its_front() -> None:
    front, wire = TlsFront({}, AUTHORITY), Wire()
    protocol = front.protocol(Inner, "a.host")
    protocol.connection_made(wire)
    front.stop()
    assert wire.events == ["abort"]


def test_a_fault_that_is_set_while_the_server_runs_breaks_as_many_handshakes_as_it_says() -> None:
    with Emulator() as emulator:
        added = single.post(f"{emulator.origin}/__emulator/faults", json={"fault": "tls_expired", "times": 1})
        assert added.status_code == 201
        broken = [
            on_server(emulator, lambda app: handshake_fault("a.host", app.namespaces.default, app.options))
            for _ in range(3)
        ]
    assert broken == ["expired", None, None]
