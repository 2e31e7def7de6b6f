"""Measures punctuality: planned against actual times. A benchmark can use this to discard a run in which the machine
rather than the client was slow.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

from emulator.clock import Alarm, Clock
from emulator.records import struct
from emulator.wire import Playback

# Upper bounds of the buckets in seconds: 10 µs to 100 s, each 25 percent more than the one before.
BOUNDS = [1e-5 * 1.25**step for step in range(73)]
INTERVAL = 0.1
"""Seconds between two samples of the loop's lag."""


@struct
class Histogram:
    """A histogram of durations with bounded memory; its buckets are 25 percent wide."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    count: int = 0
    most: float = 0.0
    sum: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.count += 1
        self.sum += seconds
        if seconds > self.most:
            self.most = seconds

    def quantile(self, share: float) -> float:
        """Returns the upper bound of the quantile's bucket in seconds; 0 without samples."""
        left = share * self.count
        for bound, count in zip(BOUNDS, self.counts, strict=False):
            left -= count
            if left <= 0 and self.count:
                return min(bound, self.most)
        return self.most

    def dumped(self) -> list[Any]:
        """Returns plain data for `loaded`."""
        return [self.counts, self.count, self.most, self.sum]

    @classmethod
    def loaded(cls, dumped: Sequence[Any]) -> "Histogram":
        """Restores plain data, perhaps from another process."""
        counts, count, most, total = dumped
        return cls(list(counts), count, most, total)

    def merge(self, other: "Histogram") -> None:
        """Adds the samples of another histogram."""
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.count += other.count
        self.most = max(self.most, other.most)
        self.sum += other.sum

    def to_dict(self) -> Mapping[str, float]:
        """Returns plain data, in milliseconds."""
        quantiles = {"p50": self.quantile(0.5), "p99": self.quantile(0.99), "max": self.most}
        return {"count": self.count, **{name: round(value * 1000, 3) for name, value in quantiles.items()}}


@struct
class Timing:
    """How punctual a server has been since it started or since the last `clear`."""

    late: Histogram = field(default_factory=Histogram)
    """The worst lateness of each paced answer."""
    too_long: Histogram = field(default_factory=Histogram)
    """How much longer than planned each paced answer took, from its first frame to its last."""
    lag: Histogram = field(default_factory=Histogram)
    """How late the event loop woke up when it only waited for the time."""
    _sampled: Alarm | None = None

    def note(self, playback: Playback, asked: float) -> None:
        """Records a finished paced answer; `asked` is the planned time from its first frame to its last, in seconds."""
        self.late.add(max(0.0, playback.late))
        if playback.first_sent is not None and playback.last_sent is not None:
            self.too_long.add(max(0.0, playback.last_sent - playback.first_sent - asked))

    def watch(self, clock: Clock) -> None:
        """Starts to sample the loop's lag."""
        due = clock.now() + INTERVAL

        def sample() -> None:
            self.lag.add(max(0.0, clock.now() - due))
            self.watch(clock)

        self._sampled = clock.call_at(due, sample)

    def dumped(self) -> dict[str, Any]:
        """As plain data, which can be merged with that of other processes."""
        return {"late": self.late.dumped(), "too_long": self.too_long.dumped(), "lag": self.lag.dumped()}

    @classmethod
    def merged(cls, parts: Iterable[Mapping[str, Any]]) -> "Timing":
        """The merged timing of several processes."""
        timing = cls()
        for part in parts:
            timing.late.merge(Histogram.loaded(part["late"]))
            timing.too_long.merge(Histogram.loaded(part["too_long"]))
            timing.lag.merge(Histogram.loaded(part["lag"]))
        return timing

    def to_dict(self) -> Mapping[str, Mapping[str, float]]:
        """Returns plain data, in milliseconds."""
        return {
            "lateness_ms": self.late.to_dict(),
            "stream_too_long_ms": self.too_long.to_dict(),
            "loop_lag_ms": self.lag.to_dict(),
        }
