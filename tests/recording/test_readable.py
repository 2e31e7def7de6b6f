"""What a recorded answer becomes in the scenario that is written for people to read and edit."""

import json
from typing import Any

import pytest

from emulator.recording.readable import readable
from emulator.recording.wire_file import Segment, WireRecord

CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("messages", "reply"),
    [
        (
            [{"content": None, "tool_calls": [CALL, {**CALL, "index": 1, "id": ""}]}],
            {"tool_calls": [{"name": "look", "arguments": "{}", "id": "c1"}, {"name": "look", "arguments": "{}"}]},
        ),
        (
            [{"content": "One", "reasoning_content": "Hm."}, {"content": "Two"}, {"content": ""}],
            {"content": "One", "reasoning": "Hm.", "alternatives": ["Two", ""]},
        ),
    ],
    ids=["calls", "several"],
)
def test_an_answer_becomes_a_reply_that_can_be_read_and_edited(messages: list[Any], reply: dict[str, Any]) -> None:
    choices = [
        {"index": number, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
        for number, message in enumerate(messages)
    ]
    body = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices})
    wire = WireRecord(
        200,
        (("content-type", "application/json"),),
        "length",
        (Segment(0.0, body.encode()),),
        provider="openai",
        operation="chat",
        dialect="chat_completions",
    )
    assert readable(wire, is_completion=True) == {"reply": reply}
