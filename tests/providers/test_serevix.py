"""Serevix as its document and the contract say: New API's gateway in front, with its headers, errors and settings."""

import json
import re
from typing import Any

import httpx
import pytest
from openai import OpenAI
from pydantic import BaseModel
from talk import Ask, Serving, events, ordered, question, refusing, script, sse

from emulator import Emulator
from emulator.providers.base import ERROR_NAMES

FIXED: dict[str, Any] = {"id": "chatcmpl-1", "created": 1700000000}
HEAD: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1700000000,
    "model": "deepseek-v3",
}
RULES: list[dict[str, Any]] = [
    {"match": {"prompt": "think"}, "reply": {"reasoning": "They greet.", "content": "Hello there!", **FIXED}},
    {"match": {"prompt": "several"}, "reply": {"content": "One fish", "alternatives": ["Two"], **FIXED}},
    {"match": {"prompt": {"contains": "say nothing"}}, "reply": {"content": "", **FIXED}},
    {"reply": {"content": "Hello there!", **FIXED}},
]
BAD_TYPE = "Failed to deserialize the JSON body into the target type: "


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def whole(*choices: dict[str, Any], prompt: int = 5, completion: int = 3) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "deepseek-v3",
        "choices": list(choices),
        "usage": usage(prompt, completion),
    }


def choice(content: str, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish_reason}


def chunk(delta: dict[str, Any], finish_reason: str | None = None, index: int = 0) -> dict[str, Any]:
    return {
        **HEAD,
        "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
    }


def gateway(response: httpx.Response, message: str, code: str = "") -> dict[str, Any]:
    """The body of an error of the gateway itself: it repeats the request's id."""
    reported = f"{message} (request id: {response.headers['x-oneapi-request-id']})"
    return {"error": {"code": code, "message": reported, "type": "new_api_error"}}


def upstream(message: str) -> dict[str, Any]:
    """The body of an error that DeepSeek sent and the gateway forwarded."""
    kind = "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": "", "code": kind}}


def invalid_url(method: str, path: str) -> dict[str, Any]:
    message = f"Invalid URL ({method} {path})"
    return {"error": {"message": message, "type": "invalid_request_error", "param": "", "code": ""}}


@pytest.fixture
def scripted(serving: Serving) -> Emulator:
    return serving(script("serevix", *RULES))


class TestAnAnswer:
    def test_has_no_index_in_its_only_choice(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "serevix", question("serevix"))
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        assert ordered(response.json()) == ordered(whole(choice("Hello there!")))

    def test_has_an_index_if_the_setting_says_so(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("serevix", *RULES, choice_index="include"))
        body = ask(emulator, "serevix", question("serevix")).json()
        assert ordered(body) == ordered(whole({"index": 0, **choice("Hello there!")}))

    def test_has_an_index_in_each_of_several_choices(self, scripted: Emulator, ask: Ask) -> None:
        body = ask(scripted, "serevix", question("serevix", "several", n=2)).json()
        choices = {"index": 0, **choice("One fish")}, {"index": 1, **choice("Two")}
        assert ordered(body) == ordered(whole(*choices, prompt=5, completion=3))

    def test_may_have_reasoning(self, scripted: Emulator, ask: Ask) -> None:
        body = ask(scripted, "serevix", question("serevix", "think")).json()
        assert body["choices"] == [choice("Hello there!", reasoning_content="They greet.")]

    @pytest.mark.parametrize(("model", "thinks"), [("deepseek-v3", False), ("deepseek-r1", True)])
    def test_is_generated_with_reasoning_by_a_model_that_thinks(
        self, documented: Emulator, ask: Ask, model: str, thinks: bool
    ) -> None:
        body = ask(documented, "serevix", question("serevix", "Tell me about the sea.", model=model)).json()
        assert re.fullmatch(r"chatcmpl-[0-9A-Za-z]{24}", body["id"])
        assert body["model"] == model
        assert ("reasoning_content" in body["choices"][0]["message"]) is thinks

    @pytest.mark.parametrize("stop", [" there", ["!", " th"], ["a", "b", "c", " "], ["", " "]], ids=str)
    def test_ends_before_a_stop_string(self, scripted: Emulator, ask: Ask, stop: Any) -> None:
        assert ask(scripted, "serevix", question("serevix", stop=stop)).json() == whole(choice("Hello"), completion=1)

    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    def test_is_cut_at_max_tokens(self, scripted: Emulator, ask: Ask, name: str) -> None:
        body = ask(scripted, "serevix", question("serevix", **{name: 2})).json()
        assert body == whole(choice("Hello there", "length"), completion=2)

    def test_calls_a_tool_that_it_is_asked_to(self, documented: Emulator, ask: Ask) -> None:
        function = {"name": "look", "parameters": {"type": "object", "properties": {}}}
        tools = [{"type": "function", "function": function}]
        body = ask(documented, "serevix", question("serevix", tools=tools, tool_choice="required")).json()
        (only,) = body["choices"]
        (call,) = only["message"]["tool_calls"]
        assert only["finish_reason"] == "tool_calls"
        assert re.fullmatch(r"call_00_[0-9A-Za-z]{24}", call.pop("id"))
        assert call == {"index": 0, "type": "function", "function": {"name": "look", "arguments": "{}"}}


