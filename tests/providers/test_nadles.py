"""deadlock on Nadles as its document and the contract say: envelope, web search, plans, streams, errors, settings."""

import re
from typing import Any

import pytest
from talk import Ask, Serving, events, ordered, question, refusing, script, sse

from emulator import Emulator
from emulator.providers.base import ERROR_NAMES

MODEL = "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"
ID = "chatcmpl-00000000000000000000000000000001"
FIXED: dict[str, Any] = {"id": ID, "created": 1700000000}
SUMMARIES: list[dict[str, Any]] = [
    {"url": "https://a.test/", "summary": "The sea is wide.", "status": 200},
    {"url": "https://b.test/", "summary": None, "status": 404, "error": "Not Found"},
]
FOUND = [
    {"error": None, "status": 200, "summary": "The sea is wide.", "url": "https://a.test/"},
    {"error": "Not Found", "status": 404, "summary": None, "url": "https://b.test/"},
]
RULES: list[dict[str, Any]] = [
    {"match": {"prompt": "think"}, "reply": {"reasoning": "Hm.", "content": "Hello there!", **FIXED}},
    {"match": {"prompt": "search"}, "reply": {"content": "Hello there!", "summaries": SUMMARIES, **FIXED}},
    {"match": {"prompt": "say nothing"}, "reply": {"content": "", **FIXED}},
    {"match": {"prompt": "say much"}, "reply": {"content": "word " * 3000}},
    {"reply": {"content": "Hello there!", **FIXED}},
]


def request_head(
    content: str, prompt: int, response: int, summaries: Any = (), finish_reason: str = "stop", model: str = MODEL
) -> dict[str, Any]:
    message = {"content": content, "name": None, "role": "assistant", "tool_calls": None}
    return {
        "model_response": {
            "choices": [{"finish_reason": finish_reason, "index": 0, "logprobs": None, "message": message}],
            "created": 1700000000,
            "id": ID,
            "model": model,
            "object": "chat.completion",
        },
        **ending(prompt, response, summaries),
    }


def ending(prompt: int, response: int, summaries: Any = ()) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "response_tokens": response, "total_tokens": prompt + response}
    return {"summaries": list(summaries), "token_info": counts}


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {
        "choices": [{"delta": delta, "finish_reason": finish_reason, "index": 0, "logprobs": None}],
        "created": 1700000000,
        "id": ID,
        "model": MODEL,
        "object": "chat.completion.chunk",
    }


@pytest.fixture
def scripted(serving: Serving) -> Emulator:
    return serving(script("nadles", *RULES))


def content_of(body: dict[str, Any]) -> str:
    content: str = body["model_response"]["choices"][0]["message"]["content"]
    return content


class TestAnAnswer:
    def test_comes_in_its_own_envelope_with_sorted_keys(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "nadles", question("nadles"))
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        assert ordered(response.json()) == ordered(request_head("Hello there!", 5, 3))

    def test_needs_nothing_but_messages(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "nadles", {"messages": [{"role": "user", "content": "Hi"}]})
        assert ordered(response.json()) == ordered(request_head("Hello there!", 5, 3))

    def test_is_generated_when_nothing_is_scripted(self, documented: Emulator, ask: Ask) -> None:
        body = ask(documented, "nadles", question("nadles", "Tell me about the sea.")).json()
        assert re.fullmatch(r"chatcmpl-[0-9a-f]{32}", body["model_response"]["id"])
        assert body["model_response"]["model"] == MODEL
        assert content_of(body)
        assert "<think>" not in content_of(body)

    def test_names_the_model_that_the_script_names(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("nadles", {"reply": {"content": "Hello there!", "model": "other", **FIXED}}))
        body = ask(emulator, "nadles", question("nadles")).json()
        assert body == request_head("Hello there!", 5, 3, model="other")

    def test_has_no_headers_but_those_of_http(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "nadles", question("nadles"))
        assert set(response.headers) == {"date", "content-type", "content-length"}

    def test_calls_no_tools_unless_scripted(self, serving: Serving, ask: Ask) -> None:
        call = {"name": "look", "arguments": {"at": "sea"}, "id": "call_1"}
        emulator = serving(script("nadles", {"reply": {"tool_calls": [call], **FIXED}}))
        (choice,) = ask(emulator, "nadles", question("nadles")).json()["model_response"]["choices"]
        function = {"arguments": '{"at": "sea"}', "name": "look"}
        assert choice == {
            "finish_reason": "tool_calls",
            "index": 0,
            "logprobs": None,
            "message": {
                "content": "",
                "name": None,
                "role": "assistant",
                "tool_calls": [{"function": function, "id": "call_1", "index": 0, "type": "function"}],
            },
        }


