"""OpenRouter: its own members, prices, hosts and errors."""

import json
from typing import Any

import httpx
import openai
import pytest
from talk import Serving, ordered

from emulator import Emulator

Json = dict[str, Any]
FIXED: Json = {"id": "gen-1", "created": 1}
RULES: list[Json] = [
    {"match": {"prompt": "greet"}, "reply": {"reasoning": "Hm.", "content": "Hello", **FIXED}},
    {"match": {"prompt": "look"}, "reply": {"tool_calls": [{"name": "look", "arguments": {"at": "it"}, "id": "c"}]}},
    {"match": {"prompt": "slow"}, "reply": {"content": "Hello", **FIXED}, "pace": {"ttft": 12}},
]
BASE = "/api/v1"


class Endpoint:
    def __init__(self, emulator: Emulator, http: httpx.Client) -> None:
        self.emulator = emulator
        self.http = http

    def send(self, method: str, path: str, body: Any = None, headers: Json | None = None) -> httpx.Response:
        shown = {"authorization": "Bearer sk-or-test"} if headers is None else headers
        return self.http.request(method, self.emulator.url("openrouter") + BASE + path, json=body, headers=shown)

    def chat(self, prompt: str = "greet", headers: Json | None = None, **members: Any) -> httpx.Response:
        body = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": prompt}], **members}
        given = {"authorization": "Bearer sk-or-test", **(headers or {})}
        return self.send("POST", "/chat/completions", body, given)


@pytest.fixture
def endpoint(serving: Serving, http: httpx.Client) -> Endpoint:
    return Endpoint(serving({"rules": RULES, "clock": "virtual"}), http)


def read(response: httpx.Response) -> list[Json]:
    return [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]


USAGE: Json = {
    "prompt_tokens": 6,
    "completion_tokens": 4,
    "total_tokens": 10,
    "cost": 0.000055,
    "is_byok": False,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0, "video_tokens": 0},
    "cost_details": {
        "upstream_inference_cost": None,
        "upstream_inference_prompt_cost": 0.000015,
        "upstream_inference_completions_cost": 0.00004,
    },
    "completion_tokens_details": {"reasoning_tokens": 3, "image_tokens": 0},
}
DETAILS = [{"type": "reasoning.text", "text": "Hm.", "format": "unknown", "index": 0}]


def test_an_answer_names_who_gave_it_and_what_it_cost(endpoint: Endpoint) -> None:
    assert ordered(endpoint.chat().json()) == ordered(
        {
            "id": "gen-1",
            "provider": "OpenAI",
            "model": "openai/gpt-4o",
            "object": "chat.completion",
            "created": 1,
            "choices": [
                {
                    "logprobs": None,
                    "finish_reason": "stop",
                    "native_finish_reason": "stop",
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "Hello",
                        "refusal": None,
                        "reasoning": "Hm.",
                        "reasoning_details": DETAILS,
                    },
                }
            ],
            "usage": USAGE,
        }
    )


