"""Alarms go off when they are due: on both event loops, with and without Linux's timer, and in virtual time."""

import asyncio
import ctypes
import gc
import os
import random
import time
import weakref
from collections.abc import Callable, Coroutine
from functools import partial
from itertools import product
from math import inf
from typing import Any

import pytest

from emulator import clock as clock_module
from emulator.clock import SLOTS, Alarm, Clock, VirtualClock, WallClock, wait_until
from emulator.server.server import loop_factory

FrameRun = Callable[[Callable[[WallClock], Coroutine[Any, Any, None]]], None]


@pytest.fixture(params=product(["uvloop", "asyncio"], ["timerfd", "loop"]), ids="-".join)
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FrameRun:
    """Runs a coroutine function with a clock of its own; every kind of loop, with each kind of timer."""
    loop, timer = request.param
    if timer == "loop":
        monkeypatch.setattr(clock_module, "_Timerfd", unavailable)

    def runner(main: Callable[[WallClock], Coroutine[Any, Any, None]]) -> None:
        async def with_clock() -> None:
            clock = WallClock()
            assert (clock._timerfd is None) == (timer == "loop")
            try:
                await asyncio.wait_for(main(clock), 20)
            finally:
                clock.close()

        with asyncio.Runner(loop_factory=loop_factory(loop)) as each:
            each.run(with_clock())

    return runner


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[WallClock]:
    """The clocks whose timer went off, each time."""
    seen: list[WallClock] = []
    go_off = WallClock._go_off

    def counted(clock: WallClock) -> None:
        seen.append(clock)
        go_off(clock)

    monkeypatch.setattr(WallClock, "_go_off", counted)
    return seen


def unavailable() -> None:
    raise OSError("there is no timerfd here")


async def rung_at(clock: WallClock, when: float) -> None:
    """Return once an alarm of that moment went off, and so all of earlier moments did."""
    rung = asyncio.Event()
    clock.call_at(when, rung.set)
    await rung.wait()


def test_alarms_go_off_in_the_order_of_their_deadlines_and_never_early(run: FrameRun) -> None:
    async def main(clock: WallClock) -> None:
        start = clock.now()
        seen: list[float] = []
        late: list[float] = []

        def ring(at: float) -> None:
            seen.append(at)
            late.append(clock.now() - start - at)

        for at in (0.03, 0.01, 0.05, 0.02, 0.04):
            clock.call_at(start + at, partial(ring, at))
        await rung_at(clock, start + 0.06)
        assert seen == [0.01, 0.02, 0.03, 0.04, 0.05]
        assert min(late) >= 0

    run(main)


def test_thousands_of_alarms_all_go_off_in_order(run: FrameRun) -> None:
    async def main(clock: WallClock) -> None:
        start = clock.now()
        moments = [start + random.Random(number).uniform(0, 0.1) for number in range(5000)]
        seen: list[float] = []
        for moment in moments:
            clock.call_at(moment, partial(seen.append, moment))
        await rung_at(clock, start + 0.1)
        assert seen == sorted(moments)

    run(main)


def test_a_deadline_in_the_past_is_due_at_once(run: FrameRun) -> None:
    async def main(clock: WallClock) -> None:
        for moment in (clock.now() - 1, 0.0, -5.0):
            rung = asyncio.Event()
            clock.call_at(clock.now() + 3600, pytest.fail)
            clock.call_at(moment, rung.set)
            assert not rung.is_set()  # in the event loop, not inside the call
            clock.call_at(clock.now() + 3600, pytest.fail)
            await rung.wait()

    run(main)


def test_a_cancelled_alarm_is_silent(run: FrameRun) -> None:
    async def main(clock: WallClock) -> None:
        start = clock.now()
        seen: list[str] = []
        first = clock.call_at(start + 0.01, partial(seen.append, "first"))
        second = clock.call_at(start + 0.02, partial(seen.append, "second"))
        clock.call_at(start + 0.03, partial(seen.append, "third"))
        second.cancel()
        await rung_at(clock, start + 0.04)
        first.cancel()  # too late, and no error
        assert seen == ["first", "third"]

    run(main)


def test_alarms_that_are_dropped_long_before_their_time_leave_nothing(run: FrameRun) -> None:
    async def main(clock: WallClock) -> None:
        start = clock.now()
        seen: list[str] = []
        clock.call_at(start + 0.05, partial(seen.append, "soon"))
        kept = clock.call_at(start + 3600, partial(seen.append, "in an hour"))
        for number in range(20_000):
            clock.drop(clock.call_at(start + 60 + number / SLOTS, partial(seen.append, "never")))
        assert len(clock._slots) == len(clock._order) <= SLOTS + 10
        assert [kept] in clock._slots.values()
        await rung_at(clock, start + 0.06)
        assert seen == ["soon"]

    run(main)


