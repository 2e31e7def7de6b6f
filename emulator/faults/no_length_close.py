"""Sends a body that only ends with the connection."""

from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import STAGES, Family, FaultContext, NotApplicable, Staged
from emulator.faults.steps import closed, with_headers
from emulator.wire import Close, Head, Step


class NoLengthClose(Staged):
    """Sends the body without a length or chunks, and closes the connection."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "No length, no chunks, FIN after the body or at a given point: valid HTTP either way."
    tests: ClassVar[str] = "The client notices a cut answer that only its finish reason and `[DONE]` could reveal."

    kind: Literal["no_length_close"] = "no_length_close"
    announce: bool = True
    """Whether the headers say `Connection: close`."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        if any(getattr(self, name) is not None for name in STAGES):
            before, _, moment = self.cut(steps)
            steps = [*before, Close(moment)]
        if not any(isinstance(step, Head) for step in steps):
            raise NotApplicable("no headers are sent")
        return closed([self._unframed(step) if isinstance(step, Head) else step for step in steps])

    def _unframed(self, head: Head) -> Head:
        bare = with_headers(head, content_length=None, transfer_encoding=None)
        return replace(with_headers(bare, connection="close") if self.announce else bare, framing="close")
