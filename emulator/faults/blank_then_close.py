"""Sends blank lines, then the end."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, Interval, Times, head_of
from emulator.faults.steps import in_chunks, repeated
from emulator.wire import End, Step


class BlankThenClose(Fault):
    """Sends blank lines, then ends the body as if it were complete."""

    family: ClassVar[Family] = "waiting"
    effect: ClassVar[str] = (
        "The headers, `count` times `\\n`, then a clean end: a body without JSON, a stream without events."
    )
    tests: ClassVar[str] = (
        "The client recognizes `Expecting value: line 5 column 1 (char 4)` as a busy provider that gave up."
    )

    kind: Literal["blank_then_close"] = "blank_then_close"
    count: Times = 4
    """Number of lines."""
    interval: Interval = 10.0
    """Seconds before each of them."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        head = head_of(steps)
        lines = repeated(b"\n", self.count, self.interval, head.at)
        return [in_chunks(head), *lines, End(head.at + self.count * self.interval)]
