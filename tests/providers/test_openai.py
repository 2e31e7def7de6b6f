"""OpenAI's own API: chats, responses that are kept, embeddings, limits that count, what is refused; Azure's paths."""

import base64
import json
import struct
from math import hypot
from typing import Any

import httpx
import pytest
from talk import Serving, ordered

from emulator import Emulator

Json = dict[str, Any]
FIXED: Json = {"id": "resp_1", "created": 1}
LOOK: Json = {"type": "function", "name": "look", "parameters": {"type": "object"}}
RULES: list[Json] = [
    {"match": {"tool_result": {"name": "look"}}, "reply": {"content": "Seen."}},
    {"match": {"prompt": "greet", "turn": 2}, "reply": {"content": "Again."}},
    {"match": {"prompt": "greet"}, "reply": {"reasoning": "Hm.", "content": "Hello", **FIXED}},
    {
        "match": {"prompt": "look"},
        "reply": {"reasoning": "Hm.", "tool_calls": [{"name": "look", "arguments": {"at": "it"}, "id": "c"}]},
    },
    {"match": {"prompt": "edit"}, "reply": {"tool_calls": [{"name": "edit", "arguments": "some text", "id": "c"}]}},
    {
        "match": {"prompt": "slow"},
        "reply": {"content": "one two three"},
        "pace": {"ttft": 10, "tokens_per_second": 1},
    },
    {"match": {"operation": "moderations", "prompt": {"contains": "bomb"}}, "reply": {"content": "violence, illicit"}},
]


class Endpoint:
    def __init__(self, emulator: Emulator, http: httpx.Client) -> None:
        self.emulator = emulator
        self.http = http

    def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, base: str = "/v1"
    ) -> httpx.Response:
        shown = {"authorization": "Bearer sk-test"} if headers is None else headers
        return self.http.request(method, self.emulator.url("openai") + base + path, json=body, headers=shown)

    def chat(self, prompt: str = "greet", **members: Any) -> httpx.Response:
        messages = [{"role": "user", "content": prompt}]
        return self.send("POST", "/chat/completions", {"model": "gpt-4o", "messages": messages, **members})

    def respond(self, input: Any = "greet", **members: Any) -> httpx.Response:
        return self.send("POST", "/responses", {"model": "gpt-5", "input": input, **members})

    def get(self, id: str, path: str = "") -> httpx.Response:
        return self.send("GET", f"/responses/{id}{path}")


def read(response: httpx.Response) -> list[Json]:
    return [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]


def complaint(response: httpx.Response) -> tuple[int, str, str | None, str | None]:
    error = response.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return response.status_code, error["message"], error["param"], error["code"]


@pytest.fixture
def endpoint(http: httpx.Client) -> Any:
    with Emulator({"rules": RULES, "clock": "manual", "unmatched": "generate"}) as emulator:
        yield Endpoint(emulator, http)


@pytest.fixture
def configured(serving: Serving, http: httpx.Client) -> Any:
    """`configured(**settings)`: the provider with these settings, which writes its answers itself."""

    def make(**settings: Any) -> Endpoint:
        return Endpoint(serving({"unmatched": "generate", "providers": {"openai": settings}}), http)

    return make


