"""Limits the bandwidth."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.framing import MAX_PIECES, cut_up
from emulator.wire import Data, Raw, Step

TICK = 0.05
"""Seconds that each piece occupies the line."""


class Bandwidth(Fault):
    """Limits the bytes per second."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "The body at `bytes_per_second`, in pieces of a twentieth of that."
    tests: ClassVar[str] = (
        "The client shows progress while an answer crawls, and doesn't use its idle timer as a deadline."
    )

    kind: Literal["bandwidth"] = "bandwidth"
    bytes_per_second: Annotated[float, Field(ge=0.001, le=1e12)] = 1000.0
    """Speed of the body; headers arrive at once."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        total = sum(len(step.data) for step in steps if isinstance(step, Data))
        size = max(1, int(self.bytes_per_second * TICK))
        if total / size > MAX_PIECES:
            raise NotApplicable(f"the answer would have more than {MAX_PIECES} pieces")
        free = 0.0  # when the line has carried everything so far
        slow: list[Step] = []
        for step in steps:
            pieces = cut_up(step, range(size, len(step.data), size)) if isinstance(step, Data) else [step]
            for piece in pieces:
                moment = max(piece.at, free)
                slow.append(replace(piece, at=moment))
                if isinstance(piece, Data | Raw):
                    free = moment + len(piece.data) / self.bytes_per_second
        return slow
