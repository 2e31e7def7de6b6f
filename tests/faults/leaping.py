"""Running emulators on a virtual clock, of one kind and of every kind."""

import logging
from collections.abc import Iterator
from typing import get_args

import pytest
from rawhttp import eventually
from talk import Serving
from virtual import SCENARIO, Virtual

from emulator.server.server import ServerOptions

HTTP, LOOP = (get_args(ServerOptions.__annotations__[name]) for name in ("http", "loop"))


@pytest.fixture(params=[(http, loop) for http in HTTP for loop in LOOP if loop != "auto"], ids="-".join)
def each(request: pytest.FixtureRequest, serving: Serving, caplog: pytest.LogCaptureFixture) -> Iterator[Virtual]:
    """An emulator of each kind in turn."""
    http, loop = request.param
    yield from _quietly(Virtual(serving(SCENARIO, http=http, loop=loop)), caplog)


@pytest.fixture
def virtual(serving: Serving, caplog: pytest.LogCaptureFixture) -> Iterator[Virtual]:
    """One of them, for what does not depend on the kind."""
    yield from _quietly(Virtual(serving(SCENARIO)), caplog)


def _quietly(on: Virtual, caplog: pytest.LogCaptureFixture) -> Iterator[Virtual]:
    """No error may be logged, no exception lost, and nobody left behind."""
    with caplog.at_level(logging.WARNING):
        yield on
        eventually(on.is_alone)
    logged = [each for each in caplog.get_records("call") if each.levelno >= logging.ERROR or "uvicorn" in each.name]
    assert [each.getMessage() for each in logged] == []
