"""Repeats the whole text so far in every delta."""

from typing import Any, ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import edited, need_stream, placed
from emulator.wire import Step


class Cumulative(Fault):
    """Repeats the text so far with every piece."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "Every delta repeats all the text so far; or a `message` next to the normal delta does."
    tests: ClassVar[str] = "The client notices doubled text, and reads only one of `delta` and `message`."

    kind: Literal["cumulative"] = "cumulative"
    where: Literal["delta", "message"] = "delta"
    """Where the text so far appears."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        said: dict[tuple[str, Any], str] = {}

        def repeat(chunk: dict[str, Any]) -> None:
            for place in placed(chunk, context, "content", "reasoning"):
                piece, key = place.value, (place.meaning, place.key)
                if isinstance(piece, str) and piece:
                    said[key] = said.get(key, "") + piece
                    if self.where == "delta":
                        place.put(said[key])
            if self.where == "message":
                texts = {key: text for (meaning, key), text in said.items() if meaning == "content"}
                if not context.dialect.with_text_so_far(chunk, texts):
                    raise NotApplicable("this dialect has no place for the whole text next to a delta")

        changed = edited(steps, repeat, context)
        if not said:
            raise NotApplicable("the answer has no text")
        return changed