class TestAStream:
    START = chunk({"role": "assistant", "content": ""})
    PIECES = (chunk({"content": "Hello"}), chunk({"content": " there"}), chunk({"content": "!"}))
    END = chunk({"content": ""}, "stop")

    def test_looks_like_that_of_chatgpt(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "serevix", question("serevix", stream=True))
        assert response.text == sse(self.START, *self.PIECES, self.END)

    def test_has_a_chunk_of_usage_when_asked(self, scripted: Emulator, ask: Ask) -> None:
        body = question("serevix", stream=True, stream_options={"include_usage": True})
        last = {**HEAD, "choices": [], "usage": usage(5, 3)}
        assert ask(scripted, "serevix", body).text == sse(self.START, *self.PIECES, self.END, last)

    @pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": None}], ids=str)
    def test_has_no_usage_otherwise(self, scripted: Emulator, ask: Ask, options: Any) -> None:
        response = ask(scripted, "serevix", question("serevix", stream=True, stream_options=options))
        assert response.text == sse(self.START, *self.PIECES, self.END)

    def test_of_several_choices_brings_them_in_turn(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "serevix", question("serevix", "several", n=2, stream=True))
        assert response.text == sse(
            chunk({"role": "assistant", "content": ""}, index=0),
            chunk({"role": "assistant", "content": ""}, index=1),
            chunk({"content": "One"}, index=0),
            chunk({"content": "Two"}, index=1),
            chunk({"content": " fish"}, index=0),
            chunk({"content": ""}, "stop", index=0),
            chunk({"content": ""}, "stop", index=1),
        )

    def test_brings_reasoning_before_content(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "serevix", question("serevix", "think", stream=True, max_tokens=5))
        assert response.text == sse(
            chunk({"role": "assistant", "content": None, "reasoning_content": ""}),
            chunk({"content": None, "reasoning_content": "They"}),
            chunk({"content": None, "reasoning_content": " greet"}),
            chunk({"content": None, "reasoning_content": "."}),
            chunk({"content": "Hello", "reasoning_content": None}),
            chunk({"content": "", "reasoning_content": None}, "length"),
        )

    def test_of_nothing_has_a_start_and_an_end(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "serevix", question("serevix", "say nothing", stream=True))
        assert response.text == sse(self.START, self.END)

    def test_has_the_headers_of_new_api(self, scripted: Emulator, ask: Ask) -> None:
        headers = ask(scripted, "serevix", question("serevix", stream=True)).headers
        assert {name: value for name, value in headers.items() if name not in ("date", "x-oneapi-request-id")} == {
            "content-type": "text/event-stream",
            "cache-control": "no-cache",
            "connection": "keep-alive",
            "transfer-encoding": "chunked",
            "x-accel-buffering": "no",
        }

    def test_pings_while_it_waits_for_the_first_token(self, serving: Serving, ask: Ask) -> None:
        rule = {"reply": {"content": "Hello there!", **FIXED}, "pace": {"ttft": 0.035}}
        emulator = serving(script("serevix", rule, heartbeat=0.01))
        response = ask(emulator, "serevix", question("serevix", stream=True))
        assert response.text == ": PING\n\n" * 3 + sse(self.START, *self.PIECES, self.END)

    def test_does_not_ping_if_the_setting_says_so(self, serving: Serving, ask: Ask) -> None:
        rule = {"reply": {"content": "Hello there!", **FIXED}, "pace": {"ttft": 0.02}}
        emulator = serving(script("serevix", rule, heartbeat=None))
        response = ask(emulator, "serevix", question("serevix", stream=True))
        assert response.text == sse(self.START, *self.PIECES, self.END)


