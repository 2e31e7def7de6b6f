"""Adds unknown members to the answer."""

from typing import Any, ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.steps import edited
from emulator.wire import Step

NAME = "x_unknown"
VALUE = {"list": [1, None, "é"], "deep": {"er": True}}


class UnknownFields(Fault):
    """Adds a member at every level of the JSON."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = (
        "A member `x_unknown` in the body or every event, in each choice, and in its message or delta."
    )
    tests: ClassVar[str] = "The client ignores members it doesn't know: providers add them at any time."

    kind: Literal["unknown_fields"] = "unknown_fields"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        def add(chunk: dict[str, Any]) -> None:
            for holder in list(context.dialect.objects(chunk)):
                holder[NAME] = VALUE

        return edited(steps, add, context)
