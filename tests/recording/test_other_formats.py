"""What each member of another tool's file becomes in a rule, and each key of a rule in another tool's file."""

import gzip
import json
import zlib
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import yaml

from emulator.errors import UsageError
from emulator.recording.exchanges import Unreadable, decoded, in_cassette, in_har
from emulator.recording.importing import form_of, imported
from emulator.recording.redaction import Redaction, redacted_json
from emulator.recording.wire_file import Segment, WireRecord, written
from emulator.scenario.exporting import Exported, as_aimock, as_wiremock
from emulator.scenario.sources import load

LOST = "an answer that a scenario can't express"


def rules_of(tmp_path: Path, name: str, text: str, provider: str | None = None) -> tuple[list[Any], list[str]]:
    """The rules that a file becomes, and what was left out of them."""
    file = tmp_path / name
    file.write_text(text)
    result = imported(file, tmp_path / "out", None, provider)
    made = tmp_path / "out" / f"{file.stem}.yaml"
    rules = yaml.safe_load(made.read_text())["rules"] if made.exists() else []
    assert result.answers == len(rules)
    return rules, result.left_out


FIXTURES: list[tuple[dict[str, Any], dict[str, Any] | None, str]] = [
    (
        {
            "match": {"systemMessage": "Be brief", "model": "gpt-4o", "turnIndex": 0, "sequenceIndex": 1},
            "response": {"content": {"a": 1}, "reasoning": "Hm", "role": "assistant", "finishReason": "length"},
        },
        {
            "name": "fixture 1",
            "match": {"system": {"contains": "Be brief"}, "model": "gpt-4o", "turn": 1, "attempt": 2},
            "reply": {"content": '{"a": 1}', "reasoning": "Hm", "finish_reason": "length"},
        },
        "",
    ),
    (
        {
            "match": {"toolName": "search", "toolResultContains": "rain", "hasToolResult": True},
            "response": {"model": "gpt-4o", "id": "x1", "toolCalls": [{"name": "go", "arguments": "{}", "id": ""}]},
            "streamingProfile": {"ttft": 250, "tps": 40, "jitter": 3},
        },
        {
            "name": "fixture 1",
            "match": {"tools": "search", "tool_result": {"content": {"contains": "rain"}}},
            "reply": {"model": "gpt-4o", "id": "x1", "tool_calls": [{"name": "go", "arguments": "{}"}]},
            "pace": {"ttft": 0.25, "tokens_per_second": 40.0, "jitter": 1.0},
        },
        "",
    ),
    (
        {"match": {"userMessage": "Hi", "hasToolResult": False}, "response": {"content": "a"}, "streamingProfile": {}},
        {"name": "Hi", "match": {"prompt": {"contains": "Hi"}}, "reply": {"content": "a"}, "pace": {}},
        "fixture 1: match.hasToolResult",
    ),
    ({"match": {}, "response": {"content": "{{ x }}"}}, None, f"fixture 1: {LOST}"),
    (
        {"response": {"embedding": [1]}, "latency": 3},
        None,
        f"fixture 1: response.embedding, {LOST}, latency (seconds between chunks)",
    ),
]


@pytest.mark.parametrize(("fixture", "rule", "lost"), FIXTURES, ids=["texts", "tools", "pace", "markup", "unknown"])
def test_each_member_of_a_fixture_becomes_its_part_of_a_rule(
    tmp_path: Path, fixture: dict[str, Any], rule: dict[str, Any] | None, lost: str
) -> None:
    rules, left_out = rules_of(tmp_path, "f.json", json.dumps({"fixtures": [fixture]}))
    assert (rules, left_out) == ([rule] if rule else [], [lost] if lost else [])


def test_imported_rules_hold_for_the_provider_that_was_named(tmp_path: Path) -> None:
    rules, _ = rules_of(tmp_path, "f.json", json.dumps({"fixtures": [{"response": {"content": "a"}}]}), "openai")
    assert rules == [{"name": "fixture 1", "match": {"provider": "openai"}, "reply": {"content": "a"}}]


