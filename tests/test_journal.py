"""What the journal keeps: the last exchanges, without credentials, and never without bound."""

import contextlib
import gc
import json
from dataclasses import replace
from types import FunctionType, ModuleType
from typing import Any

import httpx
import pytest
from talk import EVERY_PROVIDER, KEYS, Ask, Serving, question, single

from emulator import Emulator, journal_text
from emulator.logs import line
from emulator.matching.rules import misses
from emulator.request import HttpRequest
from emulator.state.evidence import evidence_of
from emulator.state.exchanges import Exchange
from emulator.state.journal import MAX_UNCUT, Journal, Shelf
from emulator.state.recorded import MAX_REQUEST_BYTES
from emulator.wire import Playback

CANARY = "sk-canary-0123456789"


def exchange(number: int = 1, body: bytes = b"{}", **changes: Any) -> Exchange:
    http_request = HttpRequest(
        "serevix", "POST", "/v1/chat/completions", {"host": "localhost"}, "", body, operation="chat"
    )
    return Exchange(number, 1000.0, http_request, **changes)


def test_only_the_last_exchanges_are_kept_and_all_are_counted() -> None:
    journal = Journal(capacity=3)
    for _ in range(10):
        journal.add(exchange(journal.next_number()))
    assert ([kept.number for kept in journal], len(journal), journal.count) == ([8, 9, 10], 3, 10)
    journal.clear()
    assert (list(journal), len(journal), journal.next_number()) == ([], 0, 11)


def test_a_journal_is_bounded_by_default() -> None:
    journal = Journal()
    for _ in range(2500):
        journal.add(exchange(journal.next_number()))
    assert (len(journal), next(iter(journal)).number) == (1000, 1501)


def test_it_may_be_read_while_it_is_written() -> None:
    journal = Journal(capacity=3)
    for number in (1, 2, 3):
        journal.add(exchange(number))
    seen = []
    for kept in journal:
        seen.append(kept.number)
        journal.add(exchange(99))
    assert seen == [1, 2, 3]


def test_why_a_rule_did_not_match_is_unknown_once_the_response_is_deleted_that_the_request_continues() -> None:
    never = {"name": "never", "match": {"prompt": "never"}, "reply": {"content": "No."}}
    with Emulator({"rules": [never, {"name": "hello", "reply": {"content": "Hello."}}]}) as emulator:
        url = emulator.url("openai") + "/v1/responses"
        first = single.post(url, json={"model": "gpt-4o", "input": "Hi"}, headers=KEYS["openai"]).json()["id"]
        again = {"model": "gpt-4o", "input": "Hi again", "previous_response_id": first}
        assert single.post(url, json=again, headers=KEYS["openai"]).status_code == 200

        def shown() -> tuple[int, list[str]]:
            row = single.get(f"{emulator.origin}/__emulator/journal/2").json()
            return len(row["misses"]), [each["rule"] for each in row["because"]]

        assert shown() == (1, ["never", "hello"])
        assert single.delete(f"{url}/{first}", headers=KEYS["openai"]).json()["deleted"]
        assert shown() == (0, [])


def test_a_record_is_plain_data() -> None:
    playback = Playback("client_closed", bytes_sent=30, frames_sent=3, first_sent=5.5, last_sent=6.0, late=0.001)
    made = exchange(7, model="deepseek-v3", stream=True, rule="hello", outcome="reply", status=200, playback=playback)
    made.started = 5.0
    record = made.record()
    assert json.loads(json.dumps(record)) == record
    assert record == {
        **record,
        "number": 7,
        "received": 1000.0,
        "provider": "serevix",
        "operation": "chat",
        "method": "POST",
        "path": "/v1/chat/completions",
        "headers": {"host": "localhost"},
        "body": "{}",
        "model": "deepseek-v3",
        "stream": True,
        "rule": "hello",
        "outcome": "reply",
        "error": None,
        "status": 200,
        "notes": [],
        "ended": "client_closed",
        "bytes_sent": 30,
        "frames_sent": 3,
        "first_sent": 0.5,
        "last_sent": 1.0,
        "late": 0.001,
    }


@pytest.mark.parametrize(
    ("body", "prompt"),
    [
        (
            {"messages": [{"role": "user", "content": "Hi\n there"}, {"role": "assistant", "content": "Yes?"}]},
            "Hi there",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "image_url"}]}]}, "One"),
        ({"input": "A question"}, "A question"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "An item"}]}]}, "An item"),
        ({"contents": [{"parts": [{"text": "From Google"}]}]}, "From Google"),
        ({"messages": [{"role": "user", "content": f"My key is {CANARY}. {'more ' * 100}"}]}, None),
        ({"messages": [{"role": "system", "content": "Be brief."}]}, ""),
        ({"messages": 3}, ""),
        ([], ""),
    ],
)
def test_a_list_shows_what_the_user_said_last(body: Any, prompt: str | None) -> None:
    row = exchange(body=json.dumps(body).encode()).row()
    if prompt is None:
        assert row["prompt"].startswith("My key is ")
        assert "canary" not in row["prompt"]
        assert len(row["prompt"]) == 160
    else:
        assert row["prompt"] == prompt


