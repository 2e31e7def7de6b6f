"""Prompts that requests ask to cache: up to a text, for a duration."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import field
from itertools import accumulate

from emulator import seeded
from emulator.dialects.base import CachePoint
from emulator.records import struct
from emulator.reply import CacheUse

MAX_ENTRIES = 10_000
"""The maximum number of cached prefixes; the least recently used is dropped first."""
LOOKBACK = 20
"""How many texts before a cache point an earlier prefix may end and still be found."""
HOUR = 3600.0
Parts = Sequence[tuple[str, int]]
"""The texts of a prompt, each with its tokens."""


@struct
class PrefixCache:
    """The cached prefixes of the keys in one namespace."""

    _until: OrderedDict[bytes, float] = field(default_factory=OrderedDict)

    def clear(self) -> None:
        self._until.clear()

    def use(self, owner: str, parts: Parts, points: Sequence[CachePoint], now: float) -> CacheUse:
        """Returns what a prompt reads from the cache at a time (Unix time), and writes the prompt to it."""
        marks = marks_of(owner, parts, points)
        read = self._found(marks, points, now)
        for place, seconds in kept_at(parts, points):
            self._keep(marks[place], now + seconds)
        return cache_use(read, parts, points)

    def _found(self, marks: Sequence[bytes], points: Sequence[CachePoint], now: float) -> int:
        """Returns the number of texts in the longest cached prefix."""
        for place in range(len(marks) - 1, 0, -1):
            if is_near(place, points) and self._until.get(marks[place], 0.0) > now:
                return place
        return 0

    def _keep(self, mark: bytes, until: float) -> None:
        self._until[mark] = max(until, self._until.pop(mark, 0.0))
        if len(self._until) > MAX_ENTRIES:
            self._until.popitem(last=False)


def marks_of(owner: str, parts: Parts, points: Sequence[CachePoint]) -> list[bytes]:
    """Returns a digest of each prefix of a prompt, up to the last cache point."""
    return list(_marks(owner, parts[: max([point.parts for point in points], default=0)]))


def is_near(place: int, points: Sequence[CachePoint]) -> bool:
    """Whether a prefix with this many texts is looked up."""
    return any(0 <= point.parts - place <= LOOKBACK for point in points)


def kept_at(parts: Parts, points: Sequence[CachePoint]) -> Iterator[tuple[int, float]]:
    """Yields the number of texts in each prefix to cache, and its duration in seconds."""
    tokens = _tokens(parts)
    return ((point.parts, point.seconds) for point in points if tokens[point.parts] >= point.least)


def cache_use(read: int, parts: Parts, points: Sequence[CachePoint]) -> CacheUse:
    """Returns the cache use of a prompt whose first `read` texts were cached."""
    tokens = _tokens(parts)
    longest = hour = read
    for place, seconds in kept_at(parts, points):
        longest = max(longest, place)
        hour = max(hour, place) if seconds >= HOUR else hour
    return CacheUse(tokens[read], tokens[longest] - tokens[read], tokens[hour] - tokens[read])


def _tokens(parts: Parts) -> list[int]:
    """Returns the tokens of each prefix."""
    return list(accumulate([count for _, count in parts], initial=0))


def _marks(owner: str, parts: Parts) -> Iterator[bytes]:
    """Yields a digest of each prefix of a prompt: with none of its texts, one, two …"""
    mark = seeded.digest("prompt", owner)
    yield mark
    for text, _ in parts:
        mark = seeded.digest(mark, text)
        yield mark
