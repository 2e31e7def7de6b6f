"""Giving up on a temporary error."""

from collections.abc import Iterator

from emulator.verdict.attempts import Attempt
from emulator.verdict.base import Check, Evidence, Found, Open, numbers
from emulator.verdict.calls import Call

ENOUGH = 3
"""After this many attempts, giving up is not too early."""
LONG_WAIT = 60.0
"""The Retry-After in seconds for which no client must wait."""


def judge(evidence: Evidence) -> Iterator[Found | Open]:
    """Checks calls that ended with an error, if the client continued with something else."""
    newest = evidence.attempts[-1] if evidence.attempts else None
    for call in evidence.calls:
        last = call.last
        is_over = last.is_retryable and last.ended is not None and not last.output
        if not is_over or len(call.attempts) >= ENOUGH or call.has_moved() or (last.retry_after or 0.0) > LONG_WAIT:
            continue
        other = next((each for each in evidence.attempts if _goes_on(each, call)), None)
        if other is not None:
            yield Found(
                numbers(*call.attempts),
                f"{_counted(len(call.attempts))}, the last refused with {last.says()}; then the client continued "
                f"with something else (exchange {other.number}).",
            )
        elif last is newest:
            yield Open(numbers(*call.attempts), "what the client sends next: another attempt, or something else")


def _counted(attempts: int) -> str:
    return "One attempt" if attempts == 1 else f"{attempts} attempts"


def _goes_on(attempt: Attempt, call: Call) -> bool:
    last = call.last
    return attempt.client == last.client and attempt.received >= last.over and attempt not in call.attempts


CHECK = Check(
    "gave_up_on_retryable",
    "SHOULD",
    "Gives up after one or two temporary failures (429, 5xx, a dropped connection).",
    "RFC 9110, section 15.6.4",
    "The 503 (Service Unavailable) status code indicates that the server is currently unable to handle the request "
    "due to a temporary overload or scheduled maintenance, which will likely be alleviated after some delay.",
    "Allow at least three attempts with backoff before the call fails, or fail over to another model, provider or key.",
    judge,
)
