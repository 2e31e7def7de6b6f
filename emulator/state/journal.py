"""The journal: one `Exchange` for each request, bounded in number and in bytes."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from emulator.state.exchanges import MAX_TEXT, Exchange, size_of
from emulator.state.recorded import MAX_REQUEST_BYTES, Why
from emulator.state.shared import Shared

MAX_EXCHANGES = 1000
"""The most exchanges in a journal."""
MAX_BYTES = 64 * 2**20
"""The most bytes that all journals of a server keep together."""
SLACK = 64
"""If a store keeps exchanges: how far the capacity may be exceeded before some are dropped."""
MAX_UNCUT = 8 * 2**20
"""The part of these bytes for complete bodies of requests that no rule answered, which are needed to explain why."""
GONE = "unknown: the request's body was too large to keep"


class Shelf:
    """The bytes of all journals of a server: over the limit, the fullest journal drops its oldest exchanges."""

    def __init__(
        self,
        most_bytes: int | None = None,
        most_uncut: int | None = None,
        shared: Shared | None = None,
    ) -> None:
        self.shared = shared
        """What this process shares with the other processes of the server, if there are any."""
        self.numbers: Callable[[], int] | None = None if shared is None else shared.next_number
        """Returns the next number of an exchange, if other processes share the numbers; None: each journal counts
        separately.
        """
        self.publish: Callable[[Exchange], None] | None = None
        """Receives each ended exchange, for a store."""
        self.on_clear: Callable[[str], None] | None = None
        """Receives the name of each journal that was cleared."""
        self.on_change: Callable[[Exchange], None] | None = None
        """Receives each exchange that is changed after it has ended."""
        self.most_uncut = MAX_UNCUT if most_uncut is None else most_uncut
        self.most_bytes = (MAX_BYTES if most_bytes is None else most_bytes) - self.most_uncut
        """The bytes that these journals may always have."""
        self.free: Callable[[], int] | None = None
        """Returns the bytes that the journals of other processes leave to these, if they share all; often more."""
        self.bytes = 0
        self.journals: set[Journal] = set()
        self._uncut: deque[tuple[Exchange, int]] = deque()
        self._uncut_bytes = 0

    def make_room(self) -> None:
        """If there are too many bytes, drops exchanges of the fullest journals until there is space for a while."""
        if self.bytes > self.most_bytes:
            self.shrink(self.most_bytes if self.free is None else max(self.most_bytes, self.free()))

    def shrink(self, most: int) -> None:
        """Drops exchanges of the fullest journals until they have at most these bytes."""
        while self.bytes > most:
            fullest = max(self.journals, key=lambda each: each.bytes)
            goal = fullest.bytes - min(most // 16, fullest.bytes)  # found once for many exchanges
            while fullest.bytes > goal and self.bytes > most - most // 16:
                fullest.drop_oldest()

    def keep_uncut(self, exchange: "Exchange", body: bytes) -> None:
        """Keeps the whole body of a request while there is space, to explain mismatches later."""
        self._uncut.append((exchange, len(body)))
        self._uncut_bytes += len(body)
        while self._uncut_bytes > self.most_uncut:
            oldest, size = self._uncut.popleft()
            self._uncut_bytes -= size
            oldest.why = FORGOTTEN


class Forgotten(Why):
    """Stands in for explanations whose request body was dropped."""

    __slots__ = ()

    def find(self) -> list[str]:
        return [GONE]


FORGOTTEN = Forgotten()


@dataclass(slots=True, eq=False)
class Journal:
    """The most recent exchanges, oldest first; older ones are dropped."""

    capacity: int = MAX_EXCHANGES
    name: str = "default"
    """The name of its namespace."""
    shelf: Shelf = field(default_factory=Shelf)
    count: int = 0
    """The number of exchanges so far."""
    bytes: int = 0
    """The bytes of the ended exchanges."""
    _kept: OrderedDict[int, Exchange] = field(default_factory=OrderedDict)
    _is_closed: bool = False
    _watchers: tuple[Callable[[Exchange], None], ...] = ()

    def __post_init__(self) -> None:
        self.shelf.journals.add(self)

    def add(self, exchange: Exchange) -> None:
        """Adds an exchange that begins."""
        exchange.is_kept = True
        self._kept[exchange.number] = exchange
        if len(self._kept) > self.capacity and self.shelf.publish is None:
            self.drop_oldest()
        if self._watchers:
            self._notify(exchange)

    def _notify(self, exchange: Exchange) -> None:
        for notify in self._watchers:
            notify(exchange)

    def settle(self, exchange: Exchange) -> None:
        """Ends an exchange: from now on, its bytes count."""
        if exchange.notes or len(exchange.model) > MAX_TEXT:
            exchange.model = exchange.model[:MAX_TEXT]
            exchange.notes = tuple([note[:MAX_TEXT] for note in exchange.notes])
        if self._watchers:
            self._notify(exchange)
        if not exchange.is_kept or exchange.size or self._is_closed:
            return
        exchange.size = size = size_of(exchange)
        if exchange.body_size > MAX_REQUEST_BYTES and exchange.why is not None:
            self.shelf.keep_uncut(exchange, exchange.why.body)
        self.bytes += size
        self.shelf.bytes += size
        if self.shelf.bytes > self.shelf.most_bytes:
            self.shelf.make_room()
        if self.shelf.publish is not None:
            self.shelf.publish(exchange)
            self._drop_ended()

    def adopt(self, exchanges: Sequence[Exchange]) -> None:
        """Adds ended exchanges of another process that is gone, in order of their numbers."""
        more = [each for each in exchanges if each.number not in self._kept]
        for exchange in more:
            exchange.is_kept, exchange.size = True, size_of(exchange)
            self._kept[exchange.number] = exchange
            self.bytes += exchange.size
            self.shelf.bytes += exchange.size
            if exchange.ended == "lost":  # its end has not been reported
                self._notify(exchange)
        self._kept = OrderedDict(sorted(self._kept.items()))
        while len(self._kept) > self.capacity:
            self.drop_oldest()
        self.shelf.make_room()

    def get(self, number: int) -> Exchange | None:
        """Returns the exchange with this number, if it is still in the journal."""
        return self._kept.get(number)

    def watch(self, notify: Callable[[Exchange], None]) -> Callable[[], None]:
        """Notifies a function when an exchange begins or ends; the returned function stops that."""
        self._watchers = (*self._watchers, notify)

        def stop() -> None:
            self._watchers = tuple(each for each in self._watchers if each is not notify)

        return stop

    async def changed(self) -> None:
        """Returns once an exchange begins or ends."""
        happened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        stop = self.watch(lambda _: None if happened.done() else happened.set_result(None))
        try:
            await happened
        finally:
            stop()

    def next_number(self) -> int:
        self.count += 1
        numbers = self.shelf.numbers
        return self.count if numbers is None else numbers()

    def drop_oldest(self) -> None:
        """Drops the oldest exchange."""
        _, oldest = self._kept.popitem(last=False)
        oldest.is_kept = False
        self.bytes -= oldest.size
        self.shelf.bytes -= oldest.size

    def _drop_ended(self) -> None:
        """Drops the oldest ended exchanges, several at once; open ones are not in the store yet."""
        over = len(self._kept) - self.capacity
        if over < SLACK:
            return
        kept, dropped = self._kept, 0
        for exchange in list(islice((each for each in kept.values() if each.size), over)):
            del kept[exchange.number]
            exchange.is_kept = False
            dropped += exchange.size
        self.bytes -= dropped
        self.shelf.bytes -= dropped

    def clear(self) -> None:
        """Removes all exchanges; numbers continue."""
        for exchange in self._kept.values():
            exchange.is_kept = False
        self._kept.clear()
        self.shelf.bytes -= self.bytes
        self.bytes = 0
        if self.shelf.on_clear is not None:
            self.shelf.on_clear(self.name)

    def close(self) -> None:
        """Releases the journal, which is no longer used."""
        self._is_closed = True
        self.clear()
        self.shelf.journals.discard(self)

    def __iter__(self) -> Iterator[Exchange]:
        return iter(tuple(self._kept.values()))

    def __len__(self) -> int:
        return len(self._kept)
