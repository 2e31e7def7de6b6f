"""Templates in reply texts: `{{ request.model }}`, sandboxed and bounded.

minijinja renders them: they can't reach Python, and its fuel, which counts steps and the text they produce, stops a
template that doesn't end within milliseconds. Fuel doesn't count nested lists, and a few words can build billions of
items that a single `==` walks through. So a template is proven small (`Cost`) before it is rendered. Its output is
counted, and filters that could build large values from small ones are replaced.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from emulator.errors import EmulatorError, did_you_mean
from emulator.late import late
from emulator.records import record

FUEL = 200_000
"""The most steps of a template; 64 bytes of text count as one. A long reply takes a few thousand."""
LESS_FUEL = 20_000
"""The most steps of a template whose steps are expensive: long texts in its loops or its input."""
CHARACTERS_FOR_STEP = 4
"""One extra step per this many characters of input, so that a template can process it several times."""
MAX_LENGTH = 2**20
"""The most characters that a template, or one filter, may produce."""
MAX_SIZE = 2**27
"""The most characters of all values in a template together, by a high estimate."""
MAX_RANGE = 10_000
MAX_REPEATED = 20_000
"""The most characters of plain text in loops."""
MAX_TAG = 1000
"""The most tokens between braces: minijinja's recursion isn't bounded everywhere."""
MAX_STATEMENTS = 1000
MAX_FAKES = 2000
MAX_FAKE = 10_000

NAMES = ("request", "turn", "attempt", "state", "groups", "now", "timestamp", "fake")
"""What a template can refer to; `generation.compose.context` gives the values."""


class TemplateError(EmulatorError):
    """A template can't be parsed or rendered; the message says why, and on which line."""


def is_template(text: str) -> bool:
    """Whether a text contains a template."""
    return "{{" in text or "{%" in text or "{#" in text


def check(text: str) -> None:
    """Raises TemplateError if a text isn't a valid template or refers to an unknown name."""
    if not is_template(text):
        return
    cost(text)
    with _concise():
        named = _environment(FUEL).undeclared_variables_in_str(text)
    for name in sorted(named):
        if name not in (*NAMES, "range"):
            hint = did_you_mean(name, NAMES)
            raise TemplateError(f"there is no '{name}' in templates.{hint} Names: {', '.join(NAMES)}")


def render(text: str, context: Mapping[str, Any]) -> str:
    """The rendered text. Raises TemplateError, and never returns half an answer."""
    if not is_template(text):
        return text
    price = cost(text)
    given = size(context)
    unit = max(given, len(text), MAX_RANGE if price.has_range else 0)
    if price.growth * unit > MAX_SIZE:
        raise TemplateError(f"this could produce more than {MAX_SIZE} characters: it repeats its input too often")
    with _concise():
        rendered: str = _environment(_fuel(price, given)).render_str(
            text, **{name: view(value) for name, value in context.items()}
        )
        for value in context.values():
            if isinstance(value, Faked) and value.error is not None:
                raise value.error
    return rendered if len(rendered) <= MAX_LENGTH else _too_long("the text")


