"""Changes the finish reason."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator import tokens
from emulator.faults.base import Family, Fault, FaultContext
from emulator.faults.steps import need_answer
from emulator.reply import Block, Choice, Completion, Text, Thought
from emulator.wire import Step


class FinishReason(Fault):
    """Sends any finish reason, and cuts the text if asked to."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = (
        "Any text as the finish reason, also as the native one; the content is whole, half or missing."
    )
    tests: ClassVar[str] = (
        "The client shows reasons other than `stop` to the user, and keeps the answer if the reason is unknown."
    )

    kind: Literal["finish_reason"] = "finish_reason"
    value: Annotated[str, Field(max_length=1000)] = "insufficient_system_resource"
    """For example length, content_filter, insufficient_system_resource, an empty string, or an unknown reason."""
    native: Annotated[str, Field(max_length=1000)] | None = None
    """The model's own reason, for providers that also send it; by default, the same."""
    content: Literal["whole", "half", "none"] = "whole"
    """How much of the text remains."""

    def mutate_completion(self, completion: Completion, context: FaultContext) -> Completion:
        choices = tuple([self._ended(choice) for choice in completion.choices])
        lost = sum(map(_tokens, completion.choices)) - sum(map(_tokens, choices))
        usage = completion.usage
        lost = min(lost, usage.completion)
        usage = replace(usage, completion=usage.completion - lost, total=usage.total - lost)
        return replace(completion, choices=choices, usage=usage)

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_answer(context)
        return steps

    def _ended(self, choice: Choice) -> Choice:
        choice = replace(choice, finish_reason=self.value, native_reason=self.native, stopped_by=None)
        if self.content == "whole":
            return choice
        blocks: tuple[Block, ...]
        if self.content == "none":
            blocks = tuple([block for block in choice.blocks if isinstance(block, Thought)])
        else:
            blocks = _halved(choice)
        shorter = replace(choice, blocks=blocks)
        pieces = len(tokens.pieces(shorter.content).texts)
        return replace(shorter, logprobs=None if choice.logprobs is None else choice.logprobs[:pieces])


def _halved(choice: Choice) -> tuple[Block, ...]:
    """The blocks, with the first half of their text tokens."""
    left = tokens.count(choice.content) // 2
    halved: list[Block] = []
    for block in choice.blocks:
        if isinstance(block, Text):
            text = tokens.cut(block.text, left)
            left -= tokens.count(text)
            block = replace(block, text=text)
            if not text:
                continue
        halved.append(block)
    return tuple(halved)


def _tokens(choice: Choice) -> int:
    calls = sum(tokens.count(call.name) + tokens.count(call.arguments) for call in choice.tool_calls)
    return tokens.count(choice.content) + calls
