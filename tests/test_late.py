"""Patterns that are compiled on first use do what compiled ones do."""

import copy
import pickle
import re

import pytest

from emulator.late import late


@pytest.mark.parametrize("method", ["findall", "fullmatch", "match", "search", "split"])
@pytest.mark.parametrize("text", ["a1b22", "B7", "none"])
def test_they_find_the_same(method: str, text: str) -> None:
    source, flags = r"([a-z])(\d+)", re.IGNORECASE
    pattern = late(source, flags)
    for _ in range(2):  # the first use compiles it
        found, expected = (getattr(each, method)(text) for each in (pattern, re.compile(source, flags)))
        assert repr(found) == repr(expected)
    assert [each[0] for each in pattern.finditer(text)] == [each[0] for each in re.finditer(source, text, flags)]
    assert pattern.sub(r"\2", text) == re.sub(source, r"\2", text, flags=flags)
    assert (pattern.pattern, pattern.groups) == (source, 2)


@pytest.mark.parametrize("is_used", [False, True])
def test_a_copy_finds_the_same(is_used: bool) -> None:
    pattern = late("x+")
    if is_used:
        assert pattern.search("xx")
    for again in (pickle.loads(pickle.dumps(pattern)), copy.deepcopy(pattern)):
        assert repr(again.search("axx")) == repr(re.search("x+", "axx"))


def test_nothing_is_compiled_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    actual = re.compile

    def noted(source: str, flags: int = 0) -> re.Pattern[str]:
        compiled.append(source)
        return actual(source, flags)

    monkeypatch.setattr(re, "compile", noted)
    pattern = late("x+")
    assert compiled == []
    found = [pattern.search("xx"), pattern.match("xx"), pattern.fullmatch("x")]
    assert None not in found
    assert compiled == ["x+"]
