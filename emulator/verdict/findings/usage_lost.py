"""Not counting billed tokens."""

from collections.abc import Iterator

from emulator.verdict.base import Check, Evidence, Found, Open, numbers


def judge(evidence: Evidence) -> Iterator[Found | Open]:
    """Compares the tokens that the client has counted, which only it can report, with the billed ones."""
    for attempt in evidence.attempts:
        billed = attempt.row["usage"]
        if not billed or attempt.is_refused or not attempt.row["stream"]:
            continue
        booked = (attempt.row["acknowledged"] or {}).get("usage")
        if booked is None:
            if attempt.is_left and attempt.output:
                yield Open(numbers(attempt), "an acknowledgment with `usage`: the tokens that the client has counted")
        elif booked.get("prompt", 0) < billed["prompt"] or (billed["completion"] and not booked.get("completion", 0)):
            yield Found(
                numbers(attempt),
                f"Exchange {attempt.number} was billed with {billed['prompt']} + {billed['completion']} tokens; the "
                f"client has counted {booked.get('prompt', 0)} + {booked.get('completion', 0)}.",
            )


CHECK = Check(
    "usage_lost",
    "SHOULD",
    "Records no usage, or too little, for an answer that was canceled or broke off.",
    "OpenAI API reference, “stream_options.include_usage”",
    "NOTE: If the stream is interrupted, you may not receive the final usage chunk which contains the total token "
    "usage for the request.",
    "Request usage in streams; if it does not arrive, count the prompt and the text so far yourself.",
    judge,
)
