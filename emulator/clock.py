"""Time: the only module that reads the time, and the only one that waits.

A `Clock` has two readings: `time()` in Unix seconds, for `created` and dates, and `now()`, which is monotonic, for all
deadlines. Waiting means being called at a deadline, so lateness never adds up.
"""

import asyncio
import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from operator import attrgetter
from time import CLOCK_MONOTONIC, monotonic, perf_counter, thread_time
from time import time as wall_time
from typing import Protocol

Callback = Callable[[], None]

EARLIEST, MAX_TIME = 1e-9, 1e12
"""The latest time to which a timer can be set."""
VIRTUAL_START = 1767225600.0
"""The start of virtual time: 2026-01-01T00:00:00Z."""
LATEST_DATE = 253_402_214_400.0
"""The end of virtual time: dates end with the year 9999."""
MAX_TURN = 0.001
"""The most seconds for alarms in a row; then the event loop gets a turn, so that new requests are read."""
FEW = 8
"""How many alarms go off between two readings of the time: a reading costs a tenth of an alarm."""
SLOTS, NEVER = 4000, 2**62
"""Slots per second. Several alarms in a slot go off together at its end: waking up costs more than sending."""


unix_time = wall_time
"""Real Unix seconds, whatever a namespace's clock says."""
stopwatch = perf_counter
"""Monotonic real time in seconds, for measuring work; not the time of any namespace."""
work_time = thread_time
"""Seconds that this thread has computed: other programs on a busy machine don't count."""


class Alarm:
    """Something with a deadline on a clock. `cancel()` may be called at any time, even after it went off."""

    __slots__ = ("is_canceled", "when")

    def __init__(self, when: float) -> None:
        self.when = when
        self.is_canceled = False

    def go_off(self) -> float | None:
        """Acts. Returns when to go off again, if it should."""
        raise NotImplementedError

    def cancel(self) -> None:
        self.is_canceled = True


class _Call(Alarm):
    """An alarm that calls back."""

    __slots__ = ("callback",)

    def __init__(self, when: float, callback: Callback) -> None:
        super().__init__(when)
        self.callback = callback

    def go_off(self) -> None:
        self.callback()

    def cancel(self) -> None:
        self.is_canceled, self.callback = True, _nothing


def _nothing() -> None:
    """Replaces the callback of a canceled alarm, which is let go."""


Entry = tuple[float, int, Alarm]
"""An alarm on a heap, compared by its time, then by its number, without a call into Python."""
_serial = count()
_moment = attrgetter("when")


class Clock(Protocol):
    def time(self) -> float:
        """Unix seconds."""

    def now(self) -> float:
        """Monotonic seconds, for deadlines."""

    def call_at(self, when: float, callback: Callback, *, is_urgent: bool = False) -> Alarm:
        """Calls back in the event loop once `now()` has reached `when`; at once if it already has. If many are late,
        the urgent ones come first.
        """

    def renew(self, alarm: Alarm, when: float) -> None:
        """Sets an alarm that is new or has gone off, which costs less than a new one."""

    def drop(self, alarm: Alarm) -> None:
        """Cancels an alarm and lets go of it, even if its time has not come."""


