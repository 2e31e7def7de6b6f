"""One contract for every store: the store in memory and the script in Redis make the same decisions for random
requests.
"""

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from redis_server import RedisServer, running_redis

from emulator.errors import StoreGone
from emulator.state.leases import nothing_used
from emulator.state.memory_store import MemoryStore
from emulator.state.redis_connection import RETRY_DELAY, RedisConnection, store_address
from emulator.state.redis_packets import Step
from emulator.state.redis_store import RedisStore
from emulator.state.store import Amount, Counted, Counting, amount_of, decimal_of, limbs, units_of

NAMESPACES = count(1)
NAMES = ["a", "b", "é c"]
LIMITS = [-1, -1, 0, 1, 2, 5]
BEGINNING = 1.7e9


class Maker:
    """Makes random requests, each of which meets counters that others have left."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.pick = self.chance.choice

    def some(self, make: Callable[[], Any], most: int) -> list[Any]:
        return [make() for _ in range(self.chance.randint(0, most))]

    def moment(self) -> float:
        return BEGINNING + self.chance.uniform(0, 200)

    def mask(self) -> str:
        return "".join(self.pick("01") for _ in range(4))

    def amount(self) -> Amount:
        return limbs(self.chance.choice([0, 1, self.chance.randint(-3 * 10**19, 3 * 10**19)]))

    def fault(self) -> dict[str, Any]:
        return {
            "key": self.pick(NAMES), "is_loose": self.pick([True, False]), "skip": self.pick([0, 0, 1, 2]),
            "times": self.pick(LIMITS), "hits": self.pick(["", self.mask()]), "refuses": self.pick([True, False]),
        }  # fmt: skip

    def rule(self) -> dict[str, Any]:
        replies = self.chance.randint(1, 3)
        states = ["=start", "=paid", "*"]
        return {
            "key": self.pick(NAMES),
            "when": {self.pick(states): self.mask() for _ in range(self.pick([0, 0, 1, 2]))},
            "drawn": self.pick([[], [self.chance.randrange(replies) for _ in range(4)]]),
            "replies": replies,
            "then": self.pick(["cycle", "repeat_last", "next_rule"]),
            "times": self.pick(LIMITS),
            "sets": self.pick([[], [self.pick([None, "paid", "start", "x"]) for _ in range(replies)]]),
            "errors": self.pick([[], [0], [1, 2]]),
            "faults": self.some(self.fault, 2),
        }

    def account(self) -> dict[str, Any]:
        return {
            "given": self.pick(["g:p:a", "g:p:b"]), "spent": self.pick(["", "s:a"]),
            "balance": self.pick([None, self.amount()]), "guards": self.pick([True, False]),
        }  # fmt: skip

    def quotas(self) -> list[dict[str, Any]]:
        keys = self.chance.sample(NAMES, self.chance.randint(0, 3))
        return [
            {
                "key": key, "end": self.pick([self.moment(), 1e300]), "requests": self.pick(LIMITS),
                "tokens": self.pick(LIMITS), "concurrency": self.pick(LIMITS),
            }
            for key in keys
        ]  # fmt: skip

    def rate(self) -> dict[str, Any]:
        return {
            "key": self.pick(NAMES), "requests": self.chance.randint(0, 3), "tokens": self.chance.randint(0, 50),
            "output": self.pick([-1, 0, 30]), "is_enforced": self.pick([True, False]),
        }  # fmt: skip

    def decide(self) -> dict[str, Any]:
        first = self.pick([0, 0, 1, 2, 3])
        prefixes = {
            "look": self.some(lambda: self.pick(NAMES), 3),
            "keep": self.some(lambda: [self.pick(NAMES), self.moment()], 3),
        }
        return {
            "now": self.moment(), "identity": self.pick(["", "01", "02"]), "first": first, "last": first and first + 3,
            "rules": self.some(self.rule, 3), "account": self.pick([None, self.account()]), "quotas": self.quotas(),
            "lease": self.pick(["me:1", "me:2", "you:1"]), "rate": self.pick([None, self.rate()]),
            "faults": self.some(self.fault, 3), "prefixes": self.pick([None, prefixes]),
        }  # fmt: skip

    def settle(self) -> dict[str, Any]:
        return {
            "owner": self.pick(["me", "you"]), "number": self.chance.randint(1, 9), "now": self.moment(),
            "account": self.pick([None, self.account()]), "cost": limbs(self.chance.randint(0, 10**19)),
            "quotas": self.quotas(), "tokens": self.chance.randint(0, 9), "rate": self.pick([None, self.rate()]),
            "used": [7.0, 3.5], "lease": self.pick(["me:1", "me:2", "you:1"]), "closes": self.pick([[], ["a"], NAMES]),
        }  # fmt: skip

    def change(self) -> dict[str, Any]:
        return {
            "kind": self.pick(["reset", "restart", "give", "top_up", "forget"]), "order": self.chance.randint(0, 9),
            "token": self.pick(["", "t", "u"]), "keys": self.pick([[], ["u:a", "f:b"], ["u:"]]),
            "account": self.account(), "amount": self.amount(), "renews_quotas": self.pick([True, False]),
        }  # fmt: skip

    def count(self) -> Counting:
        return Counting(self.pick(["01", "02"]), self.pick(["", "u:a", "u:b"]), self.pick(["", "g:p:a"]))

    def save(self) -> list[tuple[str, str]]:
        def document() -> str:
            items = " ".join(self.some(lambda: self.pick(["i1", "i2", "i3"]), 2))
            return self.pick(["", f"{items}\n{self.pick(NAMES) * self.chance.randint(1, 40)}"])

        return self.some(lambda: (self.pick(["r1", "r2", "r3", "r4"]), document()), 3)

    def load(self) -> list[str]:
        return ["r1", "r2", "r3", "r4", "i1", "i2", "i3", "none"]

    def steps(self) -> list[tuple[str, Any]]:
        kinds = ["decide", "decide", "decide", "count", "count", "settle", "change", "save", "load"]
        actions = [self.pick(kinds) for _ in range(14)]
        return [(action, getattr(self, action)()) for action in actions]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


def in_memory(doing: list[tuple[str, Any]]) -> list[Any]:
    store = MemoryStore()
    seen: list[Any] = []
    for action, argument in doing:
        # What workers send to their parent is JSON.
        made = getattr(store, action)("n", json.loads(json.dumps(argument)))
        seen.append(made)
    return [*seen, store.snapshot("n")]


async def in_redis(runs: list[list[tuple[str, Any]]], url: str) -> list[list[Any]]:
    connection = RedisConnection(store_address(url))
    store = RedisStore(connection)
    store.start()
    try:
        return [await one_in_redis(doing, store) for doing in runs]
    finally:
        await store.close()
        await connection.close()


async def one_in_redis(doing: list[tuple[str, Any]], store: RedisStore) -> list[Any]:
    name = f"n{next(NAMESPACES)}"
    seen: list[Any] = []
    for action, argument in doing:
        done = getattr(store, action)(name, argument)
        seen.append(done if done is None else await done)
    snapshot = await store.snapshot(name)
    snapshot["values"].pop("order", None)  # it stands elsewhere in memory
    return [*seen, snapshot]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(6))
def test_redis_decides_like_memory(redis: RedisServer, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps of a failing seed are printed by `Maker(seed).steps()`."""
    for module in ("memory_store", "redis_store"):
        monkeypatch.setattr(f"emulator.state.{module}.MAX_STORED", 3)
        monkeypatch.setattr(f"emulator.state.{module}.MAX_STORED_BYTES", 60)
    runs = [Maker(1000 * seed + number).steps() for number in range(40)]

    for run, there in zip(runs, asyncio.run(in_redis(runs, redis.url)), strict=True):
        assert there == in_memory(run), run


