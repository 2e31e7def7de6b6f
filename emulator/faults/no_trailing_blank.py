"""Leaves out the blank line after the last event."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import need_stream
from emulator.wire import Data, Step


class NoTrailingBlank(Fault):
    """Removes line endings from the last event of a stream."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = (
        "The last event ends with one `\\n` or none; it is the last one with JSON, unless `done` is set."
    )
    tests: ClassVar[str] = (
        "The client drops an event that the end cuts short, as the specification says, and notices it."
    )

    kind: Literal["no_trailing_blank"] = "no_trailing_blank"
    line_ends: Annotated[int, Field(ge=0, le=1)] = 1
    """Number of line endings that remain."""
    done: bool = False
    """Whether to send `data: [DONE]`, which is then the last event."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        kept = [step for step in steps if self.done or not (isinstance(step, Data) and step.part == "done")]
        for place in range(len(kept) - 1, -1, -1):
            step = kept[place]
            if isinstance(step, Data) and step.part != "comment":
                kept[place] = replace(step, data=step.data.rstrip(b"\r\n") + b"\n" * self.line_ends)
                return kept
        raise NotApplicable("there is no event")
