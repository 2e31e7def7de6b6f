"""The outbox writes each ended exchange once, however the store fails, and what it holds meanwhile is bounded."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from emulator.clock import WallClock
from emulator.errors import StoreGone
from emulator.request import HttpRequest
from emulator.server import outbox as module
from emulator.server.journals import NOT_JOINED, TAKEN, Batch, Reach, Written
from emulator.server.outbox import Outbox, in_words
from emulator.state.exchanges import Exchange
from emulator.state.totals import Totals


class Store:
    """Answers each commit with the next of `answers`, and takes the batch if none is left."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.batches: list[Batch] = []
        self.written: list[tuple[str, int]] = []
        self.during: Callable[[], None] = lambda: None

    async def commit(self, batch: Batch) -> int:
        self.batches.append(batch)
        self.during()
        answer = self.answers.pop(0) if self.answers else 1
        if isinstance(answer, Exception):
            raise answer
        if answer >= 0:
            self.written += [(namespace, each.number) for namespace, each in batch.written]
        return int(answer)

    async def taken(self) -> tuple[Reach, dict[bytes, str]]:
        return Reach(1, 1), {}


class Desk:
    def __init__(self) -> None:
        self.store = Store()
        spool: Any = SimpleNamespace(entry=0)
        spool.new_period = lambda: spool.entry
        self.spool = spool
        journals: Any = self.store
        self.outbox = Outbox(journals, Totals(), spool, WallClock())
        self.announced: list[dict[str, int]] = []
        self.outbox.on_written = self.announced.append

    def put(self, number: int, namespace: str = "a", size: int = 1) -> Any:
        self.spool.entry += 1
        exchange: Any = SimpleNamespace(number=number, namespace=namespace, size=size, ended="complete")
        self.outbox.put(exchange)
        return exchange


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    def words(exchange: Any, known: Any = None) -> Written:
        return Written(exchange.number, 0.0, b"{}")

    monkeypatch.setattr(module, "in_words", words)
    monkeypatch.setattr(module, "RETRY", 0.001)


def ran(steps: Callable[[Desk], Awaitable[Any]]) -> tuple[Any, Desk]:
    async def run() -> tuple[Any, Desk]:
        desk = Desk()
        try:
            return await asyncio.wait_for(steps(desk), 30), desk
        finally:
            await desk.outbox.close()

    return asyncio.run(run())


def test_what_has_ended_is_written_once_and_then_announced() -> None:
    async def steps(desk: Desk) -> None:
        desk.outbox.start()
        for number, namespace in ((1, "a"), (3, "a"), (2, "b")):
            desk.put(number, namespace)
        await desk.outbox.flushed()

    _, desk = ran(steps)
    assert (desk.store.written, desk.announced) == ([("a", 1), ("a", 3), ("b", 2)], [{"a": 3, "b": 2}])


def test_a_store_that_is_gone_fails_those_who_wait_and_gets_everything_later(caplog: pytest.LogCaptureFixture) -> None:
    async def steps(desk: Desk) -> None:
        desk.store.answers = [StoreGone("gone"), NOT_JOINED]
        desk.put(1)
        desk.outbox.start()
        with pytest.raises(StoreGone, match="gone"):
            await desk.outbox.flushed()
        await desk.outbox.flushed()

    _, desk = ran(steps)
    assert desk.store.written == [("a", 1)]
    assert [len(batch.written) for batch in desk.store.batches] == [1, 1, 1]
    assert {batch.number for batch in desk.store.batches} == {"1"}
    assert caplog.records == []


def test_what_another_replica_has_written_is_not_written_again() -> None:
    async def steps(desk: Desk) -> None:
        desk.store.answers = [TAKEN]
        desk.put(1)
        desk.put(2)
        desk.outbox.start()
        await desk.outbox.flushed()

    _, desk = ran(steps)
    assert (desk.store.written, desk.announced) == ([("a", 2)], [{"a": 2}])


def test_what_still_waits_is_dropped_when_another_replica_has_written_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BATCH", 1)

    async def steps(desk: Desk) -> None:
        desk.store.answers = [TAKEN]
        desk.spool.entry = -1
        for number in (1, 2, 3):
            desk.put(number)
        desk.outbox.start()
        await desk.outbox.flushed()

    _, desk = ran(steps)
    assert desk.store.written == [("a", 3)]


def test_namespaces_take_turns_and_a_reader_waits_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BATCH", 2)

    async def steps(desk: Desk) -> None:
        for number in range(1, 4):
            desk.put(number)
        desk.put(4, "b")
        desk.outbox.start()
        await desk.outbox.flushed()

    _, desk = ran(steps)
    assert desk.store.written == [("a", 1), ("a", 2), ("b", 4), ("a", 3)]


def test_a_store_that_has_lost_its_data_gets_everything_again() -> None:
    async def steps(desk: Desk) -> None:
        first, second = desk.put(1), desk.put(2)
        open_: Any = SimpleNamespace(number=3, namespace="a", size=1, ended=None)
        journal: Any = [first, second, open_]

        def lose() -> None:
            desk.store.during = lambda: None
            desk.put(4)
            desk.outbox.again([journal])

        desk.store.answers = [NOT_JOINED]
        desk.store.during = lose
        desk.outbox.start()
        await desk.outbox.flushed()

    _, desk = ran(steps)
    assert desk.store.written == [("a", 1), ("a", 2)]


