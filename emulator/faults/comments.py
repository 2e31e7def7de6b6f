"""Puts comments in unusual places, or makes them very long."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext, NonNegative, NotApplicable
from emulator.faults.framing import MAX_SIZE, exchanged, inserted, on_lines
from emulator.wire import Step


class Comments(Fault):
    """Adds comments to the stream."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "A comment of any length between two events, or one inside each event, amid its data."
    tests: ClassVar[str] = "The client skips comments wherever they are, and handles long lines."

    kind: Literal["comments"] = "comments"
    place: Literal["between", "inside"] = "between"
    """Between two events, or between the `data:` lines of every event."""
    length: Annotated[int, Field(ge=0, le=16 * 2**20)] = 16
    """Length of the comment in characters."""
    after_events: NonNegative = 1
    """For `between`: the number of events before the comment."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        comment = b": " + b"." * self.length + b"\n"
        if self.place == "between":
            return inserted(steps, context, comment + b"\n", self.after_events)
        if len(comment) * len(steps) > MAX_SIZE:
            raise NotApplicable(f"the comments would have more than {MAX_SIZE} bytes")
        return exchanged(steps, context, lambda step, _: [on_lines(step, comment)])