def test_an_alarm_may_set_and_cancel_others(run: FrameRun) -> None:
    async def main(clock: WallClock) -> None:
        start = clock.now()
        seen: list[str] = []
        done = asyncio.Event()
        doomed = clock.call_at(start + 0.02, partial(seen.append, "doomed"))

        def first() -> None:
            seen.append("first")
            doomed.cancel()
            clock.call_at(start + 0.03, last)
            clock.call_at(start, partial(seen.append, "already due"))

        def last() -> None:
            seen.append("last")
            done.set()

        clock.call_at(start + 0.01, first)
        await done.wait()
        assert seen == ["first", "already due", "last"]

    run(main)


def test_an_alarm_that_raises_is_reported_and_does_not_stop_the_others(run: FrameRun) -> None:
    async def main(clock: WallClock) -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        error = ValueError("broken")

        def fail() -> None:
            raise error

        start = clock.now()
        rung = asyncio.Event()
        clock.call_at(start + 0.01, fail)
        clock.call_at(start + 0.01, fail)
        clock.call_at(start + 0.02, rung.set)
        await rung.wait()
        assert reported == [{"message": "an alarm failed", "exception": error}] * 2

    run(main)


def test_a_moment_that_never_comes_disturbs_nothing(run: FrameRun) -> None:
    async def main(clock: WallClock) -> None:
        for never in (inf, 1e300):
            clock.call_at(never, pytest.fail)
        await rung_at(clock, clock.now() + 0.01)

    run(main)


def test_the_timer_goes_off_at_most_once_for_each_alarm(run: FrameRun, calls: list[WallClock]) -> None:
    async def main(clock: WallClock) -> None:
        start = clock.now()
        for number in range(200, 0, -1):  # each one sooner than all before
            clock.call_at(start + 0.05 + number / 10_000, lambda: None)
        await rung_at(clock, start + 0.08)
        assert calls.count(clock) <= 400  # 201, and a few that come a nanosecond early

    run(main)


def test_alarms_that_share_a_slot_of_time_wake_the_loop_once(run: FrameRun, calls: list[WallClock]) -> None:
    async def main(clock: WallClock) -> None:
        slot = int(clock.now() * SLOTS) + SLOTS // 50
        moments = [(slot + part / 100) / SLOTS for part in range(5, 95)]
        late: list[float] = []
        for moment in reversed(moments):
            clock.call_at(moment, lambda moment=moment: late.append(clock.now() - moment))  # type: ignore[misc]
        await rung_at(clock, (slot + 2) / SLOTS)
        assert (len(late), min(late) >= 0) == (90, True)
        # Two for them, one to end the test, and a few when a busy machine interrupts; others may have clocks too.
        assert calls.count(clock) <= 10

    run(main)


def test_a_closed_clock_forgets_its_alarms_and_gives_the_timer_back(run: FrameRun) -> None:
    async def main(clock: WallClock) -> None:
        fd = clock._timerfd.fd if clock._timerfd else None
        loop = asyncio.get_running_loop()
        due = clock.now() + 0.01
        clock.call_at(due, pytest.fail)
        clock.close()
        if fd is not None:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)
        later: asyncio.Future[None] = loop.create_future()
        loop.call_later(0.03, later.set_result, None)
        await later
        clock.close()  # twice, and no error

    run(main)


def test_waiting_returns_at_once_when_the_moment_is_past(run: FrameRun) -> None:
    async def main(clock: WallClock) -> None:
        before = asyncio.create_task(wait_until(clock, clock.now() + 3600))
        await wait_until(clock, clock.now())
        assert not before.done()
        before.cancel()
        with pytest.raises(asyncio.CancelledError):
            await before

    run(main)


def test_an_alarm_is_on_time_to_a_fraction_of_a_millisecond() -> None:
    async def main() -> None:
        clock = WallClock()
        late: list[float] = []
        try:
            for _ in range(50):
                due = clock.now() + 0.0013
                await wait_until(clock, due)
                late.append(clock.now() - due)
        finally:
            clock.close()
        assert sorted(late)[len(late) // 4] < 0.0005  # the better ones: a busy machine may be late

    with asyncio.Runner(loop_factory=loop_factory("uvloop")) as runner:
        runner.run(main())


def test_the_hands_of_a_wall_clock_are_those_of_the_machine(run: FrameRun) -> None:
    async def main(clock: WallClock) -> None:
        before = time.time(), time.monotonic()
        seen = clock.time(), clock.now()
        after = time.time(), time.monotonic()
        assert before[1] <= seen[1] <= after[1]
        assert abs(seen[0] - after[0]) < 1

    run(main)


# Virtual time


def virtually(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 20))


