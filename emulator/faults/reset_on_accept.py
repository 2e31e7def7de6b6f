"""Connections are reset as soon as they are accepted."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, Scene
from emulator.wire import Reset, ResetAccepts, Step


class ResetOnAccept(Fault):
    """Resets the request's connection, and those that come next: of all namespaces."""

    family: ClassVar[Family] = "connection"
    is_of_listener: ClassVar[bool] = True
    effect: ClassVar[str] = "RST for this request, then for each of the next `count` connections before it says a word."
    tests: ClassVar[str] = "The same as a refused connection, with another error number."

    kind: Literal["reset_on_accept"] = "reset_on_accept"
    count: Annotated[int, Field(ge=1, le=10_000)] = 1
    """How many connections."""

    def rewrite(self, steps: list[Step], scene: Scene) -> list[Step]:
        moment = steps[0].at if steps else 0.0
        return [ResetAccepts(self.count, moment), Reset(moment)]