class TestChats:
    def test_an_answer_has_openais_members_and_hides_thoughts(self, endpoint: Endpoint) -> None:
        body = endpoint.chat(model="gpt-5").json()
        assert ordered(body) == ordered(
            {
                "id": "resp_1",
                "object": "chat.completion",
                "created": 1,
                "model": "gpt-5",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": "Hello", "refusal": None, "annotations": []},
                        "logprobs": None,
                        "finish_reason": "stop",
                    }
                ],
                "usage": {
                    "prompt_tokens": 9,
                    "completion_tokens": 3,
                    "total_tokens": 12,
                    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                    "completion_tokens_details": {
                        "reasoning_tokens": 2,
                        "audio_tokens": 0,
                        "accepted_prediction_tokens": 0,
                        "rejected_prediction_tokens": 0,
                    },
                },
                "service_tier": "default",
                "system_fingerprint": None,
            }
        )

    def test_a_stream_levels_its_events_unless_asked_not_to(self, endpoint: Endpoint) -> None:
        options = {"include_usage": True}
        events = read(endpoint.chat(stream=True, stream_options=options))
        assert [event["choices"][0]["delta"] if event["choices"] else None for event in events] == [
            {"role": "assistant", "content": "", "refusal": None},
            {"content": "Hello"},
            {},
            None,
        ]
        assert [event["usage"] is None for event in events] == [True, True, True, False]
        assert all(event["obfuscation"].isalnum() for event in events)
        assert len(events[1]["obfuscation"] + "Hello") % 16 == 0
        bare = read(endpoint.chat(stream=True, stream_options={**options, "include_obfuscation": False}))
        assert [{k: v for k, v in event.items() if k != "obfuscation"} for event in events] == bare

    def test_a_call_has_no_index_and_its_stream_begins_with_it(self, endpoint: Endpoint) -> None:
        tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
        message = endpoint.chat("look", tools=[tool]).json()["choices"][0]["message"]
        call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at":"it"}'}}
        assert (message["content"], message["tool_calls"]) == (None, [call])
        first, *rest = read(endpoint.chat("look", tools=[tool], stream=True))
        begun = {"index": 0, **call, "function": {"name": "look", "arguments": ""}}
        assert first["choices"][0]["delta"] == {
            "role": "assistant",
            "content": None,
            "tool_calls": [begun],
            "refusal": None,
        }
        pieces = [event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] for event in rest[:-1]]
        assert "".join(pieces) == '{"at":"it"}'

    def test_a_custom_tool_gets_plain_text(self, endpoint: Endpoint) -> None:
        tool = {"type": "custom", "custom": {"name": "edit"}}
        (call,) = endpoint.chat("edit", tools=[tool]).json()["choices"][0]["message"]["tool_calls"]
        assert call == {"id": "c", "type": "custom", "custom": {"name": "edit", "input": "some text"}}

    @pytest.mark.parametrize(
        ("members", "status", "message", "param", "code"),
        [
            ({"foo": 1}, 400, "Unrecognized request argument supplied: foo", None, None),
            (
                {"messages": "x"},
                400,
                "Invalid type for 'messages': expected an array of objects, but got a string instead.",
                "messages",
                "invalid_type",
            ),
            (
                {"temperature": 3},
                400,
                "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.",
                "temperature",
                "decimal_above_max_value",
            ),
            (
                {"model": "gpt-5", "max_tokens": 5},
                400,
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
                "instead.",
                "max_tokens",
                "unsupported_parameter",
            ),
            (
                {"model": "gpt-5", "temperature": 0.5},
                400,
                "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is "
                "supported.",
                "temperature",
                "unsupported_value",
            ),
            (
                {"model": "gpt-x"},
                404,
                "The model `gpt-x` does not exist or you do not have access to it.",
                None,
                "model_not_found",
            ),
            ({"model": ""}, 400, "you must provide a model parameter", None, None),
            (
                {"tool_choice": "auto"},
                400,
                "'tool_choice' is only allowed when 'tools' are specified.",
                "tool_choice",
                None,
            ),
            (
                {
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}},
                    }
                },
                400,
                "Invalid schema for response_format 'n': In context=(), 'additionalProperties' is required to be "
                "supplied and to be false.",
                "response_format",
                None,
            ),
            (
                {"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]},
                400,
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                "'tool_calls'.",
                "messages.[0].role",
                None,
            ),
        ],
    )
    def test_complaints_are_openais(
        self, endpoint: Endpoint, members: Json, status: int, message: str, param: str | None, code: str | None
    ) -> None:
        assert complaint(endpoint.chat(**members)) == (status, message, param, code)

    def test_a_compatible_server_may_be_less_strict(self, configured: Any) -> None:
        lax = configured(strict_members=False, models=None, obfuscation=False)
        assert lax.chat(model="own", foo=1).status_code == 200
        assert "obfuscation" not in lax.chat(model="own", stream=True).text
        assert lax.send("POST", "/embeddings", {"model": "own", "input": "x", "foo": 1}).status_code == 200


