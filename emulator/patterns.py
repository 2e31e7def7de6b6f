"""Python's regular expressions, searched in linear time.

Python parses each pattern; it is then rewritten for RE2 with Python's semantics (Unicode classes, `$` before a final
line end) and searched there, so no pattern and no text make it slow. Patterns that RE2 can't express (lookaround,
backreferences, atomic groups) are searched by the `regex` package, with a time limit.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache, lru_cache
from importlib import import_module
from typing import Any
from warnings import catch_warnings

from emulator.clock import work_time

codes: Any = import_module("re._constants")
"""The names of the nodes in a parsed pattern."""

MAX_SEARCHED = 65536
"""The most characters of a text that are searched."""
TIME_FOR_SEARCH = 0.005
TIME_FOR_REQUEST = 0.015
"""The most seconds of computing that searches without RE2 may take, each and together."""
MAX_REPEAT = 1000
"""RE2's limit."""
MAX_SIZE = 100_000
"""The most parts of a pattern, each as often as it must occur, that are compiled without RE2: 40 MB."""
ENCODED = "utf-8"


_IN_SETS = re.compile(r"\[\^?\[|\[[^\]]*\[|--|&&|~~|\|\|")


class NotLinear(Exception):
    """RE2 can't express this; the message names the reason."""


def parsed(source: str) -> Any:
    """The parse tree of a pattern. Raises re.error, OverflowError or RecursionError."""
    with _quiet(source):
        return import_module("re._parser").parse(source)


def _quiet(source: str) -> AbstractContextManager[object]:
    """Suppresses Python's warning about signs in a set of characters that may get a meaning one day, such as `[[`."""
    return catch_warnings(action="ignore", category=FutureWarning) if _IN_SETS.search(source) else nullcontext()


class _Allowance(threading.local):
    left = TIME_FOR_REQUEST


_allowance = _Allowance()


def allow() -> None:
    """Sets the time limit for this thread's searches for one request."""
    _allowance.left = TIME_FOR_REQUEST


class Pattern:
    """A compiled pattern."""

    def __init__(self, source: str, *, is_whole: bool = False) -> None:
        """Finds `source` anywhere, or as the whole text. Raises re.error for an invalid pattern."""
        self.source = source
        self._is_whole = is_whole
        self.limit: str | None = None
        """Why it can't be searched in linear time, or None."""
        tree = parsed(source)
        self.group_count: int = tree.state.groups - 1
        self._names: dict[str, int] = tree.state.groupdict
        self._slow: Any = None
        self._linear: Any = None
        try:
            self._dialect = _Dialect(tree, is_whole=is_whole)
            self._linear = _re2(self._dialect.written, captures=False)
        except (NotLinear, RecursionError) as error:
            self.limit = str(error) or "deep nesting"
            if _size(tree) > MAX_SIZE:
                raise re.error(f"its repetitions add up to more than {MAX_SIZE} characters") from None
            _slow_pattern(source)

    def is_in(self, text: str) -> bool:
        """Whether the first `MAX_SEARCHED` characters of a text contain it."""
        text = text[:MAX_SEARCHED]
        encoded = self._encoded(text)
        if encoded is not None:
            return self._linear.search(encoded) is not None
        return self._may_be_in(text) and self._found_slowly(text) is not None

    def groups_in(self, text: str) -> dict[str, str | None] | None:
        """The groups by number and by name; None if it is not found."""
        text = text[:MAX_SEARCHED]
        groups: list[str | None] | None = None
        encoded = self._encoded(text)
        if encoded is None or self._dialect.repeats_nothing:
            found = self._found_slowly(text) if encoded is not None or self._may_be_in(text) else None
            groups = None if found is None else list(found.groups())
        if groups is None and encoded is not None:
            groups = self._groups(encoded)
        if groups is None:
            return None
        named = {name: groups[number - 1] for name, number in self._names.items()}
        return {**{str(number): text for number, text in enumerate(groups, 1)}, **named}

    def _groups(self, encoded: bytes) -> list[str | None] | None:
        found = _re2(self._dialect.written, captures=True).search(encoded)
        if found is None:
            return None
        groups = []
        for place, ends in self._dialect.groups:
            group = found.group(place)
            if group is not None and any(found.group(end) is not None for end in ends):
                group = group[:-1]  # the line end before which `$` matched
            groups.append(None if group is None else group.decode())
        return groups

    def _encoded(self, text: str) -> bytes | None:
        """The text for RE2; None if RE2 would read it differently from Python."""
        if self._linear is None:
            return None
        dialect = self._dialect
        if (dialect.has_boundary and not text.isascii()) or (dialect.has_inner_end and text.endswith("\n")):
            return None
        if not text and dialect.has_boundary:
            return None
        try:
            return text.encode(ENCODED)
        except UnicodeEncodeError:  # a lone surrogate
            return None

    def _may_be_in(self, text: str) -> bool:
        """Whether it is found if word boundaries are ignored. Usually it isn't, which settles the matter."""
        if self._linear is None or self._dialect.has_inner_end:
            return True
        try:
            return _re2(self._dialect.loose, captures=False).search(text.encode(ENCODED)) is not None
        except UnicodeEncodeError:
            return True

    def _found_slowly(self, text: str) -> Any:
        if not text:
            with _quiet(self.source):
                return (re.fullmatch if self._is_whole else re.search)(self.source, text)
        if self._slow is None:
            self._slow = _slow_pattern(self.source)
        search = self._slow.fullmatch if self._is_whole else self._slow.search
        seconds = min(TIME_FOR_SEARCH, _allowance.left)
        if seconds <= 0:
            return None
        begin = work_time()
        try:
            return search(text, timeout=seconds)
        except TimeoutError:
            return None
        finally:
            _allowance.left -= work_time() - begin


