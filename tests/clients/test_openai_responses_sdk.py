"""The official OpenAI SDK, unmodified, against everything that OpenAI and DeepSeek offer beside chats."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, AzureOpenAI, OpenAI
from openai.types.responses import ResponseFunctionToolCall
from pydantic import BaseModel

from emulator import Emulator

WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather at a place",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
RULES: list[dict[str, Any]] = [
    {"match": {"tool_result": {"name": "get_weather"}}, "reply": {"content": "It is sunny in Bern."}},
    {
        "match": {"prompt": {"contains": "weather"}},
        "reply": {"reasoning": "I look.", "tool_calls": [{"name": "get_weather", "arguments": {"city": "Bern"}}]},
    },
    {"match": {"prompt": "Hi"}, "reply": {"reasoning": "They greet.", "content": "Hé, you 😊"}},
    {"match": {"prompt": "Busy"}, "error": "overloaded"},
    {"match": {"prompt": "Cut"}, "reply": {"content": "one two", "finish_reason": "length"}},
]
MODELS = {"deepseek": "deepseek-v4-pro", "openai": "gpt-5"}
BASES = {"deepseek": "", "openai": "/v1"}


class Trip(BaseModel):
    city: str
    days: int


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator({"rules": RULES, "unmatched": "generate"}) as running:
        yield running


@pytest.fixture(params=MODELS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def options(emulator: Emulator, provider: str) -> dict[str, Any]:
    base = emulator.url(provider) + BASES[provider]
    return {"base_url": base, "api_key": "sk-test", "max_retries": 0, "timeout": 30}


@pytest.fixture
def client(emulator: Emulator, provider: str) -> Iterator[OpenAI]:
    with OpenAI(**options(emulator, provider)) as made:
        yield made


@pytest.fixture
def own(emulator: Emulator) -> Iterator[OpenAI]:
    with OpenAI(**options(emulator, "openai")) as made:
        yield made


def test_a_stream_adds_up_to_the_whole_response(client: OpenAI, provider: str) -> None:
    whole = client.responses.create(model=MODELS[provider], input="Hi")
    assert whole.output_text == "Hé, you 😊"
    events = list(client.responses.create(model=MODELS[provider], input="Hi", stream=True))
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(pieces) == whole.output_text
    assert len(pieces) > 1
    with client.responses.stream(model=MODELS[provider], input="Hi") as stream:
        final = list(stream)[-1].type, stream.get_final_response()
    assert (final[0], final[1].output_text, final[1].usage) == ("response.completed", whole.output_text, whole.usage)


def test_a_tool_is_called_and_its_result_answered(client: OpenAI, provider: str) -> None:
    said: list[Any] = [{"role": "user", "content": "How is the weather?"}]
    with client.responses.stream(model=MODELS[provider], input=said, tools=[WEATHER]) as stream:  # type: ignore[list-item]
        response = stream.get_final_response()
    (call,) = [item for item in response.output if isinstance(item, ResponseFunctionToolCall)]
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Bern"})
    said += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in response.output]
    said.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
    again = client.responses.create(model=MODELS[provider], input=said, tools=[WEATHER])  # type: ignore[list-item]
    assert again.output_text == "It is sunny in Bern."


def test_an_answer_is_parsed_into_a_type(client: OpenAI, provider: str) -> None:
    model, asked = MODELS[provider], "Plan a trip"
    assert isinstance(client.responses.parse(model=model, input=asked, text_format=Trip).output_parsed, Trip)
    with client.responses.stream(model=model, input=asked, text_format=Trip) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Trip)


def test_errors_and_ends_are_reported(client: OpenAI, provider: str) -> None:
    with pytest.raises(openai.InternalServerError):
        client.responses.create(model=MODELS[provider], input="Busy")
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)):
        client.responses.create(model="no-such-model", input="Hi")
    cut = client.responses.create(model=MODELS[provider], input="Cut")
    assert cut.incomplete_details is not None
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_a_busy_server_is_asked_again(emulator: Emulator, provider: str) -> None:
    client = OpenAI(**{**options(emulator, provider), "max_retries": 2})
    headers = {"x-emulator-fault": "error:name=overloaded,retry_after=0,times=1"}
    namespace = {"x-emulator-namespace": f"retry-{provider}", **headers}
    assert client.responses.create(model=MODELS[provider], input="Hi", extra_headers=namespace).output_text
    client.close()


def test_an_error_inside_a_stream_is_raised_or_reported(emulator: Emulator) -> None:
    client = OpenAI(**options(emulator, "openai"), default_headers={"x-emulator-fault": "error_event"})
    reported = list(client.responses.create(model="gpt-4o", input="Hi", stream=True))[-1]
    assert reported.type == "error"
    failing = client.with_options(default_headers={"x-emulator-fault": "error_event:form=failed"})
    last = list(failing.responses.create(model="gpt-4o", input="Hi", stream=True))[-1]
    assert last.type == "response.failed"
    client.close()


def test_responses_are_kept(own: OpenAI) -> None:
    made = own.responses.create(model="gpt-5", input="Hi")
    assert own.responses.retrieve(made.id) == made
    (item,) = own.responses.input_items.list(made.id).data
    assert item.type == "message"
    again = own.responses.create(model="gpt-5", input="And now?", previous_response_id=made.id)
    assert again.previous_response_id == made.id
    own.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        own.responses.retrieve(made.id)


def test_the_background_is_polled(own: OpenAI) -> None:
    queued = own.responses.create(model="gpt-5", input="Hi", background=True)
    assert queued.status == "queued"
    assert own.responses.retrieve(queued.id).output_text == "Hé, you 😊"


def test_chats_of_openai(own: OpenAI) -> None:
    asked: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
    raw = own.chat.completions.with_raw_response.create(**asked)
    assert int(raw.headers["x-ratelimit-remaining-requests"]) < 10_000
    with own.chat.completions.stream(**asked) as stream:
        assert stream.get_final_completion().choices[0].message.content == "Hé, you 😊"
    parsed = own.chat.completions.parse(
        model="gpt-4o", messages=[{"role": "user", "content": "Plan a trip"}], response_format=Trip
    )
    assert isinstance(parsed.choices[0].message.parsed, Trip)


def test_embeddings_come_as_numbers(own: OpenAI) -> None:
    found = own.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=64)
    plain = own.embeddings.create(model="text-embedding-3-small", input="a", dimensions=64, encoding_format="float")
    assert [len(row.embedding) for row in found.data] == [64, 64]
    assert found.data[0].embedding == pytest.approx(plain.data[0].embedding)


def test_azures_client(emulator: Emulator) -> None:
    origin = emulator.url("openai").removesuffix("/openai")
    with AzureOpenAI(azure_endpoint=origin, api_key="k", api_version="2024-10-21", max_retries=0) as client:
        chat = client.chat.completions.create(model="mine", messages=[{"role": "user", "content": "Hi"}])
        assert (chat.model, chat.choices[0].message.content) == ("mine", "Hé, you 😊")
        assert client.responses.create(model="mine", input="Hi").output_text == "Hé, you 😊"


def test_the_asynchronous_client(emulator: Emulator, provider: str) -> None:
    async def ask() -> str:
        async with (
            AsyncOpenAI(**options(emulator, provider)) as client,
            client.responses.stream(model=MODELS[provider], input="Hi") as stream,
        ):
            return (await stream.get_final_response()).output_text

    assert asyncio.run(ask()) == "Hé, you 😊"
