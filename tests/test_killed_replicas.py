"""Replicas that are killed: nothing of which a client has the answer is lost, in the journal and in the totals."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis_server import PROGRAM
from replicas import HEADERS, PATH, Fleet, Replica, running_fleet, scenario_of, until
from traffic import Body, Traffic, asked, id_of

pytestmark = pytest.mark.timeout(120)
KEY = "sk-live-0123456789abcdef"
VOLATILE = {
    "number", "received", "arrived", "age", "connection", "first_sent", "last_sent", "late", "ended_at", "socket",
    "namespace", "url",
}  # fmt: skip
SCENARIO = scenario_of(
    {"name": "slow", "match": {"prompt": {"contains": "slowly"}}, "reply": {"content": "word " * 200}},
    {"name": "leak", "match": {"prompt": {"contains": "key"}}, "reply": {"content": f"It is {KEY}, I think."}},
    {"name": "whole", "reply": {"content": "Whole."}},
)


@pytest.fixture(scope="module")
def three() -> Iterator[Fleet]:
    with running_fleet() as fleet:
        assert fleet[0].control("PUT", "scenario", SCENARIO).status_code == 200
        yield fleet


@pytest.fixture
def fleet(three: Fleet) -> Fleet:
    """Three that live; other tests may have killed some."""
    for place, replica in enumerate(three):
        if replica.served.process.poll() is not None:
            three.replace(place)
    return three


KINDS: dict[str, Body] = {
    "known": lambda client, count: asked("the same"),
    "known-streams": lambda client, count: asked("the same", stream=True),
    "new": lambda client, count: asked(f"question {count} of {client}"),
    "keys": lambda client, count: asked(f"My key {KEY} for {client}", user=str(count)),
    "own-form": lambda client, count: asked(f"question {count}", temperature=count / 1000, stream=count % 2 == 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_whole_answer_is_in_the_journal_and_the_totals(fleet: Fleet, kind: str) -> None:
    before = fleet[1].metric("llm_emulator_requests_total")
    with Traffic(fleet[0].url, f"whole-{kind}", KINDS[kind]) as traffic:
        until(lambda: len(traffic.whole) >= 60)
        fleet[0].kill()
        whole = list(traffic.whole)
        exported = fleet[1].control("GET", "journal/export", namespace=f"whole-{kind}", format="jsonl").text
    records = [json.loads(line) for line in exported.splitlines()]
    found = {id_of(each["response"]["text"]) for each in records if each["ended"] == "complete"}
    assert not set(whole) - found
    assert len(records) <= traffic.started
    assert KEY not in exported
    assert fleet[2].journal(f"whole-{kind}") == fleet[1].journal(f"whole-{kind}")
    counted = {fleet[place].metric("llm_emulator_requests_total") - before for place in (1, 2)}
    assert counted == {len(records)}
    assert not set(traffic.whole) - found


@pytest.mark.parametrize("text", ["a question", "What is my key?", f"My key is {KEY}."])
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_shown_of_an_exchange_is_what_its_replica_would_have_shown(
    fleet: Fleet, text: str, stream: bool
) -> None:
    namespaces = [f"alive-{stream}-{len(text)}", f"dead-{stream}-{len(text)}"]
    shown = []
    for place, namespace in enumerate(namespaces):
        for _ in range(4):  # the first goes through all steps, the last is known
            assert fleet[place].ask(text, namespace, stream=stream).status_code == 200
        if place:
            fleet[place].kill()
        exported = fleet[2].control("GET", "journal/export", namespace=namespace, format="jsonl").text
        shown.append([json.loads(line) for line in exported.splitlines()])
    alive, dead = shown
    assert [each["attempt"] for each in dead] == [1, 2, 3, 4]
    for one, other in zip(alive, dead, strict=True):
        differing = {name: (one[name], other[name]) for name in one.keys() - VOLATILE if one[name] != other[name]}
        assert differing.keys() <= {"request", "response", "frames", "misses", "because"}, differing
        assert one["request"]["body"] == other["request"]["body"]
        assert one["request"]["size"] == other["request"]["size"]
        assert one["response"]["content"] == other["response"]["content"]
        assert one["response"]["headers"].keys() == other["response"]["headers"].keys()
        assert one["response"]["size"] == other["response"]["size"]


def test_an_answer_that_was_under_way_is_shown_as_lost(fleet: Fleet) -> None:
    fleet[0].control("POST", "rules", {"reply": {"content": "word " * 500}, "pace": {"tokens_per_second": 20}},
                     namespace="slow")  # fmt: skip
    fleet[0].control("PUT", "speed", {"speed": 1})
    body = {"model": "deepseek-v3", "stream": True, **asked("Tell me slowly.")}
    before = fleet[1].metric("llm_emulator_requests_total")
    url = f"{fleet[0].url}/@slow{PATH}"
    with httpx.Client(timeout=10) as client, client.stream("POST", url, json=body, headers=HEADERS) as answer:
        parts = answer.iter_raw()
        next(parts)
        fleet[0].kill()
        rows = fleet[1].journal("slow")
    assert [(row["status"], row["ended"]) for row in rows] == [(200, "lost")]
    assert fleet[2].journal("slow") == rows
    assert fleet[1].get(f"journal/{rows[0]['number']}", namespace="slow")["request"]["body"]
    assert fleet[2].metric("llm_emulator_requests_total") == before + 1


def test_an_answer_that_has_just_ended_is_complete_and_none_is_left_open(fleet: Fleet) -> None:
    for place in range(5):
        assert fleet[0].ask(f"{place}", "unknown", model=f"other-{place}").status_code == 200
    missing = fleet[0].client.get("/@unknown/serevix/v1/nothing", headers=HEADERS)
    assert missing.status_code == 404
    fleet[0].kill()
    rows = fleet[1].journal("unknown")
    assert [(row["status"], row["ended"]) for row in rows] == [(200, "complete")] * 5 + [(404, "complete")]


def test_no_credential_is_in_the_store_when_a_replica_is_killed(fleet: Fleet) -> None:
    import redis

    for place in range(3):
        fleet[0].ask(f"My key is {KEY}.", "secret")
        fleet[0].ask(f"What is my key, {place}?", "secret")
        fleet[0].ask("What is my key?", "secret", stream=True)
    fleet[0].kill()
    with redis.Redis(port=fleet.redis.port) as client:
        kinds = {b"stream": client.xrange, b"hash": client.hgetall}
        kept = ("*:spool:*", "*:open:*", "*:journal")
        names = [name for pattern in kept for name in client.scan_iter(pattern)]
        texts = b"".join(repr(kinds[kind](name)).encode() for name in names if (kind := client.type(name)) in kinds)
    assert b"think" in texts
    for secret in (KEY, HEADERS["authorization"].split()[1]):
        assert secret.encode() not in texts


def test_totals_are_exact_if_a_replica_was_only_taken_for_gone(fleet: Fleet) -> None:
    import redis

    before = fleet[1].metric("llm_emulator_requests_total")
    with redis.Redis(port=fleet.redis.port) as client, Traffic(fleet[0].url, "blip", KINDS["new"]) as traffic:
        subscribers = [each for each in client.client_list() if int(each["sub"])]
        ports = {each["addr"] for each in subscribers}
        for round_ in range(6):
            until(lambda wanted=20 * (round_ + 1): len(traffic.whole) >= wanted)  # type: ignore[misc]
            for each in client.client_list():
                if int(each["sub"]) and each["addr"] in ports:
                    client.client_kill_filter(_id=each["id"])
                    time.sleep(0.02)
                    fleet[1].control("GET", "journal", namespace="blip")
    until(lambda: all(replica.control("GET", "journal").status_code == 200 for replica in fleet))
    rows = fleet[1].journal("blip")
    numbers = [row["number"] for row in rows]
    assert len(set(numbers)) == len(numbers) == len(traffic.whole)
    assert {replica.metric("llm_emulator_requests_total") - before for replica in fleet} == {len(traffic.whole)}


def test_what_all_replicas_left_is_found_by_a_new_one(fleet: Fleet) -> None:
    for place in range(9):
        fleet[place % 3].ask("Are you there?", "all-gone")
    for replica in fleet:
        replica.kill()
    newcomers = [fleet.replace(place) for place in range(3)]
    assert [len(each.journal("all-gone")) for each in newcomers] == [9, 9, 9]


@pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed")
def test_a_store_on_a_unix_socket(tmp_path: Path) -> None:
    socket = tmp_path / "redis.sock"
    assert PROGRAM is not None
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(tmp_path)]
    redis = subprocess.Popen([PROGRAM, *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        until(socket.exists)
        replicas = [Replica(f"unix://{socket}") for _ in range(2)]
        for place in range(6):
            assert replicas[0].ask(f"question {place % 2}").status_code == 200
        replicas[0].kill()
        assert [row["ended"] for row in replicas[1].journal()] == ["complete"] * 6
        for replica in replicas:
            replica.close()
    finally:
        redis.kill()
        redis.wait()