class TestTheRequestId:
    FORM = r"\d{20}[0-9A-Za-z]{8}"

    @pytest.mark.parametrize(
        ("method", "path", "headers", "body", "status"),
        [
            ("POST", None, None, question("serevix"), 200),
            ("POST", None, None, question("serevix", stream=True), 200),
            ("GET", "/v1/models", None, b"", 200),
            ("GET", "/v1/models/none", None, b"", 200),
            ("POST", None, None, b"nonsense", 400),
            ("POST", None, {}, question("serevix"), 401),
            ("GET", None, None, b"", 404),
            ("POST", "/v1/nothing", None, question("serevix"), 404),
        ],
        ids=str,
    )
    def test_stands_on_every_response(
        self,
        scripted: Emulator,
        ask: Ask,
        method: str,
        path: str | None,
        headers: dict[str, str] | None,
        body: Any,
        status: int,
    ) -> None:
        response = ask(scripted, "serevix", body, method=method, path=path, headers=headers)
        assert response.status_code == status
        assert re.fullmatch(self.FORM, response.headers["x-oneapi-request-id"])

    def test_differs_from_request_to_request(self, scripted: Emulator, ask: Ask) -> None:
        responses = [ask(scripted, "serevix", question("serevix")) for _ in range(20)]
        assert len({response.headers["x-oneapi-request-id"] for response in responses}) == 20


NO_KEYS: dict[str, dict[str, str]] = {
    "none": {},
    "empty": {"authorization": ""},
    "without a scheme": {"authorization": "sk-test"},
    "without a key": {"authorization": "Bearer"},
    "another scheme": {"authorization": "Basic sk-test"},
    "another provider's": {"x-api-key": "sk-test"},
}


class TestAKey:
    def test_is_taken_as_a_bearer_in_any_letter_case(self, scripted: Emulator, ask: Ask) -> None:
        assert ask(scripted, "serevix", question("serevix"), headers={"Authorization": "bearer x"}).status_code == 200

    @pytest.mark.parametrize("headers", NO_KEYS.values(), ids=NO_KEYS)
    def test_that_is_missing_is_an_invalid_token(self, scripted: Emulator, ask: Ask, headers: dict[str, str]) -> None:
        response = ask(scripted, "serevix", question("serevix"), headers=headers)
        assert response.status_code == 401
        assert ordered(response.json()) == ordered(gateway(response, "Invalid token"))

    @pytest.mark.parametrize(
        ("language", "message"),
        [
            ("zh-CN,zh;q=0.9", "无效的令牌"),
            ("zh", "无效的令牌"),
            ("en-US,zh;q=0.5", "Invalid token"),
            ("", "Invalid token"),
        ],
    )
    def test_is_refused_in_the_language_of_the_client(
        self, scripted: Emulator, ask: Ask, language: str, message: str
    ) -> None:
        response = ask(scripted, "serevix", question("serevix"), headers={"accept-language": language})
        assert response.json() == gateway(response, message)

    def test_that_no_account_has_is_an_invalid_token(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("serevix", *RULES, accounts=[{"key": "sk-known"}]))
        response = ask(emulator, "serevix", question("serevix"))
        assert (response.status_code, response.json()) == (401, gateway(response, "Invalid token"))
        known = ask(emulator, "serevix", question("serevix"), headers={"authorization": "Bearer sk-known"})
        assert known.status_code == 200


class TestHeaders:
    def test_accept_is_not_enforced(self, scripted: Emulator, ask: Ask) -> None:
        headers = {"authorization": "Bearer sk-test", "accept": "text/html"}
        assert ask(scripted, "serevix", question("serevix"), headers=headers).status_code == 200


