"""Finds out which values in the emulator's answers are facts of a provider, rather than of a request, a text or
a time."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emulator.dialects.usage import usage_in
from emulator.providers import PROVIDERS
from emulator.recording.drift import Facts, members_of, shape_in
from emulator.recording.readable import natives_of
from emulator.recording.wire_file import WireRecord

REASONS = ("stop", "length", "tool_calls", "content_filter")
"""The neutral finish reasons that every dialect can express."""
KEYWORD = re.compile(r'(?!"")["\w./-]{1,64}')
"""A value other than a string, as JSON."""
VARIABLE = frozenset([
    "field", "id", "message", "model", "modelVersion", "name", "native_finish_reason", "obfuscation", "param",
    "provider", "system_fingerprint",
])  # fmt: skip
"""Members whose values depend on a request or an account, though a rendering may have the same value each time."""
COUNTS = frozenset(["usage", "usageMetadata", "token_info"])
"""Members that contain counts."""
FORMS = frozenset(["object", "type"])
"""The facts if no model answers: everything else is about an account or a model."""
OTHER_WORDS = "Something else altogether, and longer than a word or two."

Values = dict[str, dict[str, frozenset[str]]]


def fixed_values(ours: Sequence[WireRecord], wire: WireRecord, *, is_completion: bool) -> Facts:
    """Returns what is the same in all of these renderings, although their words, ids and times differ, and what no
    member of the request gives."""
    first, *others = [_values(each) for each in ours]
    given = members_of(wire.request.get("body"))
    return {
        kind: {
            path: values
            for path, values in members.items()
            if len(values) == 1
            and all(other.get(kind, {}).get(path) == values for other in others)
            and not (path in given and values <= given[path].values)
            and (is_completion or path.rpartition(".")[2] in FORMS)
        }
        for kind, members in first.items()
    }


def possible_values(ours: Sequence[WireRecord], later: WireRecord) -> Facts:
    """Returns every value in any of these renderings, such as those of all errors with one status. `later` is the first
    of them with other ids."""
    first, *others = [_values(each) for each in ours]
    second = _values(later)
    return {
        kind: {
            path: values.union(*(other.get(kind, {}).get(path, ()) for other in others))
            for path, values in members.items()
            if values == second.get(kind, {}).get(path)
        }
        for kind, members in first.items()
    }


def _values(wire: WireRecord) -> Values:
    """The values in an answer that may be facts."""
    return {
        kind: {
            path: frozenset(member.values)
            for path, member in members.items()
            if member.values and _may_be_fact(path) and all(map(KEYWORD.fullmatch, member.values))
        }
        for kind, members in shape_in(wire).members.items()
    }


def _may_be_fact(path: str) -> bool:
    names = path.replace("[]", "").split(".")
    return names[-1] not in VARIABLE and COUNTS.isdisjoint(names)


def other_than(said: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a reply with the same parts and other texts."""
    reply = said.get("reply")
    if reply is None:
        return dict(said)
    other = dict(reply)
    for name in ("content", "reasoning"):
        if other.get(name):
            other[name] = OTHER_WORDS
    if "tool_calls" in other:
        other["tool_calls"] = [{"name": call["name"], "arguments": {}} for call in other["tool_calls"]]
    if "alternatives" in other:
        other["alternatives"] = [f"{OTHER_WORDS} {number}" for number, _ in enumerate(other["alternatives"])]
    return {**said, "reply": other}


def reason_in(wire: WireRecord) -> dict[str, Any]:
    """Returns the finish reason of a recorded answer in a reply's terms; empty if there is none."""
    shape = PROVIDERS[wire.provider]().speaking(wire.dialect)
    finish = shape.answer_of(natives_of(wire, shape)).finish
    if finish == "incomplete":
        return {"finish_reason": "length"}
    names = [name for name in (*REASONS, *shape.REASONS) if shape.REASONS.get(name, name) == finish]
    return {"finish_reason": names[0]} if names else {}


def counts_in(wire: WireRecord) -> dict[str, Any]:
    """Returns the usage of a recorded answer in a reply's form: some members exist only for counts above zero."""
    shape = PROVIDERS[wire.provider]().speaking(wire.dialect)
    usage = usage_in(natives_of(wire, shape), shape)
    names = ("prompt", "completion", "total", "reasoning", "cached")
    return {} if usage is None else {"usage": {name: getattr(usage, name) for name in names}}


def errors_of(wire: WireRecord) -> Iterator[str]:
    """Yields the names of a provider's errors with the status of a recorded answer."""
    table = PROVIDERS[wire.provider]().table
    yield from (name for name, row in table.items() if row.status == wire.status)
