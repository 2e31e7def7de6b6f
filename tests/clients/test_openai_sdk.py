"""The official OpenAI SDK, unmodified, against the providers that speak its dialect; Nadles by plain HTTP."""

import asyncio
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion
from talk import DOCUMENTED, KEYS, PATHS, Serving, question, refusing, script

from emulator import Emulator

BASES = {"maxtoken": "/v1", "serevix": "/v1", "cloudsway": "/v1/ai/sVUARttwSjilLOZY"}
EXAMPLES: dict[str, tuple[str, str, str]] = {
    "maxtoken": (
        "deepseek-r1",
        "Who are you?",
        "I'm DeepSeek-R1, an AI assistant created by DeepSeek. How can I help you today?",
    ),
    "serevix": (
        "deepseek-v3",
        "Hello, can you explain quantum mechanics to me?",
        "Quantum mechanics is the branch of physics that studies the microscopic world...",
    ),
    "cloudsway": ("MaaS_Deepseek_V4_pro_20260424", "Hi", "Hello! How can I help you today?"),
}
"""Model, prompt and answer of the shipped scenario."""
SPEAKING = tuple(EXAMPLES)


def client_of(emulator: Emulator, provider: str, **options: Any) -> OpenAI:
    return OpenAI(**arguments(emulator, provider, options))


def async_client_of(emulator: Emulator, provider: str, **options: Any) -> AsyncOpenAI:
    return AsyncOpenAI(**arguments(emulator, provider, options))


def arguments(emulator: Emulator, provider: str, options: dict[str, Any]) -> dict[str, Any]:
    given = {"api_key": "sk-test", "max_retries": 0, "timeout": 30, **options}
    return {"base_url": emulator.url(provider) + BASES[provider], **given}


def asking(provider: str, **more: Any) -> dict[str, Any]:
    model, prompt, _ = EXAMPLES[provider]
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **more}


@pytest.mark.parametrize("provider", SPEAKING)
class TestTheExampleIsAnswered:
    def test_whole(self, provider: str, documented: Emulator) -> None:
        with client_of(documented, provider) as client:
            answer = client.chat.completions.create(**asking(provider, stream=False))
        assert isinstance(answer, ChatCompletion)
        (choice,) = answer.choices
        assert (choice.message.role, choice.message.content, choice.finish_reason) == (
            "assistant",
            EXAMPLES[provider][2],
            "stop",
        )
        assert answer.usage is not None
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens

    def test_in_a_stream(self, provider: str, documented: Emulator) -> None:
        options = {"include_usage": True}
        with client_of(documented, provider) as client:
            whole = client.chat.completions.create(**asking(provider, stream=False))
            with client.chat.completions.create(**asking(provider, stream=True, stream_options=options)) as stream:
                chunks = list(stream)
        rows = [choice for chunk in chunks for choice in chunk.choices]
        assert "".join(row.delta.content or "" for row in rows) == EXAMPLES[provider][2]
        assert [row.finish_reason for row in rows if row.finish_reason] == ["stop"]
        assert [chunk.usage for chunk in chunks if chunk.usage] == [whole.usage]

    def test_asynchronously(self, provider: str, documented: Emulator) -> None:
        async def ask() -> tuple[Any, str]:
            async with async_client_of(documented, provider) as client:
                whole = await client.chat.completions.create(**asking(provider, stream=False))
                pieces = []
                async with await client.chat.completions.create(**asking(provider, stream=True)) as stream:
                    async for chunk in stream:
                        pieces += [choice.delta.content or "" for choice in chunk.choices]
                return whole.choices[0].message.content, "".join(pieces)

        assert asyncio.run(ask()) == (EXAMPLES[provider][2], EXAMPLES[provider][2])

    def test_to_several_clients_at_once(self, provider: str, documented: Emulator) -> None:
        async def ask() -> list[Any]:
            async with async_client_of(documented, provider) as client:
                asked = [client.chat.completions.create(**asking(provider, stream=False)) for _ in range(20)]
                return [answer.choices[0].message.content for answer in await asyncio.gather(*asked)]

        assert asyncio.run(ask()) == [EXAMPLES[provider][2]] * 20


def extra(model: Any) -> dict[str, Any]:
    """The members that the SDK has no type for."""
    return dict(model.model_extra or {})


