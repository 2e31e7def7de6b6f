"""The parts of a replica, one by one and with a real Redis: how it joins, what it writes down for itself and for
others, and how it waits for a connection that is full."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from redis_server import RedisServer, running_redis
from talk import KEYS, PATHS, question, single

from emulator import Emulator
from emulator.clock import WallClock
from emulator.control.controlled import TAKE_OVER
from emulator.errors import StoreGone
from emulator.request import HttpRequest
from emulator.server import recovery as recovering
from emulator.server import redis_spool
from emulator.server.broker import ALL, CALL
from emulator.server.bus import Bus
from emulator.server.conversation import Answers
from emulator.server.given import Given
from emulator.server.joining import Joining
from emulator.server.journals import NOT_JOINED, SPOOLS, TAKEN, Batch, Journals, Reach, Written, spool_names
from emulator.server.numbers import RESERVE, RESERVED, Numbers
from emulator.server.recovery import Recovery
from emulator.server.redis_spool import RedisSpool
from emulator.server.replicas import Replicas
from emulator.server.sent_totals import without
from emulator.server.spooling import ended
from emulator.server.stored import shared_key
from emulator.state.exchanges import Exchange
from emulator.state.packed import Packer
from emulator.state.redis_connection import RedisConnection, store_address
from emulator.wire import Playback

NOWHERE = "redis://127.0.0.1:1/0"
prefixes = (f"parts-{number}" for number in count())


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


def ran(redis: RedisServer | None, steps: Callable[[RedisConnection], Awaitable[Any]]) -> Any:
    """With a connection and keys of its own; without a server, nothing answers."""

    async def run() -> Any:
        url = NOWHERE if redis is None else f"{redis.url}?prefix={next(prefixes)}"
        connection = RedisConnection(store_address(url))
        try:
            return await asyncio.wait_for(steps(connection), 30)
        finally:
            await connection.close()

    return asyncio.run(run())


# Joining


class Member:
    """A replica that joins, and what it is asked to do."""

    def __init__(self, connection: RedisConnection) -> None:
        self.asked: list[bytes] = []
        self.joined: list[bool] = []
        self.error: Exception | None = None
        self.answers = Answers(lambda *_: None)
        self.answers.handle = self.handle
        self.given: Any = Given(connection)
        self.joining = Joining(self.given, self.answers, WallClock())
        self.joining.ask_others, self.joining.then = self.nobody, self.then

    def handle(self, message: bytes) -> bytes:
        if message == TAKE_OVER:
            return b'{"order":0,"given":{"speed":2}}'
        if self.error is not None:
            raise self.error
        self.asked.append(message)
        return b""

    async def nobody(self) -> bytes:
        return b""

    async def then(self, has_lost: bool) -> None:
        self.joined.append(has_lost)

    async def joins(self) -> None:
        self.joining.has_joined.clear()
        self.joining.soon()
        assert self.joining._task is not None
        await self.joining._task


async def emptied(connection: RedisConnection) -> None:
    keys = await connection.client.keys(f"{connection.address.prefix}:*")
    await connection.client.delete(*keys)


def test_a_new_replica_that_comes_first_after_a_loss_gets_the_configuration_of_the_others(redis: RedisServer) -> None:
    async def steps(connection: RedisConnection) -> Any:
        old, new = Member(connection), Member(connection)
        await old.joins()
        await emptied(connection)
        await new.joins()  # it has nothing to give
        await old.joins()
        written = await old.given.since(0)
        return old.joined, new.joined, [each.message for each in written], old.joining.token == new.joining.token

    assert ran(redis, steps) == ([False, True], [False], [b'{"adopt":{"speed":2}}'], True)


def test_a_replica_that_missed_calls_which_are_no_longer_kept_adopts_the_snapshot(redis: RedisServer) -> None:
    async def steps(connection: RedisConnection) -> Any:
        late = Member(connection)
        await late.joins()
        for order in (10, 20):
            await late.given.save(order, b'{"speed":3}')
        await late.joins()
        adopted = late.asked.copy()
        await late.joins()  # it misses nothing more
        return adopted, late.asked == adopted, late.answers.order, late.joined

    assert ran(redis, steps) == ([b'{"adopt":{"speed":3}}'], True, 20, [False, False, False])


def test_a_replica_joins_again_when_the_store_has_lost_its_data(redis: RedisServer) -> None:
    async def steps(connection: RedisConnection) -> Any:
        member = Member(connection)
        await member.joins()
        await member.joining.look()
        before = member.joined.copy()
        await emptied(connection)
        await member.joining.look()
        assert member.joining._task is not None
        await member.joining._task
        return before, member.joined, member.joining.has_joined.is_set()

    assert ran(redis, steps) == ([False], [False, True], True)


def test_a_replica_that_cannot_join_tries_again(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async def steps(connection: RedisConnection) -> Any:
        member = Member(connection)
        await member.given.save(5, b'{"speed":3}')
        member.error = ValueError("bad")
        seen = []
        await member.joins()
        seen.append(member.joining.has_joined.is_set())
        member.error = None
        connection.lost(OSError("closed"))
        word, member.given.token = member.given.token, gone
        await member.joins()
        seen.append(member.joining.has_joined.is_set())
        member.given.token = word
        await member.joins()
        return [*seen, member.joining.has_joined.is_set()]

    async def gone(_: bytes) -> bytes:
        raise StoreGone("gone")

    assert ran(redis, steps) == [False, False, True]
    logged = [record.getMessage() for record in caplog.records if record.exc_info is not None]
    assert logged == ["Cannot join the other replicas: please report this"]


# Messages and questions


def test_messages_that_the_store_does_not_take_are_dropped_with_those_behind_them() -> None:
    async def steps(_: Any) -> Any:
        taken: list[Any] = []
        failures = [ConnectionError("closed")]
        failed, tried = asyncio.Event(), asyncio.Event()

        class Pipe:
            def publish(self, _: str, frame: bytes) -> None:
                taken.append(frame[-1:])

            async def execute(self) -> None:
                if failures:
                    taken.clear()
                    bus.send(CALL, ALL, 1, b"b")
                    failed.set()
                    raise failures.pop()
                if taken:
                    tried.set()

        connection = RedisConnection(store_address(NOWHERE))
        bus = Bus(connection, WallClock())
        pool = SimpleNamespace(connection_kwargs={})
        fake: Any = SimpleNamespace(is_gone=False, address=connection.address, lost=lambda _: StoreGone("gone"))
        fake.client = SimpleNamespace(pipeline=lambda transaction: Pipe(), connection_pool=pool)
        bus._connection = fake
        publishing = asyncio.create_task(bus._publish())
        bus.send(CALL, ALL, 1, b"a")
        await failed.wait()
        bus.send(CALL, ALL, 1, b"c")
        await tried.wait()
        publishing.cancel()
        await connection.close()
        return taken

    assert ran(None, steps) == [b"c"]


def test_a_question_ends_when_the_store_is_lost(redis: RedisServer) -> None:
    async def steps(connection: RedisConnection) -> None:
        replicas = Replicas(connection, WallClock())
        with replicas._talk.asking() as question:
            question.expected = {replicas.bus.member + 1}
            connection.lost(OSError("closed"))
            with pytest.raises(StoreGone, match="does not answer: closed"):
                await replicas._answered(question)

    ran(redis, steps)


# Numbers


def test_a_block_of_numbers_that_the_store_does_not_give_is_asked_for_again() -> None:
    async def steps(connection: RedisConnection) -> Any:
        numbers = Numbers(connection, 2)
        got = []
        for _ in range(2):
            got.append(numbers.next())
            assert numbers._task is not None
            await numbers._task
            connection.reason = ""
        return got

    first = RESERVE + 2 * RESERVED
    assert ran(None, steps) == [first + 1, first + 2]


# Journals


def batch(number: str, known: Reach, reaches: Reach, *exchanges: int) -> Batch:
    written = [("default", Written(each, float(each), b'{"number":%d}' % each, b"{}")) for each in exchanges]
    return Batch(number, known, reaches, 1, {b'["requests",["a"]]': str(len(exchanges))}, written)


def test_nothing_is_written_before_the_replica_has_joined(redis: RedisServer) -> None:
    async def steps(connection: RedisConnection) -> Any:
        return await Journals(connection, 1).commit(batch("1", Reach(), Reach(1, 1), 1))

    assert ran(redis, steps) == NOT_JOINED


def test_a_replica_that_was_taken_for_gone_learns_what_others_have_written_for_it(redis: RedisServer) -> None:
    async def steps(connection: RedisConnection) -> Any:
        mine, other = Journals(connection, 1), Journals(connection, 2)
        mine.token = other.token = await Given(connection).token(b"")
        await connection.client.hset(shared_key(connection, SPOOLS), "1", str(Reach()))
        done = await other.commit(batch("x", Reach(), Reach(2, 2), 1, 2), member=1)
        late = await mine.commit(batch("1", Reach(), Reach(1, 1), 1))
        first, second = [await mine.taken() for _ in range(2)]
        return done > 0, late, first, second, [kept.row["number"] for kept in await mine.stored_rows("default")]

    counted = {b'["requests",["a"]]': "2"}
    assert ran(redis, steps) == (True, TAKEN, (Reach(2, 2), counted), (Reach(2, 2), {}), [1, 2])


def test_readers_that_have_left_are_not_woken(redis: RedisServer) -> None:
    async def steps(connection: RedisConnection) -> Any:
        journals = Journals(connection, 1)
        first, second, alone = journals.changed("a"), journals.changed("a"), journals.changed("b")
        first.cancel()
        alone.cancel()
        await asyncio.sleep(0)
        watched = {name: len(each) for name, each in journals._watchers.items()}
        third = journals.changed("a")
        second.cancel()
        journals.grown(["a", "c"])
        return watched, second.cancelled(), third.done(), journals._watchers

    assert ran(redis, steps) == ({"a": 1}, True, True, {})


TOTALS: dict[str, tuple[dict[bytes, str], dict[bytes, str], dict[bytes, str] | None, dict[bytes, str]]] = {
    "nothing": ({b"a": "3"}, {}, None, {b"a": "3"}),
    "a count": ({b"a": "3", b"b": "1"}, {b"a": "2"}, None, {b"a": "1", b"b": "1"}),
    "a count that only others have": ({}, {b"a": "2"}, None, {b"a": "-2"}),
    "a price": ({b"a": "0.000300"}, {b"a": "0.0001"}, None, {b"a": "0.000200"}),
    "a price that is whole": ({b"a": "2.0"}, {b"a": "1"}, None, {b"a": "1.0"}),
    "whole prices that begin": ({b"a": "20"}, {b"a": "1E+1"}, None, {b"a": "10"}),
    "more": ({b"a": "1"}, {}, {b"a": "2", b"b": "0.5"}, {b"a": "3", b"b": "0.5"}),
}


@pytest.mark.parametrize("name", TOTALS)
def test_totals_that_others_have_added_are_not_added_again(name: str) -> None:
    added, less, plus, expected = TOTALS[name]
    assert without(added, less, plus=plus) == expected


# What replicas leave


def exchange(number: int) -> Exchange:
    asked = HttpRequest("serevix", "POST", "/v1/chat/completions", {"host": "x"}, "", b"{}", operation="chat")
    made = Exchange(number, 1000.0, asked)
    made.status, made.playback = 200, Playback("complete", 2, 1, 0.0, 0.0)
    return made


class Heir:
    """A replica that looks for what member 7 has left."""

    def __init__(self, connection: RedisConnection) -> None:
        self.connection = connection
        self.bus = Bus(connection, WallClock())
        self.journals = Journals(connection, self.bus.member)
        self.recovery = Recovery(connection, self.bus, self.journals)
        self.journals.complete = self.recovery.look
        self.announced: list[dict[str, int]] = []
        self.recovery.on_written = self.announced.append

    async def finds(self, reach: Reach, *entries: int) -> None:
        """An exchange in each entry, and how far they have been written down."""
        self.journals.token = await Given(self.connection).token(b"")
        client, packer = self.connection.client, Packer(is_private=False)
        await client.hset(shared_key(self.connection, SPOOLS), "7", str(reach))
        for entry in entries:
            record = {"r": ended(packer, exchange(entry))}
            await client.xadd(shared_key(self.connection, spool_names(7)[0]), record, id=f"{entry}-0")

    async def numbers(self) -> list[int]:
        return [kept.row["number"] for kept in await self.journals.rows("default")]

    async def counted(self) -> int:
        totals, _ = await self.journals.totals()
        return sum(amount for _, amount in totals["requests"])


def test_what_is_in_the_totals_but_in_no_journal_is_written_and_not_counted_again(redis: RedisServer) -> None:
    async def steps(connection: RedisConnection) -> Any:
        heir = Heir(connection)
        await heir.finds(Reach(1, 0), 1, 2)
        return await heir.numbers(), await heir.counted(), heir.announced

    assert ran(redis, steps) == ([1, 2], 1, [{"default": 2}])


def test_what_is_in_a_journal_already_is_only_counted(redis: RedisServer) -> None:
    async def steps(connection: RedisConnection) -> Any:
        heir = Heir(connection)
        await heir.finds(Reach(), 1)
        await heir.journals.commit(batch("1", Reach(), Reach(), 1)._replace(totals={}))
        return await heir.numbers(), await heir.counted(), heir.announced

    assert ran(redis, steps) == ([1], 1, [])


def test_what_another_heir_has_written_is_looked_at_again(redis: RedisServer) -> None:
    async def steps(connection: RedisConnection) -> Any:
        heir = Heir(connection)
        await heir.finds(Reach(), 1)
        commit, results = heir.journals.commit, [TAKEN]

        async def late(*given: Any) -> int:
            return results.pop() if results else await commit(*given)

        journals: Any = heir.journals
        journals.commit = late
        return await heir.numbers(), heir.announced

    assert ran(redis, steps) == ([1], [{"default": 1}])


def test_the_spool_of_a_replica_that_is_gone_for_long_is_removed(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def steps(connection: RedisConnection) -> Any:
        heir = Heir(connection)
        await heir.finds(Reach(5, 5))
        left = []
        for seconds in (60.0, -1.0):
            monkeypatch.setattr(recovering, "SETTLED", seconds)
            await heir.recovery.look()
            left.append(await connection.client.hlen(shared_key(connection, SPOOLS)))
        return left

    assert ran(redis, steps) == [1, 0]


def test_a_spool_that_another_heir_has_removed_is_left_alone(redis: RedisServer) -> None:
    async def steps(connection: RedisConnection) -> Any:
        heir = Heir(connection)
        await heir.finds(Reach(), 1)

        async def who_listens() -> set[int]:
            await heir.recovery.forget(7)
            return set()

        bus: Any = heir.bus
        bus.who_listens = who_listens
        return await heir.numbers(), heir.announced

    assert ran(redis, steps) == ([], [])


# A full connection


class Link:
    """A connection to Redis; `takes`: whether the kernel takes everything at once."""

    def __init__(self) -> None:
        self.pushed: list[bytes] = []
        self.takes, self.is_writing = True, False

    def push(self, data: bytes) -> bool:
        self.pushed.append(data)
        return self.takes


class Client:
    """A connection to a client, and what was sent on it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.wire = b"HTTP/1.1 200 OK\r\n\r\n"
        self.own_lines = 0
        self.protocol = SimpleNamespace(transport=SimpleNamespace(write=self.sent.append))


