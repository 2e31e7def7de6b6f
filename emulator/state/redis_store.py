"""The store in Redis: each step is one run of a script, and the steps of concurrent requests share one packet.

Most requests need only the number of their attempt: those that arrive in one turn of the loop are counted together."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

import orjson

from emulator.errors import StoreGone
from emulator.state.leases import nothing_used
from emulator.state.memory_store import MemoryStore
from emulator.state.redis_commands import STORED, VALUES, Commands
from emulator.state.redis_connection import RedisConnection
from emulator.state.redis_link import Command
from emulator.state.redis_packets import PATIENCE, Packets, Step, forget, text_of
from emulator.state.store import (
    LEASE_SECONDS,
    MAX_STORED_BYTES,
    Amount,
    Change,
    Counted,
    Counting,
    Decision,
    Plan,
    Settlement,
    Snapshot,
    decision_of,
    read,
)
from emulator.state.store_reply import StoreReply
from emulator.stored import MAX_STORED


class RedisStore:
    """The counters of all namespaces, shared by all servers that use the same Redis and prefix."""

    decides_all = True

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self.fallback = MemoryStore()
        self.owner = secrets.token_hex(6)
        self.name = f"store {connection.address.shown}"
        self._held: dict[str, dict[tuple[str, str], None]] = {}
        """The open leases by namespace, each as its quota and name."""
        self._commands = Commands(connection.address)
        self.packets = Packets(connection, self.name, self._commands.count)
        self._loop = asyncio.get_running_loop()
        self._renewing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts renewing the leases of open answers."""
        self._renewing = self._loop.create_task(self._renew())

    async def close(self) -> None:
        """Stops once everything has been sent, if the store is reachable."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        await self.packets.close()

    def count(self, namespace: str, counting: Counting) -> StoreReply[Counted]:
        """Counts a request's attempt. The reply raises StoreGone, and soon, since the request doesn't need the
        store."""
        return self.packets.count(namespace, counting)

    async def decide(self, namespace: str, plan: Plan, *, is_needed: bool = True) -> Decision:
        """Raises StoreGone, sooner for a request that doesn't need the store."""
        leased = [quota["key"] for quota in plan["quotas"] if quota["concurrency"] >= 0]
        words = self._commands.step(namespace, "decide", plan, leased)
        try:
            answer = await self._ask(words, None if is_needed else PATIENCE)
        except BaseException:
            if leased:  # it may have been decided, but the reply was lost
                settlement = nothing_used(self, 0.0)
                settlement["lease"], settlement["closes"] = plan["lease"], leased
                self.settle(namespace, settlement)
            raise
        decision = decision_of(orjson.loads(answer))
        if leased and not decision["again"] and decision["refused"] in ("", "rate"):
            held = self._held.setdefault(namespace, {})
            for key in leased:
                held[key, plan["lease"]] = None
        return decision

    def settle(self, namespace: str, settlement: Settlement) -> "asyncio.Future[None]":
        """Queues a settlement without waiting. It is sent before any later command, and again until Redis
        confirms it."""
        held = self._held.get(namespace)
        for key in settlement["closes"]:
            if held is not None:
                held.pop((key, settlement["lease"]), None)
        if held is not None and not held:
            del self._held[namespace]
        return self.packets.settle(self._commands.step(namespace, "settle", settlement, settlement["closes"]))

    async def change(self, namespace: str, change: Change) -> Amount | None:
        """Raises StoreGone."""
        balance = orjson.loads(await self._ask(self._commands.step(namespace, "change", change, (), STORED)))
        return read(balance) if balance else None

    async def snapshot(self, namespace: str) -> Snapshot:
        """Raises StoreGone."""
        key = self._connection.address.key(namespace, VALUES)
        fields = await self._ask(("HGETALL", key))
        texts = iter(map(text_of, fields))
        return Snapshot(values=dict(zip(texts, texts, strict=True)))

    async def save(self, namespace: str, documents: Sequence[tuple[str, str]]) -> None:
        """Raises StoreGone."""
        texts = [text for document in documents for text in document]
        await self._ask(self._commands.responses(namespace, "save", MAX_STORED, MAX_STORED_BYTES, *texts))

    async def load(self, namespace: str, ids: Sequence[str]) -> list[str]:
        """Raises StoreGone."""
        return [document.decode() for document in await self._ask(self._commands.responses(namespace, "load", *ids))]

    async def _ask(self, words: Command, patience: float | None = None) -> Any:
        """Returns the reply. May run outside of a task."""
        connection, loop = self._connection, self._loop
        if connection.is_gone:
            raise connection.gone()
        done: asyncio.Future[Any] = loop.create_future()
        self.packets.put(Step(words, done))
        if patience is None:
            return await done
        timer = loop.call_later(patience, _give_up, done, f"The {self.name} has not replied within {patience:g} s.")
        try:
            return await done
        finally:
            timer.cancel()

    async def _renew(self) -> None:
        """Renews the leases of open answers before they end."""
        never = asyncio.Event()
        while True:
            try:
                async with asyncio.timeout(LEASE_SECONDS / 3):
                    await never.wait()
            except TimeoutError:
                pass
            for namespace, held in tuple(self._held.items()):
                leased = list(dict.fromkeys(key for key, _ in held))
                words = self._commands.step(namespace, "renew", [list(each) for each in held], leased)
                if not self._connection.is_gone:  # pragma: no branch - a lease ends by itself then
                    renewed = self._loop.create_future()
                    renewed.add_done_callback(forget)
                    self.packets.put(Step(words, renewed))


def _give_up(done: "asyncio.Future[Any]", complaint: str) -> None:
    if not done.done():  # pragma: no branch - the reply may come in the same turn of the loop
        done.set_exception(StoreGone(complaint))
