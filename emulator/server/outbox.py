"""Ended exchanges that are not in the store yet. They are written in batches, in the background.

A journal keeps only its newest exchanges, so under load, many of the waiting ones never need to be written. Totals
count all of them. What waits for a store that is gone is bounded, and losses are logged."""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from emulator.clock import Clock, wait_until
from emulator.errors import StoreGone
from emulator.offload import Pool
from emulator.server.journals import TAKEN, Batch, Journals, Reach, Written
from emulator.server.redis_spool import RedisSpool
from emulator.server.sent_totals import SentTotals, without
from emulator.server.stored import stop
from emulator.state.exchanges import Exchange
from emulator.state.journal import MAX_EXCHANGES, Journal
from emulator.state.totals import Totals

logger = logging.getLogger("emulator")

MAX_WAITING, MAX_WAITING_BYTES = 10_000, 64 * 2**20
"""The most waiting exchanges of all namespaces, and their bytes."""
MAX_BATCH, MAX_BATCH_BYTES = 200, 2 * 2**20
TURN = 0.001
"""Seconds of work before the event loop gets a turn."""
SHARE, SHARE_OF_MANY = 127.0, 3.0
"""Seconds of rest for each second of serializing exchanges, unless a reader waits: usually, and while many wait."""
MANY = 5000
MIN_REST, MAX_REST = 0.02, 2.0
"""The minimum of that rest, since each batch is a message to the store and to every replica; and the maximum."""
MAX_CREDIT = 1.0
"""The most seconds of rest that an idle outbox saves up, so that a few exchanges are written immediately."""
LARGE = 32 * 1024
"""Exchanges of at least this many bytes are serialized on a thread."""
RETRY = 0.1
POOL = Pool("journal", 1)
Waiting = tuple[int, "asyncio.Future[None]"]
InWords = tuple[str, Written, int]
"""An exchange to write: its namespace, what is written, and its entry in the spool."""