def test_each_line_of_a_conversation_becomes_a_rule_or_is_left_out(tmp_path: Path) -> None:
    user, system = {"role": "user", "content": "Hi"}, {"role": "system", "content": "Brief"}
    call = {"function": {"name": "go", "arguments": "{}"}, "id": "c1", "type": "function"}
    talks: list[list[dict[str, Any]]] = [
        [system, user, {"role": "assistant", "content": None, "tool_calls": [call]}],
        [system, user, {"role": "assistant", "content": "a"}, user, {"role": "assistant", "content": "b"}],
        [user],
        [user, {"role": "assistant", "content": "{% x %}"}],
        [{"role": "user", "content": [{"type": "text"}]}, {"role": "assistant", "content": "a"}],
    ]
    text = "\n".join(json.dumps({"messages": talk}) for talk in talks)
    match = {"prompt": {"equals": "Hi"}, "system": "Brief"}
    assert rules_of(tmp_path, "t.jsonl", text, "openai") == (
        [
            {
                "name": "Hi",
                "match": {**match, "provider": "openai"},
                "reply": {"tool_calls": [{"name": "go", "arguments": "{}"}]},
            },
            {"name": "Hi", "match": {**match, "turn": 2, "provider": "openai"}, "reply": {"content": "b"}},
        ],
        [
            "line 3: it does not end with an answer to a text",
            "line 4: a scenario can't express its answer",
            "line 5: it does not end with an answer to a text",
        ],
    )


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("a.har", "", "har"),
        ("a.yml", "", "vcr"),
        ("a.jsonl", "", "jsonl"),
        ("a.json", '{"interactions": []}', "vcr"),
        ("a.json", '{"log": {}}', "har"),
        ("a.json", '{"fixtures": []}', "aimock"),
        ("a.json", '{"messages": []}\n{"messages": []}', "jsonl"),
    ],
)
def test_the_format_of_a_file_is_recognized(name: str, text: str, form: str) -> None:
    assert form_of(Path(name), text) == form


