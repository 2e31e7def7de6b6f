"""Changes the type in the `event:` lines."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import event_of, events, need_stream
from emulator.wire import Step


class WrongEventName(Fault):
    """Gives every event the same wrong name."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "Every `event:` line has a different type than the data."
    tests: ClassVar[str] = "The client consistently uses one of the two types."

    kind: Literal["wrong_event_name"] = "wrong_event_name"
    name: Annotated[str, Field(pattern=r"^[!-~]+$")] = "message"
    """The type in the lines."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        changed = list(steps)
        for place, step in events(steps):
            event = event_of(step, context)
            if event.name is not None:
                changed[place] = replace(step, data=context.dialect.frame(event.native, self.name))
        if changed == steps:
            raise NotApplicable("the events have no `event:` lines")
        return changed
