"""Sends several events in one segment."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import need_stream
from emulator.wire import Data, Step


class Coalesce(Fault):
    """Joins events, like a buffering proxy."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "Several events in one chunk and one segment, sent when the last of them is due."
    tests: ClassVar[str] = "The client separates events at blank lines, not at reads."

    kind: Literal["coalesce"] = "coalesce"
    events: Annotated[int, Field(ge=2)] | None = None
    """Events per segment; by default, all. Later faults count them as one event."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        joined: list[Step] = []
        size = 0
        for step in steps:
            before = joined[-1] if joined else None
            if not isinstance(step, Data) or step.part == "body":
                size = 0
                joined.append(step)
            elif isinstance(before, Data) and 0 < size != self.events:
                size += 1
                part: Literal["piece", "packed"] = "piece" if step.part == "piece" else "packed"
                joined[-1] = Data(before.data + step.data, part, before.tokens + step.tokens, step.at, before.gap)
            else:
                size = 1
                joined.append(step)
        if len(joined) == len(steps):
            raise NotApplicable("there is nothing to join")
        return joined
