"""A paced stream of the fast path: it is played and finished without a task, and without uvicorn's record of a request.

If anything else happens on the connection in the meantime, uvicorn gets that record, so that it queues what arrives,
and closes the connection if the server stops."""

import logging
from typing import Any

from emulator.engine import PlannedResponse
from emulator.server.app import App, PendingResponse, began, ended
from emulator.server.playback import finish_records, with_ending
from emulator.server.players import BodyPlayer
from emulator.server.uvicorn_adapter import Cycle, Scope
from emulator.state.exchanges import came_on
from emulator.state.namespace import Namespace
from emulator.wire import PlannedBody, says_close

logger = logging.getLogger("emulator")


def stream(pending: PendingResponse, app: App, protocol: Any, scope: Scope) -> bool:
    """Begins to send an answer on a connection that accepts it, if the answer is a stream that needs nothing but its
    frames at their times. Returns whether it is."""
    plan = pending.plan
    assert isinstance(plan, PlannedResponse)  # nothing is left to wait for
    answer = plan.answer
    if (
        not isinstance(answer, PlannedBody)
        or not answer.streamed
        or not answer.at
        or says_close(answer.headers)
        or app.players.draining
        or app.spool is not None
    ):
        return False
    player = BodyPlayer(protocol.handle, pending.start, pending.clock, scope, answer)
    try:
        player.open()
    except ValueError:  # a header that is invalid in HTTP, perhaps from a plugin's provider
        return False  # the task will fail in the same way, and be answered
    Stream(app, protocol, plan, pending.namespace, player).begin()
    return True


class Stream:
    """One such stream, from its first frame to its last byte."""

    __slots__ = ("_app", "_cycle", "_namespace", "_plan", "_player", "_protocol")

    def __init__(
        self, app: App, protocol: Any, plan: PlannedResponse, namespace: Namespace, player: BodyPlayer
    ) -> None:
        self._app = app
        self._protocol = protocol
        self._plan = plan
        self._namespace = namespace
        self._player = player
        self._cycle: Cycle | None = None

    def begin(self) -> None:
        """Sends what is due."""
        exchange, protocol, player = self._plan.exchange, self._protocol, self._player
        began(self._app)
        came_on(exchange, protocol.handle.record)
        exchange.planned = self._plan.answer
        exchange.underway = player.progress
        protocol.ongoing = self
        protocol.stop_timers()
        player.join(self._app.players, self._end)

    def hand_over(self) -> None:
        """Gives uvicorn a record of the request, whose answer has begun, unless the client has just left."""
        if self._cycle is None and not self._player.handle.is_lost:
            self._cycle = self._protocol.open_cycle(self._player.scope)
            self._cycle.response_started = True

    def _end(self) -> None:
        app, protocol, player, cycle = self._app, self._protocol, self._player, self._cycle
        handle = player.handle
        player.leave(app.players)
        protocol.ongoing = None
        if player.error is None:
            self._plan.exchange.playback = with_ending(player.playback, handle)
        else:
            logger.error("A stream failed: please report this", exc_info=player.error)
            handle.close()
        try:
            app.close(self._plan, self._namespace)
        except Exception:
            logger.exception("A stream could not be recorded: please report this")
        if handle.is_lost:
            if cycle is not None:
                cycle.disconnected = True
        elif cycle is None:
            protocol.rest()
        else:
            if not cycle.keep_alive:
                handle.close()
            finish_records(cycle)
        ended(app)
