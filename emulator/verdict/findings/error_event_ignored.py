"""Ignoring an error in a stream."""

from collections.abc import Iterator

from emulator.verdict.base import Check, Evidence, Found, Open, numbers
from emulator.verdict.findings.truncated_stream_accepted import holds


def judge(evidence: Evidence) -> Iterator[Found | Open]:
    """An error in an answer with status 200 makes it a failure, however much text preceded it."""
    for attempt in evidence.attempts:
        error = attempt.answer.error
        if not error or attempt.is_refused:
            continue
        what = f"Exchange {attempt.number} carried an error ({error[:120]})"
        if attempt.acknowledged == "complete":
            yield Found(numbers(attempt), f"{what}, and the client says that it is complete.")
            continue
        if attempt.acknowledged is not None:
            continue
        after = evidence.after(attempt)
        wholes = [turn for each in evidence.siblings(attempt) if each.is_whole for turn in each.output]
        kept = [
            each
            for each in after
            if not each.is_last
            and (any(holds(each.turn, turn) for turn in attempt.output) or not (each.turn.text or each.turn.calls))
            and not any(holds(each.turn, turn) for turn in wholes)
        ]
        call = next(call for call in evidence.calls if attempt in call.attempts)
        if kept:
            later = kept[0].later
            yield Found(
                numbers(attempt, later), f"{what}; exchange {later.number} holds what came before it as an answer."
            )
        elif not after and call.last is attempt:
            yield Open(numbers(attempt), "the next request of this conversation, or an acknowledgment")


CHECK = Check(
    "error_event_ignored",
    "MUST",
    "Ignores an error inside a stream or in a body with status 200.",
    "Anthropic, “Streaming Messages”",
    "We may occasionally send errors in the event stream. For example, during periods of high usage, you may receive "
    "an overloaded_error, which would normally correspond to an HTTP 529 in a non-streaming context.",
    "Check every event and body for `error`, even with status 200, and raise it.",
    judge,
)
