"""A client that sees every byte: what arrived, when it arrived, and how the connection ended."""

import re
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

Ending = Literal["eof", "reset", "timeout"]

HEAD_TIMEOUT = 10.0
"""Seconds after which a test gives up waiting for what must come."""


@dataclass(frozen=True, slots=True)
class Response:
    """One response, its body put together from however it was framed."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    chunks: tuple[bytes, ...] = ()
    """The body as it was chunked; empty when it was not."""


class Connection:
    """One TCP connection. `receive_buffer` makes it a slow reader: the kernel takes that many bytes and no more."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(HEAD_TIMEOUT)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self._pending = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def leave(self, *, reset: bool = False) -> None:
        """Close with FIN, or with RST."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def read(self) -> bytes:
        """What comes next: at least one byte, or nothing at the end of the connection."""
        pending, self._pending = self._pending, b""
        return pending or self.socket.recv(1 << 20)

    def read_exactly(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size > 0:
            data = self.read()
            if not data:
                raise EOFError(f"{size} bytes are missing after {b''.join(parts)[-200:]!r}")
            parts.append(data[:size])
            self._pending = data[size:]
            size -= len(parts[-1])
        return b"".join(parts)

    def read_until(self, mark: bytes) -> bytes:
        """Everything up to and including a mark."""
        data = b""
        while mark not in data:
            more = self.read()
            if not more:
                raise EOFError(f"{mark!r} never came: {data!r}")
            data += more
        end = data.index(mark) + len(mark)
        self._pending = data[end:] + self._pending
        return data[:end]

    def read_rest(self, timeout: float = HEAD_TIMEOUT) -> tuple[bytes, Ending]:
        """Everything that still comes, and how it ended; `timeout` is how long silence may last."""
        data = bytearray()
        self.socket.settimeout(timeout)
        try:
            while more := self.read():
                data += more
            return bytes(data), "eof"
        except ConnectionResetError:
            return bytes(data), "reset"
        except TimeoutError:
            return bytes(data), "timeout"
        finally:
            self.socket.settimeout(HEAD_TIMEOUT)

    def response(self, *, has_body: bool = True) -> Response:
        """The next response, read as HTTP/1.1 demands; without length and chunks it goes on to the end."""
        status_line, *lines = self.read_until(b"\r\n\r\n").decode().removesuffix("\r\n\r\n").split("\r\n")
        status = int(status_line.split(" ")[1])
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        if not has_body or status in (204, 304):
            return Response(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            chunks = self._chunks()
            return Response(status, headers, b"".join(chunks), chunks)
        if "content-length" in headers:
            return Response(status, headers, self.read_exactly(int(headers["content-length"])))
        return Response(status, headers, self.read_rest()[0])

    def _chunks(self) -> tuple[bytes, ...]:
        chunks: list[bytes] = []
        while size := int(self.read_until(b"\r\n"), 16):
            chunks.append(self.read_exactly(size))
            assert self.read_exactly(2) == b"\r\n"
        assert self.read_exactly(2) == b"\r\n"
        return tuple(chunks)


def request(path: str, body: bytes = b"", *, method: str = "POST", version: str = "1.1", **headers: str) -> bytes:
    """A request; a POST is JSON unless it says otherwise. `content_length` and the like name headers."""
    if method == "POST":
        headers = {"content_length": str(len(body)), "content_type": "application/json", **headers}
    lines = [f"{method} {path} HTTP/{version}", "host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def undated(data: bytes) -> bytes:
    """The same without the date, which no test can know."""
    return re.sub(rb"date: [^\r]+ GMT\r\n", b"", data)


def eventually(condition: Callable[[], bool], timeout: float = HEAD_TIMEOUT) -> None:
    """Return as soon as the condition holds; fail when it never does."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.002)
