"""What every program here needs: its base URLs, the question with a tool, and the report."""

import json
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

ORIGIN = sys.argv[1] if len(sys.argv) > 1 else ""
KEY = "sk-test"
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TRIP = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
EMBEDDED = ["a cat sat", "a cat sat", "prices of steel"]
Cases = Mapping[str, Callable[[], Any]]


def base(row: str, path: str) -> str:
    """The base URL of a row, which has a namespace of its own."""
    return f"{ORIGIN}/@{row}{path}"


def joined(pieces: Iterable[str | None]) -> dict[str, Any]:
    """What the pieces of a stream come to."""
    given = [piece for piece in pieces if piece]
    return {"text": "".join(given), "comes_in_pieces": len(given) > 1}


def failure(work: Callable[[], Any]) -> dict[str, Any]:
    """How something failed: its status, and the provider's message if it says it. Fails if it did not."""
    try:
        work()
    except Exception as error:
        status = next(
            (getattr(error, name) for name in ("status_code", "code", "status") if hasattr(error, name)), None
        )
        found = re.search(r"This is refused\.", str(error))
        return {"status": status, "message": found[0] if found else str(error)}
    raise AssertionError("it did not fail")


def broken(stream: Callable[[], Iterable[str | None]]) -> dict[str, Any]:
    """Whether a stream that breaks fails, after what it gave."""
    pieces: list[str] = []
    raises = False
    try:
        for piece in stream():
            pieces += piece or ""
    except Exception:
        raises = True
    return {"begins": "".join(pieces)[:13], "raises": raises}


def vectors(found: Any) -> dict[str, Any]:
    """What is to be said of the vectors of EMBEDDED."""
    rows = [list(row) for row in found]
    return {"lengths": [len(row) for row in rows], "same": rows[0] == rows[1]}


def report(rows: Mapping[str, Cases]) -> None:
    """Runs every case of every row, one after the other, and prints what each saw."""
    seen: dict[str, dict[str, Any]] = {}
    for row, cases in rows.items():
        seen[row] = {}
        for name, work in cases.items():
            try:
                seen[row][name] = work()
            except Exception as error:
                where = "".join(traceback.format_exception(error))[-1500:]
                seen[row][name] = {"failed": f"{type(error).__name__}: {error}"[:1500], "where": where}
    print(json.dumps(seen, ensure_ascii=False))