def test_what_waits_for_a_store_is_bounded_and_the_loss_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 100)

    async def steps(desk: Desk) -> None:
        for number in (1, 2, 3):
            desk.put(number)
        desk.put(4, "b", size=200)
        desk.outbox.start()
        await desk.outbox.flushed()

    _, desk = ran(steps)
    assert (desk.outbox.lost, desk.store.written) == (2, [("a", 3), ("b", 4)])
    assert [each.message for each in caplog.records] == ["2 exchanges are missing in the journals: the store was gone."]


def test_a_journal_that_would_drop_an_exchange_does_not_lose_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EXCHANGES", 2)

    async def steps(desk: Desk) -> int:
        for number in (1, 2, 3):
            desk.put(number)
        desk.outbox.start()
        await desk.outbox.flushed()
        return desk.outbox.lost

    lost, desk = ran(steps)
    assert (lost, desk.store.written) == (0, [("a", 2), ("a", 3)])


def test_clearing_drops_what_was_not_written() -> None:
    async def steps(desk: Desk) -> tuple[int, int]:
        desk.put(1)
        desk.put(2, "b")
        cleared = desk.outbox.clear("a"), desk.outbox.clear("c")
        desk.outbox.start()
        await desk.outbox.flushed()
        return cleared

    cleared, desk = ran(steps)
    assert (cleared, desk.store.written) == ((1, 0), [("b", 2)])


def test_a_full_spool_is_shortened_before_anything_is_written() -> None:
    async def steps(desk: Desk) -> None:
        desk.put(1)
        desk.outbox._totals._totals.requests[("deepseek",)] = 1
        begun = asyncio.Event()
        desk.store.during = begun.set
        desk.outbox.shorten()
        desk.outbox.shorten()
        desk.outbox.start()
        await begun.wait()
        await desk.outbox.flushed()

    _, desk = ran(steps)
    assert [len(batch.written) for batch in desk.store.batches] == [0, 1]


@pytest.mark.parametrize("comes_later", [False, True])
def test_what_cannot_be_written_is_logged_and_the_next_is_written(
    comes_later: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(exchange: Any, known: Any = None) -> Written:
        if exchange.number == 1:
            raise ValueError("bad")
        return Written(exchange.number, 0.0, b"{}")

    monkeypatch.setattr(module, "in_words", fail)

    async def steps(desk: Desk) -> None:
        desk.put(1)
        if not comes_later:
            desk.put(2)
        desk.outbox.start()
        with pytest.raises(ValueError, match="bad"):
            await desk.outbox.flushed()
        if comes_later:
            desk.put(2)
        await desk.outbox.flushed()

    _, desk = ran(steps)
    assert (desk.store.written, desk.outbox.lost) == ([("a", 2)], 1)
    (logged,) = caplog.records
    assert logged.message == "The journal could not be written to the store: please report this"


def test_an_end_without_a_store_says_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    async def steps(desk: Desk) -> bool:
        desk.store.answers = [StoreGone("gone")] * 10_000
        desk.put(1)
        desk.outbox.start()
        return await desk.outbox.close()

    is_written, _ = ran(steps)
    assert not is_written
    assert caplog.records[0].message == "1 exchanges were not written to the store."


def test_an_end_without_a_store_is_silent_if_no_exchange_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> bool:
        desk = Desk()
        desk.outbox._totals._totals.requests[("deepseek",)] = 1
        desk.store.answers = [StoreGone("gone")] * 10_000
        desk.outbox.start()
        return await desk.outbox.close()

    assert asyncio.run(run())
    assert caplog.records == []


@pytest.mark.parametrize("answers", [[], [StoreGone("gone")]])
def test_a_reader_that_has_left_is_not_waited_for(answers: list[Any]) -> None:
    async def steps(desk: Desk) -> Any:
        desk.put(1)
        left, stays = [asyncio.create_task(desk.outbox.flushed()) for _ in range(2)]

        def leave() -> None:
            left.cancel()

        desk.store.answers, desk.store.during = answers.copy(), leave
        desk.outbox.start()
        return await asyncio.gather(left, stays, return_exceptions=True)

    (left, stays), desk = ran(steps)
    assert isinstance(left, asyncio.CancelledError)
    assert stays is (answers[0] if answers else None)
    assert desk.store.written == [("a", 1)]


def test_half_a_character_is_written_as_a_question_mark() -> None:
    asked = HttpRequest("serevix", "POST", "/v1/chat/completions", {"host": "x"}, "", b"{}", operation="chat")
    exchange = Exchange(1, 1000.0, asked, model="half \ud83d")
    written = in_words(exchange, {"note": "\ud83d"})
    assert (json.loads(written.row)["model"], json.loads(written.rest)["note"]) == ("half ?", "?")
