"""The store of several workers: their parent keeps it, and they call it on the control channel."""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from emulator.state.memory_store import MemoryStore
from emulator.state.store import Amount, Change, Counted, Counting, Decision, Plan, Settlement, Snapshot
from emulator.state.store_reply import StoreReply

if TYPE_CHECKING:
    from emulator.server.channel import Channel

logger = logging.getLogger("emulator")


def owner_of(index: int) -> str:
    """Returns a worker's name as the owner of leases."""
    return f"worker-{index}"


def replied(store: MemoryStore, message: bytes) -> bytes:
    """Returns the parent's reply to a worker's message."""
    action, namespace, argument = orjson.loads(message)
    return orjson.dumps(getattr(store, action)(namespace, *argument), default=list)


class WorkerStore:
    """A worker's access to the store in its parent."""

    decides_all = False
    name = "store in the parent of the workers"

    def __init__(self, channel: "Channel") -> None:
        self._channel = channel
        self.owner = owner_of(channel.index)
        self.fallback = MemoryStore()

    def count(self, namespace: str, counting: Counting) -> StoreReply[Counted]:
        """The reply raises StoreGone."""
        counted: StoreReply[Counted] = StoreReply(asyncio.get_running_loop())

        def over(reply: "asyncio.Future[bytes]") -> None:
            if counted.done():
                return
            if (error := reply.exception()) is not None:
                counted.set_exception(error)
            else:
                counted.set_result(Counted(*orjson.loads(reply.result())))

        self._channel.ask_store(orjson.dumps(["count", namespace, [list(counting)]])).add_done_callback(over)
        return counted

    async def decide(self, namespace: str, plan: Plan, *, is_needed: bool = True) -> Decision:
        """Raises StoreGone."""
        decision: Decision = await self._ask("decide", namespace, plan)
        return decision

    def settle(self, namespace: str, settlement: Settlement) -> "asyncio.Future[None]":
        """Sends a settlement without waiting."""
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def confirm(reply: "asyncio.Future[bytes]") -> None:
            if (error := reply.exception()) is not None:
                logger.error("The usage of an answer may not have been counted: %s", error)
            confirmed.set_result(None)

        self._channel.ask_store(orjson.dumps(["settle", namespace, [settlement]])).add_done_callback(confirm)
        return confirmed

    async def change(self, namespace: str, change: Change) -> Amount | None:
        """Raises StoreGone."""
        balance: Amount | None = await self._ask("change", namespace, change)
        return balance

    async def snapshot(self, namespace: str) -> Snapshot:
        """Raises StoreGone."""
        snapshot: Snapshot = await self._ask("snapshot", namespace)
        return snapshot

    async def save(self, namespace: str, documents: Sequence[tuple[str, str]]) -> None:
        """Raises StoreGone."""
        await self._ask("save", namespace, documents)

    async def load(self, namespace: str, ids: Sequence[str]) -> list[str]:
        """Raises StoreGone."""
        documents: list[str] = await self._ask("load", namespace, ids)
        return documents

    async def _ask(self, action: str, namespace: str, *argument: Any) -> Any:
        return orjson.loads(await self._channel.ask_store(orjson.dumps([action, namespace, argument])))
