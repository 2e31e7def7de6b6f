"""Random bytes come instead of HTTP."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator import dice
from emulator.faults.base import Family, Scene, Staged
from emulator.wire import Close, Raw, Step


class Garbage(Staged):
    """Sends seeded random bytes, past HTTP, and closes the connection."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "Random bytes instead of the status line, or where the next chunk should begin; then FIN."
    tests: ClassVar[str] = "A protocol error is a connection error: retried if nothing was shown."

    kind: Literal["garbage"] = "garbage"
    size: Annotated[int, Field(ge=1, le=2**20)] = 64
    """How many bytes."""

    def rewrite(self, steps: list[Step], scene: Scene) -> list[Step]:
        before, _, moment = self.cut(steps)
        noise = dice.generator(scene.material, "garbage").randbytes(self.size)
        return [*before, Raw(noise, moment), Close(moment)]
