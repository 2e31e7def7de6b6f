"""Omitting the reasoning that must be sent back with a tool call."""

from collections.abc import Iterator

from emulator.verdict.base import Check, Evidence, Found, numbers


def judge(evidence: Evidence) -> Iterator[Found]:
    """Checks turns with tool calls, if the provider requires their reasoning."""
    for follow_up in evidence.follow_ups:
        attempt, turn = follow_up.attempt, follow_up.turn
        if not attempt.shape.wants_reasoning_back or not turn.calls or not follow_up.later.shape.wants_reasoning_back:
            continue
        ids = {call.id for call in turn.calls}
        had = [each for each in attempt.output if each.reasoning and ids & {call.id for call in each.calls}]
        if had and not (turn.reasoning or "").strip():
            yield Found(
                numbers(attempt, follow_up.later),
                f"Exchange {attempt.number} reasoned and called {turn.calls[0].name or 'a tool'}; "
                f"exchange {follow_up.later.number} sends the call back without the reasoning.",
            )


CHECK = Check(
    "reasoning_dropped",
    "MUST",
    "Omits the reasoning of a turn that called tools, although the provider requires it.",
    "DeepSeek API, error 400",
    "The reasoning_content in the thinking mode must be passed back to the API.",
    "Keep the reasoning with the turn, and send the turn back unchanged for as long as its tool calls are in the "
    "history.",
    judge,
)
