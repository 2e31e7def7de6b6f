"""Cloudsway as its document and the contract say: thinking, limits, answers, streams, errors, settings."""

import json
import re
from typing import Any

import pytest
from talk import Ask, Serving, events, ordered, question, refusing, script, sse

from emulator import Emulator
from emulator.providers.base import ERROR_NAMES

MODEL = "MaaS_Deepseek_V4_pro_20260424"
FINGERPRINT = "fp_9954b31ca7_prod0820_fp8_kvcache_20260402"
FIXED: dict[str, Any] = {"id": "chatcmpl-1", "created": 1700000000}
FAILED: dict[str, Any] = {"finish_reason": "stop", "native_finish_reason": "insufficient_system_resource"}
SIGNED: dict[str, Any] = {"content": "Hm", "system_fingerprint": "fp_other", "model": "other"}
RULES: list[dict[str, Any]] = [
    {"match": {"prompt": "fail"}, "reply": {"content": "No", **FAILED, **FIXED}},
    {"match": {"prompt": "sign"}, "reply": {**SIGNED, **FIXED}},
    {"reply": {"reasoning": "They greet.", "content": "Hello there!", **FIXED}},
]
BAD_TYPE = "Failed to deserialize the JSON body into the target type: "


def usage(prompt: int, completion: int, reasoning: int = 0) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "completion_tokens_details": {
            "accepted_prediction_tokens": 0,
            "audio_tokens": 0,
            "image_tokens": 0,
            "reasoning_tokens": reasoning,
            "rejected_prediction_tokens": 0,
        },
        "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 0, "image_tokens": 0},
        "prompt_cache_hit_tokens": 0,
        "prompt_cache_miss_tokens": prompt,
    }


def choice(
    content: str, reasoning: str | None = None, finish: str = "stop", native: str | None = None
) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    if reasoning is not None:
        message["reasoning_content"] = reasoning
    return {"index": 0, "message": message, "finish_reason": finish, "native_finish_reason": native or finish}


def whole(only: dict[str, Any], counts: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "choices": [only],
        "created": 1700000000,
        "model": MODEL,
        "object": "chat.completion",
        "system_fingerprint": FINGERPRINT,
        "usage": counts,
    }


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    row = {"index": 0, "delta": delta, "finish_reason": finish, "native_finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "choices": [] if delta is None else [row],
        "created": 1700000000,
        "model": MODEL,
        "object": "chat.completion.chunk",
        "system_fingerprint": FINGERPRINT,
        **more,
    }


def thinking_chunks(counts: dict[str, Any] | None, **more: Any) -> list[dict[str, Any]]:
    """The stream of the scripted answer: `more` is on every chunk, `counts` on the last."""
    last = {"content": "", "reasoning_content": None}
    return [
        chunk({"role": "assistant", "content": None, "reasoning_content": ""}, **more),
        chunk({"content": None, "reasoning_content": "They"}, **more),
        chunk({"content": None, "reasoning_content": " greet"}, **more),
        chunk({"content": None, "reasoning_content": "."}, **more),
        chunk({"content": "Hello", "reasoning_content": None}, **more),
        chunk({"content": " there", "reasoning_content": None}, **more),
        chunk({"content": "!", "reasoning_content": None}, **more),
        chunk(last, "stop", **more) if counts is None else chunk(last, "stop", usage=counts),
    ]


@pytest.fixture
def scripted(serving: Serving) -> Emulator:
    return serving(script("cloudsway", *RULES))


