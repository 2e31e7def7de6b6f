"""A reply that a coroutine awaits, as a future, but its first reader continues immediately when it arrives.

A future of asyncio schedules what waits for it for the next turn of the loop. For requests that the fast path answers,
that costs more than the answer, and tears those apart whose replies have arrived together."""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class StoreReply(Generic[Value]):
    """Quacks like a future, so that tasks can also wait for it."""

    __slots__ = ("_asyncio_future_blocking", "_callbacks", "_error", "_is_done", "_loop", "_then", "_value")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asyncio_future_blocking = False
        self._is_done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._then: Callable[[Any], None] | None = None
        self._callbacks: list[tuple[Callable[[Any], object], Context | None]] = []

    def then(self, follow: Callable[[Any], None] | None) -> None:
        """Calls a function, the only one, immediately when the reply arrives; None: no longer."""
        self._then = follow

    def done(self) -> bool:
        """Whether it has arrived."""
        return self._is_done

    def set_result(self, value: Value) -> None:
        """The reply has arrived."""
        self._value = value
        self._finish()

    def set_exception(self, error: BaseException) -> None:
        """There will be none."""
        self._error = error
        self._finish()

    def result(self) -> Value:
        """Returns it, or raises."""
        if self._error is not None:
            raise self._error
        value: Value = self._value
        return value

    def exception(self) -> BaseException | None:
        """Why there is none."""
        return self._error

    def __await__(self) -> Generator[Any, Any, Value]:
        if not self._is_done:
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    # What a task uses of a future

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop in which it arrives."""
        return self._loop

    def cancelled(self) -> bool:
        """Whether nobody waits any longer."""
        return isinstance(self._error, asyncio.CancelledError)

    def cancel(self, msg: Any = None) -> bool:
        """Stops waiting."""
        if self._is_done:
            return False
        self.set_exception(asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg))
        return True

    def add_done_callback(self, follow: Callable[[Any], object], *, context: Context | None = None) -> None:
        """Calls a function in the turn after the reply."""
        if self._is_done:
            self._loop.call_soon(follow, self, context=context)
        else:
            self._callbacks.append((follow, context))

    def remove_done_callback(self, follow: Callable[[Any], object]) -> int:
        """Doesn't call it."""
        left = [each for each in self._callbacks if each[0] != follow]
        removed = len(self._callbacks) - len(left)
        self._callbacks = left
        return removed

    def _finish(self) -> None:
        self._is_done = True
        then, self._then = self._then, None
        if then is not None:
            try:
                then(self)
            except Exception as error:
                words = "A request could not be continued when the store had replied"
                self._loop.call_exception_handler({"message": words, "exception": error})
        for follow, context in self._callbacks:
            self._loop.call_soon(follow, self, context=context)
        self._callbacks = []
