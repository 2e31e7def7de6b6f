"""DeepSeek's own API according to its reference and to captured traffic: bodies, streams, headers, all errors."""

import json
import re
from typing import Any

import httpx
import pytest
from talk import Ask, Serving, events, ordered, question, script, sse

from emulator import Emulator
from emulator.providers.base import ERROR_NAMES, INTERNAL_NAMES
from emulator.providers.deepseek import DeepSeek

FINGERPRINT = "fp_9954b31ca7_prod0820_fp8_kvcache_20260402"
ID = "d5f0d4b6-7f5d-4f5b-9f3e-0123456789ab"
FIXED: dict[str, Any] = {"id": ID, "created": 1780299859}
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
THINKING = {"type": "enabled"}
NOT_THINKING = {"type": "disabled"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather at a place",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}
CALLS = [{"name": "weather", "arguments": '{"place": "Rome"}'}, {"name": "weather", "arguments": '{"place": "Oslo"}'}]
RULES: list[dict[str, Any]] = [
    {"match": {"operation": "completions"}, "reply": {"content": " return 😊", **FIXED}},
    {"match": {"prompt": "think"}, "reply": {"reasoning": "They greet.", "content": "Hello 😊", **FIXED}},
    {"match": {"prompt": "call"}, "reply": {"reasoning": "Two.", "tool_calls": CALLS, **FIXED}},
    {"match": {"prompt": "call at once"}, "reply": {"tool_calls": CALLS[:1], **FIXED}},
    {"match": {"prompt": "slow"}, "reply": {"reasoning": "Hm.", "content": "Hello", **FIXED}, "pace": {"ttft": 35}},
    {"reply": {"content": "Hello there!", **FIXED}},
]


PROFILE = "2026-04-26"
"""Of the time of the documents; `test_deepseek_profiles` has what came later."""


@pytest.fixture(scope="module")
def scripted(serving: Serving) -> Emulator:
    return serving({"rules": RULES, "clock": "virtual", "providers": {"deepseek": {"profile": PROFILE}}})


@pytest.fixture(scope="module")
def generating(serving: Serving) -> Emulator:
    return serving(free())


def free(*, accounts: Any = (), **settings: Any) -> dict[str, Any]:
    """A scenario without rules: every answer is generated."""
    chosen = {"profile": PROFILE, **settings}
    return {"unmatched": "generate", "providers": {"deepseek": chosen}, "accounts": list(accounts)}


def usage(prompt: int, completion: int, reasoning: int | None = None, cached: int = 0) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        **({} if reasoning is None else {"completion_tokens_details": {"reasoning_tokens": reasoning}}),
        "prompt_cache_hit_tokens": cached,
        "prompt_cache_miss_tokens": prompt - cached,
    }


def whole(message: dict[str, Any], used: dict[str, Any], finish_reason: str = "stop") -> dict[str, Any]:
    return {
        "id": ID,
        "object": "chat.completion",
        "created": 1780299859,
        "model": "deepseek-v4-pro",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", **message},
                "logprobs": None,
                "finish_reason": finish_reason,
            }
        ],
        "usage": used,
        "system_fingerprint": FINGERPRINT,
    }


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "object": "chat.completion.chunk",
        "created": 1780299859,
        "model": "deepseek-v4-pro",
        "system_fingerprint": FINGERPRINT,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
        **more,
    }


def error_spec(message: str, kind: str = "invalid_request_error", code: str = "invalid_request_error") -> str:
    return json.dumps(
        {"error": {"message": message, "type": kind, "param": None, "code": code}},
        ensure_ascii=False,
        separators=(",", ":"),
    )


