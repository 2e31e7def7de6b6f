"""Removes members from the answer."""

from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from emulator.dialects.chat_shape import without
from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import edited
from emulator.wire import Step


def _listed(value: Any) -> Any:
    """Splits `id+model` into a list, because commas separate parameters."""
    return tuple(value.split("+")) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Member = Annotated[str, Field(min_length=1)]
Members = Annotated[tuple[Member, ...], Field(min_length=1)]


class MissingFields(Fault):
    """Removes members wherever they appear."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = (
        "The body or every event without `id`, `object`, `created` and `model`, or without others you name."
    )
    tests: ClassVar[str] = "The client requires only what it needs: a strict reader loses the whole answer."

    kind: Literal["missing_fields"] = "missing_fields"
    fields: Annotated[Members | None, BeforeValidator(_listed, json_schema_input_type=Member | Members | None)] = None
    """Names of the members, in one line joined by `+`; by default, those that identify the answer."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        changed = edited(steps, partial(self._without, context=context), context)
        if changed == steps:
            if not (self.fields or context.dialect.facts):
                raise NotApplicable("this dialect has no members that describe an answer")
            raise NotApplicable(f"there is no {' or '.join(self.fields or context.dialect.facts)}")
        return changed

    def _without(self, native: dict[str, Any], context: FaultContext) -> Any:
        return context.dialect.without_facts(native) if self.fields is None else without(native, self.fields)
