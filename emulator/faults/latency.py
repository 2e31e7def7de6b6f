"""Delays everything."""

from typing import ClassVar, Literal

from emulator import seeded
from emulator.faults.base import Delay, Family, Fault, FaultContext
from emulator.faults.steps import delayed
from emulator.wire import Step


class Latency(Fault):
    """Delays the whole answer."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "Headers and body delayed by `seconds`, plus or minus the jitter."
    tests: ClassVar[str] = "The client's timeouts are as long as intended, and it doesn't take slowness for failure."

    kind: Literal["latency"] = "latency"
    seconds: Delay = 1.0
    """Delay in seconds."""
    jitter: Delay = 0.0
    """Maximum deviation in seconds, drawn once per answer (seeded random)."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        throw = 2 * seeded.fraction(context.entropy, "latency") - 1
        return delayed(steps, max(0.0, self.seconds + self.jitter * throw))
