"""Templates: what they can express, and that they can't reach Python, fill the memory or run forever."""

import time
import tracemalloc
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import each_of
from talk import KEYS, PATHS, question, single

from emulator import Emulator
from emulator.generation import prose, templates
from emulator.generation.templates import FILTERS, MAX_LENGTH, NAMES, TemplateError, check, render

CONTEXT: dict[str, Any] = {
    "request": {
        "model": "deepseek-v3",
        "prompt": "Hi, <you>",
        "messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}],
        "body": {"stop": None, "metadata": {"case": "a"}, "temperature": 0.5},
        "headers": {"user-agent": "test"},
    },
    "turn": 2,
    "attempt": 1,
    "state": "start",
    "groups": {"1": "Paris", "city": "Paris", "2": None},
    "now": "2026-01-02T03:04:05+00:00",
    "timestamp": 1767323045,
    "fake": templates.Faked(prose.fake("en_US", 1)),
}


@each_of(
    ("template", "said"),
    [
        ("no template", "no template"),
        ("{{ request.model }}", "deepseek-v3"),
        ("{{ request['model'] | upper }}!", "DEEPSEEK-V3!"),
        ("{{ request.messages[0].content }} {{ (request.messages | last).role }}", "one assistant"),
        ("{{ request.messages | map(attribute='content') | join(', ') }}", "one, two"),
        ("{{ request.messages | length }} {{ 1 + turn * 2 }}", "2 5"),
        ("{{ request.body.stop }}|{{ groups['2'] }}|", "||"),
        ("{{ request.user | default('nobody') }}", "nobody"),
        ("{{ 'again' if turn > 1 }}{{ 'never' if turn > 2 }}", "again"),
        ("{% if turn == 2 %}two{% elif turn == 1 %}one{% else %}more{% endif %}", "two"),
        (
            "{% for message in request.messages %}{{ loop.index }}.{{ message.role }} {% endfor %}",
            "1.user 2.assistant ",
        ),
        ("{% for key, value in request.body | items %}{{ key }},{% endfor %}", "stop,metadata,temperature,"),
        ("{% for n in range(3) %}{{ n }}{% else %}none{% endfor %}", "012"),
        ("{% set city = groups.city %}{{ city }} {% with a = 1 %}{{ a }}{% endwith %}", "Paris 1"),
        ("{{ request.body.metadata | tojson }} {{ request.prompt | tojson }}", '{"case": "a"} "Hi, <you>"'),
        ("{{ request.messages[:1] | tojson(indent=1) }}", '[\n {\n  "role": "user",\n  "content": "one"\n }\n]'),
        ("{{ request.messages }}", "[{'role': 'user', 'content': 'one'}, {'role': 'assistant', 'content': 'two'}]"),
        ("{{ now | date('%d.%m.%Y %H:%M') }}", "02.01.2026 03:04"),
        ("{{ request.prompt | replace('Hi', 'Ho') }}", "Ho, <you>"),
        ("{{ 'a\nb' | indent(2) }}|{{ 'a\n\nb' | indent(2, first=true, blank=true) }}", "a\n  b|  a\n  \n  b"),
        ("{{ request.body.metadata.get('case') }}{{ request.body.keys() | length }}", "a3"),
        ("{% raw %}{{ x }}{% endraw %}{# nothing #}", "{{ x }}"),
        ("{{ request.model }}\n", "deepseek-v3\n"),
        ("{{- request.model -}}  \n!", "deepseek-v3!"),
        ("{{ 5 % 3 }}{{ {'a': {'b': 1}}.a.b }}", "21"),
    ],
)
def test_a_template_says(template: str, said: str) -> None:
    check(template)
    assert render(template, CONTEXT) == said


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        (
            "{{ request.model ",
            "syntax error: unexpected end of input, expected end of variable block (line 1 of the text)",
        ),
        ("one\n{% if %}", "syntax error: unexpected end of block (line 2 of the text)"),
        ("{% for a in request %}", "syntax error: unexpected end of input"),
        (
            "{{ reqest.model }}",
            "there is no 'reqest' in templates. Did you mean 'request'? Names: request, turn, attempt, state, groups, "
            "now, timestamp, fake",
        ),
        ("{{ turn | uper }}", "there is no filter 'uper'. Did you mean 'upper'? Filters: abs, bool, capitalize"),
        ("{% macro f() %}{% endmacro %}", "there is no 'macro' statement in templates. Statements: if, for, set, with"),
        ("{% include 'x' %}", "there is no 'include' statement in templates. Statements: if, for, set, with and raw"),
        ("{% set a %}x{% endset %}", "set needs a value: {% set name = value %}"),
        ("{% for a in request recursive %}{{ loop(a) }}{% endfor %}", "loops in templates are not recursive"),
        ("{{ 'a' * turn }}", "`*` in templates needs a number next to it: {{ turn * 2 }}"),
    ],
)
def test_what_cannot_be_read_is_reported_before_it_is_used(template: str, complaint: str) -> None:
    with pytest.raises(TemplateError) as error:
        check(template)
    assert str(error.value).startswith(complaint)


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("one\n{{ request.modle }}", "`request.modle` is undefined (line 2 of the text)"),
        ("{{ groups.missing }}", "`groups.missing` is undefined (line 1 of the text)"),
        ("{{ turn + 'a' }}", "invalid operation: tried to use + operator on unsupported types number and string"),
        ("{{ 1 / 0 }}", "invalid operation: unable to calculate 1 / 0 (line 1 of the text)"),
        ("{{ fake.nane }}", "Faker has no 'nane' in en_US. Did you mean 'name'?"),
        ("{{ fake }}", "fake needs a method: fake.name, fake.city, fake.sentence …"),
        ("{{ turn() }}", "invalid operation: value of type number is not callable (line 1 of the text)"),
    ],
)
def test_what_fails_is_reported_in_one_sentence(template: str, complaint: str) -> None:
    check(template)
    with pytest.raises(TemplateError) as error:
        render(template, CONTEXT)
    assert str(error.value).startswith(complaint)
    assert "\n" not in str(error.value)