class TestAWholeAnswer:
    def test_has_reasoning_beside_the_content_and_the_fingerprint_last(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "deepseek", question("deepseek", "think"))
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        message = {"content": "Hello 😊", "reasoning_content": "They greet."}
        assert ordered(response.json()) == ordered(whole(message, usage(5, 7, 3)))

    def test_has_neither_reasoning_nor_its_count_without_thinking(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "deepseek", question("deepseek", "think", thinking=NOT_THINKING))
        assert ordered(response.json()) == ordered(whole({"content": "Hello 😊"}, usage(5, 3)))

    def test_has_empty_reasoning_when_the_model_thinks_and_a_rule_says_none(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "deepseek", question("deepseek", "Hi"))
        message = {"content": "Hello there!", "reasoning_content": ""}
        assert ordered(response.json()) == ordered(whole(message, usage(5, 4, 0)))

    def test_tells_calls_of_tools_with_their_index_and_empty_content(self, scripted: Emulator, ask: Ask) -> None:
        body = ask(scripted, "deepseek", question("deepseek", "call", tools=[WEATHER])).json()
        ids = [call["id"] for call in body["choices"][0]["message"]["tool_calls"]]
        assert re.fullmatch("call_00_[0-9A-Za-z]{24} call_01_[0-9A-Za-z]{24}", " ".join(ids))
        calls = [
            {"index": index, "id": ids[index], "type": "function", "function": call} for index, call in enumerate(CALLS)
        ]
        message = {"content": "", "reasoning_content": "Two.", "tool_calls": calls}
        assert ordered(body) == ordered(whole(message, body["usage"], "tool_calls"))

    def test_has_an_id_of_its_own_that_is_a_uuid(self, generating: Emulator, ask: Ask) -> None:
        ids = [ask(generating, "deepseek", question("deepseek")).json()["id"] for _ in range(3)]
        assert len(set(ids)) == 3
        assert all(re.fullmatch(UUID, each) for each in ids)

    def test_thinks_unless_it_is_asked_not_to(self, generating: Emulator, serving: Serving, ask: Ask) -> None:
        idle = serving(free(thinking_default="disabled"))

        def thinks(emulator: Emulator = generating, **members: Any) -> bool:
            message = ask(emulator, "deepseek", question("deepseek", **members)).json()["choices"][0]["message"]
            return bool(message.get("reasoning_content"))

        assert thinks()
        assert thinks(thinking=None)
        assert thinks(thinking={"type": "adaptive"})
        assert thinks(reasoning_effort="max")
        assert not thinks(reasoning_effort="none")
        assert not thinks(thinking=NOT_THINKING)
        assert not thinks(idle)
        assert thinks(idle, thinking=THINKING)

    def test_costs_more_prompt_with_the_highest_effort(self, serving: Serving, ask: Ask) -> None:
        current, earlier = serving(free(effort="current")), serving(free(effort="earlier"))

        def prompt(emulator: Emulator, effort: str) -> int:
            body = ask(emulator, "deepseek", question("deepseek", reasoning_effort=effort)).json()
            tokens: int = body["usage"]["prompt_tokens"]
            return tokens

        assert [prompt(current, effort) for effort in ("low", "high", "xhigh", "max")] == [5, 5, 5, 84]
        assert [prompt(earlier, effort) for effort in ("low", "high", "xhigh", "max")] == [5, 5, 84, 84]

    def test_has_log_probabilities_of_reasoning_and_content(self, scripted: Emulator, ask: Ask) -> None:
        body = question("deepseek", "think", logprobs=True, top_logprobs=1)
        reported = ask(scripted, "deepseek", body).json()["choices"][0]["logprobs"]
        assert list(reported) == ["content", "reasoning_content"]
        assert [row["token"] for row in reported["content"]] == ["Hello", " 😊"]
        assert [row["token"] for row in reported["reasoning_content"]] == ["They", " greet", "."]
        assert list(reported["content"][0]) == ["token", "logprob", "bytes", "top_logprobs"]


class TestAStream:
    def test_brings_a_token_a_chunk_and_the_usage_with_the_finish(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "deepseek", question("deepseek", "think", stream=True))
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.text == sse(
            chunk({"role": "assistant", "content": None, "reasoning_content": ""}),
            chunk({"content": None, "reasoning_content": "They"}),
            chunk({"content": None, "reasoning_content": " greet"}),
            chunk({"content": None, "reasoning_content": "."}),
            chunk({"content": "Hello", "reasoning_content": None}),
            chunk({"content": " 😊", "reasoning_content": None}),
            chunk({"content": "", "reasoning_content": None}, "stop", usage=usage(5, 7, 3)),
        )

    def test_says_null_usage_before_the_end_when_usage_is_asked_for(self, scripted: Emulator, ask: Ask) -> None:
        body = question("deepseek", stream=True, thinking=NOT_THINKING, stream_options={"include_usage": True})
        assert ask(scripted, "deepseek", body).text == sse(
            chunk({"role": "assistant", "content": ""}, usage=None),
            chunk({"content": "Hello"}, usage=None),
            chunk({"content": " there"}, usage=None),
            chunk({"content": "!"}, usage=None),
            chunk({"content": ""}, "stop", usage=usage(5, 3)),
        )

    def test_brings_calls_of_tools_one_after_the_other(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "deepseek", question("deepseek", "call", stream=True, tools=[WEATHER]))
        reported = events(response)
        ids = [
            call["id"]
            for event in reported
            for call in event["choices"][0]["delta"].get("tool_calls", ())
            if "id" in call
        ]
        assert re.fullmatch("call_00_[0-9A-Za-z]{24} call_01_[0-9A-Za-z]{24}", " ".join(ids))

        def named(index: int) -> dict[str, Any]:
            function = {"name": "weather", "arguments": ""}
            return {"tool_calls": [{"index": index, "id": ids[index], "type": "function", "function": function}]}

        def argued(index: int, arguments: str) -> dict[str, Any]:
            return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}

        assert response.text == sse(
            chunk({"role": "assistant", "content": None, "reasoning_content": ""}),
            chunk({"content": None, "reasoning_content": "Two"}),
            chunk({"content": None, "reasoning_content": "."}),
            chunk(named(0)),
            *[chunk(argued(0, piece)) for piece in ("{", '"', "place", '"', ": ", '"', "Rome", '"', "}")],
            chunk(named(1)),
            *[chunk(argued(1, piece)) for piece in ("{", '"', "place", '"', ": ", '"', "Os", "lo", '"', "}")],
            chunk({"content": "", "reasoning_content": None}, "tool_calls", usage=reported[-1]["usage"]),
        )

    def test_ends_with_length_where_the_tokens_do(self, scripted: Emulator, ask: Ask) -> None:
        body = question("deepseek", "think", stream=True, max_tokens=2)
        assert ask(scripted, "deepseek", body).text == sse(
            chunk({"role": "assistant", "content": None, "reasoning_content": ""}),
            chunk({"content": None, "reasoning_content": "They"}),
            chunk({"content": None, "reasoning_content": " greet"}),
            chunk({"content": "", "reasoning_content": None}, "length", usage=usage(5, 2, 2)),
        )

    def test_says_the_same_as_the_whole_answer(self, generating: Emulator, ask: Ask) -> None:
        body = question("deepseek", "Tell me about the sea", max_tokens=40)
        message = ask(generating, "deepseek", body).json()["choices"][0]["message"]
        deltas = [
            event["choices"][0]["delta"] for event in events(ask(generating, "deepseek", {**body, "stream": True}))
        ]
        assert "".join(delta["content"] or "" for delta in deltas) == message["content"]
        assert "".join(delta["reasoning_content"] or "" for delta in deltas) == message["reasoning_content"]


