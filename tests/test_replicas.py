"""Three replicas and a real Redis are one server: for journals, metrics, rules, faults, namespaces, whoever dies."""

import asyncio
import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from replicas import HEADERS, PATH, Fleet, Replica, running_fleet, scenario_of, until

from emulator.server.stored import stop

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def shared() -> Iterator[Fleet]:
    """Three that stay. Each test has a namespace of its own."""
    with running_fleet() as fleet:
        yield fleet


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """Three of the test's own, to be killed."""
    with running_fleet() as fleet:
        yield fleet


def numbers(rows: list[dict[str, Any]]) -> list[int]:
    return [row["number"] for row in rows]


def prompts(replica: Replica, namespace: str) -> list[str]:
    """What was asked, as an export of the whole journal has it."""
    text = replica.control("GET", "journal/export", namespace=namespace).text
    bodies = [json.loads(line)["request"]["body"] for line in text.splitlines()]
    return [json.loads(body)["messages"][0]["content"] for body in bodies]


# Journals


def test_each_shows_the_exchanges_of_all_in_the_order_in_which_they_came(shared: Fleet) -> None:
    asked = [f"question {place}" for place in range(9)]
    for place, prompt in enumerate(asked):
        assert shared[place % 3].ask(prompt, "order").status_code == 200
    shown = [replica.journal("order") for replica in shared]
    assert shown[0] == shown[1] == shown[2]
    assert len(set(numbers(shown[0]))) == 9
    assert [row["ended"] for row in shown[0]] == ["complete"] * 9
    assert [prompts(replica, "order") for replica in shared] == [asked] * 3


def test_one_exchange_is_shown_alike_by_those_that_did_not_answer_it(shared: Fleet) -> None:
    shared[0].ask("Who are you?", "one")
    (row,) = shared[1].journal("one")
    details = [replica.get(f"journal/{row['number']}", namespace="one") for replica in shared]
    for each in details:
        each.pop("age")
        each["socket"].pop("seen")
    assert details[0] == details[1] == details[2]
    assert details[0]["request"]["headers"]["authorization"] == "[redacted]"
    assert details[0]["response"]["content"]
    missing = shared[1].control("GET", "journal/999999", namespace="one")
    assert (missing.status_code, missing.json()) == (
        404,
        {"error": "The journal of 'one' has no exchange 999999."},
    )


def test_nothing_in_the_store_holds_a_key(shared: Fleet) -> None:
    import redis

    shared[0].ask("My key is sk-live-0123456789.", "redacted")
    assert len(shared[1].journal("redacted")) == 1
    client = redis.Redis(port=shared.redis.port)
    names = list(client.scan_iter("*"))
    texts = b"".join(repr(client.xrange(name)).encode() for name in names if client.type(name) == b"stream")
    client.close()
    assert b"sk-any-key-of-a-test" not in texts
    assert b"sk-live-0123456789" not in texts
    assert b"[redacted]" in texts


def test_filters_and_since_are_those_of_one_journal(shared: Fleet) -> None:
    for place in range(6):
        shared[place % 3].ask("known", "filters", **({} if place % 2 else {"max_tokens": -1}))
    rows = shared[0].journal("filters")
    assert [row["status"] // 100 for row in rows] == [4, 2] * 3
    good = shared[1].journal("filters", status="2xx")
    assert good == [row for row in rows if row["status"] == 200]
    assert shared[2].journal("filters", since=rows[3]["number"]) == rows[4:]
    assert shared[2].journal("filters", limit=2) == rows[-2:]


def test_numbers_are_unique_when_all_answer_at_once(shared: Fleet) -> None:
    def ask(place: int) -> int:
        return shared[place % 3].ask("at once", "numbers").status_code

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(ask, range(120))) == {200}
    shown = numbers(shared[0].journal("numbers"))
    assert len(shown) == len(set(shown)) == 120


def test_waiting_on_one_sees_what_another_answers(shared: Fleet) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shared[0].control, "GET", "journal/wait", namespace="wait", count=2, timeout=30)
        shared[1].ask("first", "wait")
        shared[2].ask("second", "wait")
        found = waiting.result().json()["exchanges"]
    assert found == shared[0].journal("wait")
    late = shared[0].control("GET", "journal/wait", namespace="wait", count=3, timeout=0.1)
    assert (late.status_code, late.json()) == (
        408,
        {"error": "After 0.1 seconds, 2 of 3 matching exchanges have ended."},
    )


def test_a_journal_is_cleared_for_all(shared: Fleet) -> None:
    for replica in shared:
        replica.ask("soon gone", "cleared")
    assert shared[1].control("DELETE", "journal", namespace="cleared").json() == {"removed": 3}
    assert [replica.journal("cleared") for replica in shared] == [[], [], []]
    shared[2].ask("after", "cleared")
    assert len(shared[0].journal("cleared")) == 1


