"""Calls a tool that wasn't offered."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import need_answer
from emulator.reply import Completion
from emulator.wire import Step


class UnknownTool(Fault):
    """Renames every called tool."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "Normal tool calls with the name of a function that doesn't exist."
    tests: ClassVar[str] = "The agent tells the model that there is no such tool, and doesn't crash."

    kind: Literal["unknown_tool"] = "unknown_tool"
    name: Annotated[str, Field(max_length=1000)] = "no_such_tool"
    """The function's new name."""

    def mutate_completion(self, completion: Completion, context: FaultContext) -> Completion:
        if not any(choice.tool_calls for choice in completion.choices):
            raise NotApplicable("the answer calls no tool")
        choices = [
            replace(choice, blocks=choice.with_calls([replace(call, name=self.name) for call in choice.tool_calls]))
            for choice in completion.choices
        ]
        return replace(completion, choices=tuple(choices))

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_answer(context)
        return steps
