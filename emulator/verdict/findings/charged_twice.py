"""Paying twice for one answer."""

from collections.abc import Iterator

from emulator.verdict.attempts import Attempt
from emulator.verdict.base import Check, Evidence, Found, numbers


def judge(evidence: Evidence) -> Iterator[Found]:
    """Looks at whole, billed answers that were asked for again by the client's own count of attempts, or though it said
    that the first had failed. Equal requests alone are no attempts: samples are wanted."""
    for call in evidence.calls:
        for earlier, later in call.pairs():
            if not earlier.is_whole or not _is_billed(earlier) or not _is_billed(later):
                continue
            if earlier.idempotency_key is not None and earlier.idempotency_key == later.idempotency_key:
                continue
            yield Found(
                numbers(earlier, later),
                f"Exchange {earlier.number} was answered in whole and billed; exchange {later.number}, a new attempt "
                "of the same call, was billed again.",
            )


def _is_billed(attempt: Attempt) -> bool:
    return bool(attempt.row["usage"]) and not attempt.is_refused


CHECK = Check(
    "charged_twice",
    "MUST",
    "Asks again for an answer that had come in whole, and pays for both.",
    "RFC 9110, section 9.2.2",
    "A client SHOULD NOT automatically retry a request with a non-idempotent method unless it has some means to know "
    "that the request semantics are actually idempotent, regardless of the method, or some means to detect that the "
    "original request was never applied.",
    "Do not retry after an answer has come; find out why it was taken for a failure. Send one Idempotency-Key with all "
    "attempts of a call.",
    judge,
)