class TestAnAnswer:
    def test_has_the_documented_keys_in_their_order(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "cloudsway", question("cloudsway"))
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        assert ordered(response.json()) == ordered(whole(choice("Hello there!", "They greet."), usage(5, 7, 3)))

    def test_without_thinking_has_no_reasoning(self, scripted: Emulator, ask: Ask) -> None:
        body = ask(scripted, "cloudsway", question("cloudsway", thinking={"type": "disabled"})).json()
        assert ordered(body) == ordered(whole(choice("Hello there!"), usage(5, 3)))

    def test_may_have_another_native_reason_to_end(self, scripted: Emulator, ask: Ask) -> None:
        body = ask(scripted, "cloudsway", question("cloudsway", "fail")).json()
        assert body["choices"] == [choice("No", native="insufficient_system_resource")]

    def test_has_the_model_and_fingerprint_of_the_script(self, scripted: Emulator, ask: Ask) -> None:
        body = ask(scripted, "cloudsway", question("cloudsway", "sign")).json()
        assert (body["model"], body["system_fingerprint"]) == ("other", "fp_other")

    def test_is_generated_when_nothing_is_scripted(self, documented: Emulator, ask: Ask) -> None:
        body = ask(documented, "cloudsway", question("cloudsway", "Tell me about the sea.")).json()
        assert re.fullmatch(r"chatcmpl-[0-9A-Za-z]{24}", body["id"])
        message, counts = body["choices"][0]["message"], body["usage"]
        assert list(message) == ["role", "content", "reasoning_content"]
        assert counts["total_tokens"] == counts["prompt_tokens"] + counts["completion_tokens"]
        assert 0 < counts["completion_tokens_details"]["reasoning_tokens"] < counts["completion_tokens"]

    def test_has_no_headers_but_those_of_http(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "cloudsway", question("cloudsway"))
        assert set(response.headers) == {"date", "content-type", "content-length"}

    def test_tells_what_was_in_the_cache(self, scripted: Emulator, ask: Ask) -> None:
        body = question("cloudsway", "A prompt that is sent twice. " * 50)
        first, second = (ask(scripted, "cloudsway", body).json()["usage"] for _ in range(2))
        assert first["prompt_cache_hit_tokens"] == 0
        hit = second["prompt_cache_hit_tokens"]
        assert hit > 0
        assert hit % 64 == 0
        assert second["prompt_tokens_details"] == {"audio_tokens": 0, "cached_tokens": hit, "image_tokens": 0}
        assert second["prompt_cache_miss_tokens"] == second["prompt_tokens"] - hit
        assert second["prompt_tokens"] == first["prompt_tokens"]


class TestAStream:
    def test_brings_reasoning_then_content_then_usage_on_the_finish(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "cloudsway", question("cloudsway", stream=True))
        assert response.text == sse(*thinking_chunks(usage(5, 7, 3)))

    def test_says_null_for_usage_elsewhere_when_it_is_asked_for(self, scripted: Emulator, ask: Ask) -> None:
        body = question("cloudsway", stream=True, stream_options={"include_usage": True})
        assert ask(scripted, "cloudsway", body).text == sse(*thinking_chunks(usage(5, 7, 3), usage=None))

    def test_without_thinking_never_mentions_reasoning(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "cloudsway", question("cloudsway", stream=True, thinking={"type": "disabled"}))
        assert response.text == sse(
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "Hello"}),
            chunk({"content": " there"}),
            chunk({"content": "!"}),
            chunk({"content": ""}, "stop", usage=usage(5, 3)),
        )

    def test_has_usage_in_a_chunk_of_its_own_if_the_setting_says_so(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("cloudsway", *RULES, usage_chunk="separate"))
        body = question("cloudsway", stream=True, stream_options={"include_usage": True})
        assert ask(emulator, "cloudsway", body).text == sse(
            *thinking_chunks(None, usage=None), chunk(None, usage=usage(5, 7, 3))
        )

    def test_has_no_usage_unasked_if_the_setting_says_so(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("cloudsway", *RULES, usage_chunk="separate"))
        response = ask(emulator, "cloudsway", question("cloudsway", stream=True))
        assert response.text == sse(*thinking_chunks(None))

    def test_has_the_native_reason_on_the_finish_only(self, scripted: Emulator, ask: Ask) -> None:
        chunks = events(ask(scripted, "cloudsway", question("cloudsway", "fail", stream=True)))
        assert [event["choices"][0]["native_finish_reason"] for event in chunks] == [
            None,
            None,
            "insufficient_system_resource",
        ]

    def test_has_the_headers_of_an_event_stream(self, scripted: Emulator, ask: Ask) -> None:
        headers = ask(scripted, "cloudsway", question("cloudsway", stream=True)).headers
        assert {name: value for name, value in headers.items() if name != "date"} == {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache",
            "transfer-encoding": "chunked",
        }

    def test_is_kept_alive_while_it_waits_for_the_first_token(self, serving: Serving, ask: Ask) -> None:
        rule = {"reply": {"reasoning": "They greet.", "content": "Hello there!", **FIXED}, "pace": {"ttft": 0.035}}
        emulator = serving(script("cloudsway", rule, heartbeat=0.01))
        response = ask(emulator, "cloudsway", question("cloudsway", stream=True))
        assert response.text == ": keep-alive\n\n" * 3 + sse(*thinking_chunks(usage(5, 7, 3)))