class TestResponses:
    def test_thoughts_are_hidden_or_summed_up_or_sealed(self, endpoint: Endpoint) -> None:
        plain = endpoint.respond().json()["output"][0]
        assert plain == {"id": plain["id"], "type": "reasoning", "summary": []}
        asked = {"reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"]}
        reported = endpoint.respond(**asked).json()["output"][0]
        assert reported["summary"] == [{"type": "summary_text", "text": "Hm."}]
        assert reported["encrypted_content"].startswith("gAAAA")
        types = [event["type"] for event in read(endpoint.respond(stream=True, **asked))]
        assert types[3:7] == [
            "response.reasoning_summary_part.added",
            *["response.reasoning_summary_text.delta"] * 2,
            "response.reasoning_summary_text.done",
        ]
        assert not [t for t in types if "reasoning_text" in t]

    def test_a_stream_counts_and_levels_its_events(self, endpoint: Endpoint) -> None:
        events = read(endpoint.respond(stream=True))
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        (delta,) = [event for event in events if event["type"] == "response.output_text.delta"]
        assert list(delta)[-2:] == ["logprobs", "obfuscation"]
        assert ordered(events[-1]["response"]) == ordered(endpoint.respond().json())
        bare = endpoint.respond(stream=True, stream_options={"include_obfuscation": False})
        assert "obfuscation" not in bare.text
        assert "[DONE]" not in bare.text

    def test_what_is_kept_can_be_fetched_listed_and_deleted(self, endpoint: Endpoint) -> None:
        body = endpoint.respond().json()
        assert endpoint.get("resp_1").json() == body
        listed = endpoint.get("resp_1", "/input_items").json()
        assert [item["content"] for item in listed["data"]] == [[{"type": "input_text", "text": "greet"}]]
        gone = {"id": "resp_1", "object": "response", "deleted": True}
        assert endpoint.send("DELETE", "/responses/resp_1").json() == gone
        missing = (404, "Response with id 'resp_1' not found.", None, None)
        assert complaint(endpoint.get("resp_1")) == missing
        endpoint.respond(store=False)
        assert complaint(endpoint.get("resp_1")) == missing

    def test_a_conversation_goes_on_from_what_is_kept(self, endpoint: Endpoint) -> None:
        first = endpoint.respond(instructions="Be brief.").json()
        second = endpoint.respond(previous_response_id=first["id"]).json()
        assert second["output"][-1]["content"][0]["text"] == "Again."
        call = endpoint.respond("look", tools=[LOOK]).json()
        result = {"type": "function_call_output", "call_id": "c", "output": "sun"}
        seen = endpoint.respond([result], previous_response_id=call["id"]).json()
        assert seen["output"][-1]["content"][0]["text"] == "Seen."
        assert complaint(endpoint.respond(previous_response_id="resp_x")) == (
            400,
            "Previous response with id 'resp_x' not found.",
            "previous_response_id",
            "previous_response_not_found",
        )

    def test_each_namespace_keeps_its_own(self, endpoint: Endpoint) -> None:
        endpoint.respond()
        other = {"authorization": "Bearer k", "x-emulator-namespace": "other"}
        assert endpoint.send("GET", "/responses/resp_1", headers=other).status_code == 404

    def test_thoughts_have_to_come_back_with_the_calls_that_they_led_to(self, endpoint: Endpoint) -> None:
        thought, call = endpoint.respond("look", tools=[LOOK]).json()["output"]
        result = {"type": "function_call_output", "call_id": "c", "output": "sun"}
        asked = {"role": "user", "content": "look"}
        assert endpoint.respond([asked, thought, call, result]).status_code == 200
        reported = f"Item '{call['id']}' of type 'function_call' was provided without its required 'reasoning' item: "
        assert complaint(endpoint.respond([asked, call, result])) == (
            400,
            f"{reported}'{thought['id']}'.",
            "input",
            None,
        )
        assert complaint(endpoint.respond([asked, result]))[1] == (
            "No tool call found for function call output with call_id c."
        )
        assert complaint(endpoint.respond([asked, thought, call]))[1] == "No tool output found for function call c."
        unknown = endpoint.respond([{**thought, "id": "rs_x"}, asked])
        assert unknown.status_code == 404
        forged = endpoint.respond([{**thought, "id": "rs_x", "encrypted_content": "gAAAAABxx"}, asked])
        assert complaint(forged)[3] == "invalid_encrypted_content"

    def test_a_sealed_thought_needs_no_store(self, endpoint: Endpoint) -> None:
        asked = {"store": False, "include": ["reasoning.encrypted_content"], "tools": [LOOK]}
        output = endpoint.respond("look", **asked).json()["output"]
        result = {"type": "function_call_output", "call_id": "c", "output": "sun"}
        again = endpoint.respond([{"role": "user", "content": "look"}, *output, result], **asked).json()
        assert again["output"][-1]["content"][0]["text"] == "Seen."

    def test_the_background_takes_the_time_of_the_pace(self, endpoint: Endpoint) -> None:
        queued = endpoint.respond("slow", model="gpt-4o", background=True).json()
        assert (queued["status"], queued["output"], queued["usage"]) == ("queued", [], None)
        namespace = endpoint.emulator
        id = queued["id"]
        assert endpoint.get(id).json()["status"] == "queued"
        namespace.advance(10.5)
        assert endpoint.get(id).json()["status"] == "in_progress"
        namespace.advance(2)
        done = endpoint.get(id).json()
        assert (done["status"], done["output"][0]["content"][0]["text"]) == ("completed", "one two three")
        streamed = read(endpoint.respond("greet", model="gpt-4o", background=True, stream=True))
        assert [(event["type"], event["response"]["status"]) for event in streamed[:3]] == [
            ("response.created", "queued"),
            ("response.queued", "queued"),
            ("response.in_progress", "in_progress"),
        ]
        other = endpoint.respond("slow", model="gpt-4o", background=True).json()["id"]
        assert endpoint.send("POST", f"/responses/{other}/cancel", {}).json()["status"] == "cancelled"
        namespace.advance(100)
        assert endpoint.get(other).json()["status"] == "cancelled"
        endpoint.respond()
        reported = complaint(endpoint.send("POST", "/responses/resp_1/cancel", {}))
        assert reported[:2] == (400, "Cannot cancel a synchronous response.")

    @pytest.mark.parametrize(
        ("members", "message", "param", "code"),
        [
            ({"foo": 1}, "Unknown parameter: 'foo'.", "foo", "unknown_parameter"),
            (
                {"max_output_tokens": 1},
                "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 1 instead.",
                "max_output_tokens",
                "integer_below_min_value",
            ),
            (
                {"temperature": 0.5},
                "Unsupported parameter: 'temperature' is not supported with this model.",
                "temperature",
                "unsupported_parameter",
            ),
            (
                {"text": {"format": {"type": "json_schema", "schema": {}}}},
                "Missing required parameter: 'text.format.name'.",
                "text.format.name",
                "missing_required_parameter",
            ),
        ],
    )
    def test_complaints_are_openais(
        self, endpoint: Endpoint, members: Json, message: str, param: str, code: str
    ) -> None:
        assert complaint(endpoint.respond(**members)) == (400, message, param, code)

    def test_tokens_are_counted_without_an_answer(self, endpoint: Endpoint) -> None:
        count = endpoint.send("POST", "/responses/input_tokens", {"model": "gpt-5", "input": "greet"}).json()
        used = endpoint.respond().json()["usage"]["input_tokens"]
        assert count == {"object": "response.input_tokens", "input_tokens": used}


