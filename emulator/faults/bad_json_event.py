"""Cuts the JSON of an event in half."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.steps import deltas, need_stream
from emulator.wire import Step


class BadJsonEvent(Fault):
    """Cuts the JSON of one event."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "One delta arrives as a complete event with half an object in it; the others are normal."
    tests: ClassVar[str] = "The client reports the failure and doesn't silently skip the piece."

    kind: Literal["bad_json_event"] = "bad_json_event"
    nth: Annotated[int, Field(ge=1)] = 1
    """Number of the delta, counted from 1."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        ((place, step),) = deltas(steps, self.nth)
        start = step.data.find(b"data:") + len(b"data: ")
        half = (
            step.data[: max(start + 1, len(step.data) // 2)].decode(errors="ignore").encode()
        )  # invalid JSON, but valid UTF-8
        return [*steps[:place], replace(step, data=half + b"\n\n"), *steps[place + 1 :]]
