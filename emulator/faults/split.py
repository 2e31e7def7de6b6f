"""Splits the body into many segments."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Delay, Family, Fault, FaultContext
from emulator.faults.framing import GAP, all_cut_up
from emulator.wire import Step


class Split(Fault):
    """Splits the body into small segments."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "The body in single bytes, in pieces of `size`, or cut inside characters."
    tests: ClassVar[str] = "The client collects bytes until an event is complete, and only then decodes UTF-8 and JSON."

    kind: Literal["split"] = "split"
    into: Literal["bytes", "characters", "pieces"] = "bytes"
    """`characters`: after the first byte of every multibyte character."""
    size: Annotated[int, Field(ge=1)] = 16
    """Size of each of the `pieces` in bytes."""
    gap: Delay = GAP
    """Minimum seconds between segments."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return all_cut_up(steps, self._offsets, self.gap)

    def _offsets(self, data: bytes) -> Sequence[int]:
        if self.into == "characters":
            return [place + 1 for place, byte in enumerate(data) if byte >= 0xC0]
        return range(1, len(data)) if self.into == "bytes" else range(self.size, len(data), self.size)
