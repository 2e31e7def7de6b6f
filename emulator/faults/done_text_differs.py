"""Sends a final text that differs from the deltas."""

from typing import Any, ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import edited, need_stream
from emulator.wire import Step


class DoneTextDiffers(Fault):
    """Changes the text in every event that repeats it."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = (
        "The events that end a text, its part and its item, and the last event, have a different text than the deltas."
    )
    tests: ClassVar[str] = "The client consistently uses one of the two texts, or reports the difference."

    kind: Literal["done_text_differs"] = "done_text_differs"
    text: str = " (changed)"
    """The addition to the text."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)

        def contradict(native: dict[str, Any]) -> None:
            for place in context.dialect.repeated(native):
                if place.value:
                    place.put(f"{place.value}{self.text}")

        changed = edited(steps, contradict, context)
        if changed == steps:
            raise NotApplicable("no event repeats the text")
        return changed
