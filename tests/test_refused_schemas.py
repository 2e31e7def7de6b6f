"""Schemas for which no value is made, with the reason, and patterns that RE2 refuses."""

import re
from collections import deque
from typing import Any, cast

import pytest

from emulator.errors import UsageError
from emulator.faults import selection
from emulator.faults.reset import ResetConnection
from emulator.faults.selection import FaultRegistry
from emulator.generation.instances.making import UnsatisfiableSchema, instance
from emulator.patterns import compiled

HERE = "No value fits the schema at #: "


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string", "minLength": 5, "maxLength": 3}, "minLength 5 is above maxLength 3"),
        ({"type": "string", "minLength": 10**7}, "minLength is 10000000; strings are made up to "),
        ({"type": "number", "multipleOf": 0}, "multipleOf must be above 0"),
        ({"type": "string", "pattern": "(?i)a"}, "the pattern '(?i)a' sets flags, which is not supported"),
        ({"type": "string", "pattern": "("}, "the pattern '(' cannot be read: "),
        ({"type": "string", "pattern": "(?P<a>x)(?(a)y|z)"}, "groupref exists is not supported in a pattern"),
        ({"type": "string", "pattern": "^(?:a|bb)$", "minLength": 5}, ""),
        ({"type": "string", "pattern": "^a{3}b{3}$", "minLength": 4, "maxLength": 5}, ""),
        (
            {"type": "object", "minProperties": 3, "maxProperties": 2},
            "at least 3 and at most 2 properties are required",
        ),
        ({"type": "array", "minItems": 3, "maxItems": 2}, "at least 3 and at most 2 items are required"),
        (
            {"type": "object", "required": ["a", "b"], "maxProperties": 1},
            "2 properties are required and only 1 are allowed",
        ),
    ],
)
def test_a_schema_that_nothing_fits_is_refused_with_its_reason(schema: dict[str, Any], words: str) -> None:
    with pytest.raises(UnsatisfiableSchema) as caught:
        instance(schema, 1)
    assert str(caught.value).startswith(HERE + words)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "number", "minimum": 1e-300, "maximum": 1e-300}, 1e-300),
        ({"type": "string", "pattern": "^\\S$", "enum": [" ", "x"]}, "x"),
        ({"type": "string", "pattern": "^(?:a|bb|ccc)$", "minLength": 3}, "ccc"),
    ],
)
def test_the_only_value_is_found(schema: dict[str, Any], value: Any) -> None:
    assert instance(schema, 1) == value


@pytest.mark.parametrize("source", ["(", "a{99999999999}", "[z-a]"])
def test_what_python_refuses_is_no_pattern(source: str) -> None:
    with pytest.raises((re.error, OverflowError)):
        compiled(source)


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        (r"[^\s\S]", {"a": False}),
        (r"(?s).x", {"\nx": True}),
        (r".x", {"\nx": False, "ax": True}),
        (r"(?m)^b$", {"a\nb\nc": True, "ab": False}),
        (r"\Bb\b", {"ab": True, "b": False}),
        (r"b\Z", {"ab": True, "b\n": False}),
        (r"(b$)", {"ab\n": True, "bc": False}),
        (r"(?a:\w+)é", {"aé": True, "é": False}),
        (r"a{0,1000}b", {"aab": True}),
        (r"a{2000}", {"a" * 2000: True, "a" * 1999: False}),
        (r"(?:){5}a", {"a": True}),
    ],
)
def test_a_pattern_means_what_it_means_in_python(source: str, texts: dict[str, bool]) -> None:
    pattern = compiled(source)
    found = {text: bool(pattern.is_in(text)) for text in texts}
    assert found == texts
    assert {text: re.search(source, text) is not None for text in texts} == texts


# Faults that were added


def test_there_is_a_limit_to_faults_that_were_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "MAX_LIVE", 2)
    monkeypatch.setattr(selection, "MAX_QUEUED", 2)
    monkeypatch.setattr(selection, "MAX_COUNTERS", 1)
    faults = FaultRegistry()
    fault = ResetConnection()
    assert [faults.add(fault), faults.add(fault)] == ["live-1", "live-2"]
    with pytest.raises(UsageError) as caught:
        faults.add(fault)
    assert str(caught.value) == "2 faults have been added already. Remove some first."
    assert [faults.push(fault) for _ in range(3)] == ["queue-3", "queue-4", "queue-5"]
    assert list(faults.queue) == ["queue-4", "queue-5"]  # the oldest one is dropped
    faults.spend("live-1")
    faults.spend("live-2")
    assert (faults.remove("live-1"), faults.remove("live-2"), faults.remove("queue-4")) == (False, True, True)
    assert (faults.disarm(), faults.is_empty) == (1, True)


class Claims:
    """The counters that all processes share: keeps which are open."""

    def __init__(self) -> None:
        self.open_keys: deque[int] = deque()

    def open(self, key: int) -> None:
        self.open_keys.append(key)

    def release(self, key: int) -> None:
        self.open_keys.remove(key)


def test_shared_counters_are_released_with_their_faults() -> None:
    claims = Claims()
    faults = FaultRegistry()
    faults.claims = cast(Any, claims)
    first, second = (faults.add(ResetConnection(times=1), key) for key in (11, 12))
    faults.add(ResetConnection(), 13)
    assert list(claims.open_keys) == [11, 12]
    assert faults.remove(first)
    assert list(claims.open_keys) == [12]
    faults.clear()
    assert (list(claims.open_keys), faults.is_empty) == ([], True)
    assert second == "live-2"
