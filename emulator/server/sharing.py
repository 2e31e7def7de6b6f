"""Everything that a server shares with the other replicas of a store: calls, numbers of exchanges, journals and
totals."""

from typing import TYPE_CHECKING, Any

import orjson

from emulator.clock import Clock
from emulator.control.calls import perform
from emulator.server.broker import ALL
from emulator.server.journals import Journals
from emulator.server.numbers import Numbers
from emulator.server.outbox import Outbox
from emulator.server.replicas import ENDED, Replicas
from emulator.server.stored import reply, shared_key
from emulator.state import evidence
from emulator.state.redis_connection import RedisConnection

if TYPE_CHECKING:
    from emulator.server.app import App


class Sharing:
    """One replica's part of the store."""

    def __init__(self, app: "App", connection: RedisConnection, clock: Clock) -> None:
        self._app = app
        self._connection = connection
        self.replicas = Replicas(connection, clock)
        member = self.replicas.bus.member
        self.journals = Journals(connection, member)
        self._numbers = Numbers(connection, member)
        self._outbox = Outbox(self.journals, app.totals, clock)
        self._outbox.on_written = self._tell_ended
        self.replicas.on_ended, self.replicas.on_joined = self._on_ended, self._on_joined
        shelf = app.namespaces.shelf
        shelf.numbers, shelf.publish = self._numbers.next, self._outbox.put

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
        if not self._connection.is_gone:
            await self._outbox.close()
        await self.replicas.close()

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
        if has_lost or not self.journals.word:
            await self._numbers.start()
        key, salt = shared_key(self._connection, "salt"), evidence.salt()
        client: Any = self._connection.client
        kept = await reply(self._connection, client.set(key, salt, nx=True, get=True))
        if kept is not None:
            evidence.set_salt(kept)
        if has_lost:
            self._outbox.again([each.journal for each in self._app.namespaces])
        self.journals.word = self.replicas.joining.word
