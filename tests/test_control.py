"""The control API: what any language can inspect and change on a running server, over HTTP."""

import asyncio
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import httpx
import pytest
from crowd import streams
from served import served
from talk import single

from emulator import Emulator
from emulator.control import api as control
from emulator.control import calls
from emulator.control.access import access_for
from emulator.control.openapi import document
from emulator.control.routes import ROUTES
from emulator.errors import UsageError
from emulator.scenario.json_schema import json_schema
from emulator.scenario.loading import MAX_BYTES

CHAT = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "Hi"}]}
HELLO = {"rules": [{"name": "hello", "match": {"prompt": "Hi"}, "reply": {"content": "Hello!"}}]}


class Api:
    """A running server, and its control API."""

    def __init__(self, emulator: Emulator, http: httpx.Client) -> None:
        self.emulator = emulator
        self.http = http

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        given = {} if body is None else {"json": body}
        return self.http.request(method, f"{self.emulator.origin}/__emulator/{path}", **given, **options)

    def get(self, path: str) -> Any:
        return self("GET", path).json()

    def chat(self, prompt: str = "Hi", *, prefix: str = "", **body: Any) -> httpx.Response:
        url = f"{self.emulator.origin}{prefix}/serevix/v1/chat/completions"
        messages = [{"role": "user", "content": prompt}]
        return self.http.post(url, json={**CHAT, "messages": messages, **body}, headers={"authorization": "Bearer k"})

    def said(self, prompt: str = "Hi", **options: Any) -> Any:
        return self.chat(prompt, **options).json()["choices"][0]["message"]["content"]


@pytest.fixture
def api() -> Iterator[Api]:
    with Emulator(HELLO, unmatched="generate") as emulator, httpx.Client(trust_env=False, verify=False) as http:
        yield Api(emulator, http)


def test_the_journal_lists_exchanges_oldest_first_and_by_what_they_were(api: Api) -> None:
    api.chat()
    api.chat("Something else", model="no such thing")
    api.http.get(f"{api.emulator.origin}/nowhere/v1/models")
    rows = api.get("journal")["exchanges"]
    shown = ("number", "namespace", "provider", "path", "model", "rule", "outcome", "status")
    assert [tuple(row[name] for name in shown) for row in rows] == [
        (1, "default", "serevix", "/v1/chat/completions", "deepseek-v3", "hello", "reply", 200),
        (2, "default", "serevix", "/v1/chat/completions", "no such thing", None, "generated", 200),
        (3, "default", None, "/nowhere/v1/models", "", None, "error", 404),
    ]
    assert rows[0]["usage"]["total"] == rows[0]["usage"]["prompt"] + rows[0]["usage"]["completion"]
    assert rows[0]["cost"] != "0"

    def numbers(query: str) -> list[int]:
        return [row["number"] for row in api.get(f"journal?{query}")["exchanges"]]

    assert numbers("provider=serevix") == [1, 2]
    assert numbers("rule=hello") == [1]
    assert numbers("status=404") == [3]
    assert numbers("status=4xx") == [3]
    assert numbers("outcome=reply") == [1]
    assert numbers("model=deepseek-v3") == [1]
    assert numbers("since=1") == [2, 3]
    assert numbers("limit=2") == [2, 3]
    assert numbers("limit=1&provider=serevix") == [2]
    assert api("DELETE", "journal").json() == {"removed": 3}
    assert api.get("journal") == {"exchanges": []}


