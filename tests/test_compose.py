"""What is generated if a scenario leaves something open: texts, JSON, tool calls, choices, templates, code."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate

from emulator import tokens
from emulator.generation.compose import context, wanted_tool, write
from emulator.generation.needs import UNSAID, RenderContext, SchemaError, WritingError, is_plain, is_quick
from emulator.generation.templates import NAMES
from emulator.reply import Reply, ReplyTemplate, Source
from emulator.request import Controls, HttpRequest, Message, ModelRequest, Tool, ToolCall
from emulator.scenario.replies import ReplyModel

OCCASION = RenderContext(seed=1, locale="en_US", now="2026-01-02T03:04:05+00:00", timestamp=1767323045)
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 18}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
WEATHER = Tool("get_weather", "the weather in a city", {"type": "object", "properties": {"city": {"type": "string"}},
                                                        "required": ["city"]})  # fmt: skip
MAIL = Tool("send_mail", "writes a letter to somebody", SCHEMA)


def request_of(prompt: str = "Tell me about tea", /, **controls: Any) -> ModelRequest:
    http_request = HttpRequest(
        "serevix", "POST", "/v1/chat/completions", {"user-agent": "test"}, "", b"{}", operation="chat"
    )
    messages = controls.pop("messages", (Message("user", prompt),))
    stream = controls.pop("stream", False)
    body = controls.pop("body", {"model": "deepseek-v3", "user_id": "u1"})
    return ModelRequest(http_request, "deepseek-v3", messages, stream, Controls(**controls), "sk", body)


def draft_of(**reply: Any) -> ReplyTemplate:
    return ReplyModel.model_validate(reply).to_draft()


def written(template: ReplyTemplate, request: ModelRequest, render_context: RenderContext = OCCASION) -> Reply:
    (reply,) = write(template, request, render_context)
    return reply


# What is said word for word


def test_a_reply_in_so_many_words_is_left_as_it_is() -> None:
    template = draft_of(content="Hi", reasoning="Hm", finish_reason="length", usage={"prompt": 3})
    assert is_plain(template, request_of())
    assert written(template, request_of()) == template.reply
    assert template.reply == Reply(content="Hi", reasoning="Hm", finish_reason="length", usage={"prompt": 3})


@pytest.mark.parametrize(
    ("template", "controls"),
    [
        (draft_of(content="Hi {{ turn }}"), {}),
        (draft_of(content="Hi"), {"n": 2}),
        (draft_of(content="Hi"), {"searches": True}),
        (draft_of(content="Hi", reasoning=True), {}),
        (draft_of(), {}),
        (draft_of(**{"from": "python:json:dumps"}), {}),
        (UNSAID, {}),
    ],
)
def test_whatever_is_left_open_is_not_plain(template: ReplyTemplate, controls: dict[str, Any]) -> None:
    assert not is_plain(template, request_of(**controls))


def test_what_takes_its_time_is_known() -> None:
    assert is_quick(draft_of(content="Hi {{ turn }}"), request_of())
    assert not is_quick(draft_of(content="Hi {{ fake.name }}"), request_of())
    assert not is_quick(draft_of(content="Hi {{ turn }}", alternatives=["{{ fake.name }}"]), request_of())
    assert is_quick(UNSAID, request_of())
    assert not is_quick(UNSAID, request_of(tools=(WEATHER,)))
    assert not is_quick(UNSAID, request_of(response_format="json_object"))
    assert not is_quick(draft_of(length="2000..3000 tokens"), request_of())


# Generated texts


def test_a_generated_text_has_the_wanted_length() -> None:
    for low, high in ((40, 120), (10, 12), (300, 320)):
        template = draft_of(length=f"{low}..{high} tokens") if (low, high) != (40, 120) else UNSAID
        assert low <= tokens.count(written(template, request_of()).content) <= high


def test_a_generated_text_takes_style_and_language() -> None:
    plain, markdown = draft_of(length=200), draft_of(length=200, style="markdown")
    assert "\n- " not in written(plain, request_of()).content
    assert "\n" in written(markdown, request_of()).content
    german = written(draft_of(locale="de_DE"), request_of()).content
    assert german != written(draft_of(), request_of()).content
    assert german == written(draft_of(), request_of(), RenderContext(seed=1, locale="de_DE")).content


@pytest.mark.parametrize(
    ("prompt", "locale", "rule", "note"),
    [
        ("Was ist Tee?", None, None, "simuliert"),
        ("Was ist Tee?", "en_US", None, "simulated"),
        ("Was ist Tee?", None, "fr_FR", "simulée"),
        ("Was ist Tee?", "en_US", "es_ES", "simulada"),
        ("¿Qué es el té?", None, None, "simulada"),
    ],
)
def test_the_language_is_the_rules_else_the_files_else_the_prompts(
    prompt: str, locale: str | None, rule: str | None, note: str
) -> None:
    template = draft_of(locale=rule) if rule else UNSAID
    assert note in written(template, request_of(prompt), RenderContext(seed=1, locale=locale)).content


def test_a_generated_text_takes_up_the_results_of_tools() -> None:
    messages = (
        Message("user", "What is the weather in Paris and in Rome?"),
        Message("assistant", "", tool_calls=(ToolCall("get_weather", "{}", "c1"), ToolCall("get_time", "{}", "c2"))),
        Message("tool", '{"city": "Paris", "degrees": 18}', tool_call_id="c1"),
        Message("tool", "broken", tool_call_id="c2", is_error=True),
    )
    said = written(draft_of(length=150), request_of(messages=messages)).content
    assert "According to get_weather: city: Paris, degrees: 18. The tool get_time reported an error: broken." in said
    unknown = (Message("user", "And?"), Message("tool", "18", tool_call_id="c9"))
    assert "According to c9: 18." in written(UNSAID, request_of(messages=unknown)).content


def test_the_same_question_gets_the_same_answer_however_it_is_asked() -> None:
    first = written(UNSAID, request_of())
    assert first == written(UNSAID, request_of(stream=True))
    assert first == written(UNSAID, request_of(max_tokens=5, stop=("x",), include_usage=True))
    assert first == written(UNSAID, request_of(body={"user_id": "somebody else"}))
    later = RenderContext(seed=1, locale="en_US", attempt=7, now="2030-01-01T00:00:00+00:00", state="other")
    assert first == written(UNSAID, request_of(), later)


def test_another_question_or_another_seed_gets_another_answer() -> None:
    answers = {
        written(UNSAID, request_of()).content,
        written(UNSAID, request_of("Tell me about coffee")).content,
        written(
            UNSAID, request_of(messages=(Message("system", "Be short"), Message("user", "Tell me about tea")))
        ).content,
        written(UNSAID, request_of(), RenderContext(seed=2, locale="en_US")).content,
    }
    assert len(answers) == 4


def test_choices_differ_and_the_first_is_that_of_a_single_choice() -> None:
    choices = write(UNSAID, request_of(n=4), OCCASION)
    assert len({choice.content for choice in choices}) == 4
    assert choices[0] == written(UNSAID, request_of())
    assert choices[:2] == write(UNSAID, request_of(n=2), OCCASION)


def test_alternatives_are_the_further_choices_in_turn() -> None:
    template = draft_of(content="one", alternatives=["two", "three {{ turn }}"])
    said = [choice.content for choice in write(template, request_of(n=6), OCCASION)]
    assert said == ["one", "two", "three 1", "two", "three 1", "two"]
    assert [choice.content for choice in write(draft_of(content="x"), request_of(n=3), OCCASION)] == ["x"] * 3


@pytest.mark.parametrize(
    ("reply", "thinking", "thought"),
    [
        ({}, True, True),
        ({}, False, False),
        ({}, None, False),
        ({"reasoning": False}, True, False),
        ({"reasoning": True}, None, True),
        ({"content": "Hi"}, True, False),
        ({"content": "Hi", "reasoning": True}, True, True),
        ({"reasoning": "Hm"}, True, True),
    ],
)
def test_reasoning_is_there_where_the_model_thinks_or_the_rule_says_so(
    reply: dict[str, Any], thinking: bool | None, thought: bool
) -> None:
    said = written(draft_of(**reply), request_of(thinking=thinking))
    assert (said.reasoning is not None) is thought
    if reply.get("reasoning") == "Hm":
        assert said.reasoning == "Hm"


def test_sources_are_invented_when_a_search_is_asked_for_and_none_are_given() -> None:
    invented = written(draft_of(content="Hi"), request_of(searches=True)).sources
    assert invented
    assert all(isinstance(row, Source) and row.url.startswith("http") for row in invented)
    assert written(draft_of(content="Hi"), request_of()).sources is None
    given = draft_of(content="Hi", summaries=[{"url": "http://a/{{ turn }}", "summary": None, "status": 404}])
    assert written(given, request_of(searches=True)).sources == (Source("http://a/1", None, 404),)
    assert written(draft_of(content="Hi", summaries=[]), request_of(searches=True)).sources == ()


# JSON


def test_json_fits_the_schema_of_the_request() -> None:
    asked = request_of(response_format="json_schema", schema=SCHEMA)
    first = written(UNSAID, asked).content
    validate(json.loads(first), SCHEMA)
    assert first == written(UNSAID, asked).content
    assert first != written(UNSAID, asked, RenderContext(seed=2, locale="en_US")).content
    assert first != written(UNSAID, request_of("Other", response_format="json_schema", schema=SCHEMA)).content


def test_json_mode_gives_an_object() -> None:
    for kind in ("json_object", "json_schema"):
        answer = json.loads(written(UNSAID, request_of(response_format=kind)).content)
        assert answer.keys() == {"answer", "confidence"}
        assert 0.5 <= answer["confidence"] <= 1


def test_a_schema_that_nothing_fits_is_reported() -> None:
    impossible = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "enum": []}}}
    with pytest.raises(WritingError, match="no JSON fits the schema of the request: "):
        written(UNSAID, request_of(response_format="json_schema", schema=impossible))


# Tools


@pytest.mark.parametrize(
    ("choice", "prompt", "called"),
    [
        ("none", "the weather?", None),
        ("auto", "the weather?", "get_weather"),
        ("auto", "Write to my mother", None),
        ("auto", "Send a mail", "send_mail"),
        ("auto", "Tell me about tea", None),
        ("auto", "what is it for you and the", None),  # words that stand in every description
        ("required", "Send a mail", "send_mail"),
        ("name:send_mail", "the weather?", "send_mail"),
        ("name:nobody", "the weather?", None),
    ],
)
def test_a_tool_is_called_as_the_choice_says(choice: str, prompt: str, called: str | None) -> None:
    asked = request_of(prompt, tools=(WEATHER, MAIL), tool_choice=choice)
    tool = wanted_tool(asked, 1)
    assert (tool.name if tool else None) == called
    reply = written(UNSAID, asked)
    assert [call.name for call in reply.tool_calls] == ([called] if called else [])
    assert bool(reply.content) is not bool(called)


def test_required_calls_some_tool_whatever_is_asked() -> None:
    asked = request_of(tools=(WEATHER, MAIL), tool_choice="required")
    assert {wanted_tool(asked, said).name for said in range(9)} == {"get_weather", "send_mail"}  # type: ignore[union-attr]
    assert wanted_tool(request_of(tool_choice="required"), 1) is None


def test_arguments_fit_the_parameters() -> None:
    asked = request_of(tools=(WEATHER, MAIL), tool_choice="name:send_mail")
    (call,) = written(UNSAID, asked).tool_calls
    validate(json.loads(call.arguments), SCHEMA)
    bare = request_of(tools=(Tool("f"),), tool_choice="required")
    assert json.loads(written(UNSAID, bare).tool_calls[0].arguments) == {}


def test_a_tool_is_not_called_again_once_it_has_answered() -> None:
    answered = (
        Message("user", "the weather?"),
        Message("assistant", "", tool_calls=(ToolCall("get_weather", "{}", "c1"),)),
        Message("tool", "18", tool_call_id="c1"),
    )
    reply = written(UNSAID, request_of(messages=answered, tools=(WEATHER,)))
    assert reply.tool_calls == ()
    assert reply.content


def test_scripted_calls_stand_as_they_are() -> None:
    template = draft_of(
        tool_calls=[{"name": "f", "arguments": {"a": 1}, "id": "x"}, {"name": "g", "arguments": "{bad"}]
    )
    assert written(template, request_of(tools=(WEATHER,), tool_choice="none")) == Reply(
        tool_calls=(ToolCall("f", '{"a":1}', "x"), ToolCall("g", "{bad"))
    )


# Templates


def test_every_name_of_templates_has_a_value() -> None:
    assert set(context(request_of(), OCCASION, 1)) == set(NAMES)


def test_templates_know_the_request_and_the_occasion() -> None:
    text = (
        "{{ request.model }} {{ request.user_id }} {{ request.prompt }} {{ request.provider }} {{ request.path }} "
        "{{ request.headers['user-agent'] }} {{ request.stream }} {{ request.body.user_id }} "
        "{{ request.messages[0].role }} {{ turn }} {{ attempt }} {{ state }} {{ groups.city }} "
        "{{ now }} {{ timestamp }}"
    )
    render_context = RenderContext(
        seed=1, locale="en_US", now="now", timestamp=5, state="asked", attempt=3, groups={"city": "Paris"}
    )
    assert written(draft_of(content=text), request_of("Hi"), render_context).content == (
        "deepseek-v3 u1 Hi serevix /v1/chat/completions test False u1 user 1 3 asked Paris now 5"
    )


def test_templates_are_rendered_wherever_texts_are_said() -> None:
    template = draft_of(content="{{ turn }}", reasoning="{{ turn }}", summaries=[{"url": "u", "summary": "{{ turn }}"}])
    assert written(template, request_of()) == Reply("1", "1", sources=(Source("u", "1"),))


def test_arguments_given_as_data_stay_json_whatever_is_put_in() -> None:
    arguments = {"a": "{{ request.prompt }}", "b": ["{{ turn | default('x') }}", 2, None], "{{ c }}": True}
    template = draft_of(tool_calls=[{"name": "f", "arguments": arguments}])
    (call,) = written(template, request_of('say "x"\n{{ y }}')).tool_calls
    assert json.loads(call.arguments) == {"a": 'say "x"\n{{ y }}', "b": ["1", 2, None], "{{ c }}": True}
    exact = draft_of(tool_calls=[{"name": "f", "arguments": '{"a": {{ request.prompt | tojson }}'}])
    assert written(exact, request_of("x")).tool_calls[0].arguments == '{"a": "x"'


def test_a_template_that_fails_is_reported() -> None:
    with pytest.raises(WritingError, match=r"a template failed: `groups.city` is undefined \(line 1 of the text\)"):
        written(draft_of(content="{{ groups.city }}"), request_of())


def test_invented_words_are_those_of_the_question_and_the_locale() -> None:
    template = draft_of(content="{{ fake.name }} of {{ fake.city }}")
    first = written(template, request_of())
    assert first == written(template, request_of())
    assert first != written(template, request_of("Other"))
    choices = write(template, request_of(n=2), OCCASION)
    assert choices[0] == first != choices[1]
    japanese = draft_of(content="{{ fake.name }}", locale="ja_JP")
    assert not written(japanese, request_of()).content.isascii()


# Code


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of a user: `python:MODULE:function`."""
    name = "answers_of_a_user"
    (tmp_path / f"{name}.py").write_text(
        "from emulator.reply import Reply\n"
        "def text(request): return f'You said {request.prompt}.'\n"
        "def reply(request): return Reply(content='Hi', finish_reason='length')\n"
        "def number(request): return 3\n"
        "def broken(request): return 1 / 0\n"
        "print('imported')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


ALLOWED = RenderContext(seed=1, locale="en_US", allows_code=True)


def test_code_is_called_with_the_request(module: str) -> None:
    assert written(draft_of(**{"from": f"python:{module}:text"}), request_of("Hi"), ALLOWED).content == "You said Hi."
    said = written(draft_of(**{"from": f"python:{module}:reply"}), request_of(), ALLOWED)
    assert said == Reply(content="Hi", finish_reason="length")
    kept = draft_of(**{"from": f"python:{module}:text", "id": "x"})
    assert written(kept, request_of("Hi"), ALLOWED) == Reply(content="You said Hi.", id="x")


def test_code_is_neither_called_nor_imported_unless_it_is_allowed(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WritingError, match=f"python:{module}:text is not called: start the server with --allow-code"):
        written(draft_of(**{"from": f"python:{module}:text"}), request_of())
    assert module not in sys.modules
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        ("number", "returned int; expected a string or an emulator.reply.Reply"),
        ("broken", "failed: ZeroDivisionError: division by zero"),
        ("missing", "failed: AttributeError: module 'answers_of_a_user' has no attribute 'missing'"),
    ],
)
def test_code_that_fails_is_reported(module: str, function: str, complaint: str) -> None:
    with pytest.raises(WritingError) as error:
        written(draft_of(**{"from": f"python:{module}:{function}"}), request_of(), ALLOWED)
    assert str(error.value) == f"python:{module}:{function} {complaint}"


def test_a_module_that_is_not_there_is_reported() -> None:
    with pytest.raises(WritingError, match="python:nowhere:f failed: ModuleNotFoundError: No module named 'nowhere'"):
        written(draft_of(**{"from": "python:nowhere:f"}), request_of(), ALLOWED)


def test_all_choices_of_an_answer_share_one_allowance_of_work() -> None:
    schema = {"type": "array", "minItems": 250, "items": {"type": "string", "format": "uri"}}
    few = request_of("Fill it in", response_format="json_schema", schema=schema, n=2)
    many = request_of("Fill it in", response_format="json_schema", schema=schema, n=100)

    assert len(write(UNSAID, few, OCCASION)) == 2
    with pytest.raises(SchemaError, match="was given up"):
        write(UNSAID, many, OCCASION)