class TestMaxTokens:
    def test_is_2048_when_left_out(self, scripted: Emulator, ask: Ask) -> None:
        body = ask(scripted, "nadles", question("nadles", "say much")).json()
        assert body["token_info"]["response_tokens"] == 2048
        assert body["model_response"]["choices"][0]["finish_reason"] == "length"

    def test_cuts_the_answer(self, scripted: Emulator, ask: Ask) -> None:
        body = ask(scripted, "nadles", question("nadles", max_tokens=2)).json()
        assert body == request_head("Hello there", 5, 2, finish_reason="length")


class TestReasoning:
    def test_stands_in_the_content(self, scripted: Emulator, ask: Ask) -> None:
        body = ask(scripted, "nadles", question("nadles", "think")).json()
        assert content_of(body) == "<think>\nHm.\n</think>\n\nHello there!"

    def test_is_dropped_if_the_setting_says_so(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("nadles", *RULES, inline_think=False))
        assert ask(emulator, "nadles", question("nadles", "think")).json() == request_head("Hello there!", 5, 3)


class TestWebSearch:
    def test_tells_its_sources_and_counts_them_as_prompt(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "nadles", question("nadles", "search", search_web=True))
        assert ordered(response.json()) == ordered(request_head("Hello there!", 10, 3, FOUND))

    @pytest.mark.parametrize("members", [{}, {"search_web": False}], ids=["left out", "false"])
    def test_has_no_sources_unless_asked(self, scripted: Emulator, ask: Ask, members: dict[str, Any]) -> None:
        body = ask(scripted, "nadles", question("nadles", "search", **members)).json()
        assert body == request_head("Hello there!", 5, 3)

    def test_tells_scripted_sources_always_if_the_setting_says_so(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("nadles", *RULES, summaries="scripted"))
        body = ask(emulator, "nadles", question("nadles", "search", search_web=False)).json()
        assert body == request_head("Hello there!", 10, 3, FOUND)

    def test_invents_sources_when_none_are_scripted(self, scripted: Emulator, ask: Ask) -> None:
        body = ask(scripted, "nadles", question("nadles", search_web=True)).json()
        assert body["summaries"]
        for row in body["summaries"]:
            assert list(row) == ["error", "status", "summary", "url"]
            assert (row["error"] is None) == (row["status"] == 200)
        assert body["token_info"]["prompt_tokens"] > 5


class TestAStream:
    def test_brings_bare_chunks_then_the_rest_of_the_envelope(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "nadles", question("nadles", stream=True))
        assert response.text == sse(
            chunk({"content": "Hello", "role": "assistant"}),
            chunk({"content": " there"}),
            chunk({"content": "!"}),
            chunk({}, "stop"),
            ending(5, 3),
        )

    def test_wraps_its_chunks_if_the_setting_says_so(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("nadles", *RULES, stream_envelope="model_response"))
        response = ask(emulator, "nadles", question("nadles", "search", stream=True, search_web=True))
        assert response.text == sse(
            {"model_response": chunk({"content": "Hello", "role": "assistant"})},
            {"model_response": chunk({"content": " there"})},
            {"model_response": chunk({"content": "!"})},
            {"model_response": chunk({}, "stop")},
            ending(10, 3, FOUND),
        )

    def test_of_nothing_still_tells_the_role(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "nadles", question("nadles", "say nothing", stream=True))
        assert response.text == sse(chunk({"content": "", "role": "assistant"}), chunk({}, "stop"), ending(6, 0))

    def test_has_reasoning_in_the_content(self, scripted: Emulator, ask: Ask) -> None:
        *chunks, _ = events(ask(scripted, "nadles", question("nadles", "think", stream=True)))
        deltas = [event["choices"][0]["delta"].get("content", "") for event in chunks]
        assert "".join(deltas) == "<think>\nHm.\n</think>\n\nHello there!"

    def test_has_the_headers_of_an_event_stream(self, scripted: Emulator, ask: Ask) -> None:
        headers = ask(scripted, "nadles", question("nadles", stream=True)).headers
        assert {name: value for name, value in headers.items() if name != "date"} == {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache",
            "transfer-encoding": "chunked",
        }


NO_KEYS: dict[str, dict[str, str]] = {
    "none": {},
    "empty": {"x-billing-token": ""},
    "bearer": {"authorization": "Bearer test"},
    "another provider's": {"x-api-key": "test"},
}


