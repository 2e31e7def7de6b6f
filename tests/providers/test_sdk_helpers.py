"""The helpers of OpenAI's SDK against DeepSeek and Cloudsway: answers parsed into types, loops of tools, streams."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel
from talk import MODELS, Serving

BASES = {"deepseek": "", "cloudsway": "/v1/ai/sVUARttwSjilLOZY"}
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather at a place",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}},
            "required": ["place"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
CALLS = [{"name": "weather", "arguments": '{"place": "Rome"}'}, {"name": "weather", "arguments": '{"place": "Oslo"}'}]
RULES = [
    {
        "match": {"tool_result": {"name": "weather", "content": {"contains": "rain"}}},
        "reply": {"reasoning": "Both are known.", "content": "It rains in both."},
    },
    {"match": {"prompt": "Rain?"}, "reply": {"reasoning": "Two places.", "tool_calls": CALLS}},
    {"match": {"prompt": "Say it."}, "reply": {"reasoning": "They greet.", "content": "Hello there!"}},
]


class Step(BaseModel):
    number: int
    text: str


class Recipe(BaseModel):
    """What an answer is parsed into."""

    title: str
    minutes: int
    steps: list[Step]


@pytest.fixture(params=BASES)
def provider(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def client(provider: str, serving: Serving) -> Iterator[OpenAI]:
    emulator = serving({"unmatched": "generate", "rules": RULES})
    with OpenAI(base_url=emulator.url(provider) + BASES[provider], api_key="sk-test", max_retries=0) as client:
        yield client


@pytest.fixture
def model(provider: str) -> str:
    return str(MODELS[provider]["model"])


class TestAnAnswerParsedIntoAType:
    def test_fits(self, client: OpenAI, model: str) -> None:
        messages: Any = [{"role": "user", "content": "A soup, please."}]
        for parse in (client.chat.completions.parse, client.beta.chat.completions.parse):
            parsed = parse(model=model, messages=messages, response_format=Recipe)
            recipe = parsed.choices[0].message.parsed
            assert isinstance(recipe, Recipe)
            assert recipe == Recipe.model_validate_json(parsed.choices[0].message.content or "")

    def test_fits_in_a_stream_too(self, client: OpenAI, model: str) -> None:
        messages: Any = [{"role": "user", "content": "A soup, please."}]
        with client.chat.completions.stream(model=model, messages=messages, response_format=Recipe) as stream:
            last = [event for event in stream if event.type == "content.done"][-1]
            final = stream.get_final_completion()
        assert isinstance(last.parsed, Recipe)
        assert final.choices[0].message.parsed == last.parsed

    def test_is_refused_where_a_scenario_refuses_schemas(self, provider: str, model: str, serving: Serving) -> None:
        emulator = serving({"unmatched": "generate", "providers": {provider: {"json_schema": "refuse"}}})
        url = emulator.url(provider) + BASES[provider]
        with (
            OpenAI(base_url=url, api_key="sk-test", max_retries=0) as client,
            pytest.raises(openai.BadRequestError, match="This response_format type is unavailable now"),
        ):
            client.chat.completions.parse(
                model=model, messages=[{"role": "user", "content": "Hi"}], response_format=Recipe
            )


class TestALoopOfTools:
    def test_goes_round_with_the_messages_as_they_came(self, client: OpenAI, model: str) -> None:
        messages: Any = [{"role": "user", "content": "Rain?"}]
        first = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
        assert first.choices[0].finish_reason == "tool_calls"
        message = first.choices[0].message
        assert message.model_extra is not None
        assert message.model_extra["reasoning_content"] == "Two places."
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls or ():
            assert call.type == "function"
            place = json.loads(call.function.arguments)["place"]
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"rain in {place}"})
        assert [each["content"] for each in messages[2:]] == ["rain in Rome", "rain in Oslo"]
        second = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
        assert second.choices[0].message.content == "It rains in both."

    def test_stops_where_the_reasoning_was_lost(self, client: OpenAI, model: str) -> None:
        messages: Any = [{"role": "user", "content": "Rain?"}]
        message = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER]).choices[0].message
        calls = message.model_dump()["tool_calls"]
        messages.append({"role": "assistant", "content": "", "tool_calls": calls})
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in calls]
        with pytest.raises(openai.BadRequestError, match="must be passed back to the API"):
            client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])

    def test_goes_round_with_calls_that_were_streamed(self, client: OpenAI, model: str) -> None:
        messages: Any = [{"role": "user", "content": "Rain?"}]
        with client.chat.completions.stream(model=model, messages=messages, tools=[WEATHER]) as stream:
            done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
            message = stream.get_final_completion().choices[0].message
        assert [(event.name, event.arguments) for event in done] == [
            ("weather", '{"place": "Rome"}'),
            ("weather", '{"place": "Oslo"}'),
        ]
        calls = message.tool_calls or []
        assert [call.function.parsed_arguments for call in calls] == [{"place": "Rome"}, {"place": "Oslo"}]
        assert [call.id[:8] for call in calls] == ["call_00_", "call_01_"]
        reported = [{"id": call.id, "type": "function", "function": {
            "name": call.function.name, "arguments": call.function.arguments}} for call in calls]  # fmt: skip
        messages.append({"role": "assistant", "reasoning_content": "Two places.", "tool_calls": reported})
        messages += [{"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in calls]
        again = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
        assert again.choices[0].message.content == "It rains in both."


class TestAStreamReadByTheHelper:
    def test_adds_up_to_the_whole_answer(self, client: OpenAI, model: str) -> None:
        messages: Any = [{"role": "user", "content": "Say it."}]
        with client.chat.completions.stream(
            model=model, messages=messages, stream_options={"include_usage": True}
        ) as stream:
            deltas = [event.delta for event in stream if event.type == "content.delta"]
            final = stream.get_final_completion()
        assert deltas == ["Hello", " there", "!", ""]  # the last chunk has its finish and empty content
        assert (final.choices[0].message.content, final.choices[0].finish_reason) == ("Hello there!", "stop")
        assert final.usage is not None
        assert final.usage.completion_tokens == 7

    def test_brings_the_reasoning_in_the_chunks(self, client: OpenAI, model: str) -> None:
        messages: Any = [{"role": "user", "content": "Say it."}]
        with client.chat.completions.create(model=model, messages=messages, stream=True) as stream:
            extras = [chunk.choices[0].delta.model_extra or {} for chunk in stream]
        assert "".join(extra["reasoning_content"] or "" for extra in extras) == "They greet."


def test_what_deepseek_alone_has_is_reached_by_the_sdk(serving: Serving) -> None:
    emulator = serving({"rules": [{"reply": {"content": "one"}}]})
    with OpenAI(base_url=emulator.url("deepseek") + "/beta", api_key="sk-test") as client:
        gap = client.completions.create(model="deepseek-v4-pro", prompt="def f():", suffix="return x", logprobs=1)
        assert (gap.choices[0].text, gap.object) == ("one", "text_completion")
        assert gap.choices[0].logprobs is not None
        assert gap.choices[0].logprobs.tokens == ["one"]
        with client.completions.create(model="deepseek-v4-pro", prompt="def f():", stream=True) as stream:
            assert "".join(chunk.choices[0].text for chunk in stream) == "one"
        prefix: Any = {"role": "assistant", "content": "```python\n", "prefix": True}
        chat = client.chat.completions.create(
            model="deepseek-v4-pro", messages=[{"role": "user", "content": "Hi"}, prefix]
        )
        assert chat.choices[0].message.content == "one"
    with OpenAI(base_url=emulator.url("deepseek"), api_key="sk-test") as client:
        assert [model.id for model in client.models.list()] == ["deepseek-flash", "deepseek-v4-pro"]


def test_a_whole_answer_is_read_behind_the_empty_lines_of_waiting(serving: Serving) -> None:
    rule = {"reply": {"content": "Hello"}, "pace": {"ttft": 60}}
    emulator = serving({"rules": [rule], "clock": "virtual"})
    with OpenAI(base_url=emulator.url("deepseek"), api_key="sk-test") as client:
        messages: Any = [{"role": "user", "content": "Hi"}]
        assert client.chat.completions.create(model="deepseek-v4-pro", messages=messages).choices[0].message.content
        with client.chat.completions.create(model="deepseek-v4-pro", messages=messages, stream=True) as stream:
            assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Hello"