class TestTheEndpoint:
    def test_may_be_any(self, scripted: Emulator, ask: Ask) -> None:
        assert ask(scripted, "cloudsway", question("cloudsway"), path="/v1/ai/x/chat/completions").status_code == 200

    def test_has_to_exist_if_the_setting_lists_some(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("cloudsway", *RULES, endpoints=["sVUARttwSjilLOZY"]))
        assert ask(emulator, "cloudsway", question("cloudsway")).status_code == 200
        response = ask(emulator, "cloudsway", b"nonsense", path="/v1/ai/other/chat/completions")
        assert (response.status_code, response.json()) == (
            400,
            {
                "error": {
                    "message": "No available endpoint",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "NO_ENDPOINT",
                }
            },
        )


NO_KEYS: dict[str, dict[str, str]] = {
    "none": {},
    "without a scheme": {"authorization": "sk-test"},
    "without a key": {"authorization": "Bearer"},
    "another scheme": {"authorization": "Basic sk-test"},
    "another provider's": {"x-api-key": "sk-test"},
}


class TestAKey:
    UNAUTHORIZED = {  # noqa: RUF012
        "error": {
            "message": "Invalid API key or API key not provided",
            "type": "authentication_error",
            "param": None,
            "code": "401",
        }
    }

    @pytest.mark.parametrize("headers", NO_KEYS.values(), ids=NO_KEYS)
    def test_that_is_missing_is_unauthorized(self, scripted: Emulator, ask: Ask, headers: dict[str, str]) -> None:
        response = ask(scripted, "cloudsway", question("cloudsway"), headers=headers)
        assert (response.status_code, response.json()) == (401, self.UNAUTHORIZED)

    def test_that_no_account_has_is_unauthorized(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("cloudsway", *RULES, accounts=[{"key": "sk-known"}]))
        response = ask(emulator, "cloudsway", question("cloudsway"))
        assert (response.status_code, response.json()) == (401, self.UNAUTHORIZED)
        known = ask(emulator, "cloudsway", question("cloudsway"), headers={"authorization": "Bearer sk-known"})
        assert known.status_code == 200


def has_reasoning(body: dict[str, Any]) -> bool:
    return "reasoning_content" in body["choices"][0]["message"]


