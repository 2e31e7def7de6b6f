"""What a search for a value may cost, and the two ways in which it ends without one."""

LIMIT = 2_000_000
"""Units of work for one instance, each about a tenth of a microsecond."""


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
    """Counts work down, so that a hostile schema ends in bounded time whatever it asks for."""

    __slots__ = ("left",)

    def __init__(self, limit: int = LIMIT) -> None:
        self.left = limit

    def burn(self, units: int) -> None:
        """Takes `units`; raises Exhausted when there are none left."""
        self.left -= units
        if self.left < 0:
            raise Exhausted