def complaint_of(template: str, context: dict[str, Any] = CONTEXT) -> str:
    """Why a template is refused; nothing when it is not."""
    try:
        check(template)
        render(template, context)
    except TemplateError as error:
        return str(error)
    return ""


def test_every_filter_of_the_list_is_there() -> None:
    for name in FILTERS:
        assert "unknown filter" not in complaint_of(f"{{{{ turn | {name} }}}}")


# Out of reach


@each_of(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ request.__class__.__mro__ }}",
        "{{ request['__class__'] }}",
        "{{ request.items.__func__ }}",
        "{{ request.messages.__class__ }}",
        "{{ request._of }}",
        "{{ request.messages._of }}",
        "{{ fake.__class__ }}",
        "{{ fake._source }}",
        "{{ fake.name.__call__ }}",
        "{{ fake.name._make }}",
        "{{ fake.seed_instance(1) }}",
        "{{ fake.add_provider }}",
        "{{ fake.unique }}",
        "{{ fake.zip() }}",
        "{{ request | attr('__class__') }}",
        "{{ loop }}",
        "{{ self }}",
        "{{ config }}",
        "{{ debug() }}",
        "{{ namespace(a=1) }}",
        "{{ '%s' | format('a') }}",
        "{{ 'a'.replace('a', 'b') }}",
        "{% import 'os' as os %}",
        "{% extends 'x' %}",
        "{{ range.__self__ }}",
    ],
)
def test_python_is_out_of_reach(template: str) -> None:
    with pytest.raises(TemplateError):
        print(render(template, CONTEXT))