class TestThinking:
    @pytest.mark.parametrize(
        ("members", "thinks"),
        [
            ({}, True),
            ({"thinking": None}, True),
            ({"thinking": {}}, True),
            ({"thinking": {"type": "enabled"}}, True),
            ({"thinking": {"type": "disabled"}}, False),
            ({"thinking": {"type": "disabled"}, "reasoning_effort": "max"}, False),
        ],
        ids=str,
    )
    def test_is_on_unless_disabled(self, scripted: Emulator, ask: Ask, members: dict[str, Any], thinks: bool) -> None:
        assert has_reasoning(ask(scripted, "cloudsway", question("cloudsway", **members)).json()) is thinks

    @pytest.mark.parametrize(
        ("members", "thinks"),
        [({}, False), ({"thinking": {}}, False), ({"thinking": {"type": "enabled"}}, True)],
        ids=str,
    )
    def test_is_off_unless_enabled_if_the_setting_says_so(
        self, serving: Serving, ask: Ask, members: dict[str, Any], thinks: bool
    ) -> None:
        emulator = serving(script("cloudsway", *RULES, thinking_default="disabled"))
        assert has_reasoning(ask(emulator, "cloudsway", question("cloudsway", **members)).json()) is thinks

    @pytest.mark.parametrize(
        ("members", "prompt"),
        [
            ({}, 5),
            ({"reasoning_effort": "high"}, 5),
            ({"reasoning_effort": "max"}, 84),
            ({"thinking": {"type": "enabled", "reasoning_effort": "max"}}, 84),
            ({"thinking": {"reasoning_effort": "max"}}, 84),
            ({"thinking": {"reasoning_effort": "max"}, "reasoning_effort": "high"}, 5),
            ({"thinking": {"reasoning_effort": "high"}, "reasoning_effort": "max"}, 84),
        ],
        ids=str,
    )
    def test_of_most_effort_makes_the_prompt_longer(
        self, scripted: Emulator, ask: Ask, members: dict[str, Any], prompt: int
    ) -> None:
        body = ask(scripted, "cloudsway", question("cloudsway", **members)).json()
        assert body["usage"] == usage(prompt, 7, 3)

    @pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh", "max"])
    def test_may_have_any_effort_of_deepseek_if_the_setting_says_so(
        self, serving: Serving, ask: Ask, effort: str
    ) -> None:
        emulator = serving(script("cloudsway", *RULES, effort="deepseek"))
        body = ask(emulator, "cloudsway", question("cloudsway", reasoning_effort=effort)).json()
        assert body["usage"]["prompt_tokens"] == (84 if effort == "max" else 5)
        assert has_reasoning(body)

    def test_of_no_effort_is_none_if_the_setting_says_so(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("cloudsway", *RULES, effort="deepseek"))
        assert not has_reasoning(ask(emulator, "cloudsway", question("cloudsway", reasoning_effort="none")).json())

    def test_of_an_unknown_effort_is_refused_with_the_names_of_the_setting(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("cloudsway", *RULES, effort="deepseek"))
        response = ask(emulator, "cloudsway", question("cloudsway", reasoning_effort="x"))
        assert response.json()["error"]["message"] == (
            BAD_TYPE + "reasoning_effort: unknown variant `x`, expected one of `none`, `minimal`, `low`, `medium`, "
            "`high`, `xhigh`, `max`"
        )


class TestTheModel:
    @pytest.mark.parametrize("members", [{}, {"model": None}, {"model": ""}], ids=["missing", "null", "empty"])
    def test_may_be_left_out_if_the_setting_says_so(
        self, scripted: Emulator, serving: Serving, ask: Ask, members: dict[str, Any]
    ) -> None:
        body = {name: value for name, value in question("cloudsway").items() if name != "model"} | members
        refused = ask(scripted, "cloudsway", body)
        assert (refused.status_code, refused.json()["error"]["message"]) == (400, BAD_TYPE + "missing field `model`")
        taken = ask(serving(script("cloudsway", *RULES, lenient=True)), "cloudsway", body)
        assert taken.json()["model"] == MODEL

    def test_is_reported_as_it_was_asked_for(self, scripted: Emulator, ask: Ask) -> None:
        assert ask(scripted, "cloudsway", question("cloudsway", model="any")).json()["model"] == "any"


class TestContent:
    def test_may_be_parts_of_text_and_files(self, scripted: Emulator, ask: Ask) -> None:
        parts = [
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "text", "text": "H"},
            {"text": "i"},
            {"type": "text"},
        ]
        body = ask(scripted, "cloudsway", question("cloudsway", messages=[{"role": "user", "content": parts}])).json()
        assert body == whole(choice("Hello there!", "They greet."), usage(5, 7, 3))

    def test_may_answer_a_call_of_a_tool(self, scripted: Emulator, ask: Ask) -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        messages = [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "reasoning_content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "Nothing."},
        ]
        response = ask(scripted, "cloudsway", question("cloudsway", messages=messages))
        assert response.json()["choices"] == [choice("Hello there!", "They greet.")]


class TestAnAnswerIsLimited:
    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    @pytest.mark.parametrize(
        ("limit", "reasoning", "content", "counts", "finish"),
        [
            (1, "They", "", usage(5, 1, 1), "length"),
            (3, "They greet.", "", usage(5, 3, 3), "length"),
            (6, "They greet.", "Hello there", usage(5, 6, 3), "length"),
            (7, "They greet.", "Hello there!", usage(5, 7, 3), "stop"),
        ],
    )
    def test_by_max_tokens_reasoning_first(
        self,
        scripted: Emulator,
        ask: Ask,
        name: str,
        limit: int,
        reasoning: str,
        content: str,
        counts: dict[str, Any],
        finish: str,
    ) -> None:
        body = ask(scripted, "cloudsway", question("cloudsway", **{name: limit})).json()
        assert body == whole(choice(content, reasoning, finish), counts)

    @pytest.mark.parametrize("stop", [" there", ["greet", " there"], ["x"] * 15 + [" t"]], ids=str)
    def test_by_stop_strings_in_the_content(self, scripted: Emulator, ask: Ask, stop: Any) -> None:
        body = ask(scripted, "cloudsway", question("cloudsway", stop=stop)).json()
        assert body == whole(choice("Hello", "They greet."), usage(5, 5, 3))


