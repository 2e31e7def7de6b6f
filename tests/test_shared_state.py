"""Several processes that count together: workers of one server, whose parent keeps the counts, and servers that share a
real Redis."""

import json
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from rawhttp import eventually
from redis_server import RedisServer
from served import Served, served
from talk import Alone

from emulator.state.store import LEASE_SECONDS

pytestmark = pytest.mark.timeout(240)

SCENARIO = """\
version: 1
clock: manual
rules:
  - name: in-turn
    match: {prompt: {contains: turn}}
    then: cycle
    replies:
      - reply: {content: one}
      - error: overloaded
      - reply: {content: three}
  - name: second
    match: {prompt: {contains: again}, any_of: [{attempt: 2}, {state: nowhere}]}
    reply: {content: "the second"}
  - name: lucky
    match: {prompt: {contains: lucky}}
    chance: 0.5
    reply: {content: lucky}
  - name: drawn
    match: {prompt: {contains: drawn}}
    replies:
      - {chance: 0.3, reply: {content: heads}}
      - {chance: 0.7, reply: {content: tails}}
  - name: pays
    match: {prompt: {contains: pay}}
    set_state: paid
    reply: {content: thanks}
  - name: paid
    match: {state: paid, prompt: {contains: state}}
    faults: ["finish_reason:value=length,times=1"]
    reply: {content: "{{ state }} at attempt {{ attempt }}"}
faults:
  - {kind: error, name: rate_limited, skip: 5, times: 2}
  - {kind: error, name: server_error, probability: 0.2}
accounts:
  - {key: sk-poor, balance: "0.0001"}
  - {key: sk-rich}
quotas:
  - {key: sk-rich, requests: 25, per: 100000}
"""
LONG = "A prompt that is long enough to be cached. " * 40
PROMPTS = [
    *["turn"] * 7, *["again"] * 3, *["lucky"] * 20, *["drawn"] * 5, "state", "pay", "state", "state",
    *["poor"] * 5, *[LONG] * 5, *["again and again"] * 8,
]  # fmt: skip
KEYS = {"poor": "sk-poor"}


CLIENT = httpx.Client(trust_env=False, transport=Alone(), timeout=20)
"""Each request has a connection of its own, so that the kernel spreads them."""


def chat(origin: str, prompt: str, key: str = "sk-rich", provider: str = "serevix") -> httpx.Response:
    body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": prompt}]}
    path = "/chat/completions" if provider == "deepseek" else "/v1/chat/completions"
    body["model"] = "deepseek-v4-flash" if provider == "deepseek" else "deepseek-v3"
    headers = {"authorization": f"Bearer {key}"}
    return CLIENT.post(f"{origin}/{provider}{path}", json=body, headers=headers)


