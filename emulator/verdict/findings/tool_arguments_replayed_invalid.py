"""Sending back a tool call whose arguments aren't JSON."""

from collections.abc import Iterator

from emulator.verdict.attempts import Attempt, read_json
from emulator.verdict.base import Check, Evidence, Found, numbers


def judge(evidence: Evidence) -> Iterator[Found]:
    """Checks the tool calls in every history, each once."""
    seen: set[tuple[str, str]] = set()
    for attempt in evidence.attempts:
        for turn in attempt.turns:
            for call in turn.calls:
                is_valid = not call.arguments or call.kind == "custom" or isinstance(read_json(call.arguments), dict)
                if is_valid or (call.id, call.arguments) in seen:
                    continue
                seen.add((call.id, call.arguments))
                source = next((each for each in evidence.attempts if _brought(each, call.id)), None)
                source_text = f", as received in exchange {source.number}" if source is not None else ""
                yield Found(
                    numbers(*filter(None, (source, attempt))),
                    f"Exchange {attempt.number} contains a call of {call.name or 'a tool'} whose arguments aren't a "
                    f"JSON object{source_text}: {call.arguments[:60]!r}.",
                )


def _brought(attempt: Attempt, id: str) -> bool:
    return bool(id) and any(call.id == id for turn in attempt.answer.turns for call in turn.calls)


CHECK = Check(
    "tool_arguments_replayed_invalid",
    "MUST",
    "Sends back a tool call whose arguments are truncated or not JSON.",
    "OpenAI API reference, “tool_calls.function.arguments”",
    "Note that the model does not always generate valid JSON, and may hallucinate parameters not defined by your "
    "function schema. Validate the arguments in your code before calling your function.",
    "Parse the arguments before adding a call to the history; if they are not a JSON object, drop the turn or "
    "ask again.",
    judge,
)
