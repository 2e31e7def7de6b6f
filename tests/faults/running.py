"""Running emulators of every kind, for faults that the wire shows."""

import logging
from collections.abc import Iterator

import pytest
from raw import SCENARIO, SERVERS, Live
from rawhttp import eventually
from talk import Serving


@pytest.fixture(params=SERVERS, ids="-".join)
def live(request: pytest.FixtureRequest, serving: Serving, caplog: pytest.LogCaptureFixture) -> Iterator[Live]:
    """An emulator of each kind in turn. No error may be logged, no exception lost, and nobody left behind."""
    http, loop = request.param
    on = Live(serving(SCENARIO, http=http, loop=loop))
    with caplog.at_level(logging.WARNING):
        yield on
        eventually(on.is_alone)
    logged = [each for each in caplog.get_records("call") if each.levelno >= logging.ERROR or "uvicorn" in each.name]
    assert [each.getMessage() for each in logged] == []
