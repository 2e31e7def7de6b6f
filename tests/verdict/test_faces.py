"""The verdict over HTTP, in Python, and on the command line."""

import pytest
from little_client import Client
from tables import each_of

from emulator.errors import UsageError
from emulator.verdict import CHECKS, Check, Finding

pytest_plugins = ["judging"]


def ignore_retry_after(client: Client) -> None:
    client.namespace.faults.next("error:status=429,retry_after=30")
    client.post()
    client.post()


def test_over_http(client: Client) -> None:
    ignore_retry_after(client)
    answer = client.http.get(f"{client.namespace.origin}/__emulator/verdict").json()
    (finding,) = answer["findings"]
    assert list(answer) == ["findings", "unknown"]
    assert list(finding) == ["code", "severity", "exchanges", "explanation", "fix"]
    assert (finding["code"], finding["severity"], finding["exchanges"]) == ("retry_after_ignored", "MUST", [1, 2])
    assert "RFC 9110, section 10.2.3: “Servers send" in finding["explanation"]
    assert answer == client.verdict().to_dict()


@each_of("check", CHECKS.values())
def test_every_finding_quotes_the_sentence_that_it_rests_on(check: Check) -> None:
    finding = Finding(check, (1, 2), "This is what happened.").to_dict()
    assert finding["explanation"] == f"This is what happened. {check.source}: “{check.sentence}”"
    assert check.source.startswith(("RFC ", "WHATWG ", "OpenAI", "Anthropic", "DeepSeek", "AWS ", "Google SRE"))
    assert len(check.sentence.split()) >= 10


def test_what_is_unknown_says_what_it_needs(client: Client) -> None:
    client.namespace.faults.next("truncate:after_tokens=2")
    client.post()
    needs = "the next request of this conversation, or an acknowledgment"
    unknown = [{"code": "truncated_stream_accepted", "exchanges": [1], "needs": needs}]
    assert client.verdict().to_dict() == {"findings": [], "unknown": unknown}


def test_limits_over_http(client: Client) -> None:
    client.namespace.faults.next("hang:seconds=1.1")
    client.post()
    url = f"{client.namespace.origin}/__emulator/verdict"
    assert [each["code"] for each in client.http.get(url, params={"silence": 1}).json()["findings"]] == [
        "no_read_timeout"
    ]
    assert client.http.get(url).json()["findings"] == []
    assert client.http.get(url, params={"silence": "long"}).status_code == 422


def test_acknowledging_over_http(client: Client) -> None:
    client.namespace.faults.next("truncate:after_tokens=2")
    client.post()
    url = f"{client.namespace.origin}/__emulator/acknowledge"
    assert client.http.post(url, json={"exchange": 1, "outcome": "complete"}).json() == {"number": 1}
    assert client.found() == {"truncated_stream_accepted": [1]}
    assert client.http.post(url, json={"exchange": 1, "number": 1, "outcome": "complete"}).status_code == 422


def test_an_assertion_names_code_and_status(client: Client) -> None:
    client.namespace.assert_no_findings()
    ignore_retry_after(client)
    with pytest.raises(AssertionError) as failed:
        client.namespace.assert_no_findings()
    assert str(failed.value).startswith(
        "1 MUST in 2 exchanges\n  MUST retry_after_ignored (#1 429 → #2 200): Exchange 1 "
    )


def test_findings_can_be_allowed(client: Client) -> None:
    ignore_retry_after(client)
    client.namespace.assert_no_findings(allow=["retry_after_ignored"])
    with pytest.raises(UsageError, match="no finding 'retry_after'"):
        client.namespace.assert_no_findings(allow=["retry_after"])


def test_requests_that_the_emulator_refuses_are_not_judged(client: Client) -> None:
    for _ in range(12):
        client.http.post(f"{client.namespace.origin}/nobody/v1/chat/completions", json={})
        client.http.post(client.url("serevix"), json={}, headers={"x-emulator-fault": "no-such-fault"})
    assert client.verdict().to_dict() == {"findings": [], "unknown": []}
