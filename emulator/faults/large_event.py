"""Makes one event very large."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import edited_event, events, need_stream
from emulator.wire import Data, Step


class LargeEvent(Fault):
    """Pads an event to a given size."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "An unknown member `padding` makes the first event `size` bytes large."
    tests: ClassVar[str] = (
        "The client's buffers for lines and events are large enough: common limits are 64 KiB to 1 MiB."
    )

    kind: Literal["large_event"] = "large_event"
    size: Annotated[int, Field(ge=1024, le=64 * 2**20)] = 65536
    """Size of the event in bytes, including `data: ` and the blank line."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        for index, step in events(steps):
            missing = self.size - len(_padded(step, 0, context).data)
            if missing >= 0:
                return [*steps[:index], _padded(step, missing, context), *steps[index + 1 :]]
        raise NotApplicable("there is no event, or none small enough")


def _padded(step: Data, length: int, context: FaultContext) -> Data:
    def pad(chunk: Any) -> None:
        chunk["padding"] = "." * length

    return edited_event(step, pad, context)
