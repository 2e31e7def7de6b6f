"""Every example of the documents, replayed through a live server and compared as a whole, key order included."""

import json
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
from talk import DOCUMENTED, Ask, Serving, ordered, question

from emulator import Emulator
from emulator.providers import PROVIDERS
from emulator.resources import folder

FIXTURES = folder("fixtures")
CASES = sorted(about.parent for about in FIXTURES.glob("*/*/about.toml"))
ANSWERED = [case for case in CASES if (case / "response.json").exists()]
SUCCEEDING = [case for case in ANSWERED if "error" not in case.name]
FAILING = [case for case in ANSWERED if "error" in case.name]


def name_of(case: Path) -> str:
    return f"{case.parent.name}-{case.name}"


def about(case: Path) -> dict[str, Any]:
    return tomllib.loads((case / "about.toml").read_text())


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def replay(http: httpx.Client, base: str, case: Path, **headers: str) -> httpx.Response:
    request = load(case / "request.json")
    given = {**request["headers"], **headers}
    return http.request(request["method"], base + request["path"], headers=given, json=request["body"])


def assert_documented(response: httpx.Response, case: Path) -> None:
    assert response.status_code == about(case)["status"]
    assert response.headers["content-type"] == dict(PROVIDERS[case.parent.name].json_headers)[b"content-type"].decode()
    assert ordered(response.json()) == ordered(load(case / "response.json"))


def test_every_documented_provider_has_a_case_and_every_case_a_provider() -> None:
    assert set(DOCUMENTED) <= {case.parent.name for case in CASES} <= set(PROVIDERS)


@pytest.mark.parametrize("case", SUCCEEDING, ids=name_of)
class TestAnExampleGetsItsDocumentedAnswer:
    def test_by_prefix(self, case: Path, documented: Emulator, http: httpx.Client) -> None:
        assert_documented(replay(http, documented.url(case.parent.name), case), case)

    def test_by_documented_host(self, case: Path, documented: Emulator, http: httpx.Client) -> None:
        (host,) = PROVIDERS[case.parent.name].hosts
        assert_documented(replay(http, documented.origin, case, host=host), case)

    def test_by_documented_host_with_port_and_capitals(
        self, case: Path, documented: Emulator, http: httpx.Client
    ) -> None:
        (host,) = PROVIDERS[case.parent.name].hosts
        assert_documented(replay(http, documented.origin, case, host=f"{host.upper()}:{documented.port}"), case)

    def test_by_localhost_name(self, case: Path, documented: Emulator, http: httpx.Client) -> None:
        host = f"{case.parent.name}.localhost:{documented.port}"
        assert_documented(replay(http, documented.origin, case, host=host), case)

    def test_alone_at_the_root(self, case: Path, serving: Serving, http: httpx.Client) -> None:
        emulator = serving(provider=case.parent.name)
        assert emulator.url(case.parent.name) == emulator.origin
        assert_documented(replay(http, emulator.origin, case), case)

    def test_again_and_again(self, case: Path, documented: Emulator, http: httpx.Client) -> None:
        bodies = {replay(http, documented.url(case.parent.name), case).content for _ in range(3)}
        assert len(bodies) == 1

    def test_in_compact_json_or_laid_out_as_google_does(
        self, case: Path, documented: Emulator, http: httpx.Client
    ) -> None:
        response = replay(http, documented.url(case.parent.name), case)
        if case.parent.name == "gemini":
            assert response.text == json.dumps(response.json(), ensure_ascii=False, indent=2) + "\n"
        else:
            assert response.text == json.dumps(response.json(), ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("case", FAILING, ids=name_of)
class TestADocumentedErrorHasItsStatusAndBody:
    def test_at_the_word_of_the_shipped_scenario(self, case: Path, documented: Emulator, ask: Ask) -> None:
        body = load(case / "request.json")["body"]
        body["messages"][0]["content"] = f"documented error: {about(case)['error']}"
        assert_documented(ask(documented, "maxtoken", body), case)

    def test_by_its_name(self, case: Path, serving: Serving, http: httpx.Client) -> None:
        emulator = serving({"rules": [{"error": about(case)["error"]}]})
        assert_documented(replay(http, emulator.url("maxtoken"), case), case)

    def test_by_its_status_alone(self, case: Path, serving: Serving, http: httpx.Client) -> None:
        emulator = serving({"rules": [{"error": {"status": about(case)["status"]}}]})
        assert_documented(replay(http, emulator.url("maxtoken"), case), case)

    def test_even_when_a_stream_was_asked_for(self, case: Path, serving: Serving, ask: Ask) -> None:
        emulator = serving({"rules": [{"error": about(case)["error"]}]})
        assert_documented(ask(emulator, "maxtoken", question("maxtoken", stream=True)), case)


def test_a_case_without_a_documented_answer_is_answered_in_the_inferred_shape(
    documented: Emulator, http: httpx.Client
) -> None:
    (case,) = (case for case in CASES if case not in ANSWERED)
    assert about(case)["documented_response"] is False
    response = replay(http, documented.url("maxtoken"), case)
    body = response.json()
    assert response.status_code == about(case)["status"]
    assert ordered(body) == ordered(
        {
            "id": body["id"],
            "object": "chat.completion",
            "created": body["created"],
            "model": "deepseek-r1",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "I'm DeepSeek-R1, an AI assistant created by DeepSeek. How can I help you today?",
                        "reasoning_content": "The user asks who I am. I should introduce myself briefly as DeepSeek-R1 "
                        "and offer to help.",
                    },
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": 8,
                "completion_tokens": 48,
                "total_tokens": 56,
                "completion_tokens_details": {"reasoning_tokens": 23},
            },
        }
    )


@pytest.mark.parametrize("provider", DOCUMENTED)
def test_the_example_that_each_provider_prints_is_the_documented_one(
    provider: str, documented: Emulator, ask: Ask
) -> None:
    path, body = PROVIDERS[provider].example
    response = ask(documented, provider, body, path=path)
    assert response.status_code == 200
    assert documented.journal[-1].rule is not None
