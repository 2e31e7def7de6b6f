"""Selects the faults for a request: where they come from, their order, how often they apply, and what was skipped.

In the order of precedence: the request's own header; its key or its URL; the queue of one-shot faults; live faults; the
rule; the scenario; the server. The first error wins; everything else is composed in that order.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Literal, Protocol

from emulator import seeded
from emulator.errors import UsageError, shortened
from emulator.faults import fault_of
from emulator.faults.base import Fault, HandshakeFault, ListenerFault
from emulator.records import record, struct

Source = Literal["header", "key", "url", "queue", "live", "rule", "scenario", "server"]
BY_REQUEST: tuple[Source, ...] = ("header", "key", "url")
HEADER = "x-emulator-fault"
KEY = "sk-fault-"
MAX_QUEUED = 10_000
MAX_LIVE = 1000
MAX_PER_REQUEST = 32
MAX_LENGTH = 8192
"""Maximum length of one requested fault."""
MAX_SECONDS_BEYOND = 60.0
"""Maximum seconds of a requested fault that affects other clients."""
LASTING = ("live-", "queue-", "server ")
"""The prefix of the ids of faults that don't come from the scenario: their counters outlive it."""
MAX_COUNTERS = 10_000
"""Maximum number of faults with counters; the oldest is dropped first."""


@record
class ActiveFault:
    """A fault that may apply, and its source. `id` identifies its random choices and its counters."""

    id: str
    fault: Fault
    source: Source


@struct
class Counter:
    """How many requests a fault has seen, and how many it applied to."""

    seen: int = 0
    struck: int = 0


class Claims(Protocol):
    """Counts faults over several processes."""

    def open(self, key: int) -> None: ...

    def claim(self, key: int, skip: int, times: int | None, *, hits: bool) -> bool | None: ...

    def release(self, key: int) -> None: ...


@struct
class FaultRegistry:
    """The live faults of one namespace, and the counters of all its faults."""

    live: dict[str, Fault] = field(default_factory=dict)
    queue: dict[str, Fault] = field(default_factory=dict)
    """The queue of one-shot faults by id, each for one request."""
    counters: dict[str, Counter] = field(default_factory=dict)
    started: float = 0.0
    """The clock time from which windows count."""
    _spent: dict[str, None] = field(default_factory=dict)
    """The ids of live faults that are used up."""
    claims: Claims | None = None
    """Counts live faults over several processes; None if there is only this one."""
    keys: dict[str, int] = field(default_factory=dict)
    """The key of each of these faults there."""
    standing: dict[str, int] = field(default_factory=dict)
    """The same for faults of the scenario and the server."""
    last_id: int = 0
    """The number in the last id."""

    @property
    def is_empty(self) -> bool:
        return not self.live and not self.queue

    def add(self, fault: Fault, key: int = 0) -> str:
        """Adds a live fault and returns its id. `key` is the same in all processes that add it. Raises UsageError."""
        if len(self.live) >= MAX_LIVE:
            raise UsageError(f"{MAX_LIVE} faults have been added already. Remove some first.")
        self.last_id += 1
        id = f"live-{self.last_id}"
        self.live[id] = fault
        if self.claims is not None and (fault.times is not None or fault.skip):
            self.keys[id] = key
            self.claims.open(key)
        return id

    def push(self, fault: Fault) -> str:
        """Queues a fault for one request and returns its id."""
        if len(self.queue) >= MAX_QUEUED:
            del self.queue[next(iter(self.queue))]
        self.last_id += 1
        id = f"queue-{self.last_id}"
        self.queue[id] = fault
        return id

    def take_over(self, live: Mapping[str, Fault], keys: Mapping[str, int], last_id: int) -> None:
        """Adds the faults that another process has, with the same ids."""
        self.live, self.keys, self.last_id = dict(live), dict(keys), last_id

    def forget_scenario(self) -> None:
        """Drops the counters of the scenario's faults, since another scenario's start at zero."""
        self.counters = {id: counter for id, counter in self.counters.items() if id.startswith(LASTING)}
        for id in [id for id in self.standing if not id.startswith(LASTING)]:
            self._release(id)

    def remove(self, id: str) -> bool:
        """Removes a live or queued fault; returns whether there was one."""
        self.counters.pop(id, None)
        was_spent = id in self._spent
        self._spent.pop(id, None)
        self._release(id)
        return (self.live.pop(id, None) or self.queue.pop(id, None)) is not None or was_spent

    def spend(self, id: str) -> None:
        """Removes a live fault that is used up."""
        self.live.pop(id, None)
        if len(self._spent) >= MAX_COUNTERS:
            del self._spent[next(iter(self._spent))]
        self._spent[id] = None

    def _release(self, id: str) -> None:
        key = self.keys.pop(id, None) or self.standing.pop(id, None)
        if key is not None and self.claims is not None:
            self.claims.release(key)

    def counted(self, id: str) -> Counter:
        """How many requests a fault has seen and applied to so far."""
        return self.counters.get(id) or Counter()

    def disarm(self) -> int:
        """Removes all live and queued faults and their counters; returns how many there were."""
        ids = [*self.live, *self.queue]
        for id in ids:
            self.remove(id)
        return len(ids)

    def clear(self) -> None:
        """Removes all live and queued faults, and clears all counters."""
        for id in (*self.keys, *self.standing):
            self._release(id)
        self.live.clear()
        self.queue.clear()
        self.counters.clear()

    def armed(self, *, of_handshake: bool | None = None) -> Iterator[ActiveFault]:
        """Yields the next one-shot fault, then the live ones. `of_handshake`: only those that break TLS handshakes, or
        only the others.
        """

        def is_wanted(fault: Fault) -> bool:
            return of_handshake is None or isinstance(fault, HandshakeFault) is of_handshake

        if self.queue and is_wanted(self.queue[id := next(iter(self.queue))]):
            yield ActiveFault(id, self.queue.pop(id), "queue")
        for id, fault in self.live.items():
            if is_wanted(fault):
                yield ActiveFault(id, fault, "live")

    def _claimed(self, each: ActiveFault, seed: int, identity: bytes, attempt: int) -> bool:
        """Whether a fault that is counted over all processes applies."""
        assert self.claims is not None
        fault = each.fault
        may = hits(each, seed, identity, attempt)
        key = self.keys.get(each.id) or self.standing[each.id]
        strikes = self.claims.claim(key, fault.skip, fault.times, hits=may)
        if strikes is None:  # another process has used it up
            self.spend(each.id)
        return bool(strikes)

    def _counter(self, id: str) -> Counter:
        counter = self.counters.get(id)
        if counter is None:
            if len(self.counters) >= MAX_COUNTERS:
                del self.counters[next(iter(self.counters))]
            counter = self.counters[id] = Counter()
        return counter

    def select(
        self, armed: Iterable[ActiveFault], now: float, seed: int, identity: bytes, attempt: int
    ) -> list[ActiveFault]:
        """Returns the faults that apply to this request, and counts them."""
        struck = []
        for each in armed:
            fault = each.fault
            if not is_in_window(fault, now - self.started):
                continue
            counter = self._counter(each.id)
            counter.seen += 1
            if each.id in self.keys or each.id in self.standing:
                if self._claimed(each, seed, identity, attempt):
                    counter.struck += 1
                    struck.append(each)
                continue
            if counter.seen <= fault.skip or (fault.times is not None and counter.struck >= fault.times):
                continue
            if not hits(each, seed, identity, attempt):
                continue
            counter.struck += 1
            if each.source == "live" and counter.struck == fault.times:
                self.spend(each.id)
            struck.append(each)
        return struck


