"""This process as one of several replicas: servers that act as one, because they share a store.

Calls that change something are written to a stream in the store, and every replica, including the one that received the
call, acts on them in the order of the stream. Questions that only live replicas can answer go to all of them at once;
those that are gone are not waited for. A new replica takes over the configuration of another one or, if there is none,
the snapshot that the last one has left."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import orjson

from emulator.clock import Clock, wait_until
from emulator.control.controlled import TAKE_OVER
from emulator.errors import StoreGone
from emulator.server.broker import ALL, ANSWER, CALL, GONE, JOINED, Frame
from emulator.server.bus import Bus
from emulator.server.conversation import Conversation, Question
from emulator.server.given import Given
from emulator.server.joining import Joining
from emulator.server.journals import SPOOLS, spool_names
from emulator.server.stored import stop
from emulator.state.redis_connection import RedisConnection

if TYPE_CHECKING:
    from emulator.control.controlled import Handle

logger = logging.getLogger("emulator")

WRITTEN, ENDED = 32, 33
"""Kinds of frames in addition to those of workers: there is a new call in the stream; journals have new exchanges."""
BEAT = 0.5
"""Seconds between checks of the store."""
LOOK_INTERVAL = 0.1
"""Seconds between checks of which replicas are alive, while answers are missing."""
PATIENCE = 2.0
"""Seconds to wait for the replicas' answers; after that, those that arrived are used."""
MAX_JOIN = 5.0
"""Seconds for which a server waits to join before it listens."""
HEARD = b"heard"
"""Asks for nothing but an answer: whoever gives it has acted on what came before."""
KEPT = ("calls", "given", "word", "number", "totals", "batches", "sizes", "bytes", "salt", SPOOLS)


