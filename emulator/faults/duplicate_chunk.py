"""Sends a delta twice."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import deltas, edited_event, is_event, need_stream, placed
from emulator.wire import Data, Step


class DuplicateChunk(Fault):
    """Sends the same event again."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "Every delta, or one of them, twice in a row, byte for byte."
    tests: ClassVar[str] = "The client notices doubled text, or at least its tool calls survive it."

    kind: Literal["duplicate_chunk"] = "duplicate_chunk"
    nth: Annotated[int, Field(ge=1)] | None = None
    """Number of the delta, counted from 1; by default, every delta."""

    renumber: bool = False
    """Whether the copy gets the next number, where events are numbered; otherwise its number is repeated too."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        again = {place: replace(step, tokens=0) for place, step in deltas(steps, self.nth)}
        doubled = [each for place, step in enumerate(steps) for each in (step, again.get(place)) if each is not None]
        return renumbered(doubled, context) if self.renumber else doubled


def renumbered(steps: Sequence[Step], context: FaultContext) -> list[Step]:
    """The stream with its events renumbered. Raises NotApplicable if they have no numbers."""
    number = 0

    def count(native: dict[str, Any]) -> None:
        nonlocal number
        for place in placed(native, context, "number"):
            place.put(number)
            number += 1

    counted = [
        edited_event(step, count, context) if isinstance(step, Data) and is_event(step) else step for step in steps
    ]
    if not number:
        raise NotApplicable("the events have no numbers")
    return counted
