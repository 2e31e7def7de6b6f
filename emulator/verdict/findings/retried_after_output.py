"""Retrying after output, and keeping both."""

from collections.abc import Iterator

from emulator.dialects.turns import Turn
from emulator.verdict.attempts import Attempt
from emulator.verdict.base import Check, Evidence, Found, Open, numbers


def judge(evidence: Evidence) -> Iterator[Found | Open]:
    """Discarding the partial output is fine; the mistake is to keep it together with the complete answer."""
    for call in evidence.calls:
        for piece in call.attempts:
            later = [
                each
                for each in call.attempts
                if each.number > piece.number and each.output and each.number not in call.resumed
            ]
            if not (piece.is_broken or piece.is_left or piece.answer.error) or not piece.output or not later:
                continue
            whole = later[-1]
            kept = _kept_both(evidence, piece, whole)
            if kept is not None:
                yield Found(
                    numbers(piece, whole, kept),
                    f"Exchange {piece.number} sent a part of the answer, exchange {whole.number} sent it again, "
                    f"and {'the client' if kept is whole else f'exchange {kept.number}'} holds both.",
                )
            elif not evidence.after(whole) and whole.text_understood is None and piece.acknowledged is None:
                yield Open(
                    numbers(piece, whole), "the next request of this conversation, or an acknowledgment with `text`"
                )


def _kept_both(evidence: Evidence, piece: Attempt, whole: Attempt) -> Attempt | None:
    """Returns the exchange that shows both the partial and the complete answer."""
    for each in (piece, whole):
        if each.text_understood is not None and _holds_both(Turn("assistant", each.text_understood), piece, whole):
            return each
    for follow_up in evidence.after(whole) + evidence.after(piece):
        if _holds_both(follow_up.turn, piece, whole):
            return follow_up.later
    return None


def _holds_both(turn: Turn, piece: Attempt, whole: Attempt) -> bool:
    for first in piece.output:
        for second in whole.output:
            start = turn.text.find(second.text) if second.text.strip() else -1
            if first.text.strip() and start > 0 and first.text.strip() in turn.text[:start]:
                return True
            ids = {call.id for call in turn.calls}
            some, others = {call.id for call in first.calls}, {call.id for call in second.calls}
            if some and others and some != others and some <= ids and others <= ids:
                return True
    return False


CHECK = Check(
    "retried_after_output",
    "MUST",
    "Restarts a call after output had arrived, and shows, keeps or runs both.",
    "RFC 9110, section 9.2.2",
    "A client SHOULD NOT automatically retry a request with a non-idempotent method unless it has some means to know "
    "that the request semantics are actually idempotent, regardless of the method, or some means to detect that the "
    "original request was never applied.",
    "Once output has been passed on, do not retry silently: raise an error, or retract the output first.",
    judge,
)
