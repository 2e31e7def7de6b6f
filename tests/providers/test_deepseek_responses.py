"""DeepSeek's responses: what is read, answered, refused and counted."""

import json
from typing import Any

import httpx
import pytest
from talk import Serving, ordered

from emulator import Emulator

FIXED: dict[str, Any] = {"id": "resp_1", "created": 1}
RULES: list[dict[str, Any]] = [
    {"match": {"tool_result": {"name": "look"}}, "reply": {"content": "Seen.", **FIXED}},
    {"match": {"prompt": "greet", "turn": 3}, "reply": {"content": "Thrice.", **FIXED}},
    {
        "match": {"prompt": "silent"},
        "reply": {"blocks": [{"text": ""}, {"tool_call": {"name": "look", "arguments": ""}}]},
    },
    {"match": {"prompt": "greet", "turn": 2}, "reply": {"content": "Again.", **FIXED}},
    {"match": {"prompt": "greet"}, "reply": {"reasoning": "Hm.", "content": "Hello", **FIXED}},
    {"match": {"prompt": "look"}, "reply": {"tool_calls": [{"name": "look", "arguments": {"at": "it"}, "id": "c"}]}},
    {"match": {"prompt": "patch"}, "reply": {"tool_calls": [{"name": "apply_patch", "arguments": "*** Begin"}]}},
    {"match": {"prompt": "crowded"}, "reply": {"finish_reason": "insufficient_system_resource", "content": "Hel"}},
    {"match": {"prompt": "filtered"}, "reply": {"finish_reason": "content_filter", "content": "Hel"}},
    {"match": {"operation": "chat"}, "reply": {"content": "A chat.", **FIXED}},
]
Json = dict[str, Any]
OFF: Json = {"reasoning": {"effort": "none"}}
TOOL: Json = {"type": "function", "name": "look", "parameters": {"type": "object"}}
PATCH: Json = {"type": "custom", "name": "apply_patch"}
CALL: Json = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
RESULT: Json = {"type": "function_call_output", "call_id": "c", "output": "sun"}
THOUGHT: Json = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}


class Endpoint:
    def __init__(self, emulator: Emulator, http: httpx.Client) -> None:
        self.emulator = emulator
        self.http = http

    def post(self, input: Any = "greet", *, path: str = "/responses", **members: Any) -> httpx.Response:
        body = {"model": "deepseek-v4-pro", "input": input, **members}
        given = {name: value for name, value in body.items() if value is not ...}
        return self.http.post(
            self.emulator.url("deepseek") + path, json=given, headers={"authorization": "Bearer sk-test"}
        )

    def error_spec(self, input: Any = "greet", **members: Any) -> tuple[int, str]:
        response = self.post(input, **members)
        return response.status_code, response.json()["error"]["message"]

    def stream(self, input: Any = "greet", **members: Any) -> list[Json]:
        return read(self.post(input, stream=True, **members))


def read(response: httpx.Response) -> list[Json]:
    """The events of a stream, each under an `event:` line that says its type, counted from 0, without `[DONE]`."""
    assert response.headers["content-type"].startswith("text/event-stream")
    events = []
    for number, frame in enumerate(response.text.removesuffix("\n\n").split("\n\n")):
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        events.append(event)
    return events


@pytest.fixture
def endpoint(serving: Serving, http: httpx.Client) -> Endpoint:
    return Endpoint(serving({"rules": RULES, "clock": "virtual"}), http)


