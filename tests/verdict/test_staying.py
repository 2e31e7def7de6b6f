"""Findings about how long a client stays, and what it leaves behind: each with a guilty and an innocent client."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from little_client import Client
from rawhttp import eventually

from emulator import Emulator

pytest_plugins = ["judging"]
both = pytest.mark.parametrize("is_guilty", [True, False], ids=["guilty", "innocent"])


@both
@pytest.mark.parametrize("fault", ["hang:seconds=1.6", "stall:after_tokens=2,seconds=1.6"])
def test_silence(client: Client, fault: str, is_guilty: bool) -> None:
    client.namespace.faults.next(fault)
    client.post_or_none(timeout=20 if is_guilty else 0.3)
    client.namespace.wait_until_idle()
    assert client.found(silence=1.2) == ({"no_read_timeout": [1]} if is_guilty else {})


def test_a_silence_that_was_shorter_than_the_limit_proves_nothing(client: Client) -> None:
    client.namespace.faults.next("hang:seconds=1.2")
    client.post()
    assert (client.found(), client.unknown()) == ({}, {"no_read_timeout": [1]})


def test_an_sdk_that_names_its_timeout_has_one(client: Client) -> None:
    client.namespace.faults.next("hang:seconds=1.2")
    client.post(headers={"x-stainless-read-timeout": "600"})
    assert (client.found(silence=1.0), client.unknown()) == ({}, {})


def test_silence_on_a_virtual_clock_proves_nothing() -> None:
    scenario = {"clock": "virtual", "rules": [{"match": {}, "reply": {"content": "Hello"}}]}
    with Emulator(scenario, faults="hang:seconds=3600") as server, httpx.Client(trust_env=False, verify=False) as http:
        client = Client(server, http)
        client.post()
        assert (client.found(), client.unknown()) == ({}, {"no_read_timeout": [1]})


@both
def test_keep_alives_without_a_token(client: Client, is_guilty: bool) -> None:
    """No byte is ever long in coming, so a read timeout does not help."""
    client.namespace.faults.next("keepalive_comments:after_tokens=0,count=8,interval=0.2")
    with client.opened(timeout=0.5) as response:
        start = time.monotonic()
        for line in response.iter_lines():
            if not is_guilty and line.startswith(":") and time.monotonic() - start > 0.5:
                break
    client.namespace.wait_until_idle()
    assert client.found(first_token=1.0) == ({"no_first_token_timeout": [1]} if is_guilty else {})


@both
def test_staying_after_the_end(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("done_then_open:seconds=2.5")
    with client.opened() as response:
        for line in response.iter_lines():
            if line == "data: [DONE]" and not is_guilty:
                break
    client.namespace.wait_until_idle()
    assert client.found() == ({"wrong_dialect_end": [1]} if is_guilty else {})


@both
def test_waiting_for_done_after_message_stop(client: Client, is_guilty: bool) -> None:
    client.namespace.faults.next("done_then_open:seconds=2.5")
    mark = "[DONE]" if is_guilty else "message_stop"
    with client.opened(place="messages") as response:
        for line in response.iter_lines():
            if mark in line:
                break
    client.namespace.wait_until_idle()
    assert client.found() == ({"wrong_dialect_end": [1]} if is_guilty else {})


@pytest.fixture
def slow(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of answers that take three seconds."""
    pace = {"ttft": 0.0, "tokens_per_second": 2}
    scenario = {
        "defaults": {"pace": pace},
        "rules": [{"match": {}, "reply": {"content": "one two three four five six"}}],
    }
    with Emulator(scenario) as server, httpx.Client(trust_env=False, verify=False) as http:
        yield Client(server, http)


@both
def test_an_answer_that_is_given_up(slow: Client, is_guilty: bool) -> None:
    """A gateway whose own client has gone says so, and closes its connection, or does not."""
    with slow.opened() as response:
        chunks = response.iter_raw()
        next(chunks)
        if not is_guilty:
            response.close()
        slow.namespace.acknowledge(1, "partial")
        if is_guilty:
            list(chunks)
    slow.namespace.wait_until_idle()
    assert slow.found() == ({"left_open_after_abort": [1]} if is_guilty else {})


@both
def test_an_answer_that_runs_on_beside_the_next_attempt(slow: Client, is_guilty: bool) -> None:
    with ExitStack() as stack:
        response = stack.enter_context(slow.opened(headers={"x-stainless-retry-count": "0"}))
        chunks = response.iter_raw()
        next(chunks)
        if not is_guilty:
            response.close()
            eventually(lambda: slow.namespace.journal[0].ended == "client_closed")
        slow.post(headers={"x-stainless-retry-count": "1"})
    slow.namespace.wait_until_idle()
    assert ("left_open_after_abort" in slow.found()) == is_guilty


@both
def test_connections_that_are_left_behind(client: Client, is_guilty: bool) -> None:
    with ExitStack() as stack:
        for number in range(3):
            http = stack.enter_context(httpx.Client(trust_env=False, verify=False))
            Client(client.namespace, http).post(f"Question {number}")
            if not is_guilty:
                http.close()
        time.sleep(2.1)
        assert client.found() == ({"never_closed": [1, 2, 3]} if is_guilty else {})


def test_one_pooled_connection_is_not_left_behind(client: Client) -> None:
    for number in range(5):
        client.post(f"Question {number}")
    time.sleep(2.1)
    assert client.found() == {}


@pytest.mark.long
def test_a_pool_that_had_to_grow_is_not_left_behind(slow: Client) -> None:
    with ExitStack() as stack:
        responses = [stack.enter_context(slow.opened(f"Question {number}")) for number in range(4)]
        for response in responses:
            response.read()
        time.sleep(2.1)
        assert slow.found() == {}
