"""Sends an event with no choices."""

from typing import Any, ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import edited_event, need_stream
from emulator.faults.steps import events as events_of
from emulator.wire import Step


class EmptyChoicesChunk(Fault):
    """Adds an event with `choices: []`."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "An event with `choices: []` before all others, or after the last one that has choices."
    tests: ClassVar[str] = "The client skips an event without choices and raises no IndexError."

    kind: Literal["empty_choices_chunk"] = "empty_choices_chunk"
    where: Literal["first", "last"] = "first"
    """Before the other events, or after them, like a separate usage event."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        def empty(chunk: dict[str, Any]) -> dict[str, Any]:
            emptied = context.dialect.without_answers(chunk)
            if emptied is None:
                raise NotApplicable("this dialect has no event without choices, or another fault removed them")
            return emptied

        need_stream(context)
        found = list(events_of(steps, "role", "reasoning", "content", "tool_calls", "finish"))
        if not found:
            raise NotApplicable("there is no event")
        place, model = found[0] if self.where == "first" else found[-1]
        place += self.where == "last"
        return [*steps[:place], edited_event(model, empty, context), *steps[place:]]