def test_what_comes_at_once_is_counted_as_if_it_came_one_by_one(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also beyond the limit of what is cached, in one packet and in several."""
    for module in ("memory_store", "redis_commands"):
        monkeypatch.setattr(f"emulator.state.{module}.MAX_RECENT", 3)
    chance = random.Random(7)
    turns = [[f"{chance.randrange(9):02x}" for _ in range(chance.choice([1, 1, 4]))] for _ in range(60)]

    async def counted() -> list[Counted]:
        connection = RedisConnection(store_address(redis.url))
        store = RedisStore(connection)
        store.start()
        seen: list[Counted] = []
        for turn in turns:
            seen += await asyncio.gather(*[store.count("burst", Counting(each, "u:a", "")) for each in turn])
        snapshot = await store.snapshot("burst")
        await store.close()
        await connection.close()
        assert snapshot["values"] == {"u:a": str(sum(map(len, turns)))}
        return seen

    memory, expected = MemoryStore(), []
    for turn in turns:
        attempts: dict[str, list[Counted]] = {each: [] for each in turn}
        for each in sorted(turn, key=turn.index):  # what is alike is counted together, in the place of the first
            attempts[each].append(memory.count("burst", (each, "u:a", "")))
        expected += [attempts[each].pop(0) for each in turn]
    assert asyncio.run(counted()) == expected


def test_nobody_waits_for_a_store_that_others_have_found_gone(redis: RedisServer) -> None:
    async def asked() -> float:
        connection = RedisConnection(store_address(redis.url))
        store = RedisStore(connection)
        store.start()
        plan: Any = {**Maker(1).decide(), "quotas": []}
        asking = asyncio.ensure_future(store.decide("gone", plan))
        started = asyncio.get_running_loop().time()
        connection.lost(OSError("closed"))
        store.packets.put(Step(("PING",), waiting := asyncio.get_running_loop().create_future()))
        for each in (asking, waiting):
            with pytest.raises(StoreGone, match="does not answer: closed"):
                await each
        taken = asyncio.get_running_loop().time() - started
        await store.close()
        await connection.close()
        return taken

    assert asyncio.run(asked()) < RETRY_DELAY * 5


def leasing(lease: str) -> Any:
    quota = {"key": "q", "end": 1e12, "requests": -1, "tokens": -1, "concurrency": 1}
    return {
        **Maker(1).decide(),
        "rules": [],
        "account": None,
        "rate": None,
        "first": 0,
        "quotas": [quota],
        "lease": lease,
    }


def test_a_lease_whose_reply_never_came_is_given_back(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.state.redis_store.PATIENCE", 0.05)

    async def asked() -> Any:
        connection = RedisConnection(store_address(redis.url))
        store = RedisStore(connection)
        assert (await store.decide("lost", leasing("me:1")))["refused"] == ""
        settlement = nothing_used(store, 0.0)
        settlement["lease"], settlement["closes"] = "me:1", ["q"]
        store.settle("lost", settlement)
        redis.pause()
        try:
            with pytest.raises(StoreGone, match=r"has not replied within 0\.05 s"):
                await store.decide("lost", leasing("me:2"), is_needed=False)
        finally:
            redis.resume()
        decision = await store.decide("lost", leasing("me:3"))
        await store.close()
        await connection.close()
        return decision["refused"]

    assert asyncio.run(asked()) == ""


def test_leases_of_open_answers_are_renewed(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.state.redis_store.LEASE_SECONDS", 0.03)

    async def renewed() -> Any:
        connection = RedisConnection(store_address(redis.url))
        store = RedisStore(connection)
        await store.decide("held", leasing("me:1"))
        seen: asyncio.Future[Step] = asyncio.get_running_loop().create_future()
        put = store.packets.put

        def noted(step: Step) -> None:
            put(step)
            if "renew" in step.words and not seen.done():
                seen.set_result(step)

        monkeypatch.setattr(store.packets, "put", noted)
        store.start()
        step = await seen
        await step.done
        await store.close()
        await connection.close()
        return b'[["q","me:1"]]' in step.words

    assert asyncio.run(renewed())


@pytest.mark.parametrize("text", ["0", "1", "-1", "5.00", "0.000000000000000001", "-0.000002", "123456789012.5"])
def test_amounts_stay_exact(text: str) -> None:
    amount = amount_of(Decimal(text))
    assert decimal_of(amount) == Decimal(text)
    assert 0 <= amount[1] < 10**15
    assert limbs(units_of(amount)) == amount