@pytest.fixture
def made(serving: Serving, http: httpx.Client) -> Any:
    """`made(**settings)`: a provider that writes its answers itself."""

    def make(**settings: Any) -> Endpoint:
        return Endpoint(serving({"unmatched": "generate", "providers": {"deepseek": settings}}), http)

    return make


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def test_a_response_has_the_documented_members_in_order(endpoint: Endpoint) -> None:
    body = endpoint.post(instructions="Be brief.", temperature=0.5, store=True, metadata={"a": "b"}).json()
    thought, message = body["output"]
    assert (thought["id"][:3], len(thought["id"]), message["id"][:4], len(message["id"])) == ("rs_", 35, "msg_", 36)
    assert ordered(body) == ordered(
        {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "background": False,
            "completed_at": 1,
            "error": None,
            "incomplete_details": None,
            "instructions": "Be brief.",
            "max_output_tokens": None,
            "max_tool_calls": None,
            "model": "deepseek-v4-pro",
            "output": [
                {
                    "id": thought["id"],
                    "type": "reasoning",
                    "status": "completed",
                    "summary": [],
                    "content": [{"type": "reasoning_text", "text": "Hm."}],
                },
                {
                    "id": message["id"],
                    "type": "message",
                    "status": "completed",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
                },
            ],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "prompt_cache_key": None,
            "reasoning": {"effort": "high", "summary": None},
            "safety_identifier": None,
            "service_tier": "default",
            "store": False,
            "temperature": 0.5,
            "text": {"format": {"type": "text"}, "verbosity": "medium"},
            "tool_choice": "auto",
            "tools": [],
            "top_logprobs": 0,
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": {
                "input_tokens": 9,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 3},
                "total_tokens": 14,
            },
            "user": None,
            "metadata": {},
        }
    )


@pytest.mark.parametrize("path", ["/responses", "/v1/responses"])
def test_a_stream_tells_the_same_in_events(endpoint: Endpoint, path: str) -> None:
    whole = endpoint.post(path=path).json()
    events = endpoint.stream(path=path)
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        *["reasoning_text.delta"] * 3,
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    opening = {**whole, "status": "in_progress", "completed_at": None, "output": [], "usage": None}
    assert ordered([events[0]["response"], events[1]["response"]]) == ordered([opening, opening])
    assert ordered(events[-1]["response"]) == ordered(whole)
    items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert ordered(items) == ordered(whole["output"])
    assert ordered(events[12]) == ordered(
        {
            "type": "response.output_text.delta",
            "sequence_number": 12,
            "item_id": whole["output"][1]["id"],
            "output_index": 1,
            "content_index": 0,
            "delta": "Hello",
            "logprobs": [],
        }
    )


def test_a_call_comes_in_pieces_and_whole(endpoint: Endpoint) -> None:
    events = endpoint.stream("look", tools=[TOOL])
    pieces = [each["delta"] for each in events if each["type"] == "response.function_call_arguments.delta"]
    assert "".join(pieces) == '{"at": "it"}'
    assert len(pieces) > 1
    call = events[-1]["response"]["output"][-1]
    assert call == {
        "id": call["id"],
        "type": "function_call",
        "status": "completed",
        "call_id": "c",
        "name": "look",
        "arguments": '{"at": "it"}',
    }
    assert events[-1]["response"]["output"][0]["content"] == [{"type": "reasoning_text", "text": ""}]


def test_a_patch_is_plain_text(endpoint: Endpoint) -> None:
    events = endpoint.stream("patch", tools=[PATCH])
    assert "".join(e["delta"] for e in events if e["type"] == "response.custom_tool_call_input.delta") == "*** Begin"
    call = events[-1]["response"]["output"][-1]
    assert (call["type"], call["id"][:4], call["input"]) == ("custom_tool_call", "ctc_", "*** Begin")


def test_a_patch_that_nobody_wrote_is_text_too(made: Any) -> None:
    body = made().post("x", tools=[PATCH], tool_choice={"type": "custom", "name": "apply_patch"}, **OFF).json()
    (call,) = body["output"]
    assert call["type"] == "custom_tool_call"
    assert not call["input"].startswith("{")


