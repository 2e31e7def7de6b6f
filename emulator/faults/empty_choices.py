"""An answer with nothing in `choices`."""

from typing import Any, ClassVar, Literal

from emulator.faults.base import Family, Fault, Scene, core_of, edited, need_answer
from emulator.wire import Step


class EmptyChoices(Fault):
    """Takes all choices out of an answer."""

    family: ClassVar[Family] = "status"
    effect: ClassVar[str] = "`choices` is an empty list or null, in a whole body or in every event of a stream."
    tests: ClassVar[str] = "No choice is an error that is told, and not an IndexError."

    kind: Literal["empty_choices"] = "empty_choices"
    value: Literal["empty", "null"] = "empty"
    """What stands in place of the choices."""

    def rewrite(self, steps: list[Step], scene: Scene) -> list[Step]:
        def empty(chunk: dict[str, Any]) -> None:
            core = core_of(chunk)
            if "choices" in core:
                core["choices"] = [] if self.value == "empty" else None

        need_answer(scene)
        return edited(steps, empty, scene)
