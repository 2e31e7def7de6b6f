"""Closes the port."""

from typing import ClassVar, Literal

from emulator.faults.base import Delay, Family, FaultContext, ListenerFault
from emulator.wire import Refuse, Reset, Step


class RefuseConnections(ListenerFault):
    """Resets the request's connection and closes the port for a while: an outage for all namespaces."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "RST for this request; then the server refuses connections for `seconds` of real time."
    tests: ClassVar[str] = (
        "The client pauses and retries, or tries another provider, when it can't connect; it never busy-loops."
    )

    kind: Literal["refuse_connections"] = "refuse_connections"
    seconds: Delay = 1.0
    """Seconds that the port stays closed."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        moment = steps[0].at if steps else 0.0
        return [Refuse(self.seconds, moment), Reset(moment)]
