"""Thoughts are signed by nobody."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.signatures import signed
from emulator.wire import Step


class WrongSignature(Fault):
    """Signs thoughts in a way that the provider does not accept."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "Another `signature` or `encrypted_content` than the right one."
    tests: ClassVar[str] = "What the next turn makes of it: the provider refuses a thought that it cannot verify."

    kind: Literal["wrong_signature"] = "wrong_signature"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return signed(steps, context, "bm90LXNpZ25lZA==")