class Replicas:
    """The replicas of this server, including this process."""

    def __init__(self, connection: RedisConnection, clock: Clock) -> None:
        self.on_ended: Callable[[dict[str, int]], None] = lambda _: None
        """Called with the highest number in each namespace whose journal has new exchanges."""
        self.on_joined: Callable[[bool], Awaitable[None]]
        """Called each time this replica has joined; True if the store has lost its data in between. Set before the
        start, like `complete`."""
        self.complete: Callable[[], Awaitable[None]]
        """Writes down what replicas that are gone have left."""
        self.bus = Bus(connection, clock)
        self._connection = connection
        self._clock = clock
        self._talk = Conversation(self._send)
        self._given = Given(connection)
        self.joining = Joining(self._given, self._talk.answers, clock)
        self.joining.ask_others, self.joining.then = self._ask_others, self._joined
        self.bus.receive, self.bus.subscribed, self.bus.lost = self._receive, self.joining.soon, self._lost
        self._live: set[int] = set()
        self._looking = asyncio.Lock()
        self._beating: asyncio.Task[None] | None = None

    async def start(self, handle: "Handle") -> None:
        """Joins the others, and answers calls with `handle`. If the store is gone, joins once it is back."""

        def act(message: bytes) -> "bytes | Awaitable[bytes] | AsyncIterator[bytes]":
            if message == HEARD:
                return b""
            if message == TAKE_OVER and not self.joining.token:
                return b'{"order":0,"given":{}}'  # it has not taken over anything itself
            return handle(message)

        self._talk.answers.handle = act
        self.bus.start()
        self._beating = asyncio.create_task(_beat(self, self._connection, self._clock))
        if not self._connection.is_gone:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(MAX_JOIN):
                    await self.joining.has_joined.wait()

    async def close(self) -> None:
        """Stops, at the server's end."""
        await stop([self._beating])
        await self.joining.close()
        self._talk.answers.stop()
        await self.bus.close()

    # Peers

    @property
    def order(self) -> int:
        """The number of the last call to all on which this replica has acted."""
        return self._talk.answers.order

    def check(self) -> None:
        """Raises StoreGone while the store is gone."""
        if self._connection.is_gone or not self.joining.has_joined.is_set():
            raise self._connection.gone()

    async def ask(self, message: bytes, *, is_write: bool = False) -> list[bytes]:
        """Returns the answers of all live replicas, including this one. Writes go through the stream, and all act on
        them in the same order. Raises StoreGone.
        """
        self.check()
        with self._talk.asking() as question:
            pipe = self._connection.client.pipeline(transaction=False)
            if is_write:
                pipe.xadd(*self._given.written(self.bus.member, question.call, message))
            self.bus.put(pipe, (WRITTEN if is_write else CALL, ALL, question.call, b"" if is_write else message))
            question.expected = await self._who_lives(pipe) | {self.bus.member}
            question.look()
            await self._answered(question)
            if is_write:
                self.joining.save_soon()
            return question.parts()

    def stream(self, message: bytes) -> AsyncIterator[bytes]:
        """Yields the parts of all replicas' answers as they arrive, until the reader leaves. New replicas join in.
        Raises StoreGone.
        """
        self.check()
        return self._talk.stream(message)

    async def _ask_others(self) -> bytes:
        """Returns the configuration of another replica; empty if none is serving."""
        for other in sorted(await self._who_lives() - {self.bus.member}):
            with self._talk.asking() as question:
                question.expected = {other}
                self.bus.send(CALL, other, question.call, TAKE_OVER)
                await self._answered(question)
                for part in question.parts():
                    if orjson.loads(part)["given"]:
                        return part
        return b""

    async def _answered(self, question: Question) -> None:
        """Waits for the answers as long as the missing replicas are alive. Raises StoreGone."""
        due = self._clock.now() + PATIENCE
        while not question.done.done():
            try:
                async with asyncio.timeout(LOOK_INTERVAL):
                    await asyncio.shield(question.done)
            except TimeoutError:
                if self._connection.is_gone:
                    raise self._connection.gone() from None
                if self._clock.now() >= due:
                    names = ", ".join(map(str, question.missing))
                    logger.warning("Replica %s has not answered within %.0f s; the others have.", names, PATIENCE)
                    return
                await self._who_lives()

    async def _who_lives(self, pipe: object = None) -> set[int]:
        live = await self.bus.who_lives(pipe)
        for member in self._live - live:
            self._talk.on_frame(Frame(GONE, ALL, member, 0, 0, b""))
        self._live = live
        return set(live)

    def _send(self, kind: int, to: int, call: int, payload: bytes) -> None:
        if kind == ANSWER and to == self.bus.member:
            self._talk.on_frame(Frame(kind, to, to, call, 0, payload))
        else:
            self.bus.send(kind, to, call, payload)

    # Acting

    async def _receive(self, kind: int, sender: int, call: int, payload: bytes) -> None:
        if kind == WRITTEN:
            await self.look()
        elif kind == ENDED:
            self.on_ended(orjson.loads(payload))
        elif kind not in (GONE, JOINED) or sender != self.bus.member:
            self._talk.on_frame(Frame(kind, ALL, sender, call, 0, payload))

    async def look(self) -> None:
        """Acts on the new calls in the stream. Raises StoreGone."""
        async with self._looking:
            while self.joining.token and (calls := await self._given.since(self._talk.answers.received)):
                for each in calls:
                    self._talk.on_frame(Frame(CALL, ALL, each.sender, each.call, each.order, each.message))

    async def _joined(self, has_lost: bool) -> None:
        await self.look()
        await self.on_joined(has_lost)
        for kind in (GONE, JOINED):  # so that all request continuing answers again
            self.bus.send(kind, ALL, 0, b"")
        self._talk.restart_streams()
        with self._talk.asking() as question:  # once they answer, the others have asked for what continues
            self.bus.send(CALL, ALL, question.call, HEARD)
            question.expected = await self._who_lives() | {self.bus.member}
            question.look()
            await self._answered(question)

    def _lost(self) -> None:
        self.joining.has_joined.clear()
        self._talk.answers.stop()


async def _beat(replicas: Replicas, connection: RedisConnection, clock: Clock) -> None:
    """Reports that this replica is alive, and checks for missed calls."""
    while True:
        if not connection.is_gone:
            with contextlib.suppress(StoreGone):
                await replicas.bus.beat((*KEPT, *spool_names(replicas.bus.member)))
                if replicas.joining.token:
                    await replicas.complete()
                await replicas.joining.look()
                await replicas.look()
        await wait_until(clock, clock.now() + BEAT)
