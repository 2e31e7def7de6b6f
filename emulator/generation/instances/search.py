"""The cost limit of a search for a value, and the exceptions with which a search fails."""

from collections.abc import Callable
from typing import Any

from emulator.offload import Abandoned, never

LIMIT = 2_000_000
"""Units of work for one instance, each about a tenth of a microsecond; together a fifth of a second."""
ROUND = 20_000
"""Units of work after which the search checks whether the client is still there."""


NO_VALUE = object()


class Miss(Exception):
    """No value was found here. `final`: other attempts at the same place would also fail."""

    def __init__(self, why: str, *, final: bool = True) -> None:
        super().__init__(why)
        self.final = final
        self.pointer = ""
        """The place in the schema, set by the innermost caller that knows it."""
        self.value: Any = NO_VALUE
        """The value that was made and is not valid."""


class Exhausted(Exception):
    """The work allowed for one instance is used up. This is not a Miss, so no further attempt is made."""


class Fuel:
    """Counts down the allowed work, so that even a hostile schema ends in bounded time, and always at the same step.
    Raises Abandoned soon after `has_left()` returns True.
    """

    __slots__ = ("has_left", "left", "next_look", "patterns")

    def __init__(self, limit: int = LIMIT, has_left: Callable[[], bool] = never) -> None:
        self.left = limit
        self.has_left = has_left
        self.patterns: dict[str, Any] = {}
        """The parsed regular expressions, by source."""
        self.next_look = max(0, limit - ROUND)

    def set_aside(self, tenths: int) -> int:
        """Reserves a share of what is left."""
        share = self.left * tenths // 10
        self.left -= share
        self.next_look = max(0, min(self.next_look, self.left))
        return share

    def refill(self, units: int) -> None:
        """Continues with reserved units."""
        self.left = units

    def burn(self, units: int) -> None:
        """Uses `units`. Raises Exhausted if there are none left."""
        self.left -= units
        if self.left < self.next_look:
            if self.left < 0:
                raise Exhausted
            if self.has_left():
                raise Abandoned
            self.next_look = max(0, self.left - ROUND)
