"""How a replica joins the others, and the snapshots it writes for later ones."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

import orjson

from emulator.clock import Clock, wait_until
from emulator.control.controlled import TAKE_OVER
from emulator.errors import StoreGone
from emulator.server.conversation import Answers
from emulator.server.given import Given, Snapshot
from emulator.server.stored import stop

logger = logging.getLogger("emulator")

SAVE_INTERVAL = 1.0
"""Seconds between a change and its snapshot."""


class Joining:
    """A replica's membership and its part in the shared configuration."""

    def __init__(self, given: Given, answers: Answers, clock: Clock) -> None:
        self.token = b""
        """Identifies the store's data: it is the same as long as this token is there. Empty: not joined yet."""
        self.has_joined = asyncio.Event()
        self.ask_others: Callable[[], Awaitable[bytes]] | None = None
        """The configuration of another replica; empty if none is serving."""
        self.then: Callable[[bool], Awaitable[None]] | None = None
        """Called each time this replica has joined; True if the store has lost its data in between."""
        self._given = given
        self._answers = answers
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._saving: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Stops, at the server's end."""
        is_to_save = self._saving is not None
        await stop((self._task, self._saving))
        if is_to_save and self.has_joined.is_set():
            with contextlib.suppress(StoreGone):
                await self._given.save(self._answers.order, self._taken())

    def soon(self) -> None:
        """Joins, now that the store is reachable."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._join())

    def save_soon(self) -> None:
        """Schedules a snapshot after a change."""
        if self._saving is None:
            self._saving = asyncio.create_task(self._save())

    async def look(self) -> None:
        """Checks whether the store still has the same data. Raises StoreGone."""
        if self.token and not await self._given.has_token(self.token):
            self.has_joined.clear()
        if not self.has_joined.is_set():
            self.soon()

    async def _join(self) -> None:
        """Joins for the first time, or after the store was gone."""
        try:
            token = await self._given.token(self._taken() if self.token else b"")
            is_first, has_lost = not self.token, token != self.token
            if is_first:
                self._adopt(await self._others() or await self._given.snapshot())
            elif has_lost:
                await self._agree()
            elif (snapshot := await self._given.snapshot()).trimmed > self._answers.order:
                self._adopt(snapshot)
            self.token = token
            assert self.then is not None
            await self.then(has_lost and not is_first)
            self.has_joined.set()
        except StoreGone:
            pass
        except Exception:
            logger.exception("Cannot join the other replicas: please report this")

    async def _others(self) -> Snapshot | None:
        assert self.ask_others is not None
        answer = await self.ask_others()
        if not answer:
            return None
        found = orjson.loads(answer)
        return Snapshot(found["order"], orjson.dumps(found["given"]))

    async def _agree(self) -> None:
        """Adopts the configuration that the first returning replica has written, after the store has lost its data."""
        self._answers.order = self._answers.received = 0
        snapshot = await self._given.snapshot()
        if snapshot.given:
            self._adopt(snapshot)
        else:  # a new replica came first, without a configuration
            await self._given.write(0, 0, b'{"adopt":%b}' % self._taken())

    def _adopt(self, snapshot: Snapshot) -> None:
        assert self._answers.handle is not None
        if snapshot.given:
            self._answers.handle(b'{"adopt":%b}' % snapshot.given)
        self._answers.order = self._answers.received = snapshot.order

    def _taken(self) -> bytes:
        """Returns this server's configuration in the form that new replicas take over."""
        assert self._answers.handle is not None
        taken = self._answers.handle(TAKE_OVER)
        assert isinstance(taken, bytes)
        return orjson.dumps(orjson.loads(taken)["given"])

    async def _save(self) -> None:
        await wait_until(self._clock, self._clock.now() + SAVE_INTERVAL)
        self._saving = None
        with contextlib.suppress(StoreGone):
            await self._given.save(self._answers.order, self._taken())
