"""Leaving a connection open after each call."""

from collections.abc import Iterator

from emulator.verdict.attempts import Attempt
from emulator.verdict.base import Check, Evidence, Found, numbers

IDLE = 2.0
ENOUGH = 3


def judge(evidence: Evidence) -> Iterator[Found]:
    """Checks connections that were used once and are still open, although each could have been reused for the next
    call. A pool that had to grow doesn't count.
    """
    by_connection: dict[int, list[Attempt]] = {}
    for attempt in evidence.attempts:
        if attempt.row.get("socket") and attempt.connection:
            by_connection.setdefault(attempt.connection, []).append(attempt)
    idle = sorted((each[0] for each in by_connection.values() if _is_left_behind(each)), key=lambda each: _opened(each))
    left = [each for place, each in enumerate(idle) if place == 0 or _opened(each) >= _free(idle[place - 1])]
    if len(left) >= ENOUGH:
        yield Found(
            numbers(*left),
            f"{len(left)} connections carried one request each, were not used again, and are still open.",
        )


def _is_left_behind(attempts: list[Attempt]) -> bool:
    socket = attempts[0].row["socket"]
    if socket["requests"] != 1 or len(attempts) != 1 or attempts[0].ended is None:
        return False
    if socket["closed"] is not None and socket["closed_by"] == "client":
        return False
    return bool((socket["closed"] or socket["seen"]) - _free(attempts[0]) >= IDLE)


def _opened(attempt: Attempt) -> float:
    return float(attempt.row["socket"]["opened"])


def _free(attempt: Attempt) -> float:
    """Returns when its connection could have been reused, in real Unix seconds."""
    return attempt.arrived + ((attempt.duration or 0.0) if attempt.is_real else 0.0)


CHECK = Check(
    "never_closed",
    "SHOULD",
    "Opens a connection for each call, and neither reuses nor closes it.",
    "RFC 9112, section 9.4",
    "A client ought to limit the number of simultaneous open connections that it maintains to a given server.",
    "Keep one client for all calls, so that connections are pooled, or close it after each (`with … as client`).",
    judge,
)
