"""Everything of uvicorn that is used beyond its documented interface, typed, in one place.

uvicorn's protocol classes are subclassed so that answers can have the socket itself. What that needs of their inside is
declared here, and `tests/test_uvicorn_adapter.py` holds it against the uvicorn that is installed: an upgrade that
changes anything breaks there, by name. Only this module and `connection_*.py` import uvicorn."""

import asyncio
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol

import uvicorn
from uvicorn.server import ServerState

__all__ = ["Config", "Cycle", "Flow", "Message", "Scope", "ServerState", "UvicornProtocol", "settings", "version"]

Config = uvicorn.Config
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]


class Flow(Protocol):
    """Whether a connection is read from and may be written to."""

    read_paused: bool
    write_paused: bool

    def resume_reading(self) -> None: ...


class Cycle(Protocol):
    """uvicorn's record of one request and its response."""

    scope: Any
    transport: Any
    """May be replaced by what stands before the transport."""
    body: bytearray
    """What has come of the body and nobody has read."""
    more_body: bool
    message_event: asyncio.Event
    """Wakes up whoever reads the body."""
    keep_alive: bool
    """The connection stays open after the response."""
    disconnected: bool
    """The client has gone: nothing is written any more."""
    waiting_for_100_continue: bool
    response_started: bool
    response_complete: bool
    on_response: Callable[[], None]
    """Lets the connection take its next request."""

    async def send(self, message: Any) -> None: ...


class UvicornProtocol(asyncio.Protocol):
    """What both of uvicorn's protocol classes bring along: one connection. To be inherited from beside one of them."""

    app: Any
    app_state: dict[str, Any]
    """What each request's scope holds as its state."""
    server_state: ServerState
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    flow: Any
    """A `Flow`, once the connection is there."""
    scope: Any
    """The head that came last, as an ASGI scope; None before the first."""
    cycle: Any
    """The `Cycle` of the request that came last; None before the first."""
    logger: Any
    access_log: bool
    timeout_keep_alive: int
    timeout_keep_alive_task: asyncio.TimerHandle | None

    if TYPE_CHECKING:  # at run time uvicorn's own methods are to be found

        def timeout_keep_alive_handler(self) -> None:
            """The connection was idle for too long."""

        def shutdown(self) -> None:
            """Close the connection, after the answer that is under way."""

        def _unset_keepalive_if_required(self) -> None:
            """Let the connection rest for as long as it wants."""


def settings(app: Any, connection_class: type[Any], keep_alive: int) -> Config:
    """uvicorn's settings: HTTP alone, and no logger of the program around it is touched."""
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
    """Which uvicorn is installed."""
    return uvicorn.__version__