EVERYWHERE = {
    "server": "openresty",
    "vary": "origin, access-control-request-method, access-control-request-headers",
    "access-control-allow-credentials": "true",
    "strict-transport-security": "max-age=31536000; includeSubDomains; preload",
    "x-content-type-options": "nosniff",
}


class TestTheHeaders:
    @pytest.mark.parametrize(
        ("body", "headers"),
        [
            (question("deepseek"), None),
            (question("deepseek", stream=True), None),
            ({}, None),
            (question("deepseek"), {}),
        ],
        ids=["whole", "stream", "refusal", "no key"],
    )
    def test_stand_on_every_response(
        self, body: Any, headers: dict[str, str] | None, scripted: Emulator, ask: Ask
    ) -> None:
        response = ask(scripted, "deepseek", body, headers=headers)
        assert EVERYWHERE.items() <= dict(response.headers).items()
        assert re.fullmatch("[0-9a-f]{32}", response.headers["x-ds-trace-id"])
        assert "x-request-id" not in response.headers
        assert "access-control-allow-origin" not in response.headers

    def test_trace_each_request_by_an_id_of_its_own(self, scripted: Emulator, ask: Ask) -> None:
        ids = {ask(scripted, "deepseek", question("deepseek")).headers["x-ds-trace-id"] for _ in range(3)}
        assert len(ids) == 3


class TestTheKey:
    def test_missing_is_reported_in_31_bytes_without_a_type(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "deepseek", question("deepseek"), headers={})
        assert (response.status_code, response.content) == (401, b"Authentication Fails (governor)")
        assert response.headers["content-length"] == "31"
        assert "content-type" not in response.headers

    @pytest.mark.parametrize("value", ["sk-test", "Basic sk-test", "Bearer", ""])
    def test_under_another_scheme_is_reported(self, value: str, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "deepseek", question("deepseek"), headers={"authorization": value})
        reported = "Authentication Fails (auth header format should be Bearer sk-...)"
        assert (response.status_code, response.text) == (401, error_spec(reported, "authentication_error"))
        assert response.headers["content-type"] == "application/json"

    def test_unknown_is_reported_by_its_last_four_characters(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(free(accounts=[{"key": "sk-known"}]))
        response = ask(emulator, "deepseek", question("deepseek"), headers={"authorization": "Bearer sk-wrongabcd"})
        reported = "Authentication Fails, Your api key: ****abcd is invalid"
        assert (response.status_code, response.text) == (401, error_spec(reported, "authentication_error"))
        assert ask(emulator, "deepseek", question("deepseek"), headers={"authorization": "Bearer sk-known"}).is_success

    def test_is_asked_for_by_listings_too(self, scripted: Emulator, ask: Ask) -> None:
        for path in ("/models", "/user/balance"):
            assert ask(scripted, "deepseek", b"", path=path, method="GET", headers={}).status_code == 401


BYTES = "application/octet-stream"
ASK_JSON = {"response_format": {"type": "json_object"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown model": (
        {"model": "gpt-5"},
        "The supported API model names are deepseek-v4-flash or deepseek-v4-pro, but you passed gpt-5.",
    ),
    "max_tokens 0": ({"max_tokens": 0}, "Invalid max_tokens value, the valid range of max_tokens is [1, 393216]"),
    "max_tokens": ({"max_tokens": 393217}, "Invalid max_tokens value, the valid range of max_tokens is [1, 393216]"),
    "temperature": ({"temperature": 2.1}, "Invalid temperature value, the valid range of temperature is [0, 2]"),
    "top_p 0": ({"top_p": 0}, "Invalid top_p value, the valid range of top_p is (0, 1.0]"),
    "top_p": ({"top_p": 1.01}, "Invalid top_p value, the valid range of top_p is (0, 1.0]"),
    "presence": (
        {"presence_penalty": 3},
        "Invalid presence_penalty value, the valid range of presence_penalty is [-2, 2]",
    ),
    "frequency": (
        {"frequency_penalty": -3},
        "Invalid frequency_penalty value, the valid range of frequency_penalty is [-2, 2]",
    ),
    "top_logprobs alone": (
        {"top_logprobs": 3},
        "Invalid top_logprobs and logprobs value, logprobs must be set to true if top_logprobs is used.",
    ),
    "top_logprobs": (
        {"top_logprobs": 21, "logprobs": True},
        "Invalid top_logprobs value, the valid range of top_logprobs is [0, 20].",
    ),
    "json without the word": (
        ASK_JSON,
        "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'.",
    ),
    "format": ({"response_format": {"type": "xml"}}, "This response_format type is unavailable now"),
    "tool_choice": (
        {"tools": [WEATHER], "tool_choice": "required"},
        "Thinking mode does not support this tool_choice",
    ),
    "stream_options": (
        {"stream_options": {"include_usage": True}},
        "stream_options should be set along with stream = true",
    ),
    "no messages": ({"messages": []}, "Empty input messages"),
    "image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        "This model does not support image",
    ),
}


