"""Fails an answer after all of its text."""

from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import ErrorName, Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import event_of, events, need_stream, numbered
from emulator.reply import ErrorReply
from emulator.wire import Step


class FailedAfterText(Fault):
    """Ends a response as failed, although its text is complete."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "All items are complete; the last event has the status `failed`, an error, and all items."
    tests: ClassVar[str] = "The client doesn't report success, and doesn't retry blindly."

    kind: Literal["failed_after_text"] = "failed_after_text"
    name: ErrorName = "server_error"
    """An error name, such as `overloaded`."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        last = next(events(steps, "finish"), None)
        if last is None:
            raise NotApplicable("another fault removed the end of the answer")
        place, step = last
        spec = context.provider.error_spec(ErrorReply(name=self.name))
        native = context.dialect.failure(event_of(step, context).native, spec)
        if native is None:
            raise NotApplicable("this dialect has no event for a failed answer")
        frame = context.dialect.frame(numbered(native, steps[:place], context))
        return [*steps[:place], replace(step, data=frame), *steps[place + 1 :]]
