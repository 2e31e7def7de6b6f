"""Sends an empty answer with status 200."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable, head_of
from emulator.faults.steps import with_body
from emulator.wire import End, Step


class Empty200(Fault):
    """Sends only the headers of an answer."""

    family: ClassVar[Family] = "status"
    effect: ClassVar[str] = "The normal headers, then an empty body: `content-length: 0`, or a stream without events."
    tests: ClassVar[str] = "The client treats an empty body as an error, not as an empty answer."

    kind: Literal["empty_200"] = "empty_200"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        head = head_of(steps)
        if head.status != 200:
            raise NotApplicable(f"the answer has status {head.status}")
        return [head, End(head.at)] if context.streamed else with_body(steps, b"")