def content(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def control(origin: str, method: str, path: str, body: Any = None) -> Any:
    given = {} if body is None else {"json": body}
    response = CLIENT.request(method, f"{origin}/__emulator/{path}", **given)
    return response.json()


def run_of(origins: Sequence[str]) -> list[tuple[int, str]]:
    """What one client gets that asks in turn."""
    seen = []
    for number, prompt in enumerate(PROMPTS):
        key = "sk-poor" if prompt.startswith("poor") else "sk-rich"
        provider = "deepseek" if prompt is LONG else "serevix"
        response = chat(origins[number % len(origins)], prompt, key, provider)
        seen.append((response.status_code, response.text))
    return seen


@pytest.fixture
def scenario(tmp_path: Path) -> Callable[[str], str]:
    def written(text: str) -> str:
        path = tmp_path / "scenario.yaml"
        path.write_text(text)
        return str(path)

    return written


@pytest.fixture
def replicas(redis_server: RedisServer) -> Iterator[Callable[..., list[Served]]]:
    """Starts three servers that share a Redis."""
    with ExitStack() as stack:

        def start(*options: str) -> list[Served]:
            options = ("--store", redis_server.url, "--speed", "max", "--log", "off", *options)
            with ThreadPoolExecutor(3) as pool:
                return list(pool.map(lambda _: stack.enter_context(served(*options)), range(3)))

        yield start


def origins_of(servers: Sequence[Served]) -> list[str]:
    return [f"http://127.0.0.1:{server.port}" for server in servers]


def test_the_same_run_gives_the_same_bodies_alone_on_workers_and_on_replicas(
    scenario: Callable[[str], str], replicas: Callable[..., list[Served]]
) -> None:
    options = ("--speed", "max", "--log", "off", "--scenario", scenario(SCENARIO))
    with served(*options) as server:
        alone = run_of(origins_of([server]))
        accounts = control(origins_of([server])[0], "GET", "accounts")
    with served(*options, "--workers", "3") as server:
        origins = origins_of([server])
        on_workers = run_of(origins)
        shown = control(origins[0], "GET", "accounts")
    together = origins_of(replicas("--scenario", scenario(SCENARIO)))
    on_replicas = run_of(together)
    assert on_workers == alone
    assert on_replicas == alone
    statuses = [status for status, _ in alone]
    assert {200, 403, 429, 500, 503} <= set(statuses)  # the scenario has done all that it can
    answers = [text for prompt, (status, text) in zip(PROMPTS, alone, strict=True) if prompt is LONG and status == 200]
    cached = [json.loads(text)["usage"]["prompt_cache_hit_tokens"] for text in answers]
    assert cached[0] == 0
    assert cached[-1] > 0
    balances = [Decimal(row["balance"]) for row in accounts["accounts"] if row["balance"] is not None]
    for rows in (shown, *(control(origin, "GET", "accounts") for origin in together)):
        assert [Decimal(row["balance"]) for row in rows["accounts"] if row["balance"] is not None] == balances


REPLIES = 60
COUNTED = {
    "version": 1,
    "rules": [
        {
            "name": "dealt",
            "match": {"prompt": {"contains": "deal"}},
            "then": "next_rule",
            "replies": [{"reply": {"content": f"reply {number}"}} for number in range(REPLIES)],
        }
    ],
    "accounts": [{"key": "sk-rich"}, {"key": "sk-poor", "balance": "0.0005"}, {"key": "sk-some"}],
    "quotas": [{"key": "sk-some", "requests": 20, "per": 100000}],
}


def check_counts(origins: Sequence[str]) -> None:
    """Each reply is used once, a balance adds up, and a quota counts all requests."""

    def ask(number: int, prompt: str, key: str) -> httpx.Response:
        return chat(origins[number % len(origins)], prompt, key)

    with ThreadPoolExecutor(8) as pool:
        dealt = list(pool.map(lambda n: ask(n, f"deal {n}", "sk-rich"), range(REPLIES)))
        limited = list(pool.map(lambda n: ask(n, f"limited {n}", "sk-some"), range(40)))
        poor = list(pool.map(lambda n: ask(n, "poor", "sk-poor"), range(60)))
    contents = sorted(content(answer) for answer in dealt)
    assert contents == sorted(f"reply {number}" for number in range(REPLIES))
    assert sorted(answer.status_code for answer in limited) == [200] * 20 + [429] * 20
    paid = [answer.json()["usage"] for answer in poor if answer.status_code == 200]
    assert 1 < len(paid) < 60
    left = {
        Decimal(row["balance"])
        for origin in origins
        for row in control(origin, "GET", "accounts")["accounts"]
        if row["balance"] is not None
    }
    assert len(left) == 1
    (balance,) = left
    cost = (Decimal("0.0005") - balance) / len(paid)
    assert balance <= 0
    assert balance > -8 * cost  # no further below than by the calls in flight
    assert len({(usage["prompt_tokens"], usage["completion_tokens"]) for usage in paid}) == 1
    uses = [row["used"] for row in control(origins[0], "GET", "rules")["rules"]]
    assert uses == [REPLIES]


def test_replicas_count_together(
    redis_server: RedisServer, scenario: Callable[[str], str], replicas: Callable[..., list[Served]]
) -> None:
    origins = origins_of(replicas("--scenario", scenario(json.dumps(COUNTED))))
    redis_server.command("CONFIG", "RESETSTAT")
    check_counts(origins)
    stats = redis_server.command("INFO", "commandstats").decode()
    calls = re.search(r"cmdstat_evalsha:calls=(\d+)", stats)
    assert calls is not None
    # One run of the script for each request, and one for what an answer has used of a quota or a balance.
    requests, charged = REPLIES + 40 + 60, 60
    assert requests <= int(calls[1]) <= requests + charged + 3


def test_workers_count_together(scenario: Callable[[str], str]) -> None:
    with served("--workers", "3", "--speed", "max", "--log", "off", "--scenario", scenario(json.dumps(COUNTED))) as one:
        check_counts(origins_of([one]))


ONE_AT_A_TIME = {
    "version": 1,
    "rules": [
        {"name": "slow", "match": {"prompt": "slow"}, "pace": {"ttft": 3600}, "reply": {"content": "x"}},
        {"name": "quick", "reply": {"content": "quick"}},
    ],
    "quotas": [{"concurrency": 1}],
}


def hold(server: Served, elsewhere: str) -> socket.socket:
    """Begins an answer that does not end, and returns once it counts everywhere."""
    body = json.dumps({"model": "deepseek-v3", "stream": True, "messages": [{"role": "user", "content": "slow"}]})
    head = f"host: x\r\nauthorization: Bearer k\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    until = time.monotonic() + 30
    while time.monotonic() < until:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        connection.sendall(f"POST /serevix/v1/chat/completions HTTP/1.1\r\n{head}\r\n\r\n{body}".encode())
        head_sent = connection.recv(1000)
        if head_sent.startswith(b"HTTP/1.1 200 "):
            assert chat(elsewhere, "quick", "k").status_code == 429
            return connection
        connection.close()  # something else was still open
    raise AssertionError("the slow answer does not begin within 30 s")


def until_admitted(origin: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (status := chat(origin, "quick", "k").status_code) == 429:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert status == 200


class Leases:
    """What Redis knows of the answers that are open, each with the moment at which nobody holds it any more."""

    def __init__(self, url: str) -> None:
        import redis

        self._redis = redis.Redis.from_url(url)

    def end(self) -> float:
        """Of the only one, in milliseconds."""
        ((_, _, end),) = self._all()
        return end

    def bring_forward(self, seconds: float) -> None:
        """As if so much time had passed."""
        for key, lease, _ in self._all():
            self._redis.zincrby(key, -1000 * seconds, lease)

    def _all(self) -> list[tuple[Any, Any, float]]:
        keys: Any = self._redis.keys("*lease:*")
        return [(key, *each) for key in keys for each in self._redis.zrange(key, 0, -1, withscores=True)]


@pytest.mark.long
def test_what_a_killed_replica_held_is_free_again(
    scenario: Callable[[str], str], replicas: Callable[..., list[Served]], redis_server: RedisServer
) -> None:
    leases = Leases(redis_server.url)
    servers = replicas("--speed", "1", "--scenario", scenario(json.dumps(ONE_AT_A_TIME)))
    origins = origins_of(servers)
    with hold(servers[0], origins[1]):  # one that ends gives it back at once
        pass
    until_admitted(origins[2], 10)
    with hold(servers[0], origins[1]):
        first = leases.end()
        eventually(lambda: leases.end() > first, LEASE_SECONDS)  # an answer that goes on keeps it
        assert chat(origins[1], "quick", "k").status_code == 429
        servers[0].process.kill()
        servers[0].process.wait()
        leases.bring_forward(LEASE_SECONDS)
        until_admitted(origins[1], LEASE_SECONDS / 3)  # nobody keeps it


@pytest.mark.soak
def test_what_a_killed_replica_held_is_free_again_in_its_time(
    scenario: Callable[[str], str], replicas: Callable[..., list[Served]]
) -> None:
    servers = replicas("--speed", "1", "--scenario", scenario(json.dumps(ONE_AT_A_TIME)))
    origins = origins_of(servers)
    with hold(servers[0], origins[1]):
        time.sleep(LEASE_SECONDS + 1)
        assert chat(origins[1], "quick", "k").status_code == 429
        servers[0].process.kill()
        servers[0].process.wait()
        until_admitted(origins[1], LEASE_SECONDS + 10)


def test_what_a_killed_worker_held_is_free_again(scenario: Callable[[str], str]) -> None:
    options = ("--log", "off", "--scenario", scenario(json.dumps(ONE_AT_A_TIME)))
    with served("--workers", "2", *options) as server:
        (origin,) = origins_of([server])
        with hold(server, origin):
            for worker in psutil.Process(server.process.pid).children():
                worker.kill()
            until = time.monotonic() + 20
            while time.monotonic() < until:
                try:
                    until_admitted(origin, 5)
                except httpx.TransportError:
                    continue  # it has not been replaced yet
                break
            assert chat(origin, "quick", "k").status_code == 200


@pytest.mark.long
def test_without_its_store_a_server_answers_what_needs_none_and_then_goes_on(
    redis_server: RedisServer, scenario: Callable[[str], str], replicas: Callable[..., list[Served]]
) -> None:
    plain = {"name": "plain", "match": {"prompt": {"contains": "plain"}}, "reply": {"content": "plain"}}
    turns = {"name": "turns", "replies": [{"reply": {"content": f"{number}"}} for number in range(5)]}
    text = json.dumps(
        {"version": 1, "rules": [plain, turns], "accounts": [{"key": "k", "balance": "1"}, {"key": "free"}]}
    )
    origins = origins_of(replicas("--scenario", scenario(text)))
    assert content(chat(origins[0], "turn", "free")) == "0"
    assert chat(origins[0], "plain", "k").status_code == 200
    before = control(origins[0], "GET", "accounts")["accounts"][0]["balance"]
    started = time.monotonic()
    assert content(chat(origins[1], "plain", "free")) == "plain"
    usual = time.monotonic() - started  # on this machine, now
    redis_server.pause()
    began = time.monotonic()
    while time.monotonic() < began + 5:
        for origin in origins:
            started = time.monotonic()
            answer = chat(origin, "plain", "free")
            assert content(answer) == "plain"
            assert time.monotonic() - started < 1.3 + max(0.2, 2 * usual)
            started = time.monotonic()
            answer = chat(origin, "turn", "free")
            assert time.monotonic() - started < 4
            assert (answer.status_code, answer.headers["x-emulator-error"]) == (503, "store")
            assert f"The store {redis_server.url} does not answer: " in answer.text
            assert chat(origin, "plain", "k").status_code == 503  # a balance is at stake
            assert content(chat(origin, "plain", "free", "deepseek")) == "plain"
            unknown = CLIENT.post(f"{origin}/serevix/v1/nothing")
            assert unknown.status_code == 404
    refused = CLIENT.post(f"{origins[0]}/__emulator/reset", json={})
    assert refused.status_code == 503
    assert f"The store {redis_server.url} does not answer: " in refused.json()["error"]
    redis_server.resume()
    until = time.monotonic() + 20
    while any(chat(origin, "plain", "k").status_code == 503 for origin in origins):
        assert time.monotonic() < until
    after = control(origins[0], "GET", "accounts")["accounts"][0]["balance"]
    assert Decimal(after) < Decimal(before) < 1
    # Requests that came to Redis while it was paused may have been counted; those that were answered were not lost.
    contents = [content(chat(origins[n % 3], "turn", "free")) for n in range(6)]
    assert contents == sorted(contents)
    assert "0" not in contents


def test_a_store_that_was_emptied_is_one_that_begins_anew(
    redis_server: RedisServer, scenario: Callable[[str], str], replicas: Callable[..., list[Served]]
) -> None:
    turns = {"name": "turns", "replies": [{"reply": {"content": "first"}}, {"reply": {"content": "second"}}]}
    origins = origins_of(replicas("--scenario", scenario(json.dumps({"version": 1, "rules": [turns]}))))
    contents = [content(chat(origin, "turn")) for origin in origins]
    assert contents == ["first", "second", "second"]
    redis_server.stop()
    assert chat(origins[0], "turn").status_code == 503
    redis_server.start()
    until = time.monotonic() + 10
    while (answer := chat(origins[0], "turn")).status_code == 503:
        assert time.monotonic() < until
    assert content(answer) == "first"


def test_keys_are_of_one_slot_for_each_namespace_and_expire(
    redis_server: RedisServer, scenario: Callable[[str], str]
) -> None:
    store = f"{redis_server.url}?prefix=team&ttl=120"
    path = scenario(json.dumps({"version": 1, "quotas": [{"requests": 5, "concurrency": 5}]}))
    with served("--store", store, "--speed", "max", "--log", "off", "--scenario", path) as server:
        (origin,) = origins_of([server])
        assert chat(f"{origin}/@mine", "hello", "sk-secret").status_code == 200
        keys = redis_server.command("KEYS", "*").decode().split("\r\n")[2::2]
        assert keys
        assert {key.partition(":")[0] for key in keys if key} == {"team"}
        names = ("values", "attempts", "tallies", "leases", "lease:")
        counted = [key for key in keys if key.startswith(tuple(f"team:{{mine}}:{name}" for name in names))]
        assert len(counted) > 2
        for key in counted:
            left = int(redis_server.command("TTL", key)[1:])
            assert 60 < left <= 120 or (left == -2 and ":lease" in key)  # given back meanwhile
        assert "sk-secret" not in "".join(keys)
        server.signal(signal.SIGTERM)
        assert server.finish()[0] == 0


def test_the_control_api_changes_and_shows_what_all_workers_count(scenario: Callable[[str], str]) -> None:
    with served("--workers", "3", "--speed", "max", "--log", "off", "--scenario", scenario(json.dumps(COUNTED))) as one:
        (origin,) = origins_of([one])
        assert control(origin, "PUT", "accounts/serevix/sk-new", {"balance": "1"})["balance"] == "1"
        assert [chat(origin, f"{n}", "sk-new").status_code for n in range(6)] == [200] * 6
        row = control(origin, "POST", "accounts/serevix/sk-new/top-up", {"amount": "2"})
        assert Decimal(2) < Decimal(row["balance"]) < 3
        shown = control(origin, "GET", "accounts")["accounts"]
        assert shown[0]["balance"] == row["balance"]
        control(origin, "PUT", "accounts/serevix/sk-new", {"balance": "0"})
        assert {chat(origin, f"{n}", "sk-new").status_code for n in range(6)} == {403}
        once = {"name": "once", "times": 2, "reply": {"content": "once"}}
        assert control(origin, "POST", "rules", once)["id"] == "added-1"
        said = [content(chat(origin, f"new {n}")) for n in range(9)]
        assert said.count("once") == 2
        assert [rule["used"] for rule in control(origin, "GET", "rules")["rules"]] == [2, 0]
        assert control(origin, "POST", "reset", {}) == {"status": "ok"}
        said = [content(chat(origin, f"deal {n}")) for n in range(5)]
        assert said == [f"reply {n}" for n in range(5)]
        turns = {"rules": [{"name": "t", "replies": [{"reply": {"content": "a"}}, {"reply": {"content": "b"}}]}]}
        assert control(origin, "PUT", "scenario", turns)["rules"] == 1
        assert [content(chat(origin, "x", "k")) for n in range(4)] == [*"abbb"]
        assert control(origin, "PUT", "scenario", turns)["rules"] == 1
        assert content(chat(origin, "x", "k")) == "a"
