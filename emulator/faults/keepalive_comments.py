"""Sends comments for a long time before any event."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, FaultContext, Interval, Stage, Staged, Times
from emulator.faults.steps import delayed, need_stream, repeated
from emulator.wire import Step


class KeepaliveComments(Staged):
    """Sends comments before the first event, or at another point of the stream."""

    family: ClassVar[Family] = "waiting"
    effect: ClassVar[str] = "Repeated `: keep-alive` comments, then the normal rest of the stream."
    tests: ClassVar[str] = (
        "The client doesn't count comments as data or as the first token: its time limit keeps running."
    )
    default_stage: ClassVar[Stage] = "after_headers"

    kind: Literal["keepalive_comments"] = "keepalive_comments"
    count: Times = 3
    """Number of comments."""
    interval: Interval = 10.0
    """Seconds before each of them."""
    comment: Annotated[str, Field(pattern=r"^[^\r\n]*$", max_length=65536)] | None = None
    """Their text; by default, the provider's own or `keep-alive`."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        before, after, moment = self.cut_body(steps)
        said = context.dialect.heartbeat or b": keep-alive\n\n"
        if self.comment is not None:
            said = f": {self.comment}\n\n".encode()
        comments = repeated(said, self.count, self.interval, moment)
        return [*before, *comments, *delayed(after, self.count * self.interval)]
