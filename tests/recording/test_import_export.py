"""Recordings of other tools become scenarios, and scenarios become fixtures of other tools."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import processes
import yaml
from recording_server import everything_in, recording
from served import COMMAND
from talk import single

from emulator import Emulator

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
KEY = {"authorization": "Bearer sk-real-key-0001"}
URL = "https://api.openai.com/v1/chat/completions"


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return processes.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)


def answer_of(text: str) -> bytes:
    """A real answer, from the emulator."""
    with Emulator({"rules": [{"reply": {"content": text}}]}) as upstream:
        return single.post(upstream.url("openai") + "/v1/chat/completions", json=BODY, headers=KEY).content


def asked(folder: Path, times: int = 1) -> list[httpx.Response]:
    with Emulator(str(folder), unmatched="error") as replay:
        url = replay.url("openai") + "/v1/chat/completions"
        return [single.post(url, json=BODY, headers=KEY) for _ in range(times)]


def test_a_cassette_of_vcrpy_becomes_a_recording(tmp_path: Path) -> None:
    first, second = answer_of("one"), answer_of("two")
    row: dict[str, Any] = {
        "request": {"method": "POST", "uri": URL, "body": json.dumps(BODY), "headers": {"authorization": ["Bearer x"]}},
        "response": {
            "status": {"code": 200, "message": "OK"},
            "headers": {"Content-Type": ["application/json"], "Set-Cookie": ["secret-cookie"]},
            "body": {"string": first.decode()},
        },
    }
    other = {**row, "response": {**row["response"], "body": {"string": second}}}
    elsewhere = {**row, "request": {**row["request"], "uri": "https://example.com/v1"}}
    cassette = tmp_path / "cassette.yaml"
    cassette.write_text(yaml.safe_dump({"interactions": [row, other, elsewhere], "version": 1}))
    done = command("import", str(cassette), "--into", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (0, f"{cassette}: 2 answers from vcr into {tmp_path / 'out'}\n")
    assert done.stderr == (
        f"{cassette}: left out: example.com is not the host of any provider: name one with --provider NAME\n"
    )
    assert [answer.content for answer in asked(tmp_path / "out", 2)] == [first, second]
    assert b"secret-cookie" not in everything_in(tmp_path / "out")


def test_an_http_archive_becomes_a_recording(tmp_path: Path) -> None:
    content = answer_of("Hello")
    entry = {
        "time": 12.5,
        "request": {
            "method": "POST",
            "url": URL,
            "headers": [{"name": "Authorization", "value": "Bearer sk-other-000001"}],
            "postData": {"mimeType": "application/json", "text": json.dumps(BODY)},
        },
        "response": {
            "status": 200,
            "headers": [{"name": "content-type", "value": "application/json"}],
            "content": {"text": content.decode()},
        },
    }
    archive = tmp_path / "run.har"
    archive.write_text(json.dumps({"log": {"entries": [entry]}}))
    assert command("import", str(archive), "--into", str(tmp_path / "out")).returncode == 0
    assert asked(tmp_path / "out")[0].content == content


def test_fixtures_and_lines_become_rules_with_what_was_left_out(tmp_path: Path) -> None:
    fixtures = [
        {"match": {"userMessage": "Hi", "endpoint": "chat"}, "response": {"content": "Hello"}, "chunkSize": 3},
        {"match": {"userMessage": "bad"}, "response": {"error": {"message": "No"}, "status": 429}},
    ]
    file = tmp_path / "fixtures.json"
    file.write_text(json.dumps({"fixtures": fixtures}))
    done = command("import", str(file), "--into", str(tmp_path / "out"))
    assert done.stderr == f"{file}: left out: fixture 1: match.endpoint, chunkSize (the size of chunks)\n"
    assert yaml.safe_load((tmp_path / "out" / "fixtures.yaml").read_text())["rules"] == [
        {"name": "Hi", "match": {"prompt": {"contains": "Hi"}}, "reply": {"content": "Hello"}},
        {"name": "bad", "match": {"prompt": {"contains": "bad"}}, "error": {"status": 429, "message": "No"}},
    ]
    lines = tmp_path / "train.jsonl"
    messages = [*BODY["messages"], {"role": "assistant", "content": "Salut"}]
    lines.write_text(json.dumps({"messages": messages}) + "\n")
    assert command("import", str(lines), "--into", str(tmp_path / "lines")).returncode == 0
    assert asked(tmp_path / "lines")[0].json()["choices"][0]["message"]["content"] == "Salut"
    wrong = tmp_path / "wrong.json"
    wrong.write_text("[]")
    failed = command("import", str(wrong))
    assert failed.returncode == 2
    assert failed.stderr.startswith(f"{wrong}: the format of this file is not recognized.")


def test_a_recording_is_exported_and_what_cannot_be_said_is_listed(tmp_path: Path) -> None:
    with (
        Emulator({"rules": [{"reply": {"content": "Hello"}}]}) as upstream,
        recording(tmp_path, {"openai": upstream.url("openai")}) as running,
    ):
        answer = single.post(running.url("openai") + "/v1/chat/completions", json=BODY, headers=KEY)
    aimock, wiremock = (command("export", str(tmp_path), "--to", form) for form in ("aimock", "wiremock"))
    assert json.loads(aimock.stdout) == {
        "fixtures": [{"match": {"userMessage": "Hi"}, "response": {"content": "Hello"}}]
    }
    assert aimock.stderr == (
        "aimock can't express: Hi: match.recorded: only the prompt is matched, not the whole request; "
        "wire: the exact bytes and times\n"
    )
    (mapping,) = json.loads(wiremock.stdout)["mappings"]
    assert mapping["request"] == {
        "method": "POST",
        "urlPath": "/v1/chat/completions",
        "bodyPatterns": [{"equalToJson": BODY}],
    }
    assert (mapping["response"]["status"], mapping["response"]["body"]) == (200, answer.text)
    assert wiremock.stderr == ""


def test_a_line_that_is_not_json_is_named_and_one_without_messages_is_left_out(tmp_path: Path) -> None:
    text = "two\u2028lines"  # which JSON may hold as it is
    messages = [*BODY["messages"], {"role": "assistant", "content": text}]
    good = json.dumps({"messages": messages}, ensure_ascii=False)
    lines = tmp_path / "train.jsonl"
    lines.write_text(f'{good}\n\n{{"prompt": "old"}}\n')
    done = command("import", str(lines), "--into", str(tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, f"{lines}: left out: line 3: it has no `messages`\n")
    assert asked(tmp_path / "out")[0].json()["choices"][0]["message"]["content"] == text
    lines.write_text(f"{good}\n  oops\n")
    done = command("import", str(lines), "--into", str(tmp_path / "no"))
    assert (done.returncode, done.stderr) == (2, f"{lines}:2:3: this is not JSON: Expecting value.\n")
    assert not (tmp_path / "no").exists()


def test_a_request_that_its_provider_would_refuse_is_still_named_by_its_prompt(tmp_path: Path) -> None:
    """Browsers leave out headers in archives, and so do the settings of vcrpy."""
    body = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    row: dict[str, Any] = {
        "request": {"method": "POST", "uri": "https://api.anthropic.com/v1/messages", "body": json.dumps(body)},
        "response": {"status": {"code": 200}, "headers": {}, "body": {"string": '{"type":"message","content":[]}'}},
    }
    cassette = tmp_path / "cassette.yaml"
    cassette.write_text(yaml.safe_dump({"interactions": [{**row, "request": {**row["request"], "headers": {}}}]}))
    assert command("import", str(cassette), "--into", str(tmp_path / "out")).returncode == 0
    (file,) = (tmp_path / "out").glob("*.yaml")
    assert yaml.safe_load(file.read_text())["rules"][0]["name"] == "Hi"


def test_a_recording_without_a_prompt_is_no_fixture_of_aimock(tmp_path: Path) -> None:
    """It would answer everything."""
    with Emulator() as upstream, recording(tmp_path, {"openai": upstream.url("openai")}) as running:
        single.get(running.url("openai") + "/v1/models", headers=KEY)
    done = command("export", str(tmp_path), "--to", "aimock")
    assert json.loads(done.stdout) == {"fixtures": []}
    assert "GET /v1/models: match.recorded" in done.stderr
    assert "a recorded request without a prompt" in done.stderr
