"""The official Anthropic SDK, unmodified, against the vendors that serve Claude."""

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from pydantic import BaseModel

from emulator import Emulator

THINKING: Any = {"type": "enabled", "budget_tokens": 1024}
WEATHER: Any = {
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
    {"match": {"prompt": "Colour"}, "reply": {"content": "The sky is blue."}},
    {"match": {"prompt": "Busy", "attempt": 1}, "error": "overloaded"},
    {"match": {"prompt": "Busy"}, "reply": {"content": "Now."}},
    {"match": {"prompt": "Broke"}, "error": "insufficient_balance"},
]
BASES = {"anthropic": "", "serevix": "", "cloudsway": "/sVUARttwSjilLOZY"}
"""What follows a vendor's own URL in the base URL of the SDK."""


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator({"rules": RULES, "unmatched": "generate"}) as running:
        yield running


@pytest.fixture(params=BASES)
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def options(emulator: Emulator, vendor: str) -> dict[str, Any]:
    return {"base_url": emulator.url(vendor) + BASES[vendor], "api_key": "sk-test", "max_retries": 0, "timeout": 30}


@pytest.fixture
def client(emulator: Emulator, vendor: str) -> Iterator[Anthropic]:
    with Anthropic(**options(emulator, vendor)) as made:
        yield made


def asking(prompt: str, **more: Any) -> dict[str, Any]:
    return {
        "model": "claude-haiku-4-5",
        "max_tokens": 2000,
        "messages": [{"role": "user", "content": prompt}],
        **more,
    }


def test_a_whole_message_and_its_stream_say_the_same(client: Anthropic) -> None:
    whole = client.messages.create(**asking("Hi", thinking=THINKING))
    with client.messages.stream(**asking("Hi", thinking=THINKING)) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert [block.model_dump(include={"type", "thinking", "text"}) for block in whole.content] == [
        {"type": "thinking", "thinking": "They greet."},
        {"type": "text", "text": "Hé, you 😊"},
    ]
    assert "".join(pieces) == "Hé, you 😊"
    assert len(pieces) > 1
    shown = {"role", "model", "stop_reason", "stop_sequence"}
    assert final.model_dump(include=shown) == whole.model_dump(include=shown)
    assert (final.usage.input_tokens, final.usage.output_tokens) == (
        whole.usage.input_tokens,
        whole.usage.output_tokens,
    )
    assert whole.model == "claude-haiku-4-5-20251001"


def test_asynchronously(emulator: Emulator, vendor: str) -> None:
    async def ask() -> str:
        async with (
            AsyncAnthropic(**options(emulator, vendor)) as client,
            client.messages.stream(**asking("Hi")) as stream,
        ):
            return await stream.get_final_text()

    assert asyncio.run(ask()) == "Hé, you 😊"


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
def test_a_tool_is_called_and_thoughts_are_sent_back(client: Anthropic, streams: bool) -> None:
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
    assert (call.name, call.input, call.id[:8]) == ("get_weather", {"city": "Bern"}, "toolu_01")
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]}
    answered = [*asked["messages"], {"role": "assistant", "content": called.content}, result]
    final = ask(**{**asked, "messages": answered})
    assert (final.content[-1].text, final.stop_reason) == ("It is sunny in Bern.", "end_turn")


def test_a_type_is_answered_with_a_value_of_it(client: Anthropic) -> None:
    class City(BaseModel):
        name: str
        inhabitants: int

    parsed = client.messages.parse(**asking("A city"), output_format=City).parsed_output
    assert isinstance(parsed, City)


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
def test_documents_are_cited(client: Anthropic, streams: bool) -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "Grass is green. The sky is blue."}
    document = {"type": "document", "source": source, "citations": {"enabled": True}}
    content = [document, {"type": "text", "text": "Colour"}]
    asked = {**asking(""), "messages": [{"role": "user", "content": content}]}
    if streams:
        with client.messages.stream(**asked) as stream:
            message: Any = stream.get_final_message()
    else:
        message = client.messages.create(**asked)
    (citation,) = message.content[0].citations
    assert (citation.type, citation.cited_text, citation.start_char_index) == ("char_location", "The sky is blue.", 16)