def spool_on(link: Link) -> RedisSpool:
    packets: Any = SimpleNamespace(link=link, is_replying=False)
    return RedisSpool(packets, "spool", "open")


def test_answers_wait_until_a_full_connection_has_taken_their_exchanges() -> None:
    async def steps() -> Any:
        link, client, spool = Link(), Client(), None
        spool = spool_on(link)
        link.takes, link.is_writing = False, True
        spool.begin(exchange(1))
        waiting = [asyncio.create_task(spool.safe()) for _ in range(2)]
        catch: Any = client
        spool.answered(exchange(2), catch)
        await asyncio.sleep(3 * redis_spool.TRY_INTERVAL)
        before = [each.done() for each in waiting], client.sent.copy()
        waiting[0].cancel()
        link.is_writing = False
        await waiting[1]
        await spool.safe()  # now at once
        return before, client.sent

    assert asyncio.run(steps()) == (([False, False], []), [b"HTTP/1.1 200 OK\r\n\r\n"])


def test_a_full_spool_is_reported_until_it_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_spool, "FULL", 1)

    async def steps() -> Any:
        reported: list[int] = []
        spool = spool_on(Link())
        spool.on_full = lambda: reported.append(spool.entry)
        catch: Any = Client()
        for number in (1, 2):
            spool.answered(exchange(number), catch)
        assert spool.bytes > 1
        return reported, spool.new_period(), spool.bytes

    assert asyncio.run(steps()) == ([1, 2], 2, 0)


def test_an_exchange_that_was_never_open_is_not_removed_from_the_open_ones() -> None:
    async def steps() -> Any:
        link = Link()
        spool = spool_on(link)
        opened, other = exchange(1), exchange(2)
        spool.begin(opened)
        for each in (other, opened):
            spool.end(each)
            await asyncio.sleep(0)
        return [(b"HSET" in data, b"XADD" in data, b"HDEL" in data) for data in link.pushed]

    assert asyncio.run(steps()) == [(True, False, False), (False, True, False), (False, True, True)]


def test_a_replica_that_joins_again_without_a_loss_keeps_its_numbers(redis: RedisServer) -> None:
    emulator = Emulator({"rules": [{"reply": {"content": "Hello!"}}]})
    server: Any = emulator._server
    server.options = replace(server.options, store=store_address(f"{redis.url}?prefix={next(prefixes)}"))
    with emulator:
        for number in range(4):
            if number == 2:
                server.call_async(lambda app: app.stored._on_joined(False), 30)
            url = emulator.url("serevix") + PATHS["serevix"]
            assert single.post(url, json=question("serevix"), headers=KEYS["serevix"]).status_code == 200
        assert [each.number for each in emulator.journal] == [1, 2, 3, 4]
