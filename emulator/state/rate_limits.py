"""Limits per minute that a provider reports in its headers: how much is left, and when the limit is restored."""

from dataclasses import field

from emulator.providers.base import Allowance, Limits, Remaining
from emulator.records import record, struct

MAX_BUCKETS = 10_000
"""The most pairs of key and model; the oldest is dropped first."""
MINUTE = 60.0


@record
class Used:
    """The used part of the limits at a point in time; it shrinks as the limits refill."""

    requests: float = 0.0
    tokens: float = 0.0
    at: float = 0.0
    output: float = 0.0


NOTHING = Used()


@struct
class RateLimits:
    """The recent use by the keys of one namespace."""

    _used: dict[tuple[str, str, str], Used] = field(default_factory=dict)

    def clear(self) -> None:
        self._used.clear()

    def remaining(self, place: tuple[str, str, str], limits: Limits, now: float) -> Allowance:
        """Returns what is left of the limits."""
        return allowance(limits, self._drained(place, limits, now))

    def until_next(self, place: tuple[str, str, str], limits: Limits, now: float) -> float:
        """Returns the seconds until another request is allowed."""
        return seconds_until_next(limits, self._drained(place, limits, now))

    def take(self, place: tuple[str, str, str], limits: Limits, now: float, taken: Used) -> Used:
        """Counts what a request uses. Returns all that is used."""
        before = self._used.pop(place, NOTHING)
        share = (now - before.at) / MINUTE if now > before.at else 0.0
        used = self._used[place] = Used(
            _level(before.requests - share * limits.requests, taken.requests, limits.requests),
            _level(before.tokens - share * limits.tokens, taken.tokens, limits.tokens),
            now,
            _level(before.output - share * (limits.output or 0), taken.output, limits.output or 0),
        )
        if len(self._used) > MAX_BUCKETS:
            del self._used[next(iter(self._used))]
        return used

    def _drained(self, place: tuple[str, str, str], limits: Limits, now: float) -> Used:
        used = self._used.get(place, NOTHING)
        share = max(0.0, now - used.at) / MINUTE
        return Used(
            max(0.0, used.requests - share * limits.requests),
            max(0.0, used.tokens - share * limits.tokens),
            now,
            max(0.0, used.output - share * (limits.output or 0)),
        )


def allowance(limits: Limits, used: Used) -> Allowance:
    """Returns what is left of the limits after this use."""
    return Allowance(
        _left(limits.requests, used.requests),
        _left(limits.tokens, used.tokens),
        None if limits.output is None else _left(limits.output, used.output),
    )


def seconds_until_next(limits: Limits, used: Used) -> float:
    """Returns the seconds until another request is allowed."""
    rows = [(used.requests, limits.requests), (used.tokens, limits.tokens)]
    if limits.output is not None:
        rows.append((used.output, limits.output))
    return max([MINUTE * max(0.0, amount + 1 - limit) / limit if limit else MINUTE for amount, limit in rows])


def added(limits: Limits, used: Used, taken: Used) -> Used:
    """Returns what is used after a request."""
    return Used(
        _level(used.requests, taken.requests, limits.requests),
        _level(used.tokens, taken.tokens, limits.tokens),
        used.at,
        _level(used.output, taken.output, limits.output or 0),
    )


def _level(before: float, more: float, limit: int) -> float:
    """Returns what is used of a limit: never less than nothing, never more than the limit."""
    level = before + more if before > 0.0 else more
    return level if level < limit else limit


def _left(limit: int, used: float) -> Remaining:
    left = int(limit - used + 1e-6)
    return Remaining(limit, left if left > 0 else 0, used / limit * MINUTE if limit else 0.0)