@pytest.mark.parametrize(
    ("members", "status", "details", "last"),
    [
        ({"input": "filtered"}, "incomplete", {"reason": "content_filter"}, "incomplete"),
        ({"max_output_tokens": 1}, "incomplete", {"reason": "max_output_tokens"}, "incomplete"),
        ({"input": "crowded"}, "failed", None, "completed"),
    ],
)
def test_the_end_says_how_it_ended(
    endpoint: Endpoint, members: Json, status: str, details: Json | None, last: str
) -> None:
    events = endpoint.stream(**members)
    response = events[-1]["response"]
    assert events[-1]["type"] == f"response.{status}"
    assert (response["status"], response["incomplete_details"]) == (status, details)
    assert (response["error"] or {}).get("code") == ("server_error" if status == "failed" else None)
    assert response["output"][-1]["status"] == last
    assert endpoint.post(**members).json()["status"] == status


def test_what_the_model_said_in_several_items_is_one_turn(endpoint: Endpoint) -> None:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]}
    answer = endpoint.post([user("look"), THOUGHT, said, CALL, RESULT], tools=[TOOL]).json()
    assert answer["output"][-1]["content"][0]["text"] == "Seen."
    again = endpoint.post([user("greet"), said, {"role": "developer", "content": "hm"}, user("greet")]).json()
    assert again["output"][-1]["content"][0]["text"] == "Again."


def test_a_thought_after_an_answer_begins_another_turn(endpoint: Endpoint) -> None:
    said = {"type": "message", "role": "assistant", "content": "Hello"}
    two_turns = endpoint.post([user("greet"), THOUGHT, said, THOUGHT, said, user("greet")])
    one_turn = endpoint.post([user("greet"), THOUGHT, said, said, user("greet")])
    assert [each.json()["output"][-1]["content"][0]["text"] for each in (two_turns, one_turn)] == ["Thrice.", "Again."]


def test_instructions_that_say_nothing_change_nothing(endpoint: Endpoint) -> None:
    answers = [endpoint.post(instructions=each).json() for each in (None, "", ...)]
    assert [each["output"][-1]["content"][0]["text"] for each in answers] == ["Hello"] * 3
    assert [each["usage"]["input_tokens"] for each in answers] == [answers[-1]["usage"]["input_tokens"]] * 3


def test_a_text_and_arguments_without_letters_have_no_delta(endpoint: Endpoint) -> None:
    events = endpoint.stream("silent")
    assert not [event for event in events if event["type"].endswith(".delta")]
    assert [event["arguments"] for event in events if event["type"].endswith("arguments.done")] == [""]
    assert [event["text"] for event in events if event["type"] == "response.output_text.done"] == [""]


def test_items_that_it_does_not_know_and_members_without_effect_are_ignored(endpoint: Endpoint) -> None:
    odd = {"type": "mcp_call", "output": {"a": 1}, "content": 5}
    ignored: Json = {
        "previous_response_id": "resp_0",
        "background": True,
        "include": ["x"],
        "truncation": "auto",
        "odd": [1],
    }
    body = endpoint.post([odd, user("greet")], **ignored).json()
    assert (body["status"], body["background"], body["previous_response_id"]) == ("completed", False, None)


def test_log_probabilities_stand_beside_the_text(made: Any) -> None:
    body = made().post("x", top_logprobs=2, max_output_tokens=3, **OFF).json()
    (part,) = body["output"][0]["content"]
    assert "".join(row["token"] for row in part["logprobs"]) == part["text"]
    assert [len(row["top_logprobs"]) for row in part["logprobs"]] == [2, 2, 2]
    deltas = [e for e in made().stream("x", top_logprobs=2, max_output_tokens=3, **OFF) if e["type"].endswith("delta")]
    assert [delta["logprobs"][0]["token"] for delta in deltas] == [row["token"] for row in part["logprobs"]]


def test_an_answer_follows_the_schema_that_is_asked_for(made: Any) -> None:
    schema = {"type": "object", "properties": {"days": {"const": 3}}, "required": ["days"]}
    form = {"format": {"type": "json_schema", "name": "n", "schema": schema}}
    assert made().post("x", text=form, **OFF).json()["output"][0]["content"][0]["text"] == '{"days":3}'


