"""Reads saved journals and runs."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from emulator.errors import EmulatorError

NEEDED = ("number", "path", "request", "response", "frames", "ended")
"""Some members of every exported exchange."""
HINT = "Save one with: curl -s http://127.0.0.1:8080/__emulator/journal/export > journal.jsonl"


class SavedRunError(EmulatorError):
    """The file is neither a journal nor a run."""


def exchanges_in(name: str, text: str) -> Iterator[dict[str, Any]]:
    """Yields the exchanges of a saved run, or of a journal as JSON lines. Raises SavedRunError."""
    run = run_in(text)
    if run is not None:
        for place, row in enumerate(run["exchanges"], 1):
            yield _checked(row, f"{name}: exchange {place}")
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                raise SavedRunError(f"{name}:{number}: this is not JSON. {HINT}") from None
            yield _checked(row, f"{name}:{number}")


def run_in(text: str) -> dict[str, Any] | None:
    """Returns a saved run; None if the text isn't one."""
    try:
        run = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_run = isinstance(run, dict) and run.get("run") == 1 and isinstance(run.get("exchanges"), list)
    return run if is_run else None


def _checked(row: Any, where: str) -> dict[str, Any]:
    missing = [name for name in NEEDED if not isinstance(row, Mapping) or name not in row]
    if missing:
        raise SavedRunError(f"{where}: this is not a complete exchange: {missing[0]} is missing. {HINT}")
    return dict(row)