def test_a_limit_and_a_stop_sequence_are_honored(client: Anthropic) -> None:
    cut = client.messages.create(**{**asking("Count"), "max_tokens": 2})
    stopped = client.messages.create(**asking("Count", stop_sequences=["three", "five"]))
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


def test_who_is_overloaded_is_asked_again(emulator: Emulator, vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anthropic._base_client.INITIAL_RETRY_DELAY", 0.001)
    with Anthropic(**{**options(emulator, vendor), "max_retries": 2}) as patient:
        message = patient.messages.create(**asking("Busy", metadata={"user_id": f"retries-{vendor}"}))
    assert message.content[0].model_dump()["text"] == "Now."


def test_errors_are_raised_by_status_with_the_message_of_the_provider(client: Anthropic) -> None:
    with pytest.raises(anthropic.APIStatusError) as broke:
        client.messages.create(**asking("Broke"))
    blocks = [{"type": "tool_result", "tool_use_id": "x", "content": "y"}]
    unasked = {**asking(""), "messages": [{"role": "user", "content": blocks}]}
    with pytest.raises(anthropic.BadRequestError, match="tool_use_id"):
        client.messages.create(**unasked)
    assert broke.value.status_code in (400, 402, 403)


def test_an_error_in_a_stream_is_raised_after_the_text(client: Anthropic) -> None:
    header = {"x-emulator-fault": "error_event:after_tokens=2"}
    with (
        pytest.raises(anthropic.APIStatusError),
        client.messages.stream(**asking("Count"), extra_headers=header) as stream,
    ):
        stream.until_done()
    with client.messages.stream(**asking("Count"), extra_headers=header) as stream:
        assert next(iter(stream.text_stream)) == "one"


class TestAtAnthropicItself:
    @pytest.fixture
    def own(self, emulator: Emulator) -> Iterator[Anthropic]:
        with Anthropic(**options(emulator, "anthropic")) as made:
            yield made

    def test_tokens_are_counted(self, own: Anthropic) -> None:
        messages: Any = [{"role": "user", "content": "Hi"}]
        counted = own.messages.count_tokens(model="claude-opus-5-5", messages=messages, tools=[WEATHER])
        message = own.messages.create(model="claude-opus-5-5", max_tokens=100, messages=messages, tools=[WEATHER])
        assert counted.input_tokens == message.usage.input_tokens

    def test_models_are_listed_page_by_page_and_one_by_one(self, own: Anthropic) -> None:
        pages = [model.id for model in own.models.list(limit=5)]
        assert len(pages) > 10
        assert len(set(pages)) == len(pages)
        one = own.models.retrieve("claude-haiku-4-5")
        assert (one.id, one.display_name, one.lifecycle) == ("claude-haiku-4-5-20251001", "Claude Haiku 4.5", "active")
        assert one.capabilities is not None
        assert one.capabilities.thinking.types.adaptive.supported is False
        with pytest.raises(anthropic.NotFoundError, match="model: x"):
            own.models.retrieve("x")

    def test_the_cache_is_reported(self, own: Anthropic) -> None:
        text = "The quick brown fox jumps over the lazy dog. " * 600
        system: Any = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]
        first, second = [own.messages.create(**asking("Hi"), system=system).usage for _ in range(2)]
        assert first.cache_creation_input_tokens
        assert first.cache_creation_input_tokens == second.cache_read_input_tokens
        assert (first.cache_read_input_tokens, second.cache_creation_input_tokens) == (0, 0)

    def test_a_missing_key_a_wrong_model_and_a_spent_limit(self, own: Anthropic) -> None:
        with pytest.raises(anthropic.NotFoundError, match="model: claude-2") as unknown:
            own.messages.create(**{**asking("Hi"), "model": "claude-2"})
        assert unknown.value.request_id is not None
        with pytest.raises(anthropic.RateLimitError, match="usage limits"):
            own.messages.create(**asking("Hi"), extra_headers={"x-emulator-fault": "spend_limit"})
        with pytest.raises(anthropic.AuthenticationError):
            own.messages.create(**asking("Hi"), extra_headers={"x-emulator-fault": "error:name=unauthorized"})
