"""Strings for a regular expression: generated with a given length, and checked without backtracking.

Python's own parser parses the expression; this module turns its tree into nodes that can both generate and match.
Matching follows all paths at once as a set of positions, so that an expression from a client, such as `^(a+)+$`, can't
hang the server.
"""

import functools
import re
import string
from collections.abc import Iterable, Mapping
from itertools import accumulate
from random import Random
from typing import Any, Protocol

from emulator.generation.instances.ecma import Test, translated
from emulator.generation.instances.search import Fuel, Miss
from emulator.patterns import parsed
from emulator.records import record

ENDLESS = 1 << 30
MAX_PATTERN_LENGTH = 4_000
# The characters to choose from for a class: the first of these strings that has a member of the class.
POOLS = (string.ascii_letters + string.digits, string.punctuation + " ", "äéñßøčżяжωאع中日한€…\t\n")
Positions = set[int]
Tests = Mapping[int, Test]
"""The tests that an expression's private-use characters represent."""


class Node(Protocol):
    """A part of an expression. `least` and `most` bound the length of what it matches."""

    @property
    def least(self) -> int: ...
    @property
    def most(self) -> int: ...

    def write(self, length: int, random: Random) -> str:
        """Returns a string of exactly `length` that the part matches. Raises Miss if this attempt finds none."""

    def ends(self, text: str, starts: Positions, fuel: Fuel) -> Positions:
        """Returns every position where a match that begins at one of `starts` can end."""


@record
class Chars:
    """One character: a literal, a class or a dot."""

    test: Test
    choices: str
    least: int = 1
    most: int = 1
    cost: int = 1
    """The fuel for one test: a class may have thousands of members."""

    def write(self, length: int, random: Random) -> str:
        if not self.choices:
            raise Miss("a character class of the pattern is empty", final=False)
        return random.choice(self.choices)

    def ends(self, text: str, starts: Positions, fuel: Fuel) -> Positions:
        fuel.burn(2 + len(starts) * self.cost)
        return {start + 1 for start in starts if start < len(text) and self.test(text[start])}


@record
class Edge:
    """An anchor or a word boundary. It generates nothing; matching checks it."""

    kind: str
    least: int = 0
    most: int = 0

    def write(self, length: int, random: Random) -> str:
        return ""

    def ends(self, text: str, starts: Positions, fuel: Fuel) -> Positions:
        fuel.burn(len(starts))
        return {start for start in starts if self._holds(text, start)}

    def _holds(self, text: str, at: int) -> bool:
        match self.kind:
            case "AT_BEGINNING" | "AT_BEGINNING_STRING":
                return at == 0
            case "AT_END":
                return at == len(text) or (at == len(text) - 1 and text[at] == "\n")
            case "AT_END_STRING":
                return at == len(text)
        before, after = at > 0 and _is_word(text[at - 1]), at < len(text) and _is_word(text[at])
        return (before != after) == (self.kind == "AT_BOUNDARY")


@record
class Look:
    """A lookahead or lookbehind. It generates nothing either."""

    node: Node
    behind: bool
    wanted: bool
    least: int = 0
    most: int = 0

    def write(self, length: int, random: Random) -> str:
        return ""

    def ends(self, text: str, starts: Positions, fuel: Fuel) -> Positions:
        fuel.burn(5 * len(starts))
        return {start for start in starts if self._sees(text, start, fuel) == self.wanted}

    def _sees(self, text: str, at: int, fuel: Fuel) -> bool:
        if not self.behind:
            return bool(self.node.ends(text, {at}, fuel))
        start = at - self.node.least  # Python allows only a fixed width behind
        return start >= 0 and at in self.node.ends(text, {start}, fuel)


@record
class Sequence:
    """A sequence of parts."""

    nodes: tuple[Node, ...]
    least: int
    most: int

    def write(self, length: int, random: Random) -> str:
        least, mosts = self.least, list(accumulate((node.most for node in reversed(self.nodes)), initial=0))
        written: list[str] = []
        for node, most in zip(self.nodes, mosts[-2::-1], strict=True):  # `most` is that of what follows the node
            least -= node.least
            share = _between(max(node.least, length - most), min(node.most, length - least), random)
            written.append(node.write(share, random))
            length -= share
        return "".join(written)

    def ends(self, text: str, starts: Positions, fuel: Fuel) -> Positions:
        for node in self.nodes:
            fuel.burn(5)
            starts = node.ends(text, starts, fuel)
            if not starts:
                break
        return starts


