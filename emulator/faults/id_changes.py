"""Changes the id at the end of the answer."""

from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import event_of, events, need_stream, placed
from emulator.wire import Step


class IdChanges(Fault):
    """Sends another id in the last events."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "The last events of the stream have a different id than the others."
    tests: ClassVar[str] = "The client doesn't treat the answer as two, or it reports the mismatch."

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
            raise NotApplicable("the last events have no id")
        return changed
