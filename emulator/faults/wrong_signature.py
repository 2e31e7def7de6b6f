"""Sends reasoning with a wrong signature."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.signatures import signed
from emulator.wire import Step


class WrongSignature(Fault):
    """Signs reasoning in a way that the provider doesn't accept."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "A wrong `signature` or `encrypted_content`."
    tests: ClassVar[str] = (
        "The client handles the next turn, in which the provider rejects reasoning that it can't verify."
    )

    kind: Literal["wrong_signature"] = "wrong_signature"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return signed(steps, context, "bm90LXNpZ25lZA==")
