"""Sending a request again because the first one took too long."""

from collections.abc import Iterator

from emulator.verdict.attempts import Attempt
from emulator.verdict.base import Check, Evidence, Found, numbers, seconds


def judge(evidence: Evidence) -> Iterator[Found]:
    """Checks requests that the client abandoned before an answer and sent again without a linking key."""
    for call in evidence.calls:
        for earlier, later in call.pairs():
            if not earlier.is_left or later.number in call.resumed or not _was_waiting(earlier, later):
                continue
            if earlier.idempotency_key is not None and earlier.idempotency_key == later.idempotency_key:
                continue
            yield Found(
                numbers(earlier, later),
                f"The client left exchange {earlier.number} after {seconds(earlier.duration or 0.0)}, while it was "
                f"being answered, and sent it again as exchange {later.number}: without an Idempotency-Key both may "
                "be carried out and billed.",
            )


def _was_waiting(earlier: Attempt, later: Attempt) -> bool:
    """Whether nothing of the answer had arrived, or the client says that it retries; otherwise, a user pressed stop."""
    return not earlier.output or bool(later.retry_count)


CHECK = Check(
    "duplicate_after_timeout",
    "SHOULD",
    "Repeats a request after its own timeout, without an Idempotency-Key.",
    "RFC 9110, section 9.2.2",
    "A client SHOULD NOT automatically retry a request with a non-idempotent method unless it has some means to know "
    "that the request semantics are actually idempotent, regardless of the method, or some means to detect that the "
    "original request was never applied.",
    "Send one Idempotency-Key with all attempts of a call, or do not retry after a timeout.",
    judge,
)