def test_an_open_stream_is_shown_by_all(shared: Fleet) -> None:
    rule = {"reply": {"content": "one two three four five six"}, "pace": {"ttft": 0.05, "tokens_per_second": 2}}
    assert shared[0].control("PUT", "namespaces/open", {"scenario": scenario_of(rule)}).status_code == 200
    assert shared[0].control("PUT", "speed", {"speed": 1}).json() == {"speed": 1.0}
    try:
        body = {"model": "deepseek-v3", "stream": True, "messages": [{"role": "user", "content": "Count."}]}
        with shared[2].client.stream("POST", f"/@open{PATH}", json=body, headers=HEADERS) as response:
            parts = response.iter_bytes()
            next(parts)
            (row,) = shared[1].journal("open")
            assert (row["ended"], row["stream"]) == (None, True)
            assert shared[1].metric("llm_emulator_open_streams") == 1
        until(lambda: [row["ended"] for row in shared[1].journal("open")] == ["client_closed"])
    finally:
        shared[0].control("PUT", "speed", {"speed": None})


def test_events_of_one_are_those_of_all(shared: Fleet) -> None:
    events: list[tuple[str, int]] = []
    has_begun = threading.Event()

    def follow() -> None:
        url = "/__emulator/events"
        with shared[0].client.stream("GET", url, params={"namespace": "events"}) as response:
            name = ""
            for line in response.iter_lines():
                if line.startswith(":"):
                    has_begun.set()
                elif line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("id: "):
                    events.append((name, int(line.removeprefix("id: "))))
                    if len([each for each in events if each[0] == "end"]) == 4:
                        return

    shared[1].ask("before", "events")
    thread = threading.Thread(target=follow)
    thread.start()
    assert has_begun.wait(20)
    for replica in shared:
        replica.ask("meanwhile", "events")
    thread.join(20)
    assert not thread.is_alive()
    ends = [number for name, number in events if name == "end"]
    assert sorted(ends) == sorted(numbers(shared[2].journal("events")))
    assert len(set(ends)) == 4


# Metrics, verdicts and words of clients


def test_metrics_of_each_are_those_of_all(shared: Fleet) -> None:
    before = shared[0].metric("llm_emulator_requests_total")
    for place in range(6):
        shared[place % 3].ask("count me", "metrics")
    assert [replica.metric("llm_emulator_requests_total") - before for replica in shared] == [6, 6, 6]
    texts = [replica.control("GET", "metrics").text for replica in shared]
    wanted = re.compile(r"^llm_emulator_(?:tokens|cost_usd|time_to_first_byte_seconds)\S* .*$", re.MULTILINE)
    assert wanted.findall(texts[0]) == wanted.findall(texts[1]) == wanted.findall(texts[2])
    assert [replica.metric("llm_emulator_workers") for replica in shared] == [3, 3, 3]


def test_a_verdict_sees_a_retry_that_went_to_another_replica(shared: Fleet) -> None:
    shared[0].control("PUT", "namespaces/judged", {"scenario": scenario_of({"error": "unauthorized"})})
    for replica in shared:
        replica.ask("Let me in.", "judged")
        # A busy replica may note the end after the client has gone on; what begins before it is no retry.
        until(lambda: all(row["ended"] == "complete" for row in shared[0].journal("judged")))
    verdicts = [replica.get("verdict", namespace="judged") for replica in shared]
    assert verdicts[0] == verdicts[1] == verdicts[2]
    found = [each["exchanges"] for each in verdicts[0]["findings"] if each["code"] == "retried_non_retryable"]
    first, second, third = numbers(shared[0].journal("judged"))
    assert [set(each) for each in found] == [{first, second}, {second, third}]


def test_a_client_acknowledges_through_any(shared: Fleet) -> None:
    id = shared[0].ask("Acknowledge me.", "said").json()["id"]
    answer = shared[1].control("POST", "acknowledge", {"id": id, "outcome": "complete"}, namespace="said")
    (row,) = shared[2].journal("said")
    assert answer.json() == {"number": row["number"]}
    assert row["acknowledged"] == {"outcome": "complete"}
    assert shared[2].get(f"journal/{row['number']}", namespace="said")["acknowledged_after"] > 0
    unknown = shared[1].control("POST", "acknowledge", {"id": "chatcmpl-none", "outcome": "complete"}, namespace="said")
    assert unknown.status_code == 404


# What they are given


