"""What the operations on a server need of it, and the errors that they raise."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any, Protocol

from emulator.control.access import Access
from emulator.errors import EmulatorError, Problem, UsageError
from emulator.state.namespaces import Namespaces
from emulator.state.timing import Timing
from emulator.state.totals import Totals

if TYPE_CHECKING:
    from emulator.control.stored import Stored

TAKE_OVER = b'{"take_over":true}'
"""Asks a worker or a replica for its whole configuration from the control API."""
Handle = Callable[[bytes], "bytes | Awaitable[bytes] | AsyncIterator[bytes]"]
"""Answers a worker's message."""


class NotFound(EmulatorError):
    """No such resource."""


class Conflict(UsageError):
    """Not possible in the current state."""


class TimedOut(EmulatorError):
    """The exchanges to wait for didn't arrive."""


class Playing(Protocol):
    """The open answers."""

    @property
    def active(self) -> Sized: ...


class Peers(Protocol):
    """The processes of a server, including this one: its workers, or the replicas that share a store."""

    @property
    def order(self) -> int: ...

    def check(self) -> None: ...

    async def ask(self, message: bytes, *, is_write: bool = False) -> list[bytes]: ...

    def stream(self, message: bytes) -> AsyncIterator[bytes]: ...


class Workers(Peers, Protocol):
    """The workers of a server."""

    async def ask_one(self, message: bytes) -> list[bytes]: ...

    def serve(self, handle: Handle, order: int = 0) -> None: ...


class Controlled(Protocol):
    """The parts of a server that the control functions need."""

    @property
    def provider(self) -> str | None: ...

    @property
    def problems(self) -> Sequence[Problem]: ...

    @property
    def timing(self) -> Timing: ...

    @property
    def namespaces(self) -> Namespaces: ...

    @property
    def access(self) -> Access: ...

    @property
    def totals(self) -> Totals: ...

    @property
    def players(self) -> Playing: ...

    @property
    def peers(self) -> Peers | None: ...

    @property
    def stored(self) -> "Stored | None": ...

    @property
    def act_on_listener(self) -> Callable[[Mapping[str, Any]], None]: ...

    @property
    def speed(self) -> float: ...

    def set_speed(self, speed: float) -> None: ...
