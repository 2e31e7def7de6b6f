"""Responses that a provider keeps, so that they can be fetched, canceled, deleted and gone on from."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MAX_STORED = 1000
"""How many are kept; the oldest is forgotten first."""


@dataclass(slots=True)
class StoredResponse:
    """One response. While the clock has not come to `ready`, it is still being made."""

    body: dict[str, Any]
    """As it is once it is ready."""
    messages: tuple[Any, ...]
    """The conversation with its answer, for whoever goes on from here."""
    items: tuple[dict[str, Any], ...]
    """What the request said."""
    begins: float
    """When the first token is there, in Unix time."""
    ready: float
    canceled: bool = False


@dataclass(slots=True)
class ResponseStore:
    """The responses of one namespace by their ids, bounded in number."""

    now: Callable[[], float]
    """The namespace's time, in Unix seconds."""
    limit: int = MAX_STORED
    _kept: OrderedDict[str, StoredResponse] = field(default_factory=OrderedDict)
    _items: dict[str, tuple[dict[str, Any], str | None]] = field(default_factory=dict)
    """Every item by its id, with the id of the thought that led to it."""

    def put(self, stored: StoredResponse) -> None:
        """Keep a response."""
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
        """An item of a response that is kept."""
        return self._items.get(id, (None, None))[0]

    def thought_before(self, id: str) -> str | None:
        """The id of the thought that led to an item; None when there was none, or it is not known any more."""
        return self._items.get(id, (None, None))[1]

    def delete(self, id: str) -> bool:
        """Forget a response; whether there was one."""
        stored = self._kept.pop(id, None)
        for item in stored.body["output"] if stored is not None else ():
            self._items.pop(item["id"], None)
        return stored is not None

    def clear(self) -> None:
        self._kept.clear()
        self._items.clear()
