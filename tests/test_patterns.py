"""Regexes mean what they mean in Python, and no pattern and no text makes one slow."""

import re
import time
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
from hits import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import each_of
from talk import KEYS, PATHS, question, single

from emulator import Emulator, patterns
from emulator.json_paths import MAX_PATTERN, compiled_path
from emulator.patterns import Pattern, compiled


@pytest.fixture(autouse=True)
def _time() -> None:
    patterns.allow()


def in_python(source: str, text: str) -> dict[str, str | None] | None:
    found = re.search(source, text)
    if found is None:
        return None
    return {**{str(number): group for number, group in enumerate(found.groups(), 1)}, **found.groupdict()}


# What they mean

ALL = [chr(code) for code in range(0x3000) if not 0xD800 <= code < 0xE000]


@pytest.mark.parametrize(
    "source",
    [r"\d", r"\D", r"\s", r"\S", r"[\W_]", r"[\S ]", r"(?a)\w", r"(?a)\W", r"(?a)[\s\d]", ".", "(?s).", "[^a]",
     "(?i)[a-z]", "(?i)[^a-z]", "(?i)ß", "(?i)k", "(?i)s", "(?i)i", "(?ia)k", "(?ia)[^k]", "(?i)σ", r"(?i)[^\W\d]",
     "(?i)µ", r"(?-i:k)", r"(?i:k)"],
)  # fmt: skip
def test_a_class_has_the_characters_that_it_has_in_python(source: str) -> None:
    pattern, expected = compiled(source), re.compile(source)
    assert pattern.limit is None
    assert [hex(ord(char)) for char in ALL if pattern.is_in(char) != bool(expected.search(char))] == []


@each_of(
    ("source", "text"),
    [
        (r"^(a+)$", "aaa\n"),
        (r"(a\s*$)", "a \n"),
        (r"(a\s*?$)", "a \n"),
        (r"(?:a$|b)\n", "a\n"),
        (r"a\Z", "a\n"),
        (r"(?m)^b$", "a\nb\nc"),
        (r"\bé\b", "é"),
        (r"\bé\b", "éa"),
        (r"Caf\B", "Café"),
        (r"\B", ""),
        (r"(?P<city>\w+) \w+", "Zürich heute"),
        (r"(a)|(b)", "b"),
        (r"(a*)*", "aab"),
        (r"(?:(a)|b)*", "ab"),
        (r"(?<=in )(\w+)", "in Paris"),
        (r"(\w)\1", "hello"),
        (r"(?>a+)b", "aab"),
        (r"(?x) a  b # comment", "ab"),
        (r"[]a-]+", "]-a"),
        (r"\x41\u00e9\N{DIGIT ONE}", "Aé1"),
        ("\ud800", "a\ud800"),
        (r"a.b", "a\ud800b"),
    ],
)
def test_a_pattern_finds_what_it_finds_in_python(source: str, text: str) -> None:
    assert compiled(source).groups_in(text) == in_python(source, text)
    assert compiled(source).is_in(text) is (re.search(source, text) is not None)


PARTS = st.sampled_from(
    ["a", "b", r"\n", "(a)", "(a|b)", "(?:a|b\n)", "a*", "b+?", "(a*)", "$", "^", r"\b", r"\B", r"\Z", ".", "(?m:$)",
     "(?m:^)", "(b$)?", "a{2,3}", "[^a]", r"\w", r"\s*", "(?:$)", "|", "é", "(?i:B)", "(a$|b)", r"\s+$", "(?=b)"]
)  # fmt: skip


@settings(max_examples=examples(300))
@given(st.lists(PARTS, min_size=1, max_size=5).map("".join), st.text("ab\n é", max_size=6))
def test_any_pattern_finds_what_it_finds_in_python(source: str, text: str) -> None:
    patterns.allow()
    assert compiled(source).groups_in(text) == in_python(source, text)
    assert compiled(source).is_in(text) is (re.search(source, text) is not None)


def test_what_is_no_pattern_is_refused() -> None:
    for source in ("(", "a{2,1}", "[z-a]", "(?<x", "(?=a)[x[:foo:]]"):
        with pytest.raises(re.error):
            Pattern(source)


# What they cost