@pytest.mark.parametrize(
    "template",
    [
        "{{ request.body.clear() }}",
        "{{ request.body.update({'a': 1}) }}",
        "{{ request.body.metadata.pop('case') }}",
        "{{ request.messages.append(1) }}",
        "{{ request.messages[0].clear() }}",
        "{{ request.messages.extend(request.messages) }}",
        "{% for message in request.messages %}{{ message.clear() }}{% endfor %}",
        "{% for key, value in request.body | items %}{{ value.clear() }}{% endfor %}",
    ],
)
def test_a_template_changes_nothing(template: str) -> None:
    with pytest.raises(TemplateError, match=r"has no attribute|no method|not callable"):
        render(template, {**CONTEXT, "request": {**CONTEXT["request"], "body": {"metadata": {"case": "a"}}}})
    assert CONTEXT["request"]["messages"] == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
    ]


# Bounded


DOUBLED = "{% set a = request.prompt %}" + "{% set a = a ~ a %}" * 40 + "{{ a | length }}"
BOMBS = {
    "endless loops": "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
    "a long output": "{% for a in range(10000) %}{{ request.prompt }}{% endfor %}",
    "long plain text": "{% for a in range(10000) %}" + "x" * 19_000 + "{% endfor %}",
    "too much plain text": "{% for a in range(10) %}" + "x" * 21_000 + "{% endfor %}",
    "doubling": DOUBLED,
    "doubling lists": "{% set a = [1] %}" + "{% set a = [a, a] %}" * 40 + "{{ a == a }}",
    "doubling backslashes": "{{ " + "[" * 40 + "'\\\\'" + "]" * 40 + " }}",
    "doubling in loops": "{% for a in [request.prompt] %}" * 20
    + "{{ a ~ a }}"
    + "{% endfor %}" * 20
    + "{{ request.prompt ~ request.prompt }}" * 3000,
    "characters as a list": "{{ request.prompt" + " | list | string" * 9 + " }}",
    "repeating": "{{ ('a' * 999999999) | length }}",
    "repeating lists": "{{ ([0] * 999999999) | length }}",
    "repeating by a power": "{{ 'a' * 10 ** 9 }}",
    "repeating by a filter": "{{ 'a' * 9 | string ~ '99999999' | int }}",
    "replacing": "{{ request.prompt | replace('a', request.prompt) }}",
    "joining": "{{ range(10000) | join(request.prompt) }}",
    "indenting": "{{ 'a\nb' | indent(999999999) }}",
    "json": "{{ range(10000) | tojson(indent=100000) }}",
    "json of json": "{{ request.prompt" + " | tojson" * 30 + " }}",
    "dates": "{{ now | date('%999999999Y') }}" * 2000 + "{{ request.prompt * 99 }}",
    "a long range": "{{ range(999999999) | length }}",
    "padding": "{{ request.prompt | batch(999999999, 'x') | list }}",
    "slices": "{{ request.prompt | slice(999999999) | list }}",
    "long words": "{{ fake.text(max_nb_chars=999999999) }}",
    "long lists of words": "{{ fake.words(999999999) }}",
    "texts of texts": "{{ fake.texts(nb_texts=10000, max_nb_chars=10000) }}",
    "texts in a loop": "{% for n in range(1000) %}{{ fake.text(max_nb_chars=10000) }}{% endfor %}",
    "paragraphs": "{{ fake.paragraphs(nb=10000) }}",
    "sentences": "{{ fake.sentences(nb=10000) }}",
    "nested values": "{{ fake.pylist(nb_elements=10000) }}{{ fake.pystruct(count=10000) }}",
    "passwords": "{{ fake.password(length=10000) }}" * 20,
    "elements": "{{ fake.random_elements(length=10000) }}" * 20,
    "equal lists": "{% set a = [1] %}{% set b = [1] %}"
    + "{% set a = [a, a] %}{% set b = [b, b] %}" * 40
    + "{{ a == b }}",
    "repeated lists": "{% set a = [1] * 1000 %}" + "{% set a = [a] * 1000 %}" * 3 + "{{ a == [a] }}",
    "many digits": "{{ fake.random_number(digits=999999999) }}",
    "files": "{{ fake.binary(length=999999999) }}",
    "tables": "{{ fake.json(num_rows=999999999) }}",
    "many words": "{% for n in range(10000) %}{{ fake.random_digit() }}{% endfor %}",
    "a huge tag": "{{ 1 " + "+ 1 " * 100_000 + "}}",
    "deep brackets": "{{ " + "(" * 400 + "1" + ")" * 400 + " }}",
    "deep blocks": "{% if turn %}" * 100_000 + "{% endif %}" * 100_000,
    "many branches": "{% if turn %}" + "{% elif turn %}" * 100_000 + "{% endif %}",
    "many attributes": "{{ turn" + ".a" * 100_000 + " }}",
}


