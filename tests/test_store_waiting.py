"""Requests that need nothing of the store but the number of their attempt: they come over connections that stay, take
the short way, and wait for the store without a task."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rawhttp import Connection, request
from redis_server import RedisServer
from replicas import Fleet, Replica, until
from served import served

PATH = "/serevix/v1/chat/completions"
SCENARIO = {
    "version": 1,
    "clock": "manual",
    "rules": [
        {"name": "drawn", "match": {"prompt": {"contains": "drawn"}}, "chance": 0.5, "reply": {"content": "lucky"}},
        {"name": "plain", "match": {"prompt": {"contains": "plain"}}, "reply": {"content": "Plain."}},
        {
            "name": "counted",
            "match": {"prompt": {"contains": "counted"}},
            "reply": {"content": "attempt {{ attempt }}"},
        },
    ],
}
PROMPTS = [
    *["plain"] * 7,
    *["counted"] * 5,
    *["drawn"] * 6,
    *["no rule"] * 4,
    *[f"plain {number}" for number in range(24)],
]

pytestmark = pytest.mark.timeout(120)


def asked(prompt: str, **body: Any) -> bytes:
    message = {"model": "deepseek-v3", "messages": [{"role": "user", "content": prompt}], **body}
    headers = {"authorization": "Bearer sk-any", "content_type": "application/json"}
    return request(PATH, json.dumps(message).encode(), **headers)


@pytest.fixture
def options(tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(SCENARIO))
    return ("--scenario", str(path))


@pytest.fixture
def fleet(redis_server: RedisServer, options: tuple[str, ...]) -> Iterator[Fleet]:
    fleet = Fleet(redis_server, options)
    try:
        with ThreadPoolExecutor(3) as pool:
            fleet.replicas += pool.map(lambda _: Replica(redis_server.url, *options), range(3))
        yield fleet
    finally:
        fleet.close()


def bodies(ports: list[int]) -> list[bytes]:
    """What one client gets that asks each of these servers in turn."""
    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(port)) for port in ports]
        seen = []
        for number, prompt in enumerate(PROMPTS):
            connection = connections[number % len(connections)]
            connection.send(asked(prompt))
            seen.append(connection.response().body)
        return seen


def test_the_same_run_gives_the_same_bodies_alone_and_on_replicas(fleet: Fleet, options: tuple[str, ...]) -> None:
    with served("--port", "0", "--speed", "max", "--log", "off", *options) as alone:
        expected = bodies([alone.port])
    assert bodies([replica.served.port for replica in fleet]) == expected
    assert len(set(expected)) == len(expected)  # each has an id of its own
    uses = [{row["name"]: row["used"] for row in replica.get("rules")["rules"]} for replica in fleet]
    assert uses[0] == uses[1] == uses[2]
    assert (uses[0]["plain"], uses[0]["counted"]) == (31, 5)


def test_what_comes_at_once_at_all_replicas_is_counted_once_each(fleet: Fleet) -> None:
    def burst(port: int) -> list[bytes]:
        with Connection(port) as connection:
            seen = []
            for _ in range(40):
                connection.send(asked("plain"))
                seen.append(connection.response().body)
            return seen

    with ThreadPoolExecutor(12) as pool:
        runs = list(pool.map(burst, [replica.served.port for replica in fleet] * 4))
    ids = [json.loads(body)["id"] for run in runs for body in run]
    assert len(set(ids)) == len(ids) == 480
    assert {row["name"]: row["used"] for row in fleet[1].get("rules")["rules"]}["plain"] == 480


def learned(connection: Connection, prompt: str) -> None:
    """The head and the answer are known after this."""
    for _ in range(3):
        connection.send(asked(prompt))
        assert connection.response().status == 200


@pytest.mark.parametrize("prompt", ["plain", "counted"])
def test_requests_that_come_while_one_waits_are_answered_in_order(fleet: Fleet, prompt: str) -> None:
    with Connection(fleet[0].served.port) as connection:
        learned(connection, prompt)
        fleet.redis.pause()
        try:
            connection.send(asked(prompt))
            time.sleep(0.05)  # it waits for the store by now, or comes together with the others: both must do
            connection.send(asked("plain", stream=True) + asked("no rule"))
        finally:
            fleet.redis.resume()
        first, second, third = (connection.response() for _ in range(3))
    assert [each.status for each in (first, second, third)] == [200, 200, 200]
    said = json.loads(first.body)["choices"][0]["message"]["content"]
    assert said == ("Plain." if prompt == "plain" else "attempt 4")
    assert second.headers["content-type"].startswith("text/event-stream")
    assert json.loads(third.body)["object"] == "chat.completion"


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_while_it_waits_is_noticed(fleet: Fleet, reset: bool) -> None:
    with Connection(fleet[0].served.port) as connection:
        learned(connection, "plain")
        fleet.redis.pause()
        try:
            connection.send(asked("plain"))
            time.sleep(0.05)
            connection.leave(reset=reset)
            time.sleep(0.05)
        finally:
            fleet.redis.resume()
    until(lambda: len(fleet[1].journal()) == 4)
    until(lambda: all(row["ended"] is not None for row in fleet[1].journal()))
    assert [row["ended"] for row in fleet[1].journal()][:3] == ["complete"] * 3
    assert fleet[0].ask("plain").status_code == 200


def test_a_server_that_ends_answers_who_waits_for_the_store(fleet: Fleet) -> None:
    with Connection(fleet[0].served.port) as connection:
        learned(connection, "plain")
        fleet.redis.pause()
        try:
            connection.send(asked("plain"))
            time.sleep(0.05)
            fleet[0].served.process.terminate()
            time.sleep(0.2)
        finally:
            fleet.redis.resume()
        assert connection.response().status == 200


@pytest.mark.long
def test_known_requests_are_answered_without_the_store(fleet: Fleet) -> None:
    with Connection(fleet[0].served.port) as connection:
        learned(connection, "plain")
        fleet.redis.pause()
        try:
            seen = []
            for _ in range(8):
                started = time.monotonic()
                connection.send(asked("plain"))
                seen.append(json.loads(connection.response().body)["id"])
                assert time.monotonic() - started < 1.5
        finally:
            fleet.redis.resume()
        assert len(set(seen)) == 8
        time.sleep(1)
        until(lambda: fleet[0].control("GET", "ready").status_code == 200)
        connection.send(asked("plain"))
        assert connection.response().status == 200
