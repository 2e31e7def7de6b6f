"""A server's commands to Redis, in packets: while one is answered, the next one fills.

Callers get a future. Settlements are sent again until Redis confirms them; everything else fails once the store is
gone."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

from hiredis import ReplyError

from emulator.errors import StoreGone
from emulator.state.redis_connection import REPLY_TIMEOUT, RedisConnection
from emulator.state.redis_link import Command, RedisLink
from emulator.state.store import Counted, Counting
from emulator.state.store_reply import StoreReply

logger = logging.getLogger("emulator")

PATIENCE = 0.8
"""Seconds to wait for a reply that a request doesn't need."""
SCRIPTS = ("store", "count", "responses")
MAX_BATCH = 256
"""The most steps in one packet."""
MAX_TURNS = 8
"""The most turns of the loop that a packet waits for clients to ask again. An idle turn takes a few microseconds."""
MAX_UNSENT = 100_000
"""The most settlements to keep while the store is gone; the oldest is dropped first, with a log message."""


@cache
def script(name: str = "store") -> tuple[str, str]:
    """A script, and its SHA-1 hash in Redis."""
    text = files("emulator.state").joinpath(f"{name}.lua").read_text()
    return text, sha1(text.encode()).hexdigest()


@dataclass(slots=True, eq=False)
class Step:
    """A command, either awaited or to be completed in any case."""

    words: Command
    done: "asyncio.Future[Any]"
    is_settlement: bool = False
    """Whether it is sent again until Redis confirms it."""

    def reply(self, packets: "Packets", answer: Any) -> None:
        """Handles the reply."""
        done = self.done
        if self.is_settlement:
            packets.confirm(self)
            if isinstance(answer, ReplyError):
                logger.error("The %s refused a settlement: %s", packets.name, answer)
            if not done.done():
                done.set_result(None)
        elif not done.done():
            if isinstance(answer, ReplyError):
                done.set_exception(StoreGone(f"The {packets.name} failed: {answer}."))
            else:
                done.set_result(answer)

    def fail(self, error: StoreGone) -> None:
        """Fails, unless it must be completed."""
        if not self.is_settlement and not self.done.done():
            self.done.set_exception(error)


class Counts:
    """Requests of one namespace that are counted together, by their counters."""

    __slots__ = ("kinds", "words")

    def __init__(self) -> None:
        self.kinds: dict[Counting, list[StoreReply[Counted]]] = {}
        self.words: Command = ()

    def reply(self, packets: "Packets", answer: Any) -> None:
        """Handles the reply."""
        if isinstance(answer, ReplyError):
            self.fail(StoreGone(f"The {packets.name} failed: {answer}."))
            return
        state = text_of(answer[0])
        for waiting, before in zip(self.kinds.values(), answer[1:], strict=True):
            for attempt, counted in enumerate(waiting, before + 1):
                if not counted.done():
                    counted.set_result(Counted(attempt if before >= 0 else 0, state))

    def fail(self, error: StoreGone) -> None:
        """Fails."""
        for waiting in self.kinds.values():
            for counted in waiting:
                if not counted.done():
                    counted.set_exception(error)


