"""Gemini behind OpenAI's chat completions: at Google itself, and at Cloudsway."""

import json
from typing import Any

import httpx
import openai
import pytest

from emulator import Emulator

Json = dict[str, Any]
RULES: list[Json] = [
    {"match": {"prompt": "greet"}, "reply": {"reasoning": "I greet.", "content": "Hello there", "id": "r1"}},
    {"match": {"prompt": "look"}, "reply": {"tool_calls": [{"name": "look", "arguments": {"at": "it"}, "id": "c1"}]}},
]
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
SHOWN = {"google": {"thinking_config": {"include_thoughts": True}}}
GOOGLE, CLOUDSWAY = "/gemini/v1beta/openai", "/cloudsway/v1/ai/demo/google"


@pytest.fixture(scope="module")
def emulator() -> Any:
    scenario = {"rules": RULES, "clock": "manual", "unmatched": "generate"}
    with Emulator(scenario, seed=1) as running:
        yield running


class Endpoint:
    def __init__(self, emulator: Emulator, http: httpx.Client, base: str) -> None:
        self.url = emulator.origin + base
        self.http = http

    def send(self, prompt: str = "greet", headers: Json | None = None, **members: Any) -> httpx.Response:
        body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": prompt}], **members}
        return self.http.post(
            f"{self.url}/chat/completions",
            json=body,
            headers={"authorization": "Bearer k"} if headers is None else headers,
        )

    def events(self, **members: Any) -> list[Json]:
        response = self.send(stream=True, **members)
        *events, last, rest = response.text.split("\n\n")
        assert (last, rest) == ("data: [DONE]", "")
        return [json.loads(event.removeprefix("data: ")) for event in events]


@pytest.fixture(params=[GOOGLE, CLOUDSWAY], ids=["google", "cloudsway"])
def endpoint(emulator: Emulator, http: httpx.Client, request: pytest.FixtureRequest) -> Endpoint:
    return Endpoint(emulator, http, request.param)


@pytest.fixture
def google(emulator: Emulator, http: httpx.Client) -> Endpoint:
    return Endpoint(emulator, http, GOOGLE)


def test_an_answer_has_its_members_in_alphabetical_order(endpoint: Endpoint) -> None:
    answer = endpoint.send().json()
    assert answer == {
        "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": "Hello there", "role": "assistant"}}],
        "created": answer["created"],
        "id": "r1",
        "model": "gemini-2.5-flash",
        "object": "chat.completion",
        "usage": {"completion_tokens": 2, "prompt_tokens": 2, "total_tokens": 7},
    }
    assert list(answer) == sorted(answer)


def test_a_stream_repeats_the_role_and_tells_the_usage_to_those_who_ask(endpoint: Endpoint) -> None:
    plain = endpoint.events()
    assert [event["choices"] for event in plain] == [
        [{"delta": {"content": "Hello", "role": "assistant"}, "index": 0}],
        [{"delta": {"content": " there", "role": "assistant"}, "index": 0}],
        [{"delta": {"content": "", "role": "assistant"}, "finish_reason": "stop", "index": 0}],
    ]
    assert all("usage" not in event for event in plain)
    usage = {"completion_tokens": 2, "prompt_tokens": 2, "total_tokens": 7}
    asked = endpoint.events(stream_options={"include_usage": True})
    assert [event["usage"] for event in asked] == [usage] * 3


def test_thoughts_are_shown_to_those_who_ask(endpoint: Endpoint) -> None:
    (choice,) = endpoint.send(extra_body=SHOWN).json()["choices"]
    assert choice["message"]["content"] == "<thought>I greet.</thought>Hello there"
    deltas = [event["choices"][0]["delta"] for event in endpoint.events(extra_body=SHOWN)]
    thought = [delta for delta in deltas if delta.get("extra_content") == {"google": {"thought": True}}]
    assert "".join(delta["content"] for delta in thought) == "I greet."
    assert "".join(delta["content"] for delta in deltas[len(thought) :]) == "Hello there"


def test_no_effort_is_no_thought(endpoint: Endpoint) -> None:
    usage = endpoint.send(reasoning_effort="none").json()["usage"]
    assert usage == {"completion_tokens": 2, "prompt_tokens": 2, "total_tokens": 4}


