"""A worker's spool in memory that outlives it (`server/black_box.py`), and how another worker takes over what a killed
one has left there: its whole journal and its totals."""

from collections.abc import Iterator
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from emulator.clock import Clock
from emulator.errors import UsageError
from emulator.server.black_box import Box
from emulator.server.players import BeforeLast
from emulator.server.spool import Catch
from emulator.server.spooling import almost_over, begun, ended, whole
from emulator.state.blanks import Recollection
from emulator.state.exchanges import Exchange
from emulator.state.packed import Packer, Unpacker
from emulator.state.totals import Totals, merged
from emulator.wire import Playback

if TYPE_CHECKING:
    from emulator.server.app import App

MIN_USED, MAX_UNUSED = 4 * 2**20, 16 * 2**20
"""A log is rewritten when it has doubled since the last rewrite: not below the first number of bytes, and at the latest
when it has grown by the second."""
LOOK_INTERVAL = 0.5
"""Seconds until it is checked whether other workers need the bytes that a journal has beyond its share."""
STEP = 4
"""The most exchanges that are rewritten for each new one."""
OTHER_TEMPLATES = 2**31
"""The number of the first template of a rewrite, so that it differs from those of new exchanges."""
ENDED, OPEN, CHANGED, CLEARED, TOTALS = range(5)
"""What is in a log: an exchange that is over, is open, or was changed when it was over; the end of a namespace's
earlier exchanges; the totals of everything before.
"""
_FRAME = Struct("=IB")


