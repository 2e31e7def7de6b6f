"""Waiting indefinitely for the next byte."""

from collections.abc import Iterator
from itertools import pairwise

from emulator.verdict.attempts import Attempt
from emulator.verdict.base import Check, Evidence, Found, Open, numbers, seconds

NOTICEABLE = 1.0
"""Seconds of planned silence that count."""
NAMED = ("x-stainless-read-timeout", "x-stainless-timeout")
"""Headers in which SDKs send their timeouts."""


def judge(evidence: Evidence) -> Iterator[Found | Open]:
    """Checks how long the client stayed while no byte arrived."""
    limit = evidence.limits.silence
    for attempt in evidence.attempts:
        length, is_meant, is_to_the_end = longest_silence(attempt)
        named = next((attempt.headers[name] for name in NAMED if name in attempt.headers), None)
        if length >= limit and attempt.is_real and not _is_within(named, length):
            yield Found(
                numbers(attempt),
                f"For {seconds(length)} exchange {attempt.number} sent no byte, and the client stayed.",
            )
        elif is_meant and named is None and not (is_to_the_end and attempt.ended == "client_closed"):
            yield Open(
                numbers(attempt),
                f"real silence of {seconds(limit)}: it lasted {seconds(length)}"
                if attempt.is_real
                else "a clock that is real: the silence passed on a virtual one",
            )


def _is_within(named: str | None, length: float) -> bool:
    """Whether the client says that it would have given up later."""
    try:
        return named is not None and float(named) > length
    except ValueError:
        return False


def longest_silence(attempt: Attempt) -> tuple[float, bool, bool]:
    """Returns the longest time without a byte while the answer was open, whether it was planned (rather than
    slowness of a loaded machine), and whether it lasted until the end.
    """
    frames = attempt.row["frames"]
    moments = [0.0, *[float(frame["sent"]) for frame in frames if frame["sent"] is not None]]
    planned = [0.0, *[float(frame["planned"]) for frame in frames]]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    end = attempt.duration if attempt.duration is not None else float(attempt.row.get("age") or 0.0)
    tail = 0.0 if attempt.ended == "complete" or attempt.has_end else max(0.0, end - moments[-1])
    longest = max([*gaps, tail])
    meant = max([later - earlier for earlier, later in pairwise(planned[: len(moments)])], default=0.0)
    return longest, max(meant, tail) >= NOTICEABLE, tail >= longest


CHECK = Check(
    "no_read_timeout",
    "SHOULD",
    "Waits indefinitely after data stops arriving.",
    "AWS Builders’ Library, “Timeouts, retries, and backoff with jitter”",
    "set a timeout on any remote call, and generally on any call across processes even on the same box",
    "Set a read timeout (the longest gap between two bytes) for streams, too; 60 s is plenty.",
    judge,
)
