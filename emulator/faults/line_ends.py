"""Changes the line endings."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.framing import GAP, all_cut_up, exchanged
from emulator.wire import Data, Step

PAIRS = ((b"\r\n", b"\n"), (b"\n", b"\r\n"), (b"\r", b"\r\n"), (b"\r\n", b"\r"), (b"\n", b"\r"))
"""Endings of an event's lines and of the blank line after them: CR before LF would be one line ending, not two."""


class LineEnds(Fault):
    """Ends the lines of a stream with something other than LF."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = (
        "The lines of a stream end with CRLF, with CR, with each in turn, or with a CRLF split in two."
    )
    tests: ClassVar[str] = "The client reads all three line endings of the SSE format, wherever a segment is cut."

    kind: Literal["line_ends"] = "line_ends"
    ends: Literal["crlf", "cr", "mixed", "split"] = "crlf"
    """`split`: CRLF, with CR and LF in different segments."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        def change(step: Data, number: int) -> list[Data]:
            lines, blank = PAIRS[number % len(PAIRS)] if self.ends == "mixed" else (end, end)
            data = step.data.replace(b"\r\n", b"\n")
            if data.endswith(b"\n"):
                return [replace(step, data=data[:-1].replace(b"\n", lines) + blank)]
            return [replace(step, data=data.replace(b"\n", lines))]

        end = b"\r" if self.ends == "cr" else b"\r\n"
        ended = exchanged(steps, context, change, comments=True)
        return all_cut_up(ended, _after_cr, GAP) if self.ends == "split" else ended


def _after_cr(data: bytes) -> Sequence[int]:
    return [place + 1 for place, byte in enumerate(data) if byte == 0x0D]
