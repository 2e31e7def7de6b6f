"""What `emulator check` warns about: rules that never answer, keys without effect, unknown names."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hits import counted, hit
from hypothesis import given
from hypothesis import strategies as st
from tables import each_of
from test_matching import request_of, ruleset_of

from emulator.lint import warnings
from emulator.lint.overlap import compiled, contradiction, covers
from emulator.matching.conditions import MatchContext
from emulator.matching.conditions.combined import Conditions
from emulator.providers import COMPLETIONS, PROVIDERS
from emulator.scenario.models import Match
from emulator.scenario.sources import load

R = {"reply": {"content": "x"}}


def reported(*rules: Mapping[str, Any], **more: Any) -> list[str]:
    return [problem.message for problem in warnings(load({"rules": list(rules), **more}))]


def on(**match: Any) -> dict[str, Any]:
    """A rule that matches this and says something."""
    return {"match": {key.rstrip("_"): value for key, value in match.items()}, **R}


# Rules behind others


@each_of(
    ("wide", "narrow"),
    [
        ({}, {}),
        ({}, {"provider": "nadles", "prompt": "x", "turn": 3}),
        ({"prompt": "x"}, {"prompt": "x"}),
        ({"prompt": "x"}, {"prompt": "x", "stream": True}),
        ({"prompt": {"contains": "a"}}, {"prompt": "cat"}),
        ({"prompt": {"contains": "a"}}, {"prompt": {"contains": "cat"}}),
        ({"prompt": {"regex": "^c"}}, {"prompt": "cat"}),
        ({"prompt": {"glob": "c*"}}, {"prompt": "CAT"}),
        ({"prompt": {"glob": "*"}}, {"prompt": {"regex": "x"}}),
        ({"prompt": {"any_of": ["cat", "dog"]}}, {"prompt": "dog"}),
        ({"prompt": {"any_of": ["cat", {"contains": "d"}]}}, {"prompt": {"any_of": ["cat", "dog"]}}),
        ({"prompt": {"not": "cat"}}, {"prompt": "dog"}),
        ({"provider": ["nadles", "serevix"]}, {"provider": "nadles"}),
        ({"model": "deep*"}, {"model": ["deepseek-v3", "DEEPSEEK-r1"]}),
        ({"model": "*"}, {"model": "a?"}),
        ({"turn": {"gt": 1}}, {"turn": 2}),
        ({"turn": {"gt": 1}}, {"turn": {"in": [2, 9]}}),
        ({"turn": {"lt": 9}}, {"turn": {"gt": 2, "lt": 5}}),
        ({"turn": {"gt": 0}}, {}),
        ({"turn": 1}, {"turn": {"lt": 2}}),
        ({"tools": "a"}, {"tools": ["a", "b"]}),
        ({"state": "start"}, {"state": "start", "prompt": "x"}),
        ({"header": {"X": None, "y": {"contains": "a"}}}, {"header": {"x": None, "Y": "ab"}}),
        ({"body": {"path": "$.a", "equals": 1}}, {"body": [{"path": "$.b", "gt": 1}, {"path": "$.a", "equals": 1}]}),
        ({"tool_result": {}}, {"tool_result": {"name": "f"}}),
        ({"any_of": [{"turn": 1}, {"stream": True}]}, {"stream": True, "prompt": "x"}),
        ({"all_of": [{"turn": 1}, {"stream": True}]}, {"turn": 1, "stream": True}),
        ({"turn": 1}, {"all_of": [{"turn": 1}, {"stream": True}]}),
        ({"stream": True}, {"any_of": [{"stream": True, "turn": 1}, {"stream": True, "turn": 2}]}),
        ({"not": {"turn": 1}}, {"not": {"turn": 1}, "stream": True}),
        ({"operation": ["chat", "models"]}, {"operation": "chat"}),
    ],
)
def test_a_rule_behind_one_that_takes_all_of_it_is_reported(wide: dict[str, Any], narrow: dict[str, Any]) -> None:
    found = reported({"match": wide, **R}, {"match": narrow, **R})
    assert found[-1:] == ["rules[1] never answers: rules[0] matches the same requests first"]


@each_of(
    ("first", "second"),
    [
        ({"provider": "nadles"}, {}),
        ({"prompt": "x"}, {"prompt": "y"}),
        ({"prompt": {"contains": "cat"}}, {"prompt": {"contains": "a"}}),
        ({"prompt": {"contains": "a"}}, {"prompt": {"regex": "a"}}),
        ({"prompt": {"regex": "a"}}, {"prompt": {"regex": "ab"}}),
        ({"prompt": "cat", "normalize": ["case"]}, {"prompt": "Cat"}),
        ({"system": "x"}, {"prompt": "x"}),
        ({"turn": {"gt": 1}}, {"turn": {"gt": 0}}),
        ({"turn": 1}, {"turn": {"in": [1, 2]}}),
        ({"model": "deepseek-*"}, {"model": "d*"}),
        ({"tools": ["a", "b"]}, {"tools": "a"}),
        ({"state": "start"}, {"prompt": "x"}),
        ({"stream": False}, {}),
        ({"attempt": 1}, {}),
        ({"header": {"x": None}}, {"header": {"x": "a"}}),
        ({"body": {"path": "$.a", "gt": 1}}, {"body": {"path": "$.a", "gt": 2}}),
        ({"any_of": [{"turn": 1}, {"turn": 2}]}, {"prompt": "x"}),
        ({"not": {"turn": 1}}, {"prompt": "x"}),
        ({"operation": "models"}, {}),
        ({}, {"operation": "models", "provider": "serevix"}),
    ],
)
def test_a_rule_that_has_something_left_is_not_reported(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert reported({"match": first, **R}, {"match": second, **R}) == []


def test_a_rule_that_lets_requests_pass_takes_nothing_away() -> None:
    for passing in (
        {**R, "times": 2},
        {**R, "chance": 0.5},
        {"replies": [R, R], "then": "next_rule"},
        {**on(state="start"), "set_state": "later"},
        {**R, "priority": -1},
    ):
        assert reported(passing, on(prompt="x")) == []
    always = {"replies": [{**R, "chance": 1}, R]}
    assert reported(always, R) == ["rules[1] never answers: rules[0] matches the same requests first"]


def test_priority_decides_which_of_them_stands_before() -> None:
    first = {"name": "narrow", **on(prompt="x")}
    last = {"name": "wide", **R, "priority": 1}
    assert reported(first, last) == ["rule 'narrow' never answers: rule 'wide' matches the same requests first"]


def test_texts_that_are_made_the_same_are_compared_so() -> None:
    rules = (on(prompt={"contains": "HI"}), on(prompt="hi"))
    assert reported(*rules) == []
    assert reported(*rules, defaults={"normalize": ["case"]}) == [
        "rules[1] never answers: rules[0] matches the same requests first"
    ]


def test_many_rules_are_compared_within_a_moment() -> None:
    rules = [on(prompt=f"question {number}") for number in range(5000)]
    rules += [on(prompt={"contains": f"part {number} of it"}) for number in range(3000)]
    loaded = load({"rules": rules})
    begin = time.process_time()
    assert warnings(loaded) == []
    assert time.process_time() - begin < 10


# Rules that nothing matches


@each_of(
    ("match", "reason"),
    [
        ({"provider": []}, "provider is an empty list"),
        ({"model": []}, "model is an empty list"),
        ({"any_of": []}, "any_of is an empty list"),
        ({"prompt": {"any_of": []}}, "prompt has an empty any_of"),
        ({"turn": {"in": []}}, "turn is in an empty list"),
        ({"turn": 0}, "turn is a whole number from 1 on, so it is never 0"),
        ({"turn": 1.5}, "turn is a whole number from 1 on, so it is never 1.5"),
        ({"attempt": {"in": [1, 2], "gt": 2}},
         "attempt is a whole number from 1 on, so it is never 1 or 2"),
        ({"turn": {"gt": 2, "lt": 3}}, "turn is a whole number from 1 on, and none is in the given range"),
        ({"messages": {"lt": 0}}, "messages is a whole number from 0 on, and none is in the given range"),
        ({"prompt": {"equals": "a", "contains": "b"}}, "prompt cannot equal 'a' and contain 'b'"),
        ({"prompt": {"equals": "a", "regex": "^b"}}, "prompt cannot equal 'a' and match the regex '^b'"),
        ({"prompt": {"equals": "a", "glob": "b*"}}, "prompt cannot equal 'a' and match the glob 'b*'"),
        ({"prompt": {"equals": "a", "any_of": ["b", "c"]}}, "prompt cannot equal 'a' and be any of the others"),
        ({"prompt": {"equals": "a", "not": "a"}}, "prompt is excluded by `not` whenever the rest holds"),
        ({"system": {"contains": "cat", "not": {"contains": "a"}}},
         "system is excluded by `not` whenever the rest holds"),
        ({"prompt": {"any_of": [{"equals": "a", "contains": "b"}]}}, "prompt cannot equal 'a' and contain 'b'"),
        ({"header": {"x": {"equals": "a", "contains": "b"}}}, "x cannot equal 'a' and contain 'b'"),
        ({"not": {}}, "`not` excludes what the rest requires"),
        ({"provider": "nadles", "not": {"provider": ["nadles", "serevix"]}}, "`not` excludes what the rest requires"),
        ({"all_of": [{"provider": "nadles"}, {"provider": "serevix"}]}, "no provider is in all of the lists"),
        ({"stream": True, "all_of": [{"stream": False}]}, "stream cannot be false and true at once"),
        ({"prompt": "a", "all_of": [{"prompt": "b"}]}, "the prompt cannot be two texts at once"),
        ({"all_of": [{"turn": 0}]}, "turn is a whole number from 1 on, so it is never 0"),
        ({"any_of": [{"turn": 0}, {"model": []}]},
         "turn is a whole number from 1 on, so it is never 0"),
        ({"body": {"path": "$.a", "gt": 2, "lt": 1}}, "body at $.a cannot be above 2 and below 1"),
        ({"body": {"path": "$.a", "gt": 2, "regex": "x"}}, "body at $.a cannot be both a number and a string"),
        ({"body": {"path": "$.a", "in": []}}, "body at $.a is never in an empty list"),
    ],
)  # fmt: skip
def test_a_rule_that_no_request_can_match_is_reported_with_the_reason(match: dict[str, Any], reason: str) -> None:
    assert reported({"match": match, **R}) == [f"rules[0]: no request can match: {reason}"]


def test_a_part_that_may_hold_is_enough() -> None:
    assert reported(on(any_of=[{"turn": 0}, {"turn": 1}])) == []
    assert reported(on(provider="nadles", not_={"provider": "nadles", "stream": True})) == []
    assert reported(on(prompt={"contains": "a", "not": {"contains": "cat"}})) == []


def test_operations_that_nobody_has_are_reported() -> None:
    known = sorted({operation.name for provider in PROVIDERS.values() for operation in provider.operations})
    assert reported(on(operation="chats")) == [
        f"rules[0]: no provider has operation 'chats'. Did you mean 'chat'? Operations: {', '.join(known)}"
    ]
    assert reported(on(provider="nadles", operation="models")) == [
        "rules[0]: nadles has no operation 'models'. Operations: chat"
    ]


def test_a_model_that_the_provider_refuses_is_reported() -> None:
    rule = on(provider="nadles", model="deepseek-r1")
    served = "deepseek-r1-distill-llama-70b-websearch"
    assert reported(rule) == [
        "rules[0]: no request can match: nadles rejects the model 'deepseek-r1'. "
        f"Models, set under providers.nadles.models: {served}"
    ]
    assert reported(rule, providers={"nadles": {"models": ["deepseek-r1"]}}) == []
    other = on(provider="deepseek", model="deepseek-r1")
    for models, listed in (("profile", "deepseek-flash, deepseek-v4-pro, "), (["mine"], "mine")):
        (warning,) = reported(other, providers={"deepseek": {"models": models}})
        assert warning.startswith("rules[0]: no request can match: deepseek rejects the model 'deepseek-r1'. ")
        assert f"Models, set under providers.deepseek.models: {listed}" in warning
    assert reported(other, providers={"deepseek": {"models": None}}) == []
    assert reported(on(provider="nadles", model="deepseek-r1*")) == []
    assert reported(on(provider=["nadles", "serevix"], model="deepseek-r1")) == []  # serevix serves any


# Accounts, names, states


def test_accounts_that_fit_no_rule_are_reported() -> None:
    accounts = [{"key": "a", "provider": "serevix"}, {"key": "a", "provider": "serevix"}]
    assert reported(on(provider="nadles"), on(prompt="x"), accounts=accounts) == [
        "rules[0]: no account is for nadles, so every request there is rejected",
        "accounts[1]: the key 'a' is listed twice",
    ]
    assert reported(on(provider="nadles"), accounts=[{"key": "a"}, {"key": "a", "provider": "serevix"}]) == []
    assert reported(on(key="b"), accounts=[{"key": "a"}]) == [
        "rules[0]: no request can match: no account has the key 'b'"
    ]
    assert reported(on(key="sk-fault-reset"), on(prompt="x", key={"glob": "b*"}), accounts=[{"key": "a"}]) == []


def test_two_rules_of_one_name_are_reported() -> None:
    rules = [{"name": "a", **on(prompt="1")}, {"name": "b", **on(prompt="2")}, {"name": "a", **on(prompt="3")}]
    assert reported(*rules) == ["there is a rule 'a' already (rules[0]): the journal can't show which of them answered"]


def test_states_that_lead_nowhere_are_reported() -> None:
    asked = {**on(prompt="x"), "set_state": "asked"}
    assert reported(asked, on(state="aksed")) == [
        "no rule sets the state 'aksed'. Did you mean 'asked'?",
        "no rule matches the state 'asked'. Did you mean 'aksed'?",
    ]
    assert reported(asked) == ["no rule matches the state 'asked'."]
    assert reported(on(any_of=[{"state": "gone"}, {"not": {"state": "away"}}])) == [
        "no rule sets the state 'gone'.",
        "no rule sets the state 'away'.",
    ]
    replies = {"replies": [{**R, "set_state": "one"}, {**R, "set_state": "two"}]}
    assert reported(replies) == ["no rule matches the state 'one'.", "no rule matches the state 'two'."]


def test_states_that_are_left_or_shown_are_not_reported() -> None:
    assert reported({**on(state="start"), "set_state": "done"}) == []  # so that it answers once
    assert reported({**on(prompt="x"), "set_state": "a"}, {**on(state="a"), "set_state": "end"}) == []
    assert reported({**on(prompt="x"), "set_state": "a"}, {"reply": {"content": "{{ state }}"}}) == []


# Words without effect


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"replies": [{**R, "chance": 1}, R], "then": "next_rule"},
         "then: next_rule has no effect: replies with a chance are drawn at random and never run out"),
        ({"replies": [{**R, "chance": 1}]}, "chance has no effect on the only reply"),
        ({"replies": [R, R], "times": 1}, "replies[1] is never sent: times: 1 uses up the rule before it"),
        ({"replies": [R, R], "times": 2, "then": "cycle"},
         "then: cycle has no effect: with times: 2, nothing follows the last reply"),
        ({**R, "chance": 1}, "chance is 1, so the rule never skips a request"),
        ({"error": "overloaded", "pace": {"ttft": 1}}, "pace has no effect: errors are sent at once"),
        ({"reply": {"tool_calls": [{"name": "f"}], "length": 80}}, "length has no effect: no text is generated"),
        ({"reply": {"from": "python:json:dumps", "style": "code"}}, "style has no effect: no text is generated"),
        ({"match": {"body": {"path": "$.a", "exists": False, "equals": 1}}, **R},
         "equals has no effect with exists: false"),
        ({"match": {"prompt": {"regex": "a"}}, "reply": {"content": "{{ groups['1'] }}"}},
         "groups is empty in its templates: no regex on the prompt has groups"),
        ({"match": {"header": {"x y": "a"}}, **R}, "no request has a header 'x y': not a valid header name"),
    ],
)  # fmt: skip
def test_words_without_effect_are_reported(rule: dict[str, Any], message: str) -> None:
    assert reported(rule) == [f"rules[0]: {message}"]


def test_words_with_effect_are_not_reported() -> None:
    assert reported({"replies": [R, {"error": "overloaded"}], "times": 5, "then": "cycle", "pace": {"ttft": 1}}) == []
    assert reported({"reply": {"length": 80, "style": "code"}}) == []
    named = {"prompt": {"any_of": ["x", {"regex": "in (.*)"}]}}
    assert reported({"match": named, "reply": {"content": "{{ groups['1'] }}"}}) == []


# Code


def test_code_that_cannot_be_found_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "__init__.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "answers" / "weather.py").write_text("def sun(request): ...\nfrom x import rain as wet\n")
    (tmp_path / "answers" / "starred.py").write_text("from x import *\n")
    (tmp_path / "answers" / "broken.py").write_text("def (:\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def said(code: str) -> list[str]:
        return reported({"reply": {"from": f"python:{code}"}})

    assert said("answers.weather:sun") == said("answers.weather:wet") == []
    assert said("answers.starred:anything") == said("answers.broken:anything") == []
    assert said("json:dumps") == said("math:sin") == said("sys:exit") == []
    assert said("answers.weather:snu") == ["rules[0]: there is no 'snu' in answers.weather. Did you mean 'sun'?"]
    assert said("answers.wether:sun") == ["rules[0]: there is no module 'answers.wether' on Python's module path"]
    assert said("nowhere.at.all:f") == ["rules[0]: there is no module 'nowhere' on Python's module path"]
    assert "answers" not in sys.modules


def test_code_beside_the_working_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "answers_here.py").write_text("def f(request): ...\n")
    monkeypatch.chdir(tmp_path)
    assert reported({"reply": {"from": "python:answers_here:f"}}) == []


# Slow regexes


@pytest.mark.parametrize(
    "pattern",
    [r"^(a+)+$", r"(a*)*b", r"\s+$", r".*.*.*x", r"[\w.]+@[\w.]+", r"(?i)\bweather in (?P<city>\w+)\b", r"(?a)\w", r""],
)
def test_regexes_of_linear_time_are_not_reported(pattern: str) -> None:
    assert reported(on(prompt={"regex": pattern})) == []


@pytest.mark.parametrize(
    ("pattern", "limit"),
    [
        (r"x(?=a)", "a lookahead or lookbehind"),
        (r"(?<!x)a", "a negative lookahead or lookbehind"),
        (r"(a+)\1", "a backreference"),
        (r"(a)?(?(1)b|c)", "a condition on a group"),
        (r"(?>a+)b", "an atomic group"),
        (r"a++b", "a possessive repetition"),
        (r"a{1001}", "more than 1000 repetitions"),
    ],
)
def test_regexes_that_need_another_engine_are_reported(pattern: str, limit: str) -> None:
    assert reported(on(prompt={"regex": pattern})) == [
        f"rules[0]: the regex {pattern!r} has {limit}, which can't be searched in linear time: after 5 ms, "
        "a text doesn't match"
    ]


def test_regexes_are_looked_for_everywhere() -> None:
    slow = {"regex": "(a+)+(?=b)"}
    places = {"system": slow, "message": {"not": slow}, "key": {"any_of": ["x", slow]}, "header": {"x": slow},
              "tool_result": {"content": slow}, "body": {"path": "$.a", **slow}, "not": {"prompt": slow}}  # fmt: skip
    for key, value in places.items():
        assert len(reported({"match": {key: value}, **R})) == 1, key


@pytest.mark.parametrize(
    ("path", "complaints"),
    [
        ("$.a[?search(@.b, 'x(?=a).')]", ["the regex 'x(?=a).' has a lookahead or lookbehind, which can't be"]),
        ("$.a[?!match(@, '(y') || @.n > 1]", ["the regex '(y' is not a regular expression, so it matches nothing: "]),
        ("$.a[?@.b[?search(@, 'a++b')]]", ["the regex 'a++b' has a possessive repetition, which can't be"]),
        ("$.a[?match(@.b, 'a.*') && search(@.c, $.pattern)]", []),
    ],
)
def test_regexes_in_a_json_path_are_looked_at_too(path: str, complaints: list[str]) -> None:
    found = reported({"match": {"body": {"path": path, "exists": True}}, **R})
    assert len(found) == len(complaints)
    assert all(text.startswith(f"rules[0]: {start}") for text, start in zip(found, complaints, strict=True))


def test_a_model_of_a_profile_can_be_asked_for() -> None:
    wanted = {"provider": "deepseek", "operation": "chat"}
    for model in ("deepseek-flash", "deepseek-v4-flash", "deepseek-v4-pro"):
        assert reported({"match": {**wanted, "model": model}, **R}) == []
    (complaint,) = reported({"match": {**wanted, "model": "deepseek-chat"}, **R})
    assert complaint.startswith("rules[0]: no request can match: deepseek rejects the model 'deepseek-chat'. Models, ")


# Places


def test_warnings_stand_where_the_words_stand_in_the_order_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("z.yaml").write_text(
        "version: 1\n"
        "include: a.yaml\n"
        "rules:\n"
        "  - name: all\n"
        "    reply: {}\n"
        "  - name: never\n"
        "    match:\n"
        "      prompt: {regex: '(?=a)'}\n"
        "      turn: 0\n"
        "    reply: {}\n"
    )
    Path("a.yaml").write_text(
        "version: 1\n"
        "accounts: [{key: a, provider: serevix}]\n"
        "rules:\n"
        "  - name: all\n"
        "    match: {provider: nadles}\n"
        "    replies:\n"
        "      - {reply: {}, set_state: on}\n"
        "      - {reply: {tool_calls: [{name: f}], length: 9}}\n"
    )
    assert [str(problem) for problem in warnings(load("z.yaml"))] == [
        "z.yaml:8:16: rule 'never': the regex '(?=a)' has a lookahead or lookbehind, which can't be "
        "searched in linear time: after 5 ms, a text doesn't match",
        "z.yaml:9:7: rule 'never': no request can match: turn is a whole number from 1 on, so it is never 0",
        "a.yaml:4:5: rule 'all' never answers: rule 'all' (z.yaml:4) matches the same requests first",
        "a.yaml:4:5: there is a rule 'all' already (z.yaml:4): the journal can't show which of them answered",
        "a.yaml:5:13: rule 'all': no account is for nadles, so every request there is rejected",
        "a.yaml:7:21: no rule matches the state 'on'.",
        "a.yaml:8:43: rule 'all': length has no effect: no text is generated",
    ]


# What is said is so


TEXTS = st.sampled_from(["", "a", "b", "ab", "A"])
TEXT_CONDITIONS = st.recursive(
    st.one_of(
        TEXTS.map(lambda text: {"equals": text}),
        TEXTS.map(lambda text: {"contains": text}),
        st.sampled_from([{"regex": "^a"}, {"regex": "b"}, {"glob": "a*"}, {"glob": "*"}]),
        st.builds(lambda one, two: {"equals": one, "contains": two}, TEXTS, TEXTS),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda parts: {"any_of": parts}),
        inner.map(lambda part: {"not": part}),
        st.builds(lambda one, two: {**one, "not": two}, inner, inner),
    ),
    max_leaves=3,
)
NUMBERS = st.sampled_from([0, 1, 2, 3, 1.5, {"gt": 1}, {"lt": 2}, {"gt": 1, "lt": 3}, {"in": [1, 2]}, {"in": []}])
PLAIN = st.fixed_dictionaries(
    {},
    optional={
        "prompt": TEXT_CONDITIONS,
        "message": TEXT_CONDITIONS,
        "turn": NUMBERS,
        "messages": NUMBERS,
        "provider": st.sampled_from(["serevix", ["serevix", "nadles"], []]),
        "operation": st.sampled_from(["chat", "models", ["chat", "completions", "models"]]),
        "model": st.sampled_from(["deepseek-*", "deepseek-v3", "*", "x*", []]),
        "stream": st.booleans(),
        "state": st.sampled_from(["start", "later"]),
        "tools": st.sampled_from(["f", ["f", "g"], "*"]),
        "header": st.sampled_from([{"x": None}, {"X": "1"}, {"x": {"contains": "1"}}]),
        "normalize": st.sampled_from([[], ["case"]]),
    },
)
MATCHES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.builds(lambda outer, parts: {**outer, "any_of": parts}, PLAIN, st.lists(inner, max_size=2)),
        st.builds(lambda outer, parts: {**outer, "all_of": parts}, PLAIN, st.lists(inner, max_size=2)),
        st.builds(lambda outer, part: {**outer, "not": part}, PLAIN, inner),
    ),
    max_leaves=3,
)
ASKED = st.builds(
    lambda prompt, provider, model, stream, state, operation, tools, header: MatchContext(
        request_of(
            prompt,
            provider=provider,
            model=model,
            stream=stream,
            operation=operation,
            tools=tools,
            headers={} if header is None else {"x": header},
        ),
        state=state,
    ),
    TEXTS,
    st.sampled_from(["serevix", "nadles", "cloudsway"]),
    st.sampled_from(["deepseek-v3", "x1"]),
    st.booleans(),
    st.sampled_from(["start", "later"]),
    st.sampled_from(["chat", "models", "completions"]),
    st.sampled_from([(), ("f",), ("f", "g")]),
    st.sampled_from([None, "1", "21"]),
)


def match_of(wanted: Mapping[str, Any]) -> Conditions:
    return compiled(Match.model_validate({"normalize": [], **wanted}))


def holds(wanted: Mapping[str, Any], ask: MatchContext) -> bool:
    (rule,) = ruleset_of({"match": wanted}).rules
    return all(condition.holds(ask) for condition in rule.conditions)


@counted(5)
@given(MATCHES, MATCHES, st.lists(ASKED, min_size=5, max_size=20))
def test_what_is_covered_is_really_taken(
    wide: dict[str, Any], narrow: dict[str, Any], asked: list[MatchContext]
) -> None:
    if covers(match_of(wide), match_of(narrow)):
        hit("test_what_is_covered_is_really_taken")
        for ask in asked:
            assert not holds(narrow, ask) or holds(wide, ask)


@given(MATCHES, st.lists(ASKED, min_size=1, max_size=10))
def test_everything_covers_itself(wanted: dict[str, Any], asked: list[MatchContext]) -> None:
    assert covers(match_of(wanted), match_of(wanted))
    assert covers(match_of({"operation": [*COMPLETIONS, "models"]}), match_of(wanted))


@counted(5)
@given(MATCHES, st.lists(ASKED, min_size=5, max_size=20))
def test_what_contradicts_itself_really_matches_nothing(wanted: dict[str, Any], asked: list[MatchContext]) -> None:
    if contradiction(match_of(wanted)) is not None:
        hit("test_what_contradicts_itself_really_matches_nothing")
        assert not any(holds(wanted, ask) for ask in asked)