@pytest.mark.parametrize("template", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_stopped_quickly_and_takes_no_memory(template: str) -> None:
    context = {**CONTEXT, "request": {"prompt": "a" * 100_000, "messages": []}}
    context["fake"] = templates.Faked(prose.fake("en_US", 1))
    render("{{ fake.name }}{{ fake.random_digit() }}", context)  # Faker itself takes a moment to load
    resident = _resident()
    tracemalloc.start()
    begin = time.process_time()
    assert complaint_of(template, context)
    took = time.process_time() - begin
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 1.5  # most of it under tracemalloc; alone it is a tenth
    assert peak < 100 * 2**20
    assert _resident() - resident < 300 * 2**20


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_a_hundred_million_rounds_stop_within_a_tenth_of_a_second() -> None:
    template = "{% for a in range(10000) %}{% for b in range(10000) %}{% if a > b %}{% endif %}{% endfor %}{% endfor %}"
    check(template)
    begin = time.process_time()
    with pytest.raises(TemplateError, match="out of fuel"):
        render(template, CONTEXT)
    assert time.process_time() - begin < 0.1


def test_a_long_honest_template_has_enough_of_everything() -> None:
    messages = [{"role": "user", "content": f"This is message {number}. " * 10} for number in range(500)]
    context = {**CONTEXT, "request": {"messages": messages, "prompt": "x" * 500_000}}
    template = (
        "{% for m in request.messages %}{{ loop.index }}. {{ m.role | upper }}: {{ m.content | trim }}\n{% endfor %}"
    )
    said = render(template, context)
    assert said.count("\n") == 500
    for honest in ("", " | upper", " | trim | upper | lower", " | replace('x', 'y')", "[:] | string"):
        assert len(render(f"{{{{ request.prompt{honest} }}}}", context)) == 500_000
    assert len(render("Dear {{ request.prompt ~ request.prompt }}!", context)) == 1_000_006
    assert render("{{ request.prompt | length }}", {**CONTEXT, "request": {"prompt": "x" * 16_000_000}}) == "16000000"
    assert len(render("{{ request.prompt | tojson }}", context)) == 500_002


def test_what_a_word_or_a_filter_cannot_make_is_said() -> None:
    own = templates.Faked(prose.fake("en_US", 1))
    context = {**CONTEXT, "request": {"messages": ["a" * MAX_LENGTH] * 2}, "fake": own}
    for name in ("string", "tojson"):
        wrong = f"the result of {name} is longer than {MAX_LENGTH} characters"
        assert wrong in complaint_of(f"{{{{ request.messages | {name} | length }}}}", context)
    for template in ("{{ fake.enum }}", "{{ fake.enum() }}"):
        assert "missing 1 required positional argument: 'enum_cls'" in complaint_of(template, context)


def test_half_an_answer_is_never_given() -> None:
    with pytest.raises(TemplateError, match=f"the text is longer than {MAX_LENGTH} characters"):
        render("{{ request.prompt }}" * 3, {**CONTEXT, "request": {"prompt": "x" * 400_000}})


def test_fake_says_the_same_for_the_same_seed() -> None:
    def said(seed: int, locale: str = "en_US") -> str:
        context = {**CONTEXT, "fake": templates.Faked(prose.fake(locale, seed))}
        return render("{{ fake.name }}, {{ fake.name() }}, {{ fake.random_int(1, 1000000) }}", context)

    assert said(1) == said(1) != said(2)
    first, second, _ = said(1).split(", ")
    assert first != second
    assert said(1) != said(1, "de_DE")


# What is thought of a template before it is rendered holds


WORDS = st.sampled_from(["request.prompt", "turn", "groups.city", "'ab'", "3", "[1, 2]", "{'a': 'b'}", "'}}'", '"%}"'])
FILTERED = st.sampled_from(["", " | upper", " | string", " | tojson", " | string | list | string", " | default('x')"])
EXPRESSIONS = st.builds(
    lambda parts, sign: sign.join(f"(({word}){how})" for word, how in parts),
    st.lists(st.tuples(WORDS, FILTERED), min_size=1, max_size=4),
    st.sampled_from([" ~ ", " ~ "]),
)
STATEMENTS = st.one_of(
    EXPRESSIONS.map("{{{{ {} }}}}".format),
    EXPRESSIONS.map("{{% set a = {} %}}{{{{ a ~ a }}}}".format),
    EXPRESSIONS.map("{{% for b in [{}] %}}{{{{ b }}}}{{% endfor %}}".format),
    EXPRESSIONS.map("{{% if {} %}}yes{{% endif %}}".format),
    st.sampled_from(
        ["plain }} text %}", "{# {{ comment #}", "{% raw %}{{ raw }}{% endraw %}", "{%- if turn -%}x{% endif %}"]
    ),
)


@given(st.lists(STATEMENTS, min_size=1, max_size=6).map("".join))
def test_a_template_never_makes_more_than_it_was_estimated_to(template: str) -> None:
    check(template)
    context = {**CONTEXT, "request": {"prompt": 'say "\\ \n' * 20}}
    unit = max(templates.size(context), len(template))
    most = templates.cost(template).growth * unit
    if most <= templates.MAX_SIZE:
        assert len(render(template, context)) <= most
    else:
        assert "this could produce more than" in complaint_of(template, context)


def test_the_names_are_those_of_the_context() -> None:
    assert set(CONTEXT) == set(NAMES)


def test_a_server_ends_what_would_invent_too_much() -> None:
    rules = [
        {"match": {"prompt": "texts"}, "reply": {"content": "{{ fake.texts(nb_texts=10000, max_nb_chars=10000) }}"}},
        {"match": {"prompt": "text"}, "reply": {"content": "{{ fake.text(max_nb_chars=2000) }}"}},
    ]
    with Emulator({"rules": rules}) as emulator:
        url = emulator.url("serevix") + PATHS["serevix"]

        def ask(prompt: str) -> httpx.Response:
            return single.post(url, json=question("serevix", prompt), headers=KEYS["serevix"], timeout=30)

        honest = ask("text")
        begin = time.monotonic()
        too_much = ask("texts")
        assert time.monotonic() - begin < 5
    assert 1000 < len(honest.json()["choices"][0]["message"]["content"]) <= 2000
    assert too_much.status_code >= 500
    assert "fake would produce too much" in too_much.text


@pytest.mark.parametrize("number", ["1e999", "0x10"])
def test_a_text_is_repeated_a_finite_decimal_number_of_times(number: str) -> None:
    with pytest.raises(TemplateError, match="`\\*` in templates needs a number next to it"):
        render(f"{{{{ 'x' * {number} }}}}", CONTEXT)


def test_a_fake_that_fails_where_nothing_may_fail_is_reported_all_the_same() -> None:
    with pytest.raises(Exception, match="opera"):
        render("{{ fake.nope ~ '' }}", CONTEXT)
    with pytest.raises(TemplateError, match="undefined"):
        render("{{ fake._hidden }}", CONTEXT)
