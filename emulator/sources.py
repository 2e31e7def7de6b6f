"""Where a scenario comes from: a file, or a mapping made by a program."""

from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from emulator.document import Document
from emulator.loading import build, read
from emulator.scenario import Scenario

Source = str | PathLike[str] | Mapping[str, Any] | Scenario


def load(source: Source) -> Scenario:
    """The scenario of one source. Raises ScenarioError, which lists everything that is wrong with it."""
    if isinstance(source, Scenario):
        return source
    if isinstance(source, Mapping):
        return build(Scenario, Document("scenario", {"version": 1, **source}))
    return build(Scenario, read(Path(fspath(source))))
