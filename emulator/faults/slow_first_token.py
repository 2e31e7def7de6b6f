"""Sends the headers at once and the first token much later."""

from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import Delay, Family, Fault, FaultContext, head_of
from emulator.faults.steps import delayed
from emulator.wire import Step


class SlowFirstToken(Fault):
    """Delays the first token and everything after it."""

    family: ClassVar[Family] = "waiting"
    effect: ClassVar[str] = "The headers at once, silence for `seconds`, then the normal body at its own pace."
    tests: ClassVar[str] = (
        "The client allows more time for the first token than between tokens, and doesn't take headers for a token."
    )

    kind: Literal["slow_first_token"] = "slow_first_token"
    seconds: Delay = 60.0
    """Seconds of silence."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        head = head_of(steps)
        place = steps.index(head)
        early = head if context.streamed else replace(head, at=0.0)  # the head of a whole body goes out with the body
        return [*steps[:place], early, *delayed(steps[place + 1 :], self.seconds)]
