"""`emulator diff`: the shapes of recordings, in three tiers, and against the emulator's own rendering."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import processes
import pytest
from operations import every_request
from recording_server import recording
from served import COMMAND
from tables import each_of
from talk import KEYS, PATHS, question, single

from emulator import Emulator
from emulator.engine.documented import compared_with_ours
from emulator.providers import PROVIDERS
from emulator.recording.comparing import Recorded, as_text, compared, recorded_at
from emulator.recording.drift import MAX_NOTED, drifts_in, members_of
from emulator.recording.wire_file import Segment, WireRecord, read, written

CHUNK = {"id": "a", "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}], "created": 1}
DONE = b"data: [DONE]\n\n"


def frame(native: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(native).encode() + b"\n\n"


def stream(*frames: bytes) -> WireRecord:
    return WireRecord(
        200,
        (("Content-Type", "text/event-stream"),),
        "chunks",
        tuple(Segment(0.0, each) for each in frames),
        provider="serevix",
        operation="chat",
        dialect="chat_completions",
    )


def end(**members: Any) -> bytes:
    return frame({**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **members})


OLD = stream(frame(CHUNK), end(), DONE)
SAME = stream(frame({**CHUNK, "id": "b", "created": 2.5}), frame(CHUNK), end(), DONE)
CASES: dict[str, tuple[WireRecord, int, list[tuple[str, str]]]] = {
    "other words": (SAME, 0, []),
    "a new member": (stream(frame({**CHUNK, "tier": "x"}), end(), DONE), 0, [("info", "$.tier")]),
    "a missing member": (
        stream(frame({k: v for k, v in CHUNK.items() if k != "created"}), end(), DONE),
        0,
        [("warning", "$.created")],
    ),
    "another type": (
        stream(frame({**CHUNK, "created": "1"}), end(created="1"), DONE),
        1,
        [("error", "$.created"), ("error", "$.created")],
    ),
    "no terminator": (stream(frame(CHUNK), end()), 1, [("error", "the event `data: [DONE]`")]),
    "another order": (stream(end(), frame(CHUNK), DONE), 1, [("error", "the chunk with finish")]),
    "another order of members": (
        stream(frame(dict(reversed(CHUNK.items()))), end(), DONE),
        1,
        [("error", "$")],
    ),
    "an order that came before, too": (
        stream(frame(CHUNK), end(), frame({"created": 1, "id": "a"}), DONE),
        1,
        [("error", "the chunk without text")],  # which is new; what it holds has nothing to be compared with
    ),
    "another status": (replace(OLD, status=500), 1, [("error", "status")]),
    "a new header": (
        replace(OLD, headers=(*OLD.headers, ("X-Request-Cost", "1"))),
        0,
        [("info", "header x-request-cost")],
    ),
    "another content type": (
        replace(OLD, headers=(("Content-Type", "application/json"),)),
        1,
        [("error", "body"), ("error", "header content-type")],
    ),
}


def diff(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return processes.run([*COMMAND, "diff", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def files(tmp_path: Path) -> Callable[[WireRecord, WireRecord], tuple[str, str]]:
    def write(old: WireRecord, new: WireRecord) -> tuple[str, str]:
        for name, wire in (("old", old), ("new", new)):
            (tmp_path / f"{name}.wire").write_bytes(written(wire))
        return str(tmp_path / "old.wire"), str(tmp_path / "new.wire")

    return write


@pytest.mark.parametrize("case", list(CASES))
def test_each_difference_has_its_tier_and_its_path(
    case: str, files: Callable[[WireRecord, WireRecord], tuple[str, str]]
) -> None:
    wire, code, wanted = CASES[case]
    old, new = files(OLD, wire)
    result = compared(recorded_at(Path(old)), recorded_at(Path(new)))
    assert [(row.drift.level, row.drift.path) for row in result.rows] == wanted
    assert result.has_errors == bool(code)


def test_the_command_names_the_member_and_exits_with_1_for_errors_only(
    files: Callable[[WireRecord, WireRecord], tuple[str, str]],
) -> None:
    old, new = files(OLD, CASES["another type"][0])
    text, github, as_json = diff(old, new), diff(old, new, "--format", "github"), diff(old, new, "--json")
    assert (text.returncode, github.returncode, as_json.returncode) == (1, 1, 1)
    assert text.stdout.splitlines() == [
        "new.wire",
        "  error: $.created in the chunk with content and the chunk with finish was number and is string",
        "",
        "1 answer compared: 2 errors.",
    ]
    assert github.stdout.splitlines()[0] == (
        f"::error file={new},title=new.wire::$.created in the chunk with content was number and is string"
    )
    assert json.loads(as_json.stdout)["differences"][0] == {
        "level": "error",
        "path": "$.created",
        "message": "was number and is string",
        "where": "the chunk with content",
        "name": "new.wire",
        "file": new,
    }
    calm = diff(*files(OLD, CASES["a missing member"][0]))
    assert (calm.returncode, calm.stdout.splitlines()[-1]) == (0, "1 answer compared: 1 warning.")


def test_an_order_counts_among_what_both_have_and_where_it_is_always_another(
    files: Callable[[WireRecord, WireRecord], tuple[str, str]],
) -> None:
    old = stream(frame({"a": 1, "b": 1, "c": {"x": 1, "y": 1}, "d": 1}), DONE)
    same = stream(frame({"new": 1, "a": 1, "c": {"x": 1, "z": 1, "y": 1}, "d": 1}), DONE)
    assert "the order" not in diff(*files(old, same)).stdout
    both = stream(frame({"a": 1, "b": 1}), frame({"b": 1, "a": 1}), DONE)
    assert diff(*files(both, stream(frame({"b": 1, "a": 1}), DONE))).stdout == "1 answer compared: no difference.\n"
    done = diff(*files(old, stream(frame({"a": 1, "c": {"y": 1, "x": 1}, "b": 1, "d": 1}), DONE)))
    assert (done.returncode, done.stdout.splitlines()) == (
        1,
        [
            "new.wire",
            "  error: $ in the chunk without text had b, c and has c, b: the order has changed",
            "  error: $.c in the chunk without text had x, y and has y, x: the order has changed",
            "",
            "1 answer compared: 2 errors.",
        ],
    )
    args = [
        stream(frame({"a": [{"functionCall": {"name": "f", "args": names}}]}), DONE)
        for names in ({"x": 1, "y": 2}, {"y": "2", "x": 1}, {"z": None})
    ]  # the model's own choice
    assert {diff(*files(args[0], other)).stdout for other in args[1:]} == {"1 answer compared: no difference.\n"}


def test_what_is_the_same_in_many_kinds_of_events_is_one_line_of_text() -> None:
    def messages(**more: Any) -> WireRecord:
        kinds = ("message_start", "content_block_delta", "message_delta", "message_stop")
        return stream(*(b"event: %b\n" % kind.encode() + frame({"type": kind, **more}) for kind in kinds))

    path = Path("new.wire")
    old, new = (Recorded("", "Hi", number, path, messages(**more)) for number, more in ((1, {}), (2, {"x": 1})))
    result = compared([old], [new])
    assert as_text(result) == ("Hi (answer 2)\n  info: $.x in 4 kinds of events is new\n\n1 answer compared: 4 info.")
    assert as_text(result, is_colored=True).splitlines()[:2] == [
        "\x1b[1mHi (answer 2)\x1b[0m",
        "  \x1b[36minfo\x1b[0m: $.x in 4 kinds of events is new",
    ]


def test_what_is_missing_is_named_once_with_all_that_was_in_it() -> None:
    old = stream(frame({**CHUNK, "meta": {"a": {"b": 1}}}), end(), DONE)
    new = stream(frame(CHUNK), DONE)
    old = replace(old, headers=(*old.headers, ("X-Tier", "1")))
    assert [str(each) for each in drifts_in(old, new)] == [
        "error: the chunk with finish is missing",
        "warning: header x-tier is missing",
        "warning: $.meta in the chunk with content is missing",
    ]


def test_a_list_of_many_different_objects_is_noted_up_to_a_limit() -> None:
    members = members_of([{f"name{number}": number} for number in range(MAX_NOTED + 5)])
    assert (len(members["$[]"].orders), "$[].name36" in members) == (MAX_NOTED, True)


def test_folders_are_compared_by_their_questions(tmp_path: Path) -> None:
    bodies = [{"model": "deepseek-v3", "messages": [{"role": "user", "content": text}]} for text in ("A", "B")]
    for name, asked in (("old", bodies), ("new", bodies[:1])):
        with Emulator() as upstream, recording(tmp_path / name, {"serevix": upstream.url("serevix")}) as running:
            for body in asked:
                single.post(running.url("serevix") + "/v1/chat/completions", json=body, headers=KEYS["serevix"])
    done = diff(str(tmp_path / "old"), str(tmp_path / "new"))
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["B", "  warning: recording is missing", "", "1 answer compared: 1 warning."],
    )
    wrong = diff(str(tmp_path / "old"), str(tmp_path / "none"))
    assert (wrong.returncode, wrong.stderr) == (2, f"{tmp_path / 'none'}: there is no such file or folder.\n")


@pytest.mark.parametrize("stream", [False, True])
def test_a_recording_of_the_emulator_agrees_with_its_own_rendering_and_a_changed_one_corrects_it(
    stream: bool, tmp_path: Path
) -> None:
    body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    with Emulator() as upstream, recording(tmp_path, {"serevix": upstream.url("serevix")}) as running:
        single.post(running.url("serevix") + "/v1/chat/completions", json=body, headers=KEYS["serevix"])
    same = diff("--documented", str(tmp_path))
    assert (same.returncode, same.stdout) == (0, "1 answer compared: no difference.\n")
    (file,) = tmp_path.glob("wire/*.wire")
    wire = read(file)
    data = wire.body.replace(b'"created":', b'"created":"x","was_created":')
    file.write_bytes(written(replace(wire, segments=(Segment(0.0, data),))))
    other = diff("--documented", str(tmp_path))
    assert other.returncode == 1
    assert "error: $.created" in other.stdout
    mark = "inferred" if stream else "documented"  # the document shows no stream
    assert f"was number and is string [{mark}]" in other.stdout
    assert "info: $.was_created" in other.stdout


CHAT = b'"role":"assistant"', b'"role":["assistant"]'
FACTS: dict[str, tuple[tuple[bytes, bytes], dict[str, str]]] = {
    "serevix": (CHAT, {"$.choices[].message.role": "documented"}),
    "cloudsway": (CHAT, {"$.choices[].message.role": "documented"}),
    "nadles": (CHAT, {"$.model_response.choices[].message.role": "documented"}),
    "maxtoken": (CHAT, {"$.choices[].message.role": "inferred"}),  # its document shows no answer
}
"""What is changed in an answer, and the marks of the facts that are contradicted then."""


@pytest.mark.parametrize("provider", list(FACTS))
def test_each_fact_that_is_contradicted_has_its_mark(provider: str, tmp_path: Path) -> None:
    body = question(provider, "Hi")
    with Emulator() as upstream, recording(tmp_path, {provider: upstream.url(provider)}) as running:
        single.post(running.url(provider) + PATHS[provider], json=body, headers=KEYS[provider])
    (recorded,) = recorded_at(tmp_path)
    assert compared_with_ours([recorded]).rows == []
    (old, new), wanted = FACTS[provider]
    data = recorded.wire.body
    assert old in data
    end = b'"a_new_member":1}'
    wire = replace(recorded.wire, segments=(Segment(0.0, data.replace(old, new).rstrip()[:-1] + b"," + end),))
    wire = replace(wire, headers=(*wire.headers, ("x-request-id-of-theirs-request-id", "1")))
    rows = compared_with_ours([replace(recorded, wire=wire)]).rows
    whole = "inferred" if provider == "maxtoken" else "documented"
    assert {row.drift.path: row.mark for row in rows} == {
        **wanted,
        "$.a_new_member": whole,
        "header x-request-id-of-theirs-request-id": "inferred",
    }


Edit = tuple[bytes, bytes]
CONSTANTS: dict[tuple[str, bool], list[tuple[Edit, str]]] = {
    ("serevix", False): [
        ((b'"object":"chat.completion"', b'"object":"completion"'),
         'error: $.object was "chat.completion" and is "completion" [documented]'),
        ((b'"role":"assistant"', b'"role":"model"'),
         'error: $.choices[].message.role was "assistant" and is "model" [documented]'),
        ((b'"finish_reason":"stop"', b'"finish_reason":"eos"'),
         'error: $.choices[].finish_reason was "stop" and is "eos" [documented]'),
        ((b'"role":"assistant","content":"Paris"', b'"content":"Paris","role":"assistant"'),
         "error: $.choices[].message had role, content and has content, role: the order has changed [documented]"),
    ],
    ("serevix", True): [
        ((b'"object":"chat.completion.chunk"', b'"object":"chunk"'),
         'error: $.object in the chunk with content was "chat.completion.chunk" and is "chunk" [inferred]'),
    ],
    ("anthropic", True): [
        ((b'"type":"text_delta"', b'"type":"text"'),
         'error: $.delta.type in the event content_block_delta was "text_delta" and is "text" [public]'),
        ((b'"stop_reason":"end_turn"', b'"stop_reason":"finished"'),
         'error: $.delta.stop_reason in the event message_delta was "end_turn" and is "finished" [public]'),
    ],
    ("gemini", False): [
        ((b'"role": "model"', b'"role": "assistant"'),
         'error: $.candidates[].content.role was "model" and is "assistant" [public]'),
    ],
}  # fmt: skip
"""What is changed in an answer to "Hi", and what `diff --documented` then says of it."""
NO_FACTS: dict[str, Edit] = {
    "an id": (b'"id":"', b'"id":"chatcmpl-of-theirs-'),
    "a model": (b'"model":"deepseek-v3"', b'"model":"deepseek-v3-0324"'),
    "a text": (b'"content":"Paris"', b'"content":"Rome"'),
    "a count": (b'"completion_tokens":', b'"completion_tokens":1'),
    "a time": (b'"created":1', b'"created":2'),
    "another known reason": (b'"finish_reason":"stop"', b'"finish_reason":"length"'),
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Recorded]:
    """A recorded answer of a provider."""

    def record(provider: str, reply: dict[str, Any], path: str | None = None, **body: Any) -> Recorded:
        folder = tmp_path_factory.mktemp("recorded")
        with (
            Emulator({"rules": [{"reply": reply}]}) as upstream,
            recording(folder, {provider: upstream.url(provider)}) as running,
        ):
            url = running.url(provider) + (path or PATHS[provider])
            single.post(url, json=body, headers=KEYS[provider])
        (found,) = recorded_at(folder)
        assert compared_with_ours([found]).rows == []
        return found

    return record


@pytest.fixture(scope="module")
def paris(recorded: Callable[..., Recorded]) -> Callable[[str, bool], Recorded]:
    """A recorded answer of a provider that says Paris."""

    def record(provider: str, is_stream: bool) -> Recorded:
        body = question(provider, "Hi", **({"stream": is_stream} if provider != "gemini" else {}))
        return recorded(provider, {"content": "Paris"}, **body)

    return record


def edited(recorded: Recorded, edit: Edit) -> Recorded:
    old, new = edit
    assert old in recorded.wire.body, recorded.wire.body
    data = recorded.wire.body.replace(old, new)
    return replace(recorded, wire=replace(recorded.wire, segments=(Segment(0.0, data),)))


@pytest.mark.parametrize(("provider", "is_stream"), list(CONSTANTS))
def test_a_fixed_value_or_an_order_of_ours_that_the_wire_contradicts_is_named(
    provider: str, is_stream: bool, paris: Callable[[str, bool], Recorded]
) -> None:
    recorded = paris(provider, is_stream)
    for edit, wanted in CONSTANTS[provider, is_stream]:
        result = compared_with_ours([edited(recorded, edit)])
        assert wanted in [f"{row.drift} [{row.mark}]" for row in result.rows]
        assert result.has_errors
        same = {row.drift.path for row in result.rows}  # in other events of a stream, too
        assert len(same) == 1


def test_what_a_request_an_account_or_a_moment_decides_is_no_fact(paris: Callable[[str, bool], Recorded]) -> None:
    recorded = paris("serevix", False)
    found = {
        name: [str(row.drift) for row in compared_with_ours([edited(recorded, edit)]).rows]
        for name, edit in NO_FACTS.items()
    }
    assert {name for name, drifts in found.items() if drifts} == set()


PARTS: dict[str, tuple[dict[str, Any], str | None, dict[str, Any], Edit, str]] = {
    "tool calls": (
        {"tool_calls": [{"name": "look", "arguments": {"at": "it"}}]}, None,
        question("serevix", "Hi", tools=[{"type": "function", "function": {"name": "look"}}]),
        (b'"type":"function"', b'"type":"call"'),
        'error: $.choices[].message.tool_calls[].type was "function" and is "call"',
    ),
    "several answers": (
        {"content": "Paris"}, None, question("serevix", "Hi", n=2), (b'"role":"assistant"', b'"role":"model"'),
        'error: $.choices[].message.role was "assistant" and is "model"',
    ),
    "an answer that is cut": (
        {"content": "one two three " * 9}, "/v1/responses",
        {"model": "gpt-4o", "input": "Hi", "max_output_tokens": 16},
        (b'"reason":"max_output_tokens"', b'"reason":"limit"'),
        'error: $.incomplete_details.reason was "max_output_tokens" and is "limit"',
    ),
}  # fmt: skip
"""What is said, the path, the request, what is changed, and what is then said of it."""


@each_of("part", PARTS)
def test_every_part_of_an_answer_is_compared(part: str, recorded: Callable[..., Recorded]) -> None:
    reply, path, body, edit, wanted = PARTS[part]
    found = recorded("openai" if path else "serevix", reply, path, **body)
    assert [str(row.drift) for row in compared_with_ours([edited(found, edit)]).rows] == [wanted]


def test_an_answer_of_an_endpoint_that_is_not_known_is_not_compared(paris: Callable[[str, bool], Recorded]) -> None:
    found = paris("serevix", False)
    others: list[dict[str, Any]] = [{"provider": "nobody"}, {"operation": ""}, {"framing": "raw"}]
    result = compared_with_ours([replace(found, wire=replace(found.wire, **other)) for other in others])
    assert (result.compared, result.rows) == (0, [])
    gone = replace(found.wire, provider="openai", request={**found.wire.request, "path": "/v1/gone"})
    rows = compared_with_ours([replace(found, wire=gone)]).rows  # of an endpoint that we no longer have
    assert ("error: status was 404 and is 200", "inferred") in [(str(row.drift), row.mark) for row in rows]


def test_an_error_may_have_the_values_of_every_error_with_its_status(tmp_path: Path) -> None:
    names = [name for name, row in PROVIDERS["openai"]().table.items() if row.status == 400]
    assert len(names) > 2
    scenario = {"rules": [{"match": {"prompt": name}, "error": name} for name in names]}
    with Emulator(scenario) as upstream, recording(tmp_path, {"openai": upstream.url("openai")}) as running:
        for name in names:
            single.post(running.url("openai") + PATHS["openai"], json=question("openai", name), headers=KEYS["openai"])
    found = recorded_at(tmp_path)
    assert len(found) == len(names)
    assert compared_with_ours(found).rows == []
    wrong = edited(found[0], (b'"type":"invalid_request_error"', b'"type":"bad_request"'))
    (row,) = compared_with_ours([wrong]).rows
    assert str(row.drift) == 'error: $.error.type was "invalid_request_error" and is "bad_request"'


@pytest.mark.parametrize("provider", list(PROVIDERS))
def test_every_operation_of_the_emulator_agrees_with_itself(provider: str, tmp_path: Path) -> None:
    """With a seed, a time and words of its own."""
    rules = {"seed": 77, "rules": [{"reply": {"content": "Hello there.", "reasoning": "A greeting."}}]}
    wanted = list(every_request(provider))
    with Emulator(rules) as upstream, recording(tmp_path, {provider: upstream.url(provider)}, mode="all") as running:
        for each in wanted:
            url = running.url(provider) + each.path
            single.request(each.method, url, json=each.body, headers=KEYS[provider], timeout=60)
    found = recorded_at(tmp_path)
    assert [str(row.drift) for row in compared_with_ours(found).rows] == []
    assert len(found) > 1


def test_a_documented_error_is_contradicted_as_documented(tmp_path: Path) -> None:
    scenario = {"rules": [{"match": {"prompt": "Hi"}, "error": "insufficient_balance"}, {"error": "invalid_token"}]}
    with Emulator(scenario) as upstream, recording(tmp_path, {"maxtoken": upstream.url("maxtoken")}) as running:
        for text in ("Hi", "Ho"):
            url = running.url("maxtoken") + PATHS["maxtoken"]
            single.post(url, json=question("maxtoken", text), headers=KEYS["maxtoken"])
    marks = {}
    for each in recorded_at(tmp_path):
        wire = replace(each.wire, segments=(Segment(0.0, each.wire.body.replace(b'"type":"403"', b'"type":403')),))
        marks[each.name] = [(row.drift.path, row.mark) for row in compared_with_ours([replace(each, wire=wire)]).rows]
    assert marks == {"Hi": [("$.error.type", "documented")], "Ho": [("$.error.type", "public")]}
