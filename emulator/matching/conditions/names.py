"""Conditions on what a request is: its provider, operation, model and stream, and the state of its namespace."""

from collections.abc import Sequence
from typing import Any

from emulator.matching.conditions.base import Compiling, Condition, Impossible, MatchContext, listed
from emulator.matching.conditions.values import glob_pattern
from emulator.providers import PROVIDERS


class OneOf(Condition[tuple[str, ...]]):
    """A condition on a name that has to be one of several."""

    depends_on = "class"

    def name(self, ask: MatchContext) -> str:
        """The name that is looked at."""
        raise NotImplementedError

    def holds(self, ask: MatchContext) -> bool:
        return self.name(ask) in self.value

    def mismatch(self, ask: MatchContext) -> str:
        return f"{self.key} is '{self.name(ask)}', the rule wants {listed(self.value)}"

    def implies(self, other: Condition[tuple[str, ...]]) -> bool:
        return set(self.value) <= set(other.value)

    def impossible(self) -> Impossible | None:
        return (self.place, f"{self.key} is an empty list") if not self.value else None

    def impossible_beside(self, others: Sequence[Condition[Any]]) -> str | None:
        lists = [set(other.value) for other in others if type(other) is type(self)]
        return None if set(self.value).intersection(*lists) else f"no {self.key} is in all of the lists"


class Provider(OneOf):
    """The provider's name, or several."""

    key = "provider"

    def name(self, ask: MatchContext) -> str:
        return ask.request.http_request.provider

    def is_universal(self) -> bool:
        return set(PROVIDERS) <= set(self.value)


class Operation(OneOf):
    """Which endpoint it is."""

    key = "operation"

    def name(self, ask: MatchContext) -> str:
        return ask.request.http_request.operation


class Model(Condition[tuple[str, ...]]):
    """Which model is asked for, as globs."""

    key = "model"
    depends_on = "class"

    def __init__(self, value: tuple[str, ...], compiling: Compiling) -> None:
        super().__init__(value, compiling)
        self.pattern = glob_pattern(value)

    def holds(self, ask: MatchContext) -> bool:
        return self.pattern.match(ask.request.model) is not None

    def mismatch(self, ask: MatchContext) -> str:
        return f"model is '{ask.request.model}', the rule wants {listed(self.value)}"

    def implies(self, other: Condition[tuple[str, ...]]) -> bool:
        assert isinstance(other, Model)
        return all(other.covers(glob) for glob in self.value)

    def covers(self, glob: str) -> bool:
        """Whether every name that fits a glob fits one of these."""
        folded = {each.lower() for each in self.value}
        if "*" in folded or glob.lower() in folded:
            return True
        return not set(glob) & set("*?[") and self.pattern.match(glob) is not None

    def impossible(self) -> Impossible | None:
        return (self.place, "model is an empty list") if not self.value else None


class Exactly(Condition[Any]):
    """A condition on a value that has to be just this."""

    def found(self, ask: MatchContext) -> Any:
        """The value that is looked at."""
        raise NotImplementedError

    def holds(self, ask: MatchContext) -> bool:
        return bool(self.found(ask) == self.value)

    def implies(self, other: Condition[Any]) -> bool:
        return bool(self.value == other.value)

    def impossible_beside(self, others: Sequence[Condition[Any]]) -> str | None:
        values = {self.value, *(other.value for other in others if type(other) is type(self))}
        both = " and ".join(sorted(str(value).lower() for value in values))
        return f"{self.key} cannot be {both} at once" if len(values) > 1 else None


class Stream(Exactly):
    """Whether a stream is asked for."""

    key = "stream"
    depends_on = "class"

    def found(self, ask: MatchContext) -> bool:
        return ask.request.stream

    def mismatch(self, ask: MatchContext) -> str:
        return f"stream is {str(ask.request.stream).lower()}, the rule wants {str(self.value).lower()}"


class State(Exactly):
    """The state that the namespace is in."""

    key = "state"

    def found(self, ask: MatchContext) -> str:
        return ask.state

    def mismatch(self, ask: MatchContext) -> str:
        return f"state is '{ask.state}', the rule wants '{self.value}'"
