"""Large bodies, off the event loop: parsed, validated and freed in slices, so that no stream waits for one.

A thread alone is not enough. A call into C holds the GIL until it returns, and half a million messages take three such
calls of a tenth of a second or more: parsing the JSON, collecting garbage, and freeing the objects. So JSON is parsed
in slices, lists are validated in slices, the objects are hidden from the garbage collector with `gc.freeze`, and the
thread frees them once nothing refers to them. While the thread works, the GIL changes hands ten times as often.
"""

import gc
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from emulator.offload import Pool, yielding_often

Result = TypeVar("Result")

LARGE = 1 << 16
"""Bytes. Shorter bodies take a few milliseconds at most, and are parsed on the event loop."""
_ITEMS = 512
_NEVER = 1 << 30


async def elsewhere(work: Callable[..., Result], *arguments: object) -> Result:
    """Runs work on the thread for large bodies, one piece at a time. Work for a client that has left is not started."""
    return await _POOL.run(work, *arguments)


class _Quiet:
    """While the thread works: no full garbage collections, and the GIL changes hands often."""

    def __enter__(self) -> None:
        self._yielding = yielding_often()
        self._yielding.__enter__()
        self._thresholds = gc.get_threshold()
        gc.set_threshold(*self._thresholds[:2], _NEVER)

    def __exit__(self, *raised: object) -> None:
        gc.set_threshold(*self._thresholds)
        self._yielding.__exit__(None, None, None)


_POOL = Pool("large bodies", 1, _Quiet)


# The objects of a large body, and how they are freed

_alive = 0


class _Kept:
    """A large object. The garbage collector does not examine it, and the thread frees it."""

    def __init__(self) -> None:
        global _alive
        _alive += 1
        gc.freeze()


class LargeDict(dict[str, Any], _Kept):
    """The native body."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        dict.__init__(self, values)
        _Kept.__init__(self)

    def __del__(self) -> None:
        _POOL.put(partial(_dismantle, [*self.values()]))


class LargeTuple(tuple[Any, ...], _Kept):
    """The messages."""

    def __new__(cls, values: Iterable[Any]) -> "LargeTuple":
        made = tuple.__new__(cls, values)
        _Kept.__init__(made)
        return made

    def __init__(self, values: Iterable[Any]) -> None:
        pass

    def __del__(self) -> None:
        _POOL.put(partial(_dismantle, [[*self]]))


def _dismantle(values: list[Any]) -> None:
    global _alive
    free(values)
    _alive -= 1
    if not _alive:
        gc.unfreeze()


def free(values: Any) -> None:
    """Empties a list, and the large lists in it that nothing else refers to, one slice at a time. Ignores other
    values."""
    stack = [values] if isinstance(values, list) else []
    del values
    while stack:
        holder = stack.pop()
        while holder:
            part = holder[-_ITEMS:]
            del holder[-_ITEMS:]
            while part:
                item = part.pop()
                # This frame has two references: the name, and the argument of getrefcount.
                if type(item) is list and len(item) > 1 and sys.getrefcount(item) == 2:
                    stack.append(item)
                elif type(item) is dict and len(item) > 1 and sys.getrefcount(item) == 2:
                    stack.append([*item.values()])
        del holder


# Validation


def in_slices(values: Any, check: Callable[[Any], Any]) -> Any:
    """Validates a list in a body with pydantic's `check`, one slice at a time if it is long."""
    if not isinstance(values, list) or len(values) <= _ITEMS:
        return check(values)
    checked: list[Any] = []
    for start in range(0, len(values), _ITEMS):
        try:
            checked += check(values[start : start + _ITEMS])
        except ValidationError as error:
            raise _moved(error, start) from None
    return checked


def _moved(error: ValidationError, start: int) -> ValidationError:
    details = [
        InitErrorDetails(
            type=each["type"],
            loc=(int(each["loc"][0]) + start, *each["loc"][1:]),
            input=each["input"],
            ctx=each.get("ctx", {}),
        )
        for each in error.errors(include_url=False)
    ]
    return ValidationError.from_exception_data(error.title, details)


# Parsing

_SLICE = 1 << 15
_DEEPEST = 1024
"""The maximum depth of orjson."""
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{},]', re.DOTALL)
_SCALAR = re.compile(rb'[^ \t\r\n,\[\]{}":]+')
_BLANK = re.compile(rb"[ \t\r\n]*")


def loads(data: bytes) -> Any:
    """Returns and raises the same as `orjson.loads`, without holding the GIL for long."""
    if len(data) <= LARGE:
        return orjson.loads(data)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return orjson.loads(data)  # which checks this first
    reader = _Reader(data)
    try:
        return reader.read()
    except _Lost:
        return reader.read_at_once(text)


class _Lost(Exception):
    """This is not JSON, or can't be parsed in slices."""


