"""Prompts that requests ask to be cached: up to which text, and for how long."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from emulator import seeded
from emulator.dialects.base import CachePoint
from emulator.reply import CacheUse

MAX_ENTRIES = 10_000
"""How many beginnings of prompts are remembered; the one unused for longest is forgotten first."""
LOOKBACK = 20
"""How many texts before a point an earlier one may lie to be found."""
HOUR = 3600.0
Parts = Sequence[tuple[str, int]]
"""The texts of a prompt, each with its tokens."""


@dataclass(slots=True)
class PrefixCache:
    """What the keys of one namespace have had cached."""

    _until: OrderedDict[bytes, float] = field(default_factory=OrderedDict)

    def clear(self) -> None:
        self._until.clear()

    def use(self, owner: str, parts: Parts, points: Sequence[CachePoint], now: float) -> CacheUse:
        """What a prompt finds in the cache at a moment (Unix time), and leaves there."""
        marks = marks_of(owner, parts, points)
        read = self._found(marks, points, now)
        for place, seconds in kept_at(parts, points):
            self._keep(marks[place], now + seconds)
        return cache_use(read, parts, points)

    def _found(self, marks: Sequence[bytes], points: Sequence[CachePoint], now: float) -> int:
        """After how many texts the longest beginning ends that is in the cache."""
        for place in range(len(marks) - 1, 0, -1):
            if is_near(place, points) and self._until.get(marks[place], 0.0) > now:
                return place
        return 0

    def _keep(self, mark: bytes, until: float) -> None:
        self._until[mark] = max(until, self._until.pop(mark, 0.0))
        if len(self._until) > MAX_ENTRIES:
            self._until.popitem(last=False)


def marks_of(owner: str, parts: Parts, points: Sequence[CachePoint]) -> list[bytes]:
    """What tells each beginning of a prompt, up to the last point, from all others."""
    return list(_marks(owner, parts[: max([point.parts for point in points], default=0)]))


def is_near(place: int, points: Sequence[CachePoint]) -> bool:
    """Whether a beginning of so many texts is looked for."""
    return any(0 <= point.parts - place <= LOOKBACK for point in points)


def kept_at(parts: Parts, points: Sequence[CachePoint]) -> Iterator[tuple[int, float]]:
    """After how many texts the beginnings end that are left in the cache, and for how many seconds."""
    tokens = _tokens(parts)
    return ((point.parts, point.seconds) for point in points if tokens[point.parts] >= point.least)


def cache_use(read: int, parts: Parts, points: Sequence[CachePoint]) -> CacheUse:
    """What a prompt uses whose first `read` texts were found."""
    tokens = _tokens(parts)
    longest = hour = read
    for place, seconds in kept_at(parts, points):
        longest = max(longest, place)
        hour = max(hour, place) if seconds >= HOUR else hour
    return CacheUse(tokens[read], tokens[longest] - tokens[read], tokens[hour] - tokens[read])


def _tokens(parts: Parts) -> list[int]:
    """The tokens of each beginning."""
    return list(accumulate([count for _, count in parts], initial=0))


def _marks(owner: str, parts: Parts) -> Iterator[bytes]:
    """What tells each beginning of a prompt from all others: none of its texts, one, two …"""
    mark = seeded.digest("prompt", owner)
    yield mark
    for text, _ in parts:
        mark = seeded.digest(mark, text)
        yield mark
