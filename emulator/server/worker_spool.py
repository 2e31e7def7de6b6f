"""A worker's spool in memory that outlives it (`server/black_box.py`), and how another worker takes over what a killed
one has left there: its whole journal and its totals."""

from collections.abc import Iterator
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

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

MIN_USED = 4 * 2**20
"""The bytes of a log at which it is written anew, or twice those that were needed last time."""
STEP = 4
"""The most exchanges that are written anew for each new one."""
OTHER_TEMPLATES = 2**31
"""The number of the first template of what is written anew, so that it differs from those of new exchanges."""
ENDED, OPEN, CHANGED, CLEARED, TOTALS = range(5)
"""What is in a log: an exchange that is over, is open, or was changed when it was over; the end of a namespace's
earlier exchanges; the totals of everything before.
"""
_FRAME = Struct("=IB")


class WorkerSpool:
    """The spool of one worker."""

    def __init__(self, app: "App", box: Box) -> None:
        self._app = app
        self._box = box
        self._which = 0
        """The valid half."""
        self._packer = Packer(is_private=True)
        self._moving: Iterator[Exchange] | None = None
        """The exchanges that are still to be written anew."""
        self._mover = self._packer
        self._limit = MIN_USED
        self._answered: Exchange | None = None
        box.reset()
        box.publish(0)
        shelf = app.namespaces.shelf
        shelf.on_clear, shelf.on_change = self._on_clear, self._on_change

    def answered(self, exchange: Exchange, catch: Catch, recollection: Recollection | None = None) -> None:
        """Sends a whole answer, once its exchange is kept."""
        self._put(ENDED, whole(self._packer, exchange, catch, recollection))
        self._answered = exchange
        catch.protocol.transport.write(catch.wire)

    def begin(self, exchange: Exchange) -> BeforeLast:
        """Keeps an exchange whose answer is about to be sent. Returns what to call before its last bytes are sent."""
        self._put(OPEN, begun(self._packer, exchange))
        return partial(self._almost_over, exchange)

    async def safe(self) -> None:
        """Everything is, immediately."""

    def _almost_over(self, exchange: Exchange, playback: Playback, size: int, frames: int, now: float) -> None:
        self._put(OPEN, almost_over(self._packer, exchange, playback, size, frames, now))

    def end(self, exchange: Exchange) -> None:
        """Keeps how it has ended. The totals have counted it."""
        if exchange is self._answered:
            self._answered = None
        else:
            self._put(ENDED, ended(self._packer, exchange))
        if self._moving is not None:
            self._move(STEP)
        elif self._box.used(self._which) > self._limit:
            self._start_moving()

    def adopt(self, box: Box) -> None:
        """Takes over what another worker has left, and empties its box."""
        left = _left_in(box.read())
        for name, exchanges in left.exchanges.items():
            try:
                journal = self._app.namespaces.get(name).journal
            except UsageError:  # the namespace is gone
                continue
            journal.adopt(exchanges)
        if left.totals is not None:
            self._app.totals = merged([self._app.totals.to_dict(), left.totals.to_dict()])
        if self._moving is None:
            self._start_moving()
        self._move_all(box)

    def _on_clear(self, namespace: str) -> None:
        self._put(CLEARED, namespace.encode())

    def _on_change(self, exchange: Exchange) -> None:
        self._put(CHANGED, ended(self._packer, exchange))

    def _put(self, kind: int, data: bytes) -> None:
        frame = _FRAME.pack(len(data), kind) + data
        if not self._box.append(self._which, frame):
            if self._moving is None:
                self._start_moving()
            self._move_all()
            self._box.append(self._which, frame)
        elif self._moving is not None:
            self._box.append(1 - self._which, frame)

    def _start_moving(self) -> None:
        """Starts to write anew what is still needed. Whatever comes meanwhile goes to both halves."""
        self._packer.period += 1
        self._mover = Packer(is_private=True, first=OTHER_TEMPLATES)
        self._box.begin(1 - self._which)
        namespaces = self._app.namespaces
        self._moving = iter([each for namespace in namespaces for each in namespace.journal])

    def _move(self, count: int) -> None:
        """Writes some exchanges anew. After the last one, that log takes the place of the other."""
        assert self._moving is not None
        for _ in range(count):
            exchange = next(self._moving, None)
            if exchange is None:
                self._publish()
                return
            if exchange.is_kept:
                self._write(OPEN if exchange.playback is None else ENDED, ended(self._mover, exchange))

    def _move_all(self, emptied: Box | None = None) -> None:
        while self._moving is not None:
            exchange = next(self._moving, None)
            if exchange is None:
                self._publish(emptied)
            elif exchange.is_kept:
                self._write(OPEN if exchange.playback is None else ENDED, ended(self._mover, exchange))

    def _write(self, kind: int, data: bytes) -> None:
        self._box.append(1 - self._which, _FRAME.pack(len(data), kind) + data)

    def _publish(self, emptied: Box | None = None) -> None:
        self._write(TOTALS, orjson.dumps(self._app.totals.to_dict()))
        self._which = 1 - self._which
        if emptied is not None:
            emptied.reset()
        self._box.publish(self._which)
        self._moving = None
        self._limit = max(MIN_USED, 2 * self._box.used(self._which))


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
    for number, exchange in still_open.items():
        over[number] = uncounted[number] = exchange
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
        if number not in over:
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