def test_virtual_time_leaps_to_the_next_deadline_when_everybody_waits() -> None:
    async def main() -> None:
        clock = VirtualClock(start=1000.0)
        seen: list[tuple[str, float]] = []

        async def sleeper(name: str, *moments: float) -> None:
            for moment in moments:
                await wait_until(clock, moment)
                seen.append((name, clock.now()))

        started = time.monotonic()
        await asyncio.gather(sleeper("a", 10, 7200), sleeper("b", 5, 3600, 3600))
        assert time.monotonic() - started < 5
        assert seen == [("b", 5), ("a", 10), ("b", 3600), ("b", 3600), ("a", 7200)]
        assert (clock.now(), clock.time()) == (7200, 8200)

    virtually(main)


def test_manual_time_stands_still_until_it_is_moved() -> None:
    async def main() -> None:
        clock = VirtualClock(leaps=False, start=0.0)
        seen: list[float] = []

        def ring() -> None:
            seen.append(clock.now())
            if clock.now() < 3:
                clock.call_at(clock.now() + 1, ring)

        clock.call_at(1, ring)
        await turns()
        assert (seen, clock.now()) == ([], 0)
        clock.advance(0.5)
        assert (seen, clock.now()) == ([], 0.5)
        clock.advance(2)
        assert (seen, clock.now()) == ([1, 2], 2.5)
        clock.advance(10)
        assert (seen, clock.now(), clock.time()) == ([1, 2, 3], 12.5, 12.5)

    virtually(main)


def test_small_steps_add_up_to_a_whole() -> None:
    async def main() -> None:
        clock = VirtualClock(leaps=False)
        seen: list[float] = []
        clock.call_at(1, lambda: seen.append(clock.now()))
        for _ in range(10):
            clock.advance(0.1)
        assert (seen, clock.now()) == ([1], 1)

    virtually(main)


@pytest.mark.parametrize("start", [0.0, 44.6, 66.9, 1e6 + 0.1])
def test_an_alarm_at_the_end_of_a_step_goes_off_whenever_the_step_begins(start: float) -> None:
    async def main() -> None:
        clock = VirtualClock(leaps=False)
        clock.advance(start)
        seen: list[str] = []
        clock.call_at(clock.now() + (2 + 1 / 5), partial(seen.append, "due"))
        clock.advance(2.2)
        assert seen == ["due"]
        clock.advance(1)
        assert clock.now() == pytest.approx(start + 3.2, abs=1e-9)

    virtually(main)


@pytest.mark.parametrize("leaps", [True, False])
def test_virtual_alarms_that_are_due_go_off_at_once_but_not_inside_the_call(leaps: bool) -> None:
    async def main() -> None:
        clock: Clock = VirtualClock(leaps=leaps)
        seen: list[str] = []
        clock.call_at(-1, partial(seen.append, "past"))
        clock.call_at(0, partial(seen.append, "now"))
        assert seen == []
        await turns()
        assert (seen, clock.now()) == (["past", "now"], 0)

    virtually(main)


@pytest.mark.parametrize("leaps", [True, False])
def test_a_cancelled_virtual_alarm_moves_nothing(leaps: bool) -> None:
    async def main() -> None:
        clock = VirtualClock(leaps=leaps)
        clock.call_at(50, pytest.fail).cancel()
        await turns()
        clock.advance(1)
        assert clock.now() == 1

    virtually(main)


@pytest.mark.parametrize("leaps", [True, False])
def test_a_virtual_alarm_that_raises_is_reported_and_does_not_stop_the_others(leaps: bool) -> None:
    async def main() -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        error = ValueError("broken")
        seen: list[str] = []

        def fail() -> None:
            raise error

        clock = VirtualClock(leaps=leaps)
        clock.call_at(1, fail)
        clock.call_at(2, partial(seen.append, "other"))
        await turns()
        clock.advance(5)
        assert (reported, seen) == ([{"message": "an alarm failed", "exception": error}], ["other"])

    virtually(main)


