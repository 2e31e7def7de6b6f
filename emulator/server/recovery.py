"""Writes down what killed replicas have left in the store: exchanges whose answers clients may already have."""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from emulator.clock import WallClock
from emulator.offload import Pool
from emulator.server.bus import Bus
from emulator.server.journals import NOT_JOINED, SPOOLS, Batch, Journals, Reach, Written, spool_names
from emulator.server.outbox import in_words
from emulator.server.sent_totals import SentTotals
from emulator.server.stored import reply, shared_key
from emulator.state.journal import MAX_EXCHANGES
from emulator.state.packed import Unpacked, Unpacker
from emulator.state.redis_connection import RedisConnection
from emulator.state.totals import Totals

POOL = Pool("recovery", 1)
SETTLED = 60.0
"""Seconds after which nothing more can arrive from a replica that is gone."""
Entries = list[tuple[int, bytes]]
"""The entries of a spool, by their numbers."""


class Recovery:
    """One replica's part. Several may try at the same time, and one of them succeeds."""

    def __init__(self, connection: RedisConnection, bus: Bus, journals: Journals) -> None:
        self.on_written: Callable[[dict[str, int]], None] = lambda _: None
        """Called with the highest number written in each namespace."""
        self._connection = connection
        self._bus = bus
        self._journals = journals
        self._key = partial(shared_key, connection)
        self._empty_since: dict[int, float] = {}
        """When nothing more was found of each replica that is gone."""

    async def look(self) -> None:
        """Writes down everything that replicas that are gone have left. Raises StoreGone."""
        client = self._connection.client
        members = {int(name) for name in await reply(self._connection, client.hkeys(self._key(SPOOLS)))}
        if members - {self._bus.member}:
            for member in sorted(members - await self._bus.who_listens() - {self._bus.member}):
                while await self._recover(member):
                    self._empty_since.pop(member, None)

    async def forget(self, member: int) -> None:
        """Removes a replica's spool once all of it is written down. Raises StoreGone."""
        pipe = self._connection.client.pipeline(transaction=True)
        pipe.hdel(self._key(SPOOLS), str(member))
        pipe.delete(*[self._key(name) for name in spool_names(member)])
        await reply(self._connection, pipe.execute())

    async def _recover(self, member: int) -> bool:
        """Returns whether there may be more."""
        known, entries, still_open = await self._left_by(member)
        if known is None:
            return False
        last = entries[-1][0] if entries else known.totals
        if not still_open and last <= known.journal:
            now = WallClock.now()
            if now - self._empty_since.setdefault(member, now) > SETTLED:
                await self.forget(member)
            return False
        read = partial(self._batch_of, known, entries, still_open)
        batch, names = await POOL.run(read)
        in_journals = {(name, kept.row["number"]) for name in names for kept in await self._journals.stored_rows(name)}
        batch = batch._replace(
            written=[(name, each) for name, each in batch.written if (name, each.number) not in in_journals]
        )
        done = await self._journals.commit(batch, member)
        if done > 0:
            highest: dict[str, int] = {}
            for name, each in batch.written:
                highest[name] = max(each.number, highest.get(name, 0))
            if highest:
                self.on_written(highest)
        return done != NOT_JOINED

    async def _left_by(self, member: int) -> tuple[Reach | None, Entries, list[bytes]]:
        pipe = self._connection.client.pipeline(transaction=True)
        spool, still_open, _ = spool_names(member)
        pipe.hget(self._key(SPOOLS), str(member))
        pipe.xrange(self._key(spool))
        pipe.hvals(self._key(still_open))
        reach, entries, records = await reply(self._connection, pipe.execute())
        found = [(int(id.partition(b"-")[0]), fields[b"r"]) for id, fields in entries]
        return None if reach is None else Reach.read(reach), found, records

    def _batch_of(self, known: Reach, entries: Entries, still_open: Iterable[bytes]) -> tuple[Batch, set[str]]:
        """Returns what to write, and the namespaces that it is about. Runs on a thread."""
        newest: dict[int, tuple[int, Unpacked]] = {}
        reader = Unpacker()
        for number, data in entries:
            for each in reader.read(data):
                if number > known.journal:
                    newest[each.exchange.number] = number, each
        last = max([known.totals, *[number for number, _ in entries]])
        for record in still_open:
            for each in reader.read(record):  # pragma: no cover - in a replica that may be killed itself
                newest.setdefault(each.exchange.number, (last + 1, each))
        totals = Totals()
        kept: dict[str, deque[Unpacked]] = {}
        for number, each in newest.values():
            if number > known.totals:
                totals.note(each.exchange)
            kept.setdefault(each.exchange.namespace, deque(maxlen=MAX_EXCHANGES)).append(each)
        written = [(name, _written(each)) for name, records in kept.items() for each in records]
        added, _ = SentTotals(totals).changes()
        reaches = Reach(last, last)
        return Batch(f"{known}>{reaches}:{len(newest)}", known, reaches, last + 1, added, written), set(kept)


def _written(each: Unpacked) -> Written:
    return in_words(each.exchange, each.known)
