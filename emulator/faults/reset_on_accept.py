"""Resets connections as soon as they are accepted."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Delay, Family, FaultContext, ListenerFault
from emulator.wire import Reset, ResetAccepts, Step


class ResetOnAccept(ListenerFault):
    """Resets the request's connection and the next ones, for all namespaces."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = (
        "RST for this request, and for each of the next `count` connections as soon as it is accepted."
    )
    tests: ClassVar[str] = "The client treats a reset like a refused connection, although the error number differs."

    kind: Literal["reset_on_accept"] = "reset_on_accept"
    count: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Number of connections."""
    seconds: Delay = 60.0
    """Seconds of real time after which connections are accepted again, even if fewer have arrived."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        moment = steps[0].at if steps else 0.0
        return [ResetAccepts(self.count, self.seconds, moment), Reset(moment)]
