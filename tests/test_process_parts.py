"""The small parts that processes share: counts of faults, replies, packets, numbers, conversations, live events."""

import asyncio
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hiredis import ReplyError
from redis_server import RedisServer, running_redis

from emulator.clock import WallClock
from emulator.control import api
from emulator.control import events as live
from emulator.control.events import Events
from emulator.control.models import Selection
from emulator.errors import StoreGone, UsageError
from emulator.faults import fault_of
from emulator.faults import selection as faults
from emulator.faults.selection import FaultRegistry
from emulator.generation.snippets import named_in
from emulator.server import bus, numbers
from emulator.server.broker import ALL, ANSWER, CALL, CANCEL, GONE, JOINED, MORE, PART, SENT, Frame
from emulator.server.bus import Bus
from emulator.server.conversation import Conversation
from emulator.server.numbers import Numbers
from emulator.server.stored import shared_key
from emulator.state import redis_packets
from emulator.state.journal import Journal
from emulator.state.redis_connection import RedisConnection, store_address
from emulator.state.redis_packets import Counts, Packets, Step, forget
from emulator.state.shared import Shared, _nameless_file
from emulator.state.store import Counting
from emulator.state.store_reply import StoreReply

LIMIT = fault_of("rate_limited:times=1")
ALWAYS = fault_of("rate_limited")


# Faults that several processes count


