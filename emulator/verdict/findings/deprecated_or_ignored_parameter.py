"""Sending parameters without effect."""

from collections.abc import Iterator

from emulator.dialects.parameters import worth_saying
from emulator.verdict.base import Check, Evidence, Found

HARMLESS = frozenset(
    [
        "include",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "user",
    ]
)
"""Parameters that don't change the answer, so nothing is lost if they are ignored."""


def judge(evidence: Evidence) -> Iterator[Found]:
    """Checks accepted requests, each parameter once for each endpoint."""
    found: dict[tuple[str, str, str, str], list[int]] = {}
    for attempt in evidence.attempts:
        if attempt.is_refused or not isinstance(attempt.body, dict):
            continue
        place = attempt.provider, attempt.row["operation"]
        unread = [*(attempt.row.get("undeclared") or ())]
        if attempt.shape.ignores_as_documented:
            unread += [name for name in worth_saying(attempt.row["ignored"]) if name in attempt.body]
        for name in dict.fromkeys(unread):
            if name not in HARMLESS:
                found.setdefault((*place, name, "does not read it: leave it out"), []).append(attempt.number)
        for name, advice in attempt.shape.deprecated.items():
            if attempt.body.get(name) is not None:
                found.setdefault((*place, name, f"has deprecated it: {advice}"), []).append(attempt.number)
    for (provider, operation, name, advice), exchanges in found.items():
        where = f"{provider} ({operation})" if operation else provider
        yield Found(tuple(exchanges), f"`{name}` was sent, and {where} {advice}.")


CHECK = Check(
    "deprecated_or_ignored_parameter",
    "SHOULD",
    "Sends parameters that the provider has deprecated or ignores.",
    "DeepSeek API, “Reasoning Model”",
    "Please note that to ensure compatibility with existing software, setting temperature, top_p, presence_penalty, "
    "frequency_penalty will not trigger an error but will also have no effect.",
    "Send only what this provider documents for this endpoint; `emulator providers NAME` lists it.",
    judge,
)