@pytest.mark.parametrize("text", ["nothing", '{"other": 1}', "[]"])
def test_an_unknown_format_is_an_error_that_lists_the_known_ones(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        form_of(Path("a.txt"), text)
    assert str(caught.value) == (
        "a.txt: the format of this file is not recognized. Name it with --from: vcr, har, aimock, jsonl."
    )


@pytest.mark.parametrize(
    ("form", "text", "words"),
    [
        ("aimock", '{"fixtures": [{}]}', "a.json: this is not a complete aimock file: KeyError: 'response'."),
        ("jsonl", '\n{"a": ', "a.json:2:7: this is not JSON: Expecting value."),
        (
            "har",
            "[]",
            "a.json: this is not a complete har file: TypeError: list indices must be integers or slices, not str.",
        ),
    ],
)
def test_an_incomplete_file_is_an_error_with_its_place(tmp_path: Path, form: str, text: str, words: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        imported(file, tmp_path / "out", form, None)
    assert str(caught.value) == f"{tmp_path}/{words}"


def entry(url: str = "https://api.openai.com/v1/chat/completions", **response: Any) -> dict[str, Any]:
    return {
        "request": {"method": "POST", "url": url, "headers": [], "postData": {"text": "{}"}},
        "response": {"status": 200, "headers": [], "content": {"text": "{}"}, **response},
    }


def test_exchanges_that_no_provider_documents_are_left_out(tmp_path: Path) -> None:
    rows = [entry("https://api.openai.com/v9/none"), entry("https://example.com/v1/chat/completions")]
    file = tmp_path / "a.har"
    file.write_text(json.dumps({"log": {"entries": rows}}))
    result = imported(file, tmp_path / "out", None, None)
    assert (result.answers, result.left_out) == (
        0,
        [
            "openai documents no POST /v9/none",
            "example.com is not the host of any provider: name one with --provider NAME",
        ],
    )


@pytest.mark.parametrize(
    ("url", "given", "path"),
    [
        ("https://api.openai.com/v1/models", None, "/v1/models"),
        ("http://127.0.0.1:8080/openai/v1/models", None, "/v1/models"),
        ("http://example.com/v1/models", "openai", "/v1/models"),
        ("http://example.com/serevix/v1/models", "openai", "/serevix/v1/models"),
    ],
)
def test_the_provider_of_an_archived_url_is_found_or_given(url: str, given: str | None, path: str) -> None:
    (exchange,) = in_har(json.dumps({"log": {"entries": [entry(url)]}}), given)
    assert not isinstance(exchange, Unreadable)
    assert (exchange.request.provider, exchange.request.path) == ("openai", path)


@pytest.mark.parametrize(
    ("body", "plain"),
    [
        ({"base64_string": b64encode(b"abc").decode()}, b"abc"),
        ({"string": "abc"}, b"abc"),
        ({"string": None}, b""),
        (None, b""),
        ("abc", b"abc"),
        (b"abc", b"abc"),
    ],
)
def test_each_form_of_a_body_in_a_cassette_is_read(body: Any, plain: bytes) -> None:
    row = {
        "request": {"method": "POST", "uri": "https://api.openai.com/v1/x", "body": "", "headers": None},
        "response": {"status": 201, "headers": {"content-type": "text/event-stream"}, "body": body},
    }
    (exchange,) = in_cassette(yaml.safe_dump({"interactions": [row]}), None)
    assert not isinstance(exchange, Unreadable)
    assert exchange.response.status == 201
    assert b"".join(segment.data for segment in exchange.response.segments) == plain


@pytest.mark.parametrize(
    ("body", "encoding", "plain"),
    [
        (gzip.compress(b"abc", mtime=0), "gzip", b"abc"),
        (zlib.compress(b"abc"), "deflate", b"abc"),
        (b'{"a": 1}', "gzip", b'{"a": 1}'),
        (b"data: 1", "br", b"data: 1"),
    ],
)
def test_a_compressed_body_is_decompressed_unless_the_tool_did_so(body: bytes, encoding: str, plain: bytes) -> None:
    assert decoded(body, encoding) == plain


@pytest.mark.parametrize(
    ("body", "encoding", "words"),
    [
        (gzip.compress(b"abc", mtime=0)[:12], "gzip", "its body is not valid gzip: "),
        (zlib.compress(b"abc")[:4], "deflate", "its body is not valid deflate: "),
        (b"\x8b\x01", "br", "its body is compressed with br, which is not supported: record it uncompressed"),
    ],
)
def test_a_body_that_cannot_be_decompressed_is_left_out(body: bytes, encoding: str, words: str) -> None:
    row = entry(
        headers=[{"name": "Content-Encoding", "value": encoding}],
        content={"text": b64encode(body).decode(), "encoding": "base64"},
    )
    (result,) = in_har(json.dumps({"log": {"entries": [row]}}), None)
    assert isinstance(result, Unreadable)
    assert str(result).startswith(words)


# Exports


def exported(tmp_path: Path, form: str, *rules: dict[str, Any]) -> Exported:
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump({"version": 1, "rules": list(rules)}))
    return (as_aimock if form == "aimock" else as_wiremock)(load(str(file)).scenario)


def wire(tmp_path: Path, **changes: Any) -> str:
    """A wire file next to the scenario, and its name there."""
    given: dict[str, Any] = {
        "status": 200,
        "headers": (("content-type", "text/plain"), ("date", "now"), ("x-request-id", "r1")),
        "framing": "chunks",
        "segments": (Segment(0.5, b"a"), Segment(1.0, b"b")),
        "head_at": 0.25,
        "provider": "openai",
        "operation": "chat",
        "dialect": "chat_completions",
        "request": {"method": "POST", "path": "/v1/chat/completions", "body": {"model": "m"}},
    }
    (tmp_path / "a.wire").write_bytes(written(WireRecord(**{**given, **changes})))
    return "a.wire"


def test_every_key_of_a_rule_that_aimock_has_is_exported(tmp_path: Path) -> None:
    rule = {
        "name": "all",
        "match": {
            "prompt": {"equals": "Hi"},
            "system": {"contains": "Brief"},
            "model": "gpt-4o",
            "turn": 2,
            "attempt": 3,
            "provider": "openai",
        },
        "reply": {
            "content": "Hello",
            "reasoning": "Hm",
            "tool_calls": [{"name": "go", "arguments": {"a": 1}, "id": "c1"}, {"name": "on", "arguments": "{}"}],
            "finish_reason": "length",
        },
        "pace": {"ttft": 0.5, "tokens_per_second": 20, "jitter": 0},
    }
    result = exported(tmp_path, "aimock", rule)
    assert (result.document, result.unsaid) == (
        {
            "fixtures": [
                {
                    "match": {
                        "userMessage": "Hi",
                        "systemMessage": "Brief",
                        "model": "gpt-4o",
                        "turnIndex": 1,
                        "sequenceIndex": 2,
                    },
                    "response": {
                        "content": "Hello",
                        "reasoning": "Hm",
                        "toolCalls": [
                            {"name": "go", "arguments": '{"a":1}', "id": "c1"},
                            {"name": "on", "arguments": "{}"},
                        ],
                        "finishReason": "length",
                    },
                    "streamingProfile": {"ttft": 500.0, "tps": 20.0},
                }
            ]
        },
        [],
    )


def test_what_aimock_has_not_is_listed_by_rule(tmp_path: Path) -> None:
    result = exported(
        tmp_path,
        "aimock",
        {
            "match": {"prompt": {"regex": "H."}, "model": ["a", "b"], "turn": {"gt": 1}, "stream": True},
            "reply": {"content": "{{ request.model }}", "model": "x"},
            "priority": 3,
        },
        {"name": "generated", "reply": {"usage": {"prompt": 5}}},
        {"name": "recorded", "wire": wire(tmp_path)},
    )
    assert result.unsaid == [
        "rules[0]: priority; match.prompt: only `contains` can be exported; match.model: only one name can be "
        "exported; match.turn: only one number can be exported; match.stream; reply.model; templates in a reply",
        "generated: reply.usage; a generated reply",
        "recorded: an answer that exists only in its wire file",
    ]
    assert result.document == {"fixtures": [{"match": {}, "response": {"content": "{{ request.model }}"}}]}


def test_errors_and_answers_in_turn_become_fixtures(tmp_path: Path) -> None:
    result = exported(
        tmp_path,
        "aimock",
        {
            "name": "turns",
            "replies": [
                {"error": {"status": 429, "headers": {"retry-after": "1"}, "message": "Slow"}},
                {"error": {"status": 500, "body": {"error": {"message": "No", "type": "t", "code": 7}}}},
                {"error": {"name": "rate_limited"}},
                {"reply": {"content": "Yes"}},
            ],
        },
    )
    assert (result.document, result.unsaid) == (
        {
            "fixtures": [
                {
                    "match": {"sequenceIndex": 0},
                    "response": {"error": {"message": "Slow"}, "status": 429},
                },
                {
                    "match": {"sequenceIndex": 1},
                    "response": {"error": {"message": "No", "type": "t", "code": "7"}, "status": 500},
                },
                {"match": {"sequenceIndex": 2}, "response": {"error": {"message": "rate_limited"}, "status": 500}},
                {"match": {"sequenceIndex": 3}, "response": {"content": "Yes"}},
            ]
        },
        ["turns: error.headers"],
    )


def test_errors_in_turn_become_mappings_of_a_scenario(tmp_path: Path) -> None:
    result = exported(
        tmp_path,
        "wiremock",
        {
            "name": "turns",
            "match": {"provider": "maxtoken", "operation": "chat", "stream": False},
            "times": 9,
            "replies": [
                {"error": {"status": 429, "headers": {"retry-after": "1"}, "body": "Slow"}},
                {"error": {"status": 500, "body": {"error": "No"}}},
                {"reply": {"content": "Yes"}},
            ],
        },
        {"error": {"status": 503, "body": "down"}},
        {"match": {"provider": "serevix", "operation": "models"}, "error": {"status": 500, "body": "no"}},
    )
    request = {"method": "ANY", "urlPathPattern": "/v1/chat/completions"}
    assert result.document == {
        "mappings": [
            {
                "name": "turns",
                "request": request,
                "response": {"status": 429, "headers": {"retry-after": "1"}, "body": "Slow"},
                "scenarioName": "turns",
                "requiredScenarioState": "Started",
                "newScenarioState": "answer 2",
            },
            {
                "name": "turns",
                "request": request,
                "response": {"status": 500, "headers": {}, "jsonBody": {"error": "No"}},
                "scenarioName": "turns",
                "requiredScenarioState": "answer 2",
                "newScenarioState": "answer 3",
            },
            {
                "name": "rules[1]",
                "request": {"method": "ANY", "urlPathPattern": ".*"},
                "response": {"status": 503, "headers": {}, "body": "down"},
            },
            {
                "name": "rules[2]",
                "request": {"method": "ANY", "urlPathPattern": "/v1/models|/v1/models/(?<model>[^/]+)"},
                "response": {"status": 500, "headers": {}, "body": "no"},
            },
        ]
    }
    assert result.unsaid == [
        "turns: times; match.stream; an answer that is rendered for each request: record it to export its bytes"
    ]


def test_an_answer_that_cannot_be_exported_is_skipped_by_those_around_it(tmp_path: Path) -> None:
    replies = [
        {"reply": {"content": "A"}},
        {"error": {"status": 500, "body": "B"}},
        {"reply": {"content": "C"}},
        {"error": {"status": 501, "body": "D"}},
    ]
    result = exported(tmp_path, "wiremock", {"name": "turns", "replies": replies})
    states = ("requiredScenarioState", "newScenarioState")
    assert [
        (mapping["response"]["status"], *(mapping.get(state) for state in states))
        for mapping in result.document["mappings"]
    ] == [(500, "Started", "answer 4"), (501, "answer 4", None)]


REQUEST = {"method": "POST", "urlPath": "/v1/chat/completions"}
ASKED = {**REQUEST, "bodyPatterns": [{"equalToJson": {"model": "m"}}]}
SENT = {"status": 200, "headers": {"content-type": "text/plain", "x-request-id": "r1"}, "body": "ab"}
DRIBBLE = {"chunkedDribbleDelay": {"numberOfChunks": 2, "totalDuration": 750}}
TIMES = "the times and sizes of segments: chunks have equal sizes and gaps"


@pytest.mark.parametrize(
    ("changes", "request_", "response", "unsaid"),
    [
        ({}, ASKED, {**SENT, **DRIBBLE}, [TIMES]),
        ({"segments": (Segment(0.5, b"ab"),), "trailers": (("x", "1"),)}, ASKED, SENT, ["trailers"]),
        (
            {"ended": "reset"},
            ASKED,
            {**SENT, "fault": "CONNECTION_RESET_BY_PEER"},
            ["the bytes before the connection broke"],
        ),
        (
            {"segments": (Segment(0.5, b"\xff"),), "request": {**REQUEST, "path": "/v1/chat/completions"}},
            REQUEST,
            {"status": 200, "headers": SENT["headers"], "base64Body": "/w=="},
            [],
        ),
        (
            {
                "segments": (Segment(0.5, b"ab"),),
                "request": {"method": "POST", "path": "/v1/chat/completions", "body": {"user": "[redacted]"}},
            },
            REQUEST,
            SENT,
            ["a request with redacted parts: any body at its path matches"],
        ),
    ],
    ids=["pace", "trailers", "reset", "binary", "redacted"],
)
def test_a_recorded_answer_becomes_a_mapping_with_its_bytes(
    tmp_path: Path, changes: dict[str, Any], request_: dict[str, Any], response: dict[str, Any], unsaid: list[str]
) -> None:
    result = exported(tmp_path, "wiremock", {"name": "r", "wire": wire(tmp_path, **changes)})
    assert result.document == {"mappings": [{"name": "r", "request": request_, "response": response}]}
    assert result.unsaid == ([f"r: {'; '.join(unsaid)}"] if unsaid else [])


# The user's own redaction


@pytest.mark.parametrize(
    ("redaction", "words"),
    [
        (Redaction(paths=("$[",)), "'$[' is not a JSONPath: write it like $.metadata.user"),
        (Redaction(regexes=("(",)), "'(' is not a regular expression: "),
    ],
)
def test_a_redaction_that_cannot_work_is_refused(redaction: Redaction, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        redaction.checked()
    assert str(caught.value).startswith(words)


def test_redaction_by_path_may_take_a_part_or_everything() -> None:
    value: Any = {"a": {"b": "x", "c": 1}, "d": ["y"]}
    part, whole = Redaction(paths=("$.a.b", "$.d[0]")), Redaction(paths=("$",))
    assert part.checked() == part
    assert not part.is_plain
    assert redacted_json(json.loads(json.dumps(value)), part, None) == {
        "a": {"b": "[redacted]", "c": 1},
        "d": ["[redacted]"],
    }
    assert redacted_json(value, whole, None) == "[redacted]"