def _fuel(price: "Cost", given: int) -> int:
    """Rounded to a few sizes, because each has its own environment."""
    if price.repeated <= 1000 and given <= 100_000:
        return FUEL
    return 1 << (LESS_FUEL + given // CHARACTERS_FOR_STEP).bit_length()


def is_quick(text: str) -> bool:
    """Whether a template takes less than about a millisecond: it has no loops and no `fake`."""
    return "fake" not in text and "for" not in text and len(text) <= 10_000


class _concise:
    """Turns minijinja's long message into one sentence."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, TemplateError):
            return
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        sentence, _, place = first.removeprefix("undefined value: ").partition(" (in <string>:")
        line = place.rstrip(")")
        raise TemplateError(f"{sentence} (line {line} of the text)" if line else sentence) from None


@cache
def _environment(fuel: int) -> Any:
    import minijinja

    environment = minijinja.Environment()
    environment.fuel = fuel
    environment.undefined_behavior = "strict"
    environment.auto_escape_callback = lambda name: False
    environment.keep_trailing_newline = True
    environment.pycompat = False  # 'a'.replace(…) could produce texts of any length
    environment.finalizer = minijinja.pass_state(_counted)
    for name in ("cycler", "debug", "dict", "joiner", "namespace"):
        environment.remove_global(name)
    environment.add_global("range", _range)
    for name in ("attr", "batch", "format", "pprint", "slice", "wordwrap"):
        environment.remove_filter(name)
    for name, function in _FILTERS.items():
        environment.add_filter(name, function)
    return environment


def _counted(state: Any, value: Any) -> Any:
    """Called with everything that a template outputs. Null, and a condition without `else`, output nothing."""
    if value is None:
        return ""
    if isinstance(value, Faked):
        raise TemplateError("fake needs a method: fake.name, fake.city, fake.sentence …")
    written = state.get_temp("written", 0) + (len(value) if isinstance(value, str) else size(value))
    if written > MAX_LENGTH:
        _too_long("the text")
    state.set_temp("written", written)
    return value


def _too_long(what: str) -> Any:
    raise TemplateError(f"{what} is longer than {MAX_LENGTH} characters")


def _range(start: int, stop: int | None = None, step: int = 1) -> list[int]:
    numbers = range(start) if stop is None else range(start, stop, step)
    if len(numbers) > MAX_RANGE:
        raise TemplateError(f"range has more than {MAX_RANGE} numbers")
    return list(numbers)


# The request in templates: read-only, without other access


class ReadOnlyMapping(Mapping[str, Any]):
    __slots__ = ("_of",)

    def __init__(self, of: Mapping[str, Any]) -> None:
        self._of = of

    def __getitem__(self, key: str) -> Any:
        return view(self._of[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)

    def __repr__(self) -> str:
        return repr(self._of)


class ReadOnlyList(Sequence[Any]):
    __slots__ = ("_of",)

    def __init__(self, of: Sequence[Any]) -> None:
        self._of = of

    def __getitem__(self, index: Any) -> Any:
        return view(self._of[index])

    def __len__(self) -> int:
        return len(self._of)

    def __repr__(self) -> str:
        return repr(self._of)


def view(value: Any) -> Any:
    """The same value, read-only."""
    if isinstance(value, dict):
        return ReadOnlyMapping(value)
    return ReadOnlyList(value) if isinstance(value, list | tuple) else value


def size(value: Any) -> int:
    """About how many characters a value's output has, however deeply it is nested."""
    total, left = 0, [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            total += len(each)
        elif isinstance(each, Mapping):
            total += sum(map(len, each)) + 4 * len(each)
            left.extend(each.values())
        elif isinstance(each, list | tuple | ReadOnlyList):
            total += 2 * len(each)
            left.extend(each)
        else:
            total += 8
    return total


class Faked:
    """`fake.name` and `fake.name()` alike; `fake.date(pattern="%Y")` with arguments."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._left = MAX_FAKES
        self.error: Exception | None = None
        """The error, for places that can't raise it."""

    def __getattr__(self, name: str) -> "_Word":
        if name in _BULKY:
            raise TemplateError(f"fake.{name} is not available in templates")
        return _Word(name, getattr(self._source, name), self)

    def _spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise TemplateError(f"fake is used more than {MAX_FAKES} times")


_BULKY = frozenset(
    ["binary", "csv", "dsv", "fixed_width", "image", "json", "json_bytes", "psv", "tar", "tsv", "xml", "zip"]
)
"""Methods that generate files, whose size no other argument bounds."""


class _Word:
    def __init__(self, name: str, make: Callable[..., Any], faked: Faked) -> None:
        self._name = name
        self._make = make
        self._faked = faked

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self._faked._spend()
        for value in (*arguments, *options.values()):
            if self._name not in ("random_int", "pyint") and not _is_small(value):
                raise TemplateError(
                    f"fake.{self._name} accepts numbers up to {MAX_FAKE} and strings of up to that length"
                )
        made = self._make(*arguments, **options)
        return made if size(made) <= MAX_LENGTH else _too_long(f"fake.{self._name}")

    def __str__(self) -> str:
        try:
            return str(self())
        except Exception as error:  # minijinja would continue as if nothing had happened
            self._faked.error = self._faked.error or error
            return ""


def _is_small(value: Any) -> bool:
    return abs(value) <= MAX_FAKE if isinstance(value, int | float) else size(value) <= MAX_FAKE


# Filters


def replace(text: str, old: str, new: str) -> str:
    if len(text) + text.count(old) * len(new) > MAX_LENGTH:
        _too_long("the result of replace")
    return text.replace(old, new)


def join(items: Any, between: str = "", attribute: str | None = None) -> str:
    texts = [str(item if attribute is None else item[attribute]) for item in items]
    if sum(map(len, texts)) + len(texts) * len(between) > MAX_LENGTH:
        _too_long("the result of join")
    return between.join(texts)


def indent(text: str, width: int = 4, first: bool = False, blank: bool = False) -> str:
    if len(text) + (text.count("\n") + 1) * width > MAX_LENGTH:
        _too_long("the result of indent")
    margin = " " * width
    lines = [margin + line if line or blank else line for line in text.split("\n")]
    return "\n".join(lines if first else [lines[0].removeprefix(margin), *lines[1:]])


def string(value: Any) -> str:
    if size(value) > MAX_LENGTH:
        _too_long("the result of string")
    return str(value)


def tojson(value: Any, indent: int | None = None) -> str:
    if indent is not None and indent > 16:
        raise TemplateError("tojson indents by at most 16")
    if size(value) > MAX_LENGTH:
        _too_long("the result of tojson")
    made = json.dumps(value, ensure_ascii=False, indent=indent, default=_plain)
    return made if len(made) <= MAX_LENGTH else _too_long("the result of tojson")


def _plain(value: Any) -> Any:
    return value._of if isinstance(value, ReadOnlyMapping | ReadOnlyList) else str(value)


def date(moment: str, pattern: str) -> str:
    """`{{ now | date("%d.%m.%Y") }}`"""
    return datetime.fromisoformat(moment).strftime(re.sub(r"%\d+", "%", pattern[:200]))  # '%999Y' pads


_FILTERS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (replace, join, indent, string, tojson, date)
}

# The cost of a template, from its text alone


@record
class Cost:
    """`growth`: how many times larger than its input all values of a template can be together."""

    growth: int
    repeated: int
    """Characters of plain text in its loops."""
    has_range: bool


_TAG = re.compile(r"\{\{|\{%|\{#")
_RAW = late(r"\{%[-+]?\s*raw\s*[-+]?%\}")
_END_RAW = late(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_TOKEN = late(
    r"""(?P<blank>\s+) | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*') | (?P<name>[^\W\d]\w*) | (?P<number>\d[\w.]*)
    | (?P<end>[-+]?%\}|-?\}\}) | (?P<sign>\*\*|//|[=!<>]=|.)""",
    re.VERBOSE | re.DOTALL,
)
# fmt: off
_STATEMENTS = ("if", "elif", "else", "endif", "for", "endfor", "break", "continue", "set", "with", "endwith")
_SAME_SIZE = (
    "abs", "bool", "capitalize", "count", "d", "date", "default", "first", "float", "indent", "int", "join", "last",
    "length", "lower", "max", "min", "replace", "round", "string", "sum", "title", "tojson", "trim", "truncate",
    "upper",
)
"""Filters that don't lengthen a text or that limit its length themselves."""
FILTERS = (
    *_SAME_SIZE, "chain", "dictsort", "e", "escape", "filesizeformat", "groupby", "items", "lines", "list", "map",
    "pluralize", "reject", "rejectattr", "reverse", "safe", "select", "selectattr", "sort", "split", "striptags",
    "unique", "urlencode", "zip",
)
"""Everything that may follow `|`."""
# fmt: on
_LISTED = 6
"""How many times longer a text can get when it becomes a list of characters and is output as one."""


@lru_cache(4096)
def cost(text: str) -> Cost:
    """Raises TemplateError for unsupported statements."""
    sizes: dict[str, int] = {}
    total, repeated, loops, statements, start, has_range = 1, 0, 0, 0, 0, False
    for kind, tokens, begin, end in _tags(text):
        if loops:
            repeated += begin - start
        start = end
        words = [value for kind_, value in tokens if kind_ == "name"]
        has_range = has_range or "range" in words
        if kind == "{{":
            total = min(total + _grown(tokens, sizes), MAX_SIZE)
            continue
        statement = words[0] if words else ""
        if statement not in _STATEMENTS:
            known = "if, for, set, with and raw"
            raise TemplateError(f"there is no '{statement}' statement in templates. Statements: {known}")
        loops += {"for": 1, "endfor": -1}.get(statement, 0)
        statements += 1
        if statements > MAX_STATEMENTS:
            raise TemplateError(f"more than {MAX_STATEMENTS} statements")
        if statement == "for" and "recursive" in words:
            raise TemplateError("loops in templates are not recursive")
        if statement == "set" and ("sign", "=") not in tokens:
            raise TemplateError("set needs a value: {% set name = value %}")
        grown = _grown(tokens[1:], sizes)
        total = min(total + grown, MAX_SIZE)
        for name in _targets(statement, tokens[1:]):
            sizes[name] = max(sizes.get(name, 1), grown)
    if repeated > MAX_REPEATED:
        raise TemplateError(f"more than {MAX_REPEATED} characters of text in loops")
    return Cost(total, repeated, has_range)


Token = tuple[str | None, str]


def _tags(text: str) -> Iterator[tuple[str, list[Token], int, int]]:
    """Everything between braces: its kind, tokens, start and end."""
    position = 0
    while (found := _TAG.search(text, position)) is not None:
        begin, kind = found.span()[0], found[0]
        if kind == "{#":
            position = _after(text.find("#}", found.end()), 2, text)
        elif (raw := _RAW.match(text, begin)) is not None:
            closing = _END_RAW.search(text, raw.end())
            position = closing.end() if closing else len(text)
        else:
            tokens, position = _tokens(text, found.end(), "%}" if kind == "{%" else "}}")
            yield kind, tokens, begin, position


def _after(position: int, length: int, text: str) -> int:
    return len(text) if position < 0 else position + length


def _tokens(text: str, position: int, closing: str) -> tuple[list[Token], int]:
    tokens: list[Token] = []
    braces = 0
    while (found := _TOKEN.match(text, position)) is not None:
        kind, value = found.lastgroup, found[0]
        position = found.end()
        if kind == "end" and value.endswith(closing) and not braces:
            return tokens, position
        if kind == "end":
            position -= len(value) - 1  # two ordinary characters
            kind, value = "sign", value[0]
        braces += {"{": 1, "}": -1}.get(value, 0) if kind == "sign" else 0
        if kind != "blank":
            tokens.append((kind, value))
            if len(tokens) > MAX_TAG:
                raise TemplateError(f"more than {MAX_TAG} tokens between two braces")
    return tokens, len(text)


def _grown(tokens: Sequence[Token], sizes: Mapping[str, int]) -> int:
    """How many times its input an expression can produce at most."""
    total = factor = 1
    for index, (kind, value) in enumerate(tokens):
        before = tokens[index - 1] if index else (None, "")
        after = tokens[index + 1] if index + 1 < len(tokens) else (None, "")
        if kind == "name":
            total += sizes.get(value, 1)
        elif kind == "text":
            total += 1
        elif value == "*":
            factor *= _repeats(tokens, index)
        elif value == "|" and after[1] not in FILTERS:
            known = ", ".join(sorted(FILTERS))
            raise TemplateError(f"there is no filter '{after[1]}'.{did_you_mean(after[1], FILTERS)} Filters: {known}")
        elif value == "|" and after[1] not in _SAME_SIZE:
            factor *= _LISTED
        elif value in ("{", "[") and not (before[0] in ("name", "text") or before[1] in (")", "]", "}")):
            factor *= 2  # strings in a list are quoted and escaped
    return min(total * factor, MAX_SIZE)


def _repeats(tokens: Sequence[Token], index: int) -> int:
    """The number next to a `*`, which must be a number and not the start of something else."""
    for beside, beyond in ((index + 1, index + 2), (index - 1, index - 2)):
        kind, value = tokens[beside] if 0 <= beside < len(tokens) else (None, "")
        stranger = tokens[beyond][1] if 0 <= beyond < len(tokens) else ""
        if kind == "number" and stranger not in ("**", "|", ".", "[", "("):
            try:
                return max(1, int(float(value.replace("_", ""))))
            except (ValueError, OverflowError):
                break
    raise TemplateError("`*` in templates needs a number next to it: {{ turn * 2 }}")


def _targets(statement: str, tokens: Sequence[Token]) -> Iterator[str]:
    """The names that a statement assigns."""
    for index, (kind, value) in enumerate(tokens):
        if statement == "for" and value == "in":
            return
        if statement == "set" and value == "=":
            return
        is_given = statement in ("for", "set") or tokens[index + 1 : index + 2] == [("sign", "=")]
        if kind == "name" and is_given and statement in ("for", "set", "with"):
            yield value