class TestWhatTheProvidersAdd:
    def test_cloudsway_tells_reasoning_and_a_native_reason_to_end(self, documented: Emulator) -> None:
        with client_of(documented, "cloudsway") as client:
            answer = client.chat.completions.create(**asking("cloudsway"))
        (choice,) = answer.choices
        assert extra(choice) == {"native_finish_reason": "stop"}
        assert extra(choice.message)["reasoning_content"].startswith("We are starting a conversation with the user.")
        assert answer.usage is not None
        assert answer.usage.completion_tokens_details is not None
        assert answer.usage.completion_tokens_details.reasoning_tokens == 58
        assert extra(answer.usage)["prompt_cache_miss_tokens"] == answer.usage.prompt_tokens

    def test_cloudsway_takes_thinking_in_an_extra_body(self, documented: Emulator) -> None:
        with client_of(documented, "cloudsway") as client:
            answer = client.chat.completions.create(
                **asking("cloudsway", extra_body={"thinking": {"type": "disabled"}})
            )
        assert "reasoning_content" not in extra(answer.choices[0].message)

    def test_maxtoken_tells_reasoning_in_a_stream(self, documented: Emulator) -> None:
        with (
            client_of(documented, "maxtoken") as client,
            client.chat.completions.create(**asking("maxtoken", stream=True)) as stream,
        ):
            deltas = [choice.delta for chunk in stream for choice in chunk.choices]
        thought = "".join(extra(delta).get("reasoning_content") or "" for delta in deltas)
        assert thought == "The user asks who I am. I should introduce myself briefly as DeepSeek-R1 and offer to help."

    def test_serevix_has_no_index_in_its_only_choice(self, documented: Emulator) -> None:
        with client_of(documented, "serevix") as client:
            answer = client.chat.completions.create(**asking("serevix"))
        assert answer.choices[0].index is None
        assert answer.usage is not None
        assert answer.usage.model_dump(exclude_none=True) == {
            "prompt_tokens": 10,
            "completion_tokens": 30,
            "total_tokens": 40,
        }

    def test_serevix_answers_several_times(self, documented: Emulator) -> None:
        with client_of(documented, "serevix") as client:
            answer = client.chat.completions.create(**asking("serevix", n=3))
        assert [choice.index for choice in answer.choices] == [0, 1, 2]

    def test_serevix_lists_its_models(self, documented: Emulator) -> None:
        with client_of(documented, "serevix") as client:
            models = client.models.list()
        assert [(model.id, model.owned_by) for model in models][:1] == [("deepseek-v3", "deepseek")]

    def test_serevix_denies_an_unknown_model_without_an_exception(self, documented: Emulator) -> None:
        with client_of(documented, "serevix") as client:
            model = client.models.retrieve("x")
        assert extra(model)["error"]["code"] == "model_not_found"

    @pytest.mark.parametrize("provider", ["serevix", "cloudsway"])
    def test_a_tool_is_called_in_a_stream(self, provider: str, serving: Serving) -> None:
        call = {"name": "weather", "arguments": {"city": "Oslo"}, "id": "call_1"}
        emulator = serving(script(provider, {"reply": {"tool_calls": [call]}}))
        schema = {"type": "object", "properties": {"city": {"type": "string"}}}
        tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
        with (
            client_of(emulator, provider) as client,
            client.chat.completions.stream(**asking(provider, tools=[tool])) as stream,
        ):
            final = stream.get_final_completion()
        calls = final.choices[0].message.tool_calls
        assert calls is not None
        (only,) = calls
        assert (only.id, only.function.name, only.function.arguments) == ("call_1", "weather", '{"city": "Oslo"}')
        assert final.choices[0].finish_reason == "tool_calls"


class TestMaxTokenStreamsUnasked:
    """The SDK leaves `stream` out of a plain call, and MaxToken's document says that it is true then."""

    def test_so_a_plain_call_gets_the_text_of_a_stream(self, documented: Emulator) -> None:
        with client_of(documented, "maxtoken") as client:
            answer: Any = client.chat.completions.create(**asking("maxtoken"))
        with pytest.raises(AttributeError, match="'str' object has no attribute 'choices'"):
            _ = answer.choices
        assert answer.startswith('data: {"id":"chatcmpl-')
        assert answer.endswith("data: [DONE]\n\n")

    def test_and_a_setting_makes_a_plain_call_work(self, serving: Serving) -> None:
        emulator = serving(script("maxtoken", {"reply": {"content": "Hello there!"}}, stream_default=False))
        with client_of(emulator, "maxtoken") as client:
            answer = client.chat.completions.create(**asking("maxtoken"))
        assert answer.choices[0].message.content == "Hello there!"

    def test_strict_about_keys_it_wants_its_own_header(self, serving: Serving) -> None:
        emulator = serving(script("maxtoken", {"reply": {"content": "Hello there!"}}, auth="strict"))
        with client_of(emulator, "maxtoken") as client, pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(**asking("maxtoken", stream=False))
        assert caught.value.body == {"message": "Invalid signature", "type": "401"}
        with client_of(emulator, "maxtoken", default_headers={"x-api-key": "sk-test"}) as client:
            answer = client.chat.completions.create(**asking("maxtoken", stream=False))
        assert answer.choices[0].message.content == "Hello there!"


