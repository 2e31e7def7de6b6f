"""Faults of a server's port: it refuses connections for a while, resets them or breaks their TLS handshakes."""

import asyncio
import secrets
import socket
from collections.abc import Callable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

from emulator.clock import WallClock, wait_until
from emulator.records import struct
from emulator.server.sockets import bind, shares_port_of
from emulator.wire import Handshake

if TYPE_CHECKING:
    from emulator.server.http_server import HttpServer
    from emulator.state.shared import Shared


@struct
class _Charge:
    """A fault for the next connections."""

    count: int
    until: float
    how: Handshake | None
    key: int
    """The key under which all workers count it."""
    used: int = 0
    """The number of connections that it has applied to in this process."""

    def takes(self, now: float, shared: "Shared | None") -> bool:
        """Whether it applies to the next connection; counts it."""
        if self.used >= self.count or now >= self.until:
            self.used = self.count
        elif shared is not None and not shared.claim(self.key, 0, self.count, hits=True):
            self.used = self.count  # by the other workers
        else:
            self.used += 1
            return True
        return False


class ListenerControl:
    """A server's listening sockets: they can be closed for a while, and what they accept can be broken, in all workers.
    To be used in the event loop. It uses real time, since the port belongs to all namespaces.
    """

    def __init__(self, clock: WallClock, server: "HttpServer") -> None:
        self.numbers = count(1)
        self._server: HttpServer | None = server
        self._clock = clock
        self._until = 0.0
        self._resets: list[_Charge] = []
        self._broken: _Charge | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._shared: Shared | None = None
        self._tell: Callable[[dict[str, Any]], None] = self.act
        self.lost = server.lost

    def join(self, shared: "Shared", tell: Callable[[dict[str, Any]], None]) -> None:
        """Shares the port with other workers. `tell` makes all of them `act`, including this one."""
        self._shared, self._tell = shared, tell

    @property
    def is_open(self) -> bool:
        return self._reopening is None or self._reopening.done()

    @property
    def is_untouched(self) -> bool:
        """Whether it accepts connections, and no fault closes or breaks them."""
        return self.is_open and not self._resets and self._broken is None

    def refuse(self, seconds: float) -> None:
        """Refuses connections for this long, or longer if an earlier call said so. Idle connections are closed and
        busy ones end with their answer, as when a server goes down.
        """
        self._tell({"what": "refuse", "seconds": seconds})

    def reset_accepts(self, count: int, seconds: float) -> None:
        """Resets the next `count` connections (in addition to earlier calls), within `seconds`."""
        self._charge("reset", count, seconds, "")

    def break_handshakes(self, how: Handshake, count: int, seconds: float) -> None:
        """Breaks the next `count` TLS handshakes, within `seconds`."""
        self._charge("handshake", count, seconds, how)

    def _charge(self, what: str, count: int, seconds: float, how: str) -> None:
        key = secrets.randbits(63)
        if self._shared is not None:
            self._shared.open(key)
        self._tell({"what": what, "count": count, "seconds": seconds, "how": how, "key": key})

    def act(self, order: Mapping[str, Any]) -> None:
        """Executes an order that any of the workers has received."""
        if order["what"] == "refuse":
            self._refuse(order["seconds"])
            return
        until = self._clock.now() + order["seconds"]
        charge = _Charge(order["count"], until, order["how"] or None, order["key"])
        if order["what"] == "reset":
            self._resets.append(charge)
        else:
            self._broken = charge

    def _refuse(self, seconds: float) -> None:
        if self._server is None:
            return
        self._until = max(self._until, self._clock.now() + seconds)
        if self.is_open:
            self._reopening = asyncio.create_task(self._reopen(self._server, self._shut(self._server)))

    def resets_next(self) -> bool:
        """Whether to reset the connection that has just been accepted; counts it."""
        while self._resets:
            if self._resets[0].takes(self._clock.now(), self._shared):
                if self._resets[0].used == self._resets[0].count:
                    del self._resets[0]
                return True
            del self._resets[0]
        return False

    def breaks_next(self) -> Handshake | None:
        """Returns how to break the handshake that is about to begin; counts it."""
        charge = self._broken
        if charge is None:
            return None
        takes = charge.takes(self._clock.now(), self._shared)
        if charge.used >= charge.count:
            self._broken = None
        return charge.how if takes else None

    def close(self) -> None:
        """Stops all timers, at the server's end."""
        self._server = None
        if self._reopening is not None:
            self._reopening.cancel()

    def _shut(self, server: "HttpServer") -> list[socket.socket]:
        sockets = [sock for listener in server.servers for sock in listener.sockets]
        addresses = dict.fromkeys([(*sock.getsockname()[:2], shares_port_of(sock)) for sock in sockets])
        for listener in server.servers:
            listener.close()
        server.servers.clear()
        for connection in tuple(server.server_state.connections):
            if not connection.transport.is_closing():
                connection.shutdown()
        # Bound but not listening: connections are refused, and no other program can take the port.
        return [bind(host, port, listens=False, shares_port=shares) for host, port, shares in addresses]

    async def _reopen(self, server: "HttpServer", bound: list[socket.socket]) -> None:
        try:
            while True:
                await wait_until(self._clock, self._until)
                for sock in bound:
                    await server.listen(sock)
                if self._clock.now() >= self._until:
                    return
                bound = self._shut(server)
        except asyncio.CancelledError:
            for sock in bound:
                sock.close()
            raise
