"""Random bytes come instead of HTTP."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator import seeded
from emulator.faults.base import Family, FaultContext, Staged
from emulator.wire import Close, Raw, Step


class Garbage(Staged):
    """Sends seeded random bytes, past HTTP, and closes the connection."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "Random bytes instead of the status line, or where the next chunk should begin; then FIN."
    tests: ClassVar[str] = "A protocol error is a connection error: retried if nothing was shown."

    kind: Literal["garbage"] = "garbage"
    size: Annotated[int, Field(ge=1, le=2**20)] = 64
    """How many bytes."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        before, _, moment = self.cut(steps)
        noise = seeded.generator(context.entropy, "garbage").randbytes(self.size)
        return [*before, Raw(noise, moment), Close(moment)]
