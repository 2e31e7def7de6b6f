"""The three formats of a document: strict YAML 1.2, JSON and TOML, each feeding a `Builder`.

YAML is read from the parser's events, with values according to the core schema of YAML 1.2. PyYAML's own loaders would
recurse on hostile nesting, build objects for tags, and not read `NO`, `1:20` and dates as strings.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import date, time
from typing import Any, Literal

import yaml

from emulator.late import late
from emulator.scenario.document import MAX_DEPTH, Builder, Document, KeyPath, Mark, quote

Format = Literal["yaml", "json", "toml"]

_TOO_DEEP = f"this is nested more than {MAX_DEPTH} levels deep"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTROL = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff"
_FORBIDDEN: Mapping[Format, re.Pattern[str]] = {
    # YAML 1.1 parsers break lines at U+2028 and U+2029, YAML 1.2 parsers don't, so both are rejected.
    "yaml": re.compile(f"[{_CONTROL}\u2028\u2029\ufeff\ufffe\uffff]"),
    "json": late(f"[{_CONTROL}]"),
    "toml": late(f"[{_CONTROL}]"),
}


def document(text: str, shown: str, notation: Format) -> Document:
    """The document in a text. Raises only ScenarioError."""
    builder = Builder(shown)
    if found := _FORBIDDEN[notation].search(text):
        sign = f"U+{ord(found[0]):04X}"
        builder.fail(
            marker(text)(found.start()),
            f"the character {sign} is not allowed here; use an escape in double quotes",
        )
    match notation:
        case "yaml":
            _build_yaml(text, builder)
        case "json":
            _build_json(text, builder)
        case "toml":  # pragma: no branch - all formats are listed
            _build_toml(text, builder)
    return builder.document()


def marker(text: str) -> Callable[[int], Mark]:
    """A function from an index in the text to its mark."""
    starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def mark(index: int) -> Mark:
        line = bisect_right(starts, index)
        return line, index - starts[line - 1] + 1

    return mark


_CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = late(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_STANDARD = "tag:yaml.org,2002:"
_TAGS: Mapping[str, type] = {
    _STANDARD + name: kind
    for name, kind in {
        "str": str,
        "int": int,
        "float": float,
        "bool": bool,
        "null": type(None),
        "map": dict,
        "seq": list,
    }.items()
}
# The parser's messages, and more helpful ones.
_INDENT = "check the indentation, and look for quotes inside quotes"
_ADVICE: Mapping[str, str] = {
    "'\\t' that cannot start": "a tab cannot indent YAML; use spaces",
    "cannot start any token": "a string that starts with this character needs quotes",
    "mapping values are not allowed": "unexpected ':'; quote a string that contains one, or fix the indentation",
    "sequence entries are not allowed": "a list cannot start here; put its first '-' on a new line",
    "could not find expected ':'": "expected a ':' after this key",
    "found unexpected end of stream": "this quote is never closed",
    "expected ',' or ']'": "expected a ',' or the ']' of a list",
    "expected ',' or '}'": "expected a ',' or the '}' of a mapping",
    "expected key": f"expected a key here; {_INDENT}",
    "node content": "expected a value here; look for a missing or extra bracket",
    "expected '-' indicator": f"expected a '- ' here; {_INDENT}",
    "<block end>": f"this does not continue the lines above; {_INDENT}",
    "<document start>": f"this does not continue the lines above; {_INDENT}",
    "unknown escape character": "not a valid escape; in double quotes, write a backslash twice",
    "invalid Unicode character": "this escape is not a character; write the character itself",
    "undefined tag handle": "unknown tag; put a string that starts with '!' in quotes",
}
_AT_START = ("could not find expected ':'", "found unexpected end of stream")


def _build_yaml(text: str, builder: Builder) -> None:
    documents = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            start: Any = event.start_mark
            mark = (start.line + 1, start.column + 1)
            match event:
                case yaml.ScalarEvent():
                    builder.scalar(_scalar(event, mark, builder), mark, event.anchor)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    is_mapping = isinstance(event, yaml.MappingStartEvent)
                    if event.tag not in (None, "!", _STANDARD + ("map" if is_mapping else "seq")):
                        _refuse_tag(event.tag, mark, builder)
                    builder.open({} if is_mapping else [], mark, event.anchor)
                case yaml.CollectionEndEvent():
                    builder.close()
                case yaml.AliasEvent():
                    builder.alias(event.anchor or "", mark)
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        builder.fail(mark, "a second document starts here; a file can contain only one")
    except yaml.YAMLError as error:
        builder.fail(*_advice(error, text))
    except (ValueError, OverflowError):  # from the parser in Python, for an escape beyond Unicode
        builder.fail((0, 0), "an escape is not a character; write the character itself")


def _scalar(event: yaml.ScalarEvent, mark: Mark, builder: Builder) -> Any:
    if event.tag is None:
        if not event.implicit[0]:
            return event.value
        if event.value == "<<" and builder.wants_key():
            builder.refuse(mark, "the merge key '<<' is not part of YAML 1.2; repeat the keys instead")
        return _plain(event.value)
    wanted = str if event.tag == "!" else _TAGS.get(event.tag)
    if wanted is None:
        _refuse_tag(event.tag, mark, builder)
    if wanted in (None, str):
        return event.value
    value = _plain(event.value)
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        builder.refuse(mark, f"{quote(event.value)} is not a valid '!!{event.tag.removeprefix(_STANDARD)}'")
    return value


def _plain(text: str) -> Any:
    """The value of an unquoted scalar in the core schema of YAML 1.2: `NO`, `1:20` and dates are strings."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        if len(text) > 100:  # Python refuses to convert thousands of digits; this number is rejected later
            return 2**64
        return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "")) if _NOT_FINITE.fullmatch(text) else text


