"""The match conditions, one class per key of `match`, and the table of them."""

from collections.abc import Iterator, Mapping, Sequence
from keyword import iskeyword
from typing import Any

from emulator.matching.conditions.base import Compiling, Condition, KeyPath, MatchContext
from emulator.matching.conditions.body import Body
from emulator.matching.conditions.combined import AllOf, AnyOf, Not, contradiction_in, follow_from
from emulator.matching.conditions.names import Model, Operation, Provider, State, Stream
from emulator.matching.conditions.numbers import Attempt, Messages, Turn
from emulator.matching.conditions.plugins import brought
from emulator.matching.conditions.recorded import Recorded
from emulator.matching.conditions.texts import AnyMessage, Header, Key, Prompt, System, normalized
from emulator.matching.conditions.tools import Tool, ToolResult, tool_results
from emulator.providers import COMPLETIONS

__all__ = ["Condition", "MatchContext", "contradiction_in", "follow_from", "normalized", "tool_results"]

OWN: tuple[type[Condition[Any]], ...] = (
    Provider,
    Operation,
    State,
    Stream,
    Model,
    Turn,
    Messages,
    Attempt,
    Prompt,
    System,
    AnyMessage,
    Key,
    Header,
    Tool,
    ToolResult,
    Body,
    Recorded,
    AllOf,
    AnyOf,
    Not,
)
"""The built-in conditions, in the order in which they are tested: cheap ones first."""

BROUGHT: Mapping[str, type[Condition[Any]]] = brought([condition.key for condition in OWN])
"""The conditions from installed packages, by key."""

CONDITIONS: Mapping[str, type[Condition[Any]]] = {**{condition.key: condition for condition in OWN}, **BROUGHT}
"""All conditions by key."""

_ATTRIBUTES = {key: f"{key}_" if iskeyword(key) else key for key in CONDITIONS}


def conditions(match: Any, normalize: Sequence[str], *, is_outermost: bool = False) -> Iterator[Condition[Any]]:
    """Yields the conditions of a `Match`. A rule's own match that names no operation applies to completions."""
    yield from _each(match, tuple(normalize), (), is_outermost=is_outermost)


def _inner(match: Any, normalize: tuple[str, ...], place: KeyPath) -> tuple[Condition[Any], ...]:
    return tuple(_each(match, normalize, place))


def _each(
    match: Any, normalize: tuple[str, ...], place: KeyPath, *, is_outermost: bool = False
) -> Iterator[Condition[Any]]:
    inherited = normalize if match.normalize is None else match.normalize
    for key, condition in CONDITIONS.items():
        value = getattr(match, _ATTRIBUTES[key])
        if value is None and condition is Operation and is_outermost:
            value = COMPLETIONS
        if value is not None:
            yield from condition.each(value, Compiling(inherited, (*place, key), _inner))
