"""A server's own connection to Redis for what requests wait for: packets of commands, one after the other.

redis-py connects, so it handles addresses, passwords and TLS. After that, its client is bypassed, since it costs more
than the steps themselves, and hiredis parses the replies."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from hiredis import Reader, pack_command

from emulator.state.redis_connection import REPLY_TIMEOUT, RedisConnection

Command: TypeAlias = tuple[str | bytes | int, ...]
Replied: TypeAlias = Callable[[list[Any]], None]
LATER = getattr(socket, "MSG_MORE", 0)
"""The kernel takes the bytes and sends them with the next packet, after 0.2 s, or when this process is killed."""


class RedisLink(asyncio.Protocol):
    """Sends one packet at a time. Error replies are among the others as `hiredis.ReplyError`."""

    def __init__(self, connection: RedisConnection, on_lost: Callable[[BaseException], None]) -> None:
        self._connection = connection
        self._on_lost = on_lost
        self._writer: Any = None
        """asyncio's stream, which would close its socket when garbage-collected."""
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        """Its socket; None with TLS."""
        self._reader = Reader()
        self._replies: list[Any] = []
        self._expected = 0
        self._then: Replied | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether packets can be sent."""
        return self._transport is not None

    @property
    def is_busy(self) -> bool:
        """Whether a packet awaits its replies."""
        return self._then is not None

    @property
    def is_writing(self) -> bool:
        """Whether something waits until the kernel takes it."""
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    async def open(self) -> None:
        """Connects. Raises RedisError, OSError or TimeoutError."""
        opened = self._connection.client.connection_pool.make_connection()
        await opened.connect()
        self._writer, opened._writer = opened._writer, None  # from now on, this object owns it
        transport: asyncio.Transport = self._writer.transport
        self._reader = Reader()
        transport.set_protocol(self)
        self._transport = transport
        if transport.get_extra_info("sslcontext") is None:
            self._socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))

    def send(self, commands: Sequence[Command], then: Replied) -> None:
        """Sends a packet; `then` receives the replies, unless the connection is lost first."""
        assert self._transport is not None
        self._expected, self._then = len(commands), then
        self._timer = asyncio.get_running_loop().call_later(REPLY_TIMEOUT, self._is_late)
        data = b"".join([pack_command(command) for command in commands])  # type: ignore[arg-type]
        self._write(self._transport, data, 0)

    def push(self, data: bytes) -> bool:
        """Sends commands that have no replies, if it is open. Returns False if the kernel has not taken all of them
        yet; otherwise they arrive even if this process is killed immediately."""
        # A reply that is on its way would reset the connection of a killed process, so nothing may wait for it.
        return self._transport is None or self._write(self._transport, data, 0 if self.is_busy else LATER)

    def _write(self, transport: asyncio.Transport, data: bytes, flags: int) -> bool:
        """Writes immediately: uvloop's transports wait for the end of the turn, and then write in any order."""
        if self._socket is not None and not transport.get_write_buffer_size():
            with contextlib.suppress(OSError):  # full or broken: the transport finds out
                data = data[self._socket.send(data, flags) :]
            if not data:  # pragma: no branch - the kernel's buffer is hardly ever full
                return True
        transport.write(data)
        return False

    def close(self) -> None:
        """Closes the connection, without a notification."""
        transport, self._transport = self._transport, None
        self._forget()
        if transport is not None:
            transport.abort()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._writer = None

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        reader, replies = self._reader, self._replies
        reader.feed(data)
        while (reply := reader.gets()) is not False:
            replies.append(reply)
        if len(replies) >= self._expected and self._then is not None:
            then = self._then
            self._forget()
            then(replies)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._lose(exc or ConnectionError("it has closed the connection"))

    def _is_late(self) -> None:
        self._lose(TimeoutError())

    def _lose(self, error: BaseException) -> None:
        self.close()
        self._on_lost(error)

    def _forget(self) -> None:
        """Forgets the current packet."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._then, self._replies, self._expected = None, None, [], 0
