"""The answer ends for another reason."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator import tokens
from emulator.faults.base import Family, Fault, Scene, need_answer
from emulator.reply import Choice, Completion
from emulator.wire import Step


class FinishReason(Fault):
    """Says any finish reason, and cuts the text if that is wanted."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = (
        "Any literal as the finish reason, the provider's native one too; the text is whole, half or none."
    )
    tests: ClassVar[str] = "Reasons other than `stop` are told to the user; an unknown one does not lose the answer."

    kind: Literal["finish_reason"] = "finish_reason"
    value: Annotated[str, Field(max_length=1000)] = "insufficient_system_resource"
    """Such as length, content_filter, insufficient_system_resource, the empty text, or one that nobody knows."""
    native: Annotated[str, Field(max_length=1000)] | None = None
    """What providers say that tell the model's own reason too; the same when left out."""
    content: Literal["whole", "half", "none"] = "whole"
    """How much of the text is left."""

    def spoil(self, completion: Completion, scene: Scene) -> Completion:
        choices = tuple([self._ended(choice) for choice in completion.choices])
        lost = sum(map(_tokens, completion.choices)) - sum(map(_tokens, choices))
        usage = completion.usage
        lost = min(lost, usage.completion)
        usage = replace(usage, completion=usage.completion - lost, total=usage.total - lost)
        return replace(completion, choices=choices, usage=usage)

    def rewrite(self, steps: list[Step], scene: Scene) -> list[Step]:
        need_answer(scene)
        return steps

    def _ended(self, choice: Choice) -> Choice:
        native = self.value if self.native is None else self.native
        choice = replace(choice, finish_reason=self.value, native_finish_reason=native)
        if self.content == "whole":
            return choice
        text = tokens.cut(choice.content, tokens.count(choice.content) // 2) if self.content == "half" else ""
        pieces = len(tokens.pieces(text).texts)
        logprobs = None if choice.logprobs is None else choice.logprobs[:pieces]
        calls = choice.tool_calls if self.content == "half" else ()
        return replace(choice, content=text, logprobs=logprobs, tool_calls=calls)


def _tokens(choice: Choice) -> int:
    calls = sum(tokens.count(call.name) + tokens.count(call.arguments) for call in choice.tool_calls)
    return tokens.count(choice.content) + calls