class TestLogprobs:
    def test_are_reported_beside_the_message(self, scripted: Emulator, ask: Ask) -> None:
        body = question("cloudsway", logprobs=True, top_logprobs=2, thinking={"type": "disabled"})
        (only,) = ask(scripted, "cloudsway", body).json()["choices"]
        assert list(only) == ["index", "message", "logprobs", "finish_reason", "native_finish_reason"]
        rows = only["logprobs"]["content"]
        assert only["logprobs"]["reasoning_content"] is None
        assert [row["token"] for row in rows] == ["Hello", " there", "!"]
        for row in rows:
            assert list(row) == ["token", "logprob", "bytes", "top_logprobs"]
            assert bytes(row["bytes"]).decode() == row["token"]
            assert row["logprob"] < 0
            assert [list(rival) for rival in row["top_logprobs"]] == [["token", "logprob", "bytes"]] * 2
            assert row["top_logprobs"][0] == {name: row[name] for name in ("token", "logprob", "bytes")}

    def test_are_the_same_in_a_stream(self, scripted: Emulator, ask: Ask) -> None:
        body = question("cloudsway", logprobs=True, top_logprobs=1)
        (only,) = ask(scripted, "cloudsway", body).json()["choices"]
        chunks = events(ask(scripted, "cloudsway", {**body, "stream": True}))
        reported = [row["logprobs"] for event in chunks for row in event["choices"] if row.get("logprobs")]
        for part in ("content", "reasoning_content"):
            assert [row for one in reported for row in one[part] or ()] == only["logprobs"][part]
        assert len(reported) == 6


WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


