"""Changes or removes the usage."""

from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal

from emulator.dialects.base import Place
from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import chunk_of, edited_body, edited_event, is_event, placed
from emulator.wire import Data, Step


class WrongUsage(Fault):
    """Changes the reported token usage."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "The usage is missing, null, all zeros, or sent in two events, wherever it normally stands."
    tests: ClassVar[str] = "The client doesn't record zero cost, exceed budgets, or count anything twice."

    kind: Literal["usage"] = "usage"
    form: Literal["missing", "null", "zeros", "twice"] = "missing"
    """How it is wrong; `twice` is for streams."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        if not context.streamed:
            if self.form == "twice":
                raise NotApplicable("a whole answer has only one place for usage")
            return edited_body(steps, partial(self._change, context=context), context)
        changed: list[Step] = []
        is_reported = False
        for step in steps:
            found = _usages(step, context) if isinstance(step, Data) and is_event(step) else []
            is_reported = is_reported or bool(found)
            if not found or not isinstance(step, Data):
                changed.append(step)
            elif self.form == "twice":
                is_null = all(place.value is None for place in found)
                again = None if is_null else context.dialect.usage_again(chunk_of(step, context))
                changed += [step] if again is None else [step, replace(step, data=context.dialect.frame(again))]
            elif self.form != "missing" or not context.dialect.is_only_usage(chunk_of(step, context)):
                changed.append(edited_event(step, partial(self._change, context=context), context))
        if changed == steps:
            is_sent_anyway = self.form == "twice" and is_reported
            raise NotApplicable(
                "in this dialect, a stream may report the usage twice"
                if is_sent_anyway
                else "the stream doesn't report the usage"
            )
        return changed

    def _change(self, chunk: dict[str, Any], context: FaultContext) -> None:
        found = placed(chunk, context, "usage")
        if not found:
            raise NotApplicable("the answer has no usage")
        for place in found:
            if self.form == "missing":
                place.remove()
            else:
                place.put(None if self.form == "null" else _zeros(place.value))


def _usages(step: Data, context: FaultContext) -> list[Place]:
    return placed(chunk_of(step, context), context, "usage")


def _zeros(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _zeros(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_zeros(item) for item in value]
    return value if value is None or isinstance(value, str) else 0
