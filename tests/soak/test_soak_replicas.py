"""Replicas that are killed and restarted under traffic: `make soak`. SOAK_SECONDS says for how long."""

import json
import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest
from replicas import HEADERS, PATH, Fleet, Replica, running_fleet, scenario_of
from traffic import Crowd

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
pytestmark = [pytest.mark.soak, pytest.mark.timeout(SECONDS + 300)]
NO_REUSE = httpx.Limits(max_keepalive_connections=0)
KILL_INTERVAL = 5.0
CLIENTS = 6
PAUSE = 0.05
"""Seconds between a client's requests, so that a period has fewer of them than a journal keeps."""
MAX_CALL = 10.0
MEBIBYTE = 2**20


class Traffic(Crowd):
    """Clients that ask any replica, each period in a namespace of its own, and remember the answers."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(CLIENTS)
        self.fleet = fleet
        self.namespace = "period-0"
        self.answered: dict[str, Counter[str]] = {}
        """The ids of whole answers, by namespace."""
        self.started: Counter[str] = Counter()
        self.broken = 0
        self.slowest = 0.0
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def ids(self, namespace: str) -> set[str]:
        """The ids of the answers that clients have whole by now."""
        with self._lock:
            return set(self.answered.get(namespace, ()))

    def go_on(self, number: int) -> None:
        chance = random.Random(number)
        client = httpx.Client(trust_env=False, verify=False, timeout=MAX_CALL, limits=NO_REUSE)
        while not self.stopped.wait(PAUSE):
            namespace = self.namespace
            replica = self.fleet[chance.randrange(3)]
            started = time.monotonic()
            with self._lock:
                self.started[namespace] += 1
            text = "a known question" if number % 2 else f"turn {chance.random()}"
            body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": text}]}
            try:
                response = client.post(f"{replica.url}/@{namespace}{PATH}", json=body, headers=HEADERS)
                answer = response.json()
            except (httpx.TransportError, ValueError):
                self.broken += 1
                continue
            finally:
                self.slowest = max(self.slowest, time.monotonic() - started)
            with self._lock:
                if response.status_code == 200:
                    self.answered.setdefault(namespace, Counter())[answer["id"]] += 1
                else:
                    self.wrong.append(response.text)


def ids_of(replica: Replica, namespace: str) -> set[str]:
    """The ids of all whole answers that it shows."""
    exported = replica.control("GET", "journal/export", namespace=namespace, format="jsonl").text
    records = [json.loads(line) for line in exported.splitlines()]
    return {json.loads(each["response"]["text"])["id"] for each in records if each["ended"] == "complete"}


def shown(fleet: Fleet, namespace: str, alive: set[int]) -> dict[int, dict[str, Any]]:
    """The exchanges that each living replica shows as ended; all must show the same."""
    parts = []
    for place in sorted(alive):
        rows = fleet[place].journal(namespace)
        parts.append({row["number"]: row for row in rows if row["ended"] is not None})
    first = parts[0]
    for other in parts[1:]:
        missing = first.keys() - other.keys()  # read later, so it has all that was shown before
        assert not missing, f"{namespace}: {sorted(missing)} were shown by one replica and not by another"
    return first


def test_replicas_that_are_killed_and_restarted_under_traffic() -> None:
    chance = random.Random(16)
    with running_fleet("--workers", "1") as fleet:
        made = fleet[0].control("PUT", "scenario", scenario_of({"reply": {"content": "Whole."}}))
        assert made.status_code == 200
        memory: list[float] = []
        latest = 0.0
        clients: list[int] = []
        periods, lost, started_at = 0, 0, time.monotonic()
        until = started_at + SECONDS
        with Traffic(fleet) as traffic, ThreadPoolExecutor(1) as pool:
            known: dict[int, dict[str, Any]] = {}
            while (due := started_at + KILL_INTERVAL * (periods + 1)) < until and time.monotonic() < until:
                time.sleep(max(0.0, due - time.monotonic()))
                latest = max(latest, time.monotonic() - due)
                victim = chance.randrange(3)
                alive = {0, 1, 2} - {victim}
                fleet[victim].kill()  # unprepared: nobody has asked for its journal in this period
                whole_at_once = traffic.ids(traffic.namespace)
                replacement = pool.submit(fleet.replace, victim)
                started = time.monotonic()
                after = shown(fleet, traffic.namespace, alive)
                assert time.monotonic() - started < MAX_CALL
                complete = sum(row["ended"] == "complete" for row in after.values())
                assert complete >= len(whole_at_once), f"{len(whole_at_once) - complete} whole answers are not shown"
                replacement.result()
                known = shown(fleet, traffic.namespace, {0, 1, 2})
                assert after.keys() <= known.keys()
                assert len({row["number"] for row in known.values()}) == len(known)
                finished, traffic.namespace = traffic.namespace, f"period-{periods + 1}"
                time.sleep(0.5)
                rows = shown(fleet, finished, {0, 1, 2})
                answered = traffic.answered.get(finished, Counter())
                assert set(answered.values()) <= {1}, "two answers with one id"
                assert len(rows) <= traffic.started[finished]
                missing = answered.keys() - ids_of(fleet[0], finished)
                assert not missing, f"{finished}: whole answers that no replica shows: {sorted(missing)}"
                lost += sum(row["ended"] == "lost" for row in rows.values())
                # All journals together are bounded in bytes: without this, the newest would soon drop exchanges.
                removed = fleet[1].control("DELETE", "journal", namespace=finished).json()
                assert removed == {"removed": len(rows)}
                periods += 1
                memory.append(redis_memory(fleet))
                clients.append(connections(fleet))
        assert traffic.wrong == []
        total = sum(traffic.started.values())
        counted = fleet[0].metric("llm_emulator_requests_total")
        answered_in_all = sum(len(each) for each in traffic.answered.values())
        assert answered_in_all <= counted <= total
        print(
            f"{time.monotonic() - started_at:.0f} s, {periods} replicas killed, {latest:.1f} s late at most; "
            f"{total} requests, {answered_in_all} answered, "
            f"{traffic.broken} cut off, {lost} shown as lost, {counted:.0f} counted, slowest {traffic.slowest:.1f} s; "
            f"Redis {memory[0]:.1f} to {memory[-1]:.1f} MiB, connections {min(clients)} to {max(clients)}"
        )
        assert traffic.slowest < MAX_CALL
        assert max(clients[len(clients) // 2 :]) <= max(clients[: len(clients) // 2 + 1]) + 6
        for replica in fleet:
            process = psutil.Process(replica.served.process.pid)
            assert process.num_fds() < 100


def redis_memory(fleet: Fleet) -> float:
    import redis

    with redis.Redis(port=fleet.redis.port) as client:
        return float(client.info("memory")["used_memory"]) / MEBIBYTE


def connections(fleet: Fleet) -> int:
    import redis

    with redis.Redis(port=fleet.redis.port) as client:
        return int(client.info("clients")["connected_clients"])
