"""Breaks off in the status line."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, head_of
from emulator.wire import Close, Raw, Step

HALF = b"HTTP/1.1 20"


class HalfStatus(Fault):
    """Closes the connection in the middle of the status line."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "`HTTP/1.1 20`, then FIN."
    tests: ClassVar[str] = "The client turns a parser error into a connection error and retries."

    kind: Literal["half_status"] = "half_status"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        moment = head_of(steps).at
        return [Raw(HALF, moment), Close(moment)]
