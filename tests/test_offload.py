"""Slow work in threads: what comes back, and what no longer does."""

import asyncio
import sys
import threading
from typing import Any

import pytest

from emulator.offload import SWITCH_INTERVAL, Pool, yielding_often


def test_work_that_only_ends_an_iteration_fails_with_a_reason() -> None:
    with pytest.raises(RuntimeError, match=r"^the work raised StopIteration\(7\)$"):
        asyncio.run(Pool("test", 1).run(_stops))


def _stops() -> None:
    raise StopIteration(7)


def test_a_result_that_nobody_waits_for_any_longer_is_dropped() -> None:
    begun, go = threading.Event(), threading.Event()
    failures: list[dict[str, Any]] = []

    def work() -> bool:
        begun.set()
        return go.wait()

    async def leaving() -> str:
        asyncio.get_running_loop().set_exception_handler(lambda loop, failure: failures.append(failure))
        pool, other = Pool("test", 1), Pool("other", 1)
        waiting = asyncio.ensure_future(pool.run(work))
        await other.run(begun.wait)
        waiting.cancel()
        go.set()
        return await pool.run(str, "next")

    assert (asyncio.run(leaving()), failures) == ("next", [])


def test_threads_yield_often_until_the_last_of_them_is_done() -> None:
    usual = sys.getswitchinterval()
    with yielding_often():
        with yielding_often():
            pass
        assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL)
    assert sys.getswitchinterval() == usual
