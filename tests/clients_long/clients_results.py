"""The results of the clients, in results.json, from which docs/clients.md gets its tables."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clients_table import CHAT, CLIENTS

FILE = Path(__file__).parent / "results.json"
OUTCOMES = {"passed": "pass", "otherwise": "fail as documented", "not_applicable": "do not apply"}


class Results:
    """The marks of each row; those of rows that do not run stay as they are."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = json.loads(FILE.read_text()) if FILE.exists() else {}
        self.has_news = False

    def add(self, client: str, row: str, seen: Mapping[str, Any]) -> None:
        """Notes what a row saw, against what it should see."""
        expected = CLIENTS[client].rows[row].expected
        marks = {case: mark(case, seen.get(case), value) for case, value in expected.items()}
        self.rows[f"{client}.{row}"] = {**facts(client, row), "works": marks}
        self.has_news = True

    def write(self) -> None:
        """Keeps the rows, in the order of the clients, without those that there no longer are."""
        order = [f"{client}.{row}" for client, facts in CLIENTS.items() for row in facts.rows]
        kept = {name: self.rows[name] for name in order if name in self.rows}
        FILE.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def mark(case: str, seen: Any, expected: Any) -> str:
    """What docs/clients.md shows of a case."""
    if seen != expected:
        return "✗"
    if case == "standard":
        return ", ".join(f"{seen[name]} {words}" for name, words in OUTCOMES.items() if name in seen)
    if expected is None:
        return "–"
    return "✓" if expected == CHAT.get(case, expected) else "△"


def facts(client: str, row: str) -> dict[str, Any]:
    """What a row is, without what became of it."""
    known = CLIENTS[client]
    api, base_url, _, note = known.rows[row]
    kind = "npm" if known.is_node else "PyPI"
    packages = f"{', '.join(known.packages)} ({kind})"
    return {"client": known.title, "packages": packages, "api": api, "base_url": base_url, "note": note}


@contextmanager
def recorded() -> Iterator[Results]:
    """Results, written at the end if there are new ones."""
    results = Results()
    yield results
    if results.has_news:
        results.write()