def test_a_namespace_made_through_one_exists_in_all(shared: Fleet) -> None:
    rule = {"reply": {"content": "Made once."}}
    made = shared[0].control("PUT", "namespaces/made", {"scenario": scenario_of(rule), "seed": 7})
    assert made.status_code == 200
    for replica in shared:
        assert replica.ask("Hello", "made").json()["choices"][0]["message"]["content"] == "Made once."
    rows = [{row["name"]: row for row in replica.get("namespaces")["namespaces"]}["made"] for replica in shared]
    assert [(row["seed"], row["exchanges"]) for row in rows] == [(7, 3)] * 3
    assert shared[1].control("DELETE", "namespaces/made").json() == {"removed": 1}
    names = [{row["name"] for row in replica.get("namespaces")["namespaces"]} for replica in shared]
    assert all("made" not in each for each in names)
    assert shared[2].journal("made") == []


def test_a_fault_armed_through_one_strikes_at_all_within_a_tenth_of_a_second(shared: Fleet) -> None:
    taken = []
    for round in range(10):
        namespace = f"armed-{round}"
        shared[2].ask("warm up", namespace)
        started = time.monotonic()
        added = shared[0].control("POST", "faults", {"fault": "error:status=503"}, namespace=namespace)
        assert added.status_code == 201
        seen = shared[1].ask("Hello", namespace).status_code
        taken.append(time.monotonic() - started)
        assert seen == 503
        assert shared[2].ask("Hello", namespace).status_code == 503
        started = time.monotonic()
        assert shared[1].control("POST", "reset", namespace=namespace).status_code == 200
        assert shared[2].ask("Hello", namespace).status_code == 200
        taken.append(time.monotonic() - started)
    print(f"armed or reset, and seen elsewhere, within {min(taken) * 1000:.1f} ms; the slowest {max(taken) * 1000:.1f}")
    assert min(taken) < 0.1  # the others are those of a loaded machine


def test_changes_through_several_at_once_leave_all_with_the_same(shared: Fleet) -> None:
    def add(place: int) -> str:
        rule = {"name": f"rule {place}", "reply": {"content": f"{place}"}}
        id: str = shared[place % 3].control("POST", "rules", rule, namespace="many").json()["id"]
        return id

    with ThreadPoolExecutor(9) as pool:
        ids = set(pool.map(add, range(30)))
    assert len(ids) == 30
    shown = [
        [(row["id"], row["name"]) for row in replica.get("rules", namespace="many")["rules"]] for replica in shared
    ]
    assert shown[0] == shown[1] == shown[2]
    assert {id for id, _ in shown[0] if id} == ids
    refused = shared[1].control("DELETE", "rules/added-99", namespace="many")
    assert refused.status_code == 404


# One dies


def test_a_replica_that_is_killed_loses_nothing_that_was_acknowledged(fleet: Fleet) -> None:
    fleet[0].control("PUT", "namespaces/kept", {"scenario": scenario_of({"reply": {"content": "Kept."}})})
    answers = [fleet[place % 3].ask(f"question {place}", "kept") for place in range(30)]
    answer_of_dead = answers[3].json()["id"]
    shown = fleet[1].journal("kept")
    assert len(shown) == 30
    fleet[0].kill()
    started = time.monotonic()
    assert fleet[1].journal("kept") == fleet[2].journal("kept") == shown
    assert time.monotonic() - started < 5
    assert fleet[1].metric("llm_emulator_requests_total") == 30
    assert fleet[2].control("POST", "faults", {"fault": "error:status=503"}, namespace="kept").status_code == 201
    newcomer = fleet.replace(0)
    answer = newcomer.ask("What were you given?", "kept")
    assert answer.status_code == 503
    assert newcomer.control("DELETE", "faults", namespace="kept").json() == {"removed": 1}
    assert newcomer.ask("And now?", "kept").json()["choices"][0]["message"]["content"] == "Kept."
    rows = newcomer.journal("kept")
    assert rows[:30] == shown
    assert len(rows) == len(set(numbers(rows))) == 32
    dead = shown[0]["number"]
    assert newcomer.get(f"journal/{dead}", namespace="kept")["response"]["content"] == "Kept."
    word = {"number": dead, "outcome": "partial"}
    assert newcomer.control("POST", "acknowledge", word, namespace="kept").json() == {"number": dead}
    assert fleet[1].journal("kept")[0]["acknowledged"] == {"outcome": "partial"}
    word = {"id": answer_of_dead, "outcome": "complete"}
    assert newcomer.control("POST", "acknowledge", word, namespace="kept").json() == {"number": shown[3]["number"]}
    unknown = newcomer.control("POST", "acknowledge", {"number": 10**6, "outcome": "partial"}, namespace="kept")
    assert (unknown.status_code, unknown.json()) == (
        404,
        {"error": "The journal of 'kept' has no exchange 1000000."},
    )


