"""Sends an event after `[DONE]`."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import event_of, events, need_stream, numbered
from emulator.wire import Data, Step


class DataAfterDone(Fault):
    """Continues after the end."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "One more delta with a text of its own after `data: [DONE]`, then a clean end."
    tests: ClassVar[str] = "The client stops at `[DONE]` and appends nothing that follows."

    kind: Literal["data_after_done"] = "data_after_done"
    text: str = " (after the end)"
    """The text of the delta."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        places = [place for place, step in enumerate(steps) if isinstance(step, Data) and step.means("done")]
        model = next((step for _, step in events(steps, "role", "reasoning", "content", "tool_calls")), None)
        if not places or model is None:
            raise NotApplicable("another fault removed `[DONE]` or all deltas")
        native = context.dialect.late_text(event_of(model, context).native, self.text)
        if native is None:
            raise NotApplicable("this dialect has no event to send late")
        native = numbered(native, steps[: places[-1] + 1], context)
        late = Data(context.dialect.frame(native), "content", 0, steps[places[-1]].at)
        return [*steps[: places[-1] + 1], late, *steps[places[-1] + 1 :]]