class TestAToken:
    def test_is_taken_in_any_spelling_of_the_header(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "nadles", question("nadles"), headers={"X-Billing-Token": "any"})
        assert response.status_code == 200

    @pytest.mark.parametrize("headers", NO_KEYS.values(), ids=NO_KEYS)
    def test_that_is_missing_is_unauthorized(self, scripted: Emulator, ask: Ask, headers: dict[str, str]) -> None:
        response = ask(scripted, "nadles", question("nadles"), headers=headers)
        assert (response.status_code, response.json()) == (401, {"message": "Unauthorized"})

    def test_that_no_account_has_is_unauthorized(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("nadles", *RULES, accounts=[{"key": "known"}]))
        response = ask(emulator, "nadles", question("nadles"), headers={"x-billing-token": "revoked"})
        assert (response.status_code, response.json()) == (401, {"message": "Unauthorized"})
        assert ask(emulator, "nadles", question("nadles"), headers={"x-billing-token": "known"}).status_code == 200


class TestAPlan:
    def test_forbids_other_models(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "nadles", question("nadles"), path="/deepseek-v3/completion")
        assert (response.status_code, response.json()) == (403, {"message": "Forbidden"})

    def test_forbids_them_before_it_reads_the_body(self, scripted: Emulator, ask: Ask) -> None:
        assert ask(scripted, "nadles", b"nonsense", path="/deepseek-v3/completion").status_code == 403

    def test_may_have_other_models(self, serving: Serving, ask: Ask) -> None:
        emulator = serving(script("nadles", *RULES, models=["deepseek-v3"]))
        body = ask(emulator, "nadles", question("nadles"), path="/deepseek-v3/completion").json()
        assert body == request_head("Hello there!", 5, 3, model="deepseek-ai/DeepSeek-V3")
        assert ask(emulator, "nadles", question("nadles")).json() == {"message": "Forbidden"}


BAD_TYPE = "Failed to deserialize the JSON body into the target type: "
OUT_OF_RANGE = {
    "temperature high": (
        {"temperature": 1.01},
        "Invalid temperature value, the valid range of temperature is [0.0, 1.0]",
    ),
    "temperature low": (
        {"temperature": -0.1},
        "Invalid temperature value, the valid range of temperature is [0.0, 1.0]",
    ),
    "top_p high": ({"top_p": 2}, "Invalid top_p value, the valid range of top_p is [0.0, 1.0]"),
    "top_p low": ({"top_p": -1e300}, "Invalid top_p value, the valid range of top_p is [0.0, 1.0]"),
    "max_tokens zero": ({"max_tokens": 0}, "Invalid max_tokens value, max_tokens must be at least 1"),
    "max_tokens negative": ({"max_tokens": -5}, "Invalid max_tokens value, max_tokens must be at least 1"),
}
BAD = {
    **OUT_OF_RANGE,
    "messages missing": ({"messages": ...}, BAD_TYPE + "missing field `messages`"),
    "messages empty": ({"messages": []}, "messages must not be empty"),
    "messages null": ({"messages": None}, BAD_TYPE + "messages: invalid type: null, expected a sequence"),
    "role unknown": (
        {"messages": [{"role": "tool", "content": "Hi"}]},
        BAD_TYPE + "messages[0].role: unknown variant `tool`, expected one of `user`, `assistant`, `system`",
    ),
    "role missing": ({"messages": [{"content": "Hi"}]}, BAD_TYPE + "messages[0]: missing field `role`"),
    "content missing": ({"messages": [{"role": "user"}]}, BAD_TYPE + "messages[0]: missing field `content`"),
    "content in parts": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
        BAD_TYPE + "messages[0].content: invalid type: sequence, expected a string",
    ),
    "max_tokens a text": ({"max_tokens": "9"}, BAD_TYPE + 'max_tokens: invalid type: string "9", expected u32'),
    "max_tokens a float": (
        {"max_tokens": 9.5},
        BAD_TYPE + "max_tokens: invalid type: floating point `9.5`, expected u32",
    ),
    "temperature a boolean": (
        {"temperature": True},
        BAD_TYPE + "temperature: invalid type: boolean `true`, expected f32",
    ),
    "stream a text": ({"stream": "true"}, BAD_TYPE + 'stream: invalid type: string "true", expected a boolean'),
    "search_web a number": ({"search_web": 1}, BAD_TYPE + "search_web: invalid type: integer `1`, expected a boolean"),
}


