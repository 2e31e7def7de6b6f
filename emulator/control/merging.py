"""Merges the answers of several workers into one. A server without workers has one part."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from emulator.state.journal import MAX_EXCHANGES
from emulator.state.timing import Timing

Part = dict[str, Any]
Merge = Callable[[Sequence[Any], Any], Any]


def ready(parts: Sequence[Part], asked: Any) -> Part:
    """Ready if all are."""
    problems = {problem: None for part in parts for problem in part.get("problems", ())}
    return {"status": "problems", "problems": list(problems)} if problems else parts[0]


def about(parts: Sequence[Part], asked: Any) -> Part:
    return {**parts[0], "workers": len(parts)}


def timing(parts: Sequence[Part], asked: Any) -> Part:
    return dict(Timing.merged(parts).to_dict())


def rows(parts: Sequence[list[Part]], limit: int | None) -> list[Part]:
    """Returns the exchanges of all workers, oldest first, as many as one journal keeps."""
    found = sorted((row for part in parts for row in part), key=lambda row: int(row["number"]))
    return found[-(limit or MAX_EXCHANGES) :]


def exchanges(parts: Sequence[Part], asked: Any) -> Part:
    return {"exchanges": rows([part["exchanges"] for part in parts], asked.query.limit)}


def removed(parts: Sequence[Part], asked: Any) -> Part:
    """Adds up what each worker has removed."""
    return {"removed": sum(part["removed"] for part in parts)}


def rules(parts: Sequence[Part], asked: Any) -> Part:
    """All workers have the same rules; their uses are added up."""
    columns = zip(*(part["rules"] for part in parts), strict=False)
    return {"rules": [{**column[0], "used": sum(row["used"] for row in column)} for column in columns]}


def faults(parts: Sequence[Part], asked: Any) -> Part:
    """All workers have the same faults; their counts are added up."""
    found: dict[str, Part] = {}
    for part in parts:
        for row in part["faults"]:
            known = found.get(row["id"])
            counts = {name: row[name] + (known[name] if known else 0) for name in ("seen", "applied")}
            found[row["id"]] = {**row, **counts}
    return {"faults": [row for row in found.values() if row["times"] is None or row["applied"] < row["times"]]}


def namespaces(parts: Sequence[Part], asked: Any) -> Part:
    """Returns the namespaces of all workers; their exchanges are added up."""
    found: dict[str, Part] = {}
    for part in parts:
        for row in part["namespaces"]:
            known: Mapping[str, Any] = found.get(row["name"], {})
            found[row["name"]] = {**row, "exchanges": row["exchanges"] + known.get("exchanges", 0)}
    return {"namespaces": sorted(found.values(), key=lambda row: (row["name"] != "default", row["name"]))}
