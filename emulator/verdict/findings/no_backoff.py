"""Retrying immediately, or always after the same wait."""

from collections.abc import Iterator

from emulator.verdict.attempts import gap
from emulator.verdict.base import Check, Evidence, Found, numbers, seconds

AT_ONCE = 0.1
"""Shorter waits, in seconds, don't count as waits."""
MIN_CONSTANT = 3
"""The number of equal waits that can't be a coincidence."""


def judge(evidence: Evidence) -> Iterator[Found]:
    """Checks the waits that the client chose itself, if there are at least two."""
    for call in evidence.calls:
        waits = [
            (earlier, later, max(0.0, gap(earlier, later)))
            for earlier, later in call.pairs()
            if earlier.is_retryable and earlier.retry_after is None and earlier.ended is not None
        ]
        if len(waits) < 2:
            continue
        lengths = [wait for _, _, wait in waits]
        involved = numbers(*[each for earlier, later, _ in waits for each in (earlier, later)])
        if max(lengths) < AT_ONCE:
            yield Found(involved, f"{len(involved)} attempts followed each other within {seconds(max(lengths))} each.")
        elif len(waits) >= MIN_CONSTANT and max(lengths) - min(lengths) <= max(0.02, 0.05 * min(lengths)):
            yield Found(
                involved,
                f"All {len(waits)} waits between the attempts were about {seconds(lengths[0])}: they do not grow.",
            )


CHECK = Check(
    "no_backoff",
    "SHOULD",
    "Does not wait longer before each further attempt.",
    "OpenAI, “Rate limits”",
    "One easy way to avoid rate limit errors is to automatically retry requests with a random exponential backoff.",
    "Wait before each attempt, about twice as long each time: 0.5 s, 1 s, 2 s, …, with jitter.",
    judge,
)
