"""The answer lacks members that it should have."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from emulator.faults.base import Family, Fault, NotApplicable, Scene, edited
from emulator.wire import Step


def _listed(value: Any) -> Any:
    """`id+model` as a list, for where commas stand between parameters."""
    return tuple(value.split("+")) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class MissingFields(Fault):
    """Takes members away, wherever they stand."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = (
        "The body or every event without `id`, `object`, `created` and `model`, or without any others."
    )
    tests: ClassVar[str] = "Only what is needed is demanded: a strict reader loses the whole answer."

    kind: Literal["missing_fields"] = "missing_fields"
    fields: Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)] = (
        "id",
        "object",
        "created",
        "model",
    )
    """The names of the members; in one line with `+` between them."""

    def rewrite(self, steps: list[Step], scene: Scene) -> list[Step]:
        changed = edited(steps, self._without, scene)
        if changed == steps:
            raise NotApplicable(f"there is no {' or '.join(self.fields)}")
        return changed

    def _without(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._without(member) for name, member in value.items() if name not in self.fields}
        return [self._without(item) for item in value] if isinstance(value, list) else value
