"""Ends a stream cleanly in the middle of the answer."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, FaultContext, Stage, Staged
from emulator.faults.steps import need_stream, unfinished
from emulator.wire import End, Step


class Truncate(Staged):
    """Ends a stream early, as if it were complete."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "Some or all of the deltas, no finish reason, no `[DONE]`, and a clean end of HTTP."
    tests: ClassVar[str] = "The client treats an answer without a finish reason as cut off, not as complete."
    default_stage: ClassVar[Stage] = "end"

    kind: Literal["truncate"] = "truncate"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        before, _, moment = self.cut_body(steps)
        return [*unfinished(before, context), End(moment)]
