"""What the control API changes and shows in a store that several processes share."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from emulator.state.namespace import Namespace
from emulator.state.store import ChangeKind, Store, change_of

if TYPE_CHECKING:
    from emulator.control.controlled import Controlled

InStore = Callable[[Store, str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Adds a store's counts to what the processes show of a namespace."""


def order_of(server: "Controlled") -> int:
    """Returns the number of the current call among those to all processes; 0 if there is only one process."""
    return 0 if server.peers is None else server.peers.order


def stored(server: "Controlled", where: Namespace, result: dict[str, Any], kind: ChangeKind, **more: Any) -> Any:
    """Returns the result once the shared store has the same change. Raises StoreGone if it can't be reached."""
    store = where.store
    if store is None:
        return result
    return _changed(store.change(where.name, change_of(kind, order_of(server), **more)), result)


async def _changed(change: Awaitable[object], result: dict[str, Any]) -> dict[str, Any]:
    await change
    return result


async def rules_in_store(store: Store, namespace: str, shown: dict[str, Any]) -> dict[str, Any]:
    """Returns the rules with the store's counts of their uses."""
    values = (await store.snapshot(namespace))["values"]
    added = sum(row["added"] for row in shown["rules"])
    keys = [row["id"] or f"rule-{place - added}" for place, row in enumerate(shown["rules"])]
    rows = zip(keys, shown["rules"], strict=True)
    return {"rules": [{**row, "used": row["used"] + int(values.get(f"u:{key}", "0"))} for key, row in rows]}


async def faults_in_store(store: Store, namespace: str, shown: dict[str, Any]) -> dict[str, Any]:
    """Returns the added faults with the store's counts, without those that are used up."""
    values = (await store.snapshot(namespace))["values"]
    rows = []
    for row in shown["faults"]:
        counts = values.get(f"f:{row['id']}")
        seen, applied = map(int, counts.split(" ")) if counts is not None else (row["seen"], row["applied"])
        rows.append({**row, "seen": seen, "applied": applied})
    return {"faults": [row for row in rows if row["times"] is None or row["applied"] < row["times"]]}


async def namespaces_in_store(store: Store, namespace: str, shown: dict[str, Any]) -> dict[str, Any]:
    """Returns the namespaces with their states in the store."""
    rows = []
    for row in shown["namespaces"]:
        values = (await store.snapshot(row["name"]))["values"]
        rows.append({**row, "state": values.get("state", row["state"])})
    return {"namespaces": rows}
