"""What the control API changes and shows where several processes count together, in a store."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from emulator.state.namespace import Namespace
from emulator.state.store import ChangeKind, Store, change_of

if TYPE_CHECKING:
    from emulator.control.api import Controlled

InStore = Callable[[Store, str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Adds to what the processes have themselves, in a namespace, what their store has counted."""


def order_of(server: "Controlled") -> int:
    """The place of the present call among all that go to every process; 0 if there are no others."""
    return 0 if server.peers is None else server.peers.order


def stored(server: "Controlled", where: Namespace, result: dict[str, Any], kind: ChangeKind, **more: Any) -> Any:
    """The result, as soon as the store that others share has changed in the same way. Raises StoreGone then."""
    store = where.store
    if store is None:
        return result
    return _changed(store.change(where.name, change_of(kind, order_of(server), **more)), result)


async def _changed(change: Awaitable[object], result: dict[str, Any]) -> dict[str, Any]:
    await change
    return result


async def rules_in_store(store: Store, namespace: str, shown: dict[str, Any]) -> dict[str, Any]:
    """The rules with the uses that the store has counted."""
    values = (await store.snapshot(namespace))["values"]
    added = sum(row["added"] for row in shown["rules"])
    keys = [row["id"] or f"rule-{place - added}" for place, row in enumerate(shown["rules"])]
    rows = zip(keys, shown["rules"], strict=True)
    return {"rules": [{**row, "used": row["used"] + int(values.get(f"u:{key}", "0"))} for key, row in rows]}


async def faults_in_store(store: Store, namespace: str, shown: dict[str, Any]) -> dict[str, Any]:
    """The added faults with the requests that the store has counted, without those that are used up."""
    values = (await store.snapshot(namespace))["values"]
    rows = []
    for row in shown["faults"]:
        counts = values.get(f"f:{row['id']}")
        seen, applied = map(int, counts.split(" ")) if counts is not None else (row["seen"], row["applied"])
        rows.append({**row, "seen": seen, "applied": applied})
    return {"faults": [row for row in rows if row["times"] is None or row["applied"] < row["times"]]}


async def namespaces_in_store(store: Store, namespace: str, shown: dict[str, Any]) -> dict[str, Any]:
    """The namespaces with the states that the store has."""
    rows = []
    for row in shown["namespaces"]:
        values = (await store.snapshot(row["name"]))["values"]
        rows.append({**row, "state": values.get("state", row["state"])})
    return {"namespaces": rows}
