"""Sends `[DONE]`, but not the end of the body."""

from typing import ClassVar, Literal

from emulator.faults.base import ENDS, Delay, Family, Fault, FaultContext
from emulator.faults.steps import delayed, need_stream
from emulator.wire import Hang, Step


class DoneThenOpen(Fault):
    """Sends all events and leaves the body open."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "Every event, including `data: [DONE]`, then an open socket for `seconds` or forever."
    tests: ClassVar[str] = "The client stops at `[DONE]` and doesn't wait for the end of the body."

    kind: Literal["done_then_open"] = "done_then_open"
    seconds: Delay | None = None
    """Seconds until the body ends; by default, it never does."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        place = next((place for place, step in enumerate(steps) if isinstance(step, ENDS)), len(steps))
        if self.seconds is None:
            return [*steps[:place], Hang(steps[place - 1].at)]
        return [*steps[:place], *delayed(steps[place:], self.seconds)]
