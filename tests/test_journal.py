"""What the journal keeps: the last exchanges, without credentials, and never without bound."""

import json
from typing import Any

import pytest
from talk import EVERY_PROVIDER, KEYS, Ask, Serving, question

from emulator import Emulator
from emulator.journal import LONGEST_BODY, Exchange, Journal
from emulator.logs import line
from emulator.request import Call
from emulator.transport import Playback

CANARY = "sk-canary-0123456789"


def exchange(number: int = 1, **changes: Any) -> Exchange:
    call = Call("serevix", "POST", "/v1/chat/completions", {"host": "localhost"}, "", b"{}", operation="chat")
    return Exchange(number, 1000.0, call, **changes)


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


def test_a_long_body_is_cut_and_bytes_that_are_no_text_are_shown_as_such() -> None:
    made = exchange()
    made.call.body = b"\xff" + b"x" * 100_000
    body = made.record()["body"]
    assert (len(body), body[:2]) == (LONGEST_BODY, "\ufffdx")


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
    told = [(r["status"], r["outcome"], r["error"]) for r in (e.record() for e in emulator.journal)]
    assert told == [(401, "error", "unauthorized"), (404, "error", "not_found")]
