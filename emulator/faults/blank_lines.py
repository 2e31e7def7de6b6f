"""Sends blank lines before the JSON."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, Interval, Times, head_of
from emulator.faults.steps import body_of, delayed, in_chunks, need_whole, repeated
from emulator.wire import Step


class BlankLines(Fault):
    """Sends the head of a whole answer at once, then blank lines until the JSON is ready."""

    family: ClassVar[Family] = "waiting"
    effect: ClassVar[str] = "A chunked body: the headers at once, repeated `\\n`, then the JSON."
    tests: ClassVar[str] = "The client ignores white space before JSON and doesn't take it for an answer."

    kind: Literal["blank_lines"] = "blank_lines"
    count: Times = 3
    """Number of lines."""
    interval: Interval = 10.0
    """Seconds before each of them."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_whole(context)
        head = head_of(steps)
        place, _ = body_of(steps)
        early = [in_chunks(head) if step is head else step for step in steps[:place]]
        lines = repeated(b"\n", self.count, self.interval, early[-1].at)
        return [*early, *lines, *delayed(steps[place:], self.count * self.interval)]
