"""Every delta holds the whole text so far."""

from typing import Any, ClassVar, Literal

from emulator.faults.base import (
    Family,
    Fault,
    NotApplicable,
    Scene,
    choices_of,
    edited,
    need_stream,
    words_of,
)
from emulator.wire import Step

TEXTS = ("content", "reasoning_content", "text")


class Cumulative(Fault):
    """Repeats the text so far with every piece."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "Every delta says all that was said so far; or a `message` beside the healthy delta does."
    tests: ClassVar[str] = "Doubled text is noticed; of `delta` and `message` only one is read."

    kind: Literal["cumulative"] = "cumulative"
    where: Literal["delta", "message"] = "delta"
    """Where the text so far stands."""

    def rewrite(self, steps: list[Step], scene: Scene) -> list[Step]:
        need_stream(scene)
        said: dict[tuple[int, str], str] = {}

        def repeat(chunk: dict[str, Any]) -> None:
            for choice in choices_of(chunk):
                index, words = choice.get("index", 0), words_of(choice)
                for name in TEXTS:
                    piece = words.get(name)
                    if isinstance(piece, str) and piece:
                        said[index, name] = said.get((index, name), "") + piece
                        if self.where == "delta":
                            words[name] = said[index, name]
                if self.where == "message":
                    content = said.get((index, "content"), said.get((index, "text"), ""))
                    choice["message"] = {"role": "assistant", "content": content}

        changed = edited(steps, repeat, scene)
        if not said:
            raise NotApplicable("the answer has no text")
        return changed