NO_MODEL = "Model name not specified, model name cannot be empty"
NOT_JSON = "Invalid request: invalid JSON request body"
REFUSED_BY_THE_GATEWAY: dict[str, tuple[Any, str, str]] = {
    "model missing": ({"model": ...}, NO_MODEL, ""),
    "model null": ({"model": None}, NO_MODEL, ""),
    "model empty": ({"model": ""}, NO_MODEL, ""),
    "model a number": ({"model": 5}, NOT_JSON, ""),
    "messages missing": ({"messages": ...}, "field messages is required", "invalid_request"),
    "messages null": ({"messages": None}, "field messages is required", "invalid_request"),
    "messages empty": ({"messages": []}, "field messages is required", "invalid_request"),
    "max_tokens huge": ({"max_tokens": 2**30}, "max_tokens is invalid", "invalid_request"),
    "max_tokens negative": ({"max_tokens": -1}, "max_tokens is invalid", "invalid_request"),
}
REFUSED_UPSTREAM = {
    "temperature high": ({"temperature": 2.1}, "Invalid temperature value, the valid range of temperature is [0, 2]"),
    "temperature low": ({"temperature": -1}, "Invalid temperature value, the valid range of temperature is [0, 2]"),
    "top_p high": ({"top_p": 1.1}, "Invalid top_p value, the valid range of top_p is [0, 1]"),
    "top_p low": ({"top_p": -0.1}, "Invalid top_p value, the valid range of top_p is [0, 1]"),
    "presence_penalty": (
        {"presence_penalty": -2.1},
        "Invalid presence_penalty value, the valid range of presence_penalty is [-2, 2]",
    ),
    "frequency_penalty": (
        {"frequency_penalty": 3},
        "Invalid frequency_penalty value, the valid range of frequency_penalty is [-2, 2]",
    ),
    "max_tokens zero": ({"max_tokens": 0}, "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"),
    "five stop strings": ({"stop": list("abcde")}, "Invalid stop value, up to 4 stop strings are supported"),
    "n zero": ({"n": 0}, "Invalid n value, the valid range of n is [1, 128]"),
    "n huge": ({"n": 129}, "Invalid n value, the valid range of n is [1, 128]"),
    "temperature a text": (
        {"temperature": "hot"},
        BAD_TYPE + 'temperature: invalid type: string "hot", expected f32',
    ),
    "stream a text": ({"stream": "yes"}, BAD_TYPE + 'stream: invalid type: string "yes", expected a boolean'),
    "stop a number": ({"stop": 5}, BAD_TYPE + "stop: invalid type: integer `5`, expected a string"),
    "stop of numbers": ({"stop": ["a", 5]}, BAD_TYPE + "stop[1]: invalid type: integer `5`, expected a string"),
    "messages a text": (
        {"messages": "Hi"},
        BAD_TYPE + 'messages: invalid type: string "Hi", expected a sequence',
    ),
    "role unknown": (
        {"messages": [{"role": "robot", "content": "Hi"}]},
        BAD_TYPE + "messages[0].role: unknown variant `robot`, expected one of `system`, `user`, `assistant`, `tool`",
    ),
    "content a number": (
        {"messages": [{"role": "user", "content": 5}]},
        BAD_TYPE + "messages[0].content: invalid type: integer `5`, expected a string",
    ),
}


