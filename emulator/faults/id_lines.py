"""Gives events ids."""

from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.framing import exchanged
from emulator.wire import Data, Step

PING = b": ping\n\n"


class IdLines(Fault):
    """Gives every event an `id:`, followed by a comment."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "`id: 1` before the data of every event, and `: ping` as a separate block after it."
    tests: ClassVar[str] = "The client doesn't take a comment for an event, even after an id."

    kind: Literal["id_lines"] = "id_lines"
    pings: bool = True
    """Whether to send the comments."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        def change(step: Data, number: int) -> list[Data]:
            event = replace(step, data=b"id: %d\n%b" % (number + 1, step.data))
            return [event, Data(PING, "comment", 0, step.at)] if self.pings and step.part != "done" else [event]

        return exchanged(steps, context, change)
