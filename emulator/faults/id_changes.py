"""The answer ends under another id."""

from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable, event_of, events, need_stream, placed
from emulator.wire import Step


class IdChanges(Fault):
    """Says another id in the last events."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "The events that end the stream have another id than those before."
    tests: ClassVar[str] = "The client doesn't take the answer for two, or it reports the mismatch."

    kind: Literal["id_changes"] = "id_changes"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        changed = list(steps)
        for index, step in events(steps, "finish", "usage"):
            event = event_of(step, context)
            for place in placed(event.native, context, "id"):
                place.put(f"{place.value}_other")
                changed[index] = replace(step, data=context.dialect.frame(event.native, event.name))
        if changed == steps:
            raise NotApplicable("the end of the stream says no id")
        return changed
