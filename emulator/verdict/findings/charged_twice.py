"""Paying twice for one answer."""

from collections.abc import Iterator

from emulator.verdict.attempts import Attempt
from emulator.verdict.base import Check, Evidence, Found, Open, numbers

SOON = 60.0
"""Seconds within which a client retries if it treats an answer as a failure."""


def judge(evidence: Evidence) -> Iterator[Found | Open]:
    """Checks complete, billed answers that were requested again, according to the client's own retry count or to an
    acknowledgment that the first had failed. Equal requests alone aren't attempts: the client may want samples.
    """
    for call in evidence.calls:
        for earlier, later in call.pairs():
            if _are_paid(earlier, later):
                yield Found(
                    numbers(earlier, later),
                    f"Exchange {earlier.number} was answered completely and billed; exchange {later.number}, a new "
                    "attempt of the same call, was billed again.",
                )
    yield from _doubtful(evidence)


def _are_paid(earlier: Attempt, later: Attempt) -> bool:
    """Whether both were billed although the first was complete, and no idempotency key links them."""
    if not earlier.is_whole or not _is_billed(earlier) or not _is_billed(later):
        return False
    return earlier.idempotency_key is None or earlier.idempotency_key != later.idempotency_key


def _is_billed(attempt: Attempt) -> bool:
    return bool(attempt.row["usage"]) and not attempt.is_refused


def _doubtful(evidence: Evidence) -> Iterator[Open]:
    """Finds complete answers that are requested again, if only the client knows whether it treated the first as a
    failure: it counts this as another attempt, or a fault had changed the answer.
    """
    newest: dict[object, Attempt] = {}
    home = {attempt.number: number for number, call in enumerate(evidence.calls) for attempt in call.attempts}
    for later in evidence.attempts:
        about = (later.target, later.client, later.turns)
        earlier = newest.get(about)
        newest[about] = later
        if earlier is None or not later.turns or earlier.acknowledged is not None or not _are_paid(earlier, later):
            continue
        if (
            home[earlier.number] == home[later.number]
            or not 0.0 <= later.received - earlier.over <= SOON
            or _is_kept(evidence, earlier)
        ):
            continue
        is_counted = later.retry_count == (earlier.retry_count or 0) + 1 and not _was_lost(evidence, earlier, later)
        if is_counted or (earlier.row["applied"] and not later.retry_count):
            yield Open(
                numbers(earlier, later),
                f"an acknowledgment of exchange {earlier.number}: whether the client treated it as a failure",
            )


def _is_kept(evidence: Evidence, attempt: Attempt) -> bool:
    """Whether a later request continues the answer."""
    said = {turn.text for turn in attempt.output}
    return any(each.turn.text in said for each in evidence.after(attempt))


def _was_lost(evidence: Evidence, earlier: Attempt, later: Attempt) -> bool:
    """Whether an attempt between them was lost because its connection ended."""
    sockets = [each.row.get("socket") or {} for each in evidence.attempts]
    moments = [socket["turned_away"] for socket in sockets if socket.get("turned_away") is not None]
    return any(earlier.arrived <= moment <= later.arrived for moment in moments)


CHECK = Check(
    "charged_twice",
    "MUST",
    "Requests an answer again that had arrived completely, and pays for both.",
    "RFC 9110, section 9.2.2",
    "A client SHOULD NOT automatically retry a request with a non-idempotent method unless it has some means to know "
    "that the request semantics are actually idempotent, regardless of the method, or some means to detect that the "
    "original request was never applied.",
    "Do not retry after a complete answer; find out why it was treated as a failure. Send one Idempotency-Key "
    "with all attempts of a call.",
    judge,
)