@record
class Choice:
    """One of several parts."""

    nodes: tuple[Node, ...]
    least: int
    most: int

    def write(self, length: int, random: Random) -> str:
        able = [node for node in self.nodes if node.least <= length <= node.most]
        if not able:
            raise Miss(f"no branch of the pattern is {length} long", final=False)
        return random.choice(able).write(length, random)

    def ends(self, text: str, starts: Positions, fuel: Fuel) -> Positions:
        fuel.burn(5 * (len(self.nodes) + len(starts)))
        return set().union(*(node.ends(text, starts, fuel) for node in self.nodes))


@record
class Repeat:
    """A part, repeated `low` to `high` times."""

    node: Node
    low: int
    high: int
    least: int
    most: int

    def write(self, length: int, random: Random) -> str:
        node = self.node
        if length == 0 and (self.low == 0 or node.least == 0):
            return ""
        fewest = max(self.low, -(-length // node.most))
        times = _between(fewest, min(self.high, length // node.least if node.least else max(fewest, length)), random)
        times = min(times, length) if node.least == 0 else times  # empty repetitions generate nothing
        written = []
        for left in range(times - 1, -1, -1):
            share = _between(
                max(node.least, length - left * node.most), min(node.most, length - left * node.least), random
            )
            written.append(node.write(share, random))
            length -= share
        return "".join(written)

    def ends(self, text: str, starts: Positions, fuel: Fuel) -> Positions:
        current = starts
        for _ in range(self.low):
            following = self.node.ends(text, current, fuel)
            fuel.burn(5 + len(current))
            if following == current or not following:  # further repetitions would change nothing
                current = following
                break
            current = following
        fuel.burn(len(current))
        reached, rounds = set(current), self.low
        while current and rounds < self.high:  # each position once: its first visit leaves the most repetitions
            fuel.burn(5 + len(current))
            current = self.node.ends(text, current, fuel) - reached
            reached |= current
            rounds += 1
        return reached


class Pattern:
    """A regular expression with the semantics of JSON Schema: it may match anywhere in the string."""

    def __init__(self, source: str) -> None:
        """Raises Miss if the expression can't be parsed or is not supported."""
        if len(source) > MAX_PATTERN_LENGTH:
            raise Miss(f"the pattern is longer than {MAX_PATTERN_LENGTH} characters")
        self.source = source
        try:
            written, tests = translated(source)
            tree = parsed(written)
        except (re.error, OverflowError, ValueError) as error:
            raise Miss(f"the pattern {source[:60]!r} cannot be read: {error}") from None
        if tree.state.flags & ~re.UNICODE:
            raise Miss(f"the pattern {source[:60]!r} sets flags, which is not supported")
        self.node = _sequence(tree, tests)

    def write(self, low: int, high: int, random: Random, fuel: Fuel) -> str:
        """Returns a matching string of `low` to `high` characters. Raises Miss if none is found."""
        least, most = self.node.least, self.node.most
        if least > high:
            raise Miss(f"the pattern needs {least} characters and only {high} are allowed")
        for turn in range(60):
            fuel.burn(100)
            wanted = max(least, low) + (random.randint(0, 12) if turn < 40 else random.randint(0, 60))
            try:
                text = self.node.write(min(wanted, most, high), random)
            except Miss:
                continue
            fuel.burn(len(text))
            for candidate in self._padded(text, low, random):
                if low <= len(candidate) <= high and self.matches(candidate, fuel):
                    return candidate
        raise Miss(
            f"no string of {low} to {high} characters was found for the pattern {self.source[:60]!r}", final=False
        )

    def _padded(self, text: str, low: int, random: Random) -> list[str]:
        """Returns the text as it is, and longer texts for an expression that need not match all of it."""
        filling = "".join(random.choices(string.ascii_lowercase, k=max(0, low - len(text))))
        words = f" {filling[1:]}" if len(filling) > 1 else filling
        return [text + filling, filling + text, text + words] if filling else [text]

    def matches(self, text: str, fuel: Fuel) -> bool:
        """Whether the expression matches somewhere in `text`."""
        fuel.burn(5 + len(text))
        return bool(self.node.ends(text, set(range(len(text) + 1)), fuel))


def pattern_of(source: str, fuel: Fuel) -> Pattern:
    """Returns the pattern, parsed once per search and cached across searches."""
    pattern = fuel.patterns.get(source)
    if pattern is None:
        fuel.burn(500 + 50 * len(source))  # as if it had to be parsed, so that every search costs the same
        pattern = fuel.patterns[source] = _read(source)
    return pattern


_read = functools.lru_cache(maxsize=256)(Pattern)


def _between(low: int, high: int, random: Random) -> int:
    if low > high:
        raise Miss("the parts of the pattern do not add up to the length", final=False)
    return random.randint(low, high)


def _total(lengths: Iterable[int]) -> int:
    return min(ENDLESS, sum(lengths))


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _sequence(tree: Any, tests: Tests) -> Node:
    nodes = tuple(_node(str(kind), value, tests) for kind, value in tree)
    if len(nodes) == 1:
        return nodes[0]
    return Sequence(nodes, _total(node.least for node in nodes), _total(node.most for node in nodes))


def _node(kind: str, value: Any, tests: Tests) -> Node:
    """Converts one item of the parser's tree."""
    match kind:
        case "LITERAL" if value in tests:
            return _class(tests[value], ())
        case "NOT_LITERAL" if value in tests:
            return _class(lambda char: not tests[value](char), ())
        case "LITERAL":
            return Chars(lambda char: char == chr(value), "" if _is_half(value) else chr(value))
        case "NOT_LITERAL":
            return _class(lambda char: char != chr(value), ())
        case "ANY":
            return _class(lambda char: char != "\n", ())
        case "IN":
            return _members(value, tests)
        case "AT":
            return Edge(str(value))
        case "BRANCH":
            nodes = tuple(_sequence(branch, tests) for branch in value[1])
            return Choice(nodes, min(node.least for node in nodes), max(node.most for node in nodes))
        case "SUBPATTERN" if not (value[1] or value[2]):
            return _sequence(value[3], tests)
        case "MAX_REPEAT" | "MIN_REPEAT":
            low, high = int(value[0]), min(int(value[1]), ENDLESS)
            node = _sequence(value[2], tests)
            return Repeat(node, low, high, min(ENDLESS, low * node.least), min(ENDLESS, high * node.most))
        case "ASSERT" | "ASSERT_NOT":
            return Look(_sequence(value[1], tests), value[0] < 0, kind == "ASSERT")
    raise Miss(f"{kind.lower().replace('_', ' ')} is not supported in a pattern")


def _members(items: list[tuple[Any, Any]], properties: Tests) -> Node:
    """Converts a class in brackets, or an escape such as \\d."""
    tests: list[Test] = []
    listed: list[int] = []
    for kind, value in items:
        match str(kind):
            case "LITERAL" if value in properties:
                tests.append(properties[value])
            case "LITERAL":
                tests.append(functools.partial(_within, value, value))
                listed.append(value)
            case "RANGE":
                tests.append(functools.partial(_within, value[0], value[1]))
                listed += range(value[0], min(value[1], value[0] + 20) + 1)
            case "CATEGORY":
                tests.append(functools.partial(_in_category, str(value)))
    negated = str(items[0][0]) == "NEGATE"
    return _class(lambda char: any(test(char) for test in tests) != negated, listed, 1 + 2 * len(tests))


def _within(first: int, last: int, char: str) -> bool:
    return first <= ord(char) <= last


def _in_category(name: str, char: str) -> bool:
    test = {"DIGIT": str.isdecimal, "SPACE": str.isspace, "WORD": _is_word}[name.rpartition("_")[2]]
    return test(char) != name.startswith("CATEGORY_NOT")


def _is_half(code: int) -> bool:
    """Whether a character is a surrogate, which no JSON text in UTF-8 can contain."""
    return 0xD800 <= code < 0xE000


def _class(test: Test, listed: Iterable[int], cost: int = 1) -> Node:
    named = "".join(chr(code) for code in listed if not _is_half(code))
    pools = ("".join(char for char in pool if test(char)) for pool in (*POOLS, named))
    return Chars(test, next((pool for pool in pools if pool), ""), cost=cost)