class TestARefusal:
    @pytest.mark.parametrize("case", REFUSED)
    def test_of_what_may_not_be_asked_is_sent_as_bytes(self, case: str, scripted: Emulator, ask: Ask) -> None:
        members, message = REFUSED[case]
        response = ask(scripted, "deepseek", question("deepseek", **members))
        assert (response.status_code, response.headers["content-type"]) == (400, BYTES)
        assert response.text == error_spec(message)

    def test_comes_in_the_order_in_which_deepseek_looks(self, scripted: Emulator, ask: Ask) -> None:
        body = question(
            "deepseek",
            reasoning_effort="x",
            **ASK_JSON,
            temperature=3,
            top_p=3,
            top_logprobs=3,
            messages=[{"role": "user", "content": [{"type": "image_url"}]}],
        )
        repairs: list[tuple[str, dict[str, Any]]] = [
            ("reasoning_effort", {"reasoning_effort": "high"}),
            ("'json'", {"response_format": {"type": "text"}}),
            ("temperature", {"temperature": 1}),
            ("top_p", {"top_p": 1}),
            ("top_logprobs", {"logprobs": True}),
            ("image", {"messages": [{"role": "user", "content": "Hi"}]}),
        ]
        for word, repair in repairs:
            response = ask(scripted, "deepseek", body)
            assert response.status_code == 400
            assert word in response.json()["error"]["message"]
            body = {**body, **repair}
        assert ask(scripted, "deepseek", body).status_code == 200

    def test_of_a_model_names_those_that_a_scenario_lists(self, serving: Serving, ask: Ask) -> None:
        def reported(*models: str) -> str:
            emulator = serving(free(models=list(models)))
            message: str = ask(emulator, "deepseek", question("deepseek", model="x")).json()["error"]["message"]
            return message

        assert reported("a") == "The supported API model names are a, but you passed x."
        assert reported("a", "b", "c") == "The supported API model names are a, b, and c, but you passed x."

    def test_of_no_model_where_any_is_served(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(free(models=None))
        assert ask(emulator, "deepseek", question("deepseek", model="anything")).json()["model"] == "anything"

    def test_of_a_schema_comes_when_a_scenario_wants_it(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(free(json_schema="refuse"))
        response = ask(emulator, "deepseek", question("deepseek", response_format=SCHEMA))
        assert response.text == error_spec("This response_format type is unavailable now")
        assert ask(serving(free()), "deepseek", question("deepseek", response_format=SCHEMA)).is_success

    def test_of_what_is_too_long_counts_prompt_and_answer(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(free(context_length=100))
        response = ask(emulator, "deepseek", question("deepseek", max_tokens=96))
        assert (response.status_code, response.headers["content-type"]) == (400, BYTES)
        assert response.text == error_spec(
            "This model's maximum context length is 100 tokens. However, you requested 101 tokens (5 in the messages, "
            "96 in the completion). Please reduce the length of the messages or completion."
        )
        assert ask(emulator, "deepseek", question("deepseek", max_tokens=95)).is_success
        assert ask(emulator, "deepseek", question("deepseek", "word " * 200)).status_code == 400

    @pytest.mark.parametrize(
        ("name", "status", "content_type", "text"),
        [
            ("insufficient_balance", 402, "application/json", error_spec("Insufficient Balance", "unknown_error")),
            ("content_policy", 400, BYTES, error_spec("Content Exists Risk")),
            ("model_not_found", 400, BYTES, error_spec("Model Not Exist")),
            (
                "rate_limited",
                429,
                "application/json",
                error_spec("Rate Limit Reached", "rate_limit_error", "rate_limit_error"),
            ),
            (
                "concurrency_limited",
                429,
                "application/json",
                error_spec(
                    "Your current concurrency is 40, which exceeds your concurrency limit of 39 based on your "
                    "remaining balance. Please top up your balance to restore your concurrency.",
                    "rate_limit_error",
                    "rate_limit_error",
                ),
            ),
            (
                "overloaded",
                503,
                "application/json",
                error_spec(
                    "Service is too busy. We advise users to temporarily switch to alternative LLM API service "
                    "providers.",
                    "service_unavailable_error",
                    "service_unavailable_error",
                ),
            ),
            (
                "unauthorized",
                401,
                "application/json",
                error_spec("Authentication Fails, Your api key: ****demo is invalid", "authentication_error"),
            ),
        ],
    )
    def test_by_a_scenario_has_its_status_type_and_text(
        self, name: str, status: int, content_type: str, text: str, serving: Serving, ask: Ask
    ) -> None:
        response = ask(serving({"rules": [{"error": name}]}), "deepseek", question("deepseek"))
        assert (response.status_code, response.headers["content-type"], response.text) == (status, content_type, text)

    @pytest.mark.parametrize("name", [*ERROR_NAMES, *INTERNAL_NAMES])
    def test_has_a_row_for_every_name(self, name: str, serving: Serving, ask: Ask) -> None:
        emulator = serving({"rules": [{"error": {"name": name, "message": "Said."}}]})
        assert ask(emulator, "deepseek", question("deepseek")).json()["error"]["message"] == "Said."

    def test_of_an_unknown_path_or_method_is_empty(self, scripted: Emulator, ask: Ask) -> None:
        missing = ask(scripted, "deepseek", question("deepseek"), path="/v2/chat/completions")
        assert (missing.status_code, missing.content, "content-type" in missing.headers) == (404, b"", False)
        wrong = ask(scripted, "deepseek", b"", path="/chat/completions", method="GET")
        assert (wrong.status_code, wrong.content, wrong.headers["allow"]) == (405, b"", "POST")

    def test_of_what_no_rule_answers_is_json_as_ever(self, serving: Serving, ask: Ask) -> None:
        response = ask(serving({"rules": [], "unmatched": "error"}), "deepseek", question("deepseek"))
        assert (response.status_code, response.headers["content-type"]) == (404, "application/json")
        assert response.json()["error"]["message"].startswith("No rule matches this deepseek request.")

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
    def test_of_another_type_of_content_is_plain(
        self, content_type: str, scripted: Emulator, http: httpx.Client
    ) -> None:
        response = http.post(
            scripted.url("deepseek") + "/chat/completions",
            content=json.dumps(question("deepseek")),
            headers={"authorization": "Bearer sk-test", "content-type": content_type},
        )
        reported = (415, "text/plain; charset=utf-8", "Expected request with `Content-Type: application/json`")
        assert (response.status_code, response.headers["content-type"], response.text) == reported


BAD_TYPE = "Failed to deserialize the JSON body into the target type: "
NO_JSON = "Failed to parse the request body as JSON: "
MISFITS = {
    "role": (
        '{"model":"deepseek-v4-pro","messages":[{"role":"developer","content":"Hi"}]}',
        "messages[0].role: unknown variant `developer`, expected one of `system`, `user`, `assistant`, `tool`, "
        "`latest_reminder` at line 1 column 58",
    ),
    "role over lines": (
        '{\n  "model": "deepseek-chat",\n  "messages": [\n    {\n      "role": "developer",\n      "content": "Hi"\n'
        "    }\n  ]\n}",
        "messages[0].role: unknown variant `developer`, expected one of `system`, `user`, `assistant`, `tool`, "
        "`latest_reminder` at line 5 column 25",
    ),
    "list for a text, over lines": (
        '{\n  "model": "m",\n  "messages": [\n    {\n      "role": "user",\n      "content": "a",\n      "name": []\n'
        "    }\n  ]\n}",
        "messages[0]: invalid type: sequence, expected a string at line 9 column 3",
    ),
    "list for a text, before another message": (
        '{"model":"m","messages":[{"role":"user","content":"a","name":[]}, {"role":"user","content":"b"}]}',
        "messages[0]: invalid type: sequence, expected a string at line 1 column 66",
    ),
    "content missing": (
        '{"model":"m","messages":[{"role":"user"}]}',
        "messages[0]: missing field `content` at line 1 column 41",
    ),
    "role missing": (
        '{"model":"m","messages":[{"content":"a"}]}',
        "messages[0]: missing field `role` at line 1 column 40",
    ),
    "tool_call_id missing": (
        '{"model":"m","messages":[{"role":"tool","content":"a"}]}',
        "messages[0]: missing field `tool_call_id` at line 1 column 55",
    ),
    "kind of part": (
        '{"model":"m","messages":[{"role":"user","content":[{"type":"clip"}]}]}',
        "messages[0]: unknown variant `clip`, expected `text` or `image_url` at line 1 column 69",
    ),
    "messages missing": ('{"model":"m"}', "missing field `messages` at line 1 column 13"),
    "model missing": ('{"messages":[]}', "missing field `model` at line 1 column 15"),
    "effort": (
        '{"model":"m","reasoning_effort":"x","messages":[]}',
        "reasoning_effort: unknown variant `x`, expected one of `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, "
        "`max` at line 1 column 35",
    ),
    "thinking": (
        '{"model":"m","messages":[],"thinking":{"type":"x"}}',
        "thinking.type: unknown variant `x`, expected one of `adaptive`, `enabled`, `disabled` at line 1 column 49",
    ),
    "text for a number": (
        '{"model":"m","messages":[],"temperature":"hot"}',
        'temperature: invalid type: string "hot", expected f32 at line 1 column 46',
    ),
    "map for a number": (
        '{"model":"m","messages":[],"temperature":{}}',
        "temperature: invalid type: map, expected f32 at line 1 column 41",
    ),
    "the first of several": (
        '{"temperature":"hot","model":5,"messages":[]}',
        'temperature: invalid type: string "hot", expected f32 at line 1 column 20',
    ),
    "columns are bytes": (
        '{"model":"é","messages":[],"top_p":null,"stop":5}',
        "stop: invalid type: integer `5`, expected a string at line 1 column 49",
    ),
}
NO_JSONS = {
    "nothing": ("", "EOF while parsing a value at line 1 column 0"),
    "half": (
        '{"model":"m","messages":[{"role":"us',
        "messages[0].role: EOF while parsing a string at line 1 column 36",
    ),
    "no key": ("{model}", "key must be a string at line 1 column 2"),
    "no key inside": (
        '{"messages":[{"tool_calls":[{x}]}]}',
        "messages[0].tool_calls[0].?: key must be a string at line 1 column 30",
    ),
    "half a surrogate pair": (
        '{"messages":[{"content":"\\ud83d"}]}',
        "messages[0].content: unexpected end of hex escape at line 1 column 32",
    ),
    "a lone surrogate": (
        '{"messages":[{"content":"\\udc00"}]}',
        "messages[0].content: lone leading surrogate in hex escape at line 1 column 31",
    ),
    "comma": ('{"model":"m",}', "trailing comma at line 1 column 14"),
    "more": ('{"model":"m"} x', "trailing characters at line 1 column 15"),
}


class TestABodyThatCannotBeRead:
    @pytest.mark.parametrize("case", MISFITS)
    def test_is_refused_with_what_does_not_fit_and_where(self, case: str, scripted: Emulator, ask: Ask) -> None:
        body, reported = MISFITS[case]
        response = ask(scripted, "deepseek", body.encode())
        assert (response.status_code, response.headers["content-type"]) == (400, "application/json")
        assert response.text == error_spec(BAD_TYPE + reported)

    @pytest.mark.parametrize("case", NO_JSONS)
    def test_is_refused_with_why_it_is_no_json_and_where(self, case: str, scripted: Emulator, ask: Ask) -> None:
        body, reported = NO_JSONS[case]
        response = ask(scripted, "deepseek", body.encode())
        assert (response.status_code, response.headers["content-type"]) == (400, "application/json")
        assert response.text == error_spec(NO_JSON + reported)

    @pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"[[1],[2]]", b"5", b"null", b'"text"'])
    def test_is_refused_however_odd_it_is(self, body: bytes, scripted: Emulator, ask: Ask) -> None:
        assert ask(scripted, "deepseek", body).status_code == 400

    def test_is_refused_soon_when_it_is_long(self, scripted: Emulator, ask: Ask) -> None:
        body = b'{"model":"m","messages":[],"a":[' + b"1," * 1_000_000 + b"1],"
        response = ask(scripted, "deepseek", body + b'"temperature":"hot"}')
        assert response.text == error_spec(
            f'{BAD_TYPE}temperature: invalid type: string "hot", expected f32 at line 1 column {len(body) + 20}'
        )
        assert response.elapsed.total_seconds() < 10


@pytest.fixture(scope="module")
def old(serving: Serving) -> Emulator:
    return serving(script("deepseek", RULES[-1], models=["deepseek-chat", "deepseek-reasoner"]))


class TestTheModelsOf2025:
    def test_think_by_their_names(self, old: Emulator, ask: Ask) -> None:
        def message(model: str) -> list[str]:
            return list(ask(old, "deepseek", question("deepseek", model=model)).json()["choices"][0]["message"])

        assert message("deepseek-chat") == ["role", "content"]
        assert message("deepseek-reasoner") == ["role", "content", "reasoning_content"]

    @pytest.mark.parametrize(("model", "most"), [("deepseek-chat", 8192), ("deepseek-reasoner", 65536)])
    def test_have_shorter_answers(self, model: str, most: int, old: Emulator, ask: Ask) -> None:
        response = ask(old, "deepseek", question("deepseek", model=model, max_tokens=most + 1))
        assert response.text == error_spec(f"Invalid max_tokens value, the valid range of max_tokens is [1, {most}]")
        assert ask(old, "deepseek", question("deepseek", model=model, max_tokens=most)).is_success

    def test_reason_about_turns_that_alternate(self, old: Emulator, ask: Ask) -> None:
        user, assistant = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi"}
        refused = {
            "deepseek-reasoner does not support successive user or assistant messages (messages[1] and messages[2] in "
            "your input). You should interleave the user/assistant messages in the message sequence.": [
                {"role": "system", "content": "Be brief."},
                user,
                user,
            ],
            "The last message of deepseek-reasoner must be a user message, or an assistant message with prefix mode on "
            "(refer to https://api-docs.deepseek.com/guides/chat_prefix_completion).": [user, assistant],
        }
        for reported, messages in refused.items():
            body = question("deepseek", model="deepseek-reasoner", messages=messages)
            assert ask(old, "deepseek", body).text == error_spec(reported)
            assert ask(old, "deepseek", {**body, "model": "deepseek-chat"}).is_success


class TestAChatThatGoesOnFromAPrefix:
    MESSAGES = ({"role": "user", "content": "think"}, {"role": "assistant", "content": "Hello", "prefix": True})

    def test_is_answered_with_what_follows_and_without_reasoning(self, scripted: Emulator, ask: Ask) -> None:
        body = question("deepseek", messages=self.MESSAGES)
        response = ask(scripted, "deepseek", body, path="/beta/chat/completions")
        assert ordered(response.json()) == ordered(whole({"content": "Hello 😊"}, usage(7, 3)))
        streamed = ask(scripted, "deepseek", {**body, "stream": True}, path="/beta/chat/completions")
        assert streamed.text == sse(
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "Hello"}),
            chunk({"content": " 😊"}),
            chunk({"content": ""}, "stop", usage=usage(7, 3)),
        )

    @pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions"])
    def test_is_refused_elsewhere_than_under_beta(self, path: str, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "deepseek", question("deepseek", messages=self.MESSAGES), path=path)
        assert (response.status_code, response.headers["content-type"]) == (400, BYTES)
        assert response.text == error_spec(
            'prefix is only available when using beta api (set base_url="https://api.deepseek.com/beta")'
        )

    @pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions", "/beta/chat/completions"])
    def test_is_otherwise_the_same_everywhere(self, path: str, scripted: Emulator, ask: Ask) -> None:
        assert ask(scripted, "deepseek", question("deepseek"), path=path).is_success