def test_an_exchange_that_is_still_open_has_no_end_yet() -> None:
    record = exchange().record()
    assert {key: record[key] for key in ("ended", "bytes_sent", "frames_sent", "first_sent", "last_sent", "late")} == {
        "ended": None,
        "bytes_sent": 0,
        "frames_sent": 0,
        "first_sent": None,
        "last_sent": None,
        "late": 0.0,
    }


def test_the_evidence_of_an_exchange_that_is_still_open_knows_no_end() -> None:
    evidence = evidence_of(exchange())
    assert (evidence["ended_at"], evidence["is_over"]) == (None, False)


def test_a_long_body_is_cut_and_bytes_that_are_no_text_are_shown_as_such() -> None:
    made = exchange()
    made._http_request = replace(made._http_request, body=b"\xff" + b"x" * 100_000)
    made.shorten()
    body = made.record()["body"]
    assert (len(made.request.body), made.request.size, made.request.truncated) == (MAX_REQUEST_BYTES, 100_001, True)
    assert (len(body), body[:2]) == (MAX_REQUEST_BYTES, "\ufffdx")


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_no_key_is_ever_in_a_record_or_a_line(serving: Serving, ask: Ask, provider: str) -> None:
    emulator: Emulator = serving({"rules": [{"reply": {"content": "Hello!"}}], "seed": 77})
    names = [
        *map(str.lower, KEYS[provider]),
        "authorization",
        "x-api-key",
        "x-billing-token",
        "cookie",
        "proxy-authorization",
    ]
    headers = {**dict.fromkeys(names, f"Bearer {CANARY}"), "x-other": "kept"}
    response = ask(emulator, provider, question(provider), headers=headers)
    emulator.wait_until_idle()
    made = emulator.journal[-1]
    record = made.record()
    assert record["status"] == response.status_code
    assert CANARY not in json.dumps(record)
    assert CANARY not in line(made)
    assert record["headers"]["x-other"] == "kept"
    assert {record["headers"][name] for name in names} == {"[redacted]"}


def test_refusals_are_in_the_journal_too(serving: Serving, ask: Ask) -> None:
    emulator: Emulator = serving({"rules": [{"reply": {"content": "Hello!"}}], "seed": 78})
    ask(emulator, "serevix", question("serevix"), headers={})
    ask(emulator, "serevix", b"{", path="/v1/nothing")
    emulator.wait_until_idle()
    reported = [(r["status"], r["outcome"], r["error"]) for r in (e.record() for e in emulator.journal)]
    assert reported == [(401, "error", "unauthorized"), (404, "error", "not_found")]


# What is kept of a request and of its answer


def exchange_of(emulator: Emulator, content: bytes, status: int = 200, **headers: str) -> Exchange:
    given = {"authorization": "Bearer " + CANARY, "content-type": "application/json", **headers}
    url = emulator.namespace("kept").url("serevix") + "/v1/chat/completions?key=secret&a=b"
    assert single.post(url, content=content, headers=given).status_code == status
    emulator.wait_until_idle()
    return emulator.namespace("kept").journal[-1]


def test_an_exchange_shows_what_was_asked_and_answered() -> None:
    body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "Grüß Gott"}]}
    with Emulator({"rules": [{"name": "hi", "reply": {"content": "Hello, ä!"}}]}) as emulator:
        made = exchange_of(emulator, json.dumps(body).encode(), accept="a/b")
        request, response = made.request, made.response
        url = f"{emulator.origin}/@kept/serevix/v1/chat/completions?key=[redacted]&a=b"
    assert (request.method, request.url, request.path) == ("POST", url, "/v1/chat/completions")
    assert (request.provider, request.operation, request.query) == ("serevix", "chat", "key=[redacted]&a=b")
    assert (request.headers["accept"], request.headers["authorization"]) == ("a/b", "[redacted]")
    assert (request.json, json.loads(request.text), json.loads(request.body)) == (body, body, body)
    assert (request.size, request.truncated) == (len(request.body), False)
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert response.json["choices"][0]["message"]["content"] == "Hello, ä!"
    assert (response.text, response.size) == (response.body.decode(), len(response.body))
    assert (made.ended, made.misses, made.call) == ("complete", [], request)
    assert CANARY not in repr(made)


def test_an_answer_is_kept_as_far_as_it_was_sent() -> None:
    words = " ".join(["word"] * 50)
    with Emulator({"rules": [{"reply": {"content": words}, "faults": ["close:after_tokens=3"]}]}) as emulator:
        parts: list[bytes] = []
        with (
            single.stream(
                "POST",
                emulator.url("serevix") + "/v1/chat/completions",
                json=question("serevix", stream=True),
                headers=KEYS["serevix"],
            ) as response,
            contextlib.suppress(httpx.RemoteProtocolError),
        ):
            parts.extend(response.iter_raw())
        emulator.wait_until_idle()
        (made,) = emulator.journal
    assert made.response.body == b"".join(parts)
    assert (made.ended, made.response.truncated, b"word" in made.response.body) == ("closed", False, True)


