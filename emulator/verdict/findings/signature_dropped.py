"""Losing the signature of reasoning."""

from collections.abc import Iterable, Iterator

from emulator.verdict.base import Check, Evidence, Found, numbers

PLAIN = str.maketrans("-_", "+/")


def judge(evidence: Evidence) -> Iterator[Found]:
    """Checks turns with tool calls, and turns whose reasoning was sent back: both need the signature."""
    for follow_up in evidence.follow_ups:
        attempt, turn = follow_up.attempt, follow_up.turn
        had = [each for each in attempt.answer.turns if each.signatures]
        if not had or not (turn.calls or turn.reasoning):
            continue
        if any(same(each.signatures) <= same(turn.signatures) for each in had):
            continue
        if turn.calls and not {call.id for call in turn.calls} & {call.id for each in had for call in each.calls}:
            continue
        how = "another signature" if turn.signatures else "no signature"
        yield Found(
            numbers(attempt, follow_up.later),
            f"Exchange {attempt.number} signed its reasoning; exchange {follow_up.later.number} sends the turn back "
            f"with {how}.",
        )


def same(signatures: Iterable[str]) -> set[str]:
    """Returns the signatures in one variant of base64: an SDK may send bytes back in the URL-safe variant."""
    return {signature.translate(PLAIN).rstrip("=") for signature in signatures}


CHECK = Check(
    "signature_dropped",
    "MUST",
    "Loses or changes the signature (or the encrypted content) of reasoning that is sent back.",
    "Anthropic, “Extended thinking”",
    "During tool use, you must pass thinking blocks back to the API for the last assistant message. Include the "
    "complete unmodified block back to the API to maintain reasoning continuity.",
    "Send the blocks or items of a turn back exactly as received, including signatures and encrypted content.",
    judge,
)
