"""A cache of recently used values, bounded in number."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")

MAX_ENTRIES = 512


class Recent(Generic[Value]):
    """Recently used values; the least recently used is dropped first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def keep(self, key: Hashable, value: Value) -> None:
        self._kept[key] = value
        if len(self._kept) > MAX_ENTRIES:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        self._kept.clear()
