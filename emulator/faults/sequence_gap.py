"""The numbers of events jump."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext, NonNegative, NotApplicable, edited, need_stream, placed
from emulator.wire import Step


class SequenceGap(Fault):
    """Leaves out numbers, as if events had been lost."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "From an event on, every `sequence_number` is larger than it should be."
    tests: ClassVar[str] = "A gap is no crash; a client that resumes by number notices it."

    kind: Literal["sequence_gap"] = "sequence_gap"
    gap: Annotated[int, Field(ge=1, le=1_000_000)] = 3
    """How many numbers are left out."""
    after_events: NonNegative = 3
    """After so many events."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        seen = 0

        def jump(native: dict[str, Any]) -> None:
            nonlocal seen
            seen += 1
            for place in placed(native, context, "number"):
                if seen > self.after_events and isinstance(place.value, int):
                    place.put(place.value + self.gap)

        changed = edited(steps, jump, context)
        if changed == steps:
            raise NotApplicable("the events have no numbers, or there are too few of them")
        return changed