def count_together(registry: FaultRegistry, each: ActiveFault) -> None:
    """Makes all processes count a fault of the scenario or the server together. They all derive the same key."""
    fault = each.fault
    if registry.claims is not None and each.id not in registry.standing and (fault.times is not None or fault.skip):
        key = int.from_bytes(seeded.digest("fault", each.id, repr(fault))[:7])
        registry.standing[each.id] = key
        registry.claims.open(key)


def is_in_window(fault: Fault, since: float) -> bool:
    """Whether a fault is active this many seconds after windows begin to count."""
    return fault.window is None or fault.window.holds(since)


def hits(each: ActiveFault, seed: int, identity: bytes, attempt: int) -> bool:
    """Whether a fault's probability lets it apply."""
    fault = each.fault
    return fault.probability >= 1 or seeded.fraction(seed, "fault", each.id, identity, attempt) < fault.probability


def fault_sources(*, header: bool, others: bool) -> frozenset[Source]:
    """Where requests may ask for faults."""
    return frozenset(source for source in BY_REQUEST if (header if source == "header" else others))


def asked_by(headers: Mapping[str, str], key: str | None, urls: tuple[str, ...]) -> list[tuple[Source, str]]:
    """The faults that a request names, as written, in order of precedence."""
    asked: list[tuple[Source, str]] = [("header", part) for part in _parts(headers.get(HEADER, ""))]
    if key is not None and key.startswith(KEY):
        asked.append(("key", key.removeprefix(KEY)))
    return asked + [("url", text) for text in urls]


def from_request(
    asked: Sequence[tuple[Source, str]], headers: Mapping[str, str], *, sends_key: bool
) -> list[ActiveFault]:
    """The faults that a request asks for. Raises UsageError for an unknown or disallowed one."""
    if len(asked) > MAX_PER_REQUEST:
        raise UsageError(f"A request may ask for at most {MAX_PER_REQUEST} faults, not {len(asked)}.")
    found = []
    for source, text in asked:
        if len(text) > MAX_LENGTH:
            raise UsageError(f"The fault '{shortened(text)}' has {len(text)} characters; the limit is {MAX_LENGTH}.")
        fault = fault_of(text)
        if isinstance(fault, ListenerFault):
            _check_reach(fault, headers, sends_key=sends_key)
        found.append(ActiveFault(f"{source} {text}", fault, source))
    return found


def _check_reach(fault: ListenerFault, headers: Mapping[str, str], *, sends_key: bool) -> None:
    """Raises UsageError if a request may not ask for this listener fault."""
    foreign = _sent_by_foreign_page(headers, sends_key=sends_key)
    if foreign is not None:
        raise UsageError(
            f"The fault '{fault.kind}' affects every client, so a page of another site can't ask for it: {foreign}. "
            "Send a key, from a program or from the emulator's own origin."
        )
    if fault.seconds > MAX_SECONDS_BEYOND:
        raise UsageError(
            f"The fault '{fault.kind}': seconds: it affects every client, so a request may ask for at most "
            f"{MAX_SECONDS_BEYOND:g}. Scenarios, Python and serve --fault may set more."
        )


def _sent_by_foreign_page(headers: Mapping[str, str], *, sends_key: bool) -> str | None:
    """Why a page of another site could have sent a request; None if it couldn't have."""
    host = headers.get("host", "").lower()
    site = headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none"):
        return f"the request has 'Sec-Fetch-Site: {shortened(site)}'"
    for name in ("origin", "referer"):
        value = headers.get(name)
        if value is not None and value.partition("://")[2].partition("/")[0].lower() != host:
            return f"the request has '{name.title()}: {shortened(value)}'"
    if site is None and not sends_key:
        return "this request carries no key"
    return None


def _parts(header: str) -> list[str]:
    """Splits `reset:after_tokens=3; stall` into its parts."""
    return [part.strip() for part in header.split(";") if part.strip()]
