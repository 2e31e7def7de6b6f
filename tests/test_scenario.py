"""What a scenario may contain: short forms mean the same as long ones, and each mistake is one sentence with its
position.
"""

import json
from decimal import Decimal
from typing import Any

import pytest
from tables import each_of

from emulator.errors import ScenarioError
from emulator.faults.base import known_errors
from emulator.matching.conditions.values import glob_pattern
from emulator.providers import PROVIDERS
from emulator.providers.base import ERROR_NAMES
from emulator.reply import ErrorReply, Reply, ReplyTemplate, Source
from emulator.request import ToolCall
from emulator.scenario.fields import texts_of
from emulator.scenario.loading import build, parse
from emulator.scenario.models import (
    ErrorModel,
    Match,
    RuleModel,
    Scenario,
)
from emulator.scenario.replies import ReplyModel


def scenario_of(text: str) -> Scenario:
    return build(Scenario, parse(f"version: 1\n{text}", "a.yaml"))


def validation_errors(text: str) -> list[str]:
    with pytest.raises(ScenarioError) as error:
        scenario_of(text)
    return [str(problem) for problem in error.value.problems]


def match_of(**wanted: Any) -> Match:
    return Match.model_validate(wanted)


# Short forms


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ({"provider": "nadles"}, {"provider": ["nadles"]}),
        ({"model": "a*"}, {"model": ["a*"]}),
        ({"operation": "chat"}, {"operation": ["chat"]}),
        ({"tools": "get_*"}, {"tools": ["get_*"]}),
        ({"prompt": "Hi"}, {"prompt": {"equals": "Hi"}}),
        ({"prompt": {"not": "Hi"}}, {"prompt": {"not": {"equals": "Hi"}}}),
        ({"prompt": {"any_of": ["a", "b"]}}, {"prompt": {"any_of": [{"equals": "a"}, {"equals": "b"}]}}),
        ({"system": "a", "message": "b", "key": "c"}, {name: {"equals": text} for name, text in
                                                       (("system", "a"), ("message", "b"), ("key", "c"))}),
        ({"header": {"x": "a"}}, {"header": {"x": {"equals": "a"}}}),
        ({"tool_result": {"content": "a"}}, {"tool_result": {"content": {"equals": "a"}}}),
        ({"turn": 1}, {"turn": {"equals": 1}}),
        ({"messages": 2, "attempt": 3}, {"messages": {"equals": 2}, "attempt": {"equals": 3}}),
        ({"body": {"path": "$.a", "equals": 1}}, {"body": [{"path": "$.a", "equals": 1}]}),
    ],
)  # fmt: skip
def test_a_short_form_means_the_long_one(short: dict[str, Any], long: dict[str, Any]) -> None:
    assert match_of(**short) == match_of(**long)


def test_an_error_may_be_just_its_name() -> None:
    rule = RuleModel.model_validate({"error": "overloaded"})
    assert rule.error == ErrorModel(name="overloaded")
    assert rule == RuleModel.model_validate({"error": {"name": "overloaded"}})
    assert rule.error.to_reply() == ErrorReply(name="overloaded")


def test_a_fault_may_be_one_line_and_one_fault_needs_no_list() -> None:
    short = scenario_of("faults: reset:after_tokens=5").faults
    assert short == scenario_of("faults: [{kind: reset, after_tokens: 5}]").faults
    assert short == scenario_of("faults: {kind: reset, after_tokens: 5}").faults
    assert [fault.kind for fault in scenario_of("faults: [stall, 503, overloaded]").faults] == [
        "stall",
        "error",
        "error",
    ]


@pytest.mark.parametrize(
    ("written", "length"),
    [(80, (80, 80)), ("80", (80, 80)), ("80 tokens", (80, 80)), ("1 token", (1, 1)), ("40..120 tokens", (40, 120)),
     (" 40 .. 120 ", (40, 120)), ("40..40", (40, 40))],
)  # fmt: skip
def test_a_length_is_a_number_of_tokens_or_a_range(written: Any, length: tuple[int, int]) -> None:
    assert ReplyModel.model_validate({"length": written}).to_draft().length == length


