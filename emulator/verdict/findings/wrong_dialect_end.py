"""Waiting for an end marker that this dialect does not have."""

import re
from collections.abc import Iterator

from emulator.verdict.attempts import stayed
from emulator.verdict.base import Check, Evidence, Found, Open, numbers, seconds

PATIENCE = 2.0
"""Seconds after which a client counts as waiting on a stream that has ended."""
ABOUT_THE_END = re.compile(r"done|terminat|incomplete|truncat|prematur|unexpected end|end of stream|eof", re.IGNORECASE)


def judge(evidence: Evidence) -> Iterator[Found | Open]:
    """Checks complete streams that the client didn't recognize as such: it retried, reported a failure, or kept
    waiting.
    """
    for attempt in evidence.attempts:
        if not attempt.has_end or attempt.is_refused or attempt.answer.error or not attempt.stream.data:
            continue
        end = "[DONE]" if "[DONE]" in attempt.stream.data else f"{attempt.shape.end_is}, and this dialect has no [DONE]"
        wait = stayed(attempt)
        if attempt.is_real and wait >= PATIENCE:
            yield Found(
                numbers(attempt),
                f"Exchange {attempt.number} had its end ({end}), and the client stayed "
                f"{seconds(wait)} more on the open connection.",
            )
        elif "[DONE]" in attempt.stream.data or attempt.ended != "complete":
            continue
        elif attempt.acknowledged in ("partial", "failed"):
            word = (attempt.row["acknowledged"] or {}).get("error") or ""
            if ABOUT_THE_END.search(word):
                yield Found(
                    numbers(attempt), f"Exchange {attempt.number} was whole ({end}); the client failed: {word[:120]}"
                )
            elif not word:
                yield Open(numbers(attempt), "the error that the client raised, in the acknowledgment's `error`")
    for call in evidence.calls:
        for earlier, later in call.pairs():
            is_said = earlier.acknowledged == "failed"  # its failure is checked above
            if earlier.is_whole and earlier.stream.data and "[DONE]" not in earlier.stream.data and not is_said:
                yield Found(
                    numbers(earlier, later),
                    f"Exchange {earlier.number} was whole ({earlier.shape.end_is}, and this dialect has no [DONE]); "
                    f"exchange {later.number} is a new attempt of it.",
                )


CHECK = Check(
    "wrong_dialect_end",
    "MUST",
    "Waits for an end of the stream that this API does not send, such as `[DONE]`, or keeps reading after it.",
    "OpenAI API reference, Chat completions, “stream”",
    "Tokens will be sent as data-only server-sent events as they become available, with the stream terminated by a "
    "data: [DONE] message.",
    "End at the dialect's own last event: `data: [DONE]` in chat completions, `message_stop` in messages, "
    "`response.completed` (or incomplete, failed) in responses; and stop reading there.",
    judge,
)
