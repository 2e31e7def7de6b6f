"""Sends reasoning without its signature."""

from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.signatures import signed
from emulator.wire import Step


class NoSignature(Fault):
    """Leaves out the signature or the encrypted content of reasoning."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "Reasoning without `signature` or `encrypted_content`."
    tests: ClassVar[str] = (
        "The client handles the next turn, in which the provider rejects reasoning that it can't verify."
    )

    kind: Literal["no_signature"] = "no_signature"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        return signed(steps, context, None)
