"""Spreads the data of an event over several lines."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.framing import exchanged, on_lines
from emulator.wire import Step


class MultiLineData(Fault):
    """Spreads each event's JSON over three `data:` lines."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "`data: {`, `data: …`, `data: }`: joined by newlines, it is the same JSON."
    tests: ClassVar[str] = "The client joins the `data:` lines of an event before it parses the JSON."

    kind: Literal["multi_line_data"] = "multi_line_data"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return exchanged(steps, context, lambda step, _: [on_lines(step, b"")])
