"""The pytest fixture `emulator`. Imports nothing from the emulator until a test uses it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from emulator.embedded import Emulator


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "emulator(scenario=None, **options): arguments of `Emulator` for the `emulator` fixture"
    )


@pytest.fixture
def emulator(request: pytest.FixtureRequest) -> "Iterator[Emulator]":
    """A running emulator for this test only, on a free port; configure it with `@pytest.mark.emulator(scenario=…)`."""
    from emulator.embedded import Emulator

    marker = request.node.get_closest_marker("emulator")
    arguments, options = (marker.args, marker.kwargs) if marker else ((), {})
    with Emulator(*arguments, **options) as running:
        yield running