class _Log:
    """What one worker leaves behind, in its box. What is still needed is rewritten now and then, a little at a time;
    whatever comes meanwhile goes to both halves."""

    def __init__(self, app: "App", box: Box, owner: int) -> None:
        self.packer = Packer(is_private=True)
        """Packs the next record. A record may refer to earlier ones in the log, so call `make_space` before packing."""
        self._app = app
        self._box = box
        self._which = 0
        """The valid half."""
        self._used = 0
        """The bytes in it."""
        self._moving: Iterator[Exchange] | None = None
        """The exchanges that are still to be rewritten."""
        self._mover = self.packer
        self._limit = MIN_USED
        self._spare = box.half // 10
        """The bytes that stay free in each half for the next record, far more than one needs, as bodies are truncated;
        a rewrite leaves twice as many."""
        self._full = box.half - self._spare
        box.reset(owner)
        box.publish(0)

    def make_space(self) -> bool:
        """Makes space for what is packed next. Returns whether it had to rewrite everything for that: all that the
        journals have and the totals have counted by now."""
        if self._used <= self._full:
            return False
        self.rewrite(restarts=False)
        return True

    def put(self, kind: int, data: bytes) -> None:
        """Adds a record."""
        frame = _FRAME.pack(len(data), kind) + data
        self._used = self._box.append(self._which, frame) or self._used
        if self._moving is not None:
            self._box.append(1 - self._which, frame)

    def go_on(self) -> None:
        """Rewrites some exchanges, if it is time."""
        if self._moving is None:
            if self._used > self._limit:
                self._start_moving()
            return
        for _ in range(STEP):
            if self._moving is not None:
                self._move_one()

    def rewrite(self, emptied: Box | None = None, *, restarts: bool = True) -> None:
        """Rewrites everything that is still needed. emptied: the box that some of it came from, which is emptied once
        the rewrite is complete."""
        if restarts or self._moving is None:
            self._start_moving()
        while self._moving is not None:
            self._move_one(emptied)

    def _start_moving(self) -> None:
        self.packer.period += 1
        self._mover = Packer(is_private=True, first=OTHER_TEMPLATES)
        self._box.begin(1 - self._which)
        namespaces = self._app.namespaces
        self._moving = iter([each for namespace in namespaces for each in namespace.journal])

    def _move_one(self, emptied: Box | None = None) -> None:
        """Rewrites one exchange. After the last one, that half takes the place of the other."""
        assert self._moving is not None
        exchange = next(self._moving, None)
        if exchange is None:
            self._publish(emptied)
        elif exchange.is_kept:
            data = ended(self._mover, exchange)
            frame = _FRAME.pack(len(data), OPEN if exchange.playback is None else ENDED) + data
            if not self._box.append(1 - self._which, frame, 2 * self._spare):
                self._keep_less()

    def _keep_less(self) -> None:
        """Starts the rewrite again with fewer exchanges: what is kept would leave no space for new ones."""
        shelf = self._app.namespaces.shelf
        if shelf.bytes:  # open exchanges alone are not dropped
            shelf.shrink(shelf.bytes - shelf.bytes // 16)
            self._start_moving()

    def _publish(self, emptied: Box | None) -> None:
        totals = orjson.dumps(self._app.totals.to_dict())
        self._box.append(1 - self._which, _FRAME.pack(len(totals), TOTALS) + totals)
        self._which = 1 - self._which
        if emptied is not None:
            emptied.reset()
        self._box.publish(self._which)
        if emptied is not None:
            emptied.release()
        self._moving = None
        self._used = used = self._box.used(self._which)
        self._limit = max(MIN_USED, used + min(used, MAX_UNUSED))


class WorkerSpool:
    """The spool of one worker."""

    def __init__(self, app: "App", box: Box, index: int) -> None:
        """index: the worker's own."""
        self._app = app
        self._box = box
        self._log = _Log(app, box, index)
        self._shelf = app.namespaces.shelf
        self._answered: Exchange | None = None
        self._shelf.on_clear, self._shelf.on_change = self._on_clear, self._on_change

    def answered(self, exchange: Exchange, catch: Catch, recollection: Recollection | None = None) -> None:
        """Sends a whole answer, once its exchange is kept."""
        self._log.make_space()
        self._log.put(ENDED, whole(self._log.packer, exchange, catch, recollection))
        self._answered = exchange
        catch.protocol.transport.write(catch.wire)

    def begin(self, exchange: Exchange) -> BeforeLast:
        """Keeps an exchange whose answer is about to be sent. Returns what to call before its last bytes are sent."""
        self._log.make_space()
        self._log.put(OPEN, begun(self._log.packer, exchange))
        return partial(self._almost_over, exchange)

    async def safe(self) -> None:
        """Everything is, immediately."""

    def _almost_over(self, exchange: Exchange, playback: Playback, size: int, frames: int, now: float) -> None:
        self._log.make_space()
        self._log.put(OPEN, almost_over(self._log.packer, exchange, playback, size, frames, now))

    def end(self, exchange: Exchange) -> None:
        """Keeps how it has ended. The totals have counted it."""
        self._box.journals = self._shelf.bytes
        if exchange is self._answered:
            self._answered = None
        elif not self._log.make_space():
            self._log.put(ENDED, ended(self._log.packer, exchange))
        self._log.go_on()

    def adopt(self, box: Box, owner: int) -> None:
        """Takes over what another worker has left, and empties its box, unless that already belongs to a new one."""
        if box.owner != owner:
            return
        left = _left_in(box.read())
        box.journals = 0  # so that there is space for them here
        for name, exchanges in left.exchanges.items():
            try:
                journal = self._app.namespaces.get(name).journal
            except UsageError:  # the namespace is gone
                continue
            journal.adopt(exchanges)
        if left.totals is not None:
            self._app.totals = merged([self._app.totals.to_dict(), left.totals.to_dict()])
        self._box.journals = self._shelf.bytes
        self._log.rewrite(box)

    def watch(self, clock: Clock) -> None:
        """Now and then drops what these journals have beyond their share, as far as those of others need it."""

        def look() -> None:
            self._shelf.make_room()
            self._box.journals = self._shelf.bytes
            self.watch(clock)

        clock.call_at(clock.now() + LOOK_INTERVAL, look)

    def _on_clear(self, namespace: str) -> None:
        self._log.make_space()
        self._log.put(CLEARED, namespace.encode())

    def _on_change(self, exchange: Exchange) -> None:
        self._log.make_space()
        self._log.put(CHANGED, ended(self._log.packer, exchange))


class _Left(NamedTuple):
    """What a killed worker has left."""

    exchanges: dict[str, list[Exchange]]
    """By namespace."""
    totals: Totals | None


def _left_in(log: bytes) -> _Left:
    reader = Unpacker()
    over: dict[int, Exchange] = {}
    still_open: dict[int, Exchange] = {}
    uncounted: dict[int, Exchange] = {}
    parts: list[dict[str, Any]] = []
    for kind, data in _frames_in(log):
        if kind == TOTALS:
            parts = [orjson.loads(data)]
            uncounted.clear()
        elif kind == CLEARED:
            namespace = data.decode()
            for each in (over, still_open):
                for number in [number for number, exchange in each.items() if exchange.namespace == namespace]:
                    del each[number]
        else:
            for exchange, _ in reader.read(data):
                _note(kind, exchange, over, still_open, uncounted)
    for number in still_open.keys() - over.keys():
        over[number] = uncounted[number] = still_open[number]
    counted = Totals()
    for exchange in uncounted.values():
        counted.note(exchange)
    found: dict[str, list[Exchange]] = {}
    for _, exchange in sorted(over.items()):
        found.setdefault(exchange.namespace, []).append(exchange)
    if not parts and not uncounted:
        return _Left(found, None)
    return _Left(found, merged([*parts, counted.to_dict()]))


def _note(
    kind: int,
    exchange: Exchange,
    over: dict[int, Exchange],
    still_open: dict[int, Exchange],
    uncounted: dict[int, Exchange],
) -> None:
    number = exchange.number
    if kind == OPEN:
        still_open[number] = exchange
    elif kind == ENDED:
        still_open.pop(number, None)
        over[number] = uncounted[number] = exchange
    elif number in over:
        over[number] = exchange


def _frames_in(log: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(log):
        size, kind = _FRAME.unpack_from(log, at)
        at += _FRAME.size
        yield kind, log[at : at + size]
        at += size
