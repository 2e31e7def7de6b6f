"""Positions in a body and reasons why it is not JSON, as serde_json reports them: captured ones, and compared with
orjson.
"""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import ErrorDetails
from tables import each_of

from emulator.dialects.serde import serde
from emulator.providers.serde_json import Malformed, Path, after_item, position, spans

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)
LAYOUTS = st.sampled_from([{"separators": (",", ":")}, {"separators": (" , ", " : ")}, {"indent": 2}])


def paths(value: Any, at: Path = ()) -> dict[Path, Any]:
    """Every value inside a value, by its path."""
    found: dict[Path, Any] = {at: value}
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in members:
        found |= paths(inner, (*at, name))
    return found


@given(VALUES, LAYOUTS, st.booleans())
def test_every_value_is_found_where_it_stands(value: Any, layout: dict[str, Any], is_ascii: bool) -> None:
    data = json.dumps(value, ensure_ascii=is_ascii, **layout).encode()
    inside = paths(value)
    found = spans(data, list(inside))
    assert found.keys() == inside.keys()
    for path, span in found.items():
        assert json.loads(data[span.start : span.end]) == inside[path]


@given(VALUES, st.integers(0), st.binary(max_size=3))
def test_what_orjson_does_not_take_is_malformed_and_nothing_else_is(value: Any, place: int, other: bytes) -> None:
    data = json.dumps(value).encode()
    place %= len(data) + 1
    data = data[:place] + other + data[place + 1 :]
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        with pytest.raises(Malformed):
            spans(data, ())
    else:
        spans(data, ())


class TestAPlace:
    def test_counts_lines_and_the_bytes_that_were_taken(self) -> None:
        data = "{\n  é\n}".encode()
        assert [position(data, index) for index in (0, 1, 2, 4, 6, 7, 8)] == [
            "line 1 column 0",
            "line 1 column 1",
            "line 2 column 0",
            "line 2 column 2",
            "line 2 column 4",
            "line 3 column 0",
            "line 3 column 1",
        ]

    @pytest.mark.parametrize(
        ("data", "taken"),
        [(b'["a"]', 5), (b'["a","b"]', 5), (b'["a" , "b"]', 7), (b'["a"\n]', 6), (b'["a"', 4)],
    )
    def test_of_an_item_is_behind_what_follows_it(self, data: bytes, taken: int) -> None:
        assert after_item(data, 4) == taken


@each_of(
    ("data", "reason", "path", "taken"),
    [
        (b'{"a":nul}', "expected ident", ("a",), 9),
        (b'{"a":tr', "EOF while parsing a value", ("a",), 7),
        (b'{"a":01}', "invalid number", ("a",), 7),
        (b'{"a":-}', "invalid number", ("a",), 7),
        (b'{"a":-', "EOF while parsing a value", ("a",), 6),
        (b'{"a":1.}', "invalid number", ("a",), 8),
        (b'{"a":1.', "EOF while parsing a value", ("a",), 7),
        (b'{"a":1e+}', "invalid number", ("a",), 9),
        (b'{"a":1e999}', "number out of range", ("a",), 10),
        (b'{"a":+1}', "expected value", ("a",), 6),
        (b'{"a" 1}', "expected `:`", ("a",), 6),
        (b'{"a"', "EOF while parsing an object", ("a",), 4),
        (b'{"a":1', "EOF while parsing an object", (None,), 6),
        (b'{"a":1,', "EOF while parsing a value", (None,), 7),
        (b'{"a":1 "b":2}', "expected `,` or `}`", (None,), 8),
        (b"{1:2}", "key must be a string", (None,), 2),
        (b"[1 2]", "expected `,` or `]`", (1,), 4),
        (b"[1,]", "trailing comma", (1,), 4),
        (b"[1", "EOF while parsing a list", (1,), 2),
        (b"[1,", "EOF while parsing a value", (1,), 3),
        (b'["a\tb"]', "control character (\\u0000-\\u001F) found while parsing a string", (0,), 4),
        (b'["\\x"]', "invalid escape", (0,), 4),
        (b'["\\u12g4"]', "invalid escape", (0,), 8),
        (b'["\\u12', "EOF while parsing a string", (0,), 6),
        (b'["\\', "EOF while parsing a string", (0,), 3),
        (b'["\\ud83d\\u0041"]', "lone leading surrogate in hex escape", (0,), 14),
        (b'["\xff"]', "invalid unicode code point", (0,), 4),
    ],
)
def test_a_stumble_has_the_reason_the_way_and_the_place(
    data: bytes, reason: str, path: tuple[Any, ...], taken: int
) -> None:
    with pytest.raises(Malformed) as stumble:
        spans(data, ())
    assert (stumble.value.reason, stumble.value.path, stumble.value.index) == (reason, path, taken)


def test_depth_has_an_end() -> None:
    assert spans(b"[" * 127 + b"]" * 127, [()])[()].end == 254
    with pytest.raises(Malformed) as stumble:
        spans(b"[" * 128 + b"]" * 128, ())
    assert (stumble.value.reason, stumble.value.index) == ("recursion limit exceeded", 128)


def test_a_body_of_too_many_values_is_looked_at_in_part() -> None:
    assert spans(b"[0," + b"1," * 300_000 + b"2]", [(), (0,)]).keys() == {(0,)}


def test_a_value_of_the_right_type_that_is_refused_is_named_with_its_place() -> None:
    error = ErrorDetails(type="too_long", loc=("stop", "<list>"), msg="", input=["a"] * 20)
    assert serde(error) == "stop: invalid value: sequence"