def _refuse_tag(tag: str, mark: Mark, builder: Builder) -> None:
    known = ", ".join(name.replace(_STANDARD, "!!") for name in _TAGS)
    builder.refuse(mark, f"the tag {quote(tag.replace(_STANDARD, '!!'))} is not supported. Tags: {known}")


def _advice(error: yaml.YAMLError, text: str) -> tuple[Mark, str]:
    problem, context = getattr(error, "problem", None) or str(error), getattr(error, "context", None) or ""
    at, start = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    if at and text[at.index : at.index + 1] == "\t":  # the C parser does not name the character
        problem = problem.replace("character that", "character '\\t' that")
    needle = next((needle for needle in _ADVICE if needle in problem), None)
    message = _ADVICE[needle] if needle else f"not valid YAML: {problem}"
    if start and needle in _AT_START:
        at = start
    elif at and at.index >= len(text):  # the C parser counts the end as a separate line
        if not start or not context.startswith("while parsing a flow") or start.index >= len(text):
            return marker(text)(len(text.rstrip())), message
        at, message = start, "this bracket is never closed"
    return ((at.line + 1, at.column + 1) if at else (0, 0)), message


# JSON: checked by the standard library, then walked again for the positions.

_TOKEN = late(r'"(?:[^"\\]|\\.)*+"|[{}\[\]]|[^\s{}\[\],:"]+')


def _build_json(text: str, builder: Builder) -> None:
    try:
        json.loads(text, parse_int=str)  # as strings, since thousands of digits are an error
    except json.JSONDecodeError as error:
        builder.fail((error.lineno, error.colno), f"not valid JSON: {_lowered(error.msg)}")
    except RecursionError:
        builder.fail((0, 0), _TOO_DEEP)
    mark_of = marker(text)
    for found in _TOKEN.finditer(text):
        token, mark = found[0], mark_of(found.start())
        match token[0]:
            case "{":
                builder.open({}, mark)
            case "[":
                builder.open([], mark)
            case "}" | "]":
                builder.close()
            case '"':
                builder.scalar(json.loads(token), mark)
            case _:
                value = _plain(token)
                # What remains is NaN and Infinity, which Python accepts and the builder rejects.
                builder.scalar(float(value) if isinstance(value, str) else value, mark)


# TOML: read by the standard library, which keeps no positions; they are searched by line.

_NAME = r"""(?:[A-Za-z0-9_-]++|(?<!\\)"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
_MORE = rf"(?:[ \t]*\.[ \t]*{_NAME})"
_LINE = late(rf"^[ \t]*+(\[\[?)?[ \t]*+({_NAME}{_MORE}*+)[ \t]*+[\]=]", re.MULTILINE)
_LONG_TEXT = late(r'(?<!\\)"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'', re.DOTALL)
_CHAIN = late(rf"{_NAME}(?:({_MORE}{{{MAX_DEPTH}}}{_MORE}*+)|{_MORE}*+)[ \t]*+([\]=])?")
_POSITION = late(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def _build_toml(text: str, builder: Builder) -> None:
    import tomllib  # few scenarios need it

    # It takes quadratic time for a dotted key.
    if any(chain[1] and chain[2] for chain in _CHAIN.finditer(text)):
        builder.fail((0, 0), _TOO_DEEP)
    try:
        data = tomllib.loads(text)
    except RecursionError:
        builder.fail((0, 0), _TOO_DEEP)
    except tomllib.TOMLDecodeError as error:
        position = _POSITION.search(str(error))
        line, column = (position[1], position[2]) if position else (None, None)
        mark = (int(line), int(column)) if line and column else marker(text)(len(text))
        builder.fail(mark, f"not valid TOML: {_lowered(_POSITION.sub('', str(error)))}")
    except ValueError:
        builder.fail((0, 0), "a number here has too many digits; put it in quotes to make it a string")
    _feed(data, (), (1, 1), _toml_marks(text), builder)


def _feed(value: Any, key_path: KeyPath, mark: Mark, marks: Mapping[KeyPath, Mark], builder: Builder) -> None:
    match value:
        case dict():
            builder.open({}, mark)
            for key, inner in value.items():
                place = marks.get((*key_path, key), mark)
                builder.scalar(key, place)
                _feed(inner, (*key_path, key), place, marks, builder)
            builder.close()
        case list():
            builder.open([], mark)
            for index, inner in enumerate(value):
                _feed(inner, (*key_path, index), marks.get((*key_path, index), mark), marks, builder)
            builder.close()
        case date() | time():
            builder.scalar(value.isoformat(), mark)
        case _:
            builder.scalar(value, mark)


def _toml_marks(text: str) -> Mapping[KeyPath, Mark]:
    """The first mention of each table and key, as far as the starts of lines show."""
    marks: dict[KeyPath, Mark] = {}
    lengths: dict[KeyPath, int] = {}
    table: KeyPath = ()
    mark_of = marker(text)
    hidden = _LONG_TEXT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    for found in _LINE.finditer(hidden):
        brackets, names = found.groups()
        mark = mark_of(found.start(2))
        key_path = () if brackets else table
        keys = [name.strip("\"'") for name in re.findall(_NAME, names)]
        for number, key in enumerate(keys, 1):
            key_path = (*key_path, key)
            marks.setdefault(key_path, mark)
            if brackets == "[[" and number == len(keys):
                lengths[key_path] = lengths.get(key_path, 0) + 1
            if brackets and key_path in lengths:
                key_path = (*key_path, lengths[key_path] - 1)
                marks.setdefault(key_path, mark)
        table = key_path if brackets else table
    return marks


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]
