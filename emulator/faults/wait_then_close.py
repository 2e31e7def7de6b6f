"""The provider keeps the client waiting as long as it may, then closes the connection."""

from typing import ClassVar, Literal

from emulator.dialects.base import MAX_HEARTBEATS
from emulator.faults.base import MAX_LIGHT, Family, Fault, FaultContext, Interval, Seconds, head_of, in_chunks, repeated
from emulator.wire import Close, Step


class WaitThenClose(Fault):
    """Shows signs of life until the documented maximum, and never answers."""

    family: ClassVar[Family] = "waiting"
    effect: ClassVar[str] = (
        "Comments (in a stream) or blank lines every `interval`, then FIN in the middle of the body."
    )
    tests: ClassVar[str] = "The client has a deadline for the whole answer, which keep-alives don't extend."

    kind: Literal["wait_then_close"] = "wait_then_close"
    seconds: Seconds = 600.0
    """How long; 10 minutes are a usual maximum."""
    interval: Interval = 10.0
    """Seconds before each sign of life."""

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
