"""Closes the connection late."""

from typing import ClassVar, Literal

from emulator.faults.base import Delay, Family, Fault, FaultContext
from emulator.faults.steps import afterwards, announced
from emulator.wire import Step


class SlowClose(Fault):
    """Announces that the connection will close, and is slow to close it."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "`Connection: close`, a complete body, and FIN only after `seconds`."
    tests: ClassVar[str] = "The client ends a body where HTTP says so, not where the connection ends."

    kind: Literal["slow_close"] = "slow_close"
    seconds: Delay = 5.0
    """Seconds that the connection stays open."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return afterwards(announced(steps), next="close", idle=self.seconds)
