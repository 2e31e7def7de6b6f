"""Sends nothing, not even headers."""

from typing import ClassVar, Literal

from emulator.faults.base import Delay, Family, Fault, FaultContext
from emulator.faults.steps import delayed
from emulator.wire import Hang, Step


class HangBeforeHeaders(Fault):
    """Accepts the request and goes silent."""

    family: ClassVar[Family] = "waiting"
    effect: ClassVar[str] = "Silence on an open socket before the headers, for `seconds` or forever."
    tests: ClassVar[str] = "The client has a timeout for the headers."

    kind: Literal["hang"] = "hang"
    seconds: Delay | None = None
    """Seconds before a normal answer; by default, forever."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return [Hang()] if self.seconds is None else delayed(steps, self.seconds)
