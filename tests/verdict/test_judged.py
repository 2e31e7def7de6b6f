"""Acknowledgments in headers, errors in streams, and the forms of a verdict with many findings."""

import xml.etree.ElementTree as xml
from collections.abc import Iterator
from typing import Any

import pytest
from talk import single

from emulator import Emulator, UsageError
from emulator.client import NamespaceClient
from emulator.verdict import CHECKS
from emulator.verdict.base import Finding, Unknown, Verdict
from emulator.verdict.formats.junit import as_junit
from emulator.verdict.formats.text import as_text, chain

RULES: dict[str, Any] = {"rules": [{"reply": {"content": "one two three four five six"}}]}


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with Emulator(RULES, speed=float("inf")) as running:
        yield running


@pytest.fixture
def namespace(server: Emulator, request: pytest.FixtureRequest) -> NamespaceClient:
    return server.namespace(request.node.nodeid)


def ask(namespace: NamespaceClient, prompt: str = "Hi", **headers: str) -> None:
    body = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": prompt}]}
    single.post(
        namespace.url("openai") + "/v1/chat/completions",
        json=body,
        headers={"authorization": "Bearer sk-test-0001", **headers},
    )


def found(namespace: NamespaceClient) -> list[tuple[str, tuple[int, ...]]]:
    namespace.wait_until_idle()
    return [(finding.code, finding.exchanges) for finding in namespace.verdict().findings]


def test_a_client_that_calls_a_stream_with_an_error_complete_is_found(namespace: NamespaceClient) -> None:
    namespace.faults.next("error_event:after_tokens=2")
    ask(namespace)
    ask(namespace, "Another", **{"X-Emulator-Acknowledge": "nonsense, 9=complete, complete"})
    assert found(namespace) == [("error_event_ignored", (1,))]


def test_an_acknowledgment_by_number_that_it_has_failed_is_no_finding(namespace: NamespaceClient) -> None:
    namespace.faults.next("error_event:after_tokens=2")
    ask(namespace)
    ask(namespace, "Another", **{"X-Emulator-Acknowledge": "1=failed, 2=complete"})
    assert found(namespace) == []


def test_an_acknowledgment_that_is_not_one_is_refused(namespace: NamespaceClient) -> None:
    with pytest.raises(UsageError) as caught:
        namespace.acknowledge(1, "complete", usage="many")
    assert str(caught.value).startswith("This is not a valid acknowledgment: ")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"modle": "x"}, "wait_for() has no argument 'modle'. Did you mean 'model'? Arguments: count, timeout, "),
        ({"since": "yesterday"}, "since is 'yesterday': "),
    ],
)
def test_a_wrong_selection_is_refused(namespace: NamespaceClient, wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        namespace.wait_for(1, **wanted)
    assert str(caught.value).startswith(words)


def test_a_status_may_be_a_number(namespace: NamespaceClient) -> None:
    ask(namespace)
    (exchange,) = namespace.wait_for(1, status=200)
    assert exchange.status == 200


MUST = next(check for check in CHECKS.values() if check.severity == "MUST")
SHOULD = next(check for check in CHECKS.values() if check.severity == "SHOULD")
OTHER = next(check for check in CHECKS.values() if check not in (MUST, SHOULD))
VERDICT = Verdict(
    (
        *(Finding(MUST, (number,), f"mistake <{number}>\x01") for number in range(1, 6)),
        Finding(SHOULD, tuple(range(1, 10)), "a habit"),
    ),
    tuple(Unknown(OTHER, (number,), "an acknowledgment") for number in range(1, 9)),
    dict.fromkeys(range(1, 9), 200),
)


def test_a_long_chain_is_shortened() -> None:
    assert chain(range(1, 10), VERDICT) == ("#1 200 → #2 200 → #3 200 → #4 200 → #5 200 → … 3 more … → #9 no answer")


@pytest.mark.parametrize("is_colored", [False, True])
def test_many_findings_of_a_kind_are_counted(is_colored: bool) -> None:
    text = as_text(VERDICT, is_colored=is_colored, notes=["a note"])
    assert ("\x1b[1;31m" in text) is is_colored
    assert text.count("mistake <") == 3
    assert "… and 2 more" in text
    assert "#1, #2, #3, #4, #5, #6 and 2 more" in text
    if not is_colored:
        head = text.splitlines()[0]
        assert head.startswith(f"✗ MUST    {MUST.code} ×5  ")
        assert text.splitlines()[-1] == "5 MUST, 1 SHOULD, 8 unknown in 8 exchanges"
        assert "\n\na note\n\n" in text


def test_each_kind_of_finding_is_a_case_in_junit() -> None:
    root = xml.fromstring(as_junit(VERDICT, "run & file"))
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert list(cases) == list(CHECKS)
    failure, output = cases[MUST.code].find("failure"), cases[SHOULD.code].find("system-out")
    skipped = cases[OTHER.code].find("skipped")
    assert failure is not None
    assert output is not None
    assert skipped is not None
    assert failure.get("message") == "mistake <1>\ufffd"
    assert (output.text or "").startswith("SHOULD: exchanges 1, 2, 3, 4, 5, 6, 7, 8, 9: a habit\n")
    assert skipped.get("message") == "unknown: needs an acknowledgment"
    assert {name for name, value in root.items() if name == "failures" and value == "1"} == {"failures"}