def test_a_stream_ends_with_the_usage_whether_asked_for_or_not(endpoint: Endpoint) -> None:
    events = read(endpoint.chat(stream=True))
    assert [event["choices"][0]["delta"] for event in events] == [
        {"role": "assistant", "content": ""},
        *[{"role": "assistant", "content": "", "reasoning": piece} for piece in ("H", "m", ".")],
        {"role": "assistant", "content": "Hello"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": ""},
    ]
    assert [event["choices"][0]["finish_reason"] for event in events] == [*[None] * 5, "stop", None]
    assert [event.get("usage") for event in events] == [*[None] * 6, USAGE]
    assert {event["provider"] for event in events} == {"OpenAI"}


def test_who_waits_reads_that_it_is_being_processed(endpoint: Endpoint) -> None:
    assert endpoint.chat("slow", stream=True).text.startswith(": OPENROUTER PROCESSING\n\n" * 2 + "data: {")


def test_thoughts_may_be_left_out_and_are_paid_for(endpoint: Endpoint) -> None:
    for members in ({"reasoning": {"exclude": True}}, {"include_reasoning": False}):
        body = endpoint.chat(**members).json()
        message = body["choices"][0]["message"]
        assert (message["reasoning"], "reasoning_details" in message, body["usage"]) == (None, False, USAGE)
        events = read(endpoint.chat(stream=True, **members))
        assert not any("reasoning" in event["choices"][0]["delta"] for event in events)
    assert endpoint.chat(reasoning={"effort": "none"}).json()["usage"]["completion_tokens"] == 1


def test_another_model_stands_in_and_another_provider_runs_it(endpoint: Endpoint) -> None:
    fallback = endpoint.chat(model="x/y", models=["a/b", "anthropic/claude-haiku-4.5"]).json()
    assert (fallback["model"], fallback["provider"]) == ("anthropic/claude-haiku-4.5", "Anthropic")
    wished = endpoint.chat(provider={"order": ["azure", "openai"]}).json()
    assert wished["provider"] == "azure"
    assert endpoint.chat(model="openrouter/auto").json()["model"] == "openai/gpt-4o"
    free = endpoint.chat(model="deepseek/deepseek-r1:free").json()
    assert (free["model"], free["usage"]["cost"]) == ("deepseek/deepseek-r1:free", 0.0)


def test_each_error_has_its_code_and_what_is_known_of_it(endpoint: Endpoint) -> None:
    unknown = endpoint.chat(model="x/y")
    assert (unknown.status_code, unknown.json()["error"]) == (
        400,
        {"message": "x/y is not a valid model ID", "code": 400},
    )
    nobody = endpoint.send("GET", "/key", headers={})
    assert (nobody.status_code, nobody.json()) == (
        401,
        {"error": {"message": "No auth credentials found", "code": 401}},
    )
    wrong = endpoint.chat(headers={"x-emulator-fault": "error:name=unauthorized"})
    assert (wrong.status_code, wrong.json()) == (401, {"error": {"message": "User not found.", "code": 401}})
    limited = endpoint.chat(headers={"x-emulator-fault": "error:name=rate_limited"})
    assert (limited.status_code, set(limited.json()["error"]["metadata"])) == (429, {"raw", "provider_name"})
    broke = endpoint.chat(headers={"x-emulator-fault": "error:name=insufficient_balance"})
    assert (broke.status_code, broke.json()["error"]["code"]) == (402, 402)


def test_an_error_in_a_stream_is_a_chunk_that_finishes_with_it(endpoint: Endpoint) -> None:
    *_, last = read(endpoint.chat(stream=True, headers={"x-emulator-fault": "error_event:after_tokens=2"}))
    assert last == {
        "id": "gen-1",
        "provider": "OpenAI",
        "model": "openai/gpt-4o",
        "object": "chat.completion.chunk",
        "created": 1,
        "error": {"code": 502, "message": "Provider returned error"},
        "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
    }


def test_models_keys_and_credits(http: httpx.Client) -> None:
    accounts = [{"provider": "openrouter", "key": "sk-or-test", "balance": "1"}]
    with Emulator({"rules": RULES, "accounts": accounts, "providers": {"openrouter": {"credits": "1"}}}) as emulator:
        endpoint = Endpoint(emulator, http)
        endpoint.chat()
        key, credits = [endpoint.send("GET", path).json()["data"] for path in ("/key", "/credits")]
        rows = {row["id"]: row for row in endpoint.send("GET", "/models").json()["data"]}
    assert (key["usage"], key["limit_remaining"]) == (0.000055, 0.999945)
    assert credits == {"total_credits": 1.0, "total_usage": 0.000055}
    assert rows["openai/gpt-4o"]["pricing"] == {
        "prompt": "0.0000025",
        "completion": "0.00001",
        "input_cache_read": "0.00000125",
    }


def test_openai_python_reads_it_with_and_without_a_stream(endpoint: Endpoint) -> None:
    with openai.OpenAI(base_url=endpoint.emulator.url("openrouter") + BASE, api_key="k", max_retries=0) as client:
        asked: Json = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "look"}]}
        whole = client.chat.completions.create(**asked)
        (call,) = list(whole.choices[0].message.tool_calls or [])
        assert (call.id, whole.choices[0].finish_reason) == ("c", "tool_calls")
        pieces = ""
        for chunk in client.chat.completions.create(**asked, stream=True):
            for delta in chunk.choices[0].delta.tool_calls or ():
                assert delta.function is not None
                pieces += delta.function.arguments or ""
        assert json.loads(pieces) == {"at": "it"}
        with pytest.raises(openai.BadRequestError, match="not a valid model ID"):
            client.chat.completions.create(**{**asked, "model": "x/y"})
