"""Retrying a request that must fail again."""

from collections.abc import Iterator

from emulator.verdict.attempts import Attempt
from emulator.verdict.base import Check, Evidence, Found, numbers

OF_THE_ACCOUNT = frozenset({401, 402, 403, 451})
"""Errors that the same key will get again, whatever it requests."""
OF_THE_REQUEST = frozenset({400, 404, 405, 410, 415, 422})
"""Errors that the same request will get again."""
MEND_TIME = 60.0
"""Seconds within which no account is topped up."""


def judge(evidence: Evidence) -> Iterator[Found]:
    """Checks attempts to the same target with the same key."""
    for call in evidence.calls:
        for refused, again in call.pairs():
            if refused.is_refused and _is_final(refused, again):
                reason = f" ({refused.row['error']})" if refused.row.get("error") else ""
                yield Found(
                    numbers(refused, again),
                    f"Exchange {refused.number} was refused with status {refused.status}{reason}; "
                    f"exchange {again.number} sent the same again with the same key.",
                )


def _is_final(refused: Attempt, again: Attempt) -> bool:
    if again.received - refused.over > MEND_TIME:
        return False
    if refused.response_headers.get("x-should-retry") == "false":
        return True
    if refused.status in OF_THE_ACCOUNT or refused.row.get("error") == "content_policy":
        return True
    return refused.status in OF_THE_REQUEST and refused.body is not None and refused.body == again.body


CHECK = Check(
    "retried_non_retryable",
    "MUST",
    "Retries a request that was rejected permanently: 401, 402, 403, 404, 422, content policy.",
    "RFC 9110, section 15.5",
    "The 4xx (Client Error) class of status code indicates that the client seems to have erred.",
    "Retry only 408, 409, 429 and 5xx; raise everything else at once, or change what was wrong (the key, the model, "
    "the request) before the next attempt.",
    judge,
)
