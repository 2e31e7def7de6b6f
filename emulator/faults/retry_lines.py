"""Sends a reconnection time."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NonNegative
from emulator.faults.framing import inserted
from emulator.wire import Step


class RetryLines(Fault):
    """Sends a block that is only a `retry:`."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "`retry: 3000` as a separate block."
    tests: ClassVar[str] = "The client doesn't take a block without data for an event."

    kind: Literal["retry_lines"] = "retry_lines"
    milliseconds: NonNegative = 3000
    """The reconnection time in milliseconds."""
    after_events: NonNegative = 0
    """Number of events before it."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return inserted(steps, context, b"retry: %d\n\n" % self.milliseconds, self.after_events)
