"""Ends a stream with `[DONE]`, but without a finish reason."""

from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import event_of, need_stream
from emulator.wire import Data, Step


class DoneNoFinish(Fault):
    """Leaves out the event with the finish reason."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "All deltas and `data: [DONE]`, but no finish reason, nor the usage that comes with it."
    tests: ClassVar[str] = "The client decides on purpose whether such an answer is complete."

    kind: Literal["done_no_finish"] = "done_no_finish"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        if context.dialect.reason_is_end:
            raise NotApplicable("nothing but the finish reason ends the stream: use truncate to remove it")
        kept: list[Step] = []
        for step in steps:
            if isinstance(step, Data) and step.means("finish"):
                native = context.dialect.without_end(event_of(step, context).native)
                if native is None:
                    continue
                step = replace(step, data=context.dialect.frame(native))
            kept.append(step)
        if kept == steps:
            raise NotApplicable("another fault removed the finish reason")
        return kept
