"""Finds the positions of values in a body, and why a body is not JSON, as serde_json (DeepSeek's parser) reports it.

A position has the form `line L column C`. Columns count bytes, starting at 1, up to the last byte consumed. So an error
about a value points to its last byte, one about a list or a map to the byte before it, and one about a missing field to
the brace that closes the map. Captured errors for bodies of several lines agree (eclipse-theia/theia#15144,
cline/cline#230); it is inferred that all others do.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import field
from math import isinf

import orjson

from emulator.records import record, struct

Path = tuple[str | int, ...]
"""Keys and indexes from the top: `("messages", 0, "role")`."""

MAX_VALUES = 200_000
"""The search ends after this many values, about a quarter of a second."""
MAX_DEPTH = 127
"""The maximum depth of serde_json."""

_SPACE = re.compile(rb"[ \t\n\r]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_DIGITS = re.compile(rb"[0-9]*")
_HEX = re.compile(rb"[0-9A-Fa-f]{4}")
_WORDS = {b"n": b"null", b"t": b"true", b"f": b"false"}


@record
class Span:
    """The bytes of a value, from `start` up to but not including `end`."""

    start: int
    end: int


class Malformed(Exception):
    """The body is not JSON. `path` is the parser's position; its last item is None where a key is missing."""

    def __init__(self, reason: str, path: tuple[str | int | None, ...], index: int) -> None:
        self.reason = reason
        self.path = path
        self.index = index
        super().__init__(reason)


def spans(data: bytes, wanted: Collection[Path]) -> Mapping[Path, Span]:
    """Returns the spans of the values at the `wanted` paths, as far as they are found. Raises Malformed."""
    reader = _Reader(data, frozenset(wanted))
    try:
        reader.value(MAX_DEPTH)
        reader.end()
    except _Enough:
        pass
    return reader.found


def after_item(data: bytes, end: int) -> int:
    """Returns the parser's position after an item of a list: past its comma and the whitespace after it, or past the
    end of the list. serde reports errors there for items that it buffers.
    """
    index = _after_space(data, end)
    if data[index : index + 1] == b",":
        return _after_space(data, index + 1)
    return index + 1 if data[index : index + 1] == b"]" else index


def position(data: bytes, index: int) -> str:
    """Formats the position of a parser that has consumed `index` bytes, such as `line 1 column 5`."""
    line_start = data.rfind(b"\n", 0, index) + 1
    line = data.count(b"\n", 0, line_start) + 1
    return f"line {line} column {index - line_start}"


def _after_space(data: bytes, index: int) -> int:
    found = _SPACE.match(data, index)
    assert found is not None
    return found.end()


class _Enough(Exception):
    """There are more than MAX_VALUES values."""


