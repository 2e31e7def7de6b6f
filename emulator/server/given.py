"""The replicas' configuration in the store: a stream of calls, and occasional snapshots of everything before."""

import secrets
from functools import partial

from emulator.records import record
from emulator.server.bus import TTL
from emulator.server.stored import reply, shared_key
from emulator.state.redis_connection import RedisConnection

SAVE = """
local kept = redis.call('HGET', KEYS[1], 'order')
if kept and kept >= ARGV[1] then return false end
redis.call('HSET', KEYS[1], 'order', ARGV[1], 'given', ARGV[2], 'trimmed', kept or '0')
redis.call('EXPIRE', KEYS[1], ARGV[3])
return kept
"""
"""Keeps the newer of two snapshots; their orders are strings of equal length."""
FOUND = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX') then return redis.call('GET', KEYS[1]) end
if ARGV[2] ~= '' then redis.call('HSET', KEYS[2], 'order', ARGV[3], 'given', ARGV[2], 'trimmed', '0') end
return ARGV[1]
"""
BATCH = 20
"""The number of calls to read at once; each may contain a whole scenario."""


@record
class Snapshot:
    """The replicas' configuration up to a call; `given` is empty if there is none."""

    order: int = 0
    given: bytes = b""
    trimmed: int = 0
    """The last call that is no longer in the stream."""


@record
class WrittenCall:
    """A call in the stream."""

    order: int
    sender: int
    call: int
    message: bytes


class Given:
    """The stream of calls, and the snapshot."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._key = partial(shared_key, connection)

    async def token(self, given: bytes) -> bytes:
        """Returns the token that exists as long as the store's data does. If there is none, writes a new one with
        this replica's configuration (`given`). Raises StoreGone.
        """
        keys = (self._key("word"), self._key("given"))
        script = self._connection.client.eval(FOUND, 2, *keys, secrets.token_hex(8), given, _padded(0))
        token: bytes = await reply(self._connection, script)
        return token

    async def has_token(self, token: bytes) -> bool:
        """Whether the store has this token. Raises StoreGone."""
        found: bytes | None = await reply(self._connection, self._connection.client.get(self._key("word")))
        return found == token

    async def snapshot(self) -> Snapshot:
        """Returns the last snapshot. Raises StoreGone."""
        wanted = self._connection.client.hmget(self._key("given"), "order", "given", "trimmed")
        order, given, trimmed = await reply(self._connection, wanted)
        return Snapshot() if given is None else Snapshot(int(order), given, int(trimmed))

    async def save(self, order: int, given: bytes) -> None:
        """Writes a snapshot, for replicas that start when no other is running. Raises StoreGone."""
        client = self._connection.client
        saved = client.eval(SAVE, 1, self._key("given"), _padded(order), given, str(TTL))
        before = await reply(self._connection, saved)
        if before is not None and int(before):  # late replicas find the missing calls after the previous snapshot
            await reply(self._connection, client.xtrim(self._key("calls"), minid=_id_of(int(before))))

    def written(self, sender: int, call: int, message: bytes) -> tuple[str, dict[bytes, bytes]]:
        """Returns a call as fields for XADD."""
        return self._key("calls"), {b"by": b"%d" % sender, b"call": b"%d" % call, b"message": message}

    async def write(self, sender: int, call: int, message: bytes) -> None:
        """Makes all replicas act on a call. Raises StoreGone."""
        await reply(self._connection, self._connection.client.xadd(*self.written(sender, call, message)))

    async def since(self, order: int) -> list[WrittenCall]:
        """Returns the next calls. Raises StoreGone."""
        wanted = {self._key("calls"): _id_of(order)}
        found = await reply(self._connection, self._connection.client.xread(wanted, count=BATCH))
        return [
            WrittenCall(_order_of(id), int(fields[b"by"]), int(fields[b"call"]), fields[b"message"])
            for _, entries in found or ()
            for id, fields in entries
        ]


def _order_of(id: bytes) -> int:
    """Converts a stream id to the number of a call. It is exact as a float, since Lua has no integers."""
    moment, _, serial = id.partition(b"-")
    return int(moment) << 12 | int(serial)


def _id_of(order: int) -> str:
    return f"{order >> 12}-{order & 0xFFF}"


def _padded(order: int) -> str:
    return f"{order:020}"
