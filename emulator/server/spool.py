"""What a process keeps outside of itself about its newest exchanges, before their clients see anything: so they are in
the journal and the totals even if the process is killed.

A whole answer is packed together with its request. It is sent only after that has been written where the death of this
process can't reach it. An answer that takes time is noted as open before its first byte; if the process is killed, it
is shown as `lost`."""

from typing import Any, Protocol

from emulator.server.players import BeforeLast
from emulator.state.blanks import Recollection
from emulator.state.exchanges import Exchange


class Catch:
    """Takes a whole answer instead of its connection."""

    __slots__ = ("protocol", "wire")

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.wire = b""

    def write(self, data: bytes) -> None:
        """Takes it."""
        self.wire = data

    @property
    def own_lines(self) -> int:
        """The number of the server's own headers in it."""
        return len(self.protocol.server_state.default_headers)


class Spool(Protocol):
    """Where one process keeps them."""

    def answered(self, exchange: Exchange, catch: Catch, recollection: Recollection | None = None) -> None:
        """Sends a whole answer, once its exchange is kept."""
        ...

    def begin(self, exchange: Exchange) -> BeforeLast:
        """Keeps an exchange whose answer is about to be sent. Returns what to call before its last bytes are sent."""
        ...

    async def safe(self) -> None:
        """Returns once everything that was kept so far is safe."""
        ...

    def end(self, exchange: Exchange) -> None:
        """Keeps how it has ended."""
        ...
