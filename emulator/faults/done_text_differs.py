"""What repeats the text says something else than the deltas."""

from typing import Any, ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable, edited, need_stream
from emulator.wire import Step


class DoneTextDiffers(Fault):
    """Contradicts the deltas in all events that repeat their text."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "The events that end a text, its part and its item, and the last one, say another text."
    tests: ClassVar[str] = "The client always trusts the same one of the two, or reports the contradiction."

    kind: Literal["done_text_differs"] = "done_text_differs"
    text: str = " (changed)"
    """What is added to the text."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)

        def contradict(native: dict[str, Any]) -> None:
            for place in context.dialect.repeated(native):
                if place.value:
                    place.put(f"{place.value}{self.text}")

        changed = edited(steps, contradict, context)
        if changed == steps:
            raise NotApplicable("no event repeats the text of others")
        return changed