class TestTools:
    @pytest.mark.parametrize("choice_of", ["required", {"type": "function", "function": {"name": "weather"}}], ids=str)
    def test_are_called_when_it_is_demanded(self, documented: Emulator, ask: Ask, choice_of: Any) -> None:
        body = question("cloudsway", "Rain?", tools=[WEATHER], tool_choice=choice_of, thinking={"type": "disabled"})
        (only,) = ask(documented, "cloudsway", body).json()["choices"]
        (call,) = only["message"]["tool_calls"]
        assert (only["finish_reason"], only["native_finish_reason"]) == ("tool_calls", "tool_calls")
        assert re.fullmatch(r"call_00_[0-9A-Za-z]{24}", call["id"])
        assert call == {**call, "index": 0, "type": "function", "function": {"name": "weather", "arguments": "{}"}}

    def test_are_called_in_pieces_in_a_stream(self, serving: Serving, ask: Ask) -> None:
        calls = [
            {"name": "weather", "arguments": {"city": "Oslo", "days": 3}, "id": "call_a"},
            {"name": "time", "arguments": "{}", "id": "call_b"},
        ]
        emulator = serving(script("cloudsway", {"reply": {"tool_calls": calls, **FIXED}}))
        body = question("cloudsway", thinking={"type": "disabled"})
        whole_calls = ask(emulator, "cloudsway", body).json()["choices"][0]["message"]["tool_calls"]
        joined: list[dict[str, Any]] = []
        for event in events(ask(emulator, "cloudsway", {**body, "stream": True})):
            for call in event["choices"][0]["delta"].get("tool_calls", ()):
                if "id" in call:
                    assert call["function"]["arguments"] == ""
                    joined.append(call)
                else:
                    assert list(call) == ["index", "function"]
                    joined[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
        assert joined == whole_calls
        assert [json.loads(call["function"]["arguments"]) for call in joined] == [{"city": "Oslo", "days": 3}, {}]

    @pytest.mark.parametrize(
        "members",
        [{"tools": None, "tool_choice": "none"}, {"tools": [WEATHER], "tool_choice": "none"}, {"tools": []}],
        ids=str,
    )
    def test_are_not_called_otherwise(self, scripted: Emulator, ask: Ask, members: dict[str, Any]) -> None:
        (only,) = ask(scripted, "cloudsway", question("cloudsway", **members)).json()["choices"]
        assert only == choice("Hello there!", "They greet.")


class TestJsonMode:
    def test_answers_with_an_object(self, documented: Emulator, ask: Ask) -> None:
        body = question("cloudsway", "Some JSON, please.", response_format={"type": "json_object"})
        content = ask(documented, "cloudsway", body).json()["choices"][0]["message"]["content"]
        assert isinstance(json.loads(content), dict)

    def test_answers_as_a_schema_demands_unless_the_setting_refuses(
        self, documented: Emulator, serving: Serving, ask: Ask
    ) -> None:
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        body = question("cloudsway", "A number.", response_format=wanted)
        answer = ask(documented, "cloudsway", body).json()
        assert isinstance(json.loads(answer["choices"][0]["message"]["content"])["n"], int)
        response = ask(serving(script("cloudsway", *RULES, json_schema="refuse")), "cloudsway", body)
        assert response.json()["error"]["message"] == "This response_format type is unavailable now"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "temperature high": ({"temperature": 2.1}, "Invalid temperature value, the valid range of temperature is [0, 2]"),
    "temperature low": ({"temperature": -0.1}, "Invalid temperature value, the valid range of temperature is [0, 2]"),
    "top_p zero": ({"top_p": 0}, "Invalid top_p value, the valid range of top_p is (0, 1.0]"),
    "top_p high": ({"top_p": 1.1}, "Invalid top_p value, the valid range of top_p is (0, 1.0]"),
    "max_tokens zero": ({"max_tokens": 0}, "Invalid max_tokens value, the valid range of max_tokens is [1, 393216]"),
    "max_tokens high": (
        {"max_tokens": 393217},
        "Invalid max_tokens value, the valid range of max_tokens is [1, 393216]",
    ),
    "max_completion_tokens zero": (
        {"max_completion_tokens": 0},
        "Invalid max_tokens value, the valid range of max_tokens is [1, 393216]",
    ),
    "top_logprobs alone": (
        {"top_logprobs": 2},
        "Invalid top_logprobs and logprobs value, logprobs must be set to true if top_logprobs is used.",
    ),
    "top_logprobs high": (
        {"logprobs": True, "top_logprobs": 21},
        "Invalid top_logprobs value, the valid range of top_logprobs is [0, 20].",
    ),
    "stream_options alone": (
        {"stream_options": {"include_usage": True}},
        "stream_options should be set along with stream = true",
    ),
    "json without json": (
        {"response_format": {"type": "json_object"}},
        "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'.",
    ),
    "format unknown": ({"response_format": {"type": "xml"}}, "This response_format type is unavailable now"),
    "tool_choice while thinking": (
        {"tool_choice": "required", "tools": [WEATHER]},
        "Thinking mode does not support this tool_choice",
    ),
    "messages empty": ({"messages": []}, "Empty input messages"),
    "stop too many": (
        {"stop": ["x"] * 17},
        "Invalid stop value, the valid range of the length of stop is [0, 16]",
    ),
    "user_id with blanks": (
        {"user_id": "a b"},
        "Invalid user_id value, user_id must match [a-zA-Z0-9\\-_] and be at most 512 characters long",
    ),
    "user_id long": (
        {"user_id": "a" * 513},
        "Invalid user_id value, user_id must match [a-zA-Z0-9\\-_] and be at most 512 characters long",
    ),
    "thinking unknown": (
        {"thinking": {"type": "adaptive"}},
        BAD_TYPE + "thinking.type: unknown variant `adaptive`, expected `enabled` or `disabled`",
    ),
    "effort unknown": (
        {"reasoning_effort": "low"},
        BAD_TYPE + "reasoning_effort: unknown variant `low`, expected `high` or `max`",
    ),
    "effort unknown inside": (
        {"thinking": {"reasoning_effort": "low"}},
        BAD_TYPE + "reasoning_effort: unknown variant `low`, expected `high` or `max`",
    ),
    "role unknown": (
        {"messages": [{"role": "developer", "content": "Hi"}]},
        BAD_TYPE + "messages[0].role: unknown variant `developer`, expected one of `system`, `user`, `assistant`, "
        "`tool`, `latest_reminder`",
    ),
    "model a number": ({"model": 5}, BAD_TYPE + "model: invalid type: integer `5`, expected a string"),
    "tool unanswered": (
        {
            "messages": [
                {
                    "role": "assistant",
                    "reasoning_content": "",
                    "tool_calls": [
                        {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
                    ],
                },
                {"role": "user", "content": "Hi"},
            ]
        },
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        "(insufficient tool messages following tool_calls message)",
    ),
    "temperature before top_p": (
        {"temperature": 3, "top_p": 3, "response_format": {"type": "text"}},
        "Invalid temperature value, the valid range of temperature is [0, 2]",
    ),
    "effort before temperature": (
        {"temperature": 3, "reasoning_effort": "low"},
        BAD_TYPE + "reasoning_effort: unknown variant `low`, expected `high` or `max`",
    ),
}
WRONG_TYPES = {
    "messages missing": ({"messages": ...}, "messages"),
    "messages a text": ({"messages": "Hi"}, "messages"),
    "role missing": ({"messages": [{"content": "Hi"}]}, "role"),
    "content missing": ({"messages": [{"role": "user"}]}, "content"),
    "content null": ({"messages": [{"role": "user", "content": None}]}, "messages[0]"),
    "part unknown": ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "`image_url`"),
    "max_tokens a text": ({"max_tokens": "9"}, "max_tokens"),
    "stream a text": ({"stream": "True"}, "stream"),
    "stop a number": ({"stop": 5}, "stop"),
    "tools a text": ({"tools": "weather"}, "tools"),
    "tool without a name": ({"tools": [{"type": "function", "function": {}}]}, "name"),
    "tool_choice unknown": ({"tool_choice": "maybe"}, "`maybe`"),
    "thinking a text": ({"thinking": "enabled"}, "thinking"),
    "logprobs a number": ({"logprobs": 1}, "logprobs"),
    "user_id a number": ({"user_id": 5}, "user_id"),
}


