"""Dribbles the body."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Delay, Family, Fault, FaultContext, NotApplicable
from emulator.faults.framing import in_order
from emulator.wire import Data, Raw, Step


class Dribble(Fault):
    """Sends the body in equal pieces over a period of time."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "The body in equal pieces, the last one `seconds` after the first."
    tests: ClassVar[str] = (
        "The client doesn't take a slow answer for a silent one, and still enforces its overall deadline."
    )

    kind: Literal["dribble"] = "dribble"
    pieces: Annotated[int, Field(ge=2, le=100_000)] = 5
    """Number of pieces; at most one per byte."""
    seconds: Delay = 1.0
    """Seconds from the first piece to the last."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        datas = [step for step in steps if isinstance(step, Data)]
        if not datas or any(isinstance(step, Raw) for step in steps):
            raise NotApplicable("another fault sends raw bytes" if datas else "the answer has no body")
        place = steps.index(datas[0])
        rest = [step for step in steps[place:] if not isinstance(step, Data)]
        return in_order([*steps[:place], *self._dribbled(datas), *rest])

    def _dribbled(self, datas: list[Data]) -> Iterator[Data]:
        """The body in equal pieces, each at its due time, but not before its bytes are available."""
        body = b"".join(data.data for data in datas)
        tokens = sum(data.tokens for data in datas)
        ends = list(accumulate(len(data.data) for data in datas))
        size, number = len(body), min(self.pieces, len(body))
        for k in range(number):
            start, end = size * k // number, size * (k + 1) // number
            due = datas[0].at + self.seconds * k / max(1, number - 1)
            there = datas[bisect_left(ends, end)].at
            share = tokens * end // size - tokens * start // size
            yield Data(body[start:end], "piece" if end < size else "packed", share, max(due, there))