EXCEPTIONS: dict[str, dict[str, type[openai.APIStatusError]]] = {
    "maxtoken": {
        "unauthorized": openai.AuthenticationError,
        "insufficient_balance": openai.PermissionDeniedError,
        "content_policy": openai.InternalServerError,
        "rate_limited": openai.RateLimitError,
        "server_error": openai.InternalServerError,
        "bad_request": openai.BadRequestError,
        "not_found": openai.NotFoundError,
    },
    "serevix": {
        "unauthorized": openai.AuthenticationError,
        "insufficient_balance": openai.PermissionDeniedError,
        "content_policy": openai.BadRequestError,
        "rate_limited": openai.RateLimitError,
        "model_not_found": openai.InternalServerError,
        "timeout": openai.InternalServerError,
        "not_implemented": openai.InternalServerError,
        "not_found": openai.NotFoundError,
    },
    "cloudsway": {
        "unauthorized": openai.AuthenticationError,
        "forbidden": openai.PermissionDeniedError,
        "no_endpoint": openai.BadRequestError,
        "conflict": openai.ConflictError,
        "rate_limited": openai.RateLimitError,
        "overloaded": openai.InternalServerError,
        "model_not_found": openai.NotFoundError,
    },
}


class TestAnErrorIsRaised:
    @pytest.mark.parametrize(
        ("provider", "name"), [(provider, name) for provider, names in EXCEPTIONS.items() for name in names]
    )
    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    def test_as_the_class_of_its_status(self, provider: str, name: str, stream: bool, serving: Serving) -> None:
        emulator = serving(refusing(provider, EXCEPTIONS[provider]))
        messages = [{"role": "user", "content": name}]
        with client_of(emulator, provider) as client, pytest.raises(EXCEPTIONS[provider][name]) as caught:
            client.chat.completions.create(**asking(provider, stream=stream, messages=messages))
        assert type(caught.value) is EXCEPTIONS[provider][name]
        assert caught.value.body == caught.value.response.json()["error"]
        body: Any = caught.value.body
        assert body["message"] in str(caught.value)

    def test_with_maxtokens_status_as_its_type(self, serving: Serving) -> None:
        emulator = serving(script("maxtoken", {"error": "unauthorized"}))
        with client_of(emulator, "maxtoken") as client, pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(**asking("maxtoken"))
        assert (caught.value.type, caught.value.code, caught.value.param) == ("401", None, None)

    def test_with_cloudsways_code(self, serving: Serving) -> None:
        emulator = serving(script("cloudsway", endpoints=[]))
        with client_of(emulator, "cloudsway") as client, pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(**asking("cloudsway"))
        assert (caught.value.type, caught.value.code) == ("invalid_request_error", "NO_ENDPOINT")

    def test_without_the_request_id_of_serevix_which_the_sdk_does_not_know(self, serving: Serving) -> None:
        emulator = serving(script("serevix", {"error": "rate_limited"}))
        with client_of(emulator, "serevix") as client, pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(**asking("serevix"))
        assert caught.value.request_id is None
        assert caught.value.response.headers["x-oneapi-request-id"] in caught.value.message

    def test_asynchronously_too(self, serving: Serving) -> None:
        emulator = serving(script("cloudsway", {"error": "conflict"}))

        async def ask() -> None:
            async with async_client_of(emulator, "cloudsway") as client:
                await client.chat.completions.create(**asking("cloudsway"))

        with pytest.raises(openai.ConflictError):
            asyncio.run(ask())


QUICK = {"retry-after-ms": "1"}


