"""Adds an item of an unknown type."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.blocks import with_unknown
from emulator.wire import Step


class UnknownItem(Fault):
    """Adds an item of a new type after the others."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "An additional item of an undocumented type, in a stream or in a whole answer."
    tests: ClassVar[str] = "The client skips an unknown item and keeps the rest of the answer."

    kind: Literal["unknown_item"] = "unknown_item"
    name: str = "x_unknown"
    """Its kind."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return with_unknown(steps, context, "item", self.name)
