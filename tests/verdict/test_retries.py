"""Findings about attempts: each with a guilty and an innocent client that differ in one line."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from little_client import Client, assistant, user

from emulator.verdict import judge

pytest_plugins = ["judging"]
both = pytest.mark.parametrize("is_guilty", [True, False], ids=["guilty", "innocent"])
BUSY = "error:status=429"


@both
def test_retry_after(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("error:status=429,retry_after=1")
    client.post()
    time.sleep(0.05 if is_guilty else 1.05)
    client.post()
    assert client.found() == ({"retry_after_ignored": [1, 2]} if is_guilty else {})


@both
def test_retry_after_of_an_outer_layer(client: Client, is_guilty: bool) -> None:
    """The inner layer waits, gives up, and the outer one starts anew with a count of zero."""
    client.namespace.faults.next("error:status=429,retry_after=200")
    client.post(headers={"x-stainless-retry-count": "0"})
    client.post("Hi" if is_guilty else "Something else", headers={"x-stainless-retry-count": "0"})
    assert ("retry_after_ignored" in client.found()) == is_guilty


@both
def test_retry_after_in_milliseconds(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next({"kind": "error", "status": 429, "retry_after": 0.5, "retry_form": "ms"})
    client.post()
    time.sleep(0.05 if is_guilty else 0.55)
    client.post()
    assert client.found() == ({"retry_after_ignored": [1, 2]} if is_guilty else {})


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
@both
def test_refusals_that_are_final(client: Client, status: int, is_guilty: bool) -> None:
    client.namespace.faults.next({"kind": "error", "status": status})
    client.post()
    client.post("Hi" if is_guilty else "Something else")
    assert client.found() == ({"retried_non_retryable": [1, 2]} if is_guilty else {})


@both
def test_content_policy(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("error:name=content_policy")
    client.post("Bad")
    client.post("Bad" if is_guilty else "Good")
    assert client.found() == ({"retried_non_retryable": [1, 2]} if is_guilty else {})


@pytest.mark.parametrize("status", [401, 402])
@both
def test_another_key_is_no_retry(client: Client, status: int, is_guilty: bool) -> None:
    client.namespace.faults.next({"kind": "error", "status": status})
    client.post()
    client.key = client.key if is_guilty else "sk-another-key"
    client.post()
    assert client.found() == ({"retried_non_retryable": [1, 2]} if is_guilty else {})


@both
def test_a_mended_request_is_no_retry(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("error:status=422")
    client.post(temperature=1)
    client.post(temperature=1 if is_guilty else 0)
    assert client.found() == ({"retried_non_retryable": [1, 2]} if is_guilty else {})


@both
def test_fail_over_is_no_retry(client: Client, is_guilty: bool) -> None:
    """Another model right after a refusal with Retry-After: what the first one said does not count for the other."""
    client.namespace.faults.next("error:status=429,retry_after=30")
    client.post()
    client.post(model="deepseek-v3" if is_guilty else "deepseek-r1")
    assert client.found() == ({"retry_after_ignored": [1, 2]} if is_guilty else {})


def test_fail_over_to_another_provider_is_no_retry_and_no_giving_up(client: Client) -> None:
    client.namespace.faults.next("error:status=429,retry_after=30")
    client.post()
    client.post(place="deepseek")
    client.post("Something else", place="deepseek")
    assert client.found() == {}


@both
def test_retry_storm_of_attempts_that_differ_in_one_field(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.add("error:status=500")
    for attempt in range(30 if is_guilty else 10):
        client.post(user=f"attempt {attempt}")
    found = client.found()
    assert found.get("retry_storm") == (list(range(1, 31)) if is_guilty else None)


@both
def test_retry_storm_counts_what_the_client_counts(client: Client, is_guilty: bool) -> None:
    """The prompt holds a clock, so that no two attempts say the same."""
    client.namespace.faults.add("error:status=500")
    for attempt in range(12):
        count = attempt if is_guilty else 0
        client.post(f"It is {attempt} o'clock", headers={"x-stainless-retry-count": str(count)})
    assert ("retry_storm" in client.found()) == is_guilty


@both
def test_backoff(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.add("error:status=503")
    for attempt in range(3):
        client.post()
        time.sleep(0 if is_guilty else 0.15 * 2**attempt)
    assert client.found() == ({"no_backoff": [1, 2, 3]} if is_guilty else {})


@both
def test_waits_that_do_not_grow(client: Client, is_guilty: bool) -> None:
    """At moments that are set: on a busy machine, even waits grow by chance."""
    client.namespace.faults.add("error:status=503")
    for _ in range(4):
        client.post()
    rows = [exchange.details() for exchange in client.namespace.journal]
    moment = 1000.0
    for attempt, row in enumerate(rows):
        row["received"] = row["arrived"] = moment
        row["ended_at"] = 0.01
        moment += 0.8 if is_guilty else 0.15 * 2**attempt
    found = {finding.code: finding.exchanges for finding in judge(rows).findings}
    assert found == ({"no_backoff": (1, 2, 3, 4)} if is_guilty else {})


def test_waiting_as_the_provider_says_is_no_lack_of_backoff(client: Client) -> None:
    for _ in range(3):
        client.namespace.faults.next({"kind": "error", "status": 429, "retry_after": 0.03, "retry_form": "ms"})
    for _ in range(4):
        client.post()
        time.sleep(0.04)
    assert client.found() == {}


@both
def test_jitter(client: Client, is_guilty: bool) -> None:
    """Six clients, whose moments are set, as threads would come when they can."""
    client.namespace.faults.add("error:status=503,times=6")
    for round in range(2):
        for number in range(6):
            client.post(f"Question {number}", headers={"user-agent": f"client {number}"})
        if not round:
            assert [each.status for each in client.namespace.journal] == [503] * 6
    rows = [exchange.details() for exchange in client.namespace.journal]
    for place, row in enumerate(rows):
        number, is_second = place % 6, place >= 6
        wait = 1 + 0.001 * number if is_guilty else 1 + 0.1 * number
        row["received"] = row["arrived"] = 1000.0 + (wait if is_second else 0.0)
        row["ended_at"] = 0.01
    found = {finding.code: finding.exchanges for finding in judge(rows).findings}
    assert found == ({"no_jitter": (7, 8, 9, 10, 11, 12)} if is_guilty else {})


@both
def test_giving_up(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("error:status=503")
    client.post("First")
    if not is_guilty:
        client.post("First")
    client.post("Second")
    assert client.found() == ({"gave_up_on_retryable": [1]} if is_guilty else {})


def test_three_attempts_are_no_giving_up(client: Client) -> None:
    client.namespace.faults.add("error:status=503,times=3")
    for attempt in range(3):
        client.post("First")
        time.sleep(0.15 * 2**attempt)
    client.post("Second")
    assert client.found() == {}


def test_whether_a_client_gives_up_is_unknown_until_it_goes_on(client: Client) -> None:
    client.namespace.faults.next("error:status=503")
    client.post("First")
    assert (client.found(), client.unknown()) == ({}, {"gave_up_on_retryable": [1]})


@both
def test_stale_connection(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("stale_keepalive")
    client.post("First")
    assert client.post_or_none("Second") is None
    client.post("Third" if is_guilty else "Second")
    assert client.found() == ({"stale_connection_not_retried": [1]} if is_guilty else {})


@both
def test_duplicates_after_a_timeout(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("hang")
    keys: dict[str, str] = {} if is_guilty else {"idempotency-key": "one-and-the-same"}
    assert client.post_or_none(timeout=0.3, headers=keys) is None
    client.post(headers=keys)
    assert client.found() == ({"duplicate_after_timeout": [1, 2]} if is_guilty else {})


@both
def test_charged_twice(client: Client, is_guilty: bool) -> None:
    """A whole answer that the client takes for a failure; the other one only asks the same again."""
    client.post(headers={"x-stainless-retry-count": "0"})
    client.post(headers={"x-stainless-retry-count": "1" if is_guilty else "0"})
    assert client.found() == ({"charged_twice": [1, 2]} if is_guilty else {})


@both
def test_a_whole_answer_that_is_called_a_failure_is_charged_twice(client: Client, is_guilty: bool) -> None:
    client.post()
    client.namespace.acknowledge(1, "failed" if is_guilty else "complete")
    client.post()
    assert client.found() == ({"charged_twice": [1, 2]} if is_guilty else {})
    assert client.unknown() == {}


@both
def test_another_model_after_a_whole_answer_is_no_second_charge(client: Client, is_guilty: bool) -> None:
    client.post()
    client.namespace.acknowledge(1, "failed")
    client.post(model="deepseek-v3" if is_guilty else "deepseek-r1")
    assert client.found() == ({"charged_twice": [1, 2]} if is_guilty else {})


@both
def test_waiting_for_more_than_a_whole_answer_and_trying_again(client: Client, is_guilty: bool) -> None:
    """The answer has come and the connection stays open; the client gives up on it and counts another attempt."""
    client.namespace.faults.next("done_then_open")
    client.post_or_none(timeout=1.3, headers={"x-stainless-retry-count": "0"})
    client.post(headers={"x-stainless-retry-count": "1" if is_guilty else "0"})
    assert ("charged_twice" in client.found()) == is_guilty


def test_a_count_on_a_new_connection_is_no_proof(client: Client) -> None:
    """The attempt between them may have been lost before it reached the server: only the client knows."""
    client.post(headers={"x-stainless-retry-count": "0"})
    with httpx.Client(trust_env=False) as http:
        Client(client.namespace, http).post(headers={"x-stainless-retry-count": "1"})
    assert (client.found(), client.unknown()) == ({}, {"charged_twice": [1, 2]})
    client.namespace.acknowledge(1, "failed")
    assert (client.found(), client.unknown()) == ({"charged_twice": [1, 2]}, {})


@pytest.mark.parametrize(("outcome", "is_found"), [("failed", True), ("complete", False), (None, False)])
def test_an_odd_answer_that_is_asked_for_again(client: Client, outcome: str | None, is_found: bool) -> None:
    """The answer has unknown members: only the client can say whether it treated it as a failure."""
    client.namespace.faults.next("unknown_fields")
    client.post()
    client.post()
    if outcome is not None:
        client.namespace.acknowledge(1, outcome)
    assert ("charged_twice" in client.found()) == is_found
    assert client.unknown() == ({} if outcome else {"charged_twice": [1, 2]})


def test_an_odd_answer_that_stays_in_the_conversation_is_no_failure(client: Client) -> None:
    client.namespace.faults.next("unknown_fields")
    text = client.text(client.post())
    client.post()
    client.post([user("Hi"), assistant(text), user("Go on")])
    assert (client.found(), client.unknown()) == ({}, {})


def test_an_attempt_that_was_lost_on_the_way_is_no_second_charge(client: Client) -> None:
    """The same prompt is asked twice; the second time, the first attempt dies with its connection and is never seen."""
    client.namespace.faults.next("stale_keepalive")
    client.post(headers={"x-stainless-retry-count": "0"})
    assert client.post_or_none(headers={"x-stainless-retry-count": "0"}) is None
    client.post(headers={"x-stainless-retry-count": "1"})
    assert (client.found(), client.unknown()) == ({}, {})


def test_an_idempotency_key_clears_what_would_be_charged_twice(client: Client) -> None:
    for count in "01":
        client.post(headers={"x-stainless-retry-count": count, "idempotency-key": "one"})
    assert client.found() == {}


def test_samples_one_after_the_other_and_side_by_side_are_no_attempts(client: Client) -> None:
    for _ in range(12):
        client.post()

    def sample(_: int) -> None:
        with httpx.Client(trust_env=False, verify=False) as http:
            Client(client.namespace, http).post()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(sample, range(12)))
    assert client.found() == {}


@both
def test_retried_after_output(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("reset:after_tokens=3")
    piece = client.text(client.post())
    whole = client.text(client.post())
    assert (piece, whole) == ("one two three", "one two three four five six")
    kept = piece + whole if is_guilty else whole
    client.post([user("Hi"), assistant(kept), user("Go on")])
    assert client.found() == ({"retried_after_output": [1, 2, 3]} if is_guilty else {})


def test_a_piece_that_is_finished_by_a_prefix_is_no_retry(client: Client) -> None:
    client.namespace.faults.next("truncate:after_tokens=3")
    piece = client.text(client.post(place="deepseek"))
    rest = client.text(client.post([user("Hi"), assistant(piece, prefix=True)], place="beta"))
    assert rest
    client.post([user("Hi"), assistant(piece + rest), user("Go on")], place="deepseek")
    assert client.found() == {}


@both
def test_what_the_client_understood_shows_output_that_is_doubled(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("reset:after_tokens=3")
    piece = client.text(client.post())
    whole = client.text(client.post())
    client.namespace.acknowledge(2, "complete", text=piece + whole if is_guilty else whole)
    assert client.found() == ({"retried_after_output": [1, 2]} if is_guilty else {})


@both
def test_context_that_is_too_long(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("error:name=context_length")
    long = [user("Hi"), assistant("Hello"), user("A very long story " * 20)]
    client.post(long, place="deepseek")
    client.post(long if is_guilty else long[:1], place="deepseek")
    assert ("oversized_context_resent" in client.found()) == is_guilty