def error_spec(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": "400"}}


class TestARequest:
    @pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
    def test_is_refused_in_the_words_of_deepseek(
        self, scripted: Emulator, ask: Ask, changes: dict[str, Any], message: str
    ) -> None:
        response = ask(scripted, "cloudsway", question("cloudsway", **changes))
        assert (response.status_code, ordered(response.json())) == (400, ordered(error_spec(message)))

    @pytest.mark.parametrize(("changes", "named"), WRONG_TYPES.values(), ids=WRONG_TYPES)
    def test_of_a_wrong_type_is_refused_with_its_place(
        self, scripted: Emulator, ask: Ask, changes: dict[str, Any], named: str
    ) -> None:
        body = {name: value for name, value in question("cloudsway", **changes).items() if value is not ...}
        response = ask(scripted, "cloudsway", body)
        message = response.json()["error"]["message"]
        assert (response.status_code, response.json()) == (400, error_spec(message))
        assert message.startswith(BAD_TYPE)
        assert named in message

    @pytest.mark.parametrize(
        "members",
        [
            {"temperature": 0, "top_p": 1e-9, "max_tokens": 393216, "user_id": "", "stop": []},
            {"temperature": 2, "top_p": 1, "user_id": "aZ09-_" * 85, "response_format": {"type": "text"}},
            {"frequency_penalty": 99, "presence_penalty": "deprecated"},
            dict.fromkeys(["thinking", "reasoning_effort", "max_tokens", "response_format", "stop", "stream"]),
            dict.fromkeys(["stream_options", "temperature", "top_p", "tools", "tool_choice", "logprobs", "user_id"]),
            {"unknown": {"to": ["everybody"]}},
        ],
        ids=str,
    )
    def test_within_the_limits_is_taken(self, scripted: Emulator, ask: Ask, members: dict[str, Any]) -> None:
        response = ask(scripted, "cloudsway", question("cloudsway", **members))
        assert response.json() == whole(choice("Hello there!", "They greet."), usage(5, 7, 3))

    def test_longer_than_the_context_is_refused(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("cloudsway", *RULES, context_length=100))
        assert ask(emulator, "cloudsway", question("cloudsway", max_tokens=95)).status_code == 200
        response = ask(emulator, "cloudsway", question("cloudsway", max_tokens=96))
        assert (response.status_code, response.json()) == (
            400,
            error_spec(
                "This model's maximum context length is 100 tokens. However, you requested 101 tokens (5 in the "
                "messages, 96 in the completion). Please reduce the length of the messages or completion."
            ),
        )


BUSY = "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers."
ERRORS: dict[str, Any] = {
    "unauthorized": (401, "Invalid API key or API key not provided", "authentication_error", "401"),
    "forbidden": (403, "IP is not on the whitelist", "permission_error", "403"),
    "insufficient_balance": (400, "No available passageway", "invalid_request_error", "NO_PASSAGEWAY"),
    "content_policy": (400, "The response was filtered", "invalid_request_error", "400"),
    "rate_limited": (429, "Rate Limit Reached", "rate_limit_error", "429"),
    "server_error": (500, "Internal Server Error", "server_error", "500"),
    "overloaded": (503, BUSY, "server_error", "503"),
    "timeout": (504, "Gateway Timeout", "server_error", "504"),
    "bad_request": (400, "Bad Request", "invalid_request_error", "400"),
    "model_not_found": (404, "The resource or model does not exist", "not_found_error", "404"),
    "no_endpoint": (400, "No available endpoint", "invalid_request_error", "NO_ENDPOINT"),
    "conflict": (409, "Conflict", "conflict_error", "409"),
    "not_found": (404, "Not Found", "not_found_error", "404"),
}


class TestAnError:
    def test_is_known_for_every_name_of_the_vocabulary(self) -> None:
        assert set(ERROR_NAMES) == set(ERRORS) - {"no_endpoint", "conflict"}

    @pytest.mark.parametrize("name", ERRORS)
    def test_has_the_four_members_of_openai(self, serving: Serving, ask: Ask, name: str) -> None:
        status, message, kind, code = ERRORS[name]
        emulator = serving(refusing("cloudsway", ERRORS))
        response = ask(emulator, "cloudsway", question("cloudsway", name, stream=True))
        expected = {"error": {"message": message, "type": kind, "param": None, "code": code}}
        assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
        assert ordered(response.json()) == ordered(expected)

    @pytest.mark.parametrize(
        ("status", "message", "kind"),
        [
            (400, "Bad Request", "invalid_request_error"),
            (401, "Invalid API key or API key not provided", "authentication_error"),
            (403, "IP is not on the whitelist", "permission_error"),
            (404, "Not Found", "not_found_error"),
            (409, "Conflict", "conflict_error"),
            (429, "Rate Limit Reached", "rate_limit_error"),
            (500, "Internal Server Error", "server_error"),
            (503, BUSY, "server_error"),
            (504, "Gateway Timeout", "server_error"),
            (529, "Overloaded", "server_error"),
            (418, "Error", "invalid_request_error"),
        ],
    )
    def test_may_be_named_by_its_status(self, serving: Serving, ask: Ask, status: int, message: str, kind: str) -> None:
        emulator = serving(script("cloudsway", {"error": {"status": status}}))
        response = ask(emulator, "cloudsway", question("cloudsway"))
        expected = {"error": {"message": message, "type": kind, "param": None, "code": str(status)}}
        assert (response.status_code, response.json()) == (status, expected)

    @pytest.mark.parametrize("path", ["/", "/v1/chat", "/v1/ai//chat/completions", "/v1/ai/x/response"])
    def test_names_an_unknown_path(self, scripted: Emulator, ask: Ask, path: str) -> None:
        response = ask(scripted, "cloudsway", question("cloudsway"), path=path)
        expected = {"error": {"message": "Not Found", "type": "not_found_error", "param": None, "code": "404"}}
        assert (response.status_code, response.json()) == (404, expected)

    def test_names_a_wrong_method(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "cloudsway", b"", method="GET")
        expected = {"message": "Method Not Allowed", "type": "invalid_request_error", "param": None, "code": "405"}
        assert (response.status_code, response.json()) == (405, {"error": expected})
        assert response.headers["allow"] == "POST"