@pytest.mark.parametrize("unmatched", ["generate", "error"])
def test_large_requests_do_not_fill_the_memory(unmatched: Any) -> None:
    rules = [{"name": "other", "match": {"prompt": {"contains": "needle"}}, "reply": {"content": "Hi"}}]
    status = 200 if unmatched == "generate" else 404
    with Emulator({"rules": rules}, unmatched=unmatched) as emulator:
        for number in range(30):
            prompt = f"{number} " + "many words " * 90_000
            exchange_of(emulator, json.dumps({**question("serevix", prompt), "max_tokens": 1}).encode(), status)
        kept = emulator.namespace("kept").journal
        journal = emulator._server.call(lambda: emulator.namespace("kept")._namespace().journal)
    assert [len(each.request.body) for each in kept] == [MAX_REQUEST_BYTES] * 30
    assert kept[-1].request.size > 900_000
    assert reachable(kept) < MAX_UNCUT + 30 * (MAX_REQUEST_BYTES + 20_000)
    assert MAX_REQUEST_BYTES * 30 < journal.bytes < (MAX_REQUEST_BYTES + 10_000) * 30
    if unmatched == "generate":
        (reason,) = kept[-1].misses
        assert reason.startswith("other: prompt '29 many words ")
        assert reason.endswith("…' does not contain 'needle'")
        assert kept[0].misses == ["unknown: the request's body was too large to keep"]


def reachable(exchanges: Any) -> int:
    """The size of all texts and bytes in these objects."""
    seen: dict[int, Any] = {}
    left = list(exchanges)
    while left:
        each = left.pop()
        if id(each) not in seen and not isinstance(each, type | ModuleType | FunctionType):
            seen[id(each)] = each
            left += gc.get_referents(each)
    return sum(len(each) for each in seen.values() if isinstance(each, str | bytes) and len(each) > 1000)


def test_all_journals_of_a_server_share_their_bytes_and_the_fullest_gives_way() -> None:
    shelf = Shelf(most_bytes=1_000_000, most_uncut=0)
    quiet, noisy = Journal(shelf=shelf), Journal(shelf=shelf)
    for journal, count in ((quiet, 3), (noisy, 100), (quiet, 1)):
        for _ in range(count):
            made = exchange(journal.next_number())
            made._http_request = replace(made._http_request, body=b"x" * 50_000)
            journal.add(made)
            made.end()
            journal.settle(made)
    assert len(quiet) == 4
    assert 10 <= len(noisy) <= 16
    assert noisy.count == 100
    assert shelf.bytes == quiet.bytes + noisy.bytes <= 1_000_000
    noisy.clear()
    quiet.close()
    assert (shelf.bytes, quiet.bytes, noisy.bytes, len(quiet)) == (0, 0, 0, 0)


def test_a_journal_that_takes_over_exchanges_keeps_the_newest() -> None:
    journal, taken = Journal(capacity=2), []
    for number in range(1, 5):
        taken.append(made := exchange(number))
        made.end()
    journal.adopt(taken)
    assert [each.number for each in journal] == [3, 4]
    assert journal.bytes == journal.shelf.bytes == sum(each.size for each in journal) > 0


def test_reasons_are_found_only_when_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(rules: Any, ask: Any, **how: Any) -> list[str]:
        asked.append(1)
        return misses(rules, ask, **how)

    monkeypatch.setattr("emulator.engine.explanations.misses", counted)
    monkeypatch.setattr("emulator.state.recorded.MAX_QUICK_RULES", 0)  # as if there were many
    reported: list[str] = []
    rules = [{"name": "n", "match": {"prompt": {"regex": "^x"}, "header": {"x-a": "1"}}, "reply": {"content": "Hi"}}]
    with Emulator({"rules": rules}, unmatched="generate") as emulator:
        app = emulator._server.app
        assert app is not None
        app.on_exchange = lambda made: reported.append(line(made) + json.dumps(made.summary()))
        made = exchange_of(emulator, json.dumps(question("serevix")).encode())
        assert (len(reported), asked) == (1, [])
        assert made.misses == ["n: prompt 'Hi' does not match the regex '^x'"]
        assert asked == [1]


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"outcome": "generated", "status": 200}, "200 generated, still open"),
        ({"outcome": "error", "status": 429, "error": "rate_limited"}, "429 rate_limited, still open"),
        ({"outcome": "error", "status": 0}, "- error, still open"),
        ({"outcome": "reply", "rule": "hello", "status": 200}, "200 rule hello, still open"),
    ],
)
def test_a_line_says_how_a_request_was_answered(facts: dict[str, Any], shown: str) -> None:
    made = exchange()
    for name, value in facts.items():
        setattr(made, name, value)
    assert journal_text.outcome(made) == shown
