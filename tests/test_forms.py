"""A request of a known form with other texts: nothing shows that its form was known."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hits import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from talk import KEYS, MODELS

from emulator.clock import VirtualClock
from emulator.dialects.base import Dialect
from emulator.engine import Options, answer
from emulator.engine import forms as forms_module
from emulator.providers import PROVIDERS
from emulator.providers.base import Provider
from emulator.providers.serevix import Serevix
from emulator.request import HttpRequest, ModelRequest
from emulator.state.compiled import CompiledScenario, compile_scenario
from emulator.state.namespace import Namespace

SCENARIO: dict[str, Any] = {
    "rules": [
        {"match": {"prompt": {"contains": "weather"}}, "reply": {"content": "100 % rain, %(id)b and more of it."}},
        {"match": {"prompt": {"contains": "think"}}, "reply": {"reasoning": "Well.", "content": "Yes, it is so."}},
        {"match": {"prompt": {"contains": "call"}}, "reply": {"tool_calls": [{"name": "f", "arguments": {}}]}},
        {"match": {"prompt": {"contains": "echo"}}, "reply": {"content": "{{ request.prompt }}"}},
        {"match": {"prompt": {"contains": "busy"}}, "error": "overloaded"},
        {
            "match": {"prompt": {"contains": "turns"}},
            "replies": [{"reply": {"content": "a"}}, {"reply": {"content": "b"}}],
        },
    ]
}


def path_of(provider: type[Provider], path: str) -> str:
    """A path with its variable parts filled in."""
    return provider.example[0] if "{model_name}" in path else path.replace("{", "").replace("}", "")


ENDPOINTS = [
    (name, path_of(provider, operation.path), operation.dialect)
    for name, provider in PROVIDERS.items()
    for operation in provider.operations
    if operation.is_completion and operation.dialect in ("chat_completions", "messages", "responses")
    if not provider().speaking(operation.dialect).weighs_words
]
ROLES = ("user", "user", "assistant", "system", "developer", "tool", "latest_reminder", "boss", None, 7)
TEXTS = st.sampled_from(
    ["the weather", "think", "call", "echo this", "busy", "turns", "", " ", "as json ", "再见", "x\n"]
)
WORDS = TEXTS | st.text(st.characters(codec="utf-8"), max_size=12)
CONTENTS = WORDS | WORDS | WORDS | st.sampled_from([None, 7, [], [{"type": "text", "text": "the weather"}], {"a": 1}])
TOOL = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
MEMBERS: dict[str, Sequence[Any]] = {
    "stream": (True, False, None, 1, "yes"),
    "temperature": (0, 0.7, 1, 1.0, 3, "hot", None),
    "top_p": (0.95, 0, 2, None),
    "max_tokens": (1, 1.0, 5, 0, -1, 10**9, "9", None),
    "max_completion_tokens": (3, 0, None),
    "max_output_tokens": (16, 1, None),
    "n": (1, 2, 0),
    "stop": ("rain", ["rain", ","], [], [1], 5),
    "stop_sequences": (["rain"], [7]),
    "stream_options": ({"include_usage": True}, {"include_usage": 1}, {"include_obfuscation": False}, 3),
    "response_format": ({"type": "json_object"}, {"type": "text"}, {"type": "x"}),
    "text": ({"format": {"type": "json_object"}}, {"format": {"type": "text"}}),
    "tools": ([{"type": "function", "function": TOOL}], [{"type": "function", **TOOL}], [], [{"type": "x"}]),
    "tool_choice": ("auto", "none", "required", {"type": "any"}),
    "thinking": ({"type": "enabled", "budget_tokens": 1024}, {"type": "disabled"}, {"type": "x"}),
    "reasoning_effort": ("low", "none", "odd"),
    "logprobs": (True, False),
    "top_logprobs": (2, 30),
    "user": ("me", "no such id!"),
    "metadata": ({"a": "b"},),
    "service_tier": ("auto", "flex"),
    "store": (False, True),
    "previous_response_id": ("resp_1",),
    "model": ("gpt-4o", "o3", "deepseek-reasoner", "claude-sonnet-4-5", "nobody", 5, None),
    "unknown": (1,),
}
VALUES = [(name, value) for name, values in MEMBERS.items() for value in values]
FORMS = st.lists(st.sampled_from(VALUES), max_size=3).map(dict)
TURNS = st.lists(st.sampled_from(ROLES), max_size=3)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Bodies that differ in their words alone, some of them broken."""
    members: dict[str, Any] = draw(FORMS)
    roles = draw(TURNS)
    extra: dict[str, Any] = draw(st.sampled_from([{}] * 9 + [{"name": "n"}, {"tool_call_id": "c"}, {"prefix": True}]))
    has_system, is_text = draw(st.booleans()), draw(st.booleans())
    bodies = []
    for _ in range(3):
        turns: Any = [{"role": role, "content": draw(CONTENTS), **extra} for role in [*roles, "user"]]
        if is_text and not roles:
            turns = turns[0]["content"]  # which one dialect takes
        lead: dict[str, Any] = {"lead": draw(CONTENTS)} if has_system else {}
        bodies.append({**members, "turns": turns, **lead})
    return bodies


