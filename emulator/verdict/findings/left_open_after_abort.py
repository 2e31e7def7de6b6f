"""Not closing the connection of an abandoned answer."""

from collections.abc import Iterator

from emulator.verdict.attempts import Attempt
from emulator.verdict.base import Check, Evidence, Found, numbers, seconds

PROMPT = 1.0
"""Seconds within which a connection should be closed after its answer was abandoned."""


def judge(evidence: Evidence) -> Iterator[Found]:
    """Checks answers that continued after the client had acknowledged them, or after its next attempt."""
    for attempt in evidence.attempts:
        after = attempt.row.get("acknowledged_after")
        end = attempt.duration if attempt.ended is not None else attempt.row.get("age")
        if attempt.acknowledged not in ("partial", "failed") or after is None or end is None or not attempt.is_real:
            continue
        if end - after >= PROMPT:
            yield Found(
                numbers(attempt),
                f"The client abandoned exchange {attempt.number} after {seconds(after)}, and its connection kept "
                f"receiving the answer for {seconds(end - after)}.",
            )
    for call in evidence.calls:
        for earlier, later in call.pairs():
            runs_on = earlier.over - later.received
            if runs_on == float("inf"):
                runs_on = float(later.row.get("age") or 0.0)
            if _says_again(earlier, later) and earlier.is_real and runs_on >= PROMPT and not earlier.is_refused:
                yield Found(
                    numbers(earlier, later),
                    f"Exchange {later.number} is a new attempt of exchange {earlier.number}, whose answer continued "
                    f"for {seconds(runs_on)} after it.",
                )


def _says_again(earlier: Attempt, later: Attempt) -> bool:
    """Whether the client itself says that this is another attempt."""
    count = earlier.retry_count
    by_count = later.retry_count is not None and count is not None and later.retry_count == count + 1
    return by_count or (earlier.idempotency_key is not None and earlier.idempotency_key == later.idempotency_key)


CHECK = Check(
    "left_open_after_abort",
    "SHOULD",
    "Does not close the connection of an abandoned answer, so the model keeps writing (and billing).",
    "RFC 9112, section 9.5",
    "A client or server that wishes to time out SHOULD issue a graceful close on the connection.",
    "Close the response when its reader stops or a deadline passes (`finally: response.close()`, an AbortController).",
    judge,
)