def test_a_search_is_an_item_and_its_sources_are_annotations(made: Any) -> None:
    body = made().post("rivers of Europe", tools=[{"type": "web_search"}], **OFF).json()
    search, message = body["output"]
    assert (search["type"], search["id"][:3], search["action"]["query"]) == (
        "web_search_call",
        "ws_",
        "rivers of Europe",
    )
    cited = [each["url"] for each in message["content"][0]["annotations"]]
    assert cited == [each["url"] for each in search["action"]["sources"]]
    types = [event["type"] for event in made().stream("rivers of Europe", tools=[{"type": "web_search"}], **OFF)]
    assert "response.web_search_call.searching" in types
    assert types.count("response.output_text.annotation.added") == len(cited)


def test_settings_say_how_thoughts_and_messages_look(serving: Serving, http: httpx.Client) -> None:
    settings = {"reasoning_parts": False, "phase": "final_answer"}
    endpoint = Endpoint(serving({"rules": RULES, "providers": {"deepseek": settings}}), http)
    events = endpoint.stream()
    assert [event["type"] for event in events].count("response.content_part.added") == 1
    assert events[-1]["response"]["output"][1]["phase"] == "final_answer"


NOT_BACK = "The `reasoning_text` in the thinking mode must be passed back to the API."
IMAGE: Json = {"type": "input_image", "image_url": "data:,x"}
REFUSED: list[tuple[Json, str]] = [
    ({"input": ...}, "At least one of input and instructions must be provided"),
    ({"model": "gpt"}, "The supported API model names are deepseek-flash or deepseek-v4-pro, but you passed gpt."),
    ({"temperature": 3}, "Invalid temperature value, the valid range of temperature is [0, 2]"),
    ({"top_logprobs": 21}, "Invalid top_logprobs value, the valid range of top_logprobs is [0, 20]"),
    (
        {"max_output_tokens": 0},
        "Invalid max_output_tokens value, the valid range of max_output_tokens is [1, 393216]",
    ),
    (
        {"tools": [{"type": "custom", "name": "edit"}]},
        "Custom tool 'edit' is not supported, the only custom tool is 'apply_patch'",
    ),
    ({"tools": [TOOL, TOOL]}, "Duplicate tool name 'look'"),
    ({"tools": [TOOL], "tool_choice": "required"}, "Thinking mode does not support this tool_choice"),
    ({"input": [user("look"), CALL, RESULT]}, NOT_BACK),
    (
        {"input": [user("look"), RESULT]},
        "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'",
    ),
    (
        {"input": [{"role": "user", "content": [{**IMAGE, "file_id": "f"}]}]},
        "input_image cannot have both image_url and file_id",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
        "input_image must have image_url or file_id",
    ),
    (
        {"text": {"format": {"type": "json_object"}}},
        "Prompt must contain the word 'json' in some form to use 'text.format' of type 'json_object'.",
    ),
    ({"user": "a b"}, "Invalid user value, user must match [a-zA-Z0-9\\-_] and be at most 512 characters long"),
]


@pytest.mark.parametrize(("members", "message"), REFUSED)
def test_what_may_not_be_asked_is_refused(endpoint: Endpoint, members: Json, message: str) -> None:
    assert endpoint.error_spec(**members) == (400, message)


def test_nothing_is_kept(endpoint: Endpoint) -> None:
    id = endpoint.post(store=True).json()["id"]
    url = endpoint.emulator.url("deepseek") + f"/responses/{id}"
    assert endpoint.http.get(url, headers={"authorization": "Bearer k"}).status_code == 404


def test_the_same_question_again_has_ids_of_its_own(made: Any) -> None:
    endpoint = made()
    ids = set()
    for _ in range(4):
        body = endpoint.post("x", **OFF).json()
        ids |= {body["id"], body["output"][0]["id"]}
    assert len(ids) == 8
