"""Closes idle connections early."""

from typing import ClassVar, Literal

from emulator.faults.base import Delay, Family, Fault, FaultContext
from emulator.faults.steps import afterwards
from emulator.wire import Step


class IdleClose(Fault):
    """Closes the connection if no request follows soon."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "After this answer, the connection closes once it has been idle for `seconds`."
    tests: ClassVar[str] = (
        "The client doesn't reuse connections that the server has closed, a race that loses many requests."
    )

    kind: Literal["idle_close"] = "idle_close"
    seconds: Delay = 1.0
    """Seconds that the connection may be idle."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return afterwards(steps, idle=self.seconds)
