"""Conditions on a request's provider, operation, model and stream, and on its namespace's state."""

from collections.abc import Sequence
from typing import Any

from emulator.matching.conditions.base import Compiling, Condition, Impossible, MatchContext, listed
from emulator.matching.conditions.values import glob_pattern
from emulator.providers import PROVIDERS


class OneOf(Condition[tuple[str, ...]]):
    """A condition on a name that must be one of several."""

    depends_on = "class"

    def name(self, ask: MatchContext) -> str:
        """The name to compare."""
        raise NotImplementedError

    def holds(self, ask: MatchContext) -> bool:
        return self.name(ask) in self.value

    def mismatch(self, ask: MatchContext) -> str:
        return f"{self.key} is '{self.name(ask)}', the rule expects {listed(self.value)}"

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
    """The endpoint."""

    key = "operation"

    def name(self, ask: MatchContext) -> str:
        return ask.request.http_request.operation


class Model(Condition[tuple[str, ...]]):
    """Globs for the requested model."""

    key = "model"
    depends_on = "class"

    def __init__(self, value: tuple[str, ...], compiling: Compiling) -> None:
        super().__init__(value, compiling)
        self.pattern = glob_pattern(value)

    def holds(self, ask: MatchContext) -> bool:
        return self.pattern.match(ask.request.model) is not None

    def mismatch(self, ask: MatchContext) -> str:
        return f"model is '{ask.request.model}', the rule expects {listed(self.value)}"

    def implies(self, other: Condition[tuple[str, ...]]) -> bool:
        assert isinstance(other, Model)
        return all(other.covers(glob) for glob in self.value)

    def covers(self, glob: str) -> bool:
        """Whether every name that matches a glob matches one of these."""
        folded = {each.lower() for each in self.value}
        if "*" in folded or glob.lower() in folded:
            return True
        return not set(glob) & set("*?[") and self.pattern.match(glob) is not None

    def impossible(self) -> Impossible | None:
        return (self.place, "model is an empty list") if not self.value else None


class Exactly(Condition[Any]):
    """A condition on a value that must be exactly this."""

    def found(self, ask: MatchContext) -> Any:
        """The value to compare."""
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
    """Whether the request asks for a stream."""

    key = "stream"
    depends_on = "class"

    def found(self, ask: MatchContext) -> bool:
        return ask.request.stream

    def mismatch(self, ask: MatchContext) -> str:
        return f"stream is {str(ask.request.stream).lower()}, the rule expects {str(self.value).lower()}"


class State(Exactly):
    """The namespace's state."""

    key = "state"
    reads = frozenset(("state",))

    def states(self) -> tuple[str, ...]:
        return (self.value,)

    def found(self, ask: MatchContext) -> str:
        return ask.state

    def mismatch(self, ask: MatchContext) -> str:
        return f"state is '{ask.state}', the rule expects '{self.value}'"
