"""A request of the fast path that waits for the store: it is answered as soon as the reply arrives, without a task.

If anything else happens on the connection in the meantime, a task of the application takes over, as for other
requests."""

from asyncio import Future
from collections.abc import Callable, Coroutine
from typing import Any

from emulator.engine import PlannedResponse
from emulator.server.app import App, began, ended
from emulator.state.blanks import Recollection
from emulator.state.exchanges import Exchange
from emulator.state.store_reply import StoreReply

Result = PlannedResponse | tuple[Recollection, Exchange]
"""What to send; a cached answer may be sent as text."""


class Awaiting:
    """Starts with the first future that the engine waits for; later ones are left to the task."""

    __slots__ = ("_app", "_coroutine", "_finish", "_future", "_hand_on")

    def __init__(
        self,
        app: App,
        coroutine: Coroutine[Any, Any, Result],
        future: "Future[Any] | StoreReply[Any]",
        finish: Callable[[Result], None],
        hand_on: Callable[[Coroutine[Any, Any, Result], Any], None],
    ) -> None:
        """`finish` sends the result; `hand_on` passes the rest of the coroutine to a task."""
        self._app = app
        self._coroutine: Coroutine[Any, Any, Result] | None = coroutine
        self._future = future
        self._finish = finish
        self._hand_on = hand_on
        future._asyncio_future_blocking = False  # as a task does with its futures
        if isinstance(future, StoreReply):
            future.then(self._go_on)
        else:
            future.add_done_callback(self._go_on)
        began(app)

    def hand_over(self) -> None:
        """Leaves the rest to a task."""
        coroutine, self._coroutine = self._coroutine, None
        assert coroutine is not None  # once it goes on, nobody can reach this
        if isinstance(self._future, StoreReply):
            self._future.then(None)
        else:
            self._future.remove_done_callback(self._go_on)
        self._future._asyncio_future_blocking = True
        self._hand_on(coroutine, self._future)
        ended(self._app)

    def _go_on(self, _: Any) -> None:
        coroutine, self._coroutine = self._coroutine, None
        if coroutine is None:  # it was handed over in the turn in which the future was done
            return
        try:
            awaited = coroutine.send(None)
        except StopIteration as stop:
            self._finish(stop.value)
        except Exception as error:
            self._hand_on(_failed(error), None)
        else:
            self._hand_on(coroutine, awaited)
        ended(self._app)


async def _failed(error: Exception) -> Result:
    """Fails in the task, which answers and logs it."""
    raise error
