"""`emulator diff`: the shapes of recordings, in three tiers, and against the emulator's own rendering."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import processes
import pytest
from recording_server import recording
from served import COMMAND
from talk import KEYS, PATHS, question, single

from emulator import Emulator
from emulator.engine.documented import compared_with_ours
from emulator.recording.comparing import recorded_at
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
    from emulator.recording.comparing import compared, recorded_at

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
        "  error: $.created in the chunk with content was number and is string",
        "  error: $.created in the chunk with finish was number and is string",
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