@lru_cache(4096)
def compiled(source: str, *, is_whole: bool = False) -> Pattern:
    """The compiled pattern, cached. Raises re.error."""
    return Pattern(source, is_whole=is_whole)


def _size(tree: Any) -> int:
    """The number of parts of a pattern, each as often as it must occur."""
    total = 0
    for code, value in tree:
        times = int(value[0]) if str(code).endswith("_REPEAT") else 1
        total += max(1, times) * (sum(map(_size, _inside(value, type(tree)))) or 1)
    return total


def _inside(value: Any, kind: type) -> Iterator[Any]:
    """Yields the parts of a node that are patterns themselves."""
    if isinstance(value, kind):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _inside(each, kind)


def _slow_pattern(source: str) -> Any:
    import regex

    try:
        return regex.compile(source, regex.VERSION0)
    except (regex.error, ValueError, RecursionError) as error:
        raise re.error(str(error) or "nested too deeply") from None


@lru_cache(4096)
def _re2(written: str, *, captures: bool) -> Any:
    import re2

    options = re2.Options()
    options.never_capture = not captures
    options.log_errors = False
    try:
        return re2.compile(written.encode(), options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        raise NotLinear(_text(reason) or "its size") from None


def _text(reason: Any) -> str:
    return reason.decode() if isinstance(reason, bytes) else str(reason)


# Python's tree in RE2's syntax


_UNSAYABLE = {
    "ASSERT": "a lookahead or lookbehind",
    "ASSERT_NOT": "a negative lookahead or lookbehind",
    "GROUPREF": "a backreference",
    "GROUPREF_EXISTS": "a condition on a group",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repetition",
}
_CLASSES = {"DIGIT": r"\p{Nd}", "WORD": r"\p{L}\p{N}_", "SPACE": r"\t-\r\x1c- \x{85}\x{a0}\p{Zs}\x{2028}\x{2029}"}
_ASCII_CLASSES = {"DIGIT": "0-9", "WORD": "0-9A-Za-z_", "SPACE": r"\t-\r "}
_BESIDE_I = r"iI\x{130}\x{131}"
"""Everything that Python treats as the letter i when it ignores case; RE2 doesn't know the dotted ones."""
_NOTHING = r"[^\x00-\x{10ffff}]"


class _Dialect:
    """A pattern in RE2's syntax: `written` with word boundaries, `loose` without."""

    def __init__(self, tree: Any, *, is_whole: bool) -> None:
        self.has_boundary = False
        self.has_inner_end = False
        self.repeats_nothing = False
        """Whether a repeated part may be empty: engines differ on which repetition a group comes from."""
        self._places: dict[int, int] = {}
        self._ends: dict[int, list[int]] = {}
        self._open: list[int] = []
        self._count = 0
        self._keeps_boundaries = True
        self._is_whole = is_whole
        self.written = self._whole(tree)
        self.groups = [(self._places[number], tuple(self._ends[number])) for number in sorted(self._places)]
        self.loose = self.written
        if self.has_boundary:
            self._keeps_boundaries = False
            self.loose = self._whole(tree)

    def _whole(self, tree: Any) -> str:
        written = self._sequence(tree, tree.state.flags, is_last=not self._is_whole)
        return rf"\A(?:{written})\z" if self._is_whole else written

    def _sequence(self, nodes: Any, flags: int, *, is_last: bool) -> str:
        last = len(nodes) - 1
        return "".join(
            self._node(code, value, flags, is_last and place == last) for place, (code, value) in enumerate(nodes)
        )

    def _node(self, code: Any, value: Any, flags: int, is_last: bool) -> str:
        name = str(code)
        if name in _UNSAYABLE:
            raise NotLinear(_UNSAYABLE[name])
        match name:
            case "LITERAL":
                return _one_of(((code, value),), flags)
            case "NOT_LITERAL":
                return _one_of(((codes.NEGATE, None), (codes.LITERAL, value)), flags)
            case "ANY":
                return "(?s:.)" if flags & re.DOTALL else r"[^\n]"
            case "IN":
                return _one_of(value, flags)
            case "FAILURE":  # pragma: no cover - only newer versions of Python have this node
                return _NOTHING
            case "AT":
                return self._place(str(value), flags, is_last)
            case "BRANCH":
                return f"(?:{'|'.join(self._sequence(branch, flags, is_last=is_last) for branch in value[1])})"
            case "MAX_REPEAT" | "MIN_REPEAT":
                return self._repeat(value, flags, is_last, "" if name == "MAX_REPEAT" else "?")
            case "SUBPATTERN":
                return self._group(value, flags, is_last)
        raise NotLinear(name.lower().replace("_", " "))  # pragma: no cover - no version of Python has others yet

    def _group(self, value: Any, flags: int, is_last: bool) -> str:
        number, added, removed, inner = value
        flags = (flags | added) & ~removed
        if added & re.ASCII:
            flags &= ~re.UNICODE
        if number is None:
            return f"(?:{self._sequence(inner, flags, is_last=is_last)})"
        self._count += 1
        self._places[number], self._ends[number] = self._count, []
        self._open.append(number)
        written = self._sequence(inner, flags, is_last=is_last)
        self._open.pop()
        return f"({written})"

    def _repeat(self, value: Any, flags: int, is_last: bool, lazy: str) -> str:
        low, high, inner = value
        has_end = high is codes.MAXREPEAT
        if int(low) > 1 or has_end or int(high) > 1:
            self.repeats_nothing = self.repeats_nothing or inner.getwidth()[0] == 0
        written = self._sequence(inner, flags, is_last=is_last and not has_end and int(high) <= 1)
        if int(low) > MAX_REPEAT or (not has_end and int(high) > MAX_REPEAT):
            raise NotLinear(f"more than {MAX_REPEAT} repetitions")
        return f"(?:{written}){{{int(low)},{'' if has_end else int(high)}}}{lazy}"

    def _place(self, name: str, flags: int, is_last: bool) -> str:
        if "BOUNDARY" in name:
            if flags & re.ASCII and name == "AT_BOUNDARY":
                return r"\b"
            self.has_boundary = True
            if not self._keeps_boundaries:
                return ""
            return r"\b" if name == "AT_BOUNDARY" else r"\B"
        if name == "AT_BEGINNING":
            return "(?m:^)" if flags & re.MULTILINE else r"\A"
        if name == "AT_BEGINNING_STRING":
            return r"\A"
        if name == "AT_END" and flags & re.MULTILINE:
            return "(?m:$)"
        if name == "AT_END" and is_last:  # also matches the final line end, which is removed from groups afterwards
            self._count += 1
            for number in self._open:
                self._ends[number].append(self._count)
            return r"(\n)?\z"
        if name == "AT_END":
            self.has_inner_end = True
        return r"\z"


def _one_of(items: Iterable[Any], flags: int) -> str:
    """A class in brackets; a single character is one too."""
    is_ascii, ignores_case = bool(flags & re.ASCII), bool(flags & re.IGNORECASE)
    parts = list(items)
    is_negated = bool(parts) and parts[0][0] is codes.NEGATE
    members = "".join(_members(parts[1:] if is_negated else parts, is_ascii, ignores_case))
    if not members:  # it contains only lone surrogates
        return r"(?s:.)" if is_negated else _NOTHING
    folds = ignores_case and not is_ascii and any(code is not codes.CATEGORY for code, _ in parts[is_negated:])
    return f"{'(?i:' if folds else ''}[{'^' if is_negated else ''}{members}]{')' if folds else ''}"


def _members(items: list[Any], is_ascii: bool, ignores_case: bool) -> Iterator[str]:
    for code, value in items:
        if code is codes.CATEGORY:
            kind, is_not = str(value).rpartition("_")[2], "_NOT_" in str(value)
            if is_not:
                yield _others(kind, is_ascii)
            else:
                yield (_ASCII_CLASSES if is_ascii else _CLASSES)[kind]
            continue
        low, high = (value, value) if code is codes.LITERAL else value
        yield from _range(low, high)
        if ignores_case and is_ascii:
            for first, last, shift in ((97, 122, -32), (65, 90, 32)):
                if low <= last and high >= first:
                    yield from _range(max(low, first) + shift, min(high, last) + shift)
        elif ignores_case and any(low <= letter <= high for letter in (0x49, 0x69, 0x130, 0x131)):
            yield _BESIDE_I


def _range(low: int, high: int) -> Iterator[str]:
    """A range without surrogates, which no encoded text contains."""
    for first, last in ((low, min(high, 0xD7FF)), (max(low, 0xE000), high)):
        if first <= last:
            yield rf"\x{{{first:x}}}" if first == last else rf"\x{{{first:x}}}-\x{{{last:x}}}"


@cache
def _others(kind: str, is_ascii: bool) -> str:
    """Every character that is not in a class."""
    tests: dict[str, Callable[[str], bool]] = {
        "DIGIT": str.isdecimal,
        "SPACE": str.isspace,
        "WORD": lambda char: char.isalnum() or char == "_",
    }
    written: list[str] = []
    start = 0
    for code in range(0x110001):
        if code == 0x110000 or (tests[kind](chr(code)) and (code < 128 or not is_ascii)):
            written += _range(start, code - 1) if start < code else ()
            start = code + 1
    return "".join(written)
