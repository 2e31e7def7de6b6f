"""A part of the answer of a kind that nobody knows."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.blocks import with_unknown
from emulator.wire import Step


class UnknownItem(Fault):
    """Adds an item of a new kind behind the others."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "One more item, of a kind that is in no documentation, in a stream and in a whole answer."
    tests: ClassVar[str] = "What is not known is passed over, and the rest of the answer stays."

    kind: Literal["unknown_item"] = "unknown_item"
    name: str = "x_unknown"
    """Its kind."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return with_unknown(steps, context, "item", self.name)
