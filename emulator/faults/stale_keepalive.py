"""Kills a kept-alive connection when it is reused."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.steps import afterwards
from emulator.wire import Step


class StaleKeepalive(Fault):
    """Ends the connection without a byte when its next request arrives."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "A normal answer; the next request on its connection gets FIN or RST, and isn't counted."
    tests: ClassVar[str] = "The client resends a request on a fresh connection when the reused one has died."

    kind: Literal["stale_keepalive"] = "stale_keepalive"
    end: Literal["close", "reset"] = "close"
    """What the next request gets: FIN or RST."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return afterwards(steps, next=self.end)