def requests_made(emulator: Emulator, provider: str, failure: type[Exception] | None, **options: Any) -> int:
    """How many requests the SDK sends for one call, with one retry allowed."""
    before = len(emulator.journal)
    with client_of(emulator, provider, max_retries=1) as client:
        if failure is None:
            client.chat.completions.create(**asking(provider, stream=False))
        else:
            with pytest.raises(failure):
                client.chat.completions.create(**asking(provider, stream=False))
    return len(emulator.journal) - before


class TestTheSdkRetries:
    def test_maxtokens_refusal_of_content_though_it_can_never_succeed(self, serving: Serving) -> None:
        emulator = serving(script("maxtoken", {"error": {"name": "content_policy", "headers": QUICK}}))
        assert requests_made(emulator, "maxtoken", openai.InternalServerError) == 2

    def test_not_when_that_comes_with_status_400(self, serving: Serving) -> None:
        error = {"name": "content_policy", "headers": QUICK}
        emulator = serving(script("maxtoken", {"error": error}, content_policy_http_status=400))
        assert requests_made(emulator, "maxtoken", openai.BadRequestError) == 1

    @pytest.mark.parametrize(
        ("provider", "name", "failure", "expected"),
        [
            ("cloudsway", "conflict", openai.ConflictError, 2),
            ("cloudsway", "timeout", openai.InternalServerError, 2),
            ("serevix", "rate_limited", openai.RateLimitError, 2),
            ("serevix", "model_not_found", openai.InternalServerError, 2),
            ("maxtoken", "server_error", openai.InternalServerError, 2),
            ("maxtoken", "unauthorized", openai.AuthenticationError, 1),
            ("maxtoken", "insufficient_balance", openai.PermissionDeniedError, 1),
            ("cloudsway", "bad_request", openai.BadRequestError, 1),
        ],
    )
    def test_what_may_pass(
        self, provider: str, name: str, failure: type[Exception], expected: int, serving: Serving
    ) -> None:
        emulator = serving(script(provider, {"error": {"name": name, "headers": QUICK}}))
        assert requests_made(emulator, provider, failure) == expected

    def test_not_what_says_that_it_will_not_pass(self, serving: Serving) -> None:
        error = {"name": "rate_limited", "headers": {**QUICK, "x-should-retry": "false"}}
        assert requests_made(serving(script("serevix", {"error": error})), "serevix", openai.RateLimitError) == 1

    def test_until_it_is_answered(self, serving: Serving) -> None:
        failing = {"error": {"name": "rate_limited", "headers": QUICK}}
        replies = [failing, {"reply": {"content": "Hello there!"}}]
        emulator = serving(script("serevix", {"replies": replies, "then": "cycle"}))
        assert requests_made(emulator, "serevix", None) == 2
        assert [exchange.status for exchange in emulator.journal[-2:]] == [429, 200]


class TestNadlesSpeaksForItself:
    def test_its_envelope_is_read_with_plain_http(self, documented: Emulator, http: httpx.Client) -> None:
        body = question("nadles", "just respond with a short hi, nothing more")
        response = http.post(documented.url("nadles") + PATHS["nadles"], json=body, headers=KEYS["nadles"])
        assert response.raise_for_status().json()["model_response"]["choices"][0]["message"]["content"] == (
            "content text here"
        )

    def test_its_stream_is_read_line_by_line(self, documented: Emulator, http: httpx.Client) -> None:
        body = question("nadles", "just respond with a short hi, nothing more", stream=True)
        url = documented.url("nadles") + PATHS["nadles"]
        with http.stream("POST", url, json=body, headers=KEYS["nadles"]) as response:
            lines = [line for line in response.iter_lines() if line]
        assert all(line.startswith("data: ") for line in lines)
        assert lines[-1] == "data: [DONE]"

    def test_the_sdk_finds_no_choices_in_it(self, documented: Emulator) -> None:
        model = PATHS["nadles"].split("/")[1]
        with OpenAI(
            base_url=documented.url("nadles"), api_key="x", max_retries=0, default_headers=KEYS["nadles"]
        ) as client:
            with pytest.raises(openai.NotFoundError):
                client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}])
            answer: Any = client.post(f"/{model}/completion", cast_to=ChatCompletion, body=question("nadles"))
        assert answer.choices is None
        assert set(extra(answer)) == {"model_response", "summaries", "token_info"}


def test_every_documented_provider_is_spoken_to() -> None:
    assert {*SPEAKING, "nadles"} == set(DOCUMENTED)
