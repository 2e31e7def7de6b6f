"""DeepSeek's messages at `/anthropic`: what is read, answered, refused and counted."""

import json
from typing import Any

import httpx
import pytest
from talk import Serving

from emulator import Emulator

ID = "d5f0d4b6-7f5d-4f5b-9f3e-0123456789ab"
FIXED: dict[str, Any] = {"id": ID, "created": 1}
BLOCKS: list[dict[str, Any]] = [
    {"thought": "Hm.", "encrypted": "ZW5j"},
    {"search": {"query": "news", "error": "unavailable"}},
    {"text": "Nothing."},
]
RULES: list[dict[str, Any]] = [
    {"match": {"tool_result": {"name": "look"}}, "reply": {"content": "Seen.", **FIXED}},
    {"match": {"prompt": "greet", "turn": 2}, "reply": {"content": "Again.", **FIXED}},
    {"match": {"prompt": "greet"}, "reply": {"reasoning": "Hm.", "content": "Hello", **FIXED}},
    {"match": {"prompt": "slow"}, "reply": {"content": "Hello", **FIXED}, "pace": {"ttft": 25}},
    {"match": {"prompt": "blocks"}, "reply": {"blocks": BLOCKS}},
    {"match": {"operation": "chat"}, "reply": {"content": "A chat.", **FIXED}},
]
Json = dict[str, Any]
OFF: Json = {"thinking": {"type": "disabled"}}


class Endpoint:
    def __init__(self, emulator: Emulator, http: httpx.Client) -> None:
        self.emulator = emulator
        self.http = http

    def post(
        self, *turns: Any, path: str = "/anthropic/v1/messages", headers: dict[str, str] | None = None, **members: Any
    ) -> httpx.Response:
        body = {"model": "deepseek-v4-pro", "max_tokens": 200, "messages": [turn(each) for each in turns], **members}
        given = {name: value for name, value in body.items() if value is not ...}
        shown = {"x-api-key": "sk-test"} if headers is None else headers
        return self.http.post(self.emulator.url("deepseek") + path, json=given, headers=shown)

    def error_spec(self, *turns: Any, **members: Any) -> tuple[int, str]:
        response = self.post(*turns, **members)
        return response.status_code, response.json()["error"]["message"]


def turn(said: Any) -> Json:
    return said if isinstance(said, dict) else {"role": "user", "content": said}


@pytest.fixture(scope="module")
def scripted(serving: Serving) -> Emulator:
    return serving({"rules": RULES, "clock": "virtual"})


@pytest.fixture
def provider(scripted: Emulator, http: httpx.Client) -> Endpoint:
    return Endpoint(scripted, http)


@pytest.fixture
def made(serving: Serving, http: httpx.Client) -> Any:
    """`made(**settings)`: a provider that writes its answers itself."""

    def make(**settings: Any) -> Endpoint:
        return Endpoint(serving({"unmatched": "generate", "providers": {"deepseek": settings}}), http)

    return make


def usage(input: int, output: int, cached: int = 0) -> Json:
    return {
        "input_tokens": input,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": output,
        "service_tier": "standard",
    }


def message(content: list[Json], counts: Json, **more: Any) -> Json:
    return {
        "id": ID,
        "type": "message",
        "role": "assistant",
        "model": "deepseek-v4-pro",
        "content": content,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": counts,
        **more,
    }


@pytest.mark.parametrize("path", ["/anthropic/v1/messages", "/anthropic/messages", "/anthropic/v1/messages?beta=true"])
def test_a_message_is_answered_with_blocks(provider: Endpoint, path: str) -> None:
    said = [{"type": "thinking", "thinking": "Hm.", "signature": ID}, {"type": "text", "text": "Hello"}]
    assert provider.post("greet", path=path).json() == message(said, usage(6, 5))


def test_who_is_asked_not_to_think_does_not(provider: Endpoint) -> None:
    assert provider.post("greet", **OFF).json()["content"] == [{"type": "text", "text": "Hello"}]


def test_system_texts_and_blocks_are_one_conversation(provider: Endpoint) -> None:
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    parts = [{"type": "text", "text": "gr"}, {"type": "text", "text": "eet"}]
    body = provider.post({"role": "user", "content": parts}, system=system).json()
    assert body["content"][-1]["text"] == "Hello"
    assert body["usage"]["input_tokens"] == 9


