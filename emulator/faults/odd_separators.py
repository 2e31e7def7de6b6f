"""Puts characters into the text that some parsers take for line endings."""

from dataclasses import replace
from typing import Any, ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import edited_event, events, need_stream, placed
from emulator.wire import Step

UNICODE = "\u2028\u2029\u0085"
CONTROL = "\v\f\x1c"
STAND_IN = "\ue000"


class OddSeparators(Fault):
    """Writes unusual line separators into the text, unescaped."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = "Raw U+2028, U+2029, U+0085, or VT, FF, FS (invalid JSON), at the end of the first text."
    tests: ClassVar[str] = "The client ends lines at CR and LF only; `str.splitlines` also ends them at others."

    kind: Literal["odd_separators"] = "odd_separators"
    characters: Literal["unicode", "control", "all"] = "unicode"
    """`control`: characters that JSON requires to be escaped."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        def add(chunk: Any) -> None:
            for place in placed(chunk, context, "content", "reasoning"):
                if place.value:
                    place.put(place.value + STAND_IN)

        need_stream(context)
        raw = {"unicode": UNICODE, "control": CONTROL, "all": UNICODE + CONTROL}[self.characters].encode()
        for index, step in events(steps, "content", "reasoning"):
            event = edited_event(step, add, context)
            if STAND_IN.encode() in event.data:
                event = replace(event, data=event.data.replace(STAND_IN.encode(), raw))
                return [*steps[:index], event, *steps[index + 1 :]]
        raise NotApplicable("no event has text")
