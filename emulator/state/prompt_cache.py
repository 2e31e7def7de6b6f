"""Prompts that requests ask to be cached: up to which text, and for how long."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

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
        marks = list(_marks(owner, parts[: max([point.parts for point in points], default=0)]))
        read = self._found(marks, points, now)
        tokens = [0]
        for _, count in parts:
            tokens.append(tokens[-1] + count)
        longest = hour = read
        for point in points:
            if tokens[point.parts] >= point.least:
                self._keep(marks[point.parts], now + point.seconds)
                longest = max(longest, point.parts)
                hour = max(hour, point.parts) if point.seconds >= HOUR else hour
        return CacheUse(tokens[read], tokens[longest] - tokens[read], tokens[hour] - tokens[read])

    def _found(self, marks: Sequence[bytes], points: Sequence[CachePoint], now: float) -> int:
        """After how many texts the longest beginning ends that is in the cache."""
        for place in range(len(marks) - 1, 0, -1):
            is_near = any(0 <= point.parts - place <= LOOKBACK for point in points)
            if is_near and self._until.get(marks[place], 0.0) > now:
                return place
        return 0

    def _keep(self, mark: bytes, until: float) -> None:
        self._until[mark] = max(until, self._until.pop(mark, 0.0))
        if len(self._until) > MAX_ENTRIES:
            self._until.popitem(last=False)


def _marks(owner: str, parts: Parts) -> Iterator[bytes]:
    """What tells each beginning of a prompt from all others: none of its texts, one, two …"""
    mark = seeded.digest("prompt", owner)
    yield mark
    for text, _ in parts:
        mark = seeded.digest(mark, text)
        yield mark
