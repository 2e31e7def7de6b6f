"""Sends an unreadable chunk size."""

from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import STAGES, Family, FaultContext, NotApplicable, Staged
from emulator.faults.steps import with_headers
from emulator.wire import Close, Head, Raw, Step

CHUNK = b"zz\r\n"


class MalformedChunk(Staged):
    """Sends a chunk whose size isn't a number, and closes the connection."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "The headers, one normal event or what you ask for, `zz` in place of a chunk size, FIN."
    tests: ClassVar[str] = "The client doesn't take a protocol error in the body for its end."

    kind: Literal["malformed_chunk"] = "malformed_chunk"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        is_placed = any(getattr(self, name) is not None for name in STAGES)
        placed = self if is_placed else self.model_copy(update={"after_events": 1})
        before, _, moment = placed.cut(steps)
        if not any(isinstance(step, Head) for step in before):
            raise NotApplicable("no headers are sent that a chunk could follow")
        return [*map(_chunked, before), Raw(CHUNK, moment), Close(moment)]


def _chunked(step: Step) -> Step:
    return replace(with_headers(step, content_length=None), framing="chunks") if isinstance(step, Head) else step
