"""The pieces of tool calls cannot be told apart by their index."""

from typing import Any, ClassVar, Literal

from emulator.faults.base import (
    Family,
    Fault,
    NotApplicable,
    Scene,
    choices_of,
    chunk_of,
    edited,
    edited_event,
    events,
    words_of,
)
from emulator.wire import Step

Call = dict[str, Any]


class ToolIndex(Fault):
    """Numbers or names tool calls as sloppy providers do."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "Tool calls with no index, all 0, from 1, with the id in every piece, or with a split name."
    tests: ClassVar[str] = "Calls are neither merged nor multiplied; a name may come in pieces."

    kind: Literal["tool_index"] = "tool_index"
    form: Literal["missing", "zero", "from_one", "id_repeated", "name_split"] = "missing"
    """What is wrong; the last two are for streams."""

    def rewrite(self, steps: list[Step], scene: Scene) -> list[Step]:
        if self.form in ("id_repeated", "name_split") and not scene.streamed:
            raise NotApplicable("a whole answer has each tool call in one piece")
        changed = _split(steps, scene) if self.form == "name_split" else self._renumbered(steps, scene)
        if changed == steps:
            raise NotApplicable("the answer calls no tool, or too few to make a difference")
        return changed

    def _renumbered(self, steps: list[Step], scene: Scene) -> list[Step]:
        ids: dict[Any, Any] = {}

        def renumber(chunk: dict[str, Any]) -> None:
            for choice, call in _calls(chunk):
                index = call.get("index", 0)
                if self.form == "missing":
                    call.pop("index", None)
                elif self.form == "id_repeated":
                    call["id"] = ids.setdefault((choice, index), call.get("id"))
                else:
                    call["index"] = 0 if self.form == "zero" else index + 1

        return edited(steps, renumber, scene)


def _split(steps: list[Step], scene: Scene) -> list[Step]:
    """The stream with the name of every call in two events."""

    def begin(chunk: dict[str, Any]) -> None:
        for _, call in _calls(chunk):
            call["function"] = {**call["function"], "name": _halves(call)[0]}

    def go_on(chunk: dict[str, Any]) -> None:
        for _, call in _calls(chunk):
            rest = {"index": call.get("index", 0), "function": {"name": _halves(call)[1], "arguments": ""}}
            call.clear()
            call.update(rest)

    changed = list(steps)
    for place, step in reversed(list(events(steps, "tool_calls"))):
        calls = _calls(chunk_of(step))
        if calls and all(_halves(call)[0] for _, call in calls):
            changed[place : place + 1] = [edited_event(step, begin, scene), edited_event(step, go_on, scene)]
    return changed


def _halves(call: Call) -> tuple[str, str]:
    """The two halves of the name of a function; empty where it is not named."""
    function = call.get("function")
    name = str(function.get("name") or "") if isinstance(function, dict) else ""
    half = (len(name) + 1) // 2
    return name[:half], name[half:]


def _calls(chunk: dict[str, Any]) -> list[tuple[Any, Call]]:
    """The tool calls in a chunk or a body, each with the index of its choice."""
    return [
        (choice.get("index", 0), call)
        for choice in choices_of(chunk)
        for call in words_of(choice).get("tool_calls") or ()
    ]
