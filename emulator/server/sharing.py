"""Everything that a server shares with the other replicas of a store: calls, numbers of exchanges, journals and
totals."""

import contextlib
from typing import TYPE_CHECKING, Any

import orjson

from emulator.clock import Clock
from emulator.control.calls import perform
from emulator.errors import StoreGone
from emulator.server.broker import ALL
from emulator.server.journals import SPOOLS, Journals, spool_names
from emulator.server.numbers import Numbers
from emulator.server.outbox import Outbox
from emulator.server.recovery import Recovery
from emulator.server.redis_spool import RedisSpool
from emulator.server.replicas import ENDED, Replicas
from emulator.server.stored import reply, shared_key
from emulator.state import evidence
from emulator.state.redis_connection import RedisConnection
from emulator.state.redis_packets import Packets

if TYPE_CHECKING:
    from emulator.server.app import App


class Sharing:
    """One replica's part of the store."""

    def __init__(self, app: "App", connection: RedisConnection, packets: Packets, clock: Clock) -> None:
        self._app = app
        self._connection = connection
        self.replicas = Replicas(connection, clock)
        member = self.replicas.bus.member
        self.journals = Journals(connection, member)
        self._numbers = Numbers(connection, member)
        self._names = spool_names(member)
        self._spool = RedisSpool(packets, *[shared_key(connection, name) for name in self._names[:2]])
        self._outbox = Outbox(self.journals, app.totals, self._spool, clock)
        self._outbox.on_written = self._tell_ended
        packets.opened, self._spool.on_full = self._outbox.hurry, self._outbox.shorten
        self._recovery = Recovery(connection, self.replicas.bus, self.journals)
        self._recovery.on_written = self._tell_ended
        self.journals.complete = self.replicas.complete = self._recovery.look
        self.replicas.on_ended, self.replicas.on_joined = self._on_ended, self._on_joined
        shelf = app.namespaces.shelf
        shelf.numbers, shelf.publish = self._numbers.next, self._outbox.put
        app.spool = self._spool

    @property
    def lost(self) -> int:
        """The number of exchanges that are in no journal because the store was gone for too long."""
        return self._outbox.lost

    async def start(self) -> None:
        """Joins the other replicas, immediately or as soon as the store is reachable."""
        self._app.peers, self._app.stored = self.replicas, self
        self._outbox.start()
        await self.replicas.start(lambda message: perform(self._app, message))

    async def close(self) -> None:
        """Stops, at the server's end."""
        is_written = not self._connection.is_gone and await self._outbox.close()
        await self.replicas.close()
        if is_written:
            with contextlib.suppress(StoreGone):
                await self._recovery.forget(self.replicas.bus.member)

    async def flushed(self) -> None:
        """Returns once everything that has ended here so far is in the store. Raises StoreGone."""
        if self._connection.is_gone:
            raise self._connection.gone()
        await self._outbox.flushed()

    def clear(self, namespace: str) -> int:
        """Drops what has ended in a namespace so far. Returns how many of those exchanges are not in the store."""
        return self._outbox.clear(namespace)

    def _tell_ended(self, highest: dict[str, int]) -> None:
        self.replicas.bus.send(ENDED, ALL, 0, orjson.dumps(highest))

    def _on_ended(self, highest: dict[str, int]) -> None:
        self.journals.grown(list(highest))
        self._numbers.heard(max(highest.values()))

    async def _on_joined(self, has_lost: bool) -> None:
        if has_lost or not self.journals.token:
            await self._numbers.start()
        name, member = shared_key(self._connection, SPOOLS), str(self.replicas.bus.member)
        await reply(self._connection, self._connection.client.hsetnx(name, member, str(self._outbox.reach)))
        key, salt = shared_key(self._connection, "salt"), evidence.salt()
        client: Any = self._connection.client
        kept = await reply(self._connection, client.set(key, salt, nx=True, get=True))
        if kept is not None:
            evidence.set_salt(kept)
        if has_lost:
            self._outbox.again([each.journal for each in self._app.namespaces])
        self.journals.token = self.replicas.joining.token
