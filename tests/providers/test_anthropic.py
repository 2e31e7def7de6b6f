"""Anthropic's own API: what is read, answered, thought, signed, cited, cached, counted, limited and refused."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from talk import Serving, ordered

from emulator import Emulator

Json = dict[str, Any]
FIXED: Json = {"id": "msg_1"}
LOOK: Json = {"name": "look", "input_schema": {"type": "object"}}
RULES: list[Json] = [
    {"match": {"tool_result": {"name": "look"}}, "reply": {"content": "Seen."}},
    {"match": {"prompt": "greet"}, "reply": {"reasoning": "Hm.", "content": "Hello", **FIXED}},
    {"match": {"prompt": "look"}, "reply": {"reasoning": "Hm.", "tool_calls": [{"name": "look", "id": "toolu_1"}]}},
    {"match": {"prompt": "refuse"}, "reply": {"content": "", "finish_reason": "content_filter", **FIXED}},
    {"match": {"prompt": "slow"}, "reply": {"content": "Hello", **FIXED}, "pace": {"ttft": 35}},
    {"match": {"prompt": "search"}, "reply": {"blocks": [{"search": {"query": "q", "error": "max_uses_exceeded"}}]}},
    {"match": {"prompt": "colour"}, "reply": {"content": "The sky is blue.", **FIXED}},
    {"reply": {"content": "ok", **FIXED}},
]
OLD, NEW = "2023-06-01", "2026-10-21"
THINK: Json = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
ADAPTIVE: Json = {"thinking": {"type": "adaptive"}}


class Endpoint:
    def __init__(self, emulator: Emulator, http: httpx.Client) -> None:
        self.emulator = emulator
        self.http = http

    def send(self, method: str, path: str, body: Any = None, headers: Json | None = None) -> httpx.Response:
        shown = {"x-api-key": "sk-ant-test", "anthropic-version": OLD} if headers is None else headers
        return self.http.request(method, self.emulator.url("anthropic") + path, json=body, headers=shown)

    def post(self, *turns: Any, version: str = OLD, path: str = "", headers: Json | None = None, **members: Any) -> Any:
        messages = [each if isinstance(each, dict) else {"role": "user", "content": each} for each in turns]
        body = {"model": "claude-sonnet-4-5", "max_tokens": 1000, "messages": messages, **members}
        given = {"x-api-key": "sk-ant-test", "anthropic-version": version, **(headers or {})}
        shown = {name: value for name, value in body.items() if value is not ...}
        return self.send("POST", f"/v1/messages{path}", shown, given)

    def refused(self, *turns: Any, **members: Any) -> str:
        response = self.post(*turns, **members)
        body = response.json()
        assert (response.status_code, body["type"]) == (400, "error"), body
        assert body["error"]["type"] == "invalid_request_error"
        assert body["request_id"] == response.headers["request-id"]
        return str(body["error"]["message"])


@pytest.fixture
def endpoint(http: httpx.Client) -> Iterator[Endpoint]:
    with Emulator({"rules": RULES, "clock": "manual"}) as emulator:
        yield Endpoint(emulator, http)


@pytest.fixture
def configured(serving: Serving, http: httpx.Client) -> Any:
    """`configured(**settings)`: the provider with these settings, which writes its answers itself."""

    def make(**settings: Any) -> Endpoint:
        return Endpoint(serving({"unmatched": "generate", "providers": {"anthropic": settings}}), http)

    return make


def read(response: httpx.Response) -> list[Json]:
    events = []
    for frame in response.text.removesuffix("\n\n").split("\n\n"):
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


def usage(input: int, output: int, **more: Any) -> Json:
    return {
        "input_tokens": input,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        **more,
        "service_tier": "standard",
    }


class TestAnswers:
    def test_an_answer_has_anthropics_members_and_the_name_of_the_snapshot(self, endpoint: Endpoint) -> None:
        assert ordered(endpoint.post("greet").json()) == ordered(
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "claude-sonnet-4-5-20250929",
                "content": [{"type": "text", "text": "Hello"}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": usage(9, 1),
            }
        )

    def test_a_stream_pings_after_its_first_block_has_begun(self, endpoint: Endpoint) -> None:
        start, *events = read(endpoint.post("greet", stream=True))
        assert start["message"]["usage"] == usage(9, 1)
        assert events == [
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "ping"},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {
                    "input_tokens": 9,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 1,
                },
            },
            {"type": "message_stop"},
        ]

    def test_who_waits_is_pinged_after_the_message_has_begun(self, endpoint: Endpoint) -> None:
        with Emulator({"rules": RULES, "clock": "virtual"}) as emulator:
            kinds = [event["type"] for event in read(Endpoint(emulator, endpoint.http).post("slow", stream=True))]
        assert kinds[:4] == ["message_start", "ping", "ping", "content_block_start"]

    def test_a_refusal_says_why(self, endpoint: Endpoint) -> None:
        details = {"type": "refusal", "category": None, "explanation": None}
        body = endpoint.post("refuse").json()
        assert (body["content"], body["stop_reason"], body["stop_details"]) == ([], "refusal", details)
        delta = read(endpoint.post("refuse", stream=True))[-2]["delta"]
        assert delta == {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}

    def test_ids_have_anthropics_forms(self, configured: Any) -> None:
        body = configured().post("x", tools=[LOOK], tool_choice={"type": "any"}).json()
        (call,) = [block for block in body["content"] if block["type"] == "tool_use"]
        assert (body["id"][:6], len(body["id"]), call["id"][:8], len(call["id"])) == ("msg_01", 28, "toolu_01", 30)
        assert not set("0OIl") & set(body["id"][6:] + call["id"][8:])

    def test_a_limit_of_none_warms_the_cache_and_says_nothing(self, endpoint: Endpoint) -> None:
        body = endpoint.post("greet", max_tokens=0).json()
        assert (body["content"], body["stop_reason"], body["usage"]["output_tokens"]) == ([], "max_tokens", 0)

    def test_a_schema_is_followed(self, configured: Any) -> None:
        schema = {
            "type": "object",
            "properties": {"city": {"const": "Bern"}},
            "required": ["city"],
            "additionalProperties": False,
        }
        asked = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
        assert json.loads(configured().post("x", **asked).json()["content"][0]["text"]) == {"city": "Bern"}

    def test_a_search_is_asked_in_pieces_and_its_results_are_sealed(self, configured: Any) -> None:
        tool = {"type": "web_search_20250305", "name": "web_search"}
        endpoint = configured()
        asked, found, text = endpoint.post("rivers of Europe", tools=[tool]).json()["content"]
        assert (asked["id"][:11], found["tool_use_id"]) == ("srvtoolu_01", asked["id"])
        assert set(found["content"][0]) == {"type", "title", "url", "encrypted_content", "page_age"}
        assert all("encrypted_index" in citation for citation in text["citations"])
        body = endpoint.post("rivers of Europe", tools=[tool]).json()
        assert body["usage"]["server_tool_use"] == {"web_search_requests": 1, "web_fetch_requests": 0}
        events = read(endpoint.post("rivers of Europe", tools=[tool], stream=True))
        (start,) = [event for event in events if event.get("content_block", {}).get("type") == "server_tool_use"]
        assert start["content_block"]["input"] == {}
        pieces = [event["delta"].get("partial_json", "") for event in events if event["type"] == "content_block_delta"]
        assert json.loads("".join(pieces)) == {"query": "rivers of Europe"}

    def test_a_search_that_failed_says_why(self, endpoint: Endpoint) -> None:
        tool = {"type": "web_search_20250305", "name": "web_search"}
        asked, found = endpoint.post("search", tools=[tool]).json()["content"]
        error = {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}
        assert found == {"type": "web_search_tool_result", "tool_use_id": asked["id"], "content": error}


class TestThinking:
    def test_thoughts_are_signed_and_counted(self, endpoint: Endpoint) -> None:
        body = endpoint.post("greet", **THINK).json()
        thought, text = body["content"]
        assert (thought["thinking"], text["text"]) == ("Hm.", "Hello")
        assert (thought["signature"][0], len(thought["signature"])) == ("E", 304)
        assert body["usage"] == usage(9, 4, output_tokens_details={"thinking_tokens": 3})
        events = read(endpoint.post("greet", stream=True, **THINK))
        deltas = [event["delta"]["type"] for event in events if event["type"] == "content_block_delta"]
        assert deltas == [*["thinking_delta"] * 3, "signature_delta", "text_delta"]

    @pytest.mark.parametrize(
        ("model", "asked", "shown"),
        [
            ("claude-sonnet-4-6", {}, None),
            ("claude-sonnet-4-6", {"thinking": {"type": "adaptive"}}, "Hm."),
            ("claude-opus-4-8", {"thinking": {"type": "adaptive"}}, ""),
            ("claude-opus-4-8", {"thinking": {"type": "adaptive", "display": "summarized"}}, "Hm."),
            ("claude-sonnet-5-5", {}, ""),
            ("claude-sonnet-5-5", {"thinking": {"type": "disabled"}}, None),
            ("claude-opus-5-5", {}, ""),
            ("claude-sonnet-5", {"thinking": {"type": "between_tools"}}, None),
        ],
    )
    def test_each_model_thinks_in_its_own_way(
        self, endpoint: Endpoint, model: str, asked: Json, shown: str | None
    ) -> None:
        for stream in (False, True):
            response = endpoint.post("greet", model=model, stream=stream, **asked)
            if stream:
                events = read(response)
                starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
                deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
                text = "".join([delta.get("thinking", "") for delta in deltas])
                found = text if "thinking" in starts else None
                assert sum(delta["type"] == "signature_delta" for delta in deltas) == (shown is not None)
            else:
                blocks = {block["type"]: block for block in response.json()["content"]}
                found = blocks["thinking"]["thinking"] if "thinking" in blocks else None
            assert found == shown

    def test_hidden_thoughts_are_paid_for(self, endpoint: Endpoint) -> None:
        reported = endpoint.post("greet", model="claude-opus-5-5").json()["usage"]
        assert (reported["output_tokens"], reported["output_tokens_details"]) == (4, {"thinking_tokens": 3})

    @pytest.mark.parametrize(
        ("model", "asked", "message"),
        [
            (
                "claude-opus-4-8",
                THINK,
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
                '"output_config.effort" to control thinking behavior.',
            ),
            (
                "claude-opus-5-5",
                {"thinking": {"type": "disabled"}},
                '"thinking.type.disabled" is not supported for this model.',
            ),
            ("claude-sonnet-4-5", ADAPTIVE, "adaptive thinking is not supported on this model"),
            ("claude-sonnet-4-5", {"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens: Field required"),
            (
                "claude-sonnet-4-5",
                {"thinking": {"type": "enabled", "budget_tokens": 10}},
                "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
            ),
            (
                "claude-sonnet-4-5",
                {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 1024},
                "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at "
                "https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size",
            ),
            (
                "claude-sonnet-4-5",
                {**THINK, "tools": [LOOK], "tool_choice": {"type": "any"}},
                "Thinking may not be enabled when tool_choice forces tool use.",
            ),
            (
                "claude-haiku-4-5",
                {"output_config": {"effort": "low"}},
                "This model does not support the effort parameter.",
            ),
            (
                "claude-opus-4-6",
                {"output_config": {"effort": "xhigh"}},
                "This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium.",
            ),
            ("claude-opus-4-8", {"temperature": 0.5}, "`temperature` is deprecated for this model."),
        ],
    )
    def test_what_a_model_cannot_do_is_refused(self, endpoint: Endpoint, model: str, asked: Json, message: str) -> None:
        assert endpoint.refused("greet", model=model, **asked) == message

    def test_thoughts_come_back_as_they_were(self, endpoint: Endpoint) -> None:
        tools = {"tools": [LOOK], **THINK}
        content = endpoint.post("look", **tools).json()["content"]
        result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sun"}]}

        def again(blocks: Any) -> Any:
            return "look", {"role": "assistant", "content": blocks}, result

        thought, call = content
        assert endpoint.post(*again(content), **tools).json()["content"][-1]["text"] == "Seen."
        for wrong in ({**thought, "signature": "bm90LXNpZ25lZA=="}, {**thought, "thinking": "Other."}):
            assert endpoint.refused(*again([wrong, call]), **tools) == (
                "messages.1.content.0: Invalid `signature` in `thinking` block"
            )
        unsigned = {"type": "thinking", "thinking": "Hm."}
        assert endpoint.refused(*again([unsigned, call]), **tools) == (
            "messages.1.content.0.thinking.signature: Field required"
        )
        assert endpoint.refused(*again([call]), **tools).startswith(
            "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When "
        )
        assert endpoint.post(*again([call]), tools=[LOOK]).status_code == 200

    def test_hidden_thoughts_come_back_without_words(self, endpoint: Endpoint) -> None:
        content = endpoint.post("greet", model="claude-opus-5-5").json()["content"]
        turns = ("greet", {"role": "assistant", "content": content}, "and?")
        assert endpoint.post(*turns, model="claude-opus-5-5").status_code == 200

    def test_a_setting_takes_the_thoughts_of_others(self, configured: Any) -> None:
        strange = [{"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "text", "text": "Hi"}]
        turns = ("Hi", {"role": "assistant", "content": strange}, "and?")
        assert configured().post(*turns).status_code == 400
        assert configured(signatures="accept").post(*turns).status_code == 200


TEXT = "Grass is green. The sky is blue today. Snow is white."


class TestCitations:
    @pytest.mark.parametrize(
        ("block", "expected"),
        [
            (
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": TEXT},
                    "title": "T",
                },
                {
                    "type": "char_location",
                    "cited_text": "The sky is blue today. ",
                    "document_index": 0,
                    "document_title": "T",
                    "start_char_index": 16,
                    "end_char_index": 39,
                    "file_id": None,
                },
            ),
            (
                {
                    "type": "document",
                    "source": {
                        "type": "content",
                        "content": [{"type": "text", "text": "Grass."}, {"type": "text", "text": "The sky is blue"}],
                    },
                },
                {
                    "type": "content_block_location",
                    "cited_text": "The sky is blue",
                    "document_index": 0,
                    "document_title": None,
                    "start_block_index": 1,
                    "end_block_index": 2,
                    "file_id": None,
                },
            ),
            (
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}},
                {
                    "type": "page_location",
                    "cited_text": "",
                    "document_index": 0,
                    "document_title": None,
                    "start_page_number": 1,
                    "end_page_number": 2,
                    "file_id": None,
                },
            ),
            (
                {
                    "type": "search_result",
                    "source": "https://a.example",
                    "title": "A",
                    "content": [{"type": "text", "text": "The sky is blue"}],
                },
                {
                    "type": "search_result_location",
                    "cited_text": "The sky is blue",
                    "source": "https://a.example",
                    "title": "A",
                    "search_result_index": 0,
                    "start_block_index": 0,
                    "end_block_index": 1,
                },
            ),
        ],
    )
    def test_an_answer_cites_what_it_may(self, endpoint: Endpoint, block: Json, expected: Json) -> None:
        citable = {**block, "citations": {"enabled": True}}
        question = {"role": "user", "content": [citable, {"type": "text", "text": "colour"}]}
        assert endpoint.post(question).json()["content"] == [
            {"type": "text", "text": "The sky is blue.", "citations": [expected]}
        ]
        deltas = [event.get("delta") for event in read(endpoint.post(question, stream=True))]
        assert {"type": "citations_delta", "citation": expected} in deltas
        plain = {"role": "user", "content": [block, {"type": "text", "text": "colour"}]}
        assert endpoint.post(plain).json()["content"] == [{"type": "text", "text": "The sky is blue."}]


class TestVersions:
    def test_a_version_has_to_be_named_and_known(self, endpoint: Endpoint) -> None:
        key = {"x-api-key": "k"}
        none = endpoint.send("GET", "/v1/models", headers=key)
        odd = endpoint.send("GET", "/v1/models", headers={**key, "anthropic-version": "2024-01-01"})
        assert [each.json()["error"]["message"] for each in (none, odd)] == [
            "anthropic-version: header is required",
            "anthropic-version: 2024-01-01 is not a valid version",
        ]

    @pytest.mark.parametrize("member", [{"temperature": 1.0}, {"top_p": 0.9}, {"top_k": 5}])
    def test_the_newest_knows_no_sampling(self, endpoint: Endpoint, member: Json) -> None:
        (name,) = member
        assert endpoint.post("greet", **member).status_code == 200
        assert endpoint.refused("greet", version=NEW, **member) == f"{name}: Extra inputs are not permitted"
        assert endpoint.refused("greet", version=NEW, path="/count_tokens", max_tokens=..., **member) == (
            f"{name}: Extra inputs are not permitted"
        )

    def test_the_newest_wants_documents_and_citations_where_they_belong(self, endpoint: Endpoint) -> None:
        document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
        said = ("greet", {"role": "assistant", "content": [document]}, "and?")
        cited = {"role": "user", "content": [{"type": "text", "text": "x", "citations": [{"type": "char_location"}]}]}
        assert [endpoint.post(*said).status_code, endpoint.post(cited).status_code] == [200, 200]
        assert endpoint.refused(*said, version=NEW).startswith("messages.1.content.0: `document` blocks are not")
        assert endpoint.refused(cited, version=NEW) == (
            "messages.0.content.0.text.citations: Extra inputs are not permitted"
        )


CALL = {"type": "tool_use", "id": "a", "name": "look", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "x"}
REFUSED: dict[str, tuple[Json, str]] = {
    "no limit": ({"max_tokens": ...}, "max_tokens: Field required"),
    "limit": (
        {"max_tokens": 64_001},
        "max_tokens: 64001 > 64000, which is the maximum allowed number of output tokens for claude-sonnet-4-5",
    ),
    "type": ({"max_tokens": "x"}, "max_tokens: Input should be a valid integer"),
    "list": ({"messages": "x"}, "messages: Input should be a valid array"),
    "object": ({"tool_choice": "auto"}, "tool_choice: Input should be an object"),
    "role": (
        {"messages": [{"role": "tool", "content": "x"}]},
        "messages.0.role: Input should be 'user', 'assistant' or 'system'",
    ),
    "unknown": ({"foo": 1}, "foo: Extra inputs are not permitted"),
    "empty": ({"messages": []}, "messages: at least one message is required"),
    "first": (
        {"messages": [{"role": "assistant", "content": "x"}]},
        'messages: first message must use the "user" role',
    ),
    "empty text": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
        "messages: text content blocks must be non-empty",
    ),
    "empty content": (
        {"messages": [{"role": "user", "content": ""}]},
        "messages.0: all messages must have non-empty content except for the optional final assistant message",
    ),
    "trailing": (
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "I "}]},
        "messages: final assistant content cannot end with trailing whitespace",
    ),
    "prefill": (
        {
            "model": "claude-opus-4-6",
            "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "I"}],
        },
        "This model does not support assistant message prefill. The conversation must end with a user message.",
    ),
    "unanswered": (
        {
            "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": [CALL]},
                {"role": "user", "content": "y"},
            ]
        },
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: a. Each `tool_use` "
        "block must have a corresponding `tool_result` block in the next message.",
    ),
    "unasked": (
        {"messages": [{"role": "user", "content": [RESULT]}]},
        "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: a. Each `tool_result` block "
        "must have a corresponding `tool_use` block in the previous message.",
    ),
    "temperature": ({"temperature": 1.5}, "temperature: range: 0..1"),
    "both": (
        {"temperature": 1, "top_p": 0.9},
        "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
    ),
    "schema": ({"tools": [{"name": "look"}]}, "tools.0.custom.input_schema: Field required"),
    "name": (
        {"tools": [{**LOOK, "name": "a b"}]},
        "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
    ),
    "twice": ({"tools": [LOOK, LOOK]}, "tools: Tool names must be unique."),
    "choice": ({"tool_choice": {"type": "any"}}, "tool_choice may only be specified while providing tools."),
    "missing tool": (
        {"tools": [LOOK], "tool_choice": {"type": "tool", "name": "x"}},
        "Tool 'x' not found in provided tools",
    ),
    "open schema": (
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
    ),
    "effort": (
        {"output_config": {"effort": "huge"}},
        "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'",
    ),
    "cache": (
        {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5},
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
}


class TestRefusals:
    @pytest.mark.parametrize("members", REFUSED)
    def test_each_complaint_names_the_member(self, endpoint: Endpoint, members: str) -> None:
        asked, message = REFUSED[members]
        assert endpoint.refused("greet", **asked) == message

    def test_an_unknown_block_is_refused_with_those_there_are(self, endpoint: Endpoint) -> None:
        message = endpoint.refused({"role": "user", "content": [{"type": "odd"}]})
        assert message.startswith("messages.0.content.0: Input tag 'odd' found using 'type' does not match any of the ")

    def test_unknown_members_are_taken_if_a_setting_says_so(self, configured: Any) -> None:
        assert configured(strict_members=False).post("greet", foo=1).status_code == 200

    def test_keys_stand_in_either_header(self, endpoint: Endpoint) -> None:
        version = {"anthropic-version": OLD}
        both = {"x-api-key": "sk-emu-one", "authorization": "Bearer sk-emu-two"}
        for headers in ({"x-api-key": "sk-emu-one"}, {"authorization": "Bearer sk-emu-one"}, both):
            assert endpoint.send("GET", "/v1/models", headers={**version, **headers}).status_code == 200
        assert [len(endpoint.emulator.namespace(name).journal) for name in ("one", "two")] == [3, 0]
        nobody = endpoint.send("GET", "/v1/models", headers=version)
        assert (nobody.status_code, nobody.json()["error"]) == (
            401,
            {"type": "authentication_error", "message": "x-api-key header is required"},
        )

    def test_wrong_keys_are_refused_in_the_words_of_their_header(self, http: httpx.Client) -> None:
        with Emulator({"rules": RULES, "accounts": [{"key": "sk-good"}]}) as emulator:
            endpoint = Endpoint(emulator, http)
            shown = ({"x-api-key": "sk-bad"}, {"authorization": "Bearer sk-bad"})
            answers = [endpoint.send("GET", "/v1/models", headers={"anthropic-version": OLD, **key}) for key in shown]
        assert [(each.status_code, each.json()["error"]["message"]) for each in answers] == [
            (401, "invalid x-api-key"),
            (401, "Invalid bearer token"),
        ]

    def test_an_unknown_model_is_not_found(self, endpoint: Endpoint) -> None:
        response = endpoint.post("greet", model="claude-2")
        assert (response.status_code, response.json()["error"]) == (
            404,
            {"type": "not_found_error", "message": "model: claude-2"},
        )

    @pytest.mark.parametrize(
        ("name", "status", "kind"),
        [
            ("overloaded", 529, "overloaded_error"),
            ("insufficient_balance", 402, "billing_error"),
            ("forbidden", 403, "permission_error"),
            ("too_large", 413, "request_too_large"),
            ("timeout", 504, "timeout_error"),
            ("server_error", 500, "api_error"),
        ],
    )
    def test_errors_have_their_types(
        self, serving: Serving, http: httpx.Client, name: str, status: int, kind: str
    ) -> None:
        response = Endpoint(serving({"rules": [{"error": name}]}), http).post("x")
        body = response.json()
        assert (response.status_code, list(body), body["error"]["type"]) == (
            status,
            ["type", "error", "request_id"],
            kind,
        )

    def test_a_spent_limit_is_named_and_no_retry_is_advised(self, endpoint: Endpoint) -> None:
        response = endpoint.post("greet", headers={"x-emulator-fault": "spend_limit"})
        error = response.json()["error"]
        assert (response.status_code, error["type"], "retry-after" in response.headers) == (
            429,
            "rate_limit_error",
            False,
        )
        assert error["details"] == {"error_code": "enforced_spend_limit_reached"}

    def test_a_prompt_that_is_too_long(self, configured: Any) -> None:
        message = configured().refused("word " * 200_100)
        assert message.startswith("prompt is too long: 200")
        assert message.endswith("tokens > 200000 maximum")


LONG = "The quick brown fox jumps over the lazy dog. " * 120


def cached(seconds: str | None = None) -> list[Json]:
    mark = {"type": "ephemeral", **({"ttl": seconds} if seconds else {})}
    return [{"type": "text", "text": LONG, "cache_control": mark}]


class TestTheCache:
    def counts(self, endpoint: Endpoint, **members: Any) -> tuple[int, int, int, int]:
        reported = endpoint.post("greet", **members).json()["usage"]
        parts = reported["cache_creation"]
        assert sum(parts.values()) == reported["cache_creation_input_tokens"]
        return (
            reported["input_tokens"],
            parts["ephemeral_5m_input_tokens"],
            parts["ephemeral_1h_input_tokens"],
            reported["cache_read_input_tokens"],
        )

    def test_what_is_marked_is_written_once_then_read_for_five_minutes(self, endpoint: Endpoint) -> None:
        written = self.counts(endpoint, system=cached())
        size = written[1]
        assert written == (9, size, 0, 0)
        assert size > 1024
        assert self.counts(endpoint, system=cached()) == (9, 0, 0, size)
        endpoint.emulator.advance(299)
        assert self.counts(endpoint, system=cached()) == (9, 0, 0, size)
        endpoint.emulator.advance(301)
        assert self.counts(endpoint, system=cached()) == (9, size, 0, 0)

    def test_an_hour_costs_twice_as_much(self, endpoint: Endpoint) -> None:
        size = self.counts(endpoint, system=cached("1h"))[2]
        endpoint.emulator.advance(3000)
        assert self.counts(endpoint, system=cached("1h")) == (9, 0, 0, size)
        million = Decimal(1_000_000)
        first, second = [exchange.cost for exchange in endpoint.emulator.journal]
        assert first == (9 * Decimal(3) + size * Decimal(6) + 1 * Decimal(15)) / million
        assert second == (9 * Decimal(3) + size * Decimal("0.30") + 1 * Decimal(15)) / million

    def test_what_is_not_marked_or_too_short_is_not_cached(self, endpoint: Endpoint) -> None:
        plain = [{"type": "text", "text": LONG}]
        short = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
        for system in (plain, plain, short, short):
            assert self.counts(endpoint, system=system)[1:] == (0, 0, 0)
        haiku = self.counts(endpoint, system=cached(), model="claude-haiku-4-5")
        assert haiku[1:] == (0, 0, 0)

    def test_a_mark_at_the_top_caches_the_conversation_as_it_grows(self, endpoint: Endpoint) -> None:
        mark: Json = {"cache_control": {"type": "ephemeral"}}
        system = [{"type": "text", "text": LONG}]
        _, first, _, _ = self.counts(endpoint, system=system, **mark)
        turns = ("greet", {"role": "assistant", "content": "Hello"}, "greet")
        reported = endpoint.post(*turns, system=system, **mark).json()["usage"]
        assert (reported["cache_read_input_tokens"], reported["cache_creation_input_tokens"]) == (first, 3)


class TestLimits:
    def headers(self, response: httpx.Response, name: str) -> tuple[str, ...]:
        found = [response.headers[f"anthropic-ratelimit-{name}-{what}"] for what in ("limit", "remaining", "reset")]
        return tuple(found)

    def test_headers_count_and_limits_are_enforced(self, http: httpx.Client) -> None:
        settings = {"requests_per_minute": 2, "input_tokens_per_minute": 100, "output_tokens_per_minute": 50}
        with Emulator({"rules": RULES, "clock": "manual", "providers": {"anthropic": settings}}) as emulator:
            endpoint = Endpoint(emulator, http)
            first, second, third = [endpoint.post("greet") for _ in range(3)]
            assert [self.headers(each, "requests")[:2] for each in (first, second)] == [("2", "1"), ("2", "0")]
            assert self.headers(first, "input-tokens")[:2] == ("100", "91")
            assert self.headers(first, "output-tokens")[:2] == ("50", "49")
            assert self.headers(first, "tokens")[:2] == ("150", "140")
            assert self.headers(first, "requests")[2].endswith("Z")
            assert (third.status_code, third.headers["retry-after"]) == (429, "30")
            assert third.json()["error"]["message"].startswith(
                "This request would exceed your organization's rate limit of 2 requests per minute (org: "
            )
            emulator.advance(30)
            assert endpoint.post("greet").status_code == 200

    def test_tokens_of_answers_have_a_limit_of_their_own(self, http: httpx.Client) -> None:
        scenario = {"rules": RULES, "clock": "manual", "providers": {"anthropic": {"output_tokens_per_minute": 1}}}
        with Emulator(scenario) as emulator:
            endpoint = Endpoint(emulator, http)
            answers = [endpoint.post("greet") for _ in range(2)]
        assert [each.status_code for each in answers] == [200, 429]
        assert "1 output tokens per minute" in answers[1].json()["error"]["message"]


class TestBesideMessages:
    def test_tokens_are_counted_as_the_answer_counts_them(self, endpoint: Endpoint) -> None:
        tools: Json = {"tools": [LOOK], "system": "Be brief."}
        counted = endpoint.post("greet", path="/count_tokens", max_tokens=..., **tools).json()
        assert counted == {"input_tokens": endpoint.post("greet", **tools).json()["usage"]["input_tokens"]}

    def test_models_come_in_pages(self, endpoint: Endpoint) -> None:
        whole = endpoint.send("GET", "/v1/models").json()
        ids = [row["id"] for row in whole["data"]]
        assert (whole["first_id"], whole["last_id"], whole["has_more"]) == (ids[0], ids[-1], False)
        assert {"claude-haiku-4-5-20251001", "claude-sonnet-4-5-20250929", "claude-opus-5-5"} <= set(ids)
        some = endpoint.send("GET", f"/v1/models?limit=2&after_id={ids[0]}").json()
        assert ([row["id"] for row in some["data"]], some["has_more"]) == (ids[1:3], True)
        before = endpoint.send("GET", f"/v1/models?limit=2&before_id={ids[3]}").json()
        assert ([row["id"] for row in before["data"]], before["has_more"]) == (ids[1:3], True)
        assert endpoint.send("GET", "/v1/models?limit=0").status_code == 400
        assert endpoint.send("GET", "/v1/models?after_id=x").status_code == 400

    def test_one_model_by_its_name_or_its_alias(self, endpoint: Endpoint) -> None:
        row = endpoint.send("GET", "/v1/models/claude-haiku-4-5").json()
        shown = ("type", "id", "display_name", "created_at", "max_input_tokens", "max_tokens", "line")
        assert tuple(row[name] for name in shown) == (
            "model",
            "claude-haiku-4-5-20251001",
            "Claude Haiku 4.5",
            "2025-10-15T00:00:00Z",
            200_000,
            64_000,
            "haiku",
        )
        assert endpoint.send("GET", "/v1/models/x").json()["error"]["message"] == "model: x"

    def test_every_method_and_path_that_there_is_not(self, endpoint: Endpoint) -> None:
        assert endpoint.send("GET", "/v1/complete").json()["error"] == {
            "type": "not_found_error",
            "message": "Not Found",
        }
        assert endpoint.send("GET", "/v1/messages").status_code == 405

    @pytest.mark.parametrize(
        ("model", "prompt", "per_million"),
        [
            ("claude-haiku-5-5", "greet", "0.10"),
            ("claude-opus-5-5", "greet", "4"),
            ("claude-fable-5-2", "greet", "8"),
        ],
    )
    def test_answers_cost_what_the_model_costs(
        self, endpoint: Endpoint, model: str, prompt: str, per_million: str
    ) -> None:
        reported = endpoint.post(prompt, model=model).json()["usage"]
        price = Decimal(per_million)
        tokens = reported["input_tokens"] * price + reported["output_tokens"] * 5 * price
        assert endpoint.emulator.journal[-1].cost == tokens / 1_000_000

    def test_a_price_of_the_settings_replaces_that_of_the_model(self, configured: Any) -> None:
        endpoint = configured(price={"prompt": 3, "cached": 1, "completion": 7})
        reported = endpoint.post("greet").json()["usage"]
        tokens = reported["input_tokens"] * 3 + reported["output_tokens"] * 7
        assert endpoint.emulator.journal[-1].cost == tokens

    def test_haiku_costs_more_for_long_prompts(self, configured: Any) -> None:
        endpoint = configured()
        reported = endpoint.post("word " * 100_100, model="claude-haiku-5-5").json()["usage"]
        tokens = reported["input_tokens"] * Decimal("0.50") + reported["output_tokens"] * Decimal("2.50")
        assert endpoint.emulator.journal[-1].cost == tokens / 1_000_000
