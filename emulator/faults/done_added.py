"""Sends `[DONE]` where it doesn't belong."""

from typing import ClassVar, Literal

from emulator.dialects.base import DONE
from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import need_stream
from emulator.wire import Data, Step


class DoneAdded(Fault):
    """Ends a stream of another dialect like a chat completion."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "`data: [DONE]` after the last event of a stream that normally has none."
    tests: ClassVar[str] = "The client doesn't fail on data that isn't JSON once it has the whole answer."

    kind: Literal["done_added"] = "done_added"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        last = max((place for place, step in enumerate(steps) if isinstance(step, Data)), default=None)
        if context.dialect.terminator == DONE or last is None:
            raise NotApplicable("the stream ends with `[DONE]` anyway")
        return [*steps[: last + 1], Data(DONE, "done", 0, steps[last].at), *steps[last + 1 :]]