@pytest.mark.parametrize("source", ["[[a]b", "[^[]", "[a[]", "[--a]", "[a&&b]", "[a||b]", "[a~~b]", "(?=[)[])[)[]*$"])
def test_signs_that_may_mean_more_one_day_mean_themselves_without_a_warning(source: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [re.search(source, text) is not None for text in ("", "a", "[", "ab", "[b", "&", "-")]
    assert [Pattern(source).is_in(text) for text in ("", "a", "[", "ab", "[b", "&", "-")] == expected


@pytest.mark.parametrize(
    "source",
    ["x{9999999}", "(?:ab){10000000}", r"(?:\w{1000}x|y){1000}", "(?=(?:x{500}){500})", "(x)?(?(1)a{200000}|b)",
     "(?>a{200000})", "a{200000}+"],
)  # fmt: skip
def test_a_pattern_that_would_fill_the_memory_is_refused(source: str) -> None:
    with pytest.raises(re.error, match="its repetitions add up to more than 100000 characters"):
        Pattern(source)


def test_a_long_repetition_that_may_be_short_is_no_large_pattern() -> None:
    found = [Pattern(source).is_in("x" * 3000) for source in ("^x{0,9999999}$", "^.{5,}$", "^x{3000}$", "^x{3001}$")]
    assert found == [True, True, True, False]


HOSTILE: list[tuple[str, str]] = [
    (".*.*.*x", "a" * 2000),
    ("^(a|aa)+$", "a" * 60_000 + "b"),
    (r"\s+$", " " * 60_000 + "x"),
    (r"[\w.]+@[\w.]+", "a." * 30_000),
    (r"[\w.]+@[\w.]+", "中é" * 30_000),
    (r"(a+)+b", "a" * 60_000),
    (r"\b.*.*.*x\b", "é" * 60_000),
    (r"(a+)+(?=b)", "a" * 60_000),
    (r"^(a+)+\1$", "a" * 60_000 + "b"),
    (r"(\w+\s?)+$(?!x)", "a " * 30_000 + "!"),
]


@pytest.mark.parametrize(("source", "text"), HOSTILE)
def test_no_text_makes_a_pattern_slow(source: str, text: str) -> None:
    pattern = compiled(source)
    patterns.allow()
    pattern.is_in(text[:10])  # other engines are imported when they are first needed
    begin = time.process_time()
    assert not pattern.is_in(text)
    assert time.process_time() - begin < 0.1


def test_one_request_has_a_bounded_time_for_what_is_not_linear() -> None:
    slow = [compiled(rf"(a+)+\1{letter}") for letter in "bcdefghijklmnopqrstuvwxyz" * 8]
    patterns.allow()
    begin = time.process_time()
    assert not any(pattern.is_in("a" * 10_000) for pattern in slow)
    assert time.process_time() - begin < 0.3  # alone each takes 5 ms
    patterns.allow()
    assert compiled(r"(a)\1b").is_in("aab")


def test_a_busy_machine_changes_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only computing counts against the limit, not the time that other programs have."""
    pattern = compiled(r"\bé\b")
    assert pattern.is_in("é")
    search = pattern._slow.search

    def interrupted(text: str, *, timeout: float) -> Any:
        time.sleep(patterns.TIME_FOR_REQUEST)
        return search(text, timeout=timeout)

    monkeypatch.setattr(pattern, "_slow", SimpleNamespace(search=interrupted))
    patterns.allow()
    assert [pattern.is_in("un é"), pattern.is_in("deux é")] == [True, True]


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("$.a[?match(@, '(a+)+b')]", []),
        ("$.a[?search(@, '(a+)+b')]", []),
        ("$.a[?match(@, 'a+')]", ["a" * 50_000]),
        ("$.a[?match(@, 'c.')]", ["cd"]),
        ("$.a[?search(@, 'c[.d]$')]", ["cd"]),
        ("$.a[?match(@, 'c')]", []),
        ("$.a[?match(@, '(')]", []),
        ("$.a[?match(@, 'e$')]", []),
        (f"$.a[?match(@, '{'c' * (MAX_PATTERN + 1)}')]", []),
        ("$.a[?match(@, $.a[1])]", ["cd"]),
    ],
)
def test_json_paths_search_in_linear_time(path: str, fits: list[str]) -> None:
    compiled_path(path).findall({"a": ["b"]})
    begin = time.process_time()
    assert compiled_path(path).findall({"a": ["a" * 50_000, "cd", "e\n", "c\n", "c\r", 1]}) == fits
    assert time.process_time() - begin < 0.1


@pytest.mark.parametrize("prompt", [" " * 60_000 + "x", "a" * 60_000, "中é" * 30_000, "a." * 30_000], ids=range(4))
def test_a_server_answers_at_once_whatever_its_patterns_and_the_prompt(prompt: str) -> None:
    bodies = [{"path": "$.messages[?match(@.content, '(a+)+b')]", "exists": True}]
    matches = [{"prompt": {"regex": source}} for source, _ in HOSTILE if "x" not in source or source != r"\b.*.*.*x\b"]
    rules = [{"match": match, "reply": {"content": "hostile"}} for match in [*matches, {"body": bodies}]]
    with Emulator({"rules": [*rules, {"reply": {"content": "served"}}]}) as emulator:
        url = emulator.url("serevix") + PATHS["serevix"]
        single.post(url, json=question("serevix"), headers=KEYS["serevix"], timeout=20)
        begin = time.monotonic()
        answer = single.post(url, json=question("serevix", prompt), headers=KEYS["serevix"], timeout=20)
        took = time.monotonic() - begin
    assert answer.json()["choices"][0]["message"]["content"] in ("served", "hostile")
    assert took < 2


@pytest.mark.parametrize(
    ("source", "reason", "text", "is_in"),
    [
        (r"a(?!)", "a negative lookahead or lookbehind", "a", False),
        (r"a(?!)|b", "a negative lookahead or lookbehind", "b", True),
        (r"(?>a)b", "an atomic group", "ab", True),
        (r"(x)?(?(1)a|b)", "a condition on a group", "xa", True),
        (r"a++b", "a possessive repetition", "aab", True),
        (r"(?<=a)b", "a lookahead or lookbehind", "ab", True),
        (r"(?a:\bx\b)", None, "éx", True),
        (r"(?a)\bx\b", None, "éx", True),
        (r"\w{1000}" * 40, "pattern too large - compile failed", "a" * 40_000, True),
        (r"\Ax", None, "ax", False),
        (r"\Ax", None, "xa", True),
    ],
)
def test_what_is_slow_is_known_and_means_the_same(source: str, reason: str | None, text: str, is_in: bool) -> None:
    pattern = compiled(source)
    assert (pattern.limit, bool(pattern.is_in(text)), bool(re.search(source, text))) == (reason, is_in, is_in)
