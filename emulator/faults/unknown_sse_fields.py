"""Adds fields that SSE doesn't define."""

from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.framing import exchanged
from emulator.wire import Step

FIELDS = b"trace: 1\nbare\n"


class UnknownSseFields(Fault):
    """Writes unknown fields before the data of every event."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "`trace: 1` and a line without a colon, `bare`, before the data of every event."
    tests: ClassVar[str] = "The client skips unknown fields."

    kind: Literal["unknown_sse_fields"] = "unknown_sse_fields"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return exchanged(steps, context, lambda step, _: [replace(step, data=FIELDS + step.data)])
