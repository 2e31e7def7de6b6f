"""The body dribbles."""

from itertools import accumulate
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, NotApplicable, Scene, Seconds
from emulator.faults.framing import cut_up, in_order
from emulator.wire import Data, Raw, Step


class Dribble(Fault):
    """Sends the body in equal pieces over a time."""

    family: ClassVar[Family] = "connection"
    effect: ClassVar[str] = "The body in so many equal pieces, the last of them `seconds` after the first."
    tests: ClassVar[str] = "A slow answer is not a silent one; a deadline for the whole holds all the same."

    kind: Literal["dribble"] = "dribble"
    pieces: Annotated[int, Field(ge=2, le=100_000)] = 5
    seconds: Seconds = 1.0

    def rewrite(self, steps: list[Step], scene: Scene) -> list[Step]:
        datas = [step for step in steps if isinstance(step, Data)]
        if not datas or any(isinstance(step, Raw) for step in steps):
            raise NotApplicable("another fault sends raw bytes" if datas else "the answer has no body")
        ...