class _Reader:
    """Parses containers larger than a slice member by member, and whatever fits into a slice with orjson.

    `at` is always at the beginning of a member or right after one. So if orjson accepts the text up to a comma between
    brackets, that text consists of whole members, even if the comma is inside one of them.
    """

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        self.open: list[Any] = []
        self.is_fresh = True
        """Whether nothing of the innermost container has been parsed yet."""
        self.is_after = False
        """Whether `at` is right after a member."""

    def read(self) -> Any:
        root = self._enter(_blank(self.data, 0))
        if root is None:
            raise _Lost
        while self.open:
            if self.is_after:
                self._go_on()
            else:
                self._members()
        if _blank(self.data, self.at) != len(self.data):
            raise _Lost
        return root

    def _enter(self, at: int) -> Any:
        """Enters a container, and returns it; None if there is none."""
        opening = self.data[at : at + 1]
        if opening not in (b"{", b"["):
            return None
        container: Any = {} if opening == b"{" else []
        self.open.append(container)
        self.at, self.is_fresh, self.is_after = at + 1, True, False
        return container

    def _go_on(self) -> None:
        """Moves past the comma or bracket after a member."""
        at = _blank(self.data, self.at)
        following = self.data[at : at + 1]
        if following == b",":
            self.is_after = self.is_fresh = False
        elif following == self._closing():
            self.open.pop()
        else:
            raise _Lost
        self.at = at + 1

    def _closing(self) -> bytes:
        return b"}" if type(self.open[-1]) is dict else b"]"

    def _members(self) -> None:
        """Parses as many whole members as a slice holds, or the beginning of a larger one."""
        data, at = self.data, self.at
        if len(self.open) > _DEEPEST:
            raise _Lost
        guess = data.rfind(b"},", at, at + self._slice()) + 1
        if guess and self._take(guess):
            return
        comma, end = self._survey()
        if end is not None:
            is_empty = self.is_fresh and _blank(data, at) == end
            if data[end : end + 1] != self._closing() if is_empty else not self._take(end):
                raise _Lost
            self.at, self.is_after = end, True
        elif comma is not None:
            if not self._take(comma):
                raise _Lost
        else:
            self._begin()

    def _slice(self) -> int:
        """The number of bytes to examine at once: fewer at depth, since every level examines them again."""
        return _SLICE if len(self.open) <= 32 else min(_SLICE, 1024)

    def _survey(self) -> tuple[int | None, int | None]:
        """Returns the last comma of the innermost container within a slice, and the end of the container; None if
        absent. Raises _Lost as soon as the text is too deep, whose levels would otherwise be examined one by one.
        """
        depth, comma = 0, None
        for found in _TOKEN.finditer(self.data, self.at, self.at + self._slice()):
            token = found[0]
            if token == b",":
                if not depth:
                    comma = found.start()
            elif token in b"[{":
                depth += 1
                if len(self.open) + depth > _DEEPEST:
                    raise _Lost
            elif token in b"]}":
                if not depth:
                    return comma, found.start()
                depth -= 1
            elif token == b'"':  # a string longer than the slice
                break
        return comma, None

    def _take(self, end: int) -> bool:
        """Parses the members up to `end`. Returns False if they are not valid."""
        part, container = self.data[self.at : end], self.open[-1]
        above = len(self.open) - 1  # so that orjson checks the depth
        both = b"{%b}" if type(container) is dict else b"[%b]"
        try:
            value = orjson.loads(b"[" * above + both % part + b"]" * above)
        except orjson.JSONDecodeError:
            return False
        for _ in range(above):
            if len(value) > 1:  # brackets in the part close and reopen these
                return False
            value = value[0]
        if not value:
            return False
        if type(container) is dict:
            container.update(value)
        else:
            container += value
        self.at, self.is_after = end, True
        return True

    def _begin(self) -> None:
        """Begins a member larger than a slice: enters it, or parses a long string."""
        container, start, key = self.open[-1], self.at, None
        at = _blank(self.data, start)
        try:
            if type(container) is dict:
                end = _text_end(self.data, at)
                key = orjson.loads(self.data[at:end])
                at = _blank(self.data, end)
                if self.data[at : at + 1] != b":":
                    raise _Lost
                at = _blank(self.data, at + 1)
            value = self._enter(at)
            if value is None:
                end = _scalar_end(self.data, at)
                value = orjson.loads(self.data[at:end])
                self.at, self.is_after = end, True
        except orjson.JSONDecodeError:
            self.at = start
            raise _Lost from None
        if key is not None:
            container[key] = value
        else:
            container.append(value)

    def read_at_once(self, text: str) -> Any:
        """Raises orjson's error for the whole body, found by parsing from where the slices ended."""
        opening = b"".join(b'{"":' if type(each) is dict else b"[" for each in self.open)
        if self.open and not self.is_after:
            opening = opening[:-3] if type(self.open[-1]) is dict else opening
        if self.open and (self.is_after or not self.is_fresh):
            inner = b'"":0' if type(self.open[-1]) is dict and not self.is_after else b"0"
            opening += inner + (b"" if self.is_after else b",")
        if not self.open:
            opening = b"0" if self.at else b""
        try:
            orjson.loads(opening + self.data[self.at :])
        except orjson.JSONDecodeError as error:
            before = len(self.data[: self.at].decode())
            if error.pos >= len(opening):
                raise orjson.JSONDecodeError(error.msg, text, error.pos - len(opening) + before) from None
        return orjson.loads(self.data)


def _blank(data: bytes, at: int) -> int:
    """Returns the end of the whitespace that begins at `at`."""
    found = _BLANK.match(data, at)
    return found.end() if found else at


def _scalar_end(data: bytes, at: int) -> int:
    """Returns the end of the string, number or word that begins at `at`."""
    found = _SCALAR.match(data, at)
    return found.end() if found else _text_end(data, at)


def _text_end(data: bytes, at: int) -> int:
    """Returns the end of the string that begins at `at`."""
    if data[at : at + 1] != b'"':
        raise _Lost
    quote = data.find(b'"', at + 1)
    while quote >= 0:
        first = quote
        while data[first - 1] == 0x5C:
            first -= 1
        if (quote - first) % 2 == 0:
            return quote + 1
        quote = data.find(b'"', quote + 1)
    raise _Lost
