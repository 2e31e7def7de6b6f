"""Dribbles the headers."""

from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import Delay, Family, Fault, FaultContext, head_of
from emulator.faults.steps import delayed
from emulator.wire import Step


class SlowHeaders(Fault):
    """Sends the status line and the headers byte by byte."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "Status line and headers byte by byte over `seconds`, then the usual body."
    tests: ClassVar[str] = "The client's header timeout covers all headers together, not each read."

    kind: Literal["slow_headers"] = "slow_headers"
    seconds: Delay = 5.0
    """Seconds that the headers take."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        head = head_of(steps)
        place = steps.index(head)
        slow = replace(head, over=head.over + self.seconds)
        return [*steps[:place], slow, *delayed(steps[place + 1 :], self.seconds)]