@struct
class _Reader:
    """Parses as serde_json does, and fails at the same byte with the same message."""

    data: bytes
    wanted: frozenset[Path]
    found: dict[Path, Span] = field(default_factory=dict)
    index: int = 0
    path: list[str | int | None] = field(default_factory=list)
    left: int = MAX_VALUES

    def peek(self) -> bytes:
        """Returns the next byte; empty at the end."""
        return self.data[self.index : self.index + 1]

    def peek_past_space(self) -> bytes:
        self.index = _after_space(self.data, self.index)
        return self.peek()

    def taken(self, reason: str) -> Malformed:
        """Returns an error about what was just consumed."""
        return Malformed(reason, tuple(self.path), self.index)

    def next(self, reason: str) -> Malformed:
        """Returns an error about the next byte, which counts as consumed if there is one."""
        return Malformed(reason, tuple(self.path), min(len(self.data), self.index + 1))

    def value(self, depth: int) -> None:
        self.left -= 1
        if not self.left:
            raise _Enough
        first = self.peek_past_space()
        start = self.index
        if first == b'"':
            self.index += 1
            self.string()
        elif first == b"{" or first == b"[":
            if not depth:
                raise self.next("recursion limit exceeded")
            self.index += 1
            if first == b"{":
                self.members(depth - 1)
            else:
                self.items(depth - 1)
        elif first in _WORDS:
            self.word(_WORDS[first])
        elif first and first in b"-0123456789":
            self.number()
        else:
            raise self.next("expected value" if first else "EOF while parsing a value")
        path = tuple(self.path)
        if path in self.wanted:
            self.found[path] = Span(start, self.index)  # type: ignore[index]  # None stands in complaints only

    def members(self, depth: int) -> None:
        is_first = True
        self.path.append(None)
        while (byte := self.peek_past_space()) != b"}":
            if not byte:
                raise self.next("EOF while parsing an object")
            if not is_first:
                if byte != b",":
                    raise self.next("expected `,` or `}`")
                self.index += 1
                byte = self.peek_past_space()
                if byte == b"}":
                    raise self.next("trailing comma")
                if not byte:
                    raise self.next("EOF while parsing a value")
            if byte != b'"':
                raise self.next("key must be a string")
            is_first = False
            self.index += 1
            start = self.index - 1
            self.string()
            self.path[-1] = orjson.loads(self.data[start : self.index])
            colon = self.peek_past_space()
            if colon != b":":
                raise self.next("expected `:`" if colon else "EOF while parsing an object")
            self.index += 1
            self.value(depth)
            self.path[-1] = None
        self.path.pop()
        self.index += 1

    def items(self, depth: int) -> None:
        number = 0
        self.path.append(0)
        while (byte := self.peek_past_space()) != b"]":
            if not byte:
                raise self.next("EOF while parsing a list")
            if number:
                if byte != b",":
                    raise self.next("expected `,` or `]`")
                self.index += 1
                byte = self.peek_past_space()
                if byte == b"]":
                    raise self.next("trailing comma")
                if not byte:
                    raise self.next("EOF while parsing a value")
            self.value(depth)
            number += 1
            self.path[-1] = number
        self.path.pop()
        self.index += 1

    def end(self) -> None:
        if self.peek_past_space():
            raise self.next("trailing characters")

    def word(self, word: bytes) -> None:
        for expected in word[1:]:
            self.index += 1
            if not self.peek():
                raise self.taken("EOF while parsing a value")
            if self.data[self.index] != expected:
                self.index += 1
                raise self.taken("expected ident")
        self.index += 1

    def number(self) -> None:
        start = self.index
        if self.peek() == b"-":
            self.index += 1
        first = self.peek()
        if not first:
            raise self.taken("EOF while parsing a value")
        self.index += 1
        if first not in b"0123456789":
            raise self.taken("invalid number")
        if first != b"0":
            self.digits()
        elif self.peek().isdigit():
            raise self.next("invalid number")
        if self.peek() == b".":
            self.index += 1
            if not self.digits():
                raise self.next("invalid number" if self.peek() else "EOF while parsing a value")
        if self.peek() in (b"e", b"E"):
            self.index += 1
            if self.peek() in (b"+", b"-"):
                self.index += 1
            if not self.digits():
                if not self.peek():
                    raise self.taken("EOF while parsing a value")
                self.index += 1
                raise self.taken("invalid number")
        if isinf(float(self.data[start : self.index])):
            raise self.taken("number out of range")

    def digits(self) -> bool:
        """Consumes digits. Returns whether there were any."""
        found = _DIGITS.match(self.data, self.index)
        assert found is not None
        self.index = found.end()
        return bool(found[0])

    def string(self) -> None:
        """Consumes a string after its opening quote."""
        start = self.index
        while True:
            plain = _PLAIN.match(self.data, self.index)
            assert plain is not None
            self.index = plain.end()
            byte = self.peek()
            if not byte:
                raise self.taken("EOF while parsing a string")
            self.index += 1
            if byte == b'"':
                break
            if byte != b"\\":
                raise self.taken("control character (\\u0000-\\u001F) found while parsing a string")
            self.escape()
        try:
            self.data[start : self.index].decode()
        except UnicodeDecodeError:
            raise self.taken("invalid unicode code point") from None

    def escape(self) -> None:
        byte = self.peek()
        if not byte:
            raise self.taken("EOF while parsing a string")
        self.index += 1
        if byte != b"u":
            if byte not in b'"\\/bfnrt':
                raise self.taken("invalid escape")
            return
        unit = self.hexadecimal()
        if 0xDC00 <= unit <= 0xDFFF:
            raise self.taken("lone leading surrogate in hex escape")
        if not 0xD800 <= unit <= 0xDBFF:
            return
        for wanted in (b"\\", b"u"):
            byte = self.peek()
            if not byte:
                raise self.taken("EOF while parsing a string")
            self.index += 1
            if byte != wanted:
                raise self.taken("unexpected end of hex escape")
        if not 0xDC00 <= self.hexadecimal() <= 0xDFFF:
            raise self.taken("lone leading surrogate in hex escape")

    def hexadecimal(self) -> int:
        if len(self.data) - self.index < 4:
            self.index = len(self.data)
            raise self.taken("EOF while parsing a string")
        found = _HEX.match(self.data, self.index)
        self.index += 4
        if found is None:
            raise self.taken("invalid escape")
        return int(found[0], 16)
