"""Changes the number of spaces after `data:`."""

import re
from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.framing import exchanged
from emulator.wire import Data, Step

LINE = re.compile(rb"^data: ", re.MULTILINE)


class DataSpace(Fault):
    """Writes `data:` without a space, or with two."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "`data:` without a space, or with two, of which the second belongs to the data."
    tests: ClassVar[str] = "The client treats the space after the colon as optional and removes at most one."

    kind: Literal["data_space"] = "data_space"
    spaces: Literal["none", "two"] = "none"
    """Number of spaces after the colon."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        name = b"data:" if self.spaces == "none" else b"data:  "
        return exchanged(steps, context, lambda step, _: [_named(step, name)])


def _named(step: Data, name: bytes) -> Data:
    return replace(step, data=LINE.sub(name, step.data))
