"""Treating a partial answer as complete."""

from collections.abc import Iterator

from emulator.dialects.turns import Turn
from emulator.verdict.attempts import Attempt
from emulator.verdict.base import Check, Evidence, Found, Open, numbers


def judge(evidence: Evidence) -> Iterator[Found | Open]:
    """A client that raises or discards the part is right; its next request or acknowledgment shows what it did."""
    for attempt in evidence.attempts:
        if not attempt.is_broken or attempt.answer.error or not attempt.output:
            continue
        end = attempt.shape.end_is if attempt.shape.terminator is None else "a finish reason or its last event"
        what = f"Exchange {attempt.number} ended after {attempt.bytes_sent} bytes without {end}"
        if attempt.acknowledged == "complete":
            yield Found(numbers(attempt), f"{what}, and the client says that it is complete.")
        elif attempt.acknowledged is None:
            yield from _by_history(evidence, attempt, what)


def _by_history(evidence: Evidence, attempt: Attempt, what: str) -> Iterator[Found | Open]:
    after = evidence.after(attempt)
    wholes = [turn for each in evidence.siblings(attempt) if each.is_whole for turn in each.output]
    for follow_up in after:
        is_piece = any(holds(follow_up.turn, piece) for piece in attempt.output)
        if is_piece and not follow_up.is_last and not any(holds(follow_up.turn, turn) for turn in wholes):
            yield Found(
                numbers(attempt, follow_up.later),
                f"{what}; exchange {follow_up.later.number} contains the part as an answer.",
            )
            return
    call = next(call for call in evidence.calls if attempt in call.attempts)
    if not after and call.last is attempt:
        yield Open(numbers(attempt), "the next request of this conversation, or an acknowledgment")


def holds(turn: Turn, piece: Turn) -> bool:
    """Whether a turn of the history is exactly this answer."""
    if piece.text.strip() != turn.text.strip():
        return False
    if not piece.calls:
        return not turn.calls
    ids = {call.id for call in turn.calls}
    return any(call.id in ids for call in piece.calls)


CHECK = Check(
    "truncated_stream_accepted",
    "MUST",
    "Accepts a stream that broke off as a complete answer.",
    "RFC 9112, section 8",
    "A client that receives an incomplete response message, which can occur when a connection is closed prematurely or "
    "when decoding a supposedly chunked transfer coding fails, MUST record the message as incomplete.",
    "Treat a stream as complete only after its finish reason or last event; otherwise, raise an error, or "
    "discard the piece and retry.",
    judge,
)
