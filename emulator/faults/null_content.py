"""Sends null in place of text."""

from typing import Any, ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import edited, edited_event, is_event
from emulator.wire import Data, Step


class NullContent(Fault):
    """Sends null instead of text."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "`content: null`: in a whole message; in the first and last delta of a stream, or in all."
    tests: ClassVar[str] = "The client treats null as no text: it neither appends it nor shows `None`."

    kind: Literal["null_content"] = "null_content"
    where: Literal["edges", "all"] = "edges"
    """In a stream: only in the deltas without text, or in all of them, which leaves no text at all."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        def forget(chunk: dict[str, Any]) -> None:
            context.dialect.without_text(chunk)

        if not context.streamed or self.where == "all":
            changed = edited(steps, forget, context)
        else:
            changed = [
                edited_event(step, forget, context)
                if isinstance(step, Data) and is_event(step) and step.means("role", "frame", "finish")
                else step
                for step in steps
            ]
        if changed == steps:
            raise NotApplicable("there is no text that could be null")
        return changed
