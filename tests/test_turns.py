"""What a client said and got is read from any dialect, as far as it can be read, even from what no provider takes."""

from typing import Any

import pytest

from emulator.dialects.turns import (
    Answer,
    Turn,
    content_turns,
    error_in,
    item_answer,
    item_turns,
    message_answer,
    message_turns,
    text_in,
)
from emulator.request import ToolCall

IMAGE: dict[str, Any] = {"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}}


def test_parts_that_are_no_text_are_kept_as_json() -> None:
    assert text_in([{"type": "text", "text": "Hi"}, {"type": "image", "a": 1}], "text") == (
        "Hi",
        '[{"a": 1, "type": "image"}]',
    )


@pytest.mark.parametrize(
    ("native", "error"),
    [
        ({"type": "error", "message": "Broken."}, "Broken."),
        ({"type": "error", "error": {"code": "busy"}}, "busy"),
        ({"error": {"a": 1}}, '{"a": 1}'),
        ({"error": "Busy."}, "Busy."),
        ({"type": "response.failed", "response": {}}, "the response has failed"),
        ({"type": "message"}, None),
    ],
)
def test_an_error_is_found_in_any_of_its_places(native: dict[str, Any], error: str | None) -> None:
    assert error_in(native) == error


def test_messages_have_a_system_and_results_apart_from_what_is_said_next_to_them() -> None:
    result = {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "Sun."}]}
    body = {
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Look."}, IMAGE]},
            {"role": "user", "content": [result, {"type": "text", "text": "And?"}]},
            {"role": "user", "content": [result]},
            {"role": "user", "content": []},
        ],
    }
    assert message_turns(body) == [
        Turn("system", "Be brief."),
        Turn("user", "Look.", rest=f"[{text_in([IMAGE])[1][1:-1]}]"),
        Turn("tool", "Sun.", result_of="c"),
        Turn("user", "And?"),
        Turn("tool", "Sun.", result_of="c"),
        Turn("user", ""),
    ]


def test_the_pieces_of_a_call_add_up_in_a_stream_of_messages() -> None:
    begin = {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "tool_use", "id": "c", "name": "look"},
    }
    pieces = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": each}}
        for each in ('{"at":', '"it"}')
    ]
    end = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}}
    turn = Turn("assistant", calls=(ToolCall("look", '{"at":"it"}', "c"),))
    assert message_answer([begin, *pieces, end]) == Answer((turn,), "tool_use", has_usage=True)
    assert message_answer([]) == Answer()


@pytest.mark.parametrize(
    ("body", "turns"),
    [
        ({"instructions": "Be brief.", "input": "Hi"}, [Turn("system", "Be brief."), Turn("user", "Hi")]),
        ({"instructions": "", "input": "Hi"}, [Turn("user", "Hi")]),
        ({"instructions": "Be brief."}, [Turn("system", "Be brief.")]),
    ],
)
def test_instructions_are_a_turn_before_the_input(body: dict[str, Any], turns: list[Turn]) -> None:
    assert item_turns(body) == turns


def test_the_pieces_of_calls_add_up_in_a_stream_of_items() -> None:
    def delta(index: int, kind: str, text: str) -> dict[str, Any]:
        return {"type": f"response.{kind}.delta", "output_index": index, "delta": text}

    def added(index: int, **item: Any) -> dict[str, Any]:
        return {"type": "response.output_item.added", "output_index": index, "item": item}

    events = [
        added(0, type="function_call", name="look", call_id="c"),
        delta(0, "function_call_arguments", '{"at":'),
        delta(0, "function_call_arguments", "1}"),
        added(1, type="custom_tool_call", name="edit", call_id="d"),
        delta(1, "custom_tool_call_input", "some "),
        delta(1, "custom_tool_call_input", "text"),
        delta(1, "audio", "AAAA"),
        delta(2, "output_text", "Done."),
    ]
    calls = (ToolCall("look", '{"at":1}', "c"), ToolCall("edit", "some text", "d", "custom"))
    assert item_answer(events) == Answer((Turn("assistant", "Done.", calls=calls),))


@pytest.mark.parametrize(
    ("body", "turns"),
    [
        ({"contents": "Hi"}, [Turn("user", "Hi")]),
        (
            {"system_instruction": {"parts": [{"text": "Be brief."}]}, "contents": {"parts": {"text": "Hi"}}},
            [Turn("system", "Be brief."), Turn("user", "Hi")],
        ),
        (
            {"contents": [{"parts": [{"text": "Look."}, {"inlineData": {"data": "AA"}}]}]},
            [Turn("user", "Look.", rest='[{"inlineData": {"data": "AA"}}]')],
        ),
        (
            {"contents": [{"parts": [{"functionResponse": {"id": "c", "response": {"a": 1}}}, {"text": "And?"}]}]},
            [Turn("tool", '{"a": 1}', result_of="c"), Turn("user", "And?")],
        ),
    ],
)
def test_contents_are_read_in_any_of_their_forms(body: dict[str, Any], turns: list[Turn]) -> None:
    assert content_turns(body) == turns