@pytest.mark.parametrize("written", ["", "long", "120..40", 0, "0..5", 100_001, "5..", "..5", "5 words", True, 5.5])
def test_a_length_is_nothing_else(written: Any) -> None:
    (reported,) = validation_errors(f"rules: [{{reply: {{length: {json.dumps(written)}}}}}]")
    assert reported.startswith(f"a.yaml:2:18: rules[0].reply.length is {written!r}: ")


def test_quotas_take_words_for_their_window() -> None:
    quotas = scenario_of(
        "quotas: [{requests: 1}, {tokens: 1, per: hour}, {tokens: 1, per: month}, {requests: 1, per: 5}]"
    )
    assert [quota.per for quota in quotas.quotas] == [60.0, 3600.0, None, 5.0]


def test_a_locale_gets_its_full_name() -> None:
    assert scenario_of("locale: de").locale == scenario_of("locale: de-DE").locale == "de_DE"


def test_a_balance_is_exact() -> None:
    account = scenario_of('accounts: [{key: a, balance: "0.10"}, {key: b, balance: 0.1}, {key: c}]').accounts
    assert [each.balance for each in account] == [Decimal("0.10"), Decimal("0.1"), None]


# What replies and errors become


def test_a_reply_becomes_a_draft() -> None:
    model = ReplyModel.model_validate(
        {
            "content": "Hi",
            "reasoning": "Hm",
            "alternatives": ["Ho"],
            "tool_calls": [
                {"name": "f", "arguments": {"a": [1, None]}},
                {"name": "g"},
                {"name": "h", "arguments": "x"},
            ],
            "summaries": [{"url": "u"}, {"url": "v", "summary": None, "status": 500, "error": "E"}],
            "usage": {"prompt": 1, "cached": 0},
            "finish_reason": "stop",
            "headers": {"x-a": "b"},
            "locale": "fr",
        }
    )
    calls = (ToolCall("f", '{"a":[1,null]}'), ToolCall("g", "{}"), ToolCall("h", "x"))
    assert model.to_draft() == ReplyTemplate(
        reply=Reply(
            content="Hi",
            reasoning="Hm",
            tool_calls=calls,
            sources=(Source("u", ""), Source("v", None, 500, "E")),
            usage={"prompt": 1, "cached": 0},
            finish_reason="stop",
            headers={"x-a": "b"},
        ),
        alternatives=("Ho",),
        arguments=({"a": [1, None]}, {}, "x"),
        locale="fr_FR",
    )


@pytest.mark.parametrize(
    ("reply", "is_templated", "writes_content", "writes_reasoning"),
    [
        ({}, False, True, None),
        ({"content": ""}, False, False, None),
        ({"content": "{{ turn }}"}, True, False, None),
        ({"reasoning": "{# x #}"}, True, True, None),
        ({"reasoning": True}, False, True, True),
        ({"reasoning": False}, False, True, False),
        ({"tool_calls": [{"name": "f"}]}, False, False, None),
        ({"tool_calls": [{"name": "f", "arguments": {"a": ["{{ turn }}"]}}]}, True, False, None),
        ({"tool_calls": [{"name": "f", "arguments": "{{ turn }}"}]}, True, False, None),
        ({"alternatives": ["{% if turn %}{% endif %}"]}, True, True, None),
        ({"summaries": [{"url": "{{ turn }}"}]}, True, True, None),
        ({"from": "python:a.b:c"}, False, False, None),
    ],
)
def test_a_draft_knows_what_is_left_open(
    reply: dict[str, Any], is_templated: bool, writes_content: bool, writes_reasoning: bool | None
) -> None:
    template = ReplyModel.model_validate(reply).to_draft()
    assert (template.is_templated, template.writes_content, template.writes_reasoning) == (
        is_templated,
        writes_content,
        writes_reasoning,
    )


