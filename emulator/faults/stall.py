"""Stops the answer and keeps the connection open."""

from typing import ClassVar, Literal

from emulator.faults.base import Delay, Family, FaultContext, Stage, Staged
from emulator.faults.steps import delayed
from emulator.wire import Hang, Step


class Stall(Staged):
    """Goes silent in the middle of the answer."""

    family: ClassVar[Family] = "waiting"
    effect: ClassVar[str] = "A normal start, then silence on an open socket, for `seconds` or forever."
    tests: ClassVar[str] = (
        "The client has an idle timeout, also inside a stream, and marks what it has received as partial."
    )
    default_stage: ClassVar[Stage] = "after_headers"

    kind: Literal["stall"] = "stall"
    seconds: Delay | None = None
    """Seconds of silence; by default, forever."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        before, after, moment = self.cut(steps)
        if self.seconds is None:
            return [*before, Hang(moment)]
        return [*before, *delayed(after, self.seconds)]
