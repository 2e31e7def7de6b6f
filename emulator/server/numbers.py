"""Unique numbers of exchanges for replicas, reserved in the store in blocks ahead of time."""

import asyncio

from emulator.clock import WallClock
from emulator.errors import StoreGone
from emulator.server.stored import reply, shared_key
from emulator.state.redis_connection import RedisConnection

BLOCK, MAX_BLOCK = 1000, 100_000
"""The size of a block; larger if blocks are used up within a second."""
RESERVE = 10**12
"""The first of the numbers that replicas use if the store is gone and their block is used up."""
RESERVED = 10**9
"""How many of these numbers each replica has."""
MIN_INTERVAL = 0.1
"""Minimum seconds between two times that unused numbers are dropped because others use higher ones."""
TAKE = """
local now = tonumber(redis.call('GET', KEYS[1]) or '0')
if now < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return redis.call('INCRBY', KEYS[1], ARGV[2])
"""


class Numbers:
    """The numbers of one replica. They are roughly in order of time: a replica that learns of higher numbers
    continues above them.
    """

    def __init__(self, connection: RedisConnection, member: int) -> None:
        self._connection = connection
        self._next, self._end = 1, 1
        """The current block: its next number, and the first one after it."""
        self._spare: tuple[int, int] | None = None
        self._reserved = RESERVE + member * RESERVED
        self._size = BLOCK
        self._taken = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Reserves a block above all numbers that this replica knows of. Raises StoreGone."""
        highest = max(self._end, self._spare[1] if self._spare else 0) - 1
        self._next, self._end = await self._take(highest)
        self._spare = None

    def next(self) -> int:
        """Returns a number that no replica has used."""
        if self._next >= self._end:
            if self._spare is None:
                self._refill()
                self._reserved += 1
                return self._reserved
            self._next, self._end = self._spare
            self._spare = None
        number = self._next
        self._next = number + 1
        if self._spare is None and self._end - number < self._size // 2:
            self._refill()
        return number

    def heard(self, number: int) -> None:
        """Notes that another replica has used this number."""
        if self._next < number < RESERVE and WallClock.now() - self._taken > MIN_INTERVAL:
            self._refill(gives_up=True)

    def _refill(self, *, gives_up: bool = False) -> None:
        if self._task is None and not self._connection.is_gone:
            self._task = asyncio.get_running_loop().create_task(self._get(gives_up))

    async def _get(self, gives_up: bool) -> None:
        now = WallClock.now()
        if not gives_up:
            self._size = min(self._size * 2, MAX_BLOCK) if now - self._taken < 1 else max(BLOCK, self._size // 2)
        try:
            block = await self._take(0)
        except StoreGone:
            return
        finally:
            self._task = None
        self._taken = now
        if gives_up:
            (self._next, self._end), self._spare = block, None
        else:
            self._spare = block

    async def _take(self, floor: int) -> tuple[int, int]:
        client, key = self._connection.client, shared_key(self._connection, "number")
        last = await reply(self._connection, client.eval(TAKE, 1, key, str(floor), str(self._size)))
        return last - self._size + 1, last + 1
