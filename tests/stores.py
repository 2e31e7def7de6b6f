"""A store like that of several processes, in the memory of this one. It can be gone, or keep others waiting."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from emulator import Emulator
from emulator.errors import StoreGone
from emulator.server.app import App
from emulator.state.memory_store import MemoryStore
from emulator.state.store import Amount, Change, Counted, Counting, Decision, Plan, Settlement, Snapshot
from emulator.state.store_reply import StoreReply

SALT = 77
"""The salt of the ids that a server makes without its store."""
ALL = frozenset({"count", "decide", "settle", "change", "snapshot", "save", "load"})


class OwnStore:
    """It decides about all requests, as that of replicas does."""

    decides_all = True
    name = "store"
    owner = "me"

    def __init__(self) -> None:
        self.memory, self.fallback = MemoryStore(), MemoryStore()
        self.gone: frozenset[str] = frozenset()
        """What it can't do."""
        self.silent: frozenset[str] = frozenset()
        """What it replies to only once it is released."""
        self.waiting: list[Callable[[], None]] = []
        self.others: list[int] = []
        """How many equal requests others make before each of the next decisions."""
        self.changes: list[Change] = []
        """The changes that were made."""
        self.closed: list[str] = []
        """The quotas that answers have given back."""

    def release(self) -> None:
        """Replies to everything."""
        self.silent = frozenset()
        waiting, self.waiting = self.waiting, []
        for reply in waiting:
            reply()

    def count(self, namespace: str, counting: Counting) -> StoreReply[Counted]:
        reply: StoreReply[Counted] = StoreReply(asyncio.get_running_loop())

        def settle() -> None:
            if reply.done():
                return
            if "count" in self.gone:
                reply.set_exception(StoreGone("The store is gone."))
            else:
                reply.set_result(self.memory.count(namespace, counting))

        if "count" in self.silent:
            self.waiting.append(settle)
        else:
            settle()
        return reply

    async def decide(self, namespace: str, plan: Plan, *, is_needed: bool = True) -> Decision:
        if "decide" in self.silent:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiting.append(partial(_finish, future))
            await future
        self._check("decide")
        for _ in range(self.others.pop(0) if self.others else 0):
            self.memory.count(namespace, Counting(plan["identity"], "", ""))
        return self.memory.decide(namespace, plan)

    def settle(self, namespace: str, settlement: Settlement) -> "asyncio.Future[None]":
        self.memory.settle(namespace, settlement)
        self.closed += settlement["closes"]
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if "settle" in self.silent:
            self.waiting.append(partial(_finish, confirmed))
        else:
            confirmed.set_result(None)
        return confirmed

    async def change(self, namespace: str, change: Change) -> Amount | None:
        self._check("change")
        self.changes.append(change)
        return self.memory.change(namespace, change)

    async def snapshot(self, namespace: str) -> Snapshot:
        self._check("snapshot")
        return self.memory.snapshot(namespace)

    async def save(self, namespace: str, documents: Sequence[tuple[str, str]]) -> None:
        self._check("save")
        self.memory.save(namespace, documents)

    async def load(self, namespace: str, ids: Sequence[str]) -> list[str]:
        self._check("load")
        return self.memory.load(namespace, ids)

    def _check(self, action: str) -> None:
        if action in self.gone:
            raise StoreGone("The store is gone.")


def _finish(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


@contextmanager
def with_store(scenario: Any, store: OwnStore, **options: Any) -> Iterator[Emulator]:
    """A server that asks this store."""

    def join(app: App) -> None:
        app.namespaces.store = app.namespaces.default.store = store
        app.options = replace(app.options, salt=SALT)

    with Emulator(scenario, **options) as emulator:
        on_server(emulator, join)
        yield emulator


def on_server(emulator: Emulator, work: Callable[[App], Any]) -> Any:
    """Does something with its application, in the thread of its loop."""
    server: Any = emulator
    return server._server.call(lambda: work(server._server.app))
