"""Live events: server-sent events about exchanges that begin, move and end."""

import asyncio
from collections.abc import AsyncIterator

import orjson

from emulator.control.models import Selection
from emulator.state.exchanges import Exchange
from emulator.state.journal import Journal

TICK = 0.25
"""Seconds between two checks of open answers."""
KEEP_ALIVE = 15.0
"""Seconds of silence before a keep-alive comment."""
MAX_PENDING = 10_000
"""The most exchanges that wait for a slow reader; then the oldest are dropped, and the next event says how many."""


class Events:
    """The events of one journal for one reader. Nothing is checked while nobody reads."""

    def __init__(self, journal: Journal, wanted: Selection, *, shows_ends: bool = True) -> None:
        self._journal = journal
        self._wanted = wanted
        self._shows_ends = shows_ends
        self._changed = asyncio.Event()
        self._pending: dict[int, Exchange] = {}
        self._open: dict[int, tuple[Exchange, int]] = {}
        """The open exchanges, with the number of frames at the last check."""
        self._dropped = 0

    async def stream(self) -> AsyncIterator[bytes]:
        """The events as they happen, after those for exchanges already in the journal. Ends when the reader leaves."""
        stop = self._journal.watch(self._note)
        try:
            for exchange in self._journal:
                self._note(exchange)
            yield b": events of exchanges\n\n"
            silence = 0.0
            while True:
                data = self._due() or (b": still here\n\n" if silence >= KEEP_ALIVE else b"")
                if data:
                    silence = 0.0
                    yield data
                silence += await self._pause()
        finally:
            stop()

    def _note(self, exchange: Exchange) -> None:
        if len(self._pending) >= MAX_PENDING and exchange.number not in self._pending:
            del self._pending[next(iter(self._pending))]
            self._dropped += 1
        self._pending[exchange.number] = exchange
        self._changed.set()

    async def _pause(self) -> float:
        """Waits until something happens, or for one tick if answers are open."""
        if not self._pending:
            seconds = TICK if self._open else KEEP_ALIVE
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                return seconds
        self._changed.clear()
        return 0.0

    def _due(self) -> bytes:
        from emulator.control.api import fits

        events: list[bytes] = []
        pending, self._pending = self._pending, {}
        for number, exchange in pending.items():
            if exchange.ended is not None:
                self._open.pop(number, None)
                if self._shows_ends and fits(exchange, self._wanted):
                    events.append(_event("end", exchange))
            elif number not in self._open:
                self._open[number] = (exchange, -1)
        for number, (exchange, frames) in tuple(self._open.items()):
            if exchange.ended is not None:
                continue  # its end event follows
            playback = exchange.so_far()
            sent = playback.frames_sent if playback is not None else 0
            if sent != frames and fits(exchange, self._wanted):
                events.append(_event("begin" if frames < 0 else "move", exchange))
                self._open[number] = (exchange, sent)
        if self._dropped:
            events.append(b'event: dropped\ndata: {"dropped": %d}\n\n' % self._dropped)
            self._dropped = 0
        return b"".join(events)


def _event(name: str, exchange: Exchange) -> bytes:
    return b"event: %b\nid: %d\ndata: %b\n\n" % (name.encode(), exchange.number, orjson.dumps(exchange.row()))