def test_one_exchange_shows_everything(api: Api) -> None:
    api("POST", "rules", {"name": "near", "match": {"prompt": "Hi", "model": "other-*"}, "reply": {"content": "No"}})
    url = f"{api.emulator.origin}/serevix/v1/chat/completions"
    headers = {
        "authorization": "Bearer sk-secret-of-mine",
        "x-stainless-retry-count": "2",
        "idempotency-key": "try-one",
    }
    api.http.post(url, json={**CHAT, "stream": True, "made_up": 1}, headers=headers)
    row = api.get("journal/1")
    assert [miss.partition(":")[0] for miss in row["misses"]] == ["near"]
    assert [(each["rule"], each["matched"]) for each in row["because"]] == [("near", False), ("hello", True)]
    assert [(each["condition"], each["holds"]) for each in row["because"][0]["conditions"]] == [
        ("model", False),
        ("prompt", True),
    ]
    assert row["ignored"] == ["made_up"]
    assert (row["retry_count"], row["idempotency_key"], row["attempt"], row["connection"]) == (2, "try-one", 1, 1)
    assert json.loads(row["request"]["body"])["made_up"] == 1
    assert row["request"]["headers"]["authorization"] == "[redacted]"
    assert row["request"]["messages"] == CHAT["messages"]
    assert row["response"]["text"].endswith("data: [DONE]\n\n")
    assert row["response"]["content"] == "Hello!"
    assert row["ended"] == "complete"
    assert len(row["frames"]) == row["frames_sent"]
    assert all(frame["planned"] == 0 and frame["sent"] >= 0 for frame in row["frames"])
    assert sum(frame["bytes"] for frame in row["frames"]) == row["bytes_sent"]
    assert api("GET", "journal/77").status_code == 404


def test_waiting_ends_with_the_exchange_that_was_waited_for(api: Api) -> None:
    found: list[httpx.Response] = []

    def wait() -> None:
        with httpx.Client(trust_env=False, verify=False) as http:
            url = f"{api.emulator.origin}/__emulator/journal/wait?count=2&timeout=30&rule=hello"
            found.append(http.get(url, timeout=60))

    waiting = threading.Thread(target=wait)
    waiting.start()
    api.chat()
    api.chat("Something else")
    assert waiting.is_alive()
    api.chat()
    waiting.join(30)
    assert [row["number"] for row in found[0].json()["exchanges"]] == [1, 3]
    late = api("GET", "journal/wait?count=9&timeout=0")
    assert (late.status_code, late.json()["error"]) == (
        408,
        "After 0 seconds, 3 of 9 matching exchanges have ended.",
    )


def test_an_added_rule_is_tried_first_and_the_others_keep_their_counts(api: Api) -> None:
    turns = {"replies": [{"reply": {"content": "one"}}, {"reply": {"content": "two"}}], "priority": 5}
    assert api("PUT", "scenario", {"rules": [{"name": "turns", **turns}]}).status_code == 200
    assert api.said() == "one"
    added = api("POST", "rules", {"match": {"prompt": "Hi"}, "reply": {"content": "mine"}})
    assert (added.status_code, added.json()) == (201, {"id": "added-1", "name": "added-1"})
    assert api.said() == "mine"
    rows = api.get("rules")["rules"]
    assert [(row["id"], row["name"], row["added"], row["used"]) for row in rows] == [
        ("added-1", "added-1", True, 1),
        (None, "turns", False, 1),
    ]
    assert api("DELETE", "rules").json() == {"removed": 1}
    assert api.said() == "two"
    assert api("DELETE", "rules/added-1").status_code == 404


def test_every_answer_of_a_rule_is_counted_when_it_is_recalled_too(api: Api) -> None:
    for _ in range(5):
        assert api.said() == "Hello!"
    assert [rule["used"] for rule in api.get("rules")["rules"]] == [5]


def test_a_bad_rule_is_refused_with_its_place_and_a_suggestion(api: Api) -> None:
    refused = api("POST", "rules", {"match": {"promt": "x"}, "reply": {"content": "y"}})
    (problem,) = refused.json()["problems"]
    assert (refused.status_code, problem["path"], problem["line"], problem["column"]) == (422, "body", 1, 11)
    assert "Did you mean 'prompt'?" in problem["message"]
    assert [row["name"] for row in api.get("rules")["rules"]] == ["hello"]


def test_a_scenario_is_replaced_as_json_or_as_text_and_a_bad_one_changes_nothing(api: Api) -> None:
    text = "version: 1\nname: mine\nrules:\n  - match: {prompt: Hi}\n    reply: {content: From YAML}\n"
    assert api("PUT", "scenario", {"text": text, "format": "yaml"}).json() == {"name": "mine", "rules": 1}
    assert api.said() == "From YAML"
    bad = api("PUT", "scenario", {"text": "version: 1\nrules:\n  - replyy: x\n", "format": "yaml"})
    assert bad.status_code == 422
    assert {(each["path"], each["line"], each["column"]) for each in bad.json()["problems"]} == {("scenario", 3, 5)}
    assert api.said() == "From YAML"
    same = api.get("scenario")
    assert api("PUT", "scenario", same).status_code == 200
    assert api.said() == "From YAML"


