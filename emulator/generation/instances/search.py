"""What a search for a value may cost, and the three ways in which it ends without one."""

from collections.abc import Callable
from typing import Any

from emulator.offload import Abandoned, never

LIMIT = 2_000_000
"""Units of work for one instance, each about a tenth of a microsecond: a fifth of a second."""
ROUND = 20_000
"""Units of work after which the search looks whether anybody still wants the value."""


class Miss(Exception):
    """No value here. `final`: none of the other tries at the same place would find one either."""

    def __init__(self, why: str, *, final: bool = True) -> None:
        super().__init__(why)
        self.final = final
        self.pointer = ""
        """Where in the schema, filled in by the innermost place that knows."""


class Exhausted(Exception):
    """The work allowed for one instance is used up. It is not a Miss, so that no further try is made."""


class Fuel:
    """Counts work down, so that a hostile schema ends in bounded time whatever it asks for, and always at the same
    step. Raises Abandoned soon after `has_left()` turns true."""

    __slots__ = ("has_left", "left", "next_look", "patterns")

    def __init__(self, limit: int = LIMIT, has_left: Callable[[], bool] = never) -> None:
        self.left = limit
        self.has_left = has_left
        self.patterns: dict[str, Any] = {}
        """The regular expressions that were read, by source."""
        self.next_look = max(0, limit - ROUND)

    def set_aside(self, tenths: int) -> int:
        """Takes a share of what is left, for later."""
        share = self.left * tenths // 10
        self.left -= share
        self.next_look = max(0, min(self.next_look, self.left))
        return share

    def refill(self, units: int) -> None:
        """Go on with what was set aside."""
        self.left = units

    def burn(self, units: int) -> None:
        """Takes `units`; raises Exhausted when there are none left."""
        self.left -= units
        if self.left < self.next_look:
            if self.left < 0:
                raise Exhausted
            if self.has_left():
                raise Abandoned
            self.next_look = max(0, self.left - ROUND)
