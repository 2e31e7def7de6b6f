"""What happens, as it happens: server-sent events about exchanges that begin, move and end."""

import asyncio
from collections.abc import AsyncIterator

import orjson

from emulator.control.models import Selection
from emulator.state.journal import Exchange, Journal

TICK = 0.25
"""Seconds between two looks at what is being sent."""
KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment says that the connection lives."""
MAX_PENDING = 10_000
"""Exchanges that wait for a reader who is slow; the oldest are left out then, and the next event says how many."""


class Events:
    """The events of one journal for one reader. Nothing is looked at while nobody reads."""

    def __init__(self, journal: Journal, wanted: Selection) -> None:
        self._journal = journal
        self._wanted = wanted
        self._changed = asyncio.Event()
        self._pending: dict[int, Exchange] = {}
        self._open: dict[int, tuple[Exchange, int]] = {}
        """The exchanges that are not over, with the frames that were sent when they were last looked at."""
        self._dropped = 0

    async def stream(self) -> AsyncIterator[bytes]:
        """The events as they come, the exchanges that are kept first. It ends when its reader leaves."""
        stop = self._journal.watch(self._note)
        try:
            for exchange in self._journal:
                self._note(exchange)
            yield b": events of exchanges\n\n"
            silence = 0.0
            while True:
                data = self._due()
                if data:
                    silence = 0.0
                    yield data
                elif silence >= KEEP_ALIVE:
                    silence = 0.0
                    yield b": still here\n\n"
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
        """Wait until something happens; while answers are being sent, no longer than a tick."""
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
                if fits(exchange, self._wanted):
                    events.append(_event("end", exchange))
            elif number not in self._open:
                self._open[number] = (exchange, -1)
        for number, (exchange, frames) in tuple(self._open.items()):
            if exchange.ended is not None:
                continue  # its end is on its way
            underway = exchange.underway
            sent = underway.frames_sent if underway is not None else 0
            if sent != frames and fits(exchange, self._wanted):
                events.append(_event("begin" if frames < 0 else "move", exchange))
                self._open[number] = (exchange, sent)
        if self._dropped:
            events.append(b'event: dropped\ndata: {"dropped": %d}\n\n' % self._dropped)
            self._dropped = 0
        return b"".join(events)


def _event(name: str, exchange: Exchange) -> bytes:
    return b"event: %b\nid: %d\ndata: %b\n\n" % (name.encode(), exchange.number, orjson.dumps(exchange.row()))