class TestARequest:
    @pytest.mark.parametrize(
        ("changes", "message", "code"), REFUSED_BY_THE_GATEWAY.values(), ids=REFUSED_BY_THE_GATEWAY
    )
    def test_may_be_refused_by_the_gateway(
        self, scripted: Emulator, ask: Ask, changes: Any, message: str, code: str
    ) -> None:
        body = {name: value for name, value in question("serevix", **changes).items() if value is not ...}
        response = ask(scripted, "serevix", body)
        assert response.status_code == 400
        assert ordered(response.json()) == ordered(gateway(response, message, code))

    @pytest.mark.parametrize(("body", "message"), [(b"{", NOT_JSON), (b"[]", NOT_JSON), (b"null", NO_MODEL)])
    def test_that_is_no_object_is_refused_by_the_gateway(
        self, scripted: Emulator, ask: Ask, body: bytes, message: str
    ) -> None:
        response = ask(scripted, "serevix", body)
        assert (response.status_code, response.json()) == (400, gateway(response, message))

    @pytest.mark.parametrize(("changes", "message"), REFUSED_UPSTREAM.values(), ids=REFUSED_UPSTREAM)
    def test_may_be_refused_upstream(self, scripted: Emulator, ask: Ask, changes: Any, message: str) -> None:
        response = ask(scripted, "serevix", question("serevix", **changes))
        assert response.status_code == 400
        assert ordered(response.json()) == ordered(upstream(message))

    @pytest.mark.parametrize(
        "members",
        [
            {"temperature": 0, "top_p": 0, "presence_penalty": -2, "frequency_penalty": -2.0, "max_tokens": 2**30 - 1},
            {"temperature": 2, "top_p": 1.0, "presence_penalty": 2, "frequency_penalty": 2, "n": 1, "stop": []},
            dict.fromkeys(["temperature", "top_p", "n", "stop", "max_tokens", "presence_penalty", "tools", "stream"]),
        ],
        ids=str,
    )
    def test_at_the_edge_of_a_range_is_taken(self, scripted: Emulator, ask: Ask, members: dict[str, Any]) -> None:
        response = ask(scripted, "serevix", question("serevix", **members))
        assert response.json() == whole(choice("Hello there!"))

    @pytest.mark.parametrize("message", [{"content": "Hi"}, {"role": "user"}, {"role": "user", "content": None}, {}])
    def test_needs_neither_role_nor_content_unless_strict(
        self, scripted: Emulator, serving: Serving, ask: Ask, message: dict[str, Any]
    ) -> None:
        body = question("serevix", messages=[message])
        assert ask(scripted, "serevix", body).json()["choices"] == [choice("Hello there!")]
        response = ask(serving(script("serevix", *RULES, strict=True)), "serevix", body)
        expected = upstream("Invalid messages value, role and content are required")
        assert (response.status_code, response.json()) == (400, expected)

    def test_for_a_model_without_a_channel_is_refused_with_503(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("serevix", *RULES, models=["deepseek-v3"]))
        response = ask(emulator, "serevix", question("serevix", model="gpt-5"))
        message = "No available channel for model gpt-5 under group default (distributor)"
        assert response.status_code == 503
        assert ordered(response.json()) == ordered(gateway(response, message, "model_not_found"))
        assert ask(emulator, "serevix", question("serevix")).status_code == 200


def listed(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": 1626777600,
        "owned_by": "deepseek",
        "supported_endpoint_types": ["openai"],
    }


