"""Which regexes may take for ever: those that repeat something which repeats itself and can be cut in many ways."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

SAMPLE = frozenset(chr(number) for number in range(128)) | frozenset("éßЖ中日あ٣🙂\u00a0")
"""Characters that stand for all; what two patterns have in common is looked for among them."""
MANY = 16
"""Repeating up to that often is quick all the same."""

Node = tuple[Any, Any]
Nodes = Sequence[Node]


def is_slow(pattern: str) -> bool:
    """Whether a regex has a repetition in a repetition where both can take the same characters: `(a+)+`, `(.*,?)*`."""
    try:
        return _has_slow(parser.parse(pattern))
    except (re.error, RecursionError):
        return False


def _has_slow(nodes: Iterable[Node]) -> bool:
    return any(_is_slow(code, value) or any(map(_has_slow, _inside(code, value))) for code, value in nodes)


def _is_slow(code: Any, value: Any) -> bool:
    if code not in (codes.MAX_REPEAT, codes.MIN_REPEAT) or value[1] < MANY:
        return False
    return any(_can_be_cut(branch) for branch in _branches(value[2]))


def _branches(nodes: Nodes) -> list[list[Node]]:
    """The ways through what is repeated, groups opened; only an alternation at the top is taken apart."""
    flat = _flat(nodes)
    if len(flat) == 1 and flat[0][0] is codes.BRANCH:
        return [branch for each in flat[0][1][1] for branch in _branches(each)]
    return [flat]


def _flat(nodes: Nodes) -> list[Node]:
    found: list[Node] = []
    for code, value in nodes:
        found += _flat(value[3]) if code is codes.SUBPATTERN else [(code, value)]
    return found


def _can_be_cut(nodes: list[Node]) -> bool:
    """Whether a run of one character can be taken by one round or by several, in ways that nothing tells apart."""
    for place, (code, value) in enumerate(nodes):
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT) and value[1] >= MANY:
            taken = _characters(value[2])
            others = [node for number, node in enumerate(nodes) if number != place]
            if taken and all(_may_be_nothing(node) or taken & _characters([node]) for node in others):
                return True
    return False


def _may_be_nothing(node: Node) -> bool:
    code, value = node
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
        return value[0] == 0 or all(map(_may_be_nothing, value[2]))
    if code is codes.SUBPATTERN:
        return all(map(_may_be_nothing, value[3]))
    if code is codes.BRANCH:
        return any(all(map(_may_be_nothing, branch)) for branch in value[1])
    return code in (codes.AT, codes.ASSERT, codes.ASSERT_NOT)


def _characters(nodes: Iterable[Node]) -> frozenset[str]:
    """Every character of the sample that may be in what these match."""
    found: frozenset[str] = frozenset()
    for code, value in nodes:
        found |= _of(code, value) if not _inside(code, value) else frozenset()
        for inner in _inside(code, value):
            found |= _characters(inner)
    return found


def _of(code: Any, value: Any) -> frozenset[str]:
    if code is codes.LITERAL:
        return frozenset(chr(value))
    if code is codes.NOT_LITERAL:
        return SAMPLE - {chr(value)}
    if code is codes.ANY:
        return SAMPLE - {"\n"}
    if code is codes.RANGE:
        return frozenset(char for char in SAMPLE if value[0] <= ord(char) <= value[1])
    if code is codes.CATEGORY:
        return _category(value)
    if code is codes.IN:
        found = frozenset[str]().union(*(_of(*item) for item in value if item[0] is not codes.NEGATE))
        return SAMPLE - found if value[0][0] is codes.NEGATE else found
    return frozenset()


@cache
def _category(name: Any) -> frozenset[str]:
    letter = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}[str(name).rpartition("_")[2]]
    pattern = re.compile("\\" + (letter.upper() if "_NOT_" in str(name) else letter))
    return frozenset(filter(pattern.match, SAMPLE))


def _inside(code: Any, value: Any) -> list[Nodes]:
    """What a node is made of. What is possessive or atomic never goes back, so it is no way to go wrong."""
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
        return [value[2]]
    if code is codes.SUBPATTERN:
        return [value[3]]
    if code is codes.BRANCH:
        return list(value[1])
    if code in (codes.ASSERT, codes.ASSERT_NOT):
        return [value[1]]
    return []
