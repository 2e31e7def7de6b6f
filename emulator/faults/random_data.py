"""Sends random bytes instead of HTTP."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator import seeded
from emulator.faults.base import Family, FaultContext, Staged
from emulator.wire import Close, Raw, Step


class RandomData(Staged):
    """Sends seeded random bytes outside HTTP and closes the connection."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "Random bytes in place of the status line or of the next chunk, then FIN."
    tests: ClassVar[str] = (
        "The client treats a protocol error as a connection error, and retries if it has shown nothing."
    )

    kind: Literal["random_data"] = "random_data"
    size: Annotated[int, Field(ge=1, le=2**20)] = 64
    """Number of bytes."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        before, _, moment = self.cut(steps)
        noise = seeded.generator(context.entropy, "garbage").randbytes(self.size)
        return [*before, Raw(noise, moment), Close(moment)]
