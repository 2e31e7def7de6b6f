"""Connections are reset as soon as they are accepted."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, FaultContext, ListenerFault, Seconds
from emulator.wire import Reset, ResetAccepts, Step


class ResetOnAccept(ListenerFault):
    """Resets the request's connection, and those that come next: of all namespaces."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "RST for this request, then for each of the next `count` connections before it says a word."
    tests: ClassVar[str] = "The same as a refused connection, with another error number."

    kind: Literal["reset_on_accept"] = "reset_on_accept"
    count: Annotated[int, Field(ge=1, le=10_000)] = 1
    """How many connections."""
    seconds: Seconds = 60.0
    """Real time after which connections are accepted again, even if fewer have come."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        moment = steps[0].at if steps else 0.0
        return [ResetAccepts(self.count, self.seconds, moment), Reset(moment)]
