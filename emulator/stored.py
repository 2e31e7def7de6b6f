"""Stored responses, which clients can fetch, cancel, delete and continue."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import field
from typing import Any

from emulator.records import struct

MAX_STORED = 1000
"""The maximum number of stored responses; the oldest is dropped first."""


@struct
class StoredResponse:
    """One response. Until the clock reaches `ready`, it is in progress."""

    body: dict[str, Any]
    """The response once it is ready."""
    messages: tuple[Any, ...]
    """The conversation including the answer, for requests that continue it."""
    items: tuple[dict[str, Any], ...]
    """The input of the request."""
    begins: float
    """The time of the first token (Unix time)."""
    ready: float
    canceled: bool = False


@struct
class ResponseStore:
    """The stored responses of one namespace by id, bounded in number."""

    now: Callable[[], float]
    """Returns the namespace's time (Unix time)."""
    limit: int = MAX_STORED
    changed: dict[str, None] | None = None
    """The ids of responses that were added, canceled or deleted; None if they are not needed."""
    _kept: OrderedDict[str, StoredResponse] = field(default_factory=OrderedDict)
    _items: dict[str, tuple[dict[str, Any], str | None]] = field(default_factory=dict)
    """Every item by id, with the id of the thought that led to it."""

    def put(self, stored: StoredResponse) -> None:
        """Stores a response."""
        self._note(stored.body["id"])
        self._kept[stored.body["id"]] = stored
        thought: str | None = None
        for item in stored.body["output"]:
            self._items[item["id"]] = (item, thought)
            thought = item["id"] if item["type"] == "reasoning" else thought
        while len(self._kept) > self.limit:
            self.delete(next(iter(self._kept)))

    def get(self, id: str) -> StoredResponse | None:
        return self._kept.get(id)

    def item(self, id: str) -> dict[str, Any] | None:
        """Returns an item of a stored response; None if it is unknown."""
        return self._items.get(id, (None, None))[0]

    def thought_before(self, id: str) -> str | None:
        """Returns the id of the thought that led to an item; None if there was none or it is no longer stored."""
        return self._items.get(id, (None, None))[1]

    def delete(self, id: str) -> bool:
        """Deletes a response. Returns whether there was one."""
        self._note(id)
        stored = self._kept.pop(id, None)
        for item in stored.body["output"] if stored is not None else ():
            self._items.pop(item["id"], None)
        return stored is not None

    def cancel(self, stored: StoredResponse) -> None:
        """Ends a response that is in progress."""
        if not stored.canceled and self.now() < stored.ready:
            stored.canceled = True
            self._note(stored.body["id"])

    def _note(self, id: str) -> None:
        if self.changed is not None:
            self.changed[id] = None

    def clear(self) -> None:
        self._kept.clear()
        self._items.clear()
