"""Several workers on one port: they give the same answers, end together, and act as one server."""

import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import processes
import psutil
import pytest
from redis_server import RedisServer
from talk import single

from emulator.scenario.sources import load
from emulator.state.shared import counts_requests

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="workers need a system that can fork")


def serve(*options: str) -> "subprocess.Popen[str]":
    command = [*processes.COMMAND, "serve", "--port", "0", "--log", "off", "--speed", "max", *options]
    return processes.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def origin_of(process: "subprocess.Popen[str]") -> str:
    """Where it listens, as its banner says."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 50)
    assert ready, "no banner within 50 s"
    found = re.search(r"http://[\d.]+:\d+", process.stdout.readline())
    assert found is not None
    return found[0]


def test_workers_answer_alike_with_ids_of_their_own_and_end_together() -> None:
    process = serve("--workers", "2")
    try:
        url = origin_of(process) + "/serevix/v1/chat/completions"
        body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "What is a worker?"}]}
        headers = {"authorization": "Bearer k"}
        # Each on a connection of its own, so that the kernel spreads them.
        answers = [single.post(url, json=body, headers=headers).json() for _ in range(24)]
        texts = {answer["choices"][0]["message"]["content"] for answer in answers}
        assert len(texts) == 1
        assert len({answer["id"] for answer in answers}) == 24
    finally:
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert time.monotonic() - started < 4
    assert errors == ""


def test_workers_end_when_their_parent_is_killed() -> None:
    process = serve("--workers", "2")
    url = origin_of(process) + "/__emulator/health"
    process.kill()
    process.communicate(timeout=10)  # returns once the last worker has closed its end of the pipes
    with pytest.raises(httpx.ConnectError):
        single.get(url)


def test_what_depends_on_other_requests_is_known() -> None:
    assert not counts_requests(load({"rules": [{"reply": {"content": "hi"}}]}).scenario)
    for counting in (
        {"match": {"any_of": [{"attempt": 2}, {"turn": 1}]}}, {"match": {"not": {"state": "paid"}}}, {"times": 2},
        {"set_state": "paid"}, {"faults": ["reset:times=1"]},
    ):  # fmt: skip
        assert counts_requests(load({"rules": [{"reply": {}, **counting}]}).scenario), counting
    for more in (
        {"quotas": [{"requests": 3}]},
        {"faults": ["reset:skip=1"]},
        {"accounts": [{"key": "k", "balance": 1}]},
    ):
        assert counts_requests(load({"rules": [], **more}).scenario), more


# The control API of several workers is that of one server


@pytest.fixture
def workers() -> "Iterator[Workers]":
    process = serve("--workers", "3")
    try:
        yield Workers(process, origin_of(process))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=15)


class Workers:
    """A running server of several processes. Each request has a connection of its own, so that the kernel spreads
    them."""

    def __init__(self, process: "subprocess.Popen[str]", origin: str) -> None:
        self.process = process
        self.origin = origin

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        given = {} if body is None else {"json": body}
        response = single.request(method, f"{self.origin}/__emulator/{path}", timeout=20, **given)
        return response.json() if response.headers["content-type"] == "application/json" else response.text

    def every(self, path: str, count: int = 12) -> list[Any]:
        """What so many different answers of a path there are, asked of whichever worker."""
        found: list[Any] = []
        for _ in range(count):
            if (answer := self("GET", path)) not in found:
                found.append(answer)
        return found

    def chat(self, prompt: str = "Hi", *, prefix: str = "") -> httpx.Response:
        url = f"{self.origin}{prefix}/serevix/v1/chat/completions"
        body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": prompt}]}
        return single.post(url, json=body, headers={"authorization": "Bearer k"}, timeout=20)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()


def test_the_journal_is_that_of_all_workers(workers: Workers) -> None:
    for number in range(12):
        assert workers.chat(f"question {number}").status_code == 200
    lists = workers.every("journal")
    assert [[row["number"] for row in each["exchanges"]] for each in lists] == [list(range(1, 13))]
    assert [row["number"] for row in workers("GET", "journal?limit=2")["exchanges"]] == [11, 12]
    for number in (1, 7, 12):
        details = workers.every(f"journal/{number}", 6)
        assert {each["request"]["messages"][0]["content"] for each in details} == {f"question {number - 1}"}
    assert workers("GET", "journal/99")["error"].startswith("The journal of 'default' has no exchange 99")
    exported = [json.loads(line) for line in workers("GET", "journal/export?limit=3").splitlines()]
    assert [each["number"] for each in exported] == [10, 11, 12]
    acknowledged = workers("POST", "acknowledge", {"number": 5, "outcome": "completed"})
    assert acknowledged == {"number": 5}
    assert workers("GET", "journal/5")["acknowledged"] == {"outcome": "completed"}
    assert workers("DELETE", "journal") == {"removed": 12}
    assert workers.every("journal") == [{"exchanges": []}]
    workers.chat()
    assert [row["number"] for row in workers("GET", "journal")["exchanges"]] == [13]


def test_waiting_and_events_see_all_workers(workers: Workers) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(workers, "GET", "journal/wait?count=9&timeout=20")
        for number in range(9):
            workers.chat(f"question {number}")
        assert [row["number"] for row in waiting.result()["exchanges"]] == list(range(1, 10))
    late = workers("GET", "journal/wait?count=10&timeout=0.2")
    assert late["error"] == "After 0.2 seconds, 9 of 10 matching exchanges have ended."
    seen: set[int] = set()
    with single.stream("GET", f"{workers.origin}/__emulator/events?since=9", timeout=20) as events:
        lines = events.iter_lines()
        assert next(lines) == ": events of exchanges"
        for number in range(6):
            workers.chat(f"later {number}")
        while len(seen) < 6:
            if (line := next(lines)).startswith("id: "):
                seen.add(int(line[4:]))
    assert seen == set(range(10, 16))


def test_what_is_given_reaches_all_workers(workers: Workers) -> None:
    assert [workers("POST", "rules", {"name": f"r{number}", "match": {"prompt": f"p{number}"},
                                      "reply": {"content": f"reply {number}"}})["id"] for number in (1, 2)] == [
        "added-1", "added-2",
    ]  # fmt: skip
    texts = {workers.chat("p1").json()["choices"][0]["message"]["content"] for _ in range(9)}
    assert texts == {"reply 1"}
    used = [{rule["name"]: rule["used"] for rule in each["rules"] if rule["added"]} for each in workers.every("rules")]
    assert used == [{"r2": 0, "r1": 9}]
    assert workers("DELETE", "rules/added-2") == {"removed": 1}
    assert [len([r for r in each["rules"] if r["added"]]) for each in workers.every("rules")] == [1]

    assert workers("PUT", "speed", {"speed": 3}) == {"speed": 3.0}
    assert workers.every("speed") == [{"speed": 3.0}]
    text = "version: 1\nname: other\nrules: [{name: all, reply: {content: New}}]\n"
    made = workers("PUT", "scenario", {"text": text})
    assert made == {"name": "other", "rules": 1}
    assert {workers.chat().json()["choices"][0]["message"]["content"] for _ in range(9)} == {"New"}
    bad = workers("PUT", "scenario", {"text": "version: 1\nrules: [{name: all, repyl: x}]\n"})
    assert bad["problems"][0]["line"] == 2
    assert [each["name"] for each in workers.every("scenario")] == ["other"]

    row = workers("PUT", "namespaces/mine", {"scenario": {"rules": [{"name": "own", "reply": {"content": "Mine"}}]}})
    assert row["name"] == "mine"
    said = {workers.chat(prefix="/@mine").json()["choices"][0]["message"]["content"] for _ in range(9)}
    assert said == {"Mine"}
    rows = {row["name"]: row["exchanges"] for row in workers("GET", "namespaces")["namespaces"]}
    assert rows == {"default": 18, "mine": 9}
    assert workers("DELETE", "namespaces/mine") == {"removed": 1}

    assert workers("PUT", "clock", {"mode": "manual"})["mode"] == "manual"
    before = workers("GET", "clock")["now"]
    workers("POST", "clock/advance", {"seconds": 1000})
    assert {round(each["now"] - before) for each in workers.every("clock")} == {1000}
    assert workers("POST", "reset", {}) == {"status": "ok"}
    assert [[r for r in each["rules"] if r["added"]] for each in workers.every("rules")] == [[]]


def test_a_fault_with_times_strikes_so_often_whichever_workers_answer(workers: Workers) -> None:
    body = {"fault": {"kind": "error", "status": 503, "skip": 2}, "times": 5}
    assert workers("POST", "faults", body) == {"id": "live-1"}
    with ThreadPoolExecutor(4) as pool:
        statuses = [each.status_code for each in pool.map(lambda n: workers.chat(f"q{n}"), range(24))]
    assert sorted(statuses) == [200] * 19 + [503] * 5
    assert workers.every("faults") == [{"faults": []}]
    workers("POST", "faults", {"fault": "error:status=429"})
    assert {workers.chat().status_code for _ in range(9)} == {429}
    rows = workers("GET", "faults")["faults"]
    assert [(row["id"], row["seen"], row["applied"]) for row in rows] == [("live-2", 9, 9)]
    assert workers("DELETE", "faults/live-2") == {"removed": 1}
    assert {workers.chat().status_code for _ in range(9)} == {200}


def test_the_verdict_is_about_the_requests_of_all_workers(workers: Workers) -> None:
    workers("POST", "faults", {"fault": "error:status=400"})
    statuses = [workers.chat("the same again").status_code for _ in range(8)]
    assert statuses == [400] * 8
    workers("GET", "journal/wait?count=8&timeout=20")
    (verdict,) = workers.every("verdict", 6)
    found = [each["exchanges"] for each in verdict["findings"] if each["code"] == "retried_non_retryable"]
    assert {number for numbers in found for number in numbers} == set(range(1, 9))


def test_figures_are_those_of_all_workers(workers: Workers) -> None:
    workers("PUT", "speed", {"speed": 1000})
    url = f"{workers.origin}/serevix/v1/chat/completions"
    body = {"model": "deepseek-v3", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    for _ in range(9):
        response = single.post(url, json=body, headers={"authorization": "Bearer k"})
        assert response.text.endswith("data: [DONE]\n\n")
    assert workers("GET", "journal/wait?count=9&timeout=20")["exchanges"][-1]["number"] == 9
    assert workers("GET", "version")["workers"] == 3
    assert workers("GET", "timing")["lateness_ms"]["count"] == 9
    text = workers("GET", "metrics")
    assert "llm_emulator_workers 3.0" in text
    assert "llm_emulator_journal_exchanges 9.0" in text
    requests = re.findall(r"^llm_emulator_requests_total\{.*\} (.*)$", text, re.MULTILINE)
    assert [float(each) for each in requests] == [9.0]


def test_a_worker_that_takes_the_place_of_another_has_what_that_was_given(workers: Workers) -> None:
    workers("POST", "rules", {"name": "first", "match": {"prompt": "one"}, "reply": {"content": "1"}})
    workers("POST", "rules", {"name": "gone", "reply": {"content": "x"}})
    workers("DELETE", "rules/added-2")
    workers("PUT", "speed", {"speed": 5})
    workers("POST", "faults", {"fault": "error:status=503", "times": 3})
    assert workers.chat().status_code == 503
    own = {"rules": [{"name": "own", "reply": {"content": "Mine"}}]}
    workers("PUT", "namespaces/mine", {"scenario": own, "seed": 7})
    before = workers("GET", "namespaces")
    killed = workers.children()
    for each in killed[:2]:
        each.kill()
    psutil.wait_procs(killed[:2], timeout=10)
    for _ in range(200):
        if len(workers.children()) == 3 and workers("GET", "version").get("workers") == 3:
            break
    for each in killed[2:]:
        each.kill()
    psutil.wait_procs(killed[2:], timeout=10)
    time.sleep(0.3)
    assert [[r["id"] for r in each["rules"] if r["added"]] for each in workers.every("rules")] == [["added-1"]]
    assert workers.every("speed") == [{"speed": 5.0}]
    statuses = [workers.chat(f"again {number}").status_code for number in range(9)]
    assert sorted(statuses) == [200] * 7 + [503] * 2
    said = {workers.chat(prefix="/@mine").json()["choices"][0]["message"]["content"] for _ in range(9)}
    assert said == {"Mine"}
    assert workers("POST", "rules", {"name": "next", "reply": {"content": "x"}})["id"] == "added-3"
    assert [row["name"] for row in before["namespaces"]] == ["default", "mine"]


# A virtual clock is that of all workers

VIRTUAL = {"version": 1, "clock": "virtual", "rules": [{"pace": {"ttft": 5000}, "reply": {"content": "late"}}]}


def moments(origin: str, count: int) -> list[int]:
    """Returns the `created` times of successive answers."""
    url = f"{origin}/serevix/v1/chat/completions"
    body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "Hi"}]}
    headers = {"authorization": "Bearer k"}
    return [single.post(url, json=body, headers=headers, timeout=20).json()["created"] for _ in range(count)]


def test_virtual_time_continues_from_the_latest_of_all_workers(tmp_path: Path) -> None:
    path = tmp_path / "virtual.json"
    path.write_text(json.dumps(VIRTUAL))
    seen = []
    for workers in ((), ("--workers", "3")):
        process = processes.Popen(
            [*processes.COMMAND, "serve", "--port", "0", "--log", "off", "--scenario", str(path), *workers],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            origin = origin_of(process)
            seen.append(moments(origin, 12))
            times = {Workers(process, origin)("GET", "clock")["now"] for _ in range(9)}
            assert len(times) == 1
            if workers:  # changing the clock restarts it, in all workers
                assert Workers(process, origin)("PUT", "clock", {"mode": "manual"})["mode"] == "manual"
                assert Workers(process, origin)("PUT", "clock", {"mode": "virtual"})["mode"] == "virtual"
                assert moments(origin, 12) == seen[0]
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=15)
    assert seen[0] == seen[1]
    assert seen[0][-1] - seen[0][0] >= 11 * 5000


# Faults of the port are those of all workers


def fails(workers: Workers, prefix: str = "") -> bool:
    try:
        return workers.chat(prefix=prefix).status_code != 200
    except httpx.TransportError:
        return True


@pytest.fixture(params=["workers", "workers with a store"])
def ports(request: pytest.FixtureRequest, redis_server: RedisServer) -> "Iterator[Workers]":
    process = serve("--workers", "3", *(["--store", redis_server.url] if "store" in request.param else []))
    try:
        yield Workers(process, origin_of(process))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=15)


def test_a_port_that_refuses_connections_is_closed_by_all_workers(ports: Workers) -> None:
    assert not any(fails(ports) for _ in range(12))
    assert fails(ports, "/~refuse_connections:seconds=3")
    closed = time.monotonic()
    while not all(fails(ports) for _ in range(4)):
        assert time.monotonic() - closed < 1
    while time.monotonic() < closed + 2.5:
        assert fails(ports)
        time.sleep(0.02)
    while fails(ports):
        assert time.monotonic() - closed < 15
        time.sleep(0.02)
    deadline = time.monotonic() + 10
    while any(fails(ports) for _ in range(12)):
        assert time.monotonic() < deadline


def test_connections_are_reset_as_often_as_a_fault_says_by_all_workers_together(ports: Workers) -> None:
    assert fails(ports, "/~reset_on_accept:count=7")
    assert sum(fails(ports) for _ in range(40)) == 7


def test_handshakes_break_as_often_as_a_fault_says_in_all_workers_together(tmp_path: Path) -> None:
    process = serve("--workers", "3", "--tls", str(tmp_path / "tls"), "--fault", "tls_reset:times=5")
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"https://[\d.]+:\d+", line)
        assert found is not None, line
        workers = Workers(process, found[0])
        assert sum(fails(workers) for _ in range(30)) == 5
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=15)
