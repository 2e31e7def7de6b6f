"""Makes the index of tool calls unreliable."""

from dataclasses import replace
from typing import Any, ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import edited, event_of, events, placed
from emulator.wire import Step


class ToolIndex(Fault):
    """Numbers or names tool calls as sloppy providers do."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = (
        "Tool calls with no index, all 0, counted from 1, with the id in every piece, or with a split name."
    )
    tests: ClassVar[str] = "The client neither merges nor multiplies calls, and accepts a name in pieces."

    kind: Literal["tool_index"] = "tool_index"
    form: Literal["missing", "zero", "from_one", "id_repeated", "name_split"] = "missing"
    """How it is wrong; the last two are for streams."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        if self.form in ("id_repeated", "name_split") and not context.streamed:
            raise NotApplicable("a whole answer has each tool call in one piece")
        changed = _split(steps, context) if self.form == "name_split" else self._renumbered(steps, context)
        if changed == steps:
            raise NotApplicable("the answer calls no tool, or too few to make a difference")
        return changed

    def _renumbered(self, steps: list[Step], context: FaultContext) -> list[Step]:
        ids: dict[Any, Any] = {}

        def renumber(chunk: dict[str, Any]) -> None:
            if self.form == "id_repeated":
                for key, call in context.dialect.call_objects(chunk):
                    call["id"] = ids.setdefault(key, call.get("id"))
                return
            for place in placed(chunk, context, "call_index"):
                if self.form == "missing":
                    place.remove()
                else:
                    place.put(0 if self.form == "zero" else (place.value or 0) + 1)

        return edited(steps, renumber, context)


def _split(steps: list[Step], context: FaultContext) -> list[Step]:
    """The stream with the name of every call split over two events."""
    changed = list(steps)
    for place, step in reversed(list(events(steps, "tool_calls"))):
        event = event_of(step, context)
        pieces = context.dialect.with_split_name(event.native)
        if pieces:
            changed[place : place + 1] = [
                replace(step, data=context.dialect.frame(each, event.name)) for each in pieces
            ]
    return changed
