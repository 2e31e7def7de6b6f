"""Sends a byte order mark first."""

from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable, head_of
from emulator.faults.steps import with_headers
from emulator.wire import Data, Head, Step

BOM = b"\xef\xbb\xbf"


class Bom(Fault):
    """Starts the body with a byte order mark."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "EF BB BF before the first byte of the body, in a stream or in JSON."
    tests: ClassVar[str] = "The client removes the byte order mark and loses neither the first event nor the JSON."

    kind: Literal["bom"] = "bom"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        head = head_of(steps)
        index = next((index for index, step in enumerate(steps) if isinstance(step, Data)), None)
        if index is None:
            raise NotApplicable("the answer has no body")
        marked = list(steps)
        step = steps[index]
        assert isinstance(step, Data)
        marked[index] = replace(step, data=BOM + step.data)
        length = dict(head.headers).get(b"content-length")
        if length is not None:
            longer = with_headers(head, content_length=str(int(length) + len(BOM)))
            marked = [longer if isinstance(step, Head) else step for step in marked]
        return marked
