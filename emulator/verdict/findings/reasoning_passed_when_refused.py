"""Sending reasoning to a provider that rejects it."""

from collections.abc import Iterator

from emulator.verdict.base import Check, Evidence, Found, numbers


def judge(evidence: Evidence) -> Iterator[Found]:
    """Checks requests that were rejected because of reasoning in the history."""
    for attempt in evidence.attempts:
        message = str(attempt.row["message"] or "")
        holds = any(turn.reasoning is not None or turn.signatures for turn in attempt.turns)
        is_about = any(word in message for word in ("reasoning", "thinking", "thought"))
        if attempt.status in (400, 422) and holds and is_about and "must be passed back" not in message:
            yield Found(
                numbers(attempt),
                f"Exchange {attempt.number} holds reasoning in its history and was refused for it: {message[:160]}",
            )


CHECK = Check(
    "reasoning_passed_when_refused",
    "MUST",
    "Sends reasoning back to a provider or model that rejects it.",
    "DeepSeek API, “Reasoning Model”",
    "If the reasoning_content field is included in the sequence of input messages, the API will return a 400 error.",
    "Remove the reasoning from the history before sending it to a model that rejects it, especially after "
    "switching providers.",
    judge,
)
