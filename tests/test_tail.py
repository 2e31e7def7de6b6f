"""`emulator tail` follows a running server."""

import json
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from talk import KEYS, question, single

from emulator import Emulator
from emulator.cli import cli

HELLO = {"rules": [{"name": "hello", "match": {"prompt": "Hi"}, "reply": {"content": "Hello!"}}]}


def tail(*words: str) -> Result:
    return CliRunner().invoke(cli, ["tail", *words])


@pytest.fixture(scope="module")
def served() -> Any:
    with Emulator(HELLO, unmatched="generate") as emulator, httpx.Client(trust_env=False, verify=False) as http:
        for prompt, key in (("Hi", "sk-any"), ("Else", "sk-any"), ("Hi", "")):
            body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": prompt}]}
            headers = {"authorization": f"Bearer {key}"} if key else {}
            http.post(emulator.url("serevix") + "/v1/chat/completions", json=body, headers=headers)
        yield emulator


def test_it_prints_a_line_for_each_exchange(served: Emulator) -> None:
    reported = tail(served.origin, "--limit", "3")
    assert reported.exit_code == 0, reported.output
    first, second, third = reported.output.splitlines()
    assert first.split()[1:5] == ["default", "serevix", "deepseek-v3", "200"]
    assert first.endswith("rule hello")
    assert second.endswith("generated")
    assert "401" in third
    assert "unauthorized: Invalid token" in third


def test_it_prints_json_and_takes_the_filters_of_the_api(served: Emulator) -> None:
    two = tail(served.origin, "--json", "--limit", "2", "--status", "2xx")
    rows = [json.loads(line) for line in two.output.splitlines()]
    assert [(row["number"], row["rule"], row["status"]) for row in rows] == [(1, "hello", 200), (2, None, 200)]
    only = tail(f"{served.origin}/__emulator/", "--json", "--limit", "1", "--rule", "hello", "--model", "deepseek-v3")
    assert json.loads(only.output)["number"] == 1


def test_it_ends_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with Emulator(HELLO) as emulator:
        single.post(emulator.url("serevix") + "/v1/chat/completions", json=question("serevix"), headers=KEYS["serevix"])

        def stopping(row: Any, *, is_colored: bool) -> str:
            emulator.stop()
            return f"one: {row['rule']}"

        monkeypatch.setattr("emulator.logs.line_of", stopping)
        reported = tail(emulator.origin)
    assert (reported.exit_code, reported.output) == (1, "one: hello\nThe server has stopped.\n")


def test_it_says_what_is_wrong_in_one_sentence(served: Emulator) -> None:
    nobody = tail("http://127.0.0.1:1")
    assert (nobody.exit_code, nobody.output.count("\n")) == (2, 1)
    assert nobody.output.startswith("There is no server at http://127.0.0.1:1: ")
    assert tail("ftp://x").exit_code == 2
    wrong = tail(served.origin, "--status", "lots")
    assert wrong.exit_code == 2
    assert "status" in wrong.output
