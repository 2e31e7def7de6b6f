"""Slow work in threads, so that no stream waits for it and neither does the exit.

`concurrent.futures` joins its threads when the process exits, however long that takes; these are daemon threads.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")
Job = Callable[[], None]
SWITCH_INTERVAL = 0.0005
"""The switch interval in seconds while a thread yields often: a tenth of the default."""
_yielding: list[float] = []
"""The default interval, once for each thread that currently yields often."""
_yielding_lock = threading.Lock()


class Abandoned(Exception):
    """The result is no longer needed."""


def never() -> bool:
    """The default: a client that never leaves."""
    return False


@contextmanager
def yielding_often() -> Iterator[None]:
    """Within this context, no thread holds the GIL for long while another one waits for it."""
    with _yielding_lock:
        _yielding.append(_yielding[0] if _yielding else sys.getswitchinterval())
        sys.setswitchinterval(min(SWITCH_INTERVAL, _yielding[0]))
    try:
        yield
    finally:
        with _yielding_lock:
            usual = _yielding.pop()
            if not _yielding:
                sys.setswitchinterval(usual)


class Pool:
    """At most `size` threads, started when first needed. All event loops of a process may share it.

    `while_working` returns the context in which each piece of work runs."""

    def __init__(
        self, name: str, size: int, while_working: Callable[[], AbstractContextManager[object]] = nullcontext
    ) -> None:
        self.name, self.size, self.while_working = name, size, while_working
        self._reset()
        if hasattr(os, "register_at_fork"):  # pragma: no branch - only Windows has no fork
            os.register_at_fork(after_in_child=self._reset)  # a child has none of its parent's threads

    def _reset(self) -> None:
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._lock = threading.RLock()  # objects freed within `put` may call it again
        self._threads = 0
        self._busy = 0

    async def run(
        self, work: Callable[..., Result], *arguments: object, has_left: Callable[[], bool] = never
    ) -> Result:
        """Returns the result of `work(*arguments)`. Raises Abandoned, without running it, if `has_left()` is True by
        then.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self.put(partial(_do, loop, future, partial(work, *arguments), has_left))
        return await future

    def put(self, job: Job) -> None:
        """Runs a job at some point; nothing waits for it. The job must not raise. This is thread-safe."""
        with self._lock:
            self._busy += 1
            if self._busy > self._threads and self._threads < self.size:
                self._threads += 1
                threading.Thread(target=self._serve, name=f"emulator-{self.name}-{self._threads}", daemon=True).start()
        self._jobs.put(job)

    def _serve(self) -> None:
        while True:
            job = self._jobs.get()
            with self.while_working():
                job()
            del job  # or what it refers to would live until the next job
            with self._lock:
                self._busy -= 1


def _do(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[Any],
    work: Callable[[], Any],
    has_left: Callable[[], bool],
) -> None:
    result: Any = None
    failure: BaseException | None = None
    try:
        if future.cancelled() or has_left():
            raise Abandoned
        result = work()
    except StopIteration as error:  # a future does not accept StopIteration
        failure = RuntimeError(f"the work raised {error!r}")
    except BaseException as error:
        failure = error
    with suppress(RuntimeError):  # the loop is closed: its server has stopped
        loop.call_soon_threadsafe(_deliver, future, result, failure)


def _deliver(future: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
