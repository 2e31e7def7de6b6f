"""`[DONE]` comes where none belongs."""

from typing import ClassVar, Literal

from emulator.dialects.base import DONE
from emulator.faults.base import Family, Fault, FaultContext, NotApplicable, need_stream
from emulator.wire import Data, Step


class DoneAdded(Fault):
    """Ends a stream of another kind like a chat."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "`data: [DONE]` behind the last event of a stream that has no such mark."
    tests: ClassVar[str] = "What is not JSON does not crash who has read the whole answer already."

    kind: Literal["done_added"] = "done_added"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        last = max((place for place, step in enumerate(steps) if isinstance(step, Data)), default=None)
        if context.dialect.terminator == DONE or last is None:
            raise NotApplicable("the stream ends with it anyway")
        return [*steps[: last + 1], Data(DONE, "done", 0, steps[last].at), *steps[last + 1 :]]
