"""The answer fails when all of it was said."""

from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import (
    ErrorName,
    Family,
    Fault,
    FaultContext,
    NotApplicable,
    event_of,
    events,
    need_stream,
    numbered,
)
from emulator.reply import ErrorReply
from emulator.wire import Step


class FailedAfterText(Fault):
    """Ends a response as failed, with its whole text."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "All items come and end; the last event says `failed` with an error, and holds them all."
    tests: ClassVar[str] = "The text is not shown as a success; it is not asked for again blindly."

    kind: Literal["failed_after_text"] = "failed_after_text"
    name: ErrorName = "server_error"
    """A word of the common vocabulary, such as `overloaded`."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        last = next(events(steps, "finish"), None)
        if last is None:
            raise NotApplicable("another fault took the end of the answer")
        place, step = last
        spec = context.provider.error_spec(ErrorReply(name=self.name))
        native = context.dialect.failure(event_of(step, context).native, spec)
        if native is None:
            raise NotApplicable("no event tells that an answer has failed here")
        frame = context.dialect.frame(numbered(native, steps[:place], context))
        return [*steps[:place], replace(step, data=frame), *steps[place + 1 :]]
