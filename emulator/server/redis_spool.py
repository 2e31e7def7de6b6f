"""A replica's spool in Redis (`server/spool.py`), on the connection on which it counts requests."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from emulator.server.players import BeforeLast
from emulator.server.spool import Catch
from emulator.server.spooling import almost_over, begun, ended, whole
from emulator.state.blanks import Recollection
from emulator.state.exchanges import Exchange
from emulator.state.packed import Packer
from emulator.state.redis_packets import Packets
from emulator.wire import Playback

FULL = 8 * 2**20
"""The bytes in a spool at which its exchanges should be written down."""
MAX_ENTRIES = 20_000
"""The most entries of a spool; more are never needed."""
TRY_INTERVAL = 0.002
"""Seconds between two looks whether a full connection has been emptied."""
_SKIP = b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n"
"""Redis doesn't reply to the next command: a reply that nobody has read would end the connection with a reset when this
process is killed, and what was sent on it could be lost."""


class RedisSpool:
    """In Redis: entries of a stream, each with the exchanges of one turn of the loop, and a hash of open ones."""

    def __init__(self, packets: Packets, spool: str, still_open: str) -> None:
        self.entry = 0
        """The number of the entry with the newest exchange."""
        self.bytes = 0
        """The bytes of all entries since the last time they were written down."""
        self.on_full: Callable[[], None] = lambda: None
        self._packets, self._link = packets, packets.link
        self._loop = asyncio.get_running_loop()
        self._packer = Packer(is_private=False)
        limit = f"*8\r\n$4\r\nXADD\r\n{_word(spool)}$6\r\nMAXLEN\r\n$1\r\n~\r\n{_word(str(MAX_ENTRIES))}"
        self._add = _SKIP + limit.encode()
        self._set = _SKIP + f"*4\r\n$4\r\nHSET\r\n{_word(still_open)}".encode()
        self._unset = _SKIP + f"*3\r\n$4\r\nHDEL\r\n{_word(still_open)}".encode()
        self._last = 0
        """The last entry that was sent."""
        self._records: list[bytes] = []
        """The exchanges of the next entry."""
        self._over: list[int] = []
        """The numbers of exchanges that are no longer open."""
        self._held: list[tuple[Any, bytes]] = []
        """Answers to send after it."""
        self._open: set[int] = set()
        self._answered: Exchange | None = None
        self._is_due = False
        self._waiting: list[asyncio.Future[None]] = []
        self._is_safe = True
        """Whether the kernel has taken all entries."""
        packets.replied = self.flush

    def answered(self, exchange: Exchange, catch: Catch, recollection: Recollection | None = None) -> None:
        """Sends a whole answer, once its exchange is kept: at the end of this turn, if many continue in it."""
        self._put(whole(self._packer, exchange, catch, recollection))
        self._answered = exchange
        self._held.append((catch.protocol.transport, catch.wire))
        if not self._packets.is_replying:
            self.flush()

    def begin(self, exchange: Exchange) -> BeforeLast:
        """Keeps an exchange whose answer is about to be sent. Returns what to call before its last bytes are sent."""
        record = begun(self._packer, exchange)
        self._open.add(exchange.number)
        number = b"%d" % exchange.number
        data = b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n" % (self._set, len(number), number, len(record), record)
        self._is_safe = self._link.push(data)
        return partial(self._almost_over, exchange)

    def _almost_over(self, exchange: Exchange, playback: Playback, size: int, frames: int, now: float) -> None:
        self._put(almost_over(self._packer, exchange, playback, size, frames, now))
        self.flush()

    def end(self, exchange: Exchange) -> None:
        """Keeps how it has ended."""
        if exchange is self._answered:
            self._answered = None
            return
        if exchange.number in self._open:
            self._open.discard(exchange.number)
            self._over.append(exchange.number)
        self._put(ended(self._packer, exchange))
        if not self._is_due:  # pragma: no branch - that two end in one turn of the loop can't be forced
            self._is_due = True
            self._loop.call_soon(self.flush)

    def flush(self) -> int:
        """Sends the next entry, and then the answers that wait for it. Returns the number of the last entry."""
        self._is_due = False
        if self._records:
            data = b"".join(self._records)
            id = b"%d-0" % self.entry
            parts = [b"%b$%d\r\n%b\r\n$1\r\nr\r\n$%d\r\n%b\r\n" % (self._add, len(id), id, len(data), data)]
            if self._over:
                parts += [b"%b$%d\r\n%d\r\n" % (self._unset, len(str(number)), number) for number in self._over]
                self._over.clear()
            self._is_safe = self._link.push(parts[0] if len(parts) == 1 else b"".join(parts))
            self._records.clear()
            self._last = self.entry
            self.bytes += len(data)
            if self.bytes > FULL:
                self.on_full()
        if self._held:
            if self._is_safe:
                self._release()
            else:
                self._loop.call_soon(self._release_soon)
        return self._last

    def _release(self) -> None:
        held, self._held = self._held, []
        for transport, wire in held:
            transport.write(wire)

    def _release_soon(self) -> None:
        if self._link.is_writing:
            self._loop.call_later(TRY_INTERVAL, self._release_soon)
        else:
            self._is_safe = True
            self._release()
            waiting, self._waiting = self._waiting, []
            for safe in waiting:
                if not safe.done():
                    safe.set_result(None)

    async def safe(self) -> None:
        """Returns once the kernel has taken everything so far."""
        if not self._is_safe:
            safe = self._loop.create_future()
            self._waiting.append(safe)
            self._loop.call_soon(self._release_soon)
            await safe

    def new_period(self) -> int:
        """Sends what waits, and lets no later entry refer to earlier ones. Returns the number of the last entry."""
        last = self.flush()
        self._packer.period += 1
        self.bytes = 0
        return last

    def _put(self, record: bytes) -> None:
        self.entry = self._last + 1
        self._records.append(record)


def _word(text: str) -> str:
    return f"${len(text.encode())}\r\n{text}\r\n"
