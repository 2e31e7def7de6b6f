"""Closes the connection."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, FaultContext, Staged
from emulator.faults.steps import announced
from emulator.wire import Close, Step


class CloseConnection(Staged):
    """Closes the connection with FIN before the answer is complete."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "FIN: before the headers (an empty response), or inside the body, whose end never comes."
    tests: ClassVar[str] = "The client rejects a body without its end, even if the headers said `Connection: close`."

    kind: Literal["close"] = "close"
    announce: bool = False
    """Whether the headers say `Connection: close`; Node then takes a cut body for a complete one."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        before, _, moment = self.cut(steps)
        if self.announce:
            before = announced(before)
        return [*before, Close(moment)]
