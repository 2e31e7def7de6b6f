"""Leaves out the event that opens the stream."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import event_of, events, need_stream
from emulator.wire import Step


class NoCreated(Fault):
    """Leaves out the first event."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "No `response.created` or `message_start`: the stream begins with the next event."
    tests: ClassVar[str] = "The client keeps the answer, or reports its missing start."

    kind: Literal["no_created"] = "no_created"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        opening = next(events(steps, "role"), None)
        if opening is None or event_of(opening[1], context).name is None:
            raise NotApplicable("this dialect has no event that opens the stream")
        return [step for place, step in enumerate(steps) if place != opening[0]]