def test_several_results_and_a_question_are_as_many_messages_of_one_turn(provider: Endpoint) -> None:
    calls = [{"type": "tool_use", "id": name, "name": "look", "input": {"at": name}} for name in ("a", "b")]
    thought = {"type": "thinking", "thinking": "", "signature": "s"}
    results = [
        {"type": "tool_result", "tool_use_id": "a", "content": "sun"},
        {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "rain"}], "is_error": True},
        {"type": "text", "text": "go on"},
    ]
    turns = ("look", {"role": "assistant", "content": [thought, *calls]}, {"role": "user", "content": results})
    assert provider.post(*turns).json()["content"][-1]["text"] == "Seen."
    results[1] = {"type": "tool_result", "tool_use_id": "b"}
    assert provider.post(*turns).json()["content"][-1]["text"] == "Seen."
    assert (
        provider.post("greet", {"role": "assistant", "content": "Hello"}, "greet").json()["content"][-1]["text"]
        == "Again."
    )


def test_a_failed_search_and_a_sealed_thought_are_blocks(provider: Endpoint) -> None:
    sealed, query, found, text = provider.post("blocks").json()["content"]
    assert sealed == {"type": "redacted_thinking", "data": "ZW5j"}
    assert query == {"type": "server_tool_use", "id": query["id"], "name": "web_search", "input": {"query": "news"}}
    assert found == {
        "type": "web_search_tool_result",
        "tool_use_id": query["id"],
        "content": {"type": "web_search_tool_result_error", "error_code": "unavailable"},
    }
    assert text == {"type": "text", "text": "Nothing."}


def test_rules_that_name_an_operation_keep_dialects_apart(provider: Endpoint) -> None:
    response = provider.post("anything")
    assert response.status_code == 404
    assert "operation is 'messages', the rule expects 'chat'" in response.json()["error"]["message"]


def test_a_stop_sequence_is_named(serving: Serving, http: httpx.Client) -> None:
    rules = {"rules": [{"reply": {"content": "one, two, three"}}]}
    body = Endpoint(serving(rules), http).post("x", stop_sequences=["three", ", t"], **OFF).json()
    assert (body["content"], body["stop_reason"], body["stop_sequence"]) == (
        [{"type": "text", "text": "one"}],
        "stop_sequence",
        ", t",
    )


def test_what_was_cached_is_no_input(made: Any) -> None:
    provider = made()
    long = "The quick brown fox jumps over the lazy dog. " * 40
    first, second = (provider.post(long, **OFF).json()["usage"] for _ in range(2))
    assert (first["cache_read_input_tokens"], second["cache_read_input_tokens"] % 64) == (0, 0)
    assert second["cache_read_input_tokens"] > 0
    assert second["input_tokens"] + second["cache_read_input_tokens"] == first["input_tokens"]


def test_a_tool_that_is_asked_for_is_called(made: Any) -> None:
    tool = {
        "name": "get_weather",
        "input_schema": {"type": "object", "properties": {"days": {"const": 3}}, "required": ["days"]},
    }
    body = made().post("x", tools=[tool], tool_choice={"type": "tool", "name": "get_weather"}, **OFF).json()
    (call,) = body["content"]
    assert (call["name"], call["input"], call["id"][:8], body["stop_reason"]) == (
        "get_weather",
        {"days": 3},
        "call_00_",
        "tool_use",
    )


def test_a_search_shows_its_query_its_results_and_whom_the_text_cites(made: Any) -> None:
    tool = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
    body = made().post("rivers of Europe", tools=[tool], **OFF).json()
    asked, found, text = body["content"]
    assert (asked["type"], asked["name"], asked["input"]) == (
        "server_tool_use",
        "web_search",
        {"query": "rivers of Europe"},
    )
    assert (found["type"], found["tool_use_id"]) == ("web_search_tool_result", asked["id"])
    assert [row["url"] for row in found["content"]] == [citation["url"] for citation in text["citations"]]
    assert body["usage"]["server_tool_use"] == {"web_search_requests": 1}
    stream = made().post("rivers of Europe", tools=[tool], stream=True, **OFF).text
    assert stream.count('"type":"citations_delta"') == len(text["citations"])