class Packets:
    """The packets of one server."""

    def __init__(self, connection: RedisConnection, name: str, words_of: Callable[[str, "Counts"], Command]) -> None:
        """`words_of` returns the command that counts requests of a namespace."""
        self.name = name
        self.is_replying = False
        """Whether requests continue whose replies have arrived together."""
        self.replied: Callable[[], object] = lambda: None
        """Called after all of them have continued."""
        self.opened: Callable[[], None] = lambda: None
        """Called when the connection is open, which may have been lost with what was on its way."""
        self._connection = connection
        self._words_of = words_of
        self._steps: deque[Step] = deque()
        self._counts: dict[str, Counts] = {}
        """The requests to count in the next packet, by namespace."""
        self._sent: list[Step | Counts] = []
        """The steps of the current packet."""
        self._gathered, self._asked = 0, 0
        """The number of requests to count in the next packet, and in the current one."""
        self._settlements: deque[Step] = deque()
        """The settlements that Redis has not confirmed, in order."""
        self._dropped = 0
        self.link = RedisLink(connection, self._lost)
        self._loop = asyncio.get_running_loop()
        self._is_due = self._is_closed = False
        """Whether a packet will be sent at the end of this turn; whether no more will be sent."""
        self._since = 0.0
        """The time (of the loop) since which no reply has arrived for requests that don't need the store."""
        self._patience: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None
        connection.on_back(self._soon)

    async def close(self) -> None:
        """Stops once everything has been sent, if the store is reachable."""
        if self._settlements and not self._connection.is_gone:
            flushed = self._loop.create_future()
            self.put(Step(("PING",), flushed))
            await asyncio.wait([flushed], timeout=2 * REPLY_TIMEOUT)
            forget(flushed)
        self._is_closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        self.link.close()
        if self._patience is not None:
            self._patience.cancel()
        if self._settlements:
            logger.error("%d settlements were not sent to the %s.", len(self._settlements), self.name)

    def put(self, step: Step) -> None:
        """Sends a command with the next packet."""
        self._steps.append(step)
        self._soon()

    def settle(self, words: Command) -> "asyncio.Future[None]":
        """The same, and sends it again until Redis confirms it."""
        confirmed: asyncio.Future[None] = self._loop.create_future()
        step = Step(words, confirmed, is_settlement=True)
        self._settlements.append(step)
        if len(self._settlements) > MAX_UNSENT:
            self._settlements.popleft()
            if not self._dropped:
                logger.error("More than %d settlements wait for the %s: the oldest are dropped.", MAX_UNSENT, self.name)
            self._dropped += 1
        self.put(step)
        return confirmed

    def count(self, namespace: str, counting: Counting) -> StoreReply[Counted]:
        """Counts a request, together with all that arrive until the next packet is sent."""
        counted: StoreReply[Counted] = StoreReply(self._loop)
        if self._connection.is_gone:
            counted.set_exception(self._connection.gone())
            return counted
        counts = self._counts.get(namespace)
        if counts is None:
            if not self._counts and not self._sent:
                self._since = self._loop.time()
            if self._patience is None:
                self._patience = self._loop.call_later(PATIENCE, self._look_at_counts)
            counts = self._counts[namespace] = Counts()
        counts.kinds.setdefault(counting, []).append(counted)
        self._gathered += 1
        self._soon()
        return counted

    def _soon(self) -> None:
        """Sends what has gathered at the end of this turn of the loop, or once the current packet is answered."""
        if not self._is_due and not self._sent:
            self._is_due = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._is_due = False
        if self._sent or self._is_closed or not (self._steps or self._counts):
            return
        if self._connection.is_gone:  # something else may have detected it in the meantime: don't let callers wait
            self._failed(self._connection.gone())
        elif not self.link.is_open:
            if self._opening is None:
                self._opening = self._loop.create_task(self._open())
        else:
            batch: list[Step | Counts] = [self._steps.popleft() for _ in range(min(MAX_BATCH, len(self._steps)))]
            if not self._steps:
                for namespace, counts in self._counts.items():
                    counts.words = self._words_of(namespace, counts)
                    batch.append(counts)
                self._counts = {}
                self._asked, self._gathered = self._gathered, 0
            self._sent = batch
            self.link.send([each.words for each in batch], self._replied)

    async def _open(self) -> None:
        from redis.exceptions import RedisError

        try:
            await self.link.open()
            self.opened()
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(error)
        finally:
            self._opening = None
        self._soon()

    def _replied(self, answers: list[Any], *, is_loaded: bool = False) -> None:
        if any(isinstance(answer, ReplyError) for answer in answers):
            if (loading := next((each for each in answers if _says(each, "LOADING")), None)) is not None:
                self._lost(ConnectionError(str(loading)))
                return
            missing = [step for step, answer in zip(self._sent, answers, strict=True) if _says(answer, "NOSCRIPT")]
            if missing and not is_loaded:  # Redis has just been started; the other steps are done
                self._load(answers, missing)
                return
        sent, self._sent = self._sent, []
        self._is_due = self.is_replying = True
        for each, answer in zip(sent, answers, strict=True):
            each.reply(self, answer)
        self.is_replying = False
        self.replied()
        self._since = self._loop.time()
        answered, self._asked = self._asked, 0
        self._loop.call_soon(self._gather, answered, min(answered, MAX_TURNS))

    def _gather(self, answered: int, turns: int) -> None:
        """Sends the next packet once as many ask again as have just been answered, or after some turns of the loop."""
        if turns and self._gathered < answered:
            self._loop.call_soon(self._gather, answered, turns - 1)
        else:
            self._send()

    def _load(self, answers: list[Any], missing: list[Step | Counts]) -> None:
        """Loads the scripts into Redis, and repeats the commands that failed without them."""
        loads: list[Command] = [("SCRIPT", "LOAD", script(name)[0]) for name in SCRIPTS]

        def done(replies: list[Any]) -> None:
            again = iter(replies[len(loads) :])
            whole = [next(again) if _says(answer, "NOSCRIPT") else answer for answer in answers]
            self._replied(whole, is_loaded=True)

        self.link.send([*loads, *[each.words for each in missing]], done)

    def _lost(self, error: BaseException) -> None:
        self._failed(self._connection.lost(error))

    def confirm(self, step: Step) -> None:
        """Removes a confirmed settlement."""
        if self._settlements and self._settlements[0] is step:
            self._settlements.popleft()

    def _failed(self, error: StoreGone) -> None:
        """Fails all waiting calls; settlements are sent again in order once the store is back."""
        self.link.close()
        failed = [*self._sent, *self._steps, *self._counts.values()]
        self._sent, self._counts = [], {}
        self._gathered = self._asked = 0
        self._steps.clear()
        self._steps.extend(self._settlements)
        for each in failed:
            each.fail(error)

    def _look_at_counts(self) -> None:
        """Fails requests that don't need the store and have waited for too long."""
        counts = [*[each for each in self._sent if isinstance(each, Counts)], *self._counts.values()]
        left = self._since + PATIENCE - self._loop.time()
        if counts and left <= 0:
            self._counts = {}
            self._gathered = 0
            for each in counts:
                each.fail(StoreGone(f"The {self.name} has not replied within {PATIENCE:g} s."))
        waits = bool(counts) and left > 0
        self._patience = self._loop.call_later(left, self._look_at_counts) if waits else None


def text_of(data: bytes) -> str:
    """Decodes text, keeping invalid bytes."""
    return data.decode("utf-8", "surrogateescape")


def forget(done: "asyncio.Future[Any]") -> None:
    """Retrieves the exception, which is otherwise unused: the connection already knows that the store is gone."""
    if done.done() and not done.cancelled():
        done.exception()


def _says(answer: Any, word: str) -> bool:
    return isinstance(answer, ReplyError) and str(answer).startswith(word)