def test_a_call_comes_whole_in_one_event(endpoint: Endpoint) -> None:
    call = {"function": {"arguments": '{"at":"it"}', "name": "look"}, "id": "c1", "type": "function"}
    (choice,) = endpoint.send("look", tools=[LOOK]).json()["choices"]
    assert choice["message"] == {"role": "assistant", "tool_calls": [call]}
    assert choice["finish_reason"] == "tool_calls"
    first, last = endpoint.events(prompt="look", tools=[LOOK])
    assert first["choices"][0]["delta"] == {"role": "assistant", "tool_calls": [{**call, "index": 0}]}
    assert last["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("members", "status", "message"),
    [
        ({"foo": 1}, 400, 'Invalid JSON payload received. Unknown name "foo": Cannot find field.'),
        ({"max_tokens": "x"}, 400, "Invalid JSON payload received. Invalid value at 'max_tokens'."),
        ({"messages": []}, 400, "GenerateContentRequest.contents: contents is not specified"),
        (
            {"reasoning_effort": "low", "extra_body": {"google": {"thinking_config": {"thinking_budget": 1}}}},
            400,
            "Expected one of either `reasoning_effort` or custom `thinking_config`; found both.",
        ),
        (
            {"model": "gpt-4o"},
            404,
            "models/gpt-4o is not found for API version v1beta, or is not supported for generateContent. Call "
            "ListModels to see the list of available models and their supported methods.",
        ),
    ],
)
def test_errors_of_google_stand_in_a_list(google: Endpoint, members: Json, status: int, message: str) -> None:
    answer = google.send(**members)
    name = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND"}[status]
    assert answer.json() == [{"error": {"code": status, "message": message, "status": name}}]
    assert answer.status_code == status


def test_an_error_whose_body_is_written_out_stands_in_no_list(http: httpx.Client) -> None:
    with Emulator({"rules": [{"error": {"status": 503, "body": "down"}}]}) as emulator:
        answer = Endpoint(emulator, http, GOOGLE).send()
    assert (answer.status_code, answer.text) == (503, "down")


def test_a_key_is_needed(google: Endpoint, emulator: Emulator, http: httpx.Client) -> None:
    answer = google.send(headers={})
    message = "Missing or invalid Authorization header."
    assert answer.json() == [{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}]
    assert google.send(headers={"x-goog-api-key": "k"}).status_code == 200
    assert Endpoint(emulator, http, CLOUDSWAY).send(headers={}).status_code == 401


def test_cloudsway_takes_any_member_and_needs_no_model(emulator: Emulator, http: httpx.Client) -> None:
    cloudsway = Endpoint(emulator, http, CLOUDSWAY)
    assert (
        cloudsway.send(model=None, foo=1, tools=[LOOK], tool_choice="validated").json()["model"] == "gemini-2.5-flash"
    )
    refused = cloudsway.send(max_tokens=0)
    assert (refused.status_code, list(refused.json())) == (400, ["error"])


def test_faults_work_on_it(emulator: Emulator, http: httpx.Client) -> None:
    for fault, status in (("429", 429), ("content_policy", 400), ("overloaded", 503)):
        answer = Endpoint(emulator, http, f"/~{fault}{GOOGLE}").send()
        assert (answer.status_code, answer.json()[0]["error"]["code"]) == (status, status)
    cut = Endpoint(emulator, http, f"/~finish_reason:value=length{GOOGLE}").send(stream=True).text
    assert '"finish_reason":"length"' in cut
    assert "[DONE]" not in Endpoint(emulator, http, f"/~no_done{GOOGLE}").send(stream=True).text


def test_openai_python_speaks_it(emulator: Emulator) -> None:
    with openai.OpenAI(base_url=emulator.origin + GOOGLE, api_key="k", max_retries=0) as client:
        question: Any = [{"role": "user", "content": "greet"}]
        answer = client.chat.completions.create(model="gemini-2.5-flash", messages=question)
        assert answer.choices[0].message.content == "Hello there"
        parts = client.chat.completions.create(model="gemini-2.5-flash", messages=question, stream=True)
        assert "".join(part.choices[0].delta.content or "" for part in parts) == "Hello there"
        vectors = client.embeddings.create(
            model="gemini-embedding-001", input=["a cat", "a cat", "steel"], dimensions=8
        )
        assert vectors.data[0].embedding == vectors.data[1].embedding != vectors.data[2].embedding
        assert len(vectors.data[0].embedding) == 8
        assert "models/gemini-2.5-flash" in [model.id for model in client.models.list()]
        assert client.models.retrieve("gemini-2.5-flash").owned_by == "google"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-4o")
        with pytest.raises(openai.BadRequestError):
            client.embeddings.create(model="gemini-embedding-001", input="")