class TestTheListOfModels:
    def test_is_that_of_new_api(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "serevix", b"", method="GET", path="/v1/models")
        names = ["deepseek-v3", "deepseek-r1", "deepseek-v4-flash", "deepseek-v4-pro"]
        others = [
            {
                **listed("claude-haiku-4-5-20251001"),
                "owned_by": "claude",
                "supported_endpoint_types": ["anthropic", "openai"],
            },
            {
                **listed("gemini-2.5-flash"),
                "owned_by": "google gemini",
                "supported_endpoint_types": ["gemini", "openai"],
            },
        ]
        expected = {"data": [*[listed(name) for name in names], *others], "object": "list", "success": True}
        assert (response.status_code, ordered(response.json())) == (200, ordered(expected))

    def test_has_the_models_of_the_setting(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("serevix", models=["one", "two"]))
        body = ask(emulator, "serevix", b"", method="GET", path="/v1/models").json()
        assert body == {"data": [listed("one"), listed("two")], "object": "list", "success": True}

    def test_tells_one_model(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "serevix", b"", method="GET", path="/v1/models/deepseek-r1")
        assert (response.status_code, ordered(response.json())) == (200, ordered(listed("deepseek-r1")))

    def test_denies_an_unknown_model_with_status_200(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "serevix", b"", method="GET", path="/v1/models/x")
        error = {
            "message": "The model 'x' does not exist",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
        assert (response.status_code, ordered(response.json())) == (200, ordered({"error": error}))

    def test_needs_a_key(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "serevix", b"", method="GET", path="/v1/models", headers={})
        assert (response.status_code, response.json()) == (401, gateway(response, "Invalid token"))


GATEWAY_ERRORS: dict[str, Any] = {
    "unauthorized": (401, "Invalid token", ""),
    "forbidden": (403, "This token has no access to model deepseek-v3", ""),
    "access_denied": (403, "Your IP is not in the list of allowed access", "access_denied"),
    "insufficient_balance": (403, "用户额度不足, 剩余额度: ＄0.000000", "insufficient_user_quota"),
    "token_quota": (403, "token quota is not enough", "pre_consume_token_quota_failed"),
    "rate_limited": (429, "You have reached the request limit: maximum 60 requests in 1 minutes", ""),
    "model_not_found": (
        503,
        "No available channel for model deepseek-v3 under group default (distributor)",
        "model_not_found",
    ),
    "not_implemented": (501, "API not implemented", "api_not_implemented"),
}
BUSY = "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers."
UPSTREAM_ERRORS = {
    "content_policy": (400, "Content Exists Risk", "invalid_request_error", "invalid_request_error"),
    "server_error": (500, "Internal Server Error", "upstream_error", "bad_response_status_code"),
    "overloaded": (503, BUSY, "service_unavailable_error", "service_unavailable_error"),
    "timeout": (504, "Gateway Timeout", "upstream_error", "bad_response_status_code"),
    "bad_request": (400, "Bad Request", "invalid_request_error", "invalid_request_error"),
    "not_found": (404, "Invalid URL (POST /v1/chat/completions)", "invalid_request_error", ""),
}
OPENAI_ERRORS: dict[str, tuple[int, str, str, str | None]] = {
    "unauthorized": (401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    "forbidden": (403, "You do not have access to deepseek-v3", "invalid_request_error", "model_not_found"),
    "insufficient_balance": (
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
        "insufficient_quota",
    ),
    "content_policy": (
        400,
        "Your request was rejected as a result of our safety system.",
        "invalid_request_error",
        "content_policy_violation",
    ),
    "rate_limited": (429, "Rate limit reached for requests", "requests", "rate_limit_exceeded"),
    "server_error": (
        500,
        "The server had an error while processing your request. Sorry about that!",
        "server_error",
        None,
    ),
    "overloaded": (
        503,
        "The engine is currently overloaded, please try again later",
        "service_unavailable_error",
        None,
    ),
    "timeout": (504, "Gateway Timeout", "server_error", None),
    "bad_request": (400, "Bad Request", "invalid_request_error", None),
    "model_not_found": (
        404,
        "The model `deepseek-v3` does not exist or you do not have access to it.",
        "invalid_request_error",
        "model_not_found",
    ),
    "not_found": (404, "Invalid URL (POST /v1/chat/completions)", "invalid_request_error", None),
}


class TestAnError:
    def test_is_known_for_every_name_of_the_vocabulary(self) -> None:
        assert set(ERROR_NAMES) <= {*GATEWAY_ERRORS, *UPSTREAM_ERRORS}
        assert set(ERROR_NAMES) == set(OPENAI_ERRORS)

    @pytest.mark.parametrize("name", GATEWAY_ERRORS)
    def test_of_the_gateway_has_sorted_keys_and_the_request_id(self, serving: Serving, ask: Ask, name: str) -> None:
        status, message, code = GATEWAY_ERRORS[name]
        emulator = serving(refusing("serevix", GATEWAY_ERRORS))
        response = ask(emulator, "serevix", question("serevix", name, stream=True))
        assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
        assert ordered(response.json()) == ordered(gateway(response, message, code))

    @pytest.mark.parametrize("name", UPSTREAM_ERRORS)
    def test_of_the_upstream_has_four_members(self, serving: Serving, ask: Ask, name: str) -> None:
        status, message, kind, code = UPSTREAM_ERRORS[name]
        response = ask(serving(refusing("serevix", UPSTREAM_ERRORS)), "serevix", question("serevix", name))
        expected = {"error": {"message": message, "type": kind, "param": "", "code": code}}
        assert (response.status_code, ordered(response.json())) == (status, ordered(expected))

    @pytest.mark.parametrize("name", OPENAI_ERRORS)
    def test_is_that_of_openai_if_the_setting_says_so(self, serving: Serving, ask: Ask, name: str) -> None:
        status, message, kind, code = OPENAI_ERRORS[name]
        emulator = serving(refusing("serevix", OPENAI_ERRORS, error_profile="openai"))
        response = ask(emulator, "serevix", question("serevix", name))
        expected = {"error": {"message": message, "type": kind, "param": None, "code": code}}
        assert (response.status_code, ordered(response.json())) == (status, ordered(expected))

    def test_of_a_bad_request_is_that_of_openai_if_the_setting_says_so(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("serevix", *RULES, error_profile="openai"))
        assert ask(emulator, "serevix", question("serevix", model="")).json() == {
            "error": {"message": NO_MODEL, "type": "invalid_request_error", "param": None, "code": None}
        }
        response = ask(emulator, "serevix", b"", method="GET")
        assert (response.status_code, response.headers["allow"]) == (405, "POST")

    def test_of_a_status_without_a_name_is_that_of_openai_if_the_setting_says_so(
        self, serving: Serving, ask: Ask
    ) -> None:
        rules = [{"match": {"prompt": str(status)}, "error": {"status": status}} for status in (418, 507)]
        emulator = serving(script("serevix", *rules, error_profile="openai"))
        for status, message, kind in (
            (418, "Error", "invalid_request_error"),
            (507, "Error", "server_error"),
        ):
            response = ask(emulator, "serevix", question("serevix", str(status)))
            expected = {"error": {"message": message, "type": kind, "param": None, "code": None}}
            assert (response.status_code, response.json()) == (status, expected)

    def test_names_no_model_where_the_request_has_none(self, scripted: Emulator, ask: Ask) -> None:
        headers = {"authorization": "Bearer k", "x-emulator-fault": "error:name=model_not_found"}
        response = ask(scripted, "serevix", b"", method="GET", path="/v1/models", headers=headers)
        message = "No available channel for model  under group default (distributor)"
        assert (response.status_code, response.json()) == (503, gateway(response, message, "model_not_found"))

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (
                {"status": 418},
                {"message": "Error", "type": "upstream_error", "param": "", "code": "bad_response_status_code"},
            ),
            (
                {"status": 400, "message": "No", "param": "top_p"},
                {
                    "message": "No",
                    "type": "invalid_request_error",
                    "param": "top_p",
                    "code": "invalid_request_error",
                },
            ),
            (
                {"name": "rate_limited", "type": "rate_limit_error", "code": "slow"},
                {
                    "message": "You have reached the request limit: maximum 60 requests in 1 minutes",
                    "type": "rate_limit_error",
                    "param": "",
                    "code": "slow",
                },
            ),
        ],
        ids=str,
    )
    def test_may_be_spelled_out(
        self, serving: Serving, ask: Ask, error: dict[str, Any], expected: dict[str, Any]
    ) -> None:
        response = ask(serving(script("serevix", {"error": error})), "serevix", question("serevix"))
        assert response.json() == {"error": expected}

    @pytest.mark.parametrize("path", ["/", "/v1/completions", "/v1/chat/completions/", "/v1/models/a/b"])
    def test_names_an_unknown_path(self, scripted: Emulator, ask: Ask, path: str) -> None:
        response = ask(scripted, "serevix", question("serevix"), path=path)
        assert response.status_code == 404
        assert ordered(response.json()) == ordered(invalid_url("POST", path))

    @pytest.mark.parametrize(("method", "path"), [("GET", "/v1/chat/completions"), ("POST", "/v1/models")])
    def test_takes_a_wrong_method_for_an_unknown_path(
        self, scripted: Emulator, ask: Ask, method: str, path: str
    ) -> None:
        response = ask(scripted, "serevix", b"", method=method, path=path)
        assert (response.status_code, response.json()) == (404, invalid_url(method, path))
        assert "allow" not in response.headers


