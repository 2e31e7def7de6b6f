"""A worker's access to the store in its parent: replies that fail, come too late, or are no longer awaited."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from emulator.errors import StoreGone
from emulator.server.worker_store import WorkerStore
from emulator.state.store import Counted, Counting

COUNTING = Counting("01", "u:0", "")


class Line:
    """A control channel whose replies are given by hand."""

    index = 3

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.replies: list[asyncio.Future[bytes]] = []

    def ask_store(self, message: bytes) -> "asyncio.Future[bytes]":
        self.asked.append(message)
        self.replies.append(asyncio.get_running_loop().create_future())
        return self.replies[-1]


def ran(steps: Callable[[WorkerStore, Line], Any]) -> Any:
    async def run() -> Any:
        line: Any = Line()
        return await steps(WorkerStore(line), line)

    return asyncio.run(run())


def test_a_request_is_counted_by_the_parent() -> None:
    async def steps(store: WorkerStore, line: Line) -> Any:
        counted = store.count("n", COUNTING)
        line.replies[0].set_result(b'[7,"paid"]')
        return await counted, line.asked

    assert ran(steps) == (Counted(7, "paid"), [b'["count","n",[["01","u:0",""]]]'])


def test_a_parent_that_does_not_reply_is_a_store_that_is_gone() -> None:
    async def steps(store: WorkerStore, line: Line) -> None:
        counted = store.count("n", COUNTING)
        line.replies[0].set_exception(StoreGone("late"))
        with pytest.raises(StoreGone, match=r"^late$"):
            await counted

    ran(steps)


def test_a_reply_to_a_request_that_has_been_given_up_is_dropped() -> None:
    async def steps(store: WorkerStore, line: Line) -> Any:
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        counted = store.count("n", COUNTING)
        counted.cancel()
        line.replies[0].set_result(b'[7,"paid"]')
        await asyncio.sleep(0)
        return counted.cancelled(), reported

    assert ran(steps) == (True, [])


def test_usage_that_the_parent_has_not_counted_is_logged_and_nobody_waits(caplog: pytest.LogCaptureFixture) -> None:
    async def steps(store: WorkerStore, line: Line) -> Any:
        settlement: Any = {}
        confirmed = [store.settle("n", settlement) for _ in range(2)]
        line.replies[0].set_exception(StoreGone("late"))
        line.replies[1].set_result(b"null")
        await asyncio.wait_for(asyncio.gather(*confirmed), 30)

    ran(steps)
    assert [record.getMessage() for record in caplog.records] == [
        "The usage of an answer may not have been counted: late"
    ]
