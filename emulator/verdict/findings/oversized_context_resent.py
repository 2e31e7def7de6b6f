"""Resending a conversation that was too long."""

from collections.abc import Iterator

from emulator.verdict.attempts import Attempt
from emulator.verdict.base import Check, Evidence, Found, numbers


def judge(evidence: Evidence) -> Iterator[Found]:
    """Checks requests that were too long, and the next one of the same conversation."""
    for attempt in evidence.attempts:
        if not _is_too_long(attempt):
            continue
        again = next((each for each in evidence.attempts if _is_next(attempt, each)), None)
        if again is not None and again.row["request"]["size"] >= attempt.row["request"]["size"]:
            yield Found(
                numbers(attempt, again),
                f"Exchange {attempt.number} was too long ({attempt.row['request']['size']} bytes); exchange "
                f"{again.number} sent {again.row['request']['size']} bytes of the same conversation to the same model.",
            )


def _is_too_long(attempt: Attempt) -> bool:
    words = f"{attempt.row['error']} {attempt.row['message']}".lower()
    is_about = ("context" in words and "length" in words) or "too long" in words or "too_large" in words
    return attempt.status == 413 or (attempt.status in (400, 422) and is_about)


def _is_next(earlier: Attempt, later: Attempt) -> bool:
    if later.number <= earlier.number or later.target != earlier.target or later.client != earlier.client:
        return False
    if not earlier.spoken or not later.spoken:
        return bool(later.row["request"]["body"][:4096] == earlier.row["request"]["body"][:4096])
    return later.spoken[0] == earlier.spoken[0]


CHECK = Check(
    "oversized_context_resent",
    "MUST",
    "Resends a conversation that was rejected for its length, without shortening it.",
    "RFC 9110, section 15.5.14",
    "The 413 (Content Too Large) status code indicates that the server is refusing to process a request because the "
    "request content is larger than the server is willing or able to process.",
    "Shorten or summarize the history after such an error, or use a model with a larger context.",
    judge,
)