def test_what_was_given_outlives_all_replicas(fleet: Fleet) -> None:
    fleet[0].control("PUT", "scenario", scenario_of({"reply": {"content": "Given once."}}))
    fleet[1].control("POST", "rules", {"match": {"prompt": {"contains": "rule"}}, "reply": {"content": "Added."}})
    fleet[1].ask("Hello")
    assert len(fleet[2].journal()) == 1
    for replica in fleet:
        replica.kill()
    newcomer = fleet.replace(0)
    contents = [newcomer.ask(prompt).json()["choices"][0]["message"]["content"] for prompt in ("Hello", "a rule")]
    assert contents == ["Given once.", "Added."]
    assert len(newcomer.journal()) == 3


# The store is gone


@pytest.fixture(scope="module")
def healing() -> Iterator[Fleet]:
    """Three whose store comes and goes. Each test has a namespace of its own."""
    with running_fleet() as fleet:
        yield fleet


def gone(fleet: Fleet) -> None:
    until(lambda: all(replica.control("GET", "journal").status_code == 503 for replica in fleet))


def healed(fleet: Fleet) -> float:
    """After how many seconds all serve again."""
    return until(lambda: all(replica.control("GET", "journal").status_code == 200 for replica in fleet))


def test_a_store_that_is_gone_is_named_and_everything_heals_when_it_is_back(healing: Fleet) -> None:
    rule = {"reply": {"content": "As ever."}}
    healing[0].control("PUT", "namespaces/gone", {"scenario": scenario_of(rule)})
    for replica in healing:
        replica.ask("before", "gone")
    before = healing[1].journal("gone")
    counted = healing[1].metric("llm_emulator_requests_total")
    healing.redis.stop()
    gone(healing)
    for method, path, body in (("GET", "journal", None), ("GET", "metrics", None), ("POST", "reset", {})):
        started = time.monotonic()
        response = healing[1].control(method, path, body)
        assert response.status_code == 503
        assert healing.redis.url in response.json()["error"]
        assert time.monotonic() - started < 4
    assert healing[1].control("GET", "health").status_code == 200
    healing.redis.start()  # with nothing in it
    print(f"healed after {healed(healing):.1f} s")
    assert healing[0].ask("after", "gone").json()["choices"][0]["message"]["content"] == "As ever."
    rows = healing[2].journal("gone")
    assert numbers(rows)[:3] == numbers(before)
    assert len(rows) == len(set(numbers(rows))) == 4
    assert [replica.metric("llm_emulator_requests_total") - counted for replica in healing] == [1, 1, 1]


@pytest.mark.long
def test_a_store_that_says_nothing_for_a_while_loses_nothing(healing: Fleet) -> None:
    counted = healing[1].metric("llm_emulator_requests_total")
    for replica in healing:
        replica.ask("before", "silent")
    assert len(healing[0].journal("silent")) == 3
    healing.redis.pause()
    started = time.monotonic()
    assert healing[1].control("GET", "journal").status_code == 503
    assert time.monotonic() - started < 4
    healing.redis.resume()
    healed(healing)
    for replica in healing:
        replica.ask("after", "silent")
    rows = healing[0].journal("silent")
    assert len(rows) == len(set(numbers(rows))) == 6
    assert [replica.metric("llm_emulator_requests_total") - counted for replica in healing] == [6, 6, 6]


def test_events_go_on_once_the_store_is_back(healing: Fleet) -> None:
    ended: list[int] = []

    def follow() -> None:
        with healing[0].client.stream("GET", "/__emulator/events", params={"namespace": "followed"}) as response:
            is_end = False
            for line in response.iter_lines():
                if line.startswith("event: "):
                    is_end = line == "event: end"
                elif line.startswith("id: ") and is_end:
                    ended.append(int(line.removeprefix("id: ")))
                    if len(ended) == 4:
                        return

    thread = threading.Thread(target=follow)
    thread.start()
    healing[1].ask("first", "followed")
    healing[2].ask("second", "followed")
    until(lambda: len(ended) == 2)
    healing.redis.stop()
    gone(healing)
    healing.redis.start()
    healed(healing)
    healing[1].ask("third", "followed")
    healing[2].ask("fourth", "followed")
    thread.join(20)
    assert not thread.is_alive()
    assert len(set(ended)) == 4


def test_workers_of_one_server_are_replicas_as_well() -> None:
    with running_fleet("--workers", "2", count=1) as fleet:
        for place in range(10):
            httpx.post(fleet[0].url + PATH, json={"model": "deepseek-v3", "messages": [
                {"role": "user", "content": f"{place}"}]}, headers=HEADERS, trust_env=False)  # fmt: skip
        rows = fleet[0].journal()
        assert len(rows) == len(set(numbers(rows))) == 10
        assert fleet[0].get("version")["workers"] == 2


def test_a_task_ends_although_a_library_takes_its_cancellation_for_something_else() -> None:
    async def run() -> bool:
        async def works() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()

        task = asyncio.create_task(works())
        await asyncio.wait([task], timeout=0.01)  # it has begun
        async with asyncio.timeout(20):
            await stop([task, None])
        return task.cancelled()

    assert asyncio.run(run())
