"""Sends a Content-Type that doesn't match the body."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext, head_of
from emulator.faults.steps import with_headers
from emulator.wire import Step


class WrongContentType(Fault):
    """Sends a normal body with a wrong Content-Type."""

    family: ClassVar[Family] = "status"
    effect: ClassVar[str] = "A stream as `text/plain`, JSON as `text/event-stream`, or either as any other type."
    tests: ClassVar[str] = (
        "The client reads the body as what it asked for or rejects it, but never takes it for an empty answer."
    )

    kind: Literal["wrong_content_type"] = "wrong_content_type"
    content_type: Annotated[str, Field(pattern=r"^[\t -~]*$", max_length=1000)] | None = None
    """Value of the header, by default `text/plain; charset=utf-8` or `text/event-stream`; empty: no such header."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        usual = "text/plain; charset=utf-8" if context.streamed else "text/event-stream"
        said = usual if self.content_type is None else self.content_type
        head = head_of(steps)
        changed = with_headers(head, content_type=said or None)
        if context.streamed and head.framing is None:
            changed = replace(changed, framing="chunks")  # its length is still unknown
        return [changed if step is head else step for step in steps]
