"""The base class of match conditions: whether a request meets one, why not, and what follows from it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

from emulator.records import record
from emulator.request import ModelRequest

DependsOn = Literal["class", "body", "more"]
Read = Literal["state", "attempt"]
READS_ALL: frozenset[Read] = frozenset(("state", "attempt"))
READS_NOTHING: frozenset[Read] = frozenset()
KeyPath = tuple[str | int, ...]
"""A position in a match, as a path."""
Impossible = tuple[KeyPath, str]
"""Where a match is impossible, and why."""
Value = TypeVar("Value")
SHOWN = 60


@record
class MatchContext:
    """A request and its namespace's state: everything a condition may look at."""

    request: ModelRequest
    state: str = "start"
    attempt: int = 1
    identity: bytes = b""
    seed: int = 0


@record
class Compiling:
    """What a condition needs to know about its match when it is compiled."""

    normalize: tuple[str, ...]
    """Differences to ignore when comparing texts."""
    place: KeyPath
    """The value's position in the match."""
    inner: Callable[[Any, tuple[str, ...], KeyPath], tuple["Condition[Any]", ...]]
    """The conditions of a nested match, which inherits what to normalize."""

    def as_it_is(self, *more: str | int) -> "Compiling":
        """The same for texts that are compared unchanged."""
        return Compiling((), (*self.place, *more), self.inner)


class Condition(ABC, Generic[Value]):
    """A condition on a request. Each subclass is one key of `match`, and its docstring describes the key.

    Conditions are immutable. Only `holds` and `mismatch` are required; all other defaults are safe: an answer that
    depends on such a condition is not cached, and nothing is concluded about other conditions."""

    key: ClassVar[str]
    """Its name in a scenario."""
    value_type: ClassVar[Any]
    """The type of its value, which pydantic validates."""
    depends_on: DependsOn = "more"
    """`class`: only what many requests share (provider, operation, model, stream); `body`: only the body and that;
    `more`: also headers, the key, or what changes from request to request."""
    substring: str | None = None
    """The text that the prompt must contain, if that is the whole condition."""
    required_substring: str | None = None
    """A text that the folded prompt must contain for the condition to hold."""

    def __init__(self, value: Value, compiling: Compiling) -> None:
        self.value = value
        self.normalize = compiling.normalize
        self.place = compiling.place
        """Its position in its match."""

    @property
    def reads(self) -> frozenset[Read]:
        """What it reads in addition to the request: values that other requests change. By default, it may read all
        of them, so it is tried with every possible state and attempt.
        """
        return READS_ALL if self.depends_on == "more" else READS_NOTHING

    def states(self) -> tuple[str, ...] | None:
        """The states that it distinguishes from others; None if unknown."""
        return None if "state" in self.reads else ()

    @classmethod
    def each(cls, value: Any, compiling: Compiling) -> Iterator["Condition[Any]"]:
        """Yields the conditions for a value: one, unless the value is a list whose items must all hold."""
        yield cls(value, compiling)

    @abstractmethod
    def holds(self, ask: MatchContext) -> bool:
        """Whether a request meets it."""

    @abstractmethod
    def mismatch(self, ask: MatchContext) -> str:
        """Why a request doesn't meet it: one sentence without a period."""

    # What can be concluded without a request; "no" if in doubt

    def implies(self, other: Self) -> bool:
        """Whether every request that meets this condition meets `other`, which has the same key."""
        return self.is_same(other)

    def is_universal(self) -> bool:
        """Whether every request meets it."""
        return False

    def impossible(self) -> Impossible | None:
        """Why no request can meet it, and where in the match; None if one may."""
        return None

    def impossible_beside(self, others: Sequence["Condition[Any]"]) -> str | None:
        """Why no request that meets all the others can meet this one; None if one may."""
        return None

    def regexes(self) -> Iterator[tuple[KeyPath, str]]:
        """Every regex in it, with its position in the match."""
        return iter(())

    def is_same(self, other: "Condition[Any]") -> bool:
        """Whether it is the same condition."""
        return type(self) is type(other) and self.value == other.value and self.normalize == other.normalize

    def follows_from(self, conditions: Sequence["Condition[Any]"]) -> bool:
        """Whether every request that meets all of these meets this one."""
        if self.is_universal():
            return True
        for condition in conditions:
            if type(condition) is type(self) and condition.implies(self):
                return True
        return any(condition.leaves_only(self) for condition in conditions)

    def leaves_only(self, other: "Condition[Any]") -> bool:
        """Whether every request that meets this condition meets `other`, which has another key."""
        return False


def shown(text: str) -> str:
    """A text in quotes, shortened if it is long."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def listed(names: Sequence[str]) -> str:
    """`'a' or 'b'`."""
    return " or ".join(f"'{name}'" for name in names)
