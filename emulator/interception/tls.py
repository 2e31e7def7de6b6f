"""TLS on a connection, between its socket and the server's own protocol.

asyncio's own TLS decides when to close. Here, a fault can reset a connection in the middle of a handshake, and an
answer can close its half of a connection and continue reading, as it can without TLS.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, cast

HANDSHAKE_TIMEOUT = 10.0
MAX_READ = 65536
ALERT = b"\x15\x03\x03\x00\x02\x02%c"
HANDSHAKE_FAILURE = 40
HANDSHAKE_RECORD = 0x16
"""The first byte from a client that uses TLS."""

HandshakeEnd = Literal["refuse", "reset"]


class TlsProtocol(asyncio.Protocol):
    """Handles TLS with a client, and passes its data to a protocol for plain bytes.

    end: what the client gets instead of a handshake.
    failed: receives the reason if the client doesn't complete the handshake."""

    def __init__(
        self,
        inner: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        failed: Callable[[str], None],
        end: HandshakeEnd | None = None,
    ) -> None:
        self._make_inner = inner
        self._failed = failed
        self._end = end
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.raw = cast(asyncio.Transport, None)
        self._inner: asyncio.Protocol | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._is_half_closed = False
        self._is_over = False  # the handshake has ended in a known way

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.raw = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HANDSHAKE_TIMEOUT, self._give_up, "no handshake arrived in time")

    def data_received(self, data: bytes) -> None:
        if self._is_half_closed:
            if self._inner is not None:
                self._inner.data_received(data)  # only counted: it must still be read from the client
            return
        if self._end is not None:
            self._break(self._end)
            return
        self._incoming.write(data)
        if self._inner is None and not self._shake_hands():
            return
        self._read()

    def eof_received(self) -> bool:
        if self._inner is None:
            self._give_up("the client closed the connection")
        elif not self.raw.is_closing():
            return bool(self._inner.eof_received())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.connection_lost(exc)
        elif not self._is_over:
            self._failed("the client reset the connection")

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    # Called by the transport

    def write(self, data: bytes) -> None:
        """Encrypts and sends."""
        if data and not self._is_half_closed and not self.raw.is_closing():
            try:
                self.tls.write(data)
            except ssl.SSLError:
                self.raw.abort()
                return
            self._flush()

    def end(self) -> None:
        """Signals the end of the data, so that the client can tell it from a broken connection."""
        if not self._is_half_closed:
            self._is_half_closed = True
            with suppress(ssl.SSLError):  # the client's response arrives later, if at all
                self.tls.unwrap()
            self._flush()

    def stop(self) -> None:
        """Closes the connection unless a protocol for plain bytes has it."""
        if self._inner is None and not self._is_over:
            self._is_over = True
            self._stop_deadline()
            self.raw.abort()

    # Inside

    def _shake_hands(self) -> bool:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._flush()  # the alert that says why
            self._give_up(error.reason or str(error))
            return False
        self._flush()
        self._stop_deadline()
        self._inner = self._make_inner()
        self._inner.connection_made(TlsTransport(self))
        return True

    def _read(self) -> None:
        while self._inner is not None and not self.raw.is_closing():
            try:
                data = self.tls.read(MAX_READ)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError:
                self._flush()
                self.raw.abort()
                return
            if not data:
                self._end_of_client()
                return
            self._inner.data_received(data)
            if self._is_half_closed:
                return
        self._flush()

    def _end_of_client(self) -> None:
        if self._inner is not None and not self._inner.eof_received() and not self.raw.is_closing():
            self.end()
            self.raw.close()

    def _break(self, end: HandshakeEnd) -> None:
        self._is_over = True
        self._stop_deadline()
        if end == "refuse":
            self.raw.write(ALERT % HANDSHAKE_FAILURE)
            self.raw.close()
        else:
            reset(self.raw)

    def _give_up(self, reason: str) -> None:
        self._stop_deadline()
        if not self._is_over:
            self._is_over = True
            self._failed(reason)
        self.raw.close()

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _flush(self) -> None:
        if self._outgoing.pending and not self.raw.is_closing():
            self.raw.write(self._outgoing.read())


class TlsTransport(asyncio.Transport):
    """What a protocol sees of a TLS connection: the same as of a plain one."""

    def __init__(self, protocol: TlsProtocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._raw = protocol.raw

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._protocol.tls
        if name == "sslcontext":
            return self._protocol.tls.context
        return self._raw.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._protocol.write(bytes(data))

    def write_eof(self) -> None:
        self._protocol.end()
        if not self._raw.is_closing():
            self._raw.write_eof()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if not self._raw.is_closing():
            self._protocol.end()
            self._raw.close()

    def abort(self) -> None:
        self._raw.abort()

    def is_closing(self) -> bool:
        return self._raw.is_closing()

    def pause_reading(self) -> None:
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._raw.resume_reading()

    def is_reading(self) -> bool:
        return self._raw.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size()


def reset(transport: asyncio.Transport) -> None:
    """A real RST: without the linger option an abort sends FIN."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
