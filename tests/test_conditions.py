"""What every condition declares: complete over all keys, certain in its conclusions, never wrongly cached."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import pytest
from tables import each_of
from test_matching import CALLED, request_of

from emulator.matching.conditions import CONDITIONS, OWN, Condition, MatchContext, conditions
from emulator.matching.conditions.base import DependsOn
from emulator.matching.conditions.combined import Conditions
from emulator.scenario.models import Match

ASKED = MatchContext(
    request_of(messages=(*CALLED[:1], *request_of().messages, *CALLED[1:]), tools=("get_weather", "get_time"))
)
EXAMPLES: Mapping[str, list[Any]] = {
    "provider": ["serevix", ["serevix", "nadles"], ["nadles"], []],
    "operation": ["chat", ["chat", "models"], "models", []],
    "state": ["start", "later"],
    "stream": [False, True],
    "model": ["deepseek-v3", "deepseek-*", "*", "gpt-*", ["gpt-*", "deepseek-v3"], []],
    "turn": [3, {"gt": 2}, {"gt": 1, "lt": 9}, {"gt": 0}, {"in": [3, 4]}, 1],
    "messages": [8, {"gt": 7}, {"gt": 1}, {"gt": -1}, 1],
    "attempt": [1, {"gt": 0}, {"lt": 3}, {"gt": 5}],
    "prompt": [
        "What is the weather?",
        {"contains": "weather"},
        {"contains": "the weather?"},
        {"regex": "weather"},
        {"any_of": ["What is the weather?", {"contains": "rain"}]},
        {"not": {"contains": "rain"}},
        {"glob": "*"},
        "x",
    ],
    "system": ["Be kind.", {"contains": "kind"}, {"contains": "in"}, "x"],
    "message": ["Hello!", {"contains": "Hello"}, {"contains": "H"}, "x"],
    "key": ["sk-any", {"contains": "sk-"}, {"glob": "sk-*"}, "x"],
    "header": [{"x-trace": "abc"}, {"X-Trace": {"contains": "b"}}, {"x-trace": None}, {"x-other": None}],
    "tools": ["get_*", ["get_*", "get_time"], "get_time", "x"],
    "tool_result": [{}, {"name": "get_time"}, {"content": "noon"}, {"name": "x"}],
    "body": [
        {"path": "$.n", "equals": 3},
        [{"path": "$.n", "equals": 3}, {"path": "$.n", "gt": 2}],
        {"path": "$.n", "gt": 2},
        {"path": "$.n", "equals": 4},
        {"path": "$.n", "equals": True},
        {"path": "$.n", "equals": 1},
        {"path": "$.user", "exists": True},
        {"path": "$.user", "exists": True, "equals": None},
    ],
    "all_of": [[{"stream": False}, {"turn": 3}], [{"turn": 3}], [], [{"stream": True}]],
    "any_of": [[{"turn": 3}], [{"turn": 3}, {"stream": True}], [{"stream": True}], []],
    "not": [{"stream": True}, {"stream": True, "turn": 1}, {"turn": {"in": [1, 2]}}, {"turn": 3}],
}
CASES = [(key, value) for key, values in EXAMPLES.items() for value in values]
CHANGED: Mapping[str, list[MatchContext]] = {
    "class": [
        replace(ASKED, request=request_of(messages=(), tools=(), body={}, headers={}, key="sk-x")),
        replace(ASKED, state="later", attempt=7, seed=3, identity=b"other"),
    ],
    "body": [
        replace(
            ASKED,
            request=replace(ASKED.request, key="sk-x", http_request=replace(ASKED.request.http_request, headers={})),
        ),
        replace(ASKED, state="later", attempt=7, seed=3, identity=b"other"),
    ],
    "more": [],
}
"""Requests that differ in what a condition of each kind must not look at."""
OTHERS = [
    ASKED,
    MatchContext(request_of("Will it rain?", provider="nadles", stream=True, model="gpt-5"), state="later", attempt=2),
    MatchContext(request_of("x", messages=(), operation="models", headers={}, body={"n": True}, key="x"), attempt=6),
    MatchContext(request_of(messages=(), body={"n": 1, "user": None}, headers={"x-trace": "b"}, tools=("get_time",))),
]


def conditions_of(key: str, value: Any) -> Conditions:
    return tuple(conditions(Match.model_validate({key: value}), ()))


def holds(wanted: Conditions, ask: MatchContext) -> bool:
    return all(condition.holds(ask) for condition in wanted)


def test_every_key_of_a_match_is_a_condition_and_has_examples_here() -> None:
    keys = {field.alias or name for name, field in Match.model_fields.items()}
    assert keys - {"normalize"} == set(CONDITIONS) == {condition.key for condition in OWN}
    assert set(CONDITIONS) == {*EXAMPLES, "recorded"}  # recordings have tests of their own


@each_of("key", EXAMPLES)
def test_some_examples_hold_and_the_others_say_why_they_do_not(key: str) -> None:
    held = [holds(conditions_of(key, value), ASKED) for value in EXAMPLES[key]]
    assert set(held) == {True, False}
    for value, is_held in zip(EXAMPLES[key], held, strict=True):
        reasons = [each.mismatch(ASKED) for each in conditions_of(key, value) if not each.holds(ASKED)]
        assert bool(reasons) is not is_held
        assert all(reason and not reason.endswith(".") for reason in reasons)


@each_of("key", EXAMPLES)
def test_a_condition_depends_on_no_more_than_it_says(key: str) -> None:
    for value in EXAMPLES[key]:
        for condition in conditions_of(key, value):
            assert condition.depends_on in get_args(DependsOn)
            for ask in CHANGED[condition.depends_on]:
                assert condition.holds(ask) == condition.holds(ASKED), (key, value)


def test_what_is_implied_really_holds() -> None:
    hits = 0
    for key, value in CASES:
        narrow = conditions_of(key, value)
        for other, wider in CASES:
            wide = conditions_of(other, wider)
            if all(condition.follows_from(narrow) for condition in wide):
                hits += (key, value) != (other, wider)
                for ask in OTHERS:
                    assert not holds(narrow, ask) or holds(wide, ask), (key, value, other, wider)
    assert hits > 100


@each_of(("key", "value"), CASES)
def test_a_condition_implies_itself(key: str, value: Any) -> None:
    wanted = conditions_of(key, value)
    assert all(condition.follows_from(wanted) for condition in wanted)


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ({"body": {"path": "$.n", "equals": 1}}, {"body": {"path": "$.n", "equals": True}}),
        ({"body": {"path": "$.n", "exists": True}}, {"body": {"path": "$.n", "exists": True, "equals": None}}),
        ({"prompt": "A", "normalize": ["case"]}, {"prompt": "A"}),
        ({"not": {"turn": 1}}, {"not": {"turn": {"gt": 0}}}),
        ({"any_of": []}, {"turn": 1}),
        ({"header": {"x-trace": None}}, {"header": {"x-trace": "abc"}}),
        ({"any_of": [{"not": {"turn": 1}}]}, {"any_of": [{"not": {"turn": 2}}]}),
    ],
)
def test_what_only_looks_alike_is_not_implied(narrow: dict[str, Any], wide: dict[str, Any]) -> None:
    one, other = (tuple(conditions(Match.model_validate(each), ())) for each in (narrow, wide))
    assert not all(condition.follows_from(one) for condition in other)


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ({"not": {"turn": {"gt": 0}}}, {"not": {"turn": 1}}),
        ({"stream": True, "any_of": [{"turn": 1}, {"turn": 2}]}, {"stream": True, "turn": {"lt": 3}}),
        ({"all_of": [{"stream": True}, {"turn": 1}]}, {"any_of": [{"stream": False}, {"turn": 1, "stream": True}]}),
        ({}, {"turn": {"gt": 0}, "all_of": []}),
        ({"any_of": [{"not": {"turn": 1}}]}, {"any_of": [{"not": {"turn": 1}}]}),
    ],
)
def test_what_follows_through_others_is_implied(narrow: dict[str, Any], wide: dict[str, Any]) -> None:
    one, other = (tuple(conditions(Match.model_validate(each), ())) for each in (narrow, wide))
    assert all(condition.follows_from(one) for condition in other)


def test_a_condition_that_says_nothing_more_is_neither_cached_nor_concluded_from() -> None:
    class Bare(Condition[int]):
        key = "bare"

        def holds(self, ask: MatchContext) -> bool:
            return True

        def mismatch(self, ask: MatchContext) -> str:
            return "never"

    (turn,) = conditions_of("turn", 1)
    from emulator.matching.conditions.base import Compiling

    one, other = (Bare(number, Compiling((), ("bare",), lambda *_: ())) for number in (1, 2))
    assert one.depends_on == "more"
    assert one.follows_from([one])
    assert not one.follows_from([other])
    assert not turn.follows_from([one])
    assert (one.impossible(), one.impossible_beside([other])) == (None, None)
