"""How an attempt ended, how long a client waited, and the final report of a run."""

import json
from decimal import Decimal
from typing import Any, cast

import pytest
from talk import single

from emulator import Emulator
from emulator.cli.report import MAX_LISTED, Report
from emulator.interception.front import MAX_SEEN, Sightings
from emulator.state.exchanges import Exchange
from emulator.verdict.attempts import attempt_of, gap

RULES: dict[str, Any] = {
    "rules": [
        {"name": "hello", "match": {"prompt": "Hi"}, "reply": {"content": "one two three"}},
        {"name": "never", "match": {"prompt": "Never"}, "reply": {"content": "x"}},
    ]
}


def ask(emulator: Emulator, prompt: str = "Hi") -> None:
    body = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": prompt}]}
    url = emulator.url("openai") + "/v1/chat/completions"
    single.post(url, json=body, headers={"authorization": "Bearer sk-test-0001"})
    emulator.wait_until_idle()


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, Any]]:
    """An exchange for each kind of answer."""
    with Emulator(RULES, speed=float("inf")) as emulator:
        for fault in ("error:status=503", "error_event:after_tokens=1", "no_done", None):
            if fault is not None:
                emulator.faults.next(fault)
            ask(emulator)
        refused, error, unfinished, whole = (each.details() for each in emulator.journal)
    return {"refused": refused, "error": error, "unfinished": unfinished, "whole": whole}


@pytest.mark.parametrize(
    ("name", "changes", "says", "is_retryable"),
    [
        ("refused", {}, "status 503", True),
        ("error", {}, "an error in the stream", False),
        ("whole", {}, "a whole answer", False),
        ("whole", {"ended": "reset", "bytes_sent": 0}, "a connection that ended without an answer", True),
        ("whole", {"ended": None}, "an unfinished answer", False),
    ],
)
def test_how_an_attempt_ended(
    rows: dict[str, dict[str, Any]], name: str, changes: dict[str, Any], says: str, is_retryable: bool
) -> None:
    attempt = attempt_of({**rows[name], **changes})
    assert (attempt.says(), attempt.is_retryable) == (says, is_retryable)


def test_an_open_attempt_has_no_duration_yet(rows: dict[str, dict[str, Any]]) -> None:
    attempt = attempt_of({**rows["whole"], "ended": None})
    assert (attempt.duration, attempt.over) == (None, float("inf"))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:20:00 GMT"}, 200.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_time_to_wait_has_several_forms(
    rows: dict[str, dict[str, Any]], headers: dict[str, str], seconds: float | None
) -> None:
    row = rows["refused"]
    attempt = attempt_of({**row, "received": 1000.0, "response": {**row["response"], "headers": headers}})
    assert attempt.retry_after == seconds


@pytest.mark.parametrize(("arrived", "seconds"), [((1000.0, 1005.0), 4.0), ((10.0, 17.0), 7.0), ((10.0, 12.0), 4.0)])
def test_the_gap_between_attempts_counts_by_the_longer_clock(
    rows: dict[str, dict[str, Any]], arrived: tuple[float, float], seconds: float
) -> None:
    first, second = (
        attempt_of({**rows["whole"], "received": received, "arrived": at, "ended_at": 1.0})
        for received, at in zip((1000.0, 1005.0), arrived, strict=True)
    )
    assert gap(first, second) == seconds


# The final report


class Server:
    """A server that has stopped: nothing but the report's own counts is left."""

    app = None


def test_a_report_lists_what_the_proxy_saw_and_what_was_kept() -> None:
    seen = Sightings()
    for host in ("a.com", "a.com", *(f"h{number}.com" for number in range(MAX_SEEN + 5))):
        seen.refuse(host)
    for number in range(MAX_SEEN + 5):
        seen.distrust(f"d{number}.com", "unknown ca")
    assert (len(seen.refused), len(seen.distrusted)) == (MAX_SEEN, MAX_SEEN)
    seen.broken["expired"] = 2
    seen.distrusted = {"d0.com": "unknown ca"}
    report = Report(is_scripted=True, seen=seen)
    report.kept = ["OPENAI_BASE_URL"]
    lines = report.as_text(cast(Any, Server)).splitlines()
    assert lines[0] == "emulator: no requests"
    assert lines[1].startswith("  refused: a.com 2x, h0.com 1x, ")
    assert lines[1].endswith(f", and {MAX_SEEN - MAX_LISTED} more")
    assert lines[2:] == [
        "  broken handshakes: expired 2x",
        "  d0.com: a client aborted the handshake: unknown ca",
        "  unchanged, because you have set them: OPENAI_BASE_URL",
    ]
    assert json.loads(report.as_json(cast(Any, Server), 3))["broken_handshakes"] == {"expired": 2}


def test_a_report_counts_answers_and_names_unused_rules() -> None:
    report = Report(is_scripted=True)
    with Emulator(RULES, unmatched="error") as emulator:
        for prompt in ("Hi", "Hi", "Else"):
            ask(emulator, prompt)
        exchanges: list[Exchange] = list(emulator.journal)
        for each in exchanges:
            report.add(each)
        server = emulator._server
        text, has_findings = report.as_text(server), report.has_findings(server)
    cost = sum((each.cost for each in exchanges), Decimal(0))
    assert text.splitlines()[:3] == [
        f"emulator: 3 requests, 1 matched no rule, cost ${cost}",
        f"  openai  rule hello 2x, {exchanges[2].status} unmatched 1x",
        "  never used: rule never",
    ]
    assert has_findings
