"""Sends a wrong Content-Length."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext, head_of
from emulator.faults.steps import closed, with_headers
from emulator.wire import Data, Head, Step


class ContentLength(Fault):
    """Announces more or fewer bytes than it sends."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "A Content-Length that is too long, with FIN after the body, or too short."
    tests: ClassVar[str] = "The client reports a body that is cut short, and doesn't silently cut one that is longer."

    kind: Literal["content_length"] = "content_length"
    too: Literal["long", "short"] = "long"
    """Whether the announced length is too long or too short."""
    by: Annotated[int, Field(ge=1, le=2**31)] = 10
    """By how many bytes."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        size = sum(len(step.data) for step in steps if isinstance(step, Data))
        announced = size + self.by if self.too == "long" else max(0, size - self.by)
        head = with_headers(head_of(steps), content_length=str(announced), transfer_encoding=None)
        wrong: list[Step] = [replace(head, framing="length") if isinstance(step, Head) else step for step in steps]
        return closed(wrong) if self.too == "long" else wrong
