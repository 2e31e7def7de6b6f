"""The official Anthropic SDK, unmodified, against the provider that speaks its dialect."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic

from emulator import Emulator

THINKING = {"type": "enabled", "budget_tokens": 1024}
WEATHER = {
    "name": "get_weather",
    "description": "The weather at a place",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
RULES: list[dict[str, Any]] = [
    {"match": {"tool_result": {"name": "get_weather"}}, "reply": {"content": "It is sunny in Bern."}},
    {
        "match": {"prompt": {"contains": "weather"}},
        "reply": {
            "reasoning": "I need the weather.",
            "content": "Let me look.",
            "tool_calls": [{"name": "get_weather", "arguments": {"city": "Bern"}}],
        },
    },
    {"match": {"prompt": "Hi"}, "reply": {"reasoning": "They greet.", "content": "Hé, you 😊"}},
    {"match": {"prompt": "Count"}, "reply": {"content": "one two three four five six"}},
    {"match": {"prompt": "Busy"}, "error": "overloaded"},
]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator({"rules": RULES}) as running:
        yield running


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Anthropic]:
    with Anthropic(**options(emulator)) as made:
        yield made


def options(emulator: Emulator) -> dict[str, Any]:
    return {
        "base_url": emulator.url("deepseek") + "/anthropic",
        "api_key": "sk-test",
        "max_retries": 0,
        "timeout": 30,
    }


def asking(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "deepseek-v4-pro", "max_tokens": 500, "messages": [{"role": "user", "content": prompt}], **more}


def test_a_whole_message(client: Anthropic) -> None:
    message = client.messages.create(**asking("Hi"))
    assert [block.model_dump(exclude_none=True) for block in message.content] == [
        {"type": "thinking", "thinking": "They greet.", "signature": message.id},
        {"type": "text", "text": "Hé, you 😊"},
    ]
    assert (message.role, message.model, message.stop_reason) == ("assistant", "deepseek-v4-pro", "end_turn")
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (5, 0)


def test_a_stream_accumulates_to_the_whole_message(client: Anthropic) -> None:
    whole = client.messages.create(**asking("Hi"))
    with client.messages.stream(**asking("Hi")) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    shown = {"id", "content"}
    assert "".join(pieces) == "Hé, you 😊"
    assert len(pieces) > 1
    assert final.model_dump(exclude=shown) == whole.model_dump(exclude=shown)
    assert [block.type for block in final.content] == ["thinking", "text"]


def test_raw_events_come_in_order(client: Anthropic) -> None:
    with client.messages.create(**asking("Count", thinking={"type": "disabled"}), stream=True) as stream:
        kinds = [event.type for event in stream]
    assert kinds == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 6,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_asynchronously(emulator: Emulator) -> None:
    async def ask() -> str:
        async with AsyncAnthropic(**options(emulator)) as client, client.messages.stream(**asking("Hi")) as stream:
            return await stream.get_final_text()

    assert asyncio.run(ask()) == "Hé, you 😊"


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
def test_a_tool_is_called_and_its_result_answered(client: Anthropic, streams: bool) -> None:
    def ask(**members: Any) -> Any:
        if not streams:
            return client.messages.create(**members)
        with client.messages.stream(**members) as stream:
            return stream.get_final_message()

    asked = asking("What is the weather in Bern?", tools=[WEATHER], thinking=THINKING)
    called = ask(**asked)
    assert called.stop_reason == "tool_use"
    assert [block.type for block in called.content] == ["thinking", "text", "tool_use"]
    call = called.content[-1]
    assert (call.name, call.input) == ("get_weather", {"city": "Bern"})
    answered = [
        *asked["messages"],
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in called.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]},
    ]
    final = ask(**{**asked, "messages": answered})
    assert (final.content[-1].text, final.stop_reason) == ("It is sunny in Bern.", "end_turn")


def test_a_limit_and_a_stop_sequence_are_honored(client: Anthropic) -> None:
    plain = {"thinking": {"type": "disabled"}}
    cut = client.messages.create(**{**asking("Count", **plain), "max_tokens": 2})
    stopped = client.messages.create(**asking("Count", stop_sequences=["three", "five"], **plain))
    assert (cut.content[0].model_dump()["text"], cut.stop_reason, cut.usage.output_tokens) == (
        "one two",
        "max_tokens",
        2,
    )
    assert (stopped.content[0].model_dump()["text"], stopped.stop_reason, stopped.stop_sequence) == (
        "one two ",
        "stop_sequence",
        "three",
    )


def test_errors_are_raised_by_status_with_the_message_of_the_provider(client: Anthropic, emulator: Emulator) -> None:
    with pytest.raises(anthropic.APIStatusError) as busy:
        client.messages.create(**asking("Busy"))
    with pytest.raises(anthropic.BadRequestError, match="The supported API model names are") as unknown:
        client.messages.create(**{**asking("Hi"), "model": "gpt-4o"})
    assert (busy.value.status_code, unknown.value.status_code) == (503, 400)
    with Anthropic(**{**options(emulator), "api_key": None, "auth_token": None, "default_headers": {}}) as nobody:
        response = nobody._client.post("/v1/messages", json=asking("Hi"))
    assert response.status_code == 401


def test_an_error_in_a_stream_is_raised_after_the_text(client: Anthropic) -> None:
    said = ""
    header = {"x-emulator-fault": "error_event:after_tokens=7"}
    with client.messages.stream(**asking("Hi"), extra_headers=header) as stream:
        pieces = iter(stream.text_stream)
        while not said:
            said += next(pieces)
        with pytest.raises(anthropic.APIStatusError, match="Service is too busy"):
            said += "".join(pieces)
    assert "Hé, you 😊".startswith(said)
    assert said


def test_models_of_another_vendor_stand_for_its_own(client: Anthropic, emulator: Emulator) -> None:
    served = [
        client.messages.create(**{**asking("Hi"), "model": model}).model
        for model in ("claude-opus-4-1", "claude-haiku-4-5", "deepseek-v4-flash[1m]")
    ]
    assert served == ["deepseek-v4-pro", "deepseek-flash", "deepseek-flash"]
    assert json.loads(emulator.journal[-1].call.body)["model"] == "deepseek-v4-flash[1m]"
