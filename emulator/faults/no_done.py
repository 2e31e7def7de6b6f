"""Ends a stream without `[DONE]`."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import need_stream
from emulator.wire import Data, Step


class NoDone(Fault):
    """Leaves out the last event."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "The finish event arrives, `data: [DONE]` does not."
    tests: ClassVar[str] = "The client accepts the answer as complete: it has a finish reason."

    kind: Literal["no_done"] = "no_done"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        if context.dialect.terminator is None:
            raise NotApplicable(f"{context.dialect.end_is} is the end: use truncate to remove both")
        return [step for step in steps if not (isinstance(step, Data) and step.part == "done")]
