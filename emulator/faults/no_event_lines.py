"""Leaves out the `event:` lines."""

from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import need_stream
from emulator.wire import Data, Step


class NoEventLines(Fault):
    """Sends typed events as bare data."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "Every event without its `event:` line; the data still contains the type."
    tests: ClassVar[str] = "The client reads the type from the data, or reports that it received no events."

    kind: Literal["no_event_lines"] = "no_event_lines"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        bare = [replace(step, data=_bare(step.data)) if isinstance(step, Data) else step for step in steps]
        if bare == steps:
            raise NotApplicable("the events have no `event:` lines")
        return bare


def _bare(data: bytes) -> bytes:
    return b"".join([line for line in data.splitlines(keepends=True) if not line.startswith(b"event:")])
