"""The server is quick to close idle connections."""

from dataclasses import replace
from typing import Any, ClassVar, Literal

from emulator.faults.base import Family, Fault, NotApplicable, Scene, Seconds
from emulator.wire import Afterwards, End, Step


class IdleClose(Fault):
    """Closes the connection when no request follows soon."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "After this answer the connection is closed once it was idle for `seconds`."
    tests: ClassVar[str] = "Connections that the server closed are not used again: the race behind many lost requests."

    kind: Literal["idle_close"] = "idle_close"
    seconds: Seconds = 1.0
    """How long it may be idle."""

    def rewrite(self, steps: list[Step], scene: Scene) -> list[Step]:
        return afterwards(steps, idle=self.seconds)


def afterwards(steps: list[Step], **how: Any) -> list[Step]:
    """The answer after which the connection behaves so. Raises NotApplicable when it does not live so long."""
    end = next((index for index, step in enumerate(steps) if isinstance(step, End)), None)
    if end is None:
        raise NotApplicable("the connection does not outlive this answer")
    before = steps[end - 1] if end else None
    if isinstance(before, Afterwards):
        return [*steps[: end - 1], replace(before, **how), *steps[end:]]
    return [*steps[:end], Afterwards(**how, at=steps[end].at), *steps[end:]]