def body_of(dialect: str, provider: str, drawn: dict[str, Any]) -> dict[str, Any]:
    """A body in the format of a dialect."""
    drawn = dict(drawn)
    turns, lead = drawn.pop("turns"), drawn.pop("lead", None)
    named = {"max_tokens": 64} if dialect == "messages" else {}
    said: dict[str, Any] = {"input" if dialect == "responses" else "messages": turns}
    if lead is not None and dialect != "chat_completions":
        said["system" if dialect == "messages" else "instructions"] = lead
    return {**MODELS[provider], **named, **said, **drawn}


async def reported(
    compiled: CompiledScenario,
    endpoint: tuple[str, str, str],
    bodies: list[dict[str, Any]],
    head: object,
    *,
    with_records: bool = True,
) -> list[Any]:
    """What each request gets, and what the journal says of it."""
    provider, path, dialect = endpoint
    namespace = Namespace("n", compiled, VirtualClock())
    headers = {name.lower(): value for name, value in KEYS[provider].items()}
    headers = {"content-type": "application/json", "host": "h", **headers}
    key = compiled.providers[provider].credential_in(headers, "")
    results: list[Any] = []
    for body in bodies:
        data = json.dumps(body_of(dialect, provider, body)).encode()
        request = HttpRequest(provider, "POST", path, headers, "api-version=2024-10-21", data, key=key, head=head)
        plan = await answer(request, namespace, Options())
        results.append((plan.answer, plan.exchange.record() if with_records else None))
    return results


COMPILED = compile_scenario(SCENARIO)


@settings(max_examples=examples(150), deadline=None)
@given(endpoint=st.sampled_from(ENDPOINTS), bodies=conversations())
def test_words_alone_change_nothing_else(endpoint: tuple[str, str, str], bodies: list[dict[str, Any]]) -> None:
    bodies = [*bodies, bodies[0], bodies[1], bodies[1]]
    known = asyncio.run(reported(COMPILED, endpoint, bodies, object()))
    assert known == asyncio.run(reported(COMPILED, endpoint, bodies, None))


@pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if each[2] == "responses"])
def test_a_response_repeats_its_own_instructions(endpoint: tuple[str, str, str]) -> None:
    turns = [{"role": "user", "content": "the weather"}]
    bodies = [{"turns": turns, "lead": lead} for lead in ("Be kind.", "Be kind.", "Be brief.", "Be brief.")]
    answers = asyncio.run(reported(COMPILED, endpoint, bodies, object()))
    said = [json.loads(planned.body())["instructions"] for planned, _ in answers]
    assert said == ["Be kind.", "Be kind.", "Be brief.", "Be brief."]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint[0]} {endpoint[1]}")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_second_request_of_a_form_is_not_parsed(
    endpoint: tuple[str, str, str], stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[Dialect] = []
    kind = type(COMPILED.providers[endpoint[0]].speaking(endpoint[2]))
    parse = kind.parse

    def counted(self: Dialect, http_request: HttpRequest, key: str) -> ModelRequest:
        parsed.append(self)
        return parse(self, http_request, key)

    monkeypatch.setattr(kind, "parse", counted)
    turns = [[{"role": "user", "content": f"the weather on day {day}"}] for day in range(4)]
    bodies = [{"turns": each, "stream": stream} for each in turns]
    answers = asyncio.run(reported(COMPILED, endpoint, bodies, object(), with_records=False))
    assert len({planned.body() for planned, _ in answers}) == 4
    assert len(parsed) == 1


def test_a_dialect_that_may_weigh_words_is_always_asked() -> None:
    class Wary(Serevix):
        """A subclass, as a package may bring it."""

    assert (Wary.weighs_words, Serevix.weighs_words) == (True, False)


def test_an_answer_that_only_some_words_get_is_made_anew() -> None:
    bodies = [{"turns": [{"role": "user", "content": text}]} for text in ("echo one", "echo two", "turns 1", "turns 2")]
    answers = asyncio.run(reported(COMPILED, ("serevix", "/v1/chat/completions", "chat_completions"), bodies, object()))
    said = [json.loads(planned.body())["choices"][0]["message"]["content"] for planned, _ in answers]
    assert said == ["echo one", "echo two", "a", "b"]


def test_forms_are_forgotten_with_their_scenario() -> None:
    async def main() -> list[str]:
        namespace = Namespace("n", COMPILED, VirtualClock())
        said = []
        for text in ("rain", "snow"):
            namespace.replace_scenario(compile_scenario({"rules": [{"reply": {"content": text}}]}))
            for number in range(2):
                body = {"model": "m", "messages": [{"role": "user", "content": f"Hi {number}"}]}
                data, headers = (
                    json.dumps(body).encode(),
                    {"authorization": "Bearer sk-x", "content-type": "application/json"},
                )
                request = HttpRequest(
                    "serevix", "POST", "/v1/chat/completions", headers, "", data, key="sk-x", head=forms_module
                )
                plan = await answer(request, namespace, Options())
                said.append(json.loads(plan.answer.body())["choices"][0]["message"]["content"])  # type: ignore[union-attr]
        return said

    assert asyncio.run(main()) == ["rain", "rain", "snow", "snow"]