class Outbox:
    """The outbox of one replica."""

    def __init__(self, journals: Journals, totals: Totals, spool: RedisSpool, clock: Clock) -> None:
        self.on_written: Callable[[dict[str, int]], None] = lambda _: None
        """Called with the highest number written in each namespace."""
        self.lost = 0
        """The number of exchanges that are in no journal because the store was gone for too long."""
        self._journals = journals
        self._totals = SentTotals(totals)
        self._spool = spool
        self._clock = clock
        self.reach = Reach()
        """How far the spool is written down."""
        self._periods = [1]
        """The first entries of the spool's periods that are still needed."""
        self._taken: dict[bytes, str] = {}
        """The totals that others have written because they thought that this replica was gone."""
        self._is_full = False
        """Whether the spool is to be shortened first."""
        self._queues: dict[str, deque[tuple[Exchange, int]]] = {}
        """The waiting exchanges, each with its entry in the spool."""
        self._bytes = 0
        self._put, self._done = 0, 0
        """The number of exchanges that have arrived, and of those that no longer wait."""
        self._batch = 0
        self._losses = 0
        """The number of times the store has lost its data."""
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._waiting: list[Waiting] = []
        self._served: list[Waiting] = []
        """Those who wait for the current batch."""
        self._reported = 0
        """How many of the lost exchanges have been logged."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts writing."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> bool:
        """Stops, at the server's end, after writing what waits if the store is reachable. Returns whether it was."""
        try:
            async with asyncio.timeout(1.0):
                await self.flushed()
        except (StoreGone, TimeoutError):
            if waiting := self._put - self._done:
                logger.warning("%d exchanges were not written to the store.", waiting)
        await stop([self._task])
        return self._put == self._done

    def put(self, exchange: Exchange) -> None:
        """Adds an ended exchange."""
        queue = self._queues.get(exchange.namespace)
        if queue is None:
            queue = self._queues[exchange.namespace] = deque()
        queue.append((exchange, self._spool.entry))
        self._put += 1
        self._bytes += exchange.size
        if len(queue) > MAX_EXCHANGES:  # the journal would also drop it
            self._drop(queue)
        elif self._put - self._done > MAX_WAITING or self._bytes > MAX_WAITING_BYTES:
            self._drop(max(self._queues.values(), key=len))
            self.lost += 1
        self._wake.set()

    def clear(self, namespace: str) -> int:
        """Drops what has ended in a namespace so far. Returns how many of those exchanges had not been written."""
        queue = self._queues.get(namespace)
        count = len(queue or ())
        while queue:
            self._drop(queue)
        return count

    def hurry(self) -> None:
        """Writes soon: what was on its way to the spool may have been lost."""
        self._hurry.set()
        self._wake.set()

    def shorten(self) -> None:
        """Writes the totals soon, so that the spool can be shortened."""
        if not self._is_full:
            self._is_full = True
            self.hurry()

    async def flushed(self) -> None:
        """Returns once everything that has ended so far is in the store. Raises StoreGone."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._put, future))
        self.hurry()
        await future

    def again(self, journals: Iterable[Journal]) -> None:
        """Writes everything that is kept here again, after the store has lost its data."""
        self._totals.forget()
        self._taken = {}
        self._losses += 1
        for queue in self._queues.values():
            while queue:
                self._drop(queue)
        for journal in journals:
            for exchange in journal:
                if exchange.ended is not None:
                    self.put(exchange)
        self._wake.set()

    def _drop(self, queue: "deque[tuple[Exchange, int]]") -> None:
        self._bytes -= queue.popleft()[0].size
        self._done += 1

    async def _run(self) -> None:
        while True:
            try:
                await self._write_down()
            except Exception as error:
                logger.exception("The journal could not be written to the store: please report this")
                missed = self._put - self._done - sum(map(len, self._queues.values()))
                self._done += missed
                self.lost += missed
                self._reported += missed
                _fail(self._served + self._waiting, error)
                self._waiting = []
                if any(self._queues.values()):
                    self._wake.set()

    async def _write_down(self) -> None:
        owed, ended = 0.0, self._clock.now()
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting = self._waiting, []
            self._served = waiting
            started = self._clock.now()
            written, count = await self._take()
            share = SHARE if self._put - self._done < MANY else SHARE_OF_MANY
            owed = max(owed - (started - ended), -MAX_CREDIT) + (self._clock.now() - started) * share
            ended = self._clock.now()
            await self._commit(written, waiting)
            if (lost := self.lost - self._reported) > 0:
                logger.error("%d exchanges are missing in the journals: the store was gone.", lost)
                self._reported = self.lost
            self._done += count
            for target, future in waiting:
                if future.done():
                    continue
                if target <= self._done:
                    future.set_result(None)
                else:
                    self._waiting.append((target, future))
            if any(self._queues.values()) or self._waiting:
                self._wake.set()
            if not self._waiting:
                self._hurry.clear()
                await _rest(self._hurry, owed)

    async def _take(self) -> tuple[list[InWords], int]:
        """Returns some of the waiting exchanges, serialized, and their number."""
        written: list[InWords] = []
        if self._is_full and not self._waiting:
            self._is_full = False
            return written, 0
        size, pause = 0, self._clock.now() + TURN
        for namespace, queue in tuple(self._queues.items()):
            if len(written) >= MAX_BATCH or size >= MAX_BATCH_BYTES:
                break
            while queue and len(written) < MAX_BATCH and size < MAX_BATCH_BYTES:
                exchange, entry = queue.popleft()
                self._bytes -= exchange.size
                each = await POOL.run(in_words, exchange) if exchange.size > LARGE else in_words(exchange)
                written.append((namespace, each, entry))
                size += len(each.row) + len(each.rest)
                if self._clock.now() > pause:
                    await wait_until(self._clock, self._clock.now() + 1e-6)
                    pause = self._clock.now() + TURN
            self._queues.pop(namespace, None)
            if queue:
                self._queues[namespace] = queue  # the others come first next time
        return written, len(written)

    async def _commit(self, written: list[InWords], waiting: list[Waiting]) -> None:
        """Writes a batch, however long that takes."""
        last = self._spool.new_period()
        added, seen = self._totals.changes()
        if not added and not written:
            return
        first = min([queue[0][1] for queue in self._queues.values() if queue], default=last + 1)
        self._batch += 1
        losses = self._losses
        while True:
            if self._losses != losses:  # all of it waits again
                return
            reaches = Reach(last, max(min(first - 1, last), self.reach.journal))
            keeps = max([start for start in self._periods if start <= reaches.journal + 1])
            rows = [(namespace, each) for namespace, each, _ in written]
            batch = Batch(str(self._batch), self.reach, reaches, keeps, without(added, self._taken), rows)
            try:
                done = await self._journals.commit(batch)
                if done >= 0:
                    self.reach, self._taken = reaches, {}
                    self._periods = [start for start in self._periods if start >= keeps] + [last + 1]
                    break
                if done == TAKEN:
                    self.reach, more = await self._journals.taken()
                    self._taken = without(self._taken, {}, plus=more)
                    written = self._not_taken(written)
                    continue
                await wait_until(self._clock, self._clock.now() + RETRY)
            except StoreGone as error:
                _fail(waiting + self._waiting, error)
                waiting.clear()
                self._waiting = []
                await wait_until(self._clock, self._clock.now() + RETRY)
        self._totals.confirm(seen)
        highest: dict[str, int] = {}
        for namespace, each, _ in written:
            highest[namespace] = max(each.number, highest.get(namespace, 0))
        if highest:
            self.on_written(highest)

    def _not_taken(self, written: list[InWords]) -> list[InWords]:
        """Drops what others have written."""
        for queue in self._queues.values():
            while queue and queue[0][1] <= self.reach.journal:
                self._drop(queue)
        return [each for each in written if each[2] > self.reach.journal]


async def _rest(hurry: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(min(max(seconds, MIN_REST), MAX_REST)):
            await hurry.wait()
    except TimeoutError:
        pass


def _fail(waiting: list[Waiting], error: Exception) -> None:
    for _, future in waiting:
        if not future.done():
            future.set_exception(error)


def in_words(exchange: Exchange, known: Mapping[str, Any] | None = None) -> Written:
    """Returns an exchange as the store keeps it; `known`: details that it doesn't have itself."""
    row = exchange.row()
    why = exchange.why
    details = exchange.details(explains=why is None or why.is_quick)
    rest = {name: value for name, value in details.items() if name not in row} | dict(known or {})
    return Written(exchange.number, exchange.arrived, _json(row), _json(rest))


def _json(data: Any) -> bytes:
    try:
        return orjson.dumps(data, default=str)
    except TypeError:  # a lone surrogate
        return json.dumps(data, ensure_ascii=False, default=str).encode("utf-8", "replace")