class _Timerfd:
    """Linux's timer as a file descriptor: exact to a microsecond; uvloop's own timers count whole milliseconds."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._settime = libc.timerfd_settime
        self.fd: int = libc.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._value = ctypes.create_string_buffer(32)

    def set(self, when: float) -> None:
        seconds = int(when)
        nanoseconds = int((when - seconds) * 1e9) or 1  # zero would disarm it
        struct.pack_into("qqqq", self._value, 0, 0, 0, seconds, nanoseconds)
        self._settime(self.fd, 1, self._value, None)  # 1 is TFD_TIMER_ABSTIME

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 8)

    def close(self) -> None:
        os.close(self.fd)


def _slot_of(when: float) -> int:
    return int(when * SLOTS) if when < MAX_TIME else NEVER


class WallClock:
    """Real time, for one event loop. All its alarms share one timer.

    An alarm alone in its slot goes off exactly on time; several in one slot go off together at its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._slots: dict[int, list[Alarm]] = {}
        self._order: list[int] = []  # a heap of the slots that hold alarms
        self._emptied = 0  # slots whose alarms were dropped, at most
        self._urgent: list[Entry] = []
        self._armed = 0.0
        self._timer: asyncio.TimerHandle | None = None  # replaces the timerfd where there is none
        self._timerfd: _Timerfd | None = None
        if sys.platform == "linux":  # pragma: no branch - the tests run on Linux
            try:
                self._timerfd = _Timerfd()
                self._loop.add_reader(self._timerfd.fd, self._on_timerfd)
            except (OSError, AttributeError, NotImplementedError):  # a sandbox without timerfd
                self._timerfd = None

    time = staticmethod(wall_time)
    now = staticmethod(monotonic)

    def call_at(self, when: float, callback: Callback, *, is_urgent: bool = False) -> Alarm:
        alarm = _Call(when, callback)
        if is_urgent:
            heappush(self._urgent, (when, next(_serial), alarm))
            if not self._armed or when < self._armed:
                self._arm(when)
        else:
            self.renew(alarm, when)
        return alarm

    def renew(self, alarm: Alarm, when: float) -> None:
        alarm.when = when
        slot = _slot_of(when)
        together = self._slots.get(slot)
        if together is not None:
            together.append(alarm)
        else:
            self._slots[slot] = [alarm]
            heappush(self._order, slot)
        if not self._armed or when < self._armed:
            self._arm(when)

    def drop(self, alarm: Alarm) -> None:
        alarm.cancel()
        together = self._slots.get(_slot_of(alarm.when))
        if together is not None and alarm in together:
            together.remove(alarm)
            self._emptied += not together
            if self._emptied > len(self._order) // 2 + SLOTS:  # streams that were left early may have been long ones
                self._forget_empty_slots()

    def _forget_empty_slots(self) -> None:
        for slot in [slot for slot, alarms in self._slots.items() if not alarms]:
            del self._slots[slot]
        self._order[:] = self._slots
        heapify(self._order)
        self._emptied = 0

    def close(self) -> None:
        """Drops all alarms and releases the timer."""
        self._slots.clear()
        self._order.clear()
        self._urgent.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._timerfd is not None:
            self._loop.remove_reader(self._timerfd.fd)
            self._timerfd.close()
            self._timerfd = None

    def _arm(self, when: float) -> None:
        self._armed = when = min(max(when, EARLIEST), MAX_TIME)
        if self._timerfd is not None:
            self._timerfd.set(when)
        else:
            if self._timer is not None:
                self._timer.cancel()
            # uvloop rounds to whole milliseconds: rounded down, the loop would spin until the deadline.
            self._timer = self._loop.call_later(max(0.0, when - self.now() + 0.0005), self._go_off)

    def _on_timerfd(self) -> None:
        self._go_off()
        if self._timerfd is not None and not self._armed:  # otherwise it was set again, which clears it
            self._timerfd.clear()

    def _go_off(self) -> None:
        now, slots = self.now, self._slots
        self._armed = -1.0  # alarms set meanwhile don't arm the timer: it is armed once, at the end
        moment = now()
        pause = moment + MAX_TURN
        while moment < pause and (due := self._due(moment)):
            for served, alarm in enumerate(due, 1):
                if not alarm.is_canceled:
                    try:
                        again = alarm.go_off()
                    except Exception as error:  # one failed alarm must not stop the clock for the others
                        context = {"message": "an alarm failed", "exception": error}
                        self._loop.call_exception_handler(context)
                    else:
                        if again is not None:  # as `renew` does, without a call for each token
                            alarm.when = again
                            slot = int(again * SLOTS) if again < MAX_TIME else NEVER
                            if (together := slots.get(slot)) is not None:
                                together.append(alarm)
                            else:
                                slots[slot] = [alarm]
                                heappush(self._order, slot)
                if not served % FEW:
                    moment = now()
                    if moment >= pause:
                        self._put_back(due[served:])
                        break
            moment = now()
        self._armed = 0.0
        self._arm_next()

    def _due(self, moment: float) -> list[Alarm]:
        """Removes and returns the due alarms of the earliest slot, or one that is urgent."""
        if self._urgent and self._urgent[0][0] <= moment:
            return [heappop(self._urgent)[2]]
        if not self._order:
            return []
        slot, current = self._order[0], int(moment * SLOTS)
        if slot > current:
            return []
        alarms = self._slots[slot]
        rest = [alarm for alarm in alarms if alarm.when > moment] if slot == current else []
        if rest:
            alarms = [alarm for alarm in alarms if alarm.when <= moment]
            self._slots[slot] = rest
        else:
            del self._slots[heappop(self._order)]
        if len(alarms) > 1:
            alarms.sort(key=_moment)
        return alarms

    def _put_back(self, alarms: list[Alarm]) -> None:
        """The alarms of the slot that was removed last."""
        if alarms:  # pragma: no branch - that the last one of a slot takes too long can't be forced
            slot = _slot_of(alarms[0].when)
            if slot not in self._slots:
                heappush(self._order, slot)
            self._slots[slot] = alarms + self._slots.get(slot, [])

    def _arm_next(self) -> None:
        while self._urgent and self._urgent[0][2].is_canceled:
            heappop(self._urgent)
        first = min(self._next_slot(), self._urgent[0][0] if self._urgent else inf)
        if first < inf:
            self._arm(first)

    def _next_slot(self) -> float:
        """Returns when the next alarms that aren't urgent go off, and drops canceled ones."""
        while self._order:
            slot = self._order[0]
            alarms = self._slots[slot]
            if len(alarms) == 1:
                if not alarms[0].is_canceled:
                    return alarms[0].when
            elif not all(alarm.is_canceled for alarm in alarms):
                return (slot + 1.001) / SLOTS  # slightly later, never a nanosecond too early
            del self._slots[heappop(self._order)]
        return inf


