"""Leaves out the ends of blocks or items."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.blocks import without_edges
from emulator.wire import Step


class MissingBlockStop(Fault):
    """Leaves out the events that end blocks or items."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "All deltas, but no event that ends their block or item."
    tests: ClassVar[str] = "The client doesn't lose a tool call because its end is missing."

    kind: Literal["missing_block_stop"] = "missing_block_stop"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return without_edges(steps, context, "stop")
