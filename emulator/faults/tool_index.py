"""The pieces of tool calls cannot be told apart by their index."""

from dataclasses import replace
from typing import Any, ClassVar, Literal

from emulator.faults.base import (
    Family,
    Fault,
    NotApplicable,
    Scene,
    choices_of,
    edited_body,
    edited_event,
    is_event,
    words_of,
)
from emulator.wire import Data, Step


class ToolIndex(Fault):
    """Numbers or names tool calls as sloppy providers do."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "Tool calls without an index, all with 0, counted from 1, with their id in every piece, or with a split name."
    tests: ClassVar[str] = "Calls are neither merged nor multiplied; a name may come in pieces."

    kind: Literal["tool_index"] = "tool_index"
    form: Literal["missing", "zero", "from_one", "id_repeated", "name_split"] = "missing"
    """What is wrong; the last two are for streams."""

    def rewrite(self, steps: list[Step], scene: Scene) -> list[Step]:
        ids: dict[Any, Any] = {}

        def change(chunk: dict[str, Any]) -> None:
            for choice in choices_of(chunk):
                for call in calls_of(choice):
                    self._renumber(call, choice.get("index", 0), ids)

        if not scene.streamed:
            if self.form in ("id_repeated", "name_split"):
                raise NotApplicable("a whole answer has its tool calls in one piece")
            changed = edited_body(steps, change, scene)
        else:
            changed = []
            for step in steps:
                if isinstance(step, Data) and is_event(step) and step.part == "tool_calls":
                    changed += self._split(step, scene) if self.form == "name_split" else [
                        edited_event(step, change, scene)
                    ]
                else:
                    changed.append(step)
        if changed == steps:
            raise NotApplicable("the answer calls no tool, or none where this makes a difference")
        return changed
