"""Resets the connection."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, FaultContext, Staged
from emulator.wire import Reset, Step


class ResetConnection(Staged):
    """Resets the connection with a real RST."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "A real RST: before the headers, or after some tokens, events, bytes or seconds."
    tests: ClassVar[str] = (
        "The client retries a lost connection if it has shown nothing, and marks partial output as partial."
    )

    kind: Literal["reset"] = "reset"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        before, _, moment = self.cut(steps)
        return [*before, Reset(moment)]
