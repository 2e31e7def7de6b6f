"""Sends an event with a type but no data."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext, NonNegative
from emulator.faults.framing import inserted
from emulator.wire import Step


class EventLines(Fault):
    """Sends a block that is only an `event:`."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "`event: ping` as a separate block."
    tests: ClassVar[str] = "The client doesn't take a block without data for an event, whatever its type."

    kind: Literal["event_lines"] = "event_lines"
    name: Annotated[str, Field(pattern=r"^[!-~]+$")] = "ping"
    """The event type."""
    after_events: NonNegative = 1
    """Number of events before it."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return inserted(steps, context, b"event: %b\n\n" % self.name.encode(), self.after_events)
