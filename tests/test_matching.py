"""Which rule answers: every condition, why the others do not, whose turn it is, and that the index changes nothing."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import each_of

from emulator.matching.conditions import Condition, MatchContext, normalized, tool_results
from emulator.matching.conditions.base import Compiling
from emulator.matching.residual import left_of, residuals
from emulator.matching.rules import RuleMatch, RuleSet, compile_rules, find, misses
from emulator.patterns import allow, compiled
from emulator.providers import COMPLETIONS
from emulator.reply import ErrorReply, ReplyTemplate
from emulator.request import Controls, HttpRequest, Message, ModelRequest, Tool, ToolCall
from emulator.scenario.sources import load


def request_of(prompt: str = "What is the weather?", /, **changes: Any) -> ModelRequest:
    """A chat: system, question, answer, then `prompt`; unless `messages` are given."""
    http_request = HttpRequest(
        provider=changes.get("provider", "serevix"),
        method="POST",
        path="/v1/chat/completions",
        headers=changes.get("headers", {"user-agent": "openai-python", "x-trace": "abc"}),
        query="",
        body=b"{}",
        operation=changes.get("operation", "chat"),
    )
    history = (Message("system", "Be kind."), Message("user", "Hi"), Message("assistant", "Hello!"))
    tools = tuple(Tool(name) for name in changes.get("tools", ()))
    return ModelRequest(
        http_request=http_request,
        model=changes.get("model", "deepseek-v3"),
        messages=changes.get("messages", (*history, Message("user", prompt))),
        stream=changes.get("stream", False),
        controls=Controls(tools=tools),
        key=changes.get("key", "sk-any"),
        body=changes.get("body", {"metadata": {"case": "cut", "tags": ["a", "b"]}, "n": 3, "user": None}),
    )


def ruleset_of(*rules: Mapping[str, Any], **more: Any) -> RuleSet:
    loaded = load({"rules": [{"reply": {"content": "x"}, **rule} for rule in rules], **more})
    return compile_rules(loaded.scenario, loaded.origins)


def matches(wanted: Mapping[str, Any], ask: MatchContext | ModelRequest, **more: Any) -> bool:
    ask = ask if isinstance(ask, MatchContext) else MatchContext(ask)
    return find(ruleset_of({"match": wanted}, **more), ask, {}) is not None


def miss(wanted: Mapping[str, Any], ask: MatchContext | ModelRequest, **more: Any) -> str:
    """The sentence for a rule that does not match."""
    ask = ask if isinstance(ask, MatchContext) else MatchContext(ask)
    ruleset = ruleset_of({"name": "rule", "match": wanted}, **more)
    assert find(ruleset, ask, {}) is None
    (sentence,) = misses(ruleset, ask)
    return sentence.removeprefix("rule: ")


CALLED = (
    Message("user", "Weather?"),
    Message("assistant", "", tool_calls=(ToolCall("get_weather", "{}", "c1"), ToolCall("get_time", "{}", "c2"))),
    Message("tool", "18 degrees", tool_call_id="c1"),
    Message("tool", "noon", tool_call_id="c2"),
)
WEATHER = request_of()
SHOWN = "'What is the weather?'"
HOLDS_AND_MISSES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"provider": "serevix"}, {"provider": "nadles"}, "provider is 'serevix', the rule expects 'nadles'"),
    (
        {"provider": ["nadles", "serevix"]},
        {"provider": ["nadles", "cloudsway"]},
        "provider is 'serevix', the rule expects 'nadles' or 'cloudsway'",
    ),
    ({"operation": "chat"}, {"operation": "models"}, "operation is 'chat', the rule expects 'models'"),
    ({"model": "DeepSeek-*"}, {"model": ["gpt-*", "o?"]}, "model is 'deepseek-v3', the rule expects 'gpt-*' or 'o?'"),
    ({"model": "deepseek-v[34]"}, {"model": "deepseek"}, "model is 'deepseek-v3', the rule expects 'deepseek'"),
    ({"prompt": "What is the weather?"}, {"prompt": "what is the weather?"},
     f"prompt {SHOWN} is not 'what is the weather?'"),
    ({"prompt": {"contains": "weather"}}, {"prompt": {"contains": "Weather"}},
     f"prompt {SHOWN} does not contain 'Weather'"),
    ({"prompt": {"regex": r"the (\w+)\?$"}}, {"prompt": {"regex": "^the"}},
     f"prompt {SHOWN} does not match the regex '^the'"),
    ({"prompt": {"glob": "what*?"}}, {"prompt": {"glob": "weather*"}},
     f"prompt {SHOWN} does not match the glob 'weather*'"),
    ({"prompt": {"any_of": ["x", {"contains": "is"}]}}, {"prompt": {"any_of": ["x", {"contains": "y"}]}},
     f"prompt {SHOWN} is not 'x' and does not contain 'y'"),
    ({"prompt": {"not": {"contains": "rain"}}}, {"prompt": {"not": {"contains": "weather"}}},
     f"prompt {SHOWN} is excluded by `not`"),
    ({"prompt": {"contains": "What", "glob": "*?"}}, {"prompt": {"contains": "What", "glob": "*!"}},
     f"prompt {SHOWN} does not match the glob '*!'"),
    ({"system": "Be kind."}, {"system": {"contains": "cruel"}}, "system 'Be kind.' does not contain 'cruel'"),
    ({"message": "Hello!"}, {"message": "Bye"}, "none of 4 messages matches: the last is not 'Bye'"),
    ({"turn": 2}, {"turn": 1}, "turn is 2, the rule expects exactly 1"),
    ({"turn": {"gt": 1, "lt": 3}}, {"turn": {"gt": 2, "lt": 9}},
     "turn is 2, the rule expects more than 2 and less than 9"),
    ({"turn": {"in": [1, 2]}}, {"turn": {"in": [1, 3], "gt": 2}},
     "turn is 2, the rule expects more than 2 and one of 1, 3"),
    ({"messages": 4}, {"messages": {"lt": 4}}, "the number of messages is 4, the rule expects less than 4"),
    ({"attempt": 1}, {"attempt": {"gt": 1_234_567}}, "attempt is 1, the rule expects more than 1234567"),
    ({"stream": False}, {"stream": True}, "stream is false, the rule expects true"),
    ({"header": {"User-Agent": {"contains": "openai"}}}, {"header": {"User-Agent": "curl"}},
     "header user-agent 'openai-python' is not 'curl'"),
    ({"header": {"x-other": None}}, {"header": {"x-trace": None}}, "header x-trace is present, the rule expects none"),
    ({"header": {"x-trace": "abc"}}, {"header": {"x-other": "abc"}}, "header x-other is missing"),
    ({"key": {"glob": "sk-*"}}, {"key": "sk-other"}, "the key is not 'sk-other'"),
    ({"state": "start"}, {"state": "asked"}, "state is 'start', the rule expects 'asked'"),
    ({"body": {"path": "$.metadata.case", "equals": "cut"}}, {"body": {"path": "$.metadata.case", "equals": "run"}},
     "body at $.metadata.case is 'cut', the rule expects equals 'run'"),
    ({"body": {"path": "$.metadata.tags", "contains": "b"}}, {"body": {"path": "$.metadata.tags", "contains": "c"}},
     """body at $.metadata.tags is ["a","b"], the rule expects contains 'c'"""),
    ({"body": {"path": "$.metadata.tags[*]", "equals": "b"}}, {"body": {"path": "$.metadata.tags[*]", "equals": "c"}},
     "body at $.metadata.tags[*] is 'a', the rule expects equals 'c'"),
    ({"body": {"path": "$.n", "gt": 2, "lt": 4}}, {"body": {"path": "$.n", "gt": 3.5}},
     "body at $.n is 3, the rule expects gt 3.5"),
    ({"body": {"path": "$.n", "in": [3, 4]}}, {"body": {"path": "$.n", "in": [True, "3"]}},
     "body at $.n is 3, the rule expects in true or '3'"),
    ({"body": {"path": "$.metadata.case", "regex": "^c"}}, {"body": {"path": "$.n", "regex": "3"}},
     "body at $.n is 3, the rule expects regex '3'"),
    ({"body": {"path": "$.user", "equals": None}}, {"body": {"path": "$.n", "equals": None}},
     "body at $.n is 3, the rule expects equals null"),
    ({"body": {"path": "$.user", "exists": True}}, {"body": {"path": "$.nothing", "exists": True}},
     "body at $.nothing is nothing, the rule expects exists true"),
    ({"body": {"path": "$.nothing", "exists": False}}, {"body": {"path": "$.user", "exists": False}},
     "body at $.user is null, the rule expects exists false"),
    ({"any_of": [{"turn": 9}, {"turn": 2}]}, {"any_of": [{"turn": 9}, {"state": "x", "turn": 2}]},
     "none of any_of holds: turn is 2, the rule expects exactly 9; state is 'start', the rule expects 'x'"),
    ({"all_of": [{"turn": 2}, {"stream": False}]}, {"all_of": [{"turn": 2}, {"stream": True}]},
     "stream is false, the rule expects true"),
    ({"not": {"turn": 9, "stream": False}}, {"not": {"turn": 2, "stream": False}}, "everything under `not` holds"),
]  # fmt: skip


@each_of(("holds", "fails", "sentence"), HOLDS_AND_MISSES)
def test_a_condition_holds_or_says_why_not(holds: dict[str, Any], fails: dict[str, Any], sentence: str) -> None:
    assert matches(holds, WEATHER)
    assert miss(fails, WEATHER) == sentence


def test_every_condition_has_a_row_in_this_table() -> None:
    from emulator.scenario.models import Match

    seen = {key for holds, _, _ in HOLDS_AND_MISSES for key in holds}
    keys = {field.alias or name for name, field in Match.model_fields.items()}
    assert keys - seen == {"tools", "tool_result", "normalize", "recorded"}  # they have tests of their own


def test_offered_tools_are_found_by_glob() -> None:
    asked = request_of(tools=["get_weather", "get_time"])
    assert matches({"tools": "get_*"}, asked)
    assert matches({"tools": ["get_weather", "*time"]}, asked)
    assert miss({"tools": ["get_weather", "send_*"]}, asked) == (
        "no tool 'send_*' is offered, only get_weather, get_time"
    )
    assert miss({"tools": "x"}, WEATHER) == "no tool 'x' is offered, only none at all"


def test_tool_results_are_found_by_function_and_content() -> None:
    asked = request_of(messages=CALLED)
    assert tool_results(asked) == [("get_weather", "18 degrees"), ("get_time", "noon")]
    assert matches({"tool_result": {}}, asked)
    assert matches({"tool_result": {"name": "get_*", "content": {"contains": "18"}}}, asked)
    assert matches({"tool_result": {"content": "noon"}}, asked)
    assert miss({"tool_result": {"name": "send"}}, asked) == "the tool result is of 'get_time', the rule expects 'send'"
    assert miss({"tool_result": {"content": "night"}}, asked) == "the tool result 'noon' is not 'night'"
    assert not matches({"tool_result": {"name": "get_time", "content": {"contains": "18"}}}, asked)
    reported = "the conversation does not end with a tool result"
    assert miss({"tool_result": {}}, WEATHER) == reported
    assert miss({"tool_result": {}}, request_of(messages=(*CALLED, Message("user", "And now?")))) == reported


def test_a_rule_answers_completions_unless_it_says_otherwise() -> None:
    models = request_of(operation="models", messages=())
    completions = " or ".join(f"'{name}'" for name in COMPLETIONS)
    assert miss({}, models) == f"operation is 'models', the rule expects {completions}"
    assert matches({"operation": ["models", "balance"]}, models)
    assert matches({}, request_of(operation="completions"))


def test_an_empty_list_matches_nothing() -> None:
    assert not matches({"model": []}, WEATHER)
    assert not matches({"provider": []}, WEATHER)
    assert not matches({"any_of": []}, WEATHER)
    assert not matches({"prompt": {"any_of": []}}, WEATHER)


def test_long_texts_are_shown_short() -> None:
    long = request_of("x" * 1000)
    assert miss({"prompt": "y"}, long) == f"prompt '{'x' * 60}…' is not 'y'"
    found = request_of(body={"a": list(range(100))})
    assert len(miss({"body": {"path": "$.a", "equals": 1}}, found)) < 120


def test_a_body_nested_too_deep_for_its_path_holds_nothing() -> None:
    body: dict[str, Any] = {}
    inner = body
    for _ in range(900):
        inner["a"] = {}
        inner = inner["a"]
    deep = request_of(body=body)
    assert miss({"body": {"path": "$..b", "exists": True}}, deep) == (
        "body at $..b is nothing, the rule expects exists true"
    )


def test_a_regex_sees_a_bounded_part_of_a_text() -> None:
    assert not matches({"prompt": {"regex": "end$"}}, request_of("x" * 70_000 + "end"))
    assert matches({"prompt": {"contains": "end"}}, request_of("x" * 70_000 + "end"))


# What is made the same before texts are compared


@pytest.mark.parametrize(
    ("how", "text", "other"),
    [
        ("whitespace", "  a\n\tb ", "a b"),
        ("case", "Straße", "STRASSE"),
        ("uuids", "id 123e4567-e89b-12d3-a456-426614174000!", "id 00000000-0000-0000-0000-000000000000!"),
        ("dates", "on 2026-01-02", "on 1999-12-31"),
        ("dates", "at 2026-01-02T03:04:05.678Z", "at 2026-01-02 03:04"),
    ],
)
def test_texts_are_made_the_same(how: str, text: str, other: str) -> None:
    assert normalized(text, [how]) == normalized(other, [how])
    for wanted in ({"equals": other}, {"contains": other}, {"not": {"not": other}}, {"any_of": [other]}):
        assert matches({"prompt": wanted, "normalize": [how]}, request_of(text))
        assert not matches({"prompt": wanted}, request_of(text))


def test_normalisation_comes_from_the_rule_or_else_from_the_file() -> None:
    file = {"defaults": {"normalize": ["case"]}}
    shouted = request_of("HELLO")
    assert matches({"prompt": "hello"}, shouted, **file)
    assert not matches({"prompt": "hello", "normalize": []}, shouted, **file)
    assert matches({"any_of": [{"prompt": "hello", "normalize": ["case"]}]}, shouted)
    assert not matches({"all_of": [{"prompt": "hello", "normalize": []}]}, shouted, **file)
    assert not matches({"key": "SK-ANY"}, shouted, **file)  # keys and headers are compared as they are


# Groups for templates


def groups(wanted: Mapping[str, Any], prompt: str, **more: Any) -> dict[str, Any]:
    found = find(ruleset_of({"match": wanted}, **more), MatchContext(request_of(prompt)), {})
    assert found is not None
    return found.rule.groups(prompt)


def test_groups_are_there_by_number_and_by_name() -> None:
    assert groups({"prompt": {"regex": r"(\w+) in (?P<city>\w+)( now)?"}}, "weather in Paris") == {
        "1": "weather",
        "2": "Paris",
        "3": None,
        "city": "Paris",
    }


def test_groups_come_from_wherever_the_prompt_is_asked_for() -> None:
    regex = {"regex": r"in (?P<city>\w+)"}
    for wanted in (
        {"prompt": {"any_of": ["x", regex]}},
        {"any_of": [{"prompt": "x"}, {"prompt": regex}]},
        {"all_of": [{"prompt": regex}]},
    ):
        assert groups(wanted, "in Rome")["city"] == "Rome"
    assert groups({"prompt": {"not": {"regex": "(x)"}}}, "in Rome") == {}


def test_groups_keep_the_letters_of_the_prompt_where_it_matches_as_it_stands() -> None:
    anyhow = {"prompt": {"regex": r"(?i)in (\w+)"}, "normalize": ["case"]}
    assert groups(anyhow, "In Rome") == {"1": "Rome"}
    lowered = {"prompt": {"regex": r"in (\w+)"}, "normalize": ["case"]}
    assert groups(lowered, "IN ROME") == {"1": "rome"}


# Whose turn it is


def says(found: RuleMatch | None) -> str | None:
    if found is None:
        return None
    content = found.answer.content
    return content.reply.content if isinstance(content, ReplyTemplate) else f"error {content.name or content.status}"


def said(*rules: Mapping[str, Any], times: int, seed: int = 0, fresh: bool = False, **more: Any) -> list[str | None]:
    """What the same request gets, so many times in a row; `fresh`: each time it is another request."""
    loaded = load({"rules": list(rules), **more})
    ruleset = compile_rules(loaded.scenario, loaded.origins)
    used: dict[int, int] = {}
    answers = []
    for number in range(1, times + 1):
        identity = str(number).encode() if fresh else b""
        found = find(ruleset, MatchContext(WEATHER, attempt=1 if fresh else number, identity=identity, seed=seed), used)
        if found is not None:
            used[found.rule.position] = used.get(found.rule.position, 0) + 1
        answers.append(says(found))
    return answers


ONE, TWO = {"reply": {"content": "one"}}, {"reply": {"content": "two"}}
NEXT = {"reply": {"content": "next"}}


def test_replies_come_in_turn() -> None:
    assert said({"replies": [ONE, TWO]}, NEXT, times=4) == ["one", "two", "two", "two"]
    assert said({"replies": [ONE, TWO], "then": "repeat_last"}, NEXT, times=3) == ["one", "two", "two"]
    assert said({"replies": [ONE, TWO], "then": "cycle"}, NEXT, times=5) == ["one", "two", "one", "two", "one"]
    assert said({"replies": [ONE, TWO], "then": "next_rule"}, NEXT, times=4) == ["one", "two", "next", "next"]
    assert said({"replies": [{"error": "overloaded"}, {"error": {"status": 418}}, ONE]}, times=3) == [
        "error overloaded",
        "error 418",
        "one",
    ]


def test_times_bound_how_often_a_rule_answers() -> None:
    assert said({**ONE, "times": 2}, NEXT, times=3) == ["one", "one", "next"]
    assert said({"replies": [ONE, TWO], "then": "cycle", "times": 3}, NEXT, times=4) == ["one", "two", "one", "next"]
    assert said({**ONE, "times": 1}, times=2) == ["one", None]


def test_priority_goes_before_the_order_of_the_file() -> None:
    rules: list[dict[str, Any]] = [ONE, {**TWO, "priority": 5}, {**NEXT, "priority": 5}, {**ONE, "priority": -1}]
    assert said(*rules, times=1) == ["two"]
    assert [rule.name for rule in ruleset_of(*rules).rules] == ["rules[1]", "rules[2]", "rules[0]", "rules[3]"]


def test_weights_draw_by_seed_request_and_attempt() -> None:
    weighted = {"name": "w", "replies": [{**ONE, "chance": 3}, {**TWO, "chance": 1}]}
    first = said(weighted, times=400)
    assert first == said(weighted, times=400)
    assert 260 < first.count("one") < 340
    assert first != said(weighted, times=400, seed=1)
    assert first != said(weighted, times=400, fresh=True)
    unsaid = said({"name": "w", "replies": [{**ONE, "chance": 9}, TWO]}, times=400)
    assert 340 < unsaid.count("one") < 380  # a weight that is not said is 1


def test_what_is_not_drawn_passes_to_the_next_rule() -> None:
    answers = said({"name": "c", **ONE, "chance": 0.25}, NEXT, times=400)
    assert answers == said({"name": "c", **ONE, "chance": 0.25}, NEXT, times=400)
    assert 70 < answers.count("one") < 130
    assert set(answers) == {"one", "next"}


def test_another_rule_changes_nothing_that_is_drawn() -> None:
    rule = {"name": "c", "match": {"prompt": {"contains": "weather"}}, **ONE, "chance": 0.5}
    other = {"match": {"prompt": "no"}, **TWO}
    assert said(rule, NEXT, times=50) == said(other, rule, other, NEXT, times=50)


def test_the_state_afterwards_is_that_of_the_reply_or_else_of_the_rule() -> None:
    ruleset = ruleset_of({"replies": [{**ONE, "set_state": "own"}, TWO], "set_state": "rule", "reply": None})
    found = [find(ruleset, MatchContext(WEATHER), {0: used}) for used in range(2)]
    assert [each.answer.set_state for each in found if each] == ["own", "rule"]


# Why nothing answers


def test_the_nearest_miss_stands_first() -> None:
    ruleset = ruleset_of(
        {"name": "far", "match": {"provider": "nadles", "turn": 2, "prompt": "x"}},
        {"name": "near", "match": {"provider": "serevix", "turn": 2, "prompt": "x"}},
        {"name": "half", "match": {"provider": "serevix", "turn": 1, "prompt": "x"}},
    )
    assert misses(ruleset, MatchContext(WEATHER)) == [
        f"near: prompt {SHOWN} is not 'x'",
        "half: turn is 2, the rule expects exactly 1",
        "far: provider is 'serevix', the rule expects 'nadles'",
    ]


def test_used_up_and_passed_over_are_distinguished() -> None:
    used_up = ruleset_of({"name": "once", "times": 1})
    assert find(used_up, MatchContext(WEATHER), {0: 1}) is None
    assert misses(used_up, MatchContext(WEATHER)) == ["once: it matches, but it is used up"]
    passed = ruleset_of({"name": "rare", "chance": 0.000001})
    assert misses(passed, MatchContext(WEATHER)) == ["rare: skipped by its `chance`"]


def test_a_bounded_number_of_misses_is_reported() -> None:
    ruleset = ruleset_of(*[{"match": {"prompt": str(number)}} for number in range(25)])
    reported = misses(ruleset, MatchContext(WEATHER))
    assert len(reported) == 21
    assert reported[0] == f"rules[0]: prompt {SHOWN} is not '0'"
    assert reported[-1] == "… and 5 more rules"
    assert misses(ruleset, MatchContext(WEATHER), most=24)[-1] == "… and 1 more rule"
    assert len(misses(ruleset, MatchContext(WEATHER), most=25)) == 25


def test_a_rule_knows_where_it_stands() -> None:
    loaded = load({"rules": [{"reply": {}}, {"name": "b", "error": {"status": 500, "message": "No"}}]})
    first, second = compile_rules(loaded.scenario, ["a.yaml:3:5"]).rules
    assert (first.name, first.origin, second.name, second.origin) == ("rules[0]", "a.yaml:3:5", "b", "rules[1]")
    assert second.answers[0].content == ErrorReply(status=500, message="No")


# The index of literal prompts is only quicker


PROMPTS = st.sampled_from(["", "a", "b", "A", "ab", "c d"])
MATCHES = st.fixed_dictionaries(
    {},
    optional={
        "prompt": st.one_of(
            PROMPTS,
            st.builds(lambda text: {"contains": text}, PROMPTS),
            st.builds(lambda text, part: {"equals": text, "contains": part}, PROMPTS, PROMPTS),
            st.builds(lambda text: {"not": text}, PROMPTS),
            st.builds(lambda text: {"any_of": [text, "z"]}, PROMPTS),
        ),
        "provider": st.sampled_from(["serevix", "nadles", ["serevix", "cloudsway"]]),
        "model": st.sampled_from(["deepseek-*", "other"]),
        "stream": st.booleans(),
        "turn": st.sampled_from([1, 2]),
        "state": st.sampled_from(["start", "later"]),
        "normalize": st.sampled_from([[], ["case"]]),
        "header": st.just({"x": None}),
    },
)
RULES = st.fixed_dictionaries(
    {"match": MATCHES},
    optional={
        "priority": st.integers(-1, 1),
        "times": st.integers(1, 2),
        "chance": st.sampled_from([0.5, 1.0]),
    },
)
ASKED = st.builds(
    lambda prompt, provider, model, stream, state: MatchContext(
        request_of(prompt, provider=provider, model=model, stream=stream), state=state, identity=prompt.encode()
    ),
    PROMPTS,
    st.sampled_from(["serevix", "nadles"]),
    st.sampled_from(["deepseek-v3", "other"]),
    st.booleans(),
    st.sampled_from(["start", "later"]),
)


def tried_one_by_one(ruleset: RuleSet, ask: MatchContext, used: Mapping[int, int]) -> str | None:
    allow()
    for rule in ruleset.rules:
        if all(condition.holds(ask) for condition in rule.conditions) and not rule.skips(ask):
            answer = rule.answer(used.get(rule.position, 0), ask)
            if answer is not None:
                return rule.name
    return None


@given(st.lists(RULES, max_size=8), st.lists(ASKED, min_size=1, max_size=8), st.booleans())
def test_the_index_finds_what_trying_every_rule_finds(
    rules: list[dict[str, Any]], asked: list[MatchContext], is_normalized: bool
) -> None:
    ruleset = ruleset_of(*rules, defaults={"normalize": ["case"]} if is_normalized else {})
    used: dict[int, int] = {}
    for ask in asked:
        found = find(ruleset, ask, used)
        assert (found.rule.name if found else None) == tried_one_by_one(ruleset, ask, used)
        if found:
            used[found.rule.position] = used.get(found.rule.position, 0) + 1
        else:
            assert len(misses(ruleset, ask)) == len(rules)


WORDS = [
    "order",
    "Order",
    "ORDERS",
    "cancel",
    "number",
    "numb",
    "0001",
    "0002",
    "00",
    "er n",
    "KELVIN",
    "Kelvin",
    "straße",
    "é",
]
WANTED = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
MANY = st.one_of(
    st.builds(lambda text: {"contains": text}, WANTED),
    st.builds(lambda text: {"regex": rf"\b{text}\b"}, WANTED),
    st.builds(lambda text: {"regex": f"(?i){text}.*er"}, WANTED),
    st.builds(lambda text, part: {"contains": text, "regex": part}, WANTED, WANTED),
    WANTED,
)


@given(st.lists(MANY, min_size=30, max_size=60), st.lists(WANTED, min_size=1, max_size=8))
def test_many_rules_are_looked_up_by_what_they_want(prompts: list[Any], asked: list[str]) -> None:
    ruleset = ruleset_of(*[{"match": {"prompt": prompt}} for prompt in prompts])
    for prompt in asked:
        found = find(ruleset, MatchContext(request_of(prompt)), {})
        assert (found.rule.name if found else None) == tried_one_by_one(ruleset, MatchContext(request_of(prompt)), {})


def test_classes_of_requests_beyond_the_most_that_are_kept_are_sorted_out_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.matching.rules.MAX_CLASSES", 1)
    ruleset = ruleset_of(
        {"match": {"model": "a"}, "reply": {"content": "a"}}, {"match": {"model": "b"}, "reply": {"content": "b"}}
    )
    asked = [MatchContext(request_of(model=model)) for model in "abab"]
    assert [says(find(ruleset, ask, {})) for ask in asked] == ["a", "b", "a", "b"]
    assert len(ruleset._classes) == 1


class Late(Condition[int]):
    """A condition that does not say what it reads."""

    key = "late"
    depends_on = "more"

    def holds(self, ask: MatchContext) -> bool:
        return ask.state == "later" and ask.attempt >= self.value

    def mismatch(self, ask: MatchContext) -> str:
        return "it is early"


def test_what_a_rule_does_in_each_state_and_attempt_is_known_before() -> None:
    ruleset = ruleset_of(
        {"match": {"prompt": {"regex": "größe[0-9]"}}, "reply": {"content": "never"}},
        {"match": {"not": {"state": "later"}}, "reply": {"content": "first"}, "set_state": "later", "times": 1},
        {"reply": {"content": "second"}, "set_state": "last", "times": 1},
        {"match": {"attempt": {"gt": 1}}, "reply": {"content": "third"}},
    )
    late = Late(2, Compiling((), (), lambda *_: ()))
    rules = [replace(rule, conditions=(late,)) if rule.position == 2 else rule for rule in ruleset.rules]
    ruleset = RuleSet(tuple(rules))
    ask = MatchContext(request_of())
    left = left_of(ruleset, ask)
    assert [(row.rule.name, row.when) for row in residuals(left, ruleset, ask, range(1, 4))] == [
        ("rules[1]", {"later": "000", None: "111"}),
        ("rules[2]", {"start": "000", "later": "011", "last": "000", None: "000"}),
        ("rules[3]", {None: "011"}),
    ]


def test_ten_thousand_literal_prompts_cost_no_more_than_one() -> None:
    ruleset = ruleset_of(
        *[{"name": str(number), "match": {"prompt": f"question {number}"}} for number in range(10_000)]
    )
    asks = [MatchContext(request_of(f"question {number}")) for number in range(0, 10_000, 100)]
    find(ruleset, asks[0], {})  # the index is made when it is first needed
    begin = time.process_time()
    found = [find(ruleset, ask, {}) for ask in asks]
    assert time.process_time() - begin < 0.1
    assert [each.rule.name for each in found if each] == [str(number) for number in range(0, 10_000, 100)]


def test_a_regex_that_matches_anywhere_is_compiled_once() -> None:
    ruleset = ruleset_of({"match": {"prompt": {"regex": "a(b)"}}})
    assert ruleset.rules[0].patterns == (compiled("a(b)"),)


@given(
    st.permutations(["order number 1", "order number", "order numbers", "the weather", "weather", "w", "(?i)weather"])
)
def test_rules_whose_texts_begin_alike_are_tried_in_order(texts: list[str]) -> None:
    rules = [
        {"name": text, "match": {"prompt": {"regex" if "?" in text else "contains": text}}, **ONE} for text in texts
    ]
    for prompt in ("The weather and order number 1", "order number 7, WEATHER", "the weather", "nothing"):
        found = find(ruleset_of(*rules), MatchContext(request_of(prompt)), {})
        fitting = [text for text in texts if text in prompt or ("?" in text and "weather" in prompt.lower())]
        assert (None if found is None else found.rule.name) == (fitting[0] if fitting else None)
