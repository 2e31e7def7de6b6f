"""Everything of uvicorn that is used beyond its documented interface, typed, in one place.

uvicorn's protocol classes are subclassed so that answers can use the socket itself. The internals that this needs are
declared here, and `tests/test_uvicorn_adapter.py` compares them with the installed uvicorn, so that an upgrade that
changes any of them fails there by name. Only this module and `connection_*.py` import uvicorn."""

import asyncio
import sys
from collections.abc import Callable, MutableMapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

__all__ = ["Config", "Cycle", "Flow", "Message", "Scope", "ServerState", "UvicornProtocol", "settings", "version"]

_LATER = "uvicorn.main"
"""uvicorn's own server and command, which aren't used here: loading them takes as long as everything else of it."""


class _Uvicorn(ModuleType):
    """The package uvicorn, which loads its server and its command once they are asked for."""

    def __getattr__(self, name: str) -> Any:
        if name not in _pending:
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        later = import_module(_LATER)
        for each in _pending:
            setattr(self, each, getattr(later, each))
        return getattr(self, name)


def _import_in_part() -> list[str]:
    """Imports uvicorn without `_LATER`, unless it is there already. Returns the names that it takes from there."""
    if "uvicorn" in sys.modules:
        return []
    pending = object()
    stand_in: Any = ModuleType(_LATER)
    stand_in.__getattr__ = lambda name: pending
    sys.modules[_LATER] = stand_in
    try:
        package = import_module("uvicorn")
    finally:
        del sys.modules[_LATER]
    names = [name for name, value in vars(package).items() if value is pending]
    for name in names:
        delattr(package, name)
    package.__class__ = _Uvicorn
    return names


_pending = _import_in_part()

import uvicorn  # noqa: E402  # now it is there
from uvicorn.config import Config  # noqa: E402
from uvicorn.server import ServerState  # noqa: E402

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]


class Flow(Protocol):
    """Flow control: whether a connection is being read, and may be written to."""

    read_paused: bool
    write_paused: bool

    def resume_reading(self) -> None: ...


class Cycle(Protocol):
    """uvicorn's record of one request and its response."""

    scope: Any
    transport: Any
    """May be replaced with a wrapper of the transport."""
    body: bytearray
    """The part of the body that has arrived but was not read."""
    more_body: bool
    message_event: asyncio.Event
    """Wakes up the reader of the body."""
    keep_alive: bool
    """Whether the connection stays open after the response."""
    disconnected: bool
    """Whether the client is gone, so that nothing more is written."""
    waiting_for_100_continue: bool
    response_started: bool
    response_complete: bool
    on_response: Callable[[], None]
    """Lets the connection take its next request."""

    async def send(self, message: Any) -> None: ...


class UvicornProtocol(asyncio.Protocol):
    """The common interface of uvicorn's protocol classes: one connection. To be inherited together with one of them."""

    app: Any
    app_state: dict[str, Any]
    """The state in each request's scope."""
    server_state: ServerState
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    flow: Any
    """A `Flow`, once the connection is made."""
    scope: Any
    """The last head, as an ASGI scope; None before the first one."""
    cycle: Any
    """The `Cycle` of the last request; None before the first one."""
    logger: Any
    access_log: bool
    timeout_keep_alive: int
    timeout_keep_alive_task: asyncio.TimerHandle | None

    if TYPE_CHECKING:  # at run time, uvicorn's own methods are used

        def timeout_keep_alive_handler(self) -> None:
            """Called when the connection was idle for too long."""

        def shutdown(self) -> None:
            """Closes the connection after the current answer."""

        def _unset_keepalive_if_required(self) -> None:
            """Stops the keep-alive timer, so that the connection may stay idle."""


class _Gone:
    """Replaces the protocol of a lost connection. Otherwise, protocol and handle would keep each other in memory
    until a garbage collection, which stops every stream for a while."""

    keeps_no_state = write_paused = False

    def __init__(self) -> None:
        self.transport = self.flow = self

    def is_closing(self) -> bool:
        return True

    write = close = abort = write_eof = get_extra_info = lambda *_: None


GONE = _Gone()


def settings(app: Any, connection_class: type[Any], keep_alive: int) -> Config:
    """Returns uvicorn's settings: only HTTP, and the loggers of the surrounding program are not touched."""
    config = Config(
        app,
        http=connection_class,
        ws="none",
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        timeout_keep_alive=keep_alive,
    )
    config.load()
    return config


def version() -> str:
    """Returns the version of the installed uvicorn."""
    return uvicorn.__version__


def head_size(scope: Scope) -> int:
    """Returns the size of a request's head in bytes."""
    lines = sum([len(name) + len(value) + 4 for name, value in scope["headers"]])
    return len(scope["raw_path"]) + len(scope["query_string"]) + lines
