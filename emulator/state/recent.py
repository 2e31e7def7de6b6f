"""A cache of recently used values, bounded in number and in bytes."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")

MAX_ENTRIES = 512
MAX_BYTES = 2**22


class Recent(Generic[Value]):
    """Recently used values; the least recently used is dropped first."""

    def __init__(self, most_entries: int = MAX_ENTRIES, most_bytes: int = MAX_BYTES) -> None:
        self._kept: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self.bytes = 0
        """The size of all values, as stated in `keep`."""

    def get(self, key: Hashable) -> Value | None:
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def keep(self, key: Hashable, value: Value, size: int) -> None:
        """Adds a value of this approximate size in bytes, unless it is too large."""
        before = self._kept.pop(key, None)
        self.bytes -= before[1] if before is not None else 0
        if size > self._most_bytes:
            return
        self._kept[key] = value, size
        self.bytes += size
        while len(self._kept) > self._most_entries or self.bytes > self._most_bytes:
            self.bytes -= self._kept.popitem(last=False)[1][1]

    def clear(self) -> None:
        self._kept.clear()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)
