"""Computes when each frame is due: a pure function from tokens to times."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import inf

from emulator import seeded
from emulator.errors import UsageError

MAX_TTFT = 86400.0 * 366
"""The most seconds until a first token."""
SLOWEST, FASTEST = 1e-6, 1e6
"""Bounds of tokens per second and of the speed multiplier: beyond them, times are no longer finite numbers."""


def checked_speed(speed: float) -> float:
    """A multiplier for all paces; infinity removes all delays. Raises UsageError."""
    if not (SLOWEST <= speed <= FASTEST or speed == inf):
        raise UsageError(f"speed is {speed}; expected a number from {SLOWEST:f} to {FASTEST:.0f}, such as 2, or inf.")
    return speed


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed of an answer.

    ttft: seconds from the request to the first token.
    tokens_per_second: what follows it; infinite if the rest arrives at once.
    jitter: the fraction (0 to 1) by which each gap varies at most (seeded random); the mean stays the same.

    Raises UsageError for an invalid pace."""

    ttft: float = 0.0
    tokens_per_second: float = inf
    jitter: float = 0.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("ttft", 0, MAX_TTFT),
            ("tokens_per_second", SLOWEST, inf),
            ("jitter", 0, 1),
        ):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
                raise UsageError(f"{name} is {value!r}; expected a number from {low:g} to {high:g}.")

    @property
    def is_at_once(self) -> bool:
        """Whether there are no delays."""
        return self.ttft <= 0 and self.tokens_per_second == inf

    def at_speed(self, speed: float) -> "Pace":
        """Returns the pace multiplied by `speed`; infinity removes all delays."""
        if speed == 1:
            return self
        if speed == inf:
            return AT_ONCE
        ttft, rate = min(self.ttft / speed, MAX_TTFT), max(self.tokens_per_second * speed, SLOWEST)
        return Pace(ttft, rate, self.jitter)


AT_ONCE = Pace()
MAX_KEPT = 4096


def schedule(tokens: Iterable[int], pace: Pace, *entropy: seeded.Entropy) -> Sequence[float]:
    """Returns the time of every frame in seconds from the start, for frames with `tokens` each.

    The first token is due at `ttft`, token k at `ttft + k / tokens_per_second`: absolute times, so lateness never
    adds up. A frame with several tokens is due with its last one, a frame without tokens together with the one before
    it (the first ones: with the first token). `entropy` seeds the jitter. Empty if everything is due at once."""
    if pace.is_at_once:
        return ()
    gap = 1 / pace.tokens_per_second
    if not pace.jitter or not gap:
        counts = tuple(tokens)
        return _even(counts, pace.ttft, gap) if len(counts) <= MAX_KEPT else _evenly(counts, pace.ttft, gap)
    moments = array("d")
    count = 0
    uniform = seeded.generator("jitter", *entropy).uniform
    now = pace.ttft
    for number in tokens:
        for _ in range(number):
            if count:
                now += gap * (1 + uniform(-pace.jitter, pace.jitter))
            count += 1
        moments.append(now)
    return moments


def _evenly(tokens: tuple[int, ...], ttft: float, gap: float) -> Sequence[float]:
    counts = accumulate(tokens)
    return array("d", [ttft + (count - 1) * gap if count else ttft for count in counts])


_even = lru_cache(maxsize=256)(_evenly)
"""Cached: all streams of the same text at the same pace have the same times."""
