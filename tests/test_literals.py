"""A literal that every match of a regex contains: found, and never wrong."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.matching.literals import folded, literal_in


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        (r"(?i)\bcancel +(my|the) ORDER 0002\b", " order 0002"),
        (r"^retry", "retry"),
        (r"(?P<who>name) is", "name"),
        (r"colou?r", "colo"),
        (r"(?:abc)+x", "abc"),
        (r"(?:abc)*x", None),
        (r"weather|forecast", None),
        (r"[abc]{5}", None),
        (r"Grüße aus", "e aus"),
        (r"(?!never)maybe", "maybe"),
        (r"", None),
    ],
)
def test_the_longest_literal_that_is_always_there(pattern: str, literal: str | None) -> None:
    assert literal_in(pattern) == literal


PARTS = st.sampled_from(
    ["abc", "Order 7", "x?", "(hello)", "(a|b)", "[a-z]+", r"\d{2}", r"\b", "(?:end)?", "(?:go)+", ".*"]
)


@given(st.lists(PARTS, min_size=1, max_size=6).map("".join), st.booleans())
def test_every_match_contains_it(pattern: str, ignores_case: bool) -> None:
    pattern = f"(?i){pattern}" if ignores_case else pattern
    literal = literal_in(pattern)
    for text in ("abcOrder 7hello", "xhelloabqend12gogo", "ABC ORDER 7 hello a z 42 end go", "order 7abc  hello99"):
        if re.search(pattern, text) and literal is not None:
            assert literal in text.lower()


@pytest.mark.parametrize("text", ["\u212aELVIN", "mi\u017fs \u017fix", "\u0130n \u0131n in", "日本 kelvin"])
def test_other_letters_that_equal_ascii_ones_are_no_obstacle(text: str) -> None:
    for pattern in ("(?i)kelvin", "(?i)miss six", "(?i)in in in"):
        assert not re.search(pattern, text) or str(literal_in(pattern)) in folded(text)
    assert any(re.search(pattern, text) for pattern in ("(?i)kelvin", "(?i)miss six", "(?i)in in in"))
