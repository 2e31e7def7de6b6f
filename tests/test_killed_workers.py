"""Workers that are killed: the others show their whole journals, and count all that they have counted."""

import json
import os
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import processes
import psutil
import pytest
from replicas import HEADERS, PATH, until
from talk import single
from traffic import Body, Traffic, asked, id_of

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="workers need a system that can fork"),
    pytest.mark.timeout(120),
]


class Workers:
    """A server with two workers. Each request has a connection of its own, unless a client keeps one."""

    def __init__(self, *options: str) -> None:
        command = [*processes.COMMAND, "serve", "--port", "0", "--log", "off", "--workers", "2", *options]
        self.process = processes.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 50)
        assert ready, "no banner within 50 s"
        found = re.search(r"http://[\d.]+:\d+", self.process.stdout.readline())
        assert found is not None
        self.url = found[0]
        self.client = httpx.Client(trust_env=False, timeout=20)

    def pids(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def kill_one(self) -> None:
        """Kills a worker, like a crash. Connections that it has not accepted yet end with it."""
        pid = self.pids()[0]
        os.kill(pid, signal.SIGKILL)
        until(lambda: not lives(pid))

    def ask(self, text: str, namespace: str = "default", **more: Any) -> httpx.Response:
        body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": text}], **more}
        return single.post(f"{self.url}/@{namespace}{PATH}", json=body, headers=HEADERS)

    def control(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        while True:
            try:
                return single.request(method, f"{self.url}/__emulator/{path}", json=body, params=query)
            except httpx.TransportError:  # a connection that a worker had not accepted when it was killed
                assert method == "GET"

    def journal(self, namespace: str = "default") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.control("GET", "journal", namespace=namespace).json()["exchanges"]
        return rows

    def exported(self, namespace: str) -> list[dict[str, Any]]:
        text = self.control("GET", "journal/export", namespace=namespace, format="jsonl").text
        return [json.loads(line) for line in text.splitlines()]

    def counted(self) -> float:
        lines = self.control("GET", "metrics").text.splitlines()
        found = [line for line in lines if line.startswith("llm_emulator_requests_total")]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def close(self) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=20)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    started = Workers("--speed", "max")
    yield started
    started.close()


def lives(pid: int) -> bool:
    """Whether a process runs; its parent may not know of its end yet."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def alive(workers: Workers) -> None:
    """Waits until both workers answer."""
    until(lambda: workers.control("GET", "version").json()["workers"] == 2)


KINDS: dict[str, Body] = {
    "known": lambda client, count: asked("the same"),
    "known-streams": lambda client, count: asked("the same", stream=True),
    "new": lambda client, count: asked(f"question {count} of {client}"),
    "own-form": lambda client, count: asked(f"question {count}", temperature=count / 1000, stream=count % 2 == 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_whole_answer_is_in_the_journal_and_the_totals(workers: Workers, kind: str) -> None:
    alive(workers)
    before, namespace = workers.counted(), f"whole-{kind}"
    with Traffic(workers.url, namespace, KINDS[kind], clients=6, others_answer=True) as traffic:
        until(lambda: len(traffic.whole) >= 60)
        workers.kill_one()
        whole = list(traffic.whole)
        records = workers.exported(namespace)
    found = {id_of(each["response"]["text"]) for each in records if each["ended"] == "complete"}
    assert not set(whole) - found
    records = workers.exported(namespace)
    numbers = [each["number"] for each in records]
    assert len(set(numbers)) == len(numbers) <= traffic.started
    assert not set(traffic.whole) - {id_of(each["response"]["text"]) for each in records if each["response"]["text"]}
    assert workers.counted() == before + len(records)


def test_what_a_killed_worker_knew_of_earlier_is_not_lost_either(workers: Workers) -> None:
    alive(workers)
    for place in range(40):
        workers.ask(f"question {place}", "earlier")
    acknowledged = workers.journal("earlier")[5]["number"]
    word = {"number": acknowledged, "outcome": "partial"}
    assert workers.control("POST", "acknowledge", word, namespace="earlier").status_code == 200
    shown = workers.exported("earlier")
    counted = workers.counted()
    for _ in range(3):  # also what one worker had taken over from another
        alive(workers)
        workers.kill_one()
        found = workers.exported("earlier")
        assert [each["number"] for each in found] == [each["number"] for each in shown]
        for one, other in zip(shown, found, strict=True):
            differing = {name for name in one if one[name] != other[name]}
            assert differing <= {"age", "first_sent", "last_sent", "ended_at", "frames", "socket", "misses", "because"}
        assert workers.counted() == counted


def test_what_was_cleared_stays_cleared(workers: Workers) -> None:
    alive(workers)
    for place in range(20):
        workers.ask(f"question {place}", "cleared")
    counted = workers.counted()
    assert workers.control("DELETE", "journal", namespace="cleared").json() == {"removed": 20}
    workers.ask("After that", "cleared")
    workers.kill_one()
    assert [row["prompt"] for row in workers.journal("cleared")] == ["After that"]
    assert workers.counted() == counted + 1


def test_an_answer_that_was_under_way_is_shown_as_lost() -> None:
    workers = Workers()
    try:
        rule = {"reply": {"content": "word " * 500}, "pace": {"tokens_per_second": 20}}
        assert workers.control("POST", "rules", rule).status_code == 201
        body = asked("Tell me slowly.", stream=True)
        with workers.client.stream("POST", f"{workers.url}{PATH}", json=body, headers=HEADERS) as answer:
            parts = answer.iter_raw()
            next(parts)
            for pid in workers.pids():  # one after the other: what is left finds an heir in any case
                os.kill(pid, signal.SIGKILL)
                until(lambda gone=pid: gone not in workers.pids())  # type: ignore[misc]
            until(lambda: len(workers.pids()) == 2)
            until(lambda: [row["ended"] for row in workers.journal()] == ["lost"])
        assert workers.counted() == 1
    finally:
        workers.close()


def test_a_log_is_rewritten_while_requests_go_on(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    alive(workers)
    counted = workers.counted()
    text = "x" * 20_000  # 600 of them fill a log more than once
    with httpx.Client(trust_env=False, timeout=20) as client:
        for place in range(600):
            body = asked(f"{place} {text}", user=str(place))
            assert client.post(f"{workers.url}/@large{PATH}", json=body, headers=HEADERS).status_code == 200
    shown = workers.journal("large")
    workers.kill_one()
    until(lambda: len(workers.pids()) == 2)
    alive(workers)
    assert workers.journal("large") == shown
    workers.kill_one()
    assert workers.journal("large") == shown
    assert workers.counted() == counted + 600


def test_one_worker_keeps_what_all_workers_kept(workers: Workers) -> None:
    """Even if that is more than its share of the bytes."""
    alive(workers)
    for row in workers.control("GET", "namespaces").json()["namespaces"]:
        workers.control("DELETE", "journal", namespace=row["name"])
    rule = {"reply": {"content": "word " * 250}}
    assert workers.control("POST", "rules", rule, namespace="much").status_code == 201
    for _ in range(10):
        with httpx.Client(trust_env=False, timeout=20) as client:
            for _ in range(70):
                body = asked("Tell me much.", stream=True)
                assert client.post(f"{workers.url}/@much{PATH}", json=body, headers=HEADERS).status_code == 200
    shown = [row["number"] for row in workers.journal("much")]
    assert len(shown) == 700
    for _ in range(2):
        workers.kill_one()
        assert [row["number"] for row in workers.journal("much")] == shown
        alive(workers)
    assert workers.control("DELETE", "journal", namespace="much").json() == {"removed": 700}