def test_a_fault_strikes_as_often_as_it_was_asked_to_and_then_vanishes(api: Api) -> None:
    made = api("POST", "faults", {"fault": "error:status=500", "times": 2})
    assert (made.status_code, made.json()) == (201, {"id": "live-1"})
    assert api.chat().status_code == 500
    (row,) = api.get("faults")["faults"]
    assert row == {
        "id": "live-1",
        "kind": "error",
        "fault": {"kind": "error", "status": 500, "times": 2},
        "source": "live",
        "times": 2,
        "seen": 1,
        "applied": 1,
    }
    assert api.chat().status_code == 500
    assert api.get("faults") == {"faults": []}
    assert api.chat().status_code == 200
    id = api("POST", "faults", {"fault": {"kind": "error", "name": "timeout"}}).json()["id"]
    assert api("DELETE", f"faults/{id}").json() == {"removed": 1}
    assert api("DELETE", f"faults/{id}").status_code == 404
    wrong = api("POST", "faults", {"fault": "resett"})
    assert (wrong.status_code, wrong.json()["error"]) == (422, "There is no fault 'resett'. Did you mean 'reset'?")


def test_skipped_faults_are_distinguished_from_those_that_acted(api: Api) -> None:
    api("POST", "faults", {"fault": "no_done", "times": 1})
    api("POST", "faults", {"fault": "unknown_fields", "times": 1})
    api.chat()
    row = api.get("journal/1")
    assert sorted(row["faults"]) == ["no_done (live)", "unknown_fields (live)"]
    assert (row["applied"], [each["fault"] for each in row["skipped"]]) == (
        ["unknown_fields (live)"],
        ["no_done (live)"],
    )


def test_a_balance_is_given_spent_and_added_to(api: Api) -> None:
    assert api("PUT", "accounts/serevix/k", {"balance": "1.50"}).json()["balance"] == "1.50"
    api.chat()
    (row,) = api.get("accounts")["accounts"]
    assert (row["provider"], row["key"]) == ("serevix", "k")
    assert 0 < float(row["balance"]) < 1.5
    assert api("PUT", "accounts/serevix/k", {"balance": "0"}).status_code == 200
    assert api.chat().status_code == 403
    assert api("POST", "accounts/serevix/k/top-up", {"amount": "2"}).json()["balance"] == "2"
    assert api.chat().status_code == 200
    assert api("PUT", "accounts/serevix/k", {"balance": None}).json()["balance"] is None
    assert api("POST", "accounts/serevix/k/top-up", {"amount": "2"}).status_code == 409
    assert api("POST", "accounts/serevix/unknown/top-up", {"amount": "2"}).status_code == 404
    assert api("PUT", "accounts/nobody/k", {"balance": "1"}).status_code == 404
    assert api("POST", "reset", {}).json() == {"status": "ok"}
    assert api.get("accounts") == {"accounts": []}


def test_the_clock_is_chosen_and_moved(api: Api) -> None:
    assert api.get("clock")["mode"] == "real"
    assert api("POST", "clock/advance", {"seconds": 1}).status_code == 409
    before = api("PUT", "clock", {"mode": "manual"}).json()
    after = api("POST", "clock/advance", {"seconds": 60}).json()
    assert (after["mode"], after["now"] - before["now"]) == ("manual", 60.0)
    assert api("PUT", "clock", {"mode": "manuel"}).status_code == 422


def test_namespaces_are_apart_and_named_by_query_or_prefix(api: Api) -> None:
    scenario = {"rules": [{"reply": {"content": "Bonjour"}}]}
    assert api("PUT", "namespaces/one", {"scenario": scenario}).json()["name"] == "one"
    api("PUT", "namespaces/two", {})
    assert (api.said(prefix="/@one"), api.said(prefix="/@two")) == ("Bonjour", "Hello!")
    by_prefix = api.http.get(f"{api.emulator.origin}/@one/__emulator/journal").json()
    assert [row["namespace"] for row in by_prefix["exchanges"]] == ["one"]
    assert api.get("journal?namespace=one") == by_prefix
    assert api.get("journal") == {"exchanges": []}
    assert [row["name"] for row in api.get("namespaces")["namespaces"]] == ["default", "one", "two"]
    assert api("DELETE", "namespaces/one").json() == {"removed": 1}
    assert api("DELETE", "namespaces/one").status_code == 404
    assert api("DELETE", "namespaces/default").status_code == 409
    assert api("PUT", "namespaces/one", {"scenario": {"rulez": []}}).status_code == 422


