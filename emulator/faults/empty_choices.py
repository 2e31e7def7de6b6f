"""Sends an answer with no `choices`."""

from typing import Any, ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.steps import chunk_of, edited_body, edited_event, is_event, need_answer
from emulator.wire import Data, Step


class EmptyChoices(Fault):
    """Removes all choices from an answer."""

    family: ClassVar[Family] = "status"
    effect: ClassVar[str] = "`choices` is an empty list or null, in a whole body or in every event of a stream."
    tests: ClassVar[str] = "The client reports a missing choice as an error and raises no IndexError."

    kind: Literal["empty_choices"] = "empty_choices"
    value: Literal["empty", "null"] = "empty"
    """What replaces the choices."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_answer(context)
        value: list[Any] | None = [] if self.value == "empty" else None

        def empty(chunk: dict[str, Any]) -> None:
            context.dialect.without_answer(chunk, value)

        if not context.streamed:
            return edited_body(steps, empty, context)
        changed: list[Step] = []
        for step in steps:
            if not isinstance(step, Data) or not is_event(step):
                changed.append(step)
            elif context.dialect.without_answer(chunk_of(step, context), value):
                changed.append(edited_event(step, empty, context))
        return changed
