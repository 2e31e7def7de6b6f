"""Counts that the processes of a server share, and which scenarios need them."""

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from emulator.faults.base import Fault
from emulator.scenario.models import Match, RuleModel, Scenario

_NUMBER = struct.Struct("=Q")
_ROW = struct.Struct("=8sQQQ")
_USED, _FREE = b"\xf3fault\xa7+", b"\xf3fault\xa7-"
_TIME = struct.Struct("=8sd")
MAX_CLOCKS = 4096
"""Slots for shared clocks, by the hash of the namespace; a newer clock replaces an older one in the same slot."""
MAX_ROWS = 4096
"""The most faults that are counted; new ones replace the oldest."""
_CLOCKS = _NUMBER.size + MAX_ROWS * _ROW.size
"""The offset of the clocks."""


class Shared:
    """Counts in memory that this process shares with its forks; each call takes microseconds."""

    def __init__(self) -> None:
        import fcntl

        self._lockf, self._exclusive, self._unlock = fcntl.lockf, fcntl.LOCK_EX, fcntl.LOCK_UN
        self._memory = mmap.mmap(-1, _CLOCKS + MAX_CLOCKS * _TIME.size)
        self._memory[_NUMBER.size : _CLOCKS] = _ROW.pack(_FREE, 0, 0, 0) * MAX_ROWS
        self._places: dict[int, int] = {}
        """The slot in which each key was last seen."""
        self._file = _nameless_file()
        """A lock on it guards the memory; a killed process releases it."""

    def next_number(self) -> int:
        """Returns numbers from 1, each only once."""
        self._lockf(self._file, self._exclusive)
        try:
            number: int = _NUMBER.unpack_from(self._memory)[0] + 1
            _NUMBER.pack_into(self._memory, 0, number)
        finally:
            self._lockf(self._file, self._unlock)
        return number

    def open(self, key: int) -> None:
        """Registers a fault, in every process. If there are too many, the oldest count as used up."""
        with self._locked():
            if self._find(key) < 0:
                place = self._memory.find(_FREE)
                _ROW.pack_into(self._memory, place if place >= 0 else self._oldest(), _USED, key, 0, 0)

    def claim(self, key: int, skip: int, times: int | None, *, hits: bool) -> bool | None:
        """Counts a request that a fault has seen in any process; `hits`: whether its probability lets it apply. Returns
        whether it applies; None if it is used up."""
        with self._locked():
            place = self._find(key)
            if place < 0:
                return None
            _, _, seen, struck = _ROW.unpack_from(self._memory, place)
            is_spent = times is not None and struck >= times
            strikes = hits and seen >= skip and not is_spent
            _ROW.pack_into(self._memory, place, _USED, key, seen + 1, struck + strikes)
        return None if is_spent else strikes

    def release(self, key: int) -> None:
        """Removes a fault that is no longer used."""
        with self._locked():
            if (place := self._find(key)) >= 0:
                _ROW.pack_into(self._memory, place, _FREE, 0, 0, 0)
            self._places.pop(key, None)

    def clock(self, name: str, *, is_new: bool) -> "SharedTime":
        """Returns a namespace's virtual time, which all processes share; `is_new`: restarts it."""
        key = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        place = _CLOCKS + int.from_bytes(key) % MAX_CLOCKS * _TIME.size
        with self._locked():
            if is_new or _TIME.unpack_from(self._memory, place)[0] != key:
                _TIME.pack_into(self._memory, place, key, 0.0)
        return SharedTime(self, key, place)

    def time_of(self, key: bytes, place: int) -> float:
        """Returns the time in a slot; 0.0 if another clock has replaced it."""
        found, elapsed = _TIME.unpack_from(self._memory, place)
        return elapsed if found == key else 0.0

    def reach(self, key: bytes, place: int, elapsed: float) -> None:
        """Moves a clock forward."""
        with self._locked():
            found, before = _TIME.unpack_from(self._memory, place)
            if found == key and before < elapsed:
                _TIME.pack_into(self._memory, place, key, elapsed)

    def _find(self, key: int) -> int:
        name = _ROW.pack(_USED, key, 0, 0)[:16]
        place = self._places.get(key, -1)
        if place < 0 or self._memory[place : place + len(name)] != name:
            place = self._places[key] = self._memory.find(name, _NUMBER.size)
        return place

    def _oldest(self) -> int:
        places = range(_NUMBER.size, _CLOCKS, _ROW.size)
        return min(places, key=lambda place: int(_ROW.unpack_from(self._memory, place)[1]))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._lockf(self._file, self._exclusive)
        try:
            yield
        finally:
            self._lockf(self._file, self._unlock)


class SharedTime:
    """The latest virtual time of a namespace in any process, in seconds since its start."""

    def __init__(self, shared: Shared, key: bytes, place: int) -> None:
        self._shared, self._key, self._place = shared, key, place

    def get(self) -> float:
        return self._shared.time_of(self._key, self._place)

    def reach(self, elapsed: float) -> None:
        self._shared.reach(self._key, self._place, elapsed)


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("emulator")
    import tempfile  # only workers need it, and it takes 2 ms to load

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def counts_requests(scenario: Scenario, added: Sequence[RuleModel] = ()) -> bool:
    """Whether an answer may depend on other requests, so that processes that share a port must count together."""
    return (
        bool(scenario.quotas)
        or any(account.balance is not None for account in scenario.accounts)
        or any(map(is_counted, scenario.faults))
        or any(map(_counts, (*added, *scenario.rules)))
    )


def is_counted(fault: Fault) -> bool:
    """Whether a fault counts the requests that it sees."""
    return fault.times is not None or fault.skip > 0


def _counts(rule: RuleModel) -> bool:
    replies = rule.replies or ()
    return (
        (len(replies) > 1 and not any(item.chance for item in replies))
        or rule.times is not None
        or rule.set_state is not None
        or any(item.set_state is not None for item in replies)
        or _looks_back(rule.match)
        or any(map(is_counted, rule.faults))
    )


def _looks_back(match: Match) -> bool:
    parts = [*(match.any_of or ()), *(match.all_of or ()), *([match.not_] if match.not_ is not None else [])]
    return match.state is not None or match.attempt is not None or any(map(_looks_back, parts))