class TestARequest:
    @pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
    def test_against_the_document_is_refused(
        self, scripted: Emulator, ask: Ask, changes: dict[str, Any], message: str
    ) -> None:
        body = {name: value for name, value in question("nadles", **changes).items() if value is not ...}
        response = ask(scripted, "nadles", body)
        assert (response.status_code, response.json()) == (400, {"message": message})

    @pytest.mark.parametrize(
        "members", [{"temperature": 0, "top_p": 0}, {"temperature": 1.0, "top_p": 1}, {"max_tokens": 10**12}], ids=str
    )
    def test_at_the_edge_of_a_range_is_taken(self, scripted: Emulator, ask: Ask, members: dict[str, Any]) -> None:
        assert ask(scripted, "nadles", question("nadles", **members)).json() == request_head("Hello there!", 5, 3)

    @pytest.mark.parametrize("changes", [row[0] for row in OUT_OF_RANGE.values()], ids=OUT_OF_RANGE)
    @pytest.mark.parametrize(("setting", "limit"), [("clamp", 1), ("ignore", 2048)])
    def test_out_of_range_is_taken_if_the_setting_says_so(
        self, serving: Serving, ask: Ask, changes: dict[str, Any], setting: str, limit: int
    ) -> None:
        emulator = serving(script("nadles", *RULES, out_of_range=setting))
        body = ask(emulator, "nadles", question("nadles", "say much", **changes)).json()
        assert body["token_info"]["response_tokens"] == (limit if "max_tokens" in changes else 2048)

    def test_may_have_members_that_nobody_knows(self, scripted: Emulator, ask: Ask) -> None:
        body = ask(scripted, "nadles", question("nadles", stop=["there"], n=5, logprobs="?")).json()
        assert body == request_head("Hello there!", 5, 3)


ERRORS: dict[str, tuple[int, dict[str, str]]] = {
    "unauthorized": (401, {"message": "Unauthorized"}),
    "forbidden": (403, {"message": "Forbidden"}),
    "insufficient_balance": (429, {"message": "Too Many Requests"}),
    "content_policy": (403, {"message": "Forbidden"}),
    "rate_limited": (429, {"message": "Too Many Requests"}),
    "server_error": (500, {"error": "Internal Server Error"}),
    "overloaded": (502, {"message": "Bad Gateway"}),
    "timeout": (504, {"message": "Gateway Timeout"}),
    "bad_request": (400, {"message": "Bad Request"}),
    "model_not_found": (403, {"message": "Forbidden"}),
    "not_found": (404, {"message": "Not Found"}),
}


class TestAnError:
    def test_is_known_for_every_name_of_the_vocabulary(self) -> None:
        assert set(ERRORS) == set(ERROR_NAMES)

    @pytest.mark.parametrize("name", ERRORS)
    def test_has_only_a_message(self, serving: Serving, ask: Ask, name: str) -> None:
        response = ask(serving(refusing("nadles", ERRORS)), "nadles", question("nadles", name, stream=True))
        assert response.headers["content-type"] == "application/json"
        assert (response.status_code, response.json()) == ERRORS[name]

    @pytest.mark.parametrize(
        ("error", "body"),
        [
            ({"status": 503, "message": "Busy"}, {"message": "Busy"}),
            ({"status": 500, "message": "Boom"}, {"error": "Boom"}),
            ({"status": 429}, {"message": "Too Many Requests"}),
            ({"status": 418}, {"message": "Error"}),
            ({"status": 402, "body": {"b": 1, "a": 2}}, {"a": 2, "b": 1}),
        ],
        ids=str,
    )
    def test_may_be_spelled_out(self, serving: Serving, ask: Ask, error: dict[str, Any], body: Any) -> None:
        response = ask(serving(script("nadles", {"error": error})), "nadles", question("nadles"))
        assert (response.status_code, ordered(response.json())) == (error["status"], ordered(body))

    @pytest.mark.parametrize("path", ["/", "/completion", "/a/b/completion", "/a/completion/", "/v1/chat/completions"])
    def test_names_an_unknown_path(self, scripted: Emulator, ask: Ask, path: str) -> None:
        response = ask(scripted, "nadles", question("nadles"), path=path)
        assert (response.status_code, response.json()) == (404, {"message": "Not Found"})

    def test_names_a_wrong_method(self, scripted: Emulator, ask: Ask) -> None:
        response = ask(scripted, "nadles", b"", method="GET")
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
        assert response.json() == {"message": "Method Not Allowed"}
