"""Thoughts come without what proves them."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.signatures import signed
from emulator.wire import Step


class NoSignature(Fault):
    """Leaves out the signatures of thoughts, or their sealed form."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "Thoughts without `signature`, or without `encrypted_content`."
    tests: ClassVar[str] = "What the next turn makes of it: the provider refuses a thought that it cannot verify."

    kind: Literal["no_signature"] = "no_signature"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return signed(steps, context, None)
