"""Requests in which only the last text is new: a client can't tell that nothing else was parsed."""

import contextlib
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rawhttp import Connection, Response, eventually, request
from tables import each_of
from talk import KEYS, MODELS

from emulator import Emulator, tokens
from emulator.dialects.chat_completions import ChatCompletions
from emulator.engine import forms, short_way
from emulator.state.forms import PATIENCE, UnreadRequest
from emulator.state.recent import Recent

SCENARIO: dict[str, Any] = {
    "clock": "virtual",
    "providers": {"anthropic": {"requests_per_minute": 40}, "openai": {"tokens_per_minute": 400}},
    "rules": [
        {"match": {"prompt": {"contains": "rain"}}, "reply": {"content": "100 % rain, {and} more of it, as ever."}},
        {"match": {"prompt": {"contains": "long"}}, "reply": {"reasoning": "I see. " * 9, "content": "Be it. " * 9}},
        {"match": {"prompt": {"regex": "(?i)th[io]nk"}}, "reply": {"reasoning": "Well.", "content": "Yes, it is so."}},
        {"match": {"prompt": "call"}, "reply": {"tool_calls": [{"name": "f", "arguments": {}}]}},
        {"match": {"prompt": "search"}, "reply": {"blocks": [{"tool_call": {"name": "f"}}, {"text": "Wait."}]}},
        {"match": {"prompt": {"contains": "echo"}}, "reply": {"content": "{{ request.prompt }}"}},
        {"match": {"prompt": {"contains": "busy"}}, "error": "overloaded"},
        {"match": {"prompt": {"contains": "slow"}}, "reply": {"content": "In its own time."}, "pace": {"ttft": 1}},
        {"match": {"prompt": {"contains": "at times"}, "attempt": 2}, "reply": {"content": "Again?"}},
        {"match": {"prompt": {"contains": "turns"}}, "replies": [{"reply": {"content": w}} for w in ("a", "b", "c")]},
        {"match": {"body": {"path": "$.user", "equals": "me"}}, "reply": {"content": "For you alone."}},
        {"match": {"prompt": {"contains": "broken"}}, "reply": {"content": "Cut."}, "faults": ["close:after_tokens=1"]},
    ],
}  # fmt: skip
ENDPOINTS = {
    "serevix": ("/v1/chat/completions", "messages"),
    "openai": ("/v1/chat/completions", "messages"),
    "deepseek": ("/chat/completions", "messages"),
    "openrouter": ("/api/v1/chat/completions", "messages"),
    "anthropic": ("/v1/messages", "messages"),
    "deepseek responses": ("/v1/responses", "input"),
    "openai responses": ("/v1/responses", "input"),
}
WORDS = (
    st.sampled_from(
        ["rain", "I think", "call", "search", "echo", "busy", "slow", "at times", "turns", "broken", "rain " * 900]
    )
    | st.sampled_from(
        ["rain \\ or", 'the "rain"', "rain\n", "Regen für alle: rain", "rain 再见 👋", "\ud83d rain", "rain\x7f"]
    )
    | st.text(st.characters(codec="utf-8"), max_size=12).map("rain {}".format)
)
names = (f"words-{number}" for number in itertools.count())
recalls: list[UnreadRequest | None] = []
searched: list[str] = []
"""The endpoints that were asked for all kinds of words."""


@pytest.fixture(scope="module")
def with_and_without() -> Iterator[tuple[Emulator, Emulator]]:
    """Two servers that differ in nothing else; the first one's recalls are counted."""
    look = forms.known

    def counted(*given: Any) -> UnreadRequest | None:
        recalls.append(look(*given))
        return recalls[-1]

    without = Emulator(SCENARIO)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("emulator.server.http_server.fast_path_for", lambda *_: None)
        without.start()
    with pytest.MonkeyPatch.context() as patch, without, Emulator(SCENARIO) as usual:
        patch.setattr(short_way, "known", counted)
        yield usual, without
    assert sum(each is not None for each in recalls) > 100 or not searched


def asked(endpoint: str, words: str, said: dict[str, Any], written: dict[str, Any], **headers: str) -> bytes:
    """A request. `said`: what else is in it; `written`: how its JSON is written."""
    (provider, *_), (path, member) = endpoint.split(), ENDPOINTS[endpoint]
    said = dict(said)
    lead = said.pop("lead", None)
    turns = [{"role": "user", "content": words}]
    if lead is not None and endpoint == "anthropic":
        said["system"] = lead
    elif lead is not None:
        turns.insert(0, {"role": "system", "content": lead})
    body = {**MODELS[provider], **({"max_tokens": 64} if provider == "anthropic" else {}), member: turns, **said}
    data = json.dumps(body, **written).encode("utf-8", "surrogatepass")
    return request(f"/{provider}{path}", data, content_type="application/json", **KEYS[provider], **headers)


