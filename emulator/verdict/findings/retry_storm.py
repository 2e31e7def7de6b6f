"""Retrying endlessly."""

from collections import Counter
from collections.abc import Iterator

from emulator.verdict.base import Check, Evidence, Found, numbers

MAX_ATTEMPTS = 10


def judge(evidence: Evidence) -> Iterator[Found]:
    """Counts the attempts of each call at each target."""
    for call in evidence.calls:
        counts = Counter(attempt.target for attempt in call.attempts)
        for target, count in counts.items():
            if count > MAX_ATTEMPTS:
                found = [attempt for attempt in call.attempts if attempt.target == target]
                yield Found(
                    numbers(*found),
                    f"{count} attempts of one call, exchanges {found[0].number} to "
                    f"{found[-1].number}; the first failed with {found[0].says()}.",
                )


CHECK = Check(
    "retry_storm",
    "MUST",
    "Makes more than ten attempts for one call.",
    "Google SRE Book, “Handling Overload”",
    "First, we implement a per-request retry budget of up to three attempts. If a request has already failed three "
    "times, we let the failure bubble up to the caller.",
    "Limit the attempts for one call (three is usual) across all layers, and let only one layer retry.",
    judge,
)