@pytest.mark.parametrize(
    ("setting", "block", "deltas"),
    [
        ("uuid", {"type": "thinking", "thinking": "Hm.", "signature": ID}, 1),
        ("empty", {"type": "thinking", "thinking": "Hm.", "signature": ""}, 0),
        ("omit", {"type": "thinking", "thinking": "Hm."}, 0),
    ],
)
def test_thoughts_are_signed_as_the_setting_says(
    serving: Serving, http: httpx.Client, setting: str, block: Json, deltas: int
) -> None:
    provider = Endpoint(serving({"rules": RULES, "providers": {"deepseek": {"signature": setting}}}), http)
    assert provider.post("greet").json()["content"][0] == block
    assert provider.post("greet", stream=True).text.count("signature_delta") == deltas


def test_authorization_wins_over_a_key_of_its_own(serving: Serving, http: httpx.Client) -> None:
    rules = {"rules": RULES, "accounts": [{"key": "sk-good"}]}
    provider = Endpoint(serving(rules), http)
    good, bad = {"authorization": "Bearer sk-good"}, {"authorization": "Bearer sk-bad"}
    keys = [{"x-api-key": "sk-good"}, good, {**good, "x-api-key": "sk-bad"}, {**bad, "x-api-key": "sk-good"}, {}]
    assert [provider.post("greet", headers=key).status_code for key in keys] == [200, 200, 200, 401, 401]


def test_a_stream_says_that_it_is_alive_while_it_waits(provider: Endpoint) -> None:
    lines = provider.post("slow", stream=True, **OFF).text.split("\n\n")
    assert lines[:2] == [": keep-alive", ": keep-alive"]
    assert lines[2].startswith("event: message_start\n")


TYPE = "Failed to deserialize the JSON body into the target type: "
THOUGHTLESS = {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "look", "input": {}}]}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]}
REFUSALS: list[tuple[tuple[Any, ...], Json, str]] = [
    (("x",), {"model": "gpt-4"}, "The supported API model names are deepseek-flash or deepseek-v4-pro, but you "
     "passed gpt-4."),
    (("x",), {"max_tokens": 0}, "Invalid max_tokens value, the valid range of max_tokens is [1, 393216]"),
    (("x",), {"temperature": 3}, "Invalid temperature value, the valid range of temperature is [0, 2]"),
    ((), {}, "Empty input messages"),
    (({"role": "user", "content": [{"type": "document"}]},), {}, f"{TYPE}messages[0].content[0].type: unknown variant "
     "`document`, expected one of `text`, `image`, `thinking`, `tool_use`, `tool_result`, `server_tool_use`, "
     "`web_search_tool_result`"),
    (("look", THOUGHTLESS, RESULT), {},
     "The `content[].thinking` in the thinking mode must be passed back to the API."),
    (("x",), {"output_config": {"effort": "huge"}}, f"{TYPE}output_config.effort: unknown variant `huge`, expected one "
     "of `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`, `ultra`"),
]  # fmt: skip


@pytest.mark.parametrize(("turns", "members", "reported"), REFUSALS, ids=lambda value: "")
def test_a_wrong_request_is_refused_in_one_sentence(
    provider: Endpoint, turns: Any, members: Json, reported: str
) -> None:
    assert provider.error_spec(*turns, **members) == (400, reported)


def test_a_limit_has_to_be_given(provider: Endpoint) -> None:
    status, reported = provider.error_spec("x", max_tokens=...)
    assert status == 400
    assert reported.startswith(f"{TYPE}missing field `max_tokens`")


def test_tokens_are_counted_where_that_is_switched_on(made: Any) -> None:
    path = "/anthropic/v1/messages/count_tokens"
    assert made().post("greet", path=path).status_code == 404
    provider = made(count_tokens=True)
    assert provider.post("greet", path=path, max_tokens=...).json() == {"input_tokens": 6}


def test_the_same_question_again_has_another_id_and_the_same_words(made: Any) -> None:
    provider = made()
    answers = [provider.post("tell me of rivers", **OFF).json() for _ in range(4)]
    assert len({answer["id"] for answer in answers}) == 4
    assert len({json.dumps(answer["content"]) for answer in answers}) == 1


def test_a_key_in_its_header_names_a_namespace(provider: Endpoint) -> None:
    provider.post("greet", headers={"x-api-key": "sk-emu-apart"})
    assert [each.call.operation for each in provider.emulator.namespace("apart").journal] == ["messages"]
