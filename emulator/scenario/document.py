"""A document: plain data with the position of each value, and the builder that every file format feeds.

The builder enforces the rules common to YAML, JSON and TOML. It rejects duplicate keys, keys that aren't strings, lone
surrogates, numbers that JSON cannot represent, and anything too deep or too large.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, NamedTuple, NoReturn

from emulator.errors import Problem, ScenarioError, did_you_mean
from emulator.records import record, struct

Key = str | int
KeyPath = tuple[Key, ...]  # the keys and indexes from the root to a value
Mark = tuple[int, int]  # line and column, from 1

MAX_DEPTH = 100
MAX_ALIASES = 100
# Each value counts 32 bytes plus its text: a bomb of nine aliases is small as references but has 9¹⁰ items as JSON.
MAX_EXPANDED = 32 * 2**20
MAX_PROBLEMS = 100

_WORD = re.compile(r"[\w-]{1,60}")
_SURROGATE = re.compile("[\ud800-\udfff]")


@record
class Document:
    """The contents of a file. Aliases share parts of `data`, so don't change it.

    `marks` gives for a trail into the data the (line, column) from 1: of the key in a mapping, of the item in a list.
    """

    path: str
    data: Any
    marks: Mapping[KeyPath, Mark] = field(default_factory=dict)

    def problem(self, key_path: KeyPath, message: str) -> Problem:
        """A problem at the nearest marked place to a path, or without a position if there is none."""
        for length in range(len(key_path), -1, -1):
            if mark := self.marks.get(key_path[:length]):
                return Problem(self.path, *mark, message)
        return Problem(self.path, 0, 0, message)


def inside(document: Document, key: Key) -> Document:
    """A part of a document as a document of its own, with its positions."""
    marks = {path[1:]: mark for path, mark in document.marks.items() if path[:1] == (key,)}
    return Document(document.path, document.data[key], marks)


def spell(key_path: Iterable[Key]) -> str:
    """A path as people write it: `rules[0].match.headers['a b']`; `the document` for the root."""
    return "".join(map(_spell_key, key_path)).removeprefix(".") or "the document"


def _spell_key(key: Key) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _WORD.fullmatch(key) else f"[{quote(key)}]"


def quote(value: object) -> str:
    """A value as a YAML author would name it, short and on one line: `'fast'`, `true`, `a list`, `empty`."""
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case str():
            return repr(value if len(value) <= 60 else value[:59] + "…")
        case int() if value.bit_length() > 128:  # Python refuses to write thousands of digits
            return "a very long number"
        case int() | float():
            return str(value)
        case Mapping():
            return "a mapping"
        case list() | tuple() | set() | frozenset():
            return "a list"
        case _:
            return f"of the Python type {type(value).__name__}"


def one_line(text: str) -> str:
    """A message from elsewhere on one line; it may quote the file, so control characters are escaped."""
    text = " ".join(text.split())
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def hinted(message: str, word: object, known: Sequence[str]) -> str:
    """The message, with a suggestion if the word is close to a known one."""
    hint = did_you_mean(word, known) if isinstance(word, str) else ""
    return f"{message}.{hint}" if hint else message


class _Place(NamedTuple):
    mark: Mark
    inside: "Mapping[Key, _Place]"


class _Marks(Mapping[KeyPath, Mark]):
    """Marks by path, looked up in a tree: the positions behind an alias are shared instead of copied."""

    def __init__(self, root: _Place) -> None:
        self._root = root

    def __getitem__(self, key_path: KeyPath) -> Mark:
        place = self._root
        for key in key_path:
            place = place.inside[key]
        return place.mark

    def __iter__(self) -> Iterator[KeyPath]:
        waiting: list[tuple[KeyPath, _Place]] = [((), self._root)]
        while waiting:
            key_path, place = waiting.pop()
            yield key_path
            waiting.extend(((*key_path, key), inner) for key, inner in reversed(list(place.inside.items())))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Item(NamedTuple):
    """A finished value; its weight and height let an alias cost as much as what it repeats."""

    value: Any
    inside: Mapping[Key, _Place]
    weight: int
    height: int


@struct
class _Frame:
    """An unfinished mapping or list."""

    value: dict[str, Any] | list[Any]
    mark: Mark
    anchor: str | None
    weight_before: int
    inside: dict[Key, _Place] = field(default_factory=dict)
    height: int = 1
    key: str | None = None
    key_mark: Mark = (1, 1)


class Builder:
    """Builds a document piece by piece (keys and values of a mapping in turn) and rejects what the rules forbid."""

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._problems: list[Problem] = []
        self._frames: list[_Frame] = []
        self._anchors: dict[str, _Item] = {}
        self._aliases = 0
        self._weight = 0
        self._root = _Item(None, {}, 0, 0)
        self._root_mark: Mark = (1, 1)

    def document(self) -> Document:
        """The finished document. Raises a ScenarioError with everything that was rejected."""
        if self._problems:
            raise ScenarioError(self._problems)
        return Document(self._shown, self._root.value, _Marks(_Place(self._root_mark, self._root.inside)))

    def open(self, value: dict[str, Any] | list[Any], mark: Mark, anchor: str | None = None) -> None:
        """Opens a mapping or list, which must be empty."""
        if self.wants_key():
            self.fail(mark, f"{self._within()}{quote(value)} cannot be a key; keys are strings")
        self._check_depth(1, mark)
        if anchor is not None:
            self._anchors.pop(anchor, None)  # redefined: until it is closed, an alias to it would never end
        self._frames.append(_Frame(value, mark, anchor, self._weight))
        self._weigh(32, mark)

    def close(self) -> None:
        """Closes the innermost mapping or list."""
        frame = self._frames.pop()
        weight = self._weight - frame.weight_before
        self._add(_Item(frame.value, frame.inside, weight, frame.height), frame.mark, frame.anchor)

    def scalar(self, value: str | float | bool | None, mark: Mark, anchor: str | None = None) -> None:
        """Adds a key or a value other than a mapping or list."""
        weight = 32
        match value:
            case str():
                weight += len(value)
                # JSON encoders reject a lone surrogate too, but much later.
                if not value.isascii() and _SURROGATE.search(value):
                    self.refuse(mark, "half of a surrogate pair is not a character; write the character itself")
            case int() if not -(2**63) <= value < 2**64:
                self.refuse(mark, "this number does not fit into 64 bits; put it in quotes to make it a string")
            case float() if not math.isfinite(value):
                self.refuse(mark, "this number is not finite, and JSON cannot represent it; put it in quotes")
        self._weigh(weight, mark)
        self._add(_Item(value, {}, weight, 0), mark, anchor)

    def alias(self, anchor: str, mark: Mark) -> None:
        """Adds the value at an anchor again."""
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            self.fail(mark, f"more than {MAX_ALIASES} aliases")
        if anchor not in self._anchors:
            if any(frame.anchor == anchor for frame in self._frames):
                self.fail(mark, f"the alias '*{anchor}' is inside the value it repeats")
            self.fail(mark, hinted(f"the alias '*{anchor}' has no anchor above", anchor, list(self._anchors)))
        item = self._anchors[anchor]
        self._check_depth(item.height, mark)
        self._weigh(item.weight, mark)
        self._add(item, mark, None)

    def refuse(self, mark: Mark, message: str) -> None:
        """Records a problem and continues, so that one pass reports as much as possible."""
        self._problems.append(Problem(self._shown, *mark, message))
        if len(self._problems) >= MAX_PROBLEMS:
            raise ScenarioError(self._problems)

    def fail(self, mark: Mark, message: str) -> NoReturn:
        """Stops at a problem that makes further checks pointless; the mark (0, 0) means no position."""
        raise ScenarioError([*self._problems, Problem(self._shown, *mark, message)]) from None

    def wants_key(self) -> bool:
        """Whether the next piece is the key of a mapping."""
        return bool(self._frames) and self._frames[-1].key is None and isinstance(self._frames[-1].value, dict)

    def _check_depth(self, height: int, mark: Mark) -> None:
        if len(self._frames) + height > MAX_DEPTH:
            self.fail(mark, f"this is nested more than {MAX_DEPTH} levels deep")

    def _weigh(self, weight: int, mark: Mark) -> None:
        self._weight += weight
        if self._weight > MAX_EXPANDED:
            self.fail(mark, f"the document exceeds {MAX_EXPANDED >> 20} MiB once its aliases are expanded")

    def _add(self, item: _Item, mark: Mark, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = item
        if not self._frames:
            self._root, self._root_mark = item, mark
            return
        frame = self._frames[-1]
        if item.height >= frame.height:
            frame.height = item.height + 1
        if isinstance(frame.value, list):
            frame.inside[len(frame.value)] = _Place(mark, item.inside)
            frame.value.append(item.value)
        elif frame.key is None:
            frame.key, frame.key_mark = self._key(item.value, frame, mark), mark
        else:
            frame.value[frame.key] = item.value
            frame.inside[frame.key] = _Place(frame.key_mark, item.inside)
            frame.key = None

    def _key(self, key: Any, frame: _Frame, mark: Mark) -> str:
        if not isinstance(key, str):
            self.refuse(mark, f"{self._within()}the key {quote(key)} is not a string; put it in quotes")
        elif key in frame.value:
            line = frame.inside[key].mark[0]
            self.refuse(mark, f"{spell([*self._outer(), key])} is given twice, first on line {line}")
        return key if isinstance(key, str) else quote(key)

    def _outer(self) -> KeyPath:
        return tuple(len(f.value) if isinstance(f.value, list) else str(f.key) for f in self._frames[:-1])

    def _within(self) -> str:
        return f"{spell(self._outer())}: " if len(self._frames) > 1 else ""
