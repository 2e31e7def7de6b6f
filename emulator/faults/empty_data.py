"""Sends an event without data."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NonNegative
from emulator.faults.framing import inserted
from emulator.wire import Step


class EmptyData(Fault):
    """Sends an event with empty data."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "`data:` with nothing after it."
    tests: ClassVar[str] = "The client skips an empty event and doesn't parse it as JSON."

    kind: Literal["empty_data"] = "empty_data"
    after_events: NonNegative = 1
    """Number of events before it."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return inserted(steps, context, b"data:\n\n", self.after_events)