def talk(emulator: Emulator, sent: Sequence[bytes], namespace: str) -> tuple[list[Response], list[dict[str, Any]]]:
    """All responses, each request on a new connection if the last one was closed, and what the journal says."""
    responses: list[Response] = []
    left = list(sent)
    while left:
        with Connection(emulator.port) as client, contextlib.suppress(EOFError, ConnectionError):
            while left:
                client.send(left.pop(0))
                responses.append(client.response())
    for response in responses:
        response.headers.pop("date")
    journal = emulator.namespace(namespace).journal
    eventually(lambda: all(exchange.playback is not None for exchange in journal))
    exchanges = [
        {**exchange.record(), "because": exchange.because, "text": exchange.response.text} for exchange in journal
    ]
    for exchange in exchanges:
        exchange.pop("connection")
    return responses, exchanges


@example(
    endpoint="openai",  # a header that follows from the request id, and is by chance that of the stand-in
    usual="rain",
    words=["rain", "rain", "rain", "rain \\ or"],
    new="words",
    said={"lead": "Be brief."},
    written={"indent": 1},
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    endpoint=st.sampled_from(sorted(ENDPOINTS)),
    usual=st.sampled_from(["rain", "long"]),
    words=st.lists(WORDS, min_size=4, max_size=9),
    new=st.sampled_from(["words", "words", "lead"]),
    said=st.sampled_from(
        [{}, {"stream": True}, {"user": "me"}, {"lead": "Be brief."}, {"lead": "rain", "stream": True}]
    ),
    written=st.sampled_from([{"ensure_ascii": False, "separators": (",", ":")}, {}, {"indent": 1}]),
)
def test_a_client_cannot_tell_that_only_its_words_were_read(
    with_and_without: tuple[Emulator, Emulator],
    endpoint: str,
    usual: str,
    words: list[str],
    new: str,
    said: dict[str, Any],
    written: dict[str, Any],
) -> None:
    namespace = next(names)
    searched.append(endpoint)
    texts = [*[f"{usual} {number}" for number in (1, 2, 3)], *words, *words[:2]]
    asks = [(usual, {**said, "lead": text}) if new == "lead" else (text, said) for text in texts]
    sent = [asked(endpoint, text, others, written, x_emulator_namespace=namespace) for text, others in asks]
    short, whole = (talk(emulator, sent, namespace) for emulator in with_and_without)
    assert short == whole


ELSEWHERE: dict[str, dict[str, Any]] = {
    "in another member": {"user": "rain 0"},
    "in another message": {"messages": [{"role": "assistant", "content": "rain 0"}]},
}
"""Where the words of the message also stand, which is written with escapes: only there they are found in the body."""


@each_of("place", ELSEWHERE)
def test_words_that_stand_elsewhere_too_are_not_taken_for_those_of_the_message(
    with_and_without: tuple[Emulator, Emulator], place: str
) -> None:
    namespace = next(names)
    sent = []
    for number in (1, 0, 2, 0, 3, 4):
        said = {"model": "deepseek-v3", **ELSEWHERE[place]}
        said["messages"] = [*said.get("messages", []), {"role": "user", "content": f"RAIN {number}"}]
        data = json.dumps(said).replace("RAIN", r"r\u0061in").encode()
        head = {"content_type": "application/json", "x_emulator_namespace": namespace}
        sent.append(request("/serevix/v1/chat/completions", data, **head, **KEYS["serevix"]))
    usual, without = (talk(emulator, sent, namespace) for emulator in with_and_without)
    assert usual == without
    assert [response.status for response in usual[0]] == [200] * 6


def test_a_request_of_a_form_is_refused_if_it_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_way, "MAX_FITTING", 3)
    scenario = {**SCENARIO, "providers": {"deepseek": {"context_length": 30}}}
    texts = ["rain " * (1 + number % 7) for number in range(20)] + ["rain " * 40] * 2 + ["rain"]
    with Emulator(scenario) as emulator, Connection(emulator.port) as client:
        seen = []
        for text in texts:
            client.send(asked("deepseek", text, {}, {}))
            seen.append(client.response().status)
    assert seen == [200] * 20 + [400] * 2 + [200]


