"""The store in Redis: each step is one run of a script, and what several requests need at once goes in one packet.

Most requests need only the number of their attempt: those that come in one turn of the loop are counted together."""

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
from hiredis import ReplyError

from emulator.errors import StoreGone
from emulator.state.leases import nothing_used
from emulator.state.memory_store import MemoryStore
from emulator.state.redis_connection import REPLY_TIMEOUT, RedisConnection
from emulator.state.redis_link import Command, RedisLink
from emulator.state.store import (
    LEASE_SECONDS,
    MAX_RECENT,
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

logger = logging.getLogger("emulator")

PATIENCE = 0.8
"""Seconds to wait for a reply that a request can do without."""
MAX_BATCH = 256
"""The most steps in one packet."""
MAX_UNSENT = 100_000
"""The most settlements that wait for a store that is gone; the oldest is dropped first, and the log says so."""
NAMES = ("values", "attempts", "attempts-before", "prefixes", "prefixes-before", "tallies", "tallies-before", "leases")
"""The keys of a namespace, in the order of the scripts."""
TOUCH_SHARE = 20
"""All keys of a namespace that is used live on again after this part of their time."""
MAX_KNOWN = 1000
"""The most namespaces whose keys are remembered."""


@cache
def script(name: str = "store") -> tuple[str, str]:
    """A script, and the name under which Redis keeps it."""
    text = files("emulator.state").joinpath(f"{name}.lua").read_text()
    return text, sha1(text.encode()).hexdigest()


@dataclass(slots=True, eq=False)
class _Step:
    """A command that is waited for, or must come to its end."""

    words: Command
    done: "asyncio.Future[Any]"
    is_settlement: bool = False
    """Whether it is sent again until Redis has it."""

    def reply(self, store: "RedisStore", answer: Any) -> None:
        """Redis has replied."""
        done = self.done
        if self.is_settlement:
            store.confirm(self)
            if isinstance(answer, ReplyError):
                logger.error("The %s refused a settlement: %s", store.name, answer)
            if not done.done():
                done.set_result(None)
        elif not done.done():
            if isinstance(answer, ReplyError):
                done.set_exception(StoreGone(f"The {store.name} failed: {answer}."))
            else:
                done.set_result(answer)

    def fail(self, error: StoreGone) -> None:
        """Nobody waits any more, unless it must come to its end."""
        if not self.is_settlement and not self.done.done():
            self.done.set_exception(error)


class _Counts:
    """Requests of one namespace that are counted together, by what is counted."""

    __slots__ = ("kinds", "words")

    def __init__(self) -> None:
        self.kinds: dict[Counting, list[asyncio.Future[Counted]]] = {}
        self.words: Command = ()

    def reply(self, store: "RedisStore", answer: Any) -> None:
        """Redis has replied."""
        if isinstance(answer, ReplyError):
            self.fail(StoreGone(f"The {store.name} failed: {answer}."))
            return
        state = _text(answer[0])
        for waiting, before in zip(self.kinds.values(), answer[1:], strict=True):
            for attempt, future in enumerate(waiting, before + 1):
                if not future.done():
                    future.set_result(Counted(attempt if before >= 0 else 0, state))

    def fail(self, error: StoreGone) -> None:
        """Nobody waits any more."""
        for waiting in self.kinds.values():
            for future in waiting:
                if not future.done():
                    future.set_exception(error)


@dataclass(slots=True)
class _Known:
    """What is remembered of a namespace."""

    keys: tuple[str, ...]
    touched: float = float("-inf")
    """When all its keys were used, by the loop's time."""


class RedisStore:
    """The counters of all namespaces, shared by all servers that use the same Redis and prefix."""

    decides_all = True

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self.fallback = MemoryStore()
        self.owner = secrets.token_hex(6)
        self.name = f"store {connection.address.shown}"
        self._steps: deque[_Step] = deque()
        self._counts: dict[str, _Counts] = {}
        """Those that are counted in the next packet, by namespace."""
        self._sent: list[_Step | _Counts] = []
        """What the packet under way is for."""
        self._settlements: deque[_Step] = deque()
        """Those that Redis has not confirmed, in their order."""
        self._dropped = 0
        self._known: dict[str, _Known] = {}
        self._held: dict[str, dict[tuple[str, str], None]] = {}
        """The open leases by namespace, each as its quota and its name."""
        self._link = RedisLink(connection, self._lost)
        self._loop = asyncio.get_running_loop()
        self._is_due = False
        """Whether a packet goes at the end of this turn."""
        self._since = 0.0
        """Since when nothing has come of requests that can do without, by the loop's time."""
        self._patience: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        connection.on_back(self._soon)

    def start(self) -> None:
        """Begins to renew what open answers hold."""
        self._renewing = self._loop.create_task(self._renew())

    async def close(self) -> None:
        """Ends, once everything that waits was sent, if the store is there."""
        if self._settlements and not self._connection.is_gone:
            flushed = self._loop.create_future()
            self._put(_Step(("PING",), flushed))
            await asyncio.wait([flushed], timeout=2 * REPLY_TIMEOUT)
            _forget(flushed)
        tasks = [task for task in (self._renewing, self._opening) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._link.close()
        if self._patience is not None:
            self._patience.cancel()
        if self._settlements:
            logger.error("%d settlements were not sent to the %s.", len(self._settlements), self.name)

    def count(self, namespace: str, counting: Counting) -> "asyncio.Future[Counted]":
        """The number of a request's attempt. The future raises StoreGone, and soon: the request can do without."""
        future: asyncio.Future[Counted] = self._loop.create_future()
        if self._connection.is_gone:
            future.set_exception(self._connection.gone())
            return future
        counts = self._counts.get(namespace)
        if counts is None:
            if not self._counts and not self._sent:
                self._since = self._loop.time()
            if self._patience is None:
                self._patience = self._loop.call_later(PATIENCE, self._look_at_counts)
            counts = self._counts[namespace] = _Counts()
        counts.kinds.setdefault(counting, []).append(future)
        self._soon()
        return future

    async def decide(self, namespace: str, plan: Plan, *, is_needed: bool = True) -> Decision:
        """Raises StoreGone: sooner for a request that can do without."""
        leased = [quota["key"] for quota in plan["quotas"] if quota["concurrency"] >= 0]
        words = self._words(namespace, "decide", plan, leased)
        try:
            answer = await self._ask(words, None if is_needed else PATIENCE)
        except BaseException:
            if leased:  # it may have been decided, and nobody has heard of it
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
        """Without waiting. It is sent before whatever is asked later, and again until Redis has it."""
        held = self._held.get(namespace)
        for key in settlement["closes"]:
            if held is not None:
                held.pop((key, settlement["lease"]), None)
        if held is not None and not held:
            del self._held[namespace]
        confirmed: asyncio.Future[None] = self._loop.create_future()
        step = _Step(self._words(namespace, "settle", settlement, settlement["closes"]), confirmed, is_settlement=True)
        self._settlements.append(step)
        if len(self._settlements) > MAX_UNSENT:
            self._settlements.popleft()
            if not self._dropped:
                logger.error("More than %d settlements wait for the %s: the oldest are lost.", MAX_UNSENT, self.name)
            self._dropped += 1
        self._put(step)
        return confirmed

    async def change(self, namespace: str, change: Change) -> Amount | None:
        """Raises StoreGone."""
        balance = orjson.loads(await self._ask(self._words(namespace, "change", change, ())))
        return read(balance) if balance else None

    async def snapshot(self, namespace: str) -> Snapshot:
        """Raises StoreGone."""
        key = self._connection.address.key(namespace, NAMES[0])
        fields = await self._ask(("HGETALL", key))
        texts = iter(map(_text, fields))
        return Snapshot(values=dict(zip(texts, texts, strict=True)))

    async def _ask(self, words: Command, patience: float | None = None) -> Any:
        """The reply. It may run outside of a task."""
        connection, loop = self._connection, self._loop
        if connection.is_gone:
            raise connection.gone()
        done: asyncio.Future[Any] = loop.create_future()
        self._put(_Step(words, done))
        if patience is None:
            return await done
        timer = loop.call_later(patience, _give_up, done, f"The {self.name} has not replied within {patience:g} s.")
        try:
            return await done
        finally:
            timer.cancel()

    def _words(self, namespace: str, action: str, argument: Any, leased: Sequence[str]) -> Command:
        known, key = self._namespace(namespace), self._connection.address.key
        keys = [*known.keys, *[key(namespace, f"lease:{each}") for each in leased]]
        ttl, touches = self._lifetime(known)
        name = script()[1]
        return ("EVALSHA", name, len(keys), *keys, action, orjson.dumps(argument), ttl, touches, *leased)

    def _words_of(self, namespace: str, counts: _Counts) -> Command:
        known = self._namespace(namespace)
        kinds = [word for kind, waiting in counts.kinds.items() for word in (*kind, len(waiting))]
        return ("EVALSHA", script("count")[1], len(NAMES), *known.keys, *self._lifetime(known), MAX_RECENT, *kinds)

    def _namespace(self, namespace: str) -> _Known:
        known = self._known.get(namespace)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            key = self._connection.address.key
            known = self._known[namespace] = _Known(tuple([key(namespace, name) for name in NAMES]))
        return known

    def _lifetime(self, known: _Known) -> tuple[int, int]:
        """Milliseconds that keys are kept, and whether that begins anew for all of them."""
        ttl, now = self._connection.address.ttl, self._loop.time()
        touches = now - known.touched >= ttl / TOUCH_SHARE
        if touches:
            known.touched = now
        return int(ttl * 1000), int(touches)

    def _put(self, step: _Step) -> None:
        self._steps.append(step)
        self._soon()

    def _soon(self) -> None:
        """Sends what is there at the end of this turn of the loop, or once the packet under way is answered."""
        if not self._is_due and not self._sent:
            self._is_due = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._is_due = False
        if self._sent or not (self._steps or self._counts):
            return
        if self._connection.is_gone:  # as somebody else may have found out meanwhile: nobody is to wait for it
            self._failed(self._connection.gone())
        elif not self._link.is_open:
            if self._opening is None:
                self._opening = self._loop.create_task(self._open())
        else:
            batch: list[_Step | _Counts] = [self._steps.popleft() for _ in range(min(MAX_BATCH, len(self._steps)))]
            if not self._steps:
                for namespace, counts in self._counts.items():
                    counts.words = self._words_of(namespace, counts)
                    batch.append(counts)
                self._counts = {}
            self._sent = batch
            self._link.send([each.words for each in batch], self._replied)

    async def _open(self) -> None:
        from redis.exceptions import RedisError

        try:
            await self._link.open()
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(error)
        finally:
            self._opening = None
        self._soon()

    def _replied(self, answers: list[Any]) -> None:
        if any(isinstance(answer, ReplyError) for answer in answers):
            if (loading := next((each for each in answers if _says(each, "LOADING")), None)) is not None:
                self._lost(ConnectionError(str(loading)))
                return
            missing = [step for step, answer in zip(self._sent, answers, strict=True) if _says(answer, "NOSCRIPT")]
            if missing:  # Redis has just been started; what the others did is done
                self._load(answers, missing)
                return
        sent, self._sent = self._sent, []
        for each, answer in zip(sent, answers, strict=True):
            each.reply(self, answer)
        self._since = self._loop.time()
        if self._steps or self._counts:
            self._soon()

    def _load(self, answers: list[Any], missing: list[_Step | _Counts]) -> None:
        """Gives Redis the scripts, and asks again what it could not do without them."""
        loads: list[Command] = [("SCRIPT", "LOAD", script(name)[0]) for name in ("store", "count")]

        def done(replies: list[Any]) -> None:
            again = iter(replies[len(loads) :])
            self._replied([next(again) if _says(answer, "NOSCRIPT") else answer for answer in answers])

        self._link.send([*loads, *[each.words for each in missing]], done)

    def _lost(self, error: BaseException) -> None:
        self._failed(self._connection.lost(error))

    def confirm(self, step: _Step) -> None:
        """Redis has this settlement."""
        if self._settlements and self._settlements[0] is step:
            self._settlements.popleft()

    def _failed(self, error: StoreGone) -> None:
        """Nobody waits any more; settlements are sent again once the store is back, in their order."""
        self._link.close()
        failed = [*self._sent, *self._steps, *self._counts.values()]
        self._sent, self._counts = [], {}
        self._steps.clear()
        self._steps.extend(self._settlements)
        for each in failed:
            each.fail(error)

    def _look_at_counts(self) -> None:
        """Requests that can do without the store wait no longer than for this."""
        counts = [*[each for each in self._sent if isinstance(each, _Counts)], *self._counts.values()]
        left = self._since + PATIENCE - self._loop.time()
        if counts and left <= 0:
            self._counts = {}
            for each in counts:
                each.fail(StoreGone(f"The {self.name} has not replied within {PATIENCE:g} s."))
        waits = bool(counts) and left > 0
        self._patience = self._loop.call_later(left, self._look_at_counts) if waits else None

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
                    renewed = self._loop.create_future()
                    renewed.add_done_callback(_forget)
                    self._put(_Step(words, renewed))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _give_up(done: "asyncio.Future[Any]", complaint: str) -> None:
    if not done.done():
        done.set_exception(StoreGone(complaint))


def _forget(done: "asyncio.Future[Any]") -> None:
    """Nobody waits for it: whether the store is gone is known anyway."""
    if done.done() and not done.cancelled():
        done.exception()


def _says(answer: Any, word: str) -> bool:
    return isinstance(answer, ReplyError) and str(answer).startswith(word)