GAP = {"model": "deepseek-v4-pro", "prompt": "def fib(a):", "suffix": "    return fib(a-1)"}


def filled(text: str, used: dict[str, Any], logprobs: Any = None, finish_reason: str = "stop") -> dict[str, Any]:
    return {
        "id": ID,
        "object": "text_completion",
        "created": 1780299859,
        "model": "deepseek-v4-pro",
        "choices": [{"text": text, "index": 0, "logprobs": logprobs, "finish_reason": finish_reason}],
        "usage": used,
        "system_fingerprint": FINGERPRINT,
    }


def frame(text: str, finish_reason: str | None = None, logprobs: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "object": "text_completion",
        "created": 1780299859,
        "model": "deepseek-v4-pro",
        "system_fingerprint": FINGERPRINT,
        "choices": [{"text": text, "index": 0, "logprobs": logprobs, "finish_reason": finish_reason}],
        **more,
    }


class TestATextWithAGap:
    PATH = "/beta/completions"

    def test_is_filled_without_thinking(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "deepseek", GAP, path=self.PATH)
        assert ordered(response.json()) == ordered(filled(" return 😊", usage(11, 3)))

    def test_costs_what_stands_around_it(self, scripted: Emulator, ask: Ask) -> None:
        without = {name: value for name, value in GAP.items() if name != "suffix"}
        body = ask(scripted, "deepseek", without, path=self.PATH).json()
        assert body["usage"] == usage(4, 3)

    def test_is_filled_piece_by_piece_in_a_stream(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "deepseek", {**GAP, "stream": True}, path=self.PATH)
        assert response.text == sse(frame(" return"), frame(" 😊"), frame("", "stop", usage=usage(11, 3)))

    def test_says_null_usage_before_the_end_when_usage_is_asked_for(self, scripted: Emulator, ask: Ask) -> None:
        body = {**GAP, "stream": True, "max_tokens": 1, "stream_options": {"include_usage": True}}
        response = ask(scripted, "deepseek", body, path=self.PATH)
        assert response.text == sse(frame(" return", usage=None), frame("", "length", usage=usage(11, 1)))

    def test_is_cut_at_a_stop_and_at_the_most_tokens(self, scripted: Emulator, ask: Ask) -> None:
        stopped = ask(scripted, "deepseek", {**GAP, "stop": "turn"}, path=self.PATH).json()
        assert ordered(stopped) == ordered(filled(" re", usage(11, 1)))
        cut = ask(scripted, "deepseek", {**GAP, "max_tokens": 1}, path=self.PATH).json()
        assert ordered(cut) == ordered(filled(" return", usage(11, 1), finish_reason="length"))

    def test_has_log_probabilities_in_the_older_shape(self, scripted: Emulator, ask: Ask) -> None:
        body = {**GAP, "logprobs": 2}
        (choice,) = ask(scripted, "deepseek", body, path=self.PATH).json()["choices"]
        reported = choice["logprobs"]
        assert list(reported) == ["text_offset", "token_logprobs", "tokens", "top_logprobs"]
        assert (reported["text_offset"], reported["tokens"]) == ([0, 7], [" return", " 😊"])
        assert all(value < 0 for value in reported["token_logprobs"])
        assert [len(row) for row in reported["top_logprobs"]] == [2, 2]
        *frames, _ = events(ask(scripted, "deepseek", {**body, "stream": True}, path=self.PATH))
        rows = [event["choices"][0]["logprobs"] for event in frames]
        assert [(row["text_offset"], row["tokens"]) for row in rows] == [([0], [" return"]), ([7], [" 😊"])]

    def test_repeats_what_stands_before_it_when_asked_to(self, scripted: Emulator, ask: Ask) -> None:
        body = {**GAP, "echo": True}
        whole_text = ask(scripted, "deepseek", body, path=self.PATH).json()
        assert ordered(whole_text) == ordered(filled("def fib(a): return 😊", usage(11, 3)))
        streamed = ask(scripted, "deepseek", {**body, "stream": True}, path=self.PATH)
        assert streamed.text == sse(
            frame("def fib(a):"), frame(" return"), frame(" 😊"), frame("", "stop", usage=usage(11, 3))
        )
        (choice,) = ask(scripted, "deepseek", {**body, "logprobs": 1}, path=self.PATH).json()["choices"]
        assert choice["logprobs"]["tokens"] == ["def", " fib", "(a", "):", " return", " 😊"]
        assert choice["logprobs"]["text_offset"] == [0, 3, 7, 9, 11, 18]
        assert choice["logprobs"]["token_logprobs"][:4] == [None] * 4
        assert choice["logprobs"]["top_logprobs"][:4] == [None] * 4

    def test_is_matched_by_its_prompt(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(
            {
                "unmatched": "generate",
                "rules": [{"match": {"prompt": {"contains": "fib"}}, "reply": {"content": "one"}}],
            }
        )
        assert ask(emulator, "deepseek", GAP, path=self.PATH).json()["choices"][0]["text"] == "one"
        assert ask(emulator, "deepseek", {**GAP, "prompt": "x"}, path=self.PATH).json()["choices"][0]["text"] != "one"

    @pytest.mark.parametrize(
        ("members", "reported"),
        [
            (
                {"model": "x"},
                "The supported API model names are deepseek-v4-flash or deepseek-v4-pro, but you passed x.",
            ),
            ({"max_tokens": 4097}, "Invalid max_tokens value, the valid range of max_tokens is [1, 4096]"),
            ({"logprobs": 21}, "Invalid logprobs value, the valid range of logprobs is [0, 20]"),
            ({"temperature": -1}, "Invalid temperature value, the valid range of temperature is [0, 2]"),
            ({"stream_options": {}}, "stream_options should be set along with stream = true"),
            ({"prompt": None}, f"{BAD_TYPE}prompt: invalid type: null, expected a string at line 1 column 43"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_is_refused_in_the_words_of_a_chat(
        self, members: dict[str, Any], reported: str, scripted: Emulator, ask: Ask
    ) -> None:
        response = ask(scripted, "deepseek", {**GAP, **members}, path=self.PATH)
        assert (response.status_code, response.text) == (400, error_spec(reported))

    def test_is_there_under_beta_only(self, scripted: Emulator, ask: Ask) -> None:
        assert ask(scripted, "deepseek", GAP, path="/completions").status_code == 404


class TestAListing:
    def test_of_models_names_those_that_are_served(self, serving: Serving, ask: Ask) -> None:
        rows = [{"id": f"deepseek-v4-{kind}", "object": "model", "owned_by": "deepseek"} for kind in ("flash", "pro")]
        emulator = serving(free(profile="2026-04-26"))
        for path in ("/models", "/v1/models"):
            response = ask(emulator, "deepseek", b"", path=path, method="GET")
            assert ordered(response.json()) == ordered({"object": "list", "data": rows})
        other = ask(serving(free(models=["m"])), "deepseek", b"", path="/models", method="GET").json()
        assert other["data"] == [{"id": "m", "object": "model", "owned_by": "deepseek"}]

    def test_of_the_balance_tells_what_a_scenario_says(self, serving: Serving, ask: Ask) -> None:
        rows = [
            {"currency": "USD", "total_balance": "0.00", "granted_balance": "0.00", "topped_up_balance": "0.00"},
            {"currency": "CNY", "total_balance": "0.00", "granted_balance": "0.00", "topped_up_balance": "0.00"},
        ]

        def balance(rows: list[dict[str, str]]) -> Any:
            emulator = serving(free(balance=rows))
            return ask(emulator, "deepseek", b"", path="/user/balance", method="GET").json()

        assert ordered(balance(rows)) == ordered({"is_available": False, "balance_infos": rows})
        rows[1] = {**rows[1], "total_balance": "0.01", "topped_up_balance": "0.01"}
        assert ordered(balance(rows)) == ordered({"is_available": True, "balance_infos": rows})


class TestWhileItWaits:
    def test_a_stream_keeps_alive_by_comments(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "deepseek", question("deepseek", "slow", stream=True))
        said, _, rest = response.text.partition("data: ")
        assert said == ": keep-alive\n\n" * 3
        assert rest.startswith('{"id":')

    def test_a_whole_answer_has_empty_lines_before_it(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "deepseek", question("deepseek", "slow"))
        assert response.text.startswith('\n\n\n{"id":')
        assert response.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in response.headers
        message = {"content": "Hello", "reasoning_content": "Hm."}
        assert ordered(response.json()) == ordered(whole(message, usage(5, 5, 3)))

    @pytest.mark.parametrize(("heartbeat", "said"), [(None, 0), (1, 34), (20, 1), (35, 0)])
    def test_it_says_so_as_often_as_a_scenario_says(
        self, heartbeat: float | None, said: int, serving: Serving, ask: Ask
    ) -> None:
        emulator = serving({"rules": RULES, "clock": "virtual", "providers": {"deepseek": {"heartbeat": heartbeat}}})
        response = ask(emulator, "deepseek", question("deepseek", "slow"))
        assert len(response.text) - len(response.text.lstrip("\n")) == said

    def test_an_answer_that_is_soon_there_has_its_length(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "deepseek", question("deepseek", "think"))
        assert response.headers["content-length"] == str(len(response.content))


class TestThePromptCache:
    LONG = "The sea is wide and deep. " * 40

    def test_knows_a_prompt_that_the_same_key_sent_before(self, serving: Serving, ask: Ask) -> None:
        emulator = serving({"name": "cache", "rules": RULES, "providers": {"deepseek": {"profile": PROFILE}}})
        body = question("deepseek", self.LONG)

        def cached(key: str) -> tuple[int, int, int]:
            response = ask(emulator, "deepseek", body, headers={"authorization": f"Bearer {key}"})
            reported = response.json()["usage"]
            assert reported["prompt_tokens_details"] == {"cached_tokens": reported["prompt_cache_hit_tokens"]}
            return reported["prompt_tokens"], reported["prompt_cache_hit_tokens"], reported["prompt_cache_miss_tokens"]

        prompt, hit, miss = cached("sk-one")
        assert (hit, miss) == (0, prompt)
        again, hit, miss = cached("sk-one")
        assert (again, hit + miss) == (prompt, prompt)
        assert prompt - 64 < hit <= prompt
        assert hit % 64 == 0
        assert cached("sk-other") == (prompt, 0, prompt)

    def test_knows_the_beginning_of_a_conversation_that_goes_on(self, serving: Serving, ask: Ask) -> None:
        emulator = serving({"name": "growing", "rules": RULES})
        messages = [{"role": "user", "content": self.LONG}]
        first = ask(emulator, "deepseek", question("deepseek", messages=messages)).json()["usage"]
        messages += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "How deep?"}]
        second = ask(emulator, "deepseek", question("deepseek", messages=messages)).json()["usage"]
        assert first["prompt_cache_hit_tokens"] == 0
        assert 0 < second["prompt_cache_hit_tokens"] <= first["prompt_tokens"]


def test_flash_costs_less_than_pro(serving: Serving, ask: Ask) -> None:
    emulator = serving({"name": "costs", "rules": RULES, "providers": {"deepseek": {"profile": "2026-04-26"}}})
    for model in ("deepseek-v4-pro", "deepseek-v4-flash"):
        ask(emulator, "deepseek", question("deepseek", model=model))
    pro, flash = (exchange.cost for exchange in emulator.journal)
    assert [str(cost.normalize()) for cost in (pro, flash)] == ["0.000005655", "0.00000182"]


def test_the_question_of_cloudsways_document_costs_the_same_tokens_here(documented: Emulator, ask: Ask) -> None:
    path, body = DeepSeek.example
    answer = ask(documented, "deepseek", body, path=path).json()
    assert answer["choices"][0]["message"]["content"] == "Hello! How can I help you today?"
    assert ordered(answer["usage"]) == ordered(usage(10, 68, 58))