def test_a_namespace_begins_with_a_scenario_as_text(api: Api) -> None:
    text = "version: 1\nrules: [{reply: {content: Bonjour}}]"
    assert api("PUT", "namespaces/one", {"scenario": {"text": text, "format": "yaml"}}).status_code == 200
    assert api.said(prefix="/@one") == "Bonjour"
    wrong = api("PUT", "namespaces/two", {"scenario": {"text": "version: 1\nrules: 5", "format": "yaml"}})
    assert (wrong.status_code, wrong.json()["problems"][0]["message"]) == (422, "rules is 5; expected a list")


def test_a_client_that_leaves_amid_its_question_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    with Emulator(HELLO) as emulator:
        with socket.create_connection(("127.0.0.1", emulator.port)) as connection:
            head = "POST /__emulator/reset HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            connection.sendall(f"{head}content-length: 9\r\n\r\n{{".encode())
        assert single.get(f"{emulator.origin}/__emulator/health").status_code == 200
    assert caplog.messages == []


def test_a_failure_of_the_api_itself_is_logged_and_said(caplog: pytest.LogCaptureFixture) -> None:
    async def failing() -> None:
        raise RuntimeError("no more")

    answer = asyncio.run(calls._performed(ROUTES[0], failing()))
    message = "The emulator failed. Its log says why; please report this."
    assert json.loads(answer) == {"refused": {"status": 500, "message": message, "problems": []}}
    assert caplog.messages == [f"The control API failed on {ROUTES[0].method} {ROUTES[0].path}: please report this"]


def test_a_program_that_was_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(control, "version", version)
    assert control._version.__wrapped__() == "unknown"


def test_the_client_says_how_an_exchange_ended_for_it(api: Api) -> None:
    id = api.chat().json()["id"]
    said = api("POST", "acknowledge", {"id": id, "outcome": "completed", "text": "Hello!"})
    assert said.json() == {"number": 1}
    assert api.get("journal/1")["acknowledged"] == {"outcome": "completed", "text": "Hello!"}
    assert api("POST", "acknowledge", {"number": 9, "outcome": "failed"}).status_code == 404
    assert api("POST", "acknowledge", {"outcome": "failed"}).status_code == 422


def test_the_journal_is_exported_as_lines_archive_and_script(api: Api) -> None:
    api.chat()
    api.chat("Two")
    lines = api("GET", "journal/export?format=jsonl").text.splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2]
    entries = api("GET", "journal/export?format=har").json()["log"]["entries"]
    assert [entry["response"]["status"] for entry in entries] == [200, 200]
    assert json.loads(entries[0]["request"]["postData"]["text"])["messages"] == CHAT["messages"]
    script = api("GET", "journal/export?format=curl&limit=1").text
    assert script.startswith("#!/bin/sh\n# 2: POST /v1/chat/completions -> 200\ncurl ")
    assert "-H 'authorization: Bearer sk-any'" in script
    api.http.get(f"{api.emulator.origin}/serevix/v1/models", headers={"authorization": "Bearer k"})
    (_, _, listed) = api("GET", "journal/export?format=har").json()["log"]["entries"]
    assert (listed["request"]["bodySize"], "postData" in listed["request"]) == (0, False)
    script = api("GET", "journal/export?format=curl&limit=1").text
    assert (script.splitlines()[1], "--data-binary" in script) == ("# 3: GET /v1/models -> 200", False)


def test_events_tell_what_begins_moves_and_ends(api: Api) -> None:
    slow = {"rules": [{"reply": {"content": "one two three four"}, "pace": {"ttft": 5, "tokens_per_second": 1}}]}
    api("PUT", "scenario", {**slow, "clock": "manual"})
    seen: list[tuple[str, int]] = []
    with api.http.stream("GET", f"{api.emulator.origin}/__emulator/events", timeout=30) as events:

        def stream() -> None:
            with httpx.Client(trust_env=False, timeout=30, verify=False) as http:
                Api(api.emulator, http).chat(stream=True)

        talk = threading.Thread(target=stream)
        talk.start()
        name = ""
        for line in events.iter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                seen.append((name, json.loads(line[6:])["frames_sent"]))
                if name == "end":
                    break
                api("POST", "clock/advance", {"seconds": 6 if name == "begin" else 60})
    talk.join(30)
    assert [name for name, _ in seen][:2] == ["begin", "move"]
    assert seen[-1][0] == "end"
    assert sorted(frames for _, frames in seen) == [frames for _, frames in seen]


def test_changes_disturb_no_stream_that_runs(api: Api) -> None:
    words = "word " * 20
    api("PUT", "scenario", {"rules": [{"reply": {"content": words}, "pace": {"ttft": 0.5, "tokens_per_second": 20}}]})
    port = api.emulator.port
    with ThreadPoolExecutor() as pool:
        running = pool.submit(lambda: asyncio.run(streams(port, 60)))
        while len(api.get("journal")["exchanges"]) < 60:
            assert not running.done()
        for _ in range(10):
            api("POST", "rules", {"reply": {"content": "x"}})
            api("POST", "faults", {"fault": "reset"})
            with pytest.raises(httpx.TransportError):
                api.chat()
            api("DELETE", "faults")
            assert api.said() == "x"
            api("DELETE", "rules")
            api("PUT", "accounts/serevix/k", {"balance": "0"})
            assert api.chat().status_code == 403
            api("PUT", "accounts/serevix/k", {"balance": None})
        answers = running.result(60)
    assert {(answer.text, answer.is_whole) for answer in answers} == {(words, True)}
    rows = [row for row in api.get("journal")["exchanges"] if row["stream"]]
    assert {(row["ended"], tuple(row["faults"]), row["status"]) for row in rows} == {("complete", (), 200)}
    assert len(rows) == 60


def test_metrics_count_requests_tokens_and_faults(api: Api) -> None:
    api.chat()
    api("POST", "faults", {"fault": "error:status=500", "times": 1})
    api.chat()
    text = api("GET", "metrics").text
    assert (
        'llm_emulator_requests_total{ended="complete",operation="chat",outcome="reply",provider="serevix",'
        'status="200"} 1.0' in text
    )
    assert 'llm_emulator_faults_total{kind="error",result="applied",source="live"} 1.0' in text
    assert 'llm_emulator_tokens_total{kind="completion",model="deepseek-v3",provider="serevix"}' in text
    assert 'llm_emulator_time_to_first_byte_seconds_count{provider="serevix",stream="false"} 2.0' in text
    assert "llm_emulator_loop_lag_seconds_bucket" in text


# Who may use it


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"host": "localhost:1"}, 200),
        ({"host": "serevix.localhost"}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
def test_pages_of_other_sites_are_refused(api: Api, headers: dict[str, str], status: int) -> None:
    answer = api("GET", "journal", headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


def test_the_servers_own_pages_may_use_it(api: Api) -> None:
    assert api("GET", "journal", headers={"origin": api.emulator.origin}).status_code == 200


def test_a_server_that_others_can_reach_asks_for_its_token() -> None:
    with Emulator(HELLO, host="0.0.0.0") as emulator, httpx.Client(trust_env=False, verify=False) as http:
        token = emulator.control_token
        assert token is not None
        url = f"http://127.0.0.1:{emulator.port}/__emulator"
        assert http.get(f"{url}/journal").status_code == 401
        assert http.get(f"{url}/journal?token=wrong").status_code == 401
        assert http.get(f"{url}/health").status_code == 200
        for options in (
            {"params": {"token": token}},
            {"headers": {"authorization": f"Bearer {token}"}},
            {"headers": {"x-emulator-token": token, "host": "emulator.example"}},
        ):
            assert http.get(f"{url}/journal", **options).status_code == 200  # type: ignore[arg-type]


def test_a_page_of_an_origin_that_was_named_may_use_it() -> None:
    page = "http://localhost:3000"
    asks = {"origin": page, "access-control-request-method": "POST", "sec-fetch-site": "cross-site"}
    with Emulator(HELLO) as emulator, httpx.Client(trust_env=False, verify=False) as http:
        app = emulator._server.app
        assert app is not None
        app.access = access_for("127.0.0.1", None, (page,))
        url = f"{emulator.origin}/__emulator/journal"
        for answer in (http.options(url, headers=asks), http.get(url, headers=asks)):
            assert answer.status_code in (200, 204)
            assert answer.headers["access-control-allow-origin"] == page
        assert http.get(url, headers={"origin": "http://localhost:3001"}).status_code == 403
    with pytest.raises(UsageError, match="is not an origin"):
        access_for("127.0.0.1", None, ("localhost:3000/path",))


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
def test_a_write_that_is_not_json_is_refused(api: Api, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    for method, path in (("POST", "reset"), ("POST", "faults"), ("PUT", "clock"), ("PUT", "scenario")):
        assert api(method, path, content=b"{}", headers=headers).status_code == 415


def test_the_icon_is_served_and_makes_no_exchange(api: Api) -> None:
    icon = api.http.get(f"{api.emulator.origin}/favicon.ico")
    assert (icon.status_code, icon.headers["content-type"]) == (200, "image/svg+xml")
    assert api.get("journal") == {"exchanges": []}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nothing", 404),
        ("POST", "journal", 405),
        ("GET", "journal?limit=0", 422),
        ("GET", "journal?limit=x", 422),
        ("GET", "journal?colour=red", 422),
        ("GET", "journal/x", 404),
        ("POST", "clock/advance", 422),  # without its seconds
        ("POST", "faults", 422),
    ],
)
def test_what_cannot_be_done_is_said(api: Api, method: str, path: str, status: int) -> None:
    answer = api(method, path, {} if method == "POST" else None)
    assert answer.status_code == status
    assert isinstance(answer.json()["error"], str)


# Secrets

CANARIES = [f"sk-canary-{number}-abcdef" for number in range(6)]


def test_no_secret_is_in_anything_that_is_shown(api: Api) -> None:
    header, query, prompt, field, reply, split = CANARIES
    letters = " ".join(["The key is", split])
    api("PUT", "scenario", {"rules": [
        {"match": {"prompt": {"contains": "echo"}}, "reply": {"content": letters}},
        {"reply": {"content": f"It is {reply}."}},
    ]})  # fmt: skip
    url = f"{api.emulator.origin}/serevix/v1/chat/completions?api_key={query}"
    sent = ""
    for text in (f"Remember {prompt}", "echo"):
        messages = [{"role": "user", "content": text}]
        body = {"model": f"deepseek-v3-{field}", "api_key": field, "messages": messages, "stream": True}
        sent += api.http.post(
            url, json={**body, "model": "deepseek-v3"}, headers={"authorization": f"Bearer {header}"}
        ).text
        api.http.post(url, json=body, headers={"authorization": f"Bearer {header}"})
    assert split not in sent  # its letters come in several events
    routes = ["journal", "metrics", "namespaces", "faults", "accounts"]
    routes += [f"journal/{number}" for number in range(1, 5)]
    routes += [f"journal/export?format={form}" for form in ("jsonl", "har", "curl")]
    shown = "".join(api("GET", route).text for route in routes)
    shown += "".join(json.dumps(made.details()) + json.dumps(made.record()) for made in api.emulator.journal)
    shown += "".join(made.response.content for made in api.emulator.journal)
    assert [canary for canary in CANARIES if canary in shown] == []
    pieces = "".join(
        json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
        for line in api.get("journal/3")["response"]["text"].splitlines()
        if line.startswith("data: {")
    )
    assert "The key is" in pieces
    assert split not in pieces


@pytest.mark.parametrize("style", ["pretty", "json"])
def test_no_secret_is_in_the_log(style: str, tmp_path: Path) -> None:
    header, query, prompt, field, reply, path = CANARIES
    scenario = tmp_path / "secrets.json"
    scenario.write_text(
        json.dumps({"version": 1, "rules": [{"match": {"prompt": "say it"}, "reply": {"content": f"It is {reply}."}}]})
    )
    with served("--speed", "max", "--log", style, "--scenario", str(scenario), "--strict") as server:
        origin = f"http://127.0.0.1:{server.port}"
        for text, where in (("say it", "serevix"), (f"Remember {prompt}", "serevix"), ("say it", f"nowhere-{path}")):
            body = {"model": f"deepseek-{field}", "api_key": field, "stream": True}
            single.post(
                f"{origin}/{where}/v1/chat/completions?api_key={query}",
                json={**body, "messages": [{"role": "user", "content": text}]},
                headers={"authorization": f"Bearer {header}"},
            )
        single.get(f"{origin}/__emulator/journal/wait?count=3&timeout=20").raise_for_status()
        server.signal(signal.SIGTERM)
        _, out, err = server.finish()
    assert (out + err).count("404") >= 1  # all three are in the log
    assert [canary for canary in CANARIES if canary in out + err] == []


# The description


def test_the_description_has_every_route_and_fits_what_is_given(api: Api) -> None:
    document = api.get("openapi.json")
    assert document["openapi"] == "3.1.0"
    api.chat()
    paths = document["paths"]
    assert "/__emulator/journal/{number}" in paths
    from jsonschema import Draft202012Validator

    def fits(path: str, route: str) -> None:
        schema = paths[f"/__emulator/{route}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        whole = {**schema, "components": document["components"]}
        Draft202012Validator(whole).validate(api.get(path))

    for route in ("health", "version", "timing", "journal", "rules", "faults", "accounts", "clock", "namespaces"):
        fits(route, route)
    fits("journal/1", "journal/{number}")


@pytest.mark.parametrize("path", ["openapi.json", "schema.json"])
def test_what_never_changes_is_written_once(api: Api, path: str) -> None:
    def cost(get: Callable[[], Any]) -> float:
        start = time.process_time()
        get()
        return time.process_time() - start

    first = api("GET", path)
    written = json_schema() if path == "schema.json" else document(ROUTES, api.get("version")["version"])
    assert first.json() == written
    again = min(cost(lambda: api("GET", path)) for _ in range(5))
    assert again < min(cost(json_schema) for _ in range(3)) / 3
    assert api("GET", path).content == first.content


def test_the_dashboard_asks_for_metrics_that_there_are(api: Api) -> None:
    api.chat()
    dashboard = json.loads((Path(__file__).parents[1] / "docs" / "grafana.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"llm_emulator_\w+", target["expr"])
    }
    given = set(re.findall(r"^# TYPE (llm_emulator_\w+)", api("GET", "metrics").text, re.MULTILINE))
    assert {name.removesuffix("_bucket") for name in asked} <= given
    assert len(asked) == 8


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "journal?limit=1&limit=2", None, 422, "limit is given twice"),
        ("POST", "rules", "", 422, "the body is empty; expected JSON"),
        ("PUT", "namespaces/a%20b", "{}", 422, "is not the name of a namespace"),
        ("PUT", "namespaces/default", "{}", 409, "The namespace 'default' can't be replaced"),
        ("DELETE", "rules", "x", 415, "A body must be JSON"),
        ("PUT", "scenario", " " * (MAX_BYTES + 1), 413, f"The body is larger than {MAX_BYTES >> 20} MiB."),
    ],
    ids=["twice", "empty", "bad name", "default", "no JSON", "too large"],
)
def test_what_is_asked_wrongly_is_refused(
    method: str, path: str, body: str | None, status: int, said: str, api: Api
) -> None:
    headers = {} if body in (None, "x") else {"content-type": "application/json"}
    response = api(method, path, content=body, headers=headers)
    assert (response.status_code, said in response.text) == (status, True), response.text


def test_the_head_of_the_events_does_not_wait_for_them(api: Api) -> None:
    response = api("HEAD", "events")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/event-stream")


def test_nothing_is_at_other_addresses_under_the_prefix_of_a_namespace(api: Api) -> None:
    assert api.http.get(f"{api.emulator.origin}/__emulator2").status_code == 404
    assert api("GET", "nothing").status_code == 404


def test_a_client_acknowledges_by_the_key_that_it_sent(api: Api) -> None:
    url = f"{api.emulator.origin}/serevix/v1/chat/completions"
    api.http.post(url, json=CHAT, headers={"authorization": "Bearer k", "idempotency-key": "mine"})
    assert api("POST", "acknowledge", {"id": "mine", "outcome": "failed"}).json() == {"number": 1}
    assert api.get("journal/1")["acknowledged"]["outcome"] == "failed"


def test_a_server_of_one_provider_has_its_address_alone(http: httpx.Client) -> None:
    with Emulator(HELLO, provider="serevix") as emulator:
        found = http.get(f"{emulator.origin}/__emulator/providers").json()
        assert found == {"providers": {"serevix": emulator.origin}}
