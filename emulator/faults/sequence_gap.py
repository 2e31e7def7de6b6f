"""Leaves a gap in the event numbers."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext, NonNegative, NotApplicable
from emulator.faults.steps import edited, need_stream, placed
from emulator.wire import Step


class SequenceGap(Fault):
    """Skips event numbers, as if events had been lost."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "From one event on, every `sequence_number` is too large."
    tests: ClassVar[str] = "The client doesn't crash; if it resumes by number, it notices the gap."

    kind: Literal["sequence_gap"] = "sequence_gap"
    gap: Annotated[int, Field(ge=1, le=1_000_000)] = 3
    """How many numbers to skip."""
    after_events: NonNegative = 3
    """Number of events before it."""

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
            raise NotApplicable("the events have no numbers, or there are too few events")
        return changed
