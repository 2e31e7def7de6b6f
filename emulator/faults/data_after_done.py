"""An event comes after `[DONE]`."""

from dataclasses import replace
from typing import Any, ClassVar, Literal

from emulator.faults.base import Family, Fault, NotApplicable, Scene, choices_of, edited_event, events, need_stream
from emulator.wire import Data, Step


class DataAfterDone(Fault):
    """Goes on after the end."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "After `data: [DONE]` one more delta with a text of its own, then a clean end."
    tests: ClassVar[str] = "`[DONE]` is the end: nothing after it is appended."

    kind: Literal["data_after_done"] = "data_after_done"
    text: str = " (after the end)"
    """What the delta says."""

    def rewrite(self, steps: list[Step], scene: Scene) -> list[Step]:
        def change(chunk: dict[str, Any]) -> None:
            for choice in choices_of(chunk):
                choice.update({"text": self.text} if "text" in choice else {"delta": {"content": self.text}})

        need_stream(scene)
        places = [place for place, step in enumerate(steps) if isinstance(step, Data) and step.part == "done"]
        model = next((step for _, step in events(steps, "role", "reasoning", "content", "tool_calls")), None)
        if not places or model is None:
            raise NotApplicable("another fault took `[DONE]`, or all deltas")
        late = replace(edited_event(model, change, scene), part="content", tokens=0, at=steps[places[-1]].at)
        return [*steps[: places[-1] + 1], late, *steps[places[-1] + 1 :]]
