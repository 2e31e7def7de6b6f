"""The journals of all replicas in the store: a stream for each namespace, and the totals."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache, partial
from importlib.resources import files
from typing import Any, NamedTuple

import orjson

from emulator.clock import unix_time
from emulator.records import record
from emulator.server.sent_totals import totals_of
from emulator.server.stored import reply, shared_key
from emulator.state.journal import MAX_BYTES, MAX_EXCHANGES
from emulator.state.redis_connection import RedisConnection

NAME = "journal"
PAGE = 50
"""The number of exchanges to read at once with all details."""
LIST = """
local rows = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], '+')) do
  local fields = entry[2]
  rows[#rows + 1] = {entry[1], fields[2], fields[4], fields[6]}
end
return {rows, redis.call('HGETALL', KEYS[1] .. ':acknowledged')}
"""
FIND = """
local last = '+'
while true do
  local entries = redis.call('XREVRANGE', KEYS[1], last, '-', 'COUNT', 50)
  for _, entry in ipairs(entries) do
    if entry[2][2] == ARGV[1] then
      return {entry[1], entry[2], redis.call('HGET', KEYS[1] .. ':acknowledged', ARGV[1])}
    end
    last = '(' .. entry[1]
  end
  if #entries < 50 then return false end
end
"""
CLEAR = """
local count = redis.call('XLEN', KEYS[1])
local bytes = redis.call('ZSCORE', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[1], KEYS[1] .. ':acknowledged')
redis.call('ZREM', KEYS[2], ARGV[1])
if bytes then redis.call('DECRBY', KEYS[3], bytes) end
return count
"""


SPOOLS = "spools"
"""The replicas' spools, and how far each is written down."""
NOT_JOINED, TAKEN = -1, -2
"""Why a batch was not written: the store has other data or was not joined; another replica was faster."""


def spool_names(member: object) -> tuple[str, str, str]:
    """Returns the names of a replica's spool, its open answers, and the totals that others have counted for it."""
    return f"spool:{member}", f"open:{member}", f"counted:{member}"


class Reach(NamedTuple):
    """How far a spool is written down: its last entry in the totals, and the last one in the journals."""

    totals: int = 0
    journal: int = 0

    def __str__(self) -> str:
        return f"{self.totals} {self.journal}"

    @classmethod
    def read(cls, text: bytes | None) -> "Reach":
        """Reads it from the store."""
        return cls(*map(int, text.split())) if text else cls()


class Batch(NamedTuple):
    """What a replica writes down in one step."""

    number: str
    """Identifies it, so that it is written once."""
    known: Reach
    """How far the spool was written down before."""
    reaches: Reach
    keeps: int
    """The first entry of the spool to keep."""
    totals: Mapping[bytes, str]
    written: Sequence[tuple[str, "Written"]]


@record
class Written:
    """An ended exchange, as the store keeps it."""

    number: int
    arrived: float
    """When it arrived, in real Unix seconds."""
    row: bytes
    """Its row in lists, as JSON."""
    rest: bytes = b""
    """Its further details."""


@record
class Kept:
    """An exchange in the store."""

    id: bytes
    """Its id in the stream."""
    arrived: float
    row: dict[str, Any]
    """Its row in lists, or all details if they were requested."""


class Journals:
    """Reads and writes the journals."""

    def __init__(self, connection: RedisConnection, owner: int) -> None:
        self._connection = connection
        self._owner = str(owner)
        self._key = partial(shared_key, connection)
        self.token = b""
        """The token of the store's data that this replica has joined."""
        self.complete: Callable[[], Awaitable[None]]
        """Writes down what replicas that are gone have left; called before reading. Set once, as all starts."""
        self._watchers: dict[str, set[asyncio.Future[None]]] = {}

    # Writing

    async def commit(self, batch: "Batch", member: int | None = None) -> int:
        """Writes a batch once, even if it is retried; `member`: for another replica that is gone. Returns a negative
        number if nothing was written: NOT_JOINED or TAKEN. Raises StoreGone.
        """
        if not self.token:
            return NOT_JOINED
        address, client = self._connection.address, self._connection.client
        before, after = address.key("\0", NAME).split("\0")
        owner = self._owner if member is None else str(member)
        limits = (str(int(address.ttl)), str(MAX_EXCHANGES), str(MAX_BYTES))
        words: list[Any] = [
            owner,
            batch.number,
            before,
            after,
            *limits,
            self.token,
            str(batch.known),
            str(batch.reaches),
        ]
        words += (f"{batch.keeps}-0", "0" if member is None else "1", str(len(batch.totals)))
        for field, amount in batch.totals.items():
            words += (field, amount)
        for namespace, each in batch.written:
            words += (namespace, str(each.number), repr(each.arrived), each.row, each.rest)
        names = ("batches", "totals", "sizes", "bytes", "word", SPOOLS, *spool_names(owner))
        keys = [self._key(name) for name in names]
        return int(await reply(self._connection, client.eval(script(), len(keys), *keys, *words)))

    async def taken(self) -> tuple["Reach", dict[bytes, str]]:
        """Returns what others have written for this replica because they thought it was gone: how far its spool, and
        the totals, once. Raises StoreGone.
        """
        pipe = self._connection.client.pipeline(transaction=True)
        *_, counted = spool_names(self._owner)
        pipe.hget(self._key(SPOOLS), self._owner)
        pipe.hgetall(self._key(counted))
        pipe.delete(self._key(counted))
        reach, fields, _ = await reply(self._connection, pipe.execute())
        return Reach.read(reach), {field: amount.decode() for field, amount in fields.items()}

    async def clear(self, namespace: str) -> int:
        """Removes a journal, and returns how many exchanges it had. Raises StoreGone."""
        keys = (self._journal(namespace), self._key("sizes"), self._key("bytes"))
        count: int = await reply(self._connection, self._connection.client.eval(CLEAR, 3, *keys, namespace))
        return count

    async def acknowledge(self, namespace: str, number: int, word: Mapping[str, Any]) -> None:
        """Records how an exchange ended for the client. Raises StoreGone."""
        key = f"{self._journal(namespace)}:acknowledged"
        pipe = self._connection.client.pipeline(transaction=False)
        pipe.hset(key, str(number), orjson.dumps([word, unix_time()]))
        pipe.expire(key, int(self._connection.address.ttl))
        await reply(self._connection, pipe.execute())

    # Reading

    async def rows(self, namespace: str, after: bytes = b"") -> list[Kept]:
        """Returns the rows of exchanges in the order of the store; `after`: only later ones. Raises StoreGone."""
        await self.complete()
        return await self.stored_rows(namespace, after)

    async def stored_rows(self, namespace: str, after: bytes = b"") -> list[Kept]:
        """The same, without what replicas that are gone have left. Raises StoreGone."""
        start = b"(" + after if after else b"-"
        client = self._connection.client
        entries, words = await reply(self._connection, client.eval(LIST, 1, self._journal(namespace), start))
        said = dict(zip(words[::2], words[1::2], strict=True))
        return [_kept(id, arrived, row, b"", said.get(number)) for id, number, arrived, row in entries]

    async def details(self, namespace: str) -> list[Kept]:
        """Returns the same with all details. Raises StoreGone."""
        await self.complete()
        client, key = self._connection.client, self._journal(namespace)
        said = await reply(self._connection, client.hgetall(f"{key}:acknowledged"))
        found: list[Kept] = []
        start = b"-"
        while entries := await reply(self._connection, client.xrange(key, start, "+", count=PAGE)):
            found += [_kept_of(id, fields, said.get(fields[b"n"])) for id, fields in entries]
            start = b"(" + entries[-1][0]
        return found

    async def one(self, namespace: str, number: int) -> Kept | None:
        """Returns everything about one exchange. Raises StoreGone."""
        await self.complete()
        client = self._connection.client
        found = await reply(self._connection, client.eval(FIND, 1, self._journal(namespace), str(number)))
        if found is None:
            return None
        id, (_, _, _, arrived, _, row, _, rest), word = found
        return _kept(id, arrived, row, rest, word)

    async def counts(self) -> dict[str, int]:
        """Returns the number of exchanges in each namespace. Raises StoreGone."""
        await self.complete()
        client = self._connection.client
        names = [name.decode() for name in await reply(self._connection, client.zrange(self._key("sizes"), 0, -1))]
        pipe = client.pipeline(transaction=False)
        for name in names:
            pipe.xlen(self._journal(name))
        return dict(zip(names, await reply(self._connection, pipe.execute()) if names else (), strict=True))

    async def totals(self) -> tuple[dict[str, Any], int]:
        """Returns the totals of all past and present replicas, and the bytes of all journals. Raises StoreGone."""
        await self.complete()
        pipe = self._connection.client.pipeline(transaction=False)
        pipe.hgetall(self._key("totals"))
        pipe.get(self._key("bytes"))
        fields, size = await reply(self._connection, pipe.execute())
        return totals_of(fields), int(size or 0)

    # Following

    def grown(self, namespaces: Sequence[str]) -> None:
        """Wakes the readers of these journals, which have new exchanges."""
        for name in namespaces:
            for future in self._watchers.pop(name, ()):
                if not future.done():
                    future.set_result(None)

    def changed(self, namespace: str) -> asyncio.Future[None]:
        """Returns a future that is done once a journal has new exchanges."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers.setdefault(namespace, set()).add(future)
        future.add_done_callback(lambda _: self._forget(namespace, future))
        return future

    def _forget(self, namespace: str, future: asyncio.Future[None]) -> None:
        watchers = self._watchers.get(namespace)
        if watchers is not None:
            watchers.discard(future)
            if not watchers:
                del self._watchers[namespace]

    def _journal(self, namespace: str) -> str:
        return self._connection.address.key(namespace, NAME)


@cache
def script() -> str:
    """Returns the script that writes a batch in one step."""
    return files("emulator.server").joinpath("journals.lua").read_text()


def _kept_of(id: bytes, fields: Mapping[bytes, bytes], word: bytes | None) -> Kept:
    return _kept(id, fields[b"a"], fields[b"r"], fields[b"d"], word)


def _kept(id: bytes, arrived: bytes, row: bytes, rest: bytes, word: bytes | None) -> Kept:
    came = float(arrived)
    known: dict[str, Any] = orjson.loads(row)
    if rest:
        known |= orjson.loads(rest)
        known["age"] = unix_time() - came
    if word is not None:
        known["acknowledged"], moment = orjson.loads(word)
        if rest:
            known["acknowledged_after"] = moment - came
    return Kept(id, came, known)
