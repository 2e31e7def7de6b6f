"""Retrying earlier than the provider's Retry-After."""

from collections.abc import Iterator

from emulator.verdict.attempts import Attempt
from emulator.verdict.base import Check, Evidence, Found, numbers, seconds

LENIENCY = 0.02
"""The fraction of the wait by which a client may be early, since clocks differ."""


def judge(evidence: Evidence) -> Iterator[Found]:
    """Checks every attempt after an error with Retry-After, whichever layer of the client made it."""
    for call in evidence.calls:
        refusals: dict[object, Attempt] = {}
        for attempt in call.attempts:
            refusal = refusals.get(attempt.target)
            if refusal is not None and refusal.retry_after is not None:
                wait = refusal.retry_after
                waited = attempt.received - refusal.received - (refusal.duration or 0.0)
                if not refusal.is_real:
                    waited = max(waited, attempt.arrived - refusal.arrived)
                if waited < wait - max(0.05, wait * LENIENCY):
                    yield Found(
                        numbers(refusal, attempt),
                        f"Exchange {refusal.number} said to wait {seconds(wait)}; "
                        f"the next attempt, exchange {attempt.number}, came after {seconds(max(0.0, waited))}.",
                    )
            if attempt.is_refused and attempt.retry_after is not None:
                refusals[attempt.target] = attempt


CHECK = Check(
    "retry_after_ignored",
    "MUST",
    "Tries again sooner than the provider's Retry-After allows.",
    "RFC 9110, section 10.2.3",
    'Servers send the "Retry-After" header field to indicate how long the user agent ought to wait before making a '
    "follow-up request.",
    "Sleep for Retry-After (or retry-after-ms) before the next attempt, in every layer that retries; if that is too "
    "long, give up or use another model, provider or key.",
    judge,
)
