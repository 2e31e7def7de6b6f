"""Adds an event of an unknown type."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext, NonNegative, NotApplicable
from emulator.faults.steps import events, need_stream
from emulator.wire import Data, Step


class UnknownEvent(Fault):
    """Sends an event of a new type."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "An additional event of an undocumented type."
    tests: ClassVar[str] = "The client skips unknown events: APIs add new ones at any time."

    kind: Literal["unknown_event"] = "unknown_event"
    name: Annotated[str, Field(pattern=r"^[!-~]+$")] = "x.unknown"
    """Its type."""
    after_events: NonNegative = 1
    """Number of events before it."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        native = {"type": self.name, "detail": "of a later version"}
        if context.dialect.event_name(native) is None:
            raise NotApplicable("the events have no types")
        places = [place for place, _ in events(steps)]
        if len(places) <= self.after_events:
            raise NotApplicable(f"the stream has {len(places)} events")
        place = places[self.after_events]
        step = Data(context.dialect.frame(native), "ping", 0, steps[place].at)
        return [*steps[:place], step, *steps[place:]]
