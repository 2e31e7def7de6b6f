"""The usage is not told, or not as it is."""

from typing import Any, ClassVar, Literal

from emulator.faults.base import (
    Family,
    Fault,
    NotApplicable,
    Scene,
    chunk_of,
    core_of,
    edited_body,
    edited_event,
    is_event,
)
from emulator.wire import Data, Step

MEMBERS = ("usage", "token_info")
"""What holds the counts, in the words of one provider or another."""


class WrongUsage(Fault):
    """Changes what is told of the tokens that were used."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "The usage is missing, null, all zeros, or told in two events, wherever it is told."
    tests: ClassVar[str] = "Costs are not zero, budgets hold, and nothing is counted twice."

    kind: Literal["usage"] = "usage"
    form: Literal["missing", "null", "zeros", "twice"] = "missing"
    """What is wrong; `twice` is for streams."""

    def rewrite(self, steps: list[Step], scene: Scene) -> list[Step]:
        if not scene.streamed:
            if self.form == "twice":
                raise NotApplicable("a whole answer has one place for the usage")
            return edited_body(steps, self._change, scene)
        changed: list[Step] = []
        for step in steps:
            told = _told(chunk_of(step)) if isinstance(step, Data) and is_event(step) else []
            if not told or not isinstance(step, Data):
                changed.append(step)
            elif self.form == "twice":
                is_null = all(holder[name] is None for holder, name in told)
                changed += [step] if is_null else [step, edited_event(step, _alone, scene)]
            elif self.form != "missing" or core_of(chunk_of(step)).get("choices") != []:
                changed.append(edited_event(step, self._change, scene))
        if changed == steps:
            raise NotApplicable("the stream does not tell the usage")
        return changed

    def _change(self, chunk: dict[str, Any]) -> None:
        told = _told(chunk)
        if not told:
            raise NotApplicable("the answer does not tell the usage")
        for holder, name in told:
            if self.form == "missing":
                del holder[name]
            else:
                holder[name] = None if self.form == "null" else _zeros(holder[name])


def _told(chunk: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Where the usage stands: what holds it, and its name there."""
    core = core_of(chunk)
    holders = [chunk] if core is chunk else [chunk, core]
    return [(holder, name) for holder in holders for name in MEMBERS if name in holder]


def _alone(chunk: dict[str, Any]) -> None:
    core = core_of(chunk)
    if "choices" in core:
        core["choices"] = []


def _zeros(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _zeros(member) for name, member in value.items()}
    return value if value is None else 0
