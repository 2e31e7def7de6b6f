"""A namespace of its own for each test of the verdict, and a little client for it."""

from collections.abc import Iterator

import httpx
import pytest
from little_client import RULES, Client

from emulator import Emulator


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with Emulator({"rules": RULES}) as running:
        yield running


@pytest.fixture
def client(server: Emulator, request: pytest.FixtureRequest) -> Iterator[Client]:
    with httpx.Client(trust_env=False, verify=False) as http:
        yield Client(server.namespace(request.node.nodeid), http)