class TestEmbeddings:
    def embed(self, endpoint: Endpoint, input: Any, **members: Any) -> Json:
        body = {"model": "text-embedding-3-small", "input": input, **members}
        found: Json = endpoint.send("POST", "/embeddings", body).json()
        return found

    def vectors(self, endpoint: Endpoint, *texts: str, **members: Any) -> list[list[float]]:
        return [row["embedding"] for row in self.embed(endpoint, list(texts), **members)["data"]]

    @pytest.mark.parametrize(("model", "length"), [("text-embedding-3-small", 1536), ("text-embedding-3-large", 3072)])
    def test_vectors_have_the_length_1(self, endpoint: Endpoint, model: str, length: int) -> None:
        (vector,) = self.vectors(endpoint, "the cat sat", model=model)
        assert len(vector) == length
        assert hypot(*vector) == pytest.approx(1, abs=1e-6)

    def test_the_cosine_follows_shared_words(self, endpoint: Endpoint) -> None:
        texts = ("the cat sat on the mat", "the cat sat on a mat", "the dog sat", "quantum flux decays")
        first, *others = self.vectors(endpoint, *texts, dimensions=512)
        near, some, none = [sum(a * b for a, b in zip(first, other, strict=True)) for other in others]
        assert near > 0.8 > some > 0.3 > abs(none)

    @pytest.mark.parametrize("dimensions", [1, 8, 1536])
    def test_any_number_of_dimensions_in_either_form(self, endpoint: Endpoint, dimensions: int) -> None:
        (vector,) = self.vectors(endpoint, "猫が好き", dimensions=dimensions)
        (packed,) = self.vectors(endpoint, "猫が好き", dimensions=dimensions, encoding_format="base64")
        assert list(struct.unpack(f"<{dimensions}f", base64.b64decode(str(packed)))) == pytest.approx(vector)
        assert hypot(*vector) == pytest.approx(1, abs=1e-6)

    def test_several_inputs_and_tokens_are_counted(self, endpoint: Endpoint) -> None:
        body = self.embed(endpoint, [[1, 2, 3], [4]])
        assert [row["index"] for row in body["data"]] == [0, 1]
        assert body["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
        exchange = endpoint.emulator.journal[-1]
        assert (exchange.usage and exchange.usage.prompt, str(exchange.cost)) == (4, "8E-8")

        (row,) = self.embed(endpoint, [1, 2, 3])["data"]
        assert row == body["data"][0]

    def test_words_that_cancel_each_other_out_have_a_vector_too(self, endpoint: Endpoint) -> None:
        words = ["w0", "w1", "w4"]  # in one dimension, the first and the last add up to nothing
        assert self.vectors(endpoint, *words, dimensions=1) == [[1.0], [-1.0], [1.0]]

    def test_what_cannot_be_embedded_is_refused(self, endpoint: Endpoint) -> None:
        for input in ("", [], ["a", ""], ["a", 1], {"a": 1}, ["x"] * 2049, "word " * 9000):
            assert "error" in self.embed(endpoint, input), str(input)[:20]
        assert "dimensions" in self.embed(endpoint, "x", dimensions=5000)["error"]["message"]


def test_a_moderation_flags_what_a_rule_names(endpoint: Endpoint) -> None:
    def judged(input: str) -> Json:
        found: Json = endpoint.send("POST", "/moderations", {"input": input}).json()["results"][0]
        return found

    assert judged("hello")["flagged"] is False
    flagged = judged("a bomb")
    assert flagged["flagged"] is True
    assert [name for name, value in flagged["categories"].items() if value] == ["illicit", "violence"]


def test_models_are_listed_and_shown(endpoint: Endpoint) -> None:
    listed = endpoint.send("GET", "/models").json()["data"]
    assert {"gpt-4o", "gpt-6-astra", "gpt-6-luna", "text-embedding-3-large"} <= {row["id"] for row in listed}
    assert endpoint.send("GET", "/models/gpt-4o").json() in listed
    assert complaint(endpoint.send("GET", "/models/x")) == (
        404,
        "The model 'x' does not exist",
        "model",
        "model_not_found",
    )


def test_keys_and_paths_are_refused_in_openais_words(endpoint: Endpoint, configured: Any) -> None:
    nobody = endpoint.send("POST", "/chat/completions", {}, headers={})
    assert nobody.status_code == 401
    assert nobody.json()["error"]["message"].startswith("You didn't provide an API key.")
    assert complaint(endpoint.send("POST", "/x", {}))[1] == "Invalid URL (POST /v1/x)"
    listed = {"accounts": [{"key": "sk-good-key-1"}]}
    with Emulator(listed) as emulator:
        wrong = Endpoint(emulator, endpoint.http).send(
            "GET", "/models", headers={"authorization": "Bearer sk-wrong-key"}
        )
    assert complaint(wrong)[1].startswith("Incorrect API key provided: sk-w****-key.")
    assert complaint(wrong)[3] == "invalid_api_key"


class TestLimits:
    def test_headers_count_and_fill_up_again(self, http: httpx.Client) -> None:
        limits = {"requests_per_minute": 3, "tokens_per_minute": 6000}
        scenario = {"rules": RULES, "clock": "manual", "providers": {"openai": limits}}
        with Emulator(scenario) as emulator:
            endpoint = Endpoint(emulator, http)
            first, second, third = (endpoint.chat() for _ in range(3))
            left = [each.headers["x-ratelimit-remaining-requests"] for each in (first, second, third)]
            assert left == ["2", "1", "0"]
            assert third.headers["x-ratelimit-reset-requests"] == "1m0s"
            used = 3 * first.json()["usage"]["total_tokens"]
            assert third.headers["x-ratelimit-remaining-tokens"] == str(6000 - used)
            refused = endpoint.chat()
            status, message, _, code = complaint(refused)
            assert (status, code, refused.json()["error"]["type"]) == (429, "rate_limit_exceeded", "requests")
            assert "(RPM): Limit 3, Used 3, Requested 1. Please try again in 20s." in message
            assert (refused.headers["retry-after"], refused.headers["retry-after-ms"]) == ("20", "20000")
            emulator.advance(20)
            assert endpoint.chat().status_code == 200

    def test_without_a_setting_they_are_reported_and_not_enforced(self, endpoint: Endpoint) -> None:
        headers = endpoint.chat().headers
        assert headers["x-ratelimit-limit-requests"] == "10000"
        assert headers["x-request-id"].startswith("req_")
        assert int(headers["x-ratelimit-remaining-tokens"]) < 30_000_000


class TestAzure:
    @pytest.mark.parametrize("base", ["/deployments/mine", "/openai/deployments/mine"])
    def test_a_deployment_answers_under_its_name(self, endpoint: Endpoint, base: str) -> None:
        body = {"messages": [{"role": "user", "content": "greet"}]}
        path = "/chat/completions?api-version=2024-10-21"
        answer = endpoint.send("POST", path, body, {"api-key": "k"}, base)
        assert (answer.json()["model"], answer.json()["choices"][0]["message"]["content"]) == ("mine", "Hello")
        vector = endpoint.send("POST", "/embeddings?api-version=1", {"input": "x"}, {"api-key": "k"}, base)
        assert len(vector.json()["data"][0]["embedding"]) == 1536
        unversioned = endpoint.send("POST", "/chat/completions", body, {"api-key": "k"}, base)
        assert unversioned.json() == {"error": {"code": "404", "message": "Resource not found"}}


class TestWhatElseIsRead:
    @pytest.mark.parametrize("mode", ["required", "auto"])
    def test_some_of_the_tools_may_be_allowed(self, mode: str, endpoint: Endpoint) -> None:
        choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": []}}
        tool = {"type": "function", "function": {"name": "a"}}
        (row,) = endpoint.chat("Hi", tools=[tool], tool_choice=choice).json()["choices"]
        assert [call["function"]["name"] for call in row["message"].get("tool_calls", ())] == ["a"] * (
            mode == "required"
        )
        flat = {"type": "allowed_tools", "mode": mode, "tools": [{"type": "function", "name": "a"}]}
        output = endpoint.respond("Hi", model="gpt-4o", tools=[{"type": "function", "name": "a"}], tool_choice=flat)
        named = [item["name"] for item in output.json()["output"] if item["type"] == "function_call"]
        assert named == ["a"] * (mode == "required")

    def test_a_built_in_tool_may_be_chosen(self, endpoint: Endpoint) -> None:
        chosen = {"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}
        output = endpoint.respond("Hi", model="gpt-4o", **chosen).json()["output"]
        assert [item["type"] for item in output] == ["web_search_call", "message"]

    def test_a_streamed_piece_has_its_likelihood(self, endpoint: Endpoint) -> None:
        for options in ({}, {"stream_options": {"include_obfuscation": False}}):
            chunks = read(endpoint.chat("greet", stream=True, logprobs=True, **options))
            rows = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
            texts = [row["delta"]["content"] for row in rows if row["delta"].get("content")]
            likely = [row["logprobs"]["content"] for row in rows if row["delta"].get("content")]
            assert texts == ["Hello"]
            assert [[each["token"] for each in row] for row in likely] == [["Hello"]]
            assert ["obfuscation" in chunk for chunk in chunks] == [not options] * 3

    def test_calls_of_custom_tools_and_their_results_are_read(self, endpoint: Endpoint) -> None:
        custom = {"id": "c", "type": "custom", "custom": {"name": "look", "input": "x"}}
        messages = [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "tool_calls": [custom]},
            {"role": "tool", "tool_call_id": "c", "content": "y"},
        ]
        answer = endpoint.send("POST", "/chat/completions", {"model": "gpt-4o", "messages": messages}).json()
        assert answer["choices"][0]["message"]["content"] == "Seen."

    def test_a_moderated_picture_counts_with_its_text(self, endpoint: Endpoint) -> None:
        parts = [
            {"type": "text", "text": "a bomb"},
            {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}},
        ]
        answer = endpoint.send("POST", "/moderations", {"input": parts}).json()
        (row,) = answer["results"]
        applied = row["category_applied_input_types"]
        assert row["flagged"]
        assert {name for name, flagged in row["categories"].items() if flagged} == {"violence", "illicit"}
        assert (applied["violence"], applied["illicit"]) == (["text", "image"], ["text"])
