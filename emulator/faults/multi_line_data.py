"""The data of an event stands on several lines."""

import re
from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, Scene
from emulator.faults.framing import exchanged
from emulator.wire import Data, Step

JSON_LINE = re.compile(rb"^data: (\{)(.*)(\})$", re.MULTILINE)


class MultiLineData(Fault):
    """Spreads each event's JSON over three `data:` lines."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "`data: {`, `data: …`, `data: }`: joined by line ends it is the same JSON."
    tests: ClassVar[str] = "The `data:` lines of an event are joined before its JSON is read."

    kind: Literal["multi_line_data"] = "multi_line_data"

    def rewrite(self, steps: list[Step], scene: Scene) -> list[Step]:
        return exchanged(steps, scene, lambda step, _: [on_lines(step, b"")])


def on_lines(step: Data, between: bytes) -> Data:
    """An event whose JSON stands on three lines, with `between` after the first of them."""
    return replace(step, data=JSON_LINE.sub(rb"data: \1\n%bdata: \2\ndata: \3" % between, step.data))
