"""The commands that Redis gets: scripts with the keys of a namespace."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from emulator.records import struct
from emulator.state.redis_connection import StoreAddress
from emulator.state.redis_link import Command
from emulator.state.redis_packets import Counts, script
from emulator.state.store import MAX_RECENT

NAMES = ("values", "attempts", "attempts-before", "prefixes", "prefixes-before", "tallies", "tallies-before", "leases")
"""The keys of a namespace, in the order of the scripts."""
STORED = ("responses", "responses-order", "responses-items")
"""The keys of its stored responses."""
TOUCH_SHARE = 20
"""All keys of a namespace in use are renewed after this fraction of their lifetime."""
MAX_KNOWN = 1000
"""The most namespaces whose keys are cached."""
VALUES = NAMES[0]


@struct
class _Known:
    """The cached data of a namespace."""

    keys: tuple[str, ...]
    touched: float = float("-inf")
    """When all its keys were last renewed, by the loop's time."""


class Commands:
    """The commands for one store."""

    def __init__(self, address: StoreAddress) -> None:
        self._address = address
        self._known: dict[str, _Known] = {}

    def step(
        self, namespace: str, action: str, argument: Any, leased: Sequence[str], more: Sequence[str] = ()
    ) -> Command:
        """A step of a namespace; `leased`: the quotas whose leases it is about; `more`: other keys."""
        known, key = self._namespace(namespace), self._address.key
        keys = [*known.keys, *[key(namespace, f"lease:{each}") for each in leased]]
        keys += [key(namespace, each) for each in more]
        ttl, touches = self._lifetime(known)
        name = script()[1]
        return ("EVALSHA", name, len(keys), *keys, action, orjson.dumps(argument), ttl, touches, *leased)

    def count(self, namespace: str, counts: Counts) -> Command:
        """Counts requests of a namespace."""
        known = self._namespace(namespace)
        kinds = [word for kind, waiting in counts.kinds.items() for word in (*kind, len(waiting))]
        return ("EVALSHA", script("count")[1], len(NAMES), *known.keys, *self._lifetime(known), MAX_RECENT, *kinds)

    def _namespace(self, namespace: str) -> _Known:
        known = self._known.get(namespace)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            key = self._address.key
            known = self._known[namespace] = _Known(tuple([key(namespace, name) for name in NAMES]))
        return known

    def _lifetime(self, known: _Known) -> tuple[int, int]:
        """Returns the lifetime of keys in milliseconds, and whether to renew all of them."""
        ttl, now = self._address.ttl, asyncio.get_running_loop().time()
        touches = now - known.touched >= ttl / TOUCH_SHARE
        if touches:
            known.touched = now
        return int(ttl * 1000), int(touches)

    def responses(self, namespace: str, action: str, *arguments: str | int) -> Command:
        """About the stored responses of a namespace."""
        address = self._address
        keys = [address.key(namespace, name) for name in STORED]
        name, ttl = script("responses")[1], int(address.ttl * 1000)
        return ("EVALSHA", name, len(keys), *keys, action, ttl, *arguments)