def test_an_error_spelled_out_keeps_every_part() -> None:
    parts: dict[str, Any] = {"name": "timeout", "status": 504, "message": "m", "type": "t", "code": "c", "param": "p",
             "headers": {"retry-after": "1"}, "body": {"a": 1}}  # fmt: skip
    assert ErrorModel.model_validate(parts).to_reply() == ErrorReply(**parts)


def test_every_error_of_every_provider_can_be_named() -> None:
    assert known_errors()[: len(ERROR_NAMES)] == list(ERROR_NAMES)
    for provider in PROVIDERS.values():
        assert set(provider.errors) <= set(known_errors())
    for name in known_errors():
        ErrorModel(name=name)


# Mistakes


@each_of(
    ("text", "complaint"),
    [
        ("sed: 1", "a.yaml:2:1: sed is not a valid key. Did you mean 'seed'? Keys: "),
        ("rules: [{}]", "a.yaml:2:9: rules[0] needs exactly one of reply, error and replies, but has none"),
        (
            "rules: [{reply: {}, error: timeout}]",
            "a.yaml:2:9: rules[0] needs exactly one of reply, error and replies, but has reply and error",
        ),
        ("rules: [{replies: []}]", "a.yaml:2:10: rules[0].replies is empty: give at least one reply or error"),
        ("rules: [{reply: {}, then: cycle}]", "a.yaml:2:9: rules[0] has `then` without `replies`"),
        ("rules: [{replies: [{reply: {}}], then: next}]", "a.yaml:2:34: rules[0].then is 'next'. Did you mean"),
        ("rules: [{replies: [{}]}]", "a.yaml:2:20: rules[0].replies[0] needs exactly one of reply and error"),
        ("rules: [{error: overlode}]", "a.yaml:2:10: rules[0].error.name is 'overlode'. Did you mean 'overloaded'?"),
        ("rules: [{error: {message: x}}]", "a.yaml:2:10: rules[0].error needs a name or a status"),
        ("rules: [{error: {status: 99}}]", "a.yaml:2:18: rules[0].error.status is 99; expected at least 200"),
        (
            "rules: [{reply: {content: x, length: 5}}]",
            "a.yaml:2:10: rules[0].reply has content and length, which is only for generated text: remove one of them",
        ),
        (
            'rules: [{reply: {content: "{{ reqest }}"}}]',
            "a.yaml:2:18: rules[0].reply.content is an invalid template: there is no 'reqest' in templates. "
            "Did you mean 'request'?",
        ),
        (
            'rules: [{reply: {tool_calls: [{name: f, arguments: {a: ["{{ turn"]}}]}}]',
            "a.yaml:2:41: rules[0].reply.tool_calls[0].arguments is an invalid template: syntax error",
        ),
        ("rules: [{reply: {from: 'a:b'}}]", "a.yaml:2:18: rules[0].reply.from is 'a:b': write python:module:function"),
        (
            "rules: [{reply: {headers: {'a b': c}}}]",
            "a.yaml:2:18: rules[0].reply.headers has 'a b', which is not a header name: use letters, digits "
            "and -",
        ),
        (
            'rules: [{error: {status: 500, headers: {a: "b\\r\\nc: d"}}}]',
            "a.yaml:2:31: rules[0].error.headers has a value for 'a' that a header can't carry: "
            "use one line of Latin-1"
        ),
        ("rules: [{chance: 0, reply: {}}]", "a.yaml:2:10: rules[0].chance is 0; expected more than 0"),
        ("rules: [{times: 0, reply: {}}]", "a.yaml:2:10: rules[0].times is 0; expected at least 1"),
        ("rules: [{times: '2', reply: {}}]", "a.yaml:2:10: rules[0].times is '2'; expected a whole number"),
        (
            "rules: [{match: {provider: nadels}, reply: {}}]",
            "a.yaml:2:18: rules[0].match.provider is 'nadels'. Did you mean 'nadles'? Providers: ",
        ),
        (
            "rules: [{match: {provider: [nadles, serevx]}, reply: {}}]",
            "a.yaml:2:37: rules[0].match.provider[1] is 'serevx'. Did you mean 'serevix'?",
        ),
        (
            "rules: [{match: {prompt: {}}, reply: {}}]",
            "a.yaml:2:18: rules[0].match.prompt is empty: give equals, contains, regex, glob, any_of or not",
        ),
        ("rules: [{match: {turn: {}}, reply: {}}]", "a.yaml:2:18: rules[0].match.turn is empty: give equals, gt"),
        (
            "rules: [{match: {prompt: {regex: '('}}, reply: {}}]",
            "a.yaml:2:27: rules[0].match.prompt.regex is '(', which is not a regular expression: missing )",
        ),
        (
            "rules: [{match: {body: {path: '$[', equals: 1}}, reply: {}}]",
            "a.yaml:2:25: rules[0].match.body.path is '$[', which is not a JSONPath: unexpected end of query",
        ),
        (
            "rules: [{match: {body: {path: '$.a'}}, reply: {}}]",
            "a.yaml:2:18: rules[0].match.body has only a path: give equals, contains, regex, in, gt",
        ),
        ("accounts: [{key: ''}]", "a.yaml:2:13: accounts[0].key is ''; expected a string of at least 1 character"),
        ("accounts: [{key: a, provider: x}]", "a.yaml:2:21: accounts[0].provider is 'x'. Providers: "),
        ("quotas: [{per: hour}]", "a.yaml:2:10: quotas[0] has no limit: give requests, tokens or concurrency"),
        ("quotas: [{requests: 1, per: minut}]", "a.yaml:2:24: quotas[0].per is 'minut'. Did you mean 'minute'?"),
        ("providers: {nadels: {}}", "a.yaml:2:13: providers.nadels is not a valid key. Did you mean 'nadles'?"),
        ("providers: {nadles: {summaris: x}}", "a.yaml:2:22: providers.nadles.summaris is not a valid key."),
        ("locale: xx", "a.yaml:2:1: locale is 'xx'. Unknown locale 'xx'."),
        ("defaults: {pace: {jitter: 2}}", "a.yaml:2:19: defaults.pace.jitter is 2; expected at most 1"),
        ("faults: [{kind: resett}]", "a.yaml:2:11: faults[0].kind is 'resett'. Did you mean 'reset'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_where_it_stands(text: str, complaint: str) -> None:
    (reported,) = validation_errors(text)
    assert reported.startswith(complaint)


def test_the_version_is_required() -> None:
    with pytest.raises(ScenarioError) as error:
        build(Scenario, parse("rules: []", "a.yaml"))
    assert [str(problem) for problem in error.value.problems] == [
        "a.yaml:1:1: version is missing: start the scenario with the line `version: 1`"
    ]


# Globs and texts


@pytest.mark.parametrize(
    ("globs", "fitting", "other"),
    [
        (("a*",), ["a", "ABC", "a\nb"], ["ba", ""]),
        (("gpt-?", "o[13]"), ["gpt-4", "o1", "O3"], ["gpt-40", "o2", "xo1"]),
        (("*",), ["", "anything"], []),
        ((), [], ["", "a"]),
    ],
)
def test_globs_fit_the_whole_of_a_name(globs: tuple[str, ...], fitting: list[str], other: list[str]) -> None:
    pattern = glob_pattern(globs)
    assert [name for name in (*fitting, *other) if pattern.match(name)] == fitting


def test_every_text_in_a_value_is_found() -> None:
    assert list(texts_of({"a": ["b", {"c": "d"}, 3, None], "e": ("f",)})) == ["b", "d", "f"]
