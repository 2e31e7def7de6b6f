"""The store in Redis: each step is one run of a script, and the steps of concurrent requests share one packet."""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

import orjson

from emulator.errors import StoreGone
from emulator.state.leases import nothing_used
from emulator.state.memory_store import MemoryStore
from emulator.state.redis_connection import REPLY_TIMEOUT, RedisConnection
from emulator.state.store import (
    LEASE_SECONDS,
    Amount,
    Change,
    Decision,
    Plan,
    Settlement,
    Snapshot,
    decision_of,
    read,
)

logger = logging.getLogger("emulator")

PATIENCE = 0.8
"""Seconds to wait for a reply that a request doesn't need."""
MAX_BATCH = 256
"""The most steps in one packet."""
MAX_UNSENT = 100_000
"""The most settlements to keep while the store is gone; the oldest is dropped first, with a log message."""
NAMES = ("values", "attempts", "attempts-before", "prefixes", "prefixes-before", "tallies", "tallies-before", "leases")
"""The keys of a namespace, in the order of the script."""


@cache
def script() -> tuple[str, str]:
    """The script, and its SHA-1 hash in Redis."""
    text = files("emulator.state").joinpath("store.lua").read_text()
    return text, sha1(text.encode()).hexdigest()


@dataclass(slots=True, eq=False)
class _Step:
    """A run of the script, either awaited or to be completed in any case."""

    words: Sequence[Any]
    done: "asyncio.Future[Any]"
    is_settlement: bool = False
    """Whether it is sent again until Redis confirms it."""


