"""A client without HTTP: it returns the bytes that arrived and how the connection ended."""

import json
from itertools import product
from typing import Any, Literal

from rawhttp import Connection, Ending, undated
from rawhttp import request as http_request
from talk import KEYS, PATHS, question

from emulator import Emulator

Address = tuple[str, int]
SCENARIO = {"rules": [{"name": "hello", "reply": {"content": "Hé, you", "id": "one", "created": 1}}]}
"""Six events and `[DONE]`, as maxtoken says it: a role, four tokens, the finish."""
PROVIDER = "maxtoken"
HTTP: tuple[Literal["httptools", "h11"], ...] = ("httptools", "h11")
SERVERS = tuple(product(HTTP, ("uvloop", "asyncio")))
"""Every kind of server: its parser and its event loop."""


def exchange(address: Address, request: bytes, *, timeout: float = 2.0) -> tuple[bytes, Ending]:
    """Send a request on a fresh connection and read until it ends: by FIN, by RST, or `timeout` seconds of silence."""
    try:
        with Connection(address[1]) as client:
            client.send(request)
            return client.read_rest(timeout)
    except (ConnectionResetError, BrokenPipeError):  # it came before the connection was used
        return b"", "reset"


class Live:
    """A running emulator with `SCENARIO`. Faults are chosen by URL."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.address = ("127.0.0.1", emulator.port)

    @property
    def state(self) -> Any:
        """uvicorn's own record of its connections and tasks."""
        server = self.emulator._server.http
        assert server is not None
        return server.server_state

    def is_alone(self) -> bool:
        """Nobody is connected, and every request is done with."""
        return not self.state.connections and not self.state.tasks

    def ask(self, fault: str = "", *, stream: bool = True, **headers: str) -> bytes:
        """A request for an answer with this fault."""
        body = json.dumps(question(PROVIDER, stream=stream)).encode()
        prefix = f"/~{fault}" if fault else ""
        return http_request(f"{prefix}/{PROVIDER}{PATHS[PROVIDER]}", body, **KEYS[PROVIDER], **headers)

    def exchange(
        self, fault: str = "", *, stream: bool = True, timeout: float = 10.0, **headers: str
    ) -> tuple[bytes, Ending]:
        """Its answer, without the date."""
        data, ending = exchange(self.address, self.ask(fault, stream=stream, **headers), timeout=timeout)
        return undated(data), ending

    def connect(self) -> Connection:
        return Connection(self.emulator.port)
