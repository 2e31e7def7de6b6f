"""A connection that h11 parses. h11 tracks every step of HTTP, so only streams are written past it."""

from collections.abc import Sized
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from emulator.server.protocol import MAX_BACKLOG, Connection


class H11Connection(Connection, H11Protocol):
    """uvicorn's h11 protocol with a `ConnectionHandle`."""

    keeps_no_state = False
    most_backlog = MAX_BACKLOG

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.backlog: Sized = self.conn._receive_buffer

    def feed(self, data: bytes) -> None:
        H11Protocol.data_received(self, data)

    def is_body_open(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY

    def is_pipelining(self) -> bool:
        return False