@each_of("words", ["call", "search"])
def test_a_repeated_question_gets_calls_with_ids_of_their_own(words: str) -> None:
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        ids = []
        for _ in range(5):
            said = {"tools": [{"name": "f", "input_schema": {"type": "object"}}], "max_tokens": 64}
            body = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": words}], **said}
            data = json.dumps(body).encode()
            client.send(request("/serevix/v1/messages", data, content_type="application/json", **KEYS["serevix"]))
            ids += [each["id"] for each in json.loads(client.response().body)["content"] if each["type"] == "tool_use"]
    assert len(set(ids)) == len(ids) == 5


def test_limits_count_requests_of_a_form_too(with_and_without: tuple[Emulator, Emulator]) -> None:
    namespace = next(names)
    sent = [asked("anthropic", f"rain {day}", {}, {}, x_emulator_namespace=namespace) for day in range(44)]
    usual, without = (talk(emulator, sent, namespace) for emulator in with_and_without)
    assert usual == without
    assert [response.status for response in usual[0]] == [200] * 40 + [429] * 4


def test_a_profile_that_follows_the_clock_changes_answers_that_are_known() -> None:
    scenario = {**SCENARIO, "providers": {"deepseek": {"profile": "clock"}}}
    with Emulator(scenario) as emulator, Connection(emulator.port) as client:
        models = []
        for days in (0, 320):  # from January to November 2026
            emulator.advance(days * 86400)
            for words in [*[f"rain {number}" for number in range(5)], *["rain"] * 5]:
                client.send(asked("deepseek", words, {"model": "deepseek-v4-flash"}, {}))
                models.append(json.loads(client.response().body)["model"])
    assert models == ["deepseek-v4-flash"] * 10 + ["deepseek-flash"] * 10


def test_a_duration_in_a_header_is_that_of_each_answer() -> None:
    body = json.dumps({"contents": [{"role": "user", "parts": [{"text": "rain"}]}]}).encode()
    path = "/gemini/v1beta/models/gemini-2.5-flash:generateContent"
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        seen = set()
        for _ in range(6):
            client.send(request(path, body, content_type="application/json", **KEYS["gemini"]))
            seen.add(client.response().headers["server-timing"])
    assert len(seen) == 6


def test_a_price_changes_on_the_hour(with_and_without: tuple[Emulator, Emulator]) -> None:
    costs = []
    for emulator in with_and_without:
        name = next(names)
        namespace = emulator.namespace(name)
        for hour in range(8):
            sent = [asked("deepseek", f"rain {hour}{minute}", {}, {}, x_emulator_namespace=name) for minute in range(3)]
            talk(emulator, sent, name)
            namespace.advance(3600)
        costs.append([exchange.cost for exchange in namespace.journal])
    assert costs[0] == costs[1]
    assert len(set(costs[0])) == 2


@pytest.mark.parametrize("new", ["words", "lead", "words, while the vocabulary is loaded"])
def test_only_the_new_text_is_read_from_the_fourth_request_on(monkeypatch: pytest.MonkeyPatch, new: str) -> None:
    plain, read = ChatCompletions.plain, list[Any]()
    loading = PATIENCE + 1 if new.endswith("loaded") else 0

    def counted(self: ChatCompletions[Any], native: Any) -> Any:
        read.append(native)
        return plain(self, native)

    monkeypatch.setattr(ChatCompletions, "plain", counted)
    is_quick = tokens.is_quick
    monkeypatch.setattr(tokens, "is_quick", lambda texts: len(read) > loading and is_quick(texts))
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        for day in range(20):
            words, lead = (f"rain on day {day}", "Be kind.") if new != "lead" else ("rain", f"It is day {day}.")
            client.send(asked("serevix", words, {"lead": lead}, {}))
            assert json.loads(client.response().body)["choices"][0]["message"]["content"].startswith("100 % rain")
    assert len(read) < 2 + PATIENCE * 2 + loading


def test_what_is_remembered_is_bounded_in_bytes() -> None:
    recent: Recent[str] = Recent(most_entries=10, most_bytes=100)
    for number in range(5):
        recent.keep(number, "x", 30)
    recent.keep(4, "y", 20)
    assert ([recent.get(number) for number in range(5)], recent.bytes) == ([None, None, "x", "x", "y"], 80)
    recent.keep(9, "too large", 101)
    assert (len(recent), recent.bytes, recent.get(9)) == (3, 80, None)
