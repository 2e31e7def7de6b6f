"""Several clients that retry at the same time."""

from collections.abc import Iterator

from emulator.verdict.attempts import Attempt, gap
from emulator.verdict.base import Check, Evidence, Found, numbers, seconds

MAX_SPREAD = 0.05
"""Seconds within which retries count as simultaneous."""
SHARE = {3: 0.02, 4: 0.03}
"""The maximum spread of a few waits, relative to their length, that can't be a coincidence."""
SHARE_OF_MANY = 0.05
MIN_WAIT = 0.2
"""Shorter waits, in seconds, don't show whether they have jitter."""

Retry = tuple[Attempt, Attempt, float]


def judge(evidence: Evidence) -> Iterator[Found]:
    """Checks calls that failed together and were retried, if the provider had not said how long to wait."""
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
    """Yields groups of simultaneous retries whose failures were also simultaneous."""
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
