"""An event with a type and no data."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Count, Family, Fault, Scene
from emulator.faults.framing import inserted
from emulator.wire import Step


class EventLines(Fault):
    """Sends a block that is only an `event:`."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "`event: ping` as a block of its own."
    tests: ClassVar[str] = "A block without data is no event, whatever its type."

    kind: Literal["event_lines"] = "event_lines"
    name: Annotated[str, Field(pattern=r"^[!-~]+$")] = "ping"
    """The type."""
    after_events: Count = 1
    """After so many events."""

    def rewrite(self, steps: list[Step], scene: Scene) -> list[Step]:
        return inserted(steps, scene, b"event: %b\n\n" % self.name.encode(), self.after_events)
