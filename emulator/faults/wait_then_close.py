"""Keeps the client waiting to the maximum, then closes the connection."""

from typing import ClassVar, Literal

from emulator.dialects.base import MAX_HEARTBEATS
from emulator.faults.base import MAX_LIGHT, Delay, Family, Fault, FaultContext, Interval, head_of
from emulator.faults.steps import in_chunks, repeated
from emulator.wire import Close, Step


class WaitThenClose(Fault):
    """Sends keep-alives until the documented maximum, and never answers."""

    family: ClassVar[Family] = "waiting"
    effect: ClassVar[str] = (
        "Comments (in a stream) or blank lines every `interval`, then FIN in the middle of the body."
    )
    tests: ClassVar[str] = "The client has a deadline for the whole answer, which keep-alives don't extend."

    kind: Literal["wait_then_close"] = "wait_then_close"
    seconds: Delay = 600.0
    """Seconds to wait; 10 minutes is a common maximum."""
    interval: Interval = 10.0
    """Seconds before each keep-alive."""

    @property
    def is_heavy(self) -> bool:
        return self.seconds / self.interval > MAX_LIGHT

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        head = head_of(steps)
        said = (context.dialect.heartbeat or b": keep-alive\n\n") if context.streamed else b"\n"
        count = min(int(self.seconds / self.interval), MAX_HEARTBEATS)
        return [
            in_chunks(head),
            *repeated(said, count, self.interval, head.at),
            Close(head.at + self.seconds),
        ]