class TestRegistry:
    def test_a_fault_that_is_removed_counts_in_no_process_any_longer(self) -> None:
        shared = Shared()
        registry, other = FaultRegistry(claims=shared), FaultRegistry(claims=shared)
        id = registry.add(LIMIT, key=7)
        other.take_over(registry.live, registry.keys, registry.last_id)
        (armed,) = other.armed()
        assert registry.remove(id)
        assert other.select([armed], 0.0, 1, b"", 1) == []
        assert not registry.remove(id)

    def test_clearing_frees_what_all_processes_count(self) -> None:
        shared = Shared()
        registry = FaultRegistry(claims=shared)
        registry.add(LIMIT, key=7)
        registry.push(ALWAYS)
        registry.clear()
        assert (registry.is_empty, shared.claim(7, 0, 1, hits=True)) == (True, None)

    def test_another_scenario_starts_at_zero(self) -> None:
        shared = Shared()
        registry = FaultRegistry(claims=shared)
        each = faults.ActiveFault("scenario-1", LIMIT, "scenario")
        faults.count_together(registry, each)
        assert registry.select([each], 0.0, 1, b"", 1) == [each]
        assert registry.select([each], 0.0, 1, b"", 1) == []
        registry.forget_scenario()
        faults.count_together(registry, each)
        assert registry.select([each], 0.0, 1, b"", 1) == [each]

    def test_live_faults_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(faults, "MAX_LIVE", 2)
        registry = FaultRegistry()
        registry.add(ALWAYS)
        registry.add(ALWAYS)
        with pytest.raises(UsageError, match=r"^2 faults have been added already"):
            registry.add(ALWAYS)

    def test_the_oldest_queued_fault_makes_space(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(faults, "MAX_QUEUED", 2)
        registry = FaultRegistry()
        ids = [registry.push(ALWAYS) for _ in range(3)]
        assert list(registry.queue) == ids[1:]

    def test_counters_and_used_up_faults_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(faults, "MAX_COUNTERS", 2)
        registry = FaultRegistry()
        for _ in range(3):
            registry.add(LIMIT)
        armed = list(registry.armed())
        assert registry.select(armed, 0.0, 1, b"", 1) == armed
        assert (list(registry.counters), registry.live) == (["live-2", "live-3"], {})
        assert [registry.remove(each.id) for each in armed] == [False, True, True]

    def test_a_request_asks_for_a_bounded_number_of_faults(self) -> None:
        asked: Any = [("header", "rate_limited")] * 33
        with pytest.raises(UsageError, match=r"^A request may ask for at most 32 faults, not 33"):
            faults.from_request(asked, {}, sends_key=True)


def test_the_oldest_of_too_many_shared_faults_counts_as_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Shared()
    for key in range(1, 4097 + 1):
        shared.open(key)
    assert [shared.claim(key, 0, 1, hits=True) for key in (1, 2, 4097)] == [None, True, True]
    shared.release(2)
    shared.release(2)
    assert shared.claim(2, 0, 1, hits=True) is None


def test_a_file_without_a_name_is_one_of_the_disk_where_there_are_none_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    descriptor = _nameless_file()
    try:
        os.write(descriptor, b"kept")
        assert (os.pread(descriptor, 9, 0), os.fstat(descriptor).st_nlink) == (b"kept", 0)
    finally:
        os.close(descriptor)


def test_a_clock_that_processes_share_only_moves_forward() -> None:
    shared = Shared()
    mine, other = shared.clock("a", is_new=True), shared.clock("a", is_new=False)
    mine.reach(5.0)
    other.reach(3.0)
    assert (mine.get(), other.get()) == (5.0, 5.0)


# Replies


def ran(steps: Callable[[], Any]) -> Any:
    async def run() -> Any:
        return await steps()

    return asyncio.run(run())


def test_a_reply_is_cancelled_once_and_not_after_it_has_arrived() -> None:
    async def steps() -> list[Any]:
        loop = asyncio.get_running_loop()
        waiting: StoreReply[int] = StoreReply(loop)
        seen = [waiting.cancel("enough"), waiting.cancel(), waiting.cancelled(), str(waiting.exception())]
        arrived: StoreReply[int] = StoreReply(loop)
        arrived.set_result(3)
        return [*seen, arrived.cancel(), arrived.cancelled(), await arrived]

    assert ran(steps) == [True, False, True, "enough", False, False, 3]


def test_whoever_no_longer_waits_for_a_reply_is_not_called() -> None:
    async def steps() -> Any:
        reply: StoreReply[int] = StoreReply(asyncio.get_running_loop())
        called: list[str] = []

        def one(_: Any) -> None:
            called.append("one")

        def two(_: Any) -> None:
            called.append("two")

        for each in (one, two, one):
            reply.add_done_callback(each)
        removed = reply.remove_done_callback(one)
        reply.set_result(1)
        reply.add_done_callback(one)
        await asyncio.sleep(0)
        return removed, called

    assert ran(steps) == (2, ["two", "one"])


def test_a_request_that_fails_at_its_reply_is_reported_and_others_go_on() -> None:
    async def steps() -> Any:
        loop = asyncio.get_running_loop()
        reported: list[str] = []
        loop.set_exception_handler(lambda _, context: reported.append(f"{context['message']}: {context['exception']}"))
        reply: StoreReply[int] = StoreReply(loop)

        def fail(_: Any) -> None:
            raise ValueError("bad")

        reply.then(fail)
        reply.set_result(1)
        return reported, await reply

    assert ran(steps) == (["A request could not be continued when the store had replied: bad"], 1)


# Packets to Redis


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


async def with_packets(url: str, steps: Callable[[Packets, RedisConnection], Any]) -> Any:
    connection = RedisConnection(store_address(url))
    packets = Packets(connection, "store", lambda namespace, counts: ("WRONG", namespace))
    try:
        return await steps(packets, connection)
    finally:
        await packets.close()
        await connection.close()


def test_a_command_that_redis_refuses_fails_and_the_next_one_works(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_packets, "PATIENCE", 30.0)

    async def steps(packets: Packets, _: RedisConnection) -> Any:
        loop = asyncio.get_running_loop()
        wrong, right = loop.create_future(), loop.create_future()
        packets.put(Step(("WRONG",), wrong))
        packets.put(Step(("PING",), right))
        counted = packets.count("a", Counting("b", "", ""))
        found = []
        for each in (wrong, counted):
            with pytest.raises(StoreGone) as raised:
                await each
            found.append(str(raised.value))
        return found, await right

    (wrong, counted), right = asyncio.run(with_packets(redis.url, steps))
    assert wrong.startswith("The store failed: ERR unknown command")
    assert counted.startswith("The store failed: ERR unknown command")
    assert right == b"PONG"


def test_a_settlement_that_redis_refuses_is_logged_and_not_repeated(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def steps(packets: Packets, _: RedisConnection) -> Any:
        return await packets.settle(("WRONG",))

    assert asyncio.run(with_packets(redis.url, steps)) is None
    assert [each.message.partition(":")[0] for each in caplog.records] == ["The store refused a settlement"]


def test_a_reply_that_nobody_waits_for_is_dropped() -> None:
    async def steps() -> Any:
        loop = asyncio.get_running_loop()
        confirmed: list[Step] = []
        packets: Any = SimpleNamespace(confirm=confirmed.append, name="store")
        left, counted, waiting = loop.create_future(), loop.create_future(), loop.create_future()
        for each in (left, counted):
            each.cancel()
        settled = Step(("SET",), left, is_settlement=True)
        for step in (Step(("PING",), left), settled):
            step.reply(packets, b"PONG")
            step.fail(StoreGone("gone"))
        counts: Any = Counts()
        counts.kinds["a"] = [counted, waiting]
        counts.reply(packets, [b"start", 3])
        return confirmed == [settled], (await waiting).attempt

    assert ran(steps) == (True, 5)


def test_packets_are_bounded_and_what_is_counted_comes_last(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_packets, "MAX_BATCH", 1)

    async def steps(packets: Packets, _: RedisConnection) -> Any:
        loop = asyncio.get_running_loop()
        waiting = [loop.create_future() for _ in range(3)]
        for number, each in enumerate(waiting):
            packets.put(Step(("ECHO", str(number)), each))
        packets.confirm(
            Step(("SET",), loop.create_future(), is_settlement=True)
        )  # it is not the first: nothing happens
        with pytest.raises(StoreGone, match="unknown command"):
            await packets.count("a", Counting("b", "", ""))
        return [each.done() and each.result() for each in waiting]

    assert asyncio.run(with_packets(redis.url, steps)) == [b"0", b"1", b"2"]


def test_settlements_on_their_way_are_sent_before_the_end(redis: RedisServer) -> None:
    async def steps(packets: Packets, _: RedisConnection) -> Any:
        packets.settle(("SET", "settled", "yes"))

    asyncio.run(with_packets(redis.url, steps))
    assert redis.command("GET", "settled") == b"$3\r\nyes\r\n"


def test_settlements_without_a_store_are_bounded_and_their_loss_is_logged(
    redis: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_packets, "MAX_UNSENT", 2)

    async def steps(packets: Packets, connection: RedisConnection) -> Any:
        connection.lost(OSError("closed"))
        for number in range(4):
            packets.settle(("SET", "late", str(number)))

    asyncio.run(with_packets(redis.url, steps))
    assert [each.message for each in caplog.records][1:] == [
        "More than 2 settlements wait for the store: the oldest are dropped.",
        "2 settlements were not sent to the store.",
    ]


def test_nobody_waits_for_a_store_that_cannot_be_opened(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(packets: Packets, connection: RedisConnection) -> Any:
        async def refuse() -> None:
            raise ConnectionRefusedError("refused")

        monkeypatch.setattr(packets.link, "open", refuse)
        waiting = asyncio.get_running_loop().create_future()
        packets.put(Step(("PING",), waiting))
        with pytest.raises(StoreGone, match="refused"):
            await waiting
        return connection.is_gone

    assert asyncio.run(with_packets(redis.url, steps)) is True


def test_a_store_that_is_being_opened_does_not_delay_the_end(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def steps(packets: Packets, _: RedisConnection) -> Any:
        begun = asyncio.Event()

        async def forever() -> None:
            begun.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(packets.link, "open", forever)
        packets.put(Step(("PING",), asyncio.get_running_loop().create_future()))
        await begun.wait()

    asyncio.run(asyncio.wait_for(with_packets(redis.url, steps), 30))


def test_a_store_that_still_loads_its_data_counts_as_gone(redis: RedisServer) -> None:
    async def steps(packets: Packets, connection: RedisConnection) -> Any:
        waiting = asyncio.get_running_loop().create_future()
        step = Step(("PING",), waiting)
        packets._sent = [step]
        packets._replied([ReplyError("LOADING Redis is loading the dataset in memory")])
        with pytest.raises(StoreGone, match="LOADING"):
            await waiting
        return connection.is_gone

    assert asyncio.run(with_packets(redis.url, steps)) is True


def test_an_error_that_nobody_reads_is_read() -> None:
    async def steps() -> Any:
        loop = asyncio.get_running_loop()
        reported: list[Any] = []
        loop.set_exception_handler(lambda _, context: reported.append(context))
        failed, open_ = loop.create_future(), loop.create_future()
        failed.set_exception(StoreGone("gone"))
        forget(failed)
        forget(open_)
        del failed
        return reported, open_.done()

    assert ran(steps) == ([], False)


# Numbers of replicas


def test_numbers_are_reserved_ahead_and_unique_even_without_a_store(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbers, "BLOCK", 4)
    monkeypatch.setattr(numbers, "WallClock", SimpleNamespace(now=lambda: 100.0))

    async def steps() -> Any:
        connection = RedisConnection(store_address(f"{redis.url}?prefix=numbers"))
        replica = Numbers(connection, 3)
        replica._size = 8
        try:
            await replica.start()
            got = [replica.next() for _ in range(6)]
            assert replica._task is not None
            await replica._task
            spare = replica._spare
            got += [replica.next() for _ in range(3)]
            connection.lost(OSError("closed"))
            return [*got, *[replica.next() for _ in range(5)]], spare
        finally:
            await connection.close()

    first = numbers.RESERVE + 3 * numbers.RESERVED
    assert ran(steps) == ([*range(1, 13), first + 1, first + 2], (9, 13))


def test_a_block_that_is_used_up_at_once_is_followed_by_a_larger_one(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbers, "WallClock", SimpleNamespace(now=lambda: 100.0))

    async def steps() -> Any:
        connection = RedisConnection(store_address(f"{redis.url}?prefix=larger"))
        replica = Numbers(connection, 1)
        replica._size = 8
        try:
            await replica.start()
            sizes = []
            for _ in range(2):
                while replica._task is None:
                    replica.next()
                await replica._task
                sizes.append(replica._size)
            return sizes
        finally:
            await connection.close()

    assert ran(steps) == [numbers.BLOCK, 2 * numbers.BLOCK]


# Calls among processes


class Line:
    def __init__(self) -> None:
        self.sent: list[tuple[int, int, int, bytes]] = []
        self.conversation = Conversation(lambda *frame: self.sent.append(frame))

    def arrives(self, kind: int, sender: int, call: int = 1, payload: bytes = b"", order: int = 0) -> None:
        self.conversation.on_frame(Frame(kind, ALL, sender, call, order, payload))


def test_a_stream_asks_processes_that_join_and_again_those_that_come_back() -> None:
    async def steps() -> Any:
        line = Line()
        parts: Any = line.conversation.stream(b"events")
        first = asyncio.ensure_future(anext(parts))
        await asyncio.sleep(0)
        line.arrives(JOINED, 2)
        line.arrives(JOINED, 2)
        line.arrives(GONE, 2)
        line.arrives(JOINED, 2)
        line.arrives(PART, 2, payload=b"x")
        got = await first
        await parts.aclose()
        return got, line.sent

    got, sent = ran(steps)
    called = (CALL, 2, 1, b"events")
    assert (got, sent) == (b"x", [(CALL, ALL, 1, b"events"), called, called, (CANCEL, ALL, 1, b"")])


def test_a_call_to_all_that_has_been_taken_over_is_answered_with_nothing() -> None:
    async def steps() -> Any:
        line = Line()
        line.conversation.serve(lambda payload: b"done " + payload, 5)
        line.arrives(CALL, 2, 7, b"a", order=5)
        line.arrives(CALL, 2, 8, b"b", order=6)
        return line.sent

    assert ran(steps) == [(JOINED, ALL, 0, b""), (ANSWER, 2, 7, b""), (ANSWER, 2, 8, b"done b")]


def test_nothing_continues_for_a_process_that_is_gone() -> None:
    async def steps() -> Any:
        line = Line()
        begun, ended = asyncio.Event(), asyncio.Event()

        async def endless() -> Any:
            try:
                yield b"one"
                begun.set()
                await asyncio.Event().wait()
            finally:
                ended.set()

        line.conversation.serve(lambda _: endless(), 0)
        line.arrives(CALL, 2)
        await asyncio.sleep(0)
        line.arrives(MORE, 3)
        line.arrives(MORE, 2)
        await asyncio.wait_for(begun.wait(), 30)
        line.arrives(GONE, 2)
        await asyncio.wait_for(ended.wait(), 30)
        return line.conversation.answers._played

    assert ran(steps) == {}


def test_a_question_is_done_when_the_last_process_that_owes_an_answer_is_gone() -> None:
    async def steps() -> Any:
        line = Line()
        with line.conversation.asking() as question:
            line.arrives(SENT, 0, question.call, bytes([0, 2, 0, 3]))
            line.arrives(ANSWER, 2, question.call, b"two")
            line.arrives(99, 2, question.call)
            line.arrives(ANSWER, 2, question.call + 1, b"other")
            before = question.done.done(), question.missing
            line.arrives(GONE, 3)
            return before, question.done.done(), question.parts(), question.has_lost

    assert ran(steps) == ((False, [3]), True, [b"two"], True)


# Live events


def test_a_slow_reader_of_events_learns_how_many_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_PENDING", 1)
    monkeypatch.setattr(api, "fits", lambda *_: False)
    exchanges: Any = [SimpleNamespace(number=number, ended=None, so_far=lambda: None) for number in range(3)]
    nothing: Any = ()
    events = Events(nothing, Selection())
    for each in [*exchanges, exchanges[2]]:
        events._note(each)
    assert events._due() == b'event: dropped\ndata: {"dropped": 2}\n\n'
    assert events._due() == b""


# Messages between replicas


class Replica:
    def __init__(self, url: str) -> None:
        self.connection = RedisConnection(store_address(url))
        self.bus = Bus(self.connection, WallClock())
        self.got: asyncio.Queue[tuple[int, int, int, bytes]] = asyncio.Queue()
        self.listens = asyncio.Event()
        self.bus.subscribed = self.listens.set
        self.bus.receive = self.receive
        self.bus.start()

    async def receive(self, *frame: Any) -> None:
        self.got.put_nowait(frame)

    async def close(self) -> None:
        await self.bus.close()
        await self.connection.close()


def test_large_messages_arrive_whole_and_only_where_they_are_sent(redis: RedisServer) -> None:
    large = b"x" * (bus.MAX_PAYLOAD + 1)

    async def steps() -> Any:
        one, two = [Replica(f"{redis.url}?prefix=bus") for _ in range(2)]
        try:
            await one.listens.wait()
            await two.listens.wait()
            one.bus.send(CALL, ALL, 1, large)
            one.bus.send(CALL, two.bus.member, 2, b"small")
            frames = [await two.got.get(), await two.got.get(), await one.got.get()]
            return one.bus.member, frames, one.got.empty(), await one.bus.who_listens()
        finally:
            await one.close()
            await two.close()

    member, frames, is_empty, listening = asyncio.run(asyncio.wait_for(steps(), 30))
    whole = (CALL, member, 1, large)
    assert (frames, is_empty) == ([whole, (CALL, member, 2, b"small"), whole], True)
    assert (member in listening, len(listening)) == (True, 2)


def test_a_replica_that_was_last_heard_from_long_ago_is_forgotten(redis: RedisServer) -> None:
    async def steps() -> Any:
        one = Replica(f"{redis.url}?prefix=beats")
        try:
            await one.listens.wait()
            key = shared_key(one.connection, "beats")
            await one.connection.client.hset(key, mapping={"7": "1.0"})
            await one.bus.beat(["number"])
            beats = await one.connection.client.hkeys(key)
            return beats == [str(one.bus.member).encode()], await one.bus.who_lives() == {one.bus.member}
        finally:
            await one.close()

    assert asyncio.run(asyncio.wait_for(steps(), 30)) == (True, True)


def test_a_silent_subscription_is_tested_and_then_renewed(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "MAX_SILENCE", 0.01)

    async def steps() -> Any:
        one = Replica(f"{redis.url}?prefix=silence")
        pinged = asyncio.Event()
        renewed = asyncio.Event()
        one.bus.lost = renewed.set
        try:
            await one.listens.wait()
            redis.pause()
            await renewed.wait()
            redis.resume()
            pinged.set()
            one.listens.clear()
            await one.listens.wait()
            return True
        finally:
            redis.resume()
            await one.close()

    assert asyncio.run(asyncio.wait_for(steps(), 30))


def test_a_silent_stream_of_events_is_kept_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "KEEP_ALIVE", 0.01)

    async def steps() -> Any:
        stream: Any = Events(Journal(), Selection()).stream()
        got = [await anext(stream) for _ in range(3)]
        await stream.aclose()
        return got

    assert ran(steps) == [b": events of exchanges\n\n", b": still here\n\n", b": still here\n\n"]


# Words


@pytest.mark.parametrize(
    ("word", "program"), [("Go", "go"), ("go", None), ("C", "c"), ("c", None), ("PYTHON", "python")]
)
def test_a_word_names_a_programming_language(word: str, program: str | None) -> None:
    assert named_in(word) == program
