"""Many clients that come back in the same moment."""

from collections.abc import Iterator

from emulator.verdict.attempts import Attempt, gap
from emulator.verdict.base import Check, Evidence, Found, numbers, seconds

MAX_SPREAD = 0.05
"""Seconds within which those that come back come together."""
SHARE = {3: 0.02, 4: 0.03}
"""How narrow the waits of so few have to be, as a part of their length, not to be equal by chance."""
SHARE_OF_MANY = 0.05
MIN_WAIT = 0.2
"""Seconds: of shorter waits nobody can tell whether they have jitter."""

Retry = tuple[Attempt, Attempt, float]


def judge(evidence: Evidence) -> Iterator[Found]:
    """Looks at calls that failed together and were tried again, when the provider had not said how long to wait."""
    retries: list[Retry] = []
    for call in evidence.calls:
        for earlier, later in call.pairs():
            wait = gap(earlier, later)
            if earlier.is_retryable and earlier.retry_after is None and earlier.is_real and wait >= MIN_WAIT:
                retries.append((earlier, later, wait))
    for group in _together(sorted(retries, key=lambda retry: retry[1].received)):
        waits = [wait for _, _, wait in group]
        share = SHARE.get(len(group), SHARE_OF_MANY)
        if len(group) >= 3 and max(waits) - min(waits) <= min(MAX_SPREAD, share * min(waits)):
            spread = group[-1][1].received - group[0][1].received
            yield Found(
                numbers(*[later for _, later, _ in group]),
                f"{len(group)} calls that had failed together came back within {seconds(spread)}, "
                f"each after {seconds(waits[0])}.",
            )


def _together(retries: list[Retry]) -> Iterator[list[Retry]]:
    """Retries that came within the same moment, and whose failures did too."""
    group: list[Retry] = []
    for retry in retries:
        if group and retry[1].received - group[0][1].received > MAX_SPREAD:
            yield group
            group = []
        group.append(retry)
    if group:
        yield group


CHECK = Check(
    "no_jitter",
    "SHOULD",
    "Several clients retry within the same 50 ms after a failure that hit all of them.",
    "AWS Architecture Blog, “Exponential Backoff And Jitter”",
    "The solution isn’t to remove backoff. It’s to add jitter.",
    "Randomize each wait, for example between half of the backoff and the full backoff.",
    judge,
)
