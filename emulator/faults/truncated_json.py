"""Cuts the JSON of a whole body, with a matching Content-Length."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NonNegative, NotApplicable
from emulator.faults.steps import body_of, need_whole, with_body_at
from emulator.wire import Step


class TruncatedJson(Fault):
    """Cuts the JSON of a whole answer."""

    family: ClassVar[Family] = "status"
    effect: ClassVar[str] = "Only the first part of the JSON, with a matching Content-Length: HTTP sees nothing wrong."
    tests: ClassVar[str] = "The client reports unreadable JSON as a provider failure, and retries it only by design."

    kind: Literal["truncated_json"] = "truncated_json"
    after_bytes: NonNegative | None = None
    """Number of bytes that remain; by default half, and never all."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_whole(context)
        place, step = body_of(steps)
        size = len(step.data)
        if not size:
            raise NotApplicable("the body is empty")
        kept = size // 2 if self.after_bytes is None else min(self.after_bytes, size - 1)
        return with_body_at(steps, place, step.data[:kept])
