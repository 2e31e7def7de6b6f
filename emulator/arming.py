"""Which faults strike a request: where they come from, which goes first, how often, and what could not be applied.

In the order of precedence: the request's own header; its key or its URL; the queue of one-shot faults; live faults; the
rule; the scenario; the server. The first error wins; everything else is composed in that order.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from emulator import dice
from emulator.errors import UsageError
from emulator.faults import fault_of
from emulator.faults.base import Fault

Source = Literal["header", "key", "url", "queue", "live", "rule", "scenario", "server"]
HEADER = "x-emulator-fault"
KEY = "sk-fault-"
MOST_QUEUED = 10_000
MOST_PER_REQUEST = 32
MOST_COUNTERS = 10_000
"""How many faults are counted; the one longest known is forgotten first."""


@dataclass(frozen=True, slots=True)
class Armed:
    """A fault that may strike, and where it comes from. `id` names it: its dice and its counters are its own."""

    id: str
    fault: Fault
    source: Source


@dataclass(slots=True)
class Counter:
    """How many requests a fault has seen, and how many it struck."""

    seen: int = 0
    struck: int = 0


@dataclass(slots=True)
class Arsenal:
    """The faults of one namespace that come and go while it runs, and the counters of all its faults."""

    live: dict[str, Fault] = field(default_factory=dict)
    queue: deque[Fault] = field(default_factory=lambda: deque(maxlen=MOST_QUEUED))
    counters: dict[str, Counter] = field(default_factory=dict)
    started: float = 0.0
    """The moment on the clock from which windows count."""
    _ids: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def is_empty(self) -> bool:
        return not self.live and not self.queue

    def add(self, fault: Fault) -> str:
        """Arm a live fault; the answer is the id by which it can be removed."""
        id = f"live-{next(self._ids)}"
        self.live[id] = fault
        return id

    def remove(self, id: str) -> bool:
        """Disarm a live fault; whether there was one."""
        return self.live.pop(id, None) is not None

    def clear(self) -> None:
        """Disarm all live and queued faults, and forget all counts."""
        self.live.clear()
        self.queue.clear()
        self.counters.clear()

    def armed(self) -> Iterator[Armed]:
        """The one-shot fault whose turn it is, then the live ones."""
        if self.queue:
            fault = self.queue.popleft()
            yield Armed(f"queue-{next(self._ids)}", fault, "queue")
        for id, fault in self.live.items():
            yield Armed(id, fault, "live")

    def _counter(self, id: str) -> Counter:
        counter = self.counters.get(id)
        if counter is None:
            if len(self.counters) >= MOST_COUNTERS:
                del self.counters[next(iter(self.counters))]
            counter = self.counters[id] = Counter()
        return counter

    def striking(self, armed: Iterable[Armed], now: float, seed: int, identity: bytes, attempt: int) -> list[Armed]:
        """Those that strike this request, counted."""
        struck = []
        for each in armed:
            fault = each.fault
            if fault.window is not None and not fault.window.holds(now - self.started):
                continue
            counter = self._counter(each.id)
            counter.seen += 1
            if counter.seen <= fault.skip or (fault.times is not None and counter.struck >= fault.times):
                continue
            if fault.probability < 1 and dice.fraction(seed, "fault", each.id, identity, attempt) >= fault.probability:
                continue
            counter.struck += 1
            struck.append(each)
        return struck


def from_request(
    headers: Mapping[str, str], key: str | None, urls: tuple[str, ...], *, allows_header: bool = True
) -> list[Armed]:
    """The faults that a request asks for itself. Raises UsageError for one that there is not."""
    found: list[Armed] = []
    header = headers.get(HEADER)
    if header is not None and allows_header:
        found += [Armed(f"header {part}", fault_of(part), "header") for part in _parts(header)]
    if key is not None and key.startswith(KEY):
        text = key.removeprefix(KEY)
        found.append(Armed(f"key {text}", fault_of(text), "key"))
    found += [Armed(f"url {text}", fault_of(text), "url") for text in urls]
    if len(found) > MOST_PER_REQUEST:
        raise UsageError(f"A request may ask for {MOST_PER_REQUEST} faults, not for {len(found)}.")
    return found


def _parts(header: str) -> list[str]:
    """`reset:after_tokens=3; stall` as its parts."""
    return [part.strip() for part in header.split(";") if part.strip()]