class Reached(Protocol):
    """The latest virtual time in any of several processes; none shows an earlier one."""

    def get(self) -> float: ...

    def reach(self, elapsed: float) -> None: ...


class VirtualClock:
    """Time that moves on demand. With `leaps`, whenever everything in the event loop is waiting, it skips to the next
    deadline, so an hour of streaming takes only as long as sending. `reached`: the latest time in all processes."""

    def __init__(self, *, leaps: bool = True, start: float = VIRTUAL_START, reached: Reached | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._leaps = leaps
        self._start = start
        self._reached = reached
        self._elapsed = 0.0
        self._alarms: list[Entry] = []
        self._is_leaping = False
        self._working = 0

    def time(self) -> float:
        return min(self._start + self.now(), LATEST_DATE)

    def now(self) -> float:
        if self._reached is not None:
            self._elapsed = max(self._elapsed, self._reached.get())
        return self._elapsed

    def call_at(self, when: float, callback: Callback, *, is_urgent: bool = False) -> Alarm:
        alarm = _Call(when, callback)
        self.renew(alarm, when)
        return alarm

    def renew(self, alarm: Alarm, when: float) -> None:
        alarm.when = when
        heappush(self._alarms, (when, next(_serial), alarm))
        if (self._leaps or when <= self._elapsed) and not self._is_leaping:
            self._is_leaping = True
            self._loop.call_soon(self._leap)

    def drop(self, alarm: Alarm) -> None:
        alarm.cancel()
        if any(entry[2] is alarm for entry in self._alarms):
            self._alarms = [entry for entry in self._alarms if entry[2] is not alarm]
            heapify(self._alarms)

    def advance(self, seconds: float) -> None:
        """Advances time; every alarm in between goes off at its own time. Call it in the event loop."""
        end = round(self._elapsed + seconds, 9)  # rounded, so that ten tenths make one second
        while self._alarms and round(self._alarms[0][0], 9) <= end:
            self._go_off()
        self._elapsed = max(self._elapsed, end)

    def leap(self) -> None:
        """Makes time skip from now on, so that nothing waits any longer."""
        self._leaps, self._reached = True, None  # the other processes' time no longer matters
        self._leap_soon()

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """While this is open, something is working, perhaps in a thread, so time does not skip."""
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1
            self._leap_soon()

    def _is_due(self) -> bool:
        may_leap = self._leaps and not self._working
        return bool(self._alarms) and (may_leap or self._alarms[0][0] <= self._elapsed)

    def _leap_soon(self) -> None:
        if self._is_due() and not self._is_leaping:
            self._is_leaping = True
            self._loop.call_soon(self._leap)

    def _leap(self) -> None:
        # One turn of the loop has passed since the alarm was set, so whatever was ready to run has run.
        self._is_leaping = False
        if self._is_due():
            self._go_off()
        self._leap_soon()

    def _go_off(self) -> None:
        alarm = heappop(self._alarms)[2]
        if not alarm.is_canceled:
            self._elapsed = max(self.now(), alarm.when)
            if self._reached is not None:
                self._reached.reach(self._elapsed)
            try:
                again = alarm.go_off()
                if again is not None:
                    self.renew(alarm, again)
            except Exception as error:  # one failed alarm must not stop the clock for the others
                self._loop.call_exception_handler({"message": "an alarm failed", "exception": error})


def release(clock: Clock) -> None:
    """Ends the clock: a manual one lets everything that waits for it finish."""
    if isinstance(clock, VirtualClock):
        clock.leap()


async def wait_until(clock: Clock, when: float) -> None:
    """Waits until the clock has reached `when`."""
    if clock.now() >= when:
        return
    reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    alarm = clock.call_at(when, lambda: None if reached.done() else reached.set_result(None))
    try:
        await reached
    finally:
        alarm.cancel()
