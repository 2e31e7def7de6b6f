"""Conditions on tools: the offered ones, and the results at the end of a conversation."""

from collections.abc import Iterator
from typing import Any

from emulator.matching.conditions.base import Compiling, Condition, Impossible, KeyPath, MatchContext, shown
from emulator.matching.conditions.texts import fitting, impossible_text, regexes_in
from emulator.matching.conditions.values import TextCondition, ToolResultCondition, glob_pattern
from emulator.request import ModelRequest


class Tool(Condition[str]):
    """Globs; each must match one of the offered functions."""

    key = "tools"
    depends_on = "body"

    def __init__(self, value: str, compiling: Compiling) -> None:
        super().__init__(value, compiling)
        self.pattern = glob_pattern((value,))

    @classmethod
    def each(cls, value: tuple[str, ...], compiling: Compiling) -> Iterator[Condition[Any]]:
        for number, glob in enumerate(value):
            yield cls(glob, compiling.as_it_is(number))

    def holds(self, ask: MatchContext) -> bool:
        return any(self.pattern.match(tool.name) for tool in ask.request.controls.tools)

    def mismatch(self, ask: MatchContext) -> str:
        offered = ", ".join(tool.name for tool in ask.request.controls.tools) or "none at all"
        return f"no tool '{self.value}' is offered, only {offered}"

    def implies(self, other: Condition[str]) -> bool:
        return self.value == other.value


class ToolResult(Condition[ToolResultCondition]):
    """The conversation ends with a tool result."""

    key = "tool_result"
    depends_on = "body"

    def __init__(self, value: ToolResultCondition, compiling: Compiling) -> None:
        super().__init__(value, compiling)
        self.pattern = glob_pattern((value.name,)) if value.name is not None else None
        self.fits, self.wish = fitting(value.content or TextCondition(glob="*"), self.normalize)

    def holds(self, ask: MatchContext) -> bool:
        return any(
            (self.pattern is None or self.pattern.match(name) is not None) and self.fits(text)
            for name, text in tool_results(ask.request)
        )

    def mismatch(self, ask: MatchContext) -> str:
        results = tool_results(ask.request)
        if not results:
            return "the conversation does not end with a tool result"
        name, text = results[-1]
        if self.pattern is not None and not any(self.pattern.match(name) for name, _ in results):
            return f"the tool result is of '{name}', the rule expects '{self.value.name}'"
        return f"the tool result {shown(text)} {self.wish(text)}"

    def implies(self, other: Condition[ToolResultCondition]) -> bool:
        return self.is_same(other) or not other.value.model_dump(exclude_none=True)

    def impossible(self) -> Impossible | None:
        content = self.value.content
        return None if content is None else impossible_text(content, self.normalize, (*self.place, "content"))

    def regexes(self) -> Iterator[tuple[KeyPath, str]]:
        content = self.value.content
        return iter(()) if content is None else regexes_in(content, (*self.place, "content"))


def tool_results(request: ModelRequest) -> list[tuple[str, str]]:
    """(function, content) of the tool messages in the last turn of a conversation."""
    results: list[tuple[str, str]] = []
    for message in reversed(request.messages):
        if message.continues and not results:
            continue
        if message.role != "tool":
            break
        results.append((message.name or called(request, message.tool_call_id), message.content))
    return results[::-1]


def called(request: ModelRequest, call_id: str | None) -> str:
    calls = (call for message in request.messages for call in message.tool_calls)
    return next((call.name for call in calls if call.id == call_id), "")