async def turns() -> None:
    """Let the event loop turn a few times."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_an_urgent_alarm_does_not_wait_for_all_that_are_late(run: FrameRun) -> None:
    async def main(clock: WallClock) -> None:
        start = clock.now()
        seen: list[str] = []
        for number in range(3):
            clock.call_at(start + number / 1000, partial(seen.append, "late"))
        clock.call_at(start + 0.009, partial(seen.append, "urgent"), is_urgent=True)
        clock.call_at(start + 0.010, partial(seen.append, "cancelled"), is_urgent=True).cancel()
        clock.call_at(start + 60, partial(seen.append, "not due"), is_urgent=True)
        while clock.now() < start + 0.011:  # the loop is busy meanwhile
            pass
        await rung_at(clock, start + 0.03)
        assert seen == ["urgent", "late", "late", "late"]

    run(main)


def test_alarms_of_one_moment_all_go_off_though_some_are_late_and_one_is_new(run: FrameRun) -> None:
    async def main(clock: WallClock) -> None:
        when = clock.now() + 0.01
        seen: list[object] = []

        def first() -> None:
            seen.append("first")
            clock.call_at(when, partial(seen.append, "new"))
            while clock.now() < when + 0.005:  # the others are served in another turn
                pass

        clock.call_at(when, first)
        for number in range(20):
            clock.call_at(when, partial(seen.append, number))
        await rung_at(clock, when + 0.02)
        assert seen == ["first", *range(20), "new"]

    run(main)


def test_a_machine_that_refuses_its_timer_has_one_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        timerfd_settime = None

        def timerfd_create(self, *arguments: int) -> int:
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *arguments, **options: Refusing())

    async def main() -> None:
        clock = WallClock()
        assert clock._timerfd is None
        await rung_at(clock, clock.now() + 0.005)
        clock.close()

    asyncio.run(main())


def test_an_urgent_alarm_wakes_an_idle_loop(run: FrameRun) -> None:
    async def main(clock: WallClock) -> None:
        for other in (0.0, 3600.0):
            if other:
                clock.call_at(clock.now() + other, pytest.fail)
            rung = asyncio.Event()
            when = clock.now() + 0.01
            clock.call_at(when, rung.set, is_urgent=True)
            async with asyncio.timeout(30):
                await rung.wait()
            assert clock.now() >= when

    run(main)


def test_an_alarm_that_went_off_can_be_set_again_until_it_is_cancelled(run: FrameRun) -> None:
    async def main(clock: WallClock) -> None:
        start = clock.now()
        seen: list[float] = []

        def ring() -> None:
            seen.append(alarm.when)
            if len(seen) < 3:
                clock.renew(alarm, alarm.when + 0.005)

        alarm = clock.call_at(start + 0.005, ring)
        await rung_at(clock, start + 0.03)
        assert seen == [start + 0.005, start + 0.005 + 0.005, start + 0.005 + 0.005 + 0.005]
        clock.renew(alarm, clock.now() + 0.005)
        alarm.cancel()
        await rung_at(clock, clock.now() + 0.01)
        assert len(seen) == 3

    run(main)


class Weak(Alarm):
    """An alarm that a test can see disappear."""

    __slots__ = ("__weakref__",)


async def check_dropping(clock: Clock, later: float) -> None:
    kept, dropped, gone_off = (Weak(0.0) for _ in range(3))
    left = weakref.ref(dropped)
    for alarm in (kept, dropped):
        clock.renew(alarm, clock.now() + later)
    clock.drop(dropped)
    clock.drop(gone_off)  # it was never set
    assert (dropped.is_canceled, gone_off.is_canceled, kept.is_canceled) == (True, True, False)
    del dropped, alarm
    clock.drop(kept)
    gc.collect()
    assert left() is None


def test_a_clock_lets_go_of_an_alarm_that_is_dropped(run: FrameRun) -> None:
    async def main(clock: WallClock) -> None:
        await check_dropping(clock, 3600.0)
        await check_dropping(clock, inf)
        rung = asyncio.Event()
        clock.call_at(clock.now() + 0.005, rung.set)
        async with asyncio.timeout(30):
            await rung.wait()

    run(main)


def test_a_virtual_clock_lets_go_of_an_alarm_that_is_dropped() -> None:
    async def main() -> None:
        clock = VirtualClock(leaps=False)
        rung: list[float] = []
        for when in (3.0, 1.0, 2.0):
            clock.call_at(when, partial(rung.append, when))
        await check_dropping(clock, 1.5)
        clock.advance(3.0)
        assert rung == [1.0, 2.0, 3.0]

    asyncio.run(main())
