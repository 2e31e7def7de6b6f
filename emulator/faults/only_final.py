"""Sends the text only in the last event."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import event_of, events, need_stream
from emulator.wire import Data, Part, Step


class OnlyFinal(Fault):
    """Leaves out everything between the first and the last events."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "Only the events that open the stream, then the last one, which contains the whole answer."
    tests: ClassVar[str] = "The client takes the answer from the last event if there were no deltas."

    kind: Literal["only_final"] = "only_final"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        last = next((step for _, step in events(steps, "finish")), None)
        if last is None or not any(True for _ in context.dialect.repeated(event_of(last, context).native)):
            raise NotApplicable("the last event doesn't contain the answer")
        inner: tuple[Part, ...] = ("frame", "reasoning", "content", "tool_calls")
        return [step for step in steps if not (isinstance(step, Data) and step is not last and step.means(*inner))]
