"""A delta comes twice."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext, deltas, need_stream
from emulator.wire import Step


class DuplicateChunk(Fault):
    """Sends the same event again."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "Every delta, or one of them, twice in a row, byte for byte."
    tests: ClassVar[str] = "The client notices doubled text, or at least its tool calls survive it."

    kind: Literal["duplicate_chunk"] = "duplicate_chunk"
    nth: Annotated[int, Field(ge=1)] | None = None
    """Which delta, from 1; every one when left out."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        again = {place: replace(step, tokens=0) for place, step in deltas(steps, self.nth)}
        return [each for place, step in enumerate(steps) for each in (step, again.get(place)) if each is not None]
