"""Breaks the JSON of tool call arguments."""

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import need_answer
from emulator.reply import Choice, Completion
from emulator.request import ToolCall
from emulator.wire import Step


class ToolArguments(Fault):
    """Breaks the arguments of every tool call."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "Arguments that stop halfway, aren't JSON, or are an empty string."
    tests: ClassVar[str] = "The agent doesn't crash, runs no tool, and doesn't replay what the provider will reject."

    kind: Literal["tool_arguments"] = "tool_arguments"
    form: Literal["truncated", "invalid", "empty"] = "truncated"
    """How they are broken; `invalid` has single quotes, as in Python."""
    finish_reason: Annotated[str, Field(max_length=1000)] | None = None
    """For example `length`; by default, the normal one."""

    def mutate_completion(self, completion: Completion, context: FaultContext) -> Completion:
        if not any(choice.tool_calls for choice in completion.choices):
            raise NotApplicable("the answer calls no tool")
        return replace(completion, choices=tuple([self._broken(choice) for choice in completion.choices]))

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_answer(context)
        return steps

    def _broken(self, choice: Choice) -> Choice:
        calls = tuple([self._called(call) for call in choice.tool_calls])
        choice = replace(choice, blocks=choice.with_calls(calls))
        if self.finish_reason is None or not calls:
            return choice
        return replace(choice, finish_reason=self.finish_reason, native_reason=None, stopped_by=None)

    def _called(self, call: ToolCall) -> ToolCall:
        text = call.arguments
        broken = {
            "truncated": text[: len(text) // 2],
            "invalid": text.replace('"', "'") if '"' in text else text + "}",
            "empty": "",
        }
        return replace(call, arguments=broken[self.form])
