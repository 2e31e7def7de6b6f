"""Leaves out the starts of blocks or items."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.blocks import without_edges
from emulator.wire import Step


class MissingBlockStart(Fault):
    """Leaves out the events that begin blocks or items."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "Deltas for blocks or items without an event that starts them."
    tests: ClassVar[str] = "The client keeps the text or reports the missing start, and doesn't crash."

    kind: Literal["missing_block_start"] = "missing_block_start"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return without_edges(steps, context, "start")