def test_an_event_after_another_has_the_same_id_and_moment(documented: Emulator, ask: Ask) -> None:
    chunks = events(ask(documented, "serevix", question("serevix", "Tell me about the sea.", stream=True)))
    assert len({(event["id"], event["created"], event["model"]) for event in chunks}) == 1


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer", "minimum": 7, "maximum": 9}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
AS_SCHEMA = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA, "strict": True}}
UNAVAILABLE = "This response_format type is unavailable now"
LITERALS = BAD_TYPE + "tool_choice: unknown variant `sometimes`, expected one of `none`, `auto`, `required`"


class TestWhatTheUpstreamHonorsIsPassedOn:
    def test_a_schema(self, documented: Emulator, ask: Ask) -> None:
        body = ask(documented, "serevix", question("serevix", "The weather?", response_format=AS_SCHEMA)).json()
        said = json.loads(body["choices"][0]["message"]["content"])
        assert set(said) == {"city", "degrees"}
        assert 7 <= said["degrees"] <= 9

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_json_object(self, documented: Emulator, ask: Ask, stream: bool) -> None:
        form = {"type": "json_object"}
        response = ask(documented, "serevix", question("serevix", "Some json", response_format=form, stream=stream))
        if stream:
            deltas = [chunk["choices"][0]["delta"] for chunk in events(response)]
            text = "".join(delta.get("content") or "" for delta in deltas)
        else:
            text = response.json()["choices"][0]["message"]["content"]
        assert isinstance(json.loads(text), dict)

    def test_log_probabilities(self, scripted: Emulator, ask: Ask) -> None:
        (only,) = ask(scripted, "serevix", question("serevix", logprobs=True, top_logprobs=2)).json()["choices"]
        assert list(only) == ["message", "logprobs", "finish_reason"]
        rows = only["logprobs"]["content"]
        assert [row["token"] for row in rows] == ["Hello", " there", "!"]
        assert [len(row["top_logprobs"]) for row in rows] == [2, 2, 2]

    @pytest.mark.parametrize(
        ("members", "thinks"),
        [({"thinking": {"type": "enabled"}}, True), ({"thinking": {"type": "disabled"}}, False), ({}, False)],
        ids=["enabled", "disabled", "left out"],
    )
    def test_thinking(self, documented: Emulator, ask: Ask, members: dict[str, Any], thinks: bool) -> None:
        body = ask(documented, "serevix", question("serevix", "Tell me about the sea.", **members)).json()
        assert ("reasoning_content" in body["choices"][0]["message"]) is thinks

    @pytest.mark.parametrize(
        ("members", "message"),
        [
            ({"response_format": {"type": "xml"}}, UNAVAILABLE),
            ({"response_format": {"type": ""}}, UNAVAILABLE),
            (
                {"response_format": {"type": "json_object"}},
                "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'.",
            ),
            ({"response_format": {}}, BAD_TYPE + "response_format: missing field `type`"),
            (
                {"response_format": {"type": 5}},
                BAD_TYPE + "response_format.type: invalid type: integer `5`, expected a string",
            ),
            ({"response_format": "json"}, BAD_TYPE + 'response_format: invalid type: string "json", expected struct'),
            (
                {"top_logprobs": 2},
                "Invalid top_logprobs and logprobs value, logprobs must be set to true if top_logprobs is used.",
            ),
            ({"tool_choice": "sometimes"}, LITERALS),
            (
                {"reasoning_effort": "heroic"},
                BAD_TYPE + "reasoning_effort: unknown variant `heroic`, expected one of `none`, `minimal`, `low`, "
                "`medium`, `high`, `xhigh`, `max`",
            ),
        ],
    )
    def test_and_so_are_the_upstreams_refusals(
        self, documented: Emulator, ask: Ask, members: dict[str, Any], message: str
    ) -> None:
        response = ask(documented, "serevix", question("serevix", **members))
        assert (response.status_code, response.json()) == (400, upstream(message))

    def test_a_schema_may_be_refused_as_deepseek_does(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("serevix", *RULES, json_schema="refuse"))
        response = ask(emulator, "serevix", question("serevix", response_format=AS_SCHEMA))
        assert (response.status_code, response.json()) == (400, upstream(UNAVAILABLE))

    def test_the_parse_helper_of_the_sdk_gets_its_type(self, documented: Emulator) -> None:
        class Weather(BaseModel):
            city: str
            degrees: int

        with OpenAI(base_url=documented.url("serevix") + "/v1", api_key="sk-any") as client:
            answer = client.chat.completions.parse(
                model="deepseek-v3", messages=[{"role": "user", "content": "The weather?"}], response_format=Weather
            )
        assert isinstance(answer.choices[0].message.parsed, Weather)