class RedisStore:
    """The counters of all namespaces, shared by all servers that use the same Redis and prefix."""

    decides_all = True

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self.fallback = MemoryStore()
        self.owner = secrets.token_hex(6)
        self.name = f"store {connection.address.shown}"
        self._steps: deque[_Step] = deque()
        self._settlements: deque[_Step] = deque()
        """The settlements that Redis has not confirmed, in order."""
        self._dropped = 0
        self._wake = asyncio.Event()
        self._held: dict[str, dict[tuple[str, str], None]] = {}
        """The open leases by namespace, each as its quota and name."""
        self._tasks: list[asyncio.Task[None]] = []
        connection.on_back(self._wake.set)

    def start(self) -> None:
        """Starts sending."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._send()), loop.create_task(self._renew())]

    async def close(self) -> None:
        """Stops once everything has been sent, if the store is reachable."""
        if self._settlements and not self._connection.is_gone:
            flushed = asyncio.get_running_loop().create_future()
            self._steps.append(_Step(("PING",), flushed))
            self._wake.set()
            await asyncio.wait([flushed], timeout=2 * REPLY_TIMEOUT)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._settlements:
            logger.error("%d settlements were not sent to the %s.", len(self._settlements), self.name)

    async def decide(self, namespace: str, plan: Plan, *, is_needed: bool = True) -> Decision:
        """Raises StoreGone, sooner for a request that doesn't need the store."""
        leased = [quota["key"] for quota in plan["quotas"] if quota["concurrency"] >= 0]
        words = self._words(namespace, "decide", plan, leased)
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
        """Queues a settlement without waiting. It is sent before any later command, and again until Redis confirms
        it.
        """
        held = self._held.get(namespace)
        for key in settlement["closes"]:
            if held is not None:
                held.pop((key, settlement["lease"]), None)
        if held is not None and not held:
            del self._held[namespace]
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        step = _Step(self._words(namespace, "settle", settlement, settlement["closes"]), confirmed, is_settlement=True)
        self._settlements.append(step)
        if len(self._settlements) > MAX_UNSENT:
            self._settlements.popleft()
            if not self._dropped:
                logger.error("More than %d settlements wait for the %s: the oldest are dropped.", MAX_UNSENT, self.name)
            self._dropped += 1
        self._steps.append(step)
        self._wake.set()
        return confirmed

    async def change(self, namespace: str, change: Change) -> Amount | None:
        """Raises StoreGone."""
        balance = orjson.loads(await self._ask(self._words(namespace, "change", change, ())))
        return read(balance) if balance else None

    async def snapshot(self, namespace: str) -> Snapshot:
        """Raises StoreGone."""
        key = self._connection.address.key(namespace, NAMES[0])
        fields = await self._ask(("HGETALL", key))
        return Snapshot(values={_text(name): _text(value) for name, value in fields.items()})

    async def _ask(self, words: Sequence[Any], patience: float | None = None) -> Any:
        """Returns the reply. May run outside of a task."""
        connection, loop = self._connection, asyncio.get_running_loop()
        if connection.is_gone:
            raise connection.gone()
        done: asyncio.Future[Any] = loop.create_future()
        self._steps.append(_Step(words, done))
        self._wake.set()
        if patience is None:
            return await done
        timer = loop.call_later(patience, _give_up, done, f"The {self.name} has not replied within {patience:g} s.")
        try:
            return await done
        finally:
            timer.cancel()

    def _words(self, namespace: str, action: str, argument: Any, leased: Sequence[str]) -> Sequence[Any]:
        key = self._connection.address.key
        keys = [key(namespace, name) for name in NAMES] + [key(namespace, f"lease:{each}") for each in leased]
        ttl = int(self._connection.address.ttl * 1000)
        return ("EVALSHA", script()[1], len(keys), *keys, action, orjson.dumps(argument), ttl, *leased)

    async def _send(self) -> None:
        """Sends packets forever: while one is answered, the next one fills."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._steps and not self._connection.is_gone:
                count = min(MAX_BATCH, len(self._steps))
                batch = [self._steps.popleft() for _ in range(count)]
                if self._steps:
                    self._wake.set()
                await self._send_batch(batch)
            if self._connection.is_gone:  # something else may have detected it in the meantime: don't let callers wait
                self._failed([], self._connection.gone())

    async def _send_batch(self, batch: list[_Step]) -> None:
        from redis.exceptions import NoScriptError, RedisError

        try:
            answers = await self._answers(batch)
            missing = [step for step, answer in zip(batch, answers, strict=True) if isinstance(answer, NoScriptError)]
            if missing:  # Redis has just been started; the other steps are done
                await self._connection.client.execute_command("SCRIPT LOAD", script()[0])
                again = iter(await self._answers(missing))
                answers = [next(again) if isinstance(answer, NoScriptError) else answer for answer in answers]
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(batch, self._connection.lost(error))
            return
        for step, answer in zip(batch, answers, strict=True):
            self._settle(step, answer)

    async def _answers(self, batch: list[_Step]) -> list[Any]:
        from redis.exceptions import ConnectionError as Disconnected

        pipeline = self._connection.client.pipeline(transaction=False)
        for step in batch:
            pipeline.execute_command(*step.words)
        async with asyncio.timeout(REPLY_TIMEOUT):
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Disconnected):  # it is still loading, or shutting down
                raise answer
        return answers

    def _settle(self, step: _Step, answer: Any) -> None:
        done = step.done
        if step.is_settlement:
            if self._settlements and self._settlements[0] is step:
                self._settlements.popleft()
            if isinstance(answer, Exception):
                logger.error("The %s refused a settlement: %s", self.name, answer)
            if not done.done():
                done.set_result(None)
        elif not done.done():
            if isinstance(answer, Exception):
                done.set_exception(StoreGone(f"The {self.name} failed: {answer}."))
            else:
                done.set_result(answer)

    def _failed(self, batch: list[_Step], error: StoreGone) -> None:
        """Fails all waiting calls; settlements are sent again in order once the store is back."""
        for step in (*batch, *self._steps):
            if not step.is_settlement and not step.done.done():
                step.done.set_exception(error)
        self._steps.clear()
        self._steps.extend(self._settlements)

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
                words = self._words(namespace, "renew", [list(each) for each in held], leased)
                if not self._connection.is_gone:
                    renewed = asyncio.get_running_loop().create_future()
                    renewed.add_done_callback(_forget)
                    self._steps.append(_Step(words, renewed))
                    self._wake.set()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _give_up(done: "asyncio.Future[Any]", complaint: str) -> None:
    if not done.done():
        done.set_exception(StoreGone(complaint))


def _forget(done: "asyncio.Future[Any]") -> None:
    """Retrieves the exception, which is otherwise unused: the connection already knows that the store is gone."""
    if not done.cancelled():
        done.exception()
