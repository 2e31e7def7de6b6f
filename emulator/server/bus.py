"""Immediate messages between replicas: frames on the store's channels, one for each replica and one for all."""

import asyncio
import contextlib
import secrets
import struct
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from emulator.clock import Clock, wait_until
from emulator.errors import StoreGone
from emulator.server.broker import ALL
from emulator.server.stored import reply, shared_key, stop
from emulator.state.redis_connection import RedisConnection

MAX_MEMBER = 8_000_000
_HEAD = struct.Struct("!B?II")
"""Kind, whether the payload has its own key, sender, number of the call."""
MAX_PAYLOAD = 256 * 1024
"""The maximum bytes of a payload inside a frame; a larger one gets its own key."""
PAYLOAD_TTL = 60
MAX_SILENCE = 3.0
"""Seconds of silence after which a replica is not waited for, and a subscription is tested."""
FORGOTTEN = 3600
"""Seconds after which a replica that is gone is forgotten."""
TTL = 7 * 86400
"""Seconds that the shared data outlives the last replica."""
RETRY = 0.1
"""Seconds before the next attempt to reach the store."""
Outgoing = tuple[int, int, int, bytes]
"""Receives a frame's kind, receiver, number of the call, and payload."""


class Bus:
    """One replica's ends of all channels."""

    def __init__(self, connection: RedisConnection, clock: Clock) -> None:
        self.member = secrets.randbelow(MAX_MEMBER) + 1
        """The unique number of this replica."""
        self.receive: Callable[[int, int, int, bytes], Awaitable[None]] | None = None
        """Called with each frame: kind, sender, call, payload."""
        self.subscribed: Callable[[], None] = lambda: None
        self.lost: Callable[[], None] = lambda: None
        self._connection = connection
        self._clock = clock
        self._key = partial(shared_key, connection)
        self._outgoing: list[Outgoing] = []
        self._has_outgoing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Starts listening."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._publish())]

    async def close(self) -> None:
        """Stops, at the server's end."""
        await stop(self._tasks)

    def send(self, kind: int, to: int, call: int, payload: bytes) -> None:
        """Queues a message; messages are dropped while the store is gone."""
        if not self._connection.is_gone:
            self._outgoing.append((kind, to, call, payload))
            self._has_outgoing.set()

    def put(self, pipe: Any, outgoing: Outgoing) -> None:
        """Adds a message to a pipeline of other commands."""
        kind, to, call, payload = outgoing
        is_large = len(payload) > MAX_PAYLOAD
        if is_large:
            name = self._key(f"payload:{secrets.token_hex(8)}")
            pipe.set(name, payload, ex=PAYLOAD_TTL)
            payload = name.encode()
        channel = self._key("all" if to == ALL else f"to:{to}")
        pipe.publish(channel, _HEAD.pack(kind, is_large, self.member, call) + payload)

    async def who_listens(self) -> set[int]:
        """Returns the replicas that have a connection to the store. Raises StoreGone."""
        channels = await reply(self._connection, self._connection.client.pubsub_channels(self._key("to:*")))
        return {int(name.rpartition(b":")[2]) for name in channels}

    async def who_lives(self, pipe: Any = None) -> set[int]:
        """Returns the connected replicas, and the ones heard from. Executes the pipeline's commands first. Raises
        StoreGone.
        """
        pipe = self._connection.client.pipeline(transaction=False) if pipe is None else pipe
        pipe.pubsub_channels(self._key("to:*"))
        pipe.hgetall(self._key("beats"))
        *_, channels, beats = await reply(self._connection, pipe.execute())
        listening = {int(name.rpartition(b":")[2]) for name in channels}
        newest = max(map(float, beats.values()), default=0.0)
        return listening - {int(member) for member, beat in beats.items() if newest - float(beat) > MAX_SILENCE}

    async def beat(self, kept: Sequence[str]) -> None:
        """Reports that this replica is alive, and that these keys are still in use. Raises StoreGone."""
        client = self._connection.client
        seconds, micros = await reply(self._connection, client.time())
        pipe = client.pipeline(transaction=False)
        pipe.hset(self._key("beats"), str(self.member), f"{seconds + micros / 1e6:.3f}")
        pipe.expire(self._key("beats"), FORGOTTEN)
        for name in kept:
            pipe.expire(self._key(name), TTL)
        pipe.hgetall(self._key("beats"))
        *_, beats = await reply(self._connection, pipe.execute())
        gone = [member for member, beat in beats.items() if seconds - float(beat) > FORGOTTEN]
        if gone:
            for name in ("beats", "batches"):
                await reply(self._connection, client.hdel(self._key(name), *gone))

    async def _listen(self) -> None:
        client = self._connection.blocking_client()
        try:
            while True:
                try:
                    await self._receive_all(client)
                except asyncio.CancelledError:
                    raise
                except Exception as error:
                    self._connection.lost(error)
                self.lost()
                await wait_until(self._clock, self._clock.now() + RETRY)
        finally:
            with contextlib.suppress(Exception):
                await client.aclose()

    async def _receive_all(self, client: Any) -> None:
        """Never returns; raises the exception that ends the subscription."""
        async with client.pubsub() as pubsub:
            await pubsub.subscribe(self._key("all"), self._key(f"to:{self.member}"))
            self.subscribed()
            silences = 0
            while True:
                message = await pubsub.get_message(timeout=MAX_SILENCE)
                if message is not None:
                    silences = 0
                    if message["type"] == "message":
                        await self._received(message["data"])
                elif silences:  # pragma: no cover - tested, but lines after a timeout are not traced before Python 3.12
                    raise TimeoutError
                else:  # pragma: no cover - tested and not traced either
                    silences = 1
                    await pubsub.ping()

    async def _received(self, data: bytes) -> None:
        kind, is_elsewhere, sender, call = _HEAD.unpack_from(data)
        payload = data[_HEAD.size :]
        if is_elsewhere:
            payload = await reply(self._connection, self._connection.client.get(payload)) or b""
        assert self.receive is not None
        await self.receive(kind, sender, call, payload)

    async def _publish(self) -> None:
        while True:
            await self._has_outgoing.wait()
            self._has_outgoing.clear()
            outgoing, self._outgoing = self._outgoing, []
            pipe = self._connection.client.pipeline(transaction=False)
            for each in outgoing:
                self.put(pipe, each)
            try:
                await reply(self._connection, pipe.execute())
            except StoreGone:
                self._outgoing.clear()
