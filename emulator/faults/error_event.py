"""Sends an error as a stream event."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import model_validator

from emulator.dialects.base import DONE
from emulator.faults.base import STAGES, ErrorName, Family, FaultContext, NotApplicable, Stage, Staged, head_of
from emulator.faults.steps import event_of, events, need_stream, numbered, placed, unfinished
from emulator.reply import ErrorReply
from emulator.wire import Data, End, Step


class ErrorEvent(Staged):
    """Ends a stream with an error in the provider's own form."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "Some or all of the deltas, then an event with the JSON of an error, then the end."
    tests: ClassVar[str] = "The client reports the error and doesn't blindly ask again for what it has already shown."
    default_stage: ClassVar[Stage] = "end"

    kind: Literal["error_event"] = "error_event"
    form: Literal["data", "first", "event", "with_done", "bare", "failed", "array"] = "data"
    """As the API does it; the same as the very first event; under `event: error`; followed by `data: [DONE]`; as the
    body of a refusal, without an `event:` line; in responses, as `response.failed`; in an array, as some refuse
    streams without `alt=sse`."""
    name: ErrorName = "overloaded"
    """An error name, such as `server_error`."""
    message: str | None = None

    @model_validator(mode="after")
    def _is_first_or_placed(self) -> "ErrorEvent":
        given = [name for name in STAGES if getattr(self, name) is not None]
        if self.form == "first" and given:
            raise ValueError(f"form=first already sets the place: remove {given[0]}")
        return self

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        if self.form == "first":
            head = head_of(steps)
            place = steps.index(head) + 1
            first = next((step for step in steps[place:] if isinstance(step, Data)), head)
            before, moment = steps[:place], first.at
        else:
            before, _, moment = self.cut_body(steps)
        before = unfinished(before, context)
        frame = self._frame(before, steps, context)
        error = Data(frame, "finish", 0, moment)
        done: list[Step] = [Data(DONE, "done", 0, moment)] if self.form == "with_done" else []
        return [*before, error, *done, End(moment)]

    def _frame(self, before: Sequence[Step], steps: Sequence[Step], context: FaultContext) -> bytes:
        """The event with the error. Raises NotApplicable."""
        reply = ErrorReply(name=self.name, message=self.message)
        row = context.provider.error_spec(reply)
        form = "data" if self.form in ("first", "with_done") else self.form
        if form == "failed" or (form == "data" and context.dialect.fails_as_a_whole):
            opening = next((step for _, step in events(steps, "role")), None)
            native = context.dialect.failure(event_of(opening, context).native, row) if opening is not None else None
            if native is not None:
                return context.dialect.frame(numbered(native, before, context))
        frame = context.dialect.error_frame(form, row, context.error(reply).body())
        if frame is None:
            raise NotApplicable(f"this dialect has no errors of form={self.form}")
        event = context.dialect.read_frame(frame)
        if event is None or not placed(event.native, context, "number"):
            return frame
        return context.dialect.frame(numbered(event.native, before, context), event.name)