class TestABodyThatIsNotSaidToBeJson:
    MESSAGE = "Model name not specified, model name cannot be empty"

    @pytest.mark.parametrize(
        "content_type",
        [
            None,
            "text/plain",
            "application/x-www-form-urlencoded",
            "Application/JSON",
            "multipart/form-data; boundary=x",
        ],
    )
    def test_is_not_read(self, documented: Emulator, http: httpx.Client, content_type: str | None) -> None:
        url = documented.url("serevix") + "/v1/chat/completions"
        headers = {"authorization": "Bearer k", **({"content-type": content_type} if content_type else {})}
        content = json.dumps(question("serevix")).encode()
        said = http.post(url, content=content, headers={**headers, "content-type": "application/json; charset=utf-8"})
        response = http.post(url, content=content, headers=headers)
        assert said.status_code == 200
        assert (response.status_code, response.json()) == (400, gateway(response, self.MESSAGE))

    def test_is_read_if_the_setting_says_so(self, serving: Serving, http: httpx.Client) -> None:
        emulator = serving(script("serevix", *RULES, content_type="any"))
        url = emulator.url("serevix") + "/v1/chat/completions"
        response = http.post(url, content=json.dumps(question("serevix")), headers={"authorization": "Bearer k"})
        assert response.json() == whole(choice("Hello there!"))
