"""A stream has the same content as the whole body, in pieces of one token, for every provider and any text."""

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
from hits import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tables import each_of
from talk import EVERY_PROVIDER, KEYS, Ask, Events, Serving, events, question

from emulator import Emulator, tokens

ECHO = {
    "providers": {"maxtoken": {"models": None}, "openai": {"strict_members": False}},
    "rules": [
        {
            "match": {"body": {"path": "$.thought", "exists": True}},
            "reply": {"content": "{{ request.prompt }}", "reasoning": "{{ request.thought }}"},
        },
        {"reply": {"content": "{{ request.prompt }}"}},
    ],
}
"""The answer is the prompt, the reasoning is a member `thought` that no provider knows."""
PLAIN = {"thinking": {"type": "disabled"}}
TEXTS = {
    "one token": "Hello",
    "a sentence": "The sea is wide, and the sky above it wider.",
    "emoji": "😊👩‍👩‍👧‍👦🏳️‍🌈 yes 😊",
    "Chinese": "海很宽,天空更宽。量子力学是物理学的一个分支。",
    "Japanese and Korean": "こんにちは、世界。안녕하세요",
    "combining": "e\u0301 i\u0308 ส\u0e35 \u200f\u200e",
    "quotes": "\"quoted\" 'single' `back` \\ / \\n \\u0041",
    "lines": "a\n\nb\r\nc\r\rd\n",
    "odd line ends": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "looks like an event": "data: {}\n\ndata: [DONE]\n\nevent: x\nid: 1\n: comment\n\n",
    "control": "\x00\x01\x1f\x7f\ufeff\ufffd\ufffe",
    "blanks": "  \t a   b \n  ",
    "rare": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𠜎𠜱 \U0010ffff",
    "special tokens": "<｜User｜><think></think><｜end▁of▁sentence｜>",
    "long": "All work and no play. " * 300,
    "one long word": "a" * 5000,
}


@dataclass(frozen=True)
class Said:
    """What an answer says, however it came."""

    content: str
    reasoning: str
    finish_reason: str
    usage: Any


NUMBERS = itertools.count()


def fresh_key(provider: str) -> dict[str, str]:
    return {name: f"{value}-{next(NUMBERS)}" for name, value in KEYS[provider].items()}


def ask_both(
    ask: Ask, emulator: Emulator, provider: str, body: dict[str, Any]
) -> tuple[Said, Said, tuple[list[str], list[str]]]:
    """The same question answered whole and in a stream, and the stream's pieces of reasoning and of content."""
    # Each time another key: what one key has sent before may be in the cache, which the usage tells.
    whole = ask(emulator, provider, {**body, "stream": False}, headers=fresh_key(provider))
    assert whole.status_code == 200, whole.text
    options = {} if provider == "nadles" else {"stream_options": {"include_usage": True}}
    streamed = ask(emulator, provider, {**body, "stream": True, **options}, headers=fresh_key(provider))
    assert streamed.status_code == 200, streamed.text
    said, pieces = gathered(provider, events(streamed))
    return reported(provider, whole.json()), said, pieces


def reported(provider: str, body: dict[str, Any]) -> Said:
    (choice,) = (body["model_response"] if provider == "nadles" else body)["choices"]
    message = choice["message"]
    usage = body["token_info"] if provider == "nadles" else body["usage"]
    return Said(message["content"], message.get("reasoning_content") or "", choice["finish_reason"], usage)


def gathered(provider: str, chunks: Events) -> tuple[Said, tuple[list[str], list[str]]]:
    *others, last = chunks
    usage = last["token_info"] if provider == "nadles" else last["usage"]
    rows = [choice for chunk in chunks for choice in chunk.get("choices", ())]
    reasoning = [row["delta"]["reasoning_content"] for row in rows if row["delta"].get("reasoning_content")]
    content = [row["delta"]["content"] for row in rows if row["delta"].get("content")]
    finish_reasons = [row["finish_reason"] for row in rows]
    assert finish_reasons[:-1] == [None] * (len(rows) - 1)
    assert not any(chunk.get("usage") or chunk.get("token_info") for chunk in others)
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks if "id" in chunk}) == 1
    assert rows[0]["delta"]["role"] == "assistant"
    assert not any("role" in row["delta"] for row in rows[1:])
    said = Said("".join(content), "".join(reasoning), finish_reasons[-1], usage)
    return said, (reasoning, content)


def assert_same(ask: Ask, emulator: Emulator, provider: str, content: str, reasoning: str | None) -> None:
    body = question(provider, content)
    if reasoning is not None:
        body["thought"] = reasoning
    if provider == "openai":  # it shows no thoughts in chats
        reasoning = None
    whole, streamed, (thoughts, pieces) = ask_both(ask, emulator, provider, body)
    assert whole == streamed
    expected = content
    if provider == "nadles" and reasoning is not None:
        expected, reasoning = f"<think>\n{reasoning}\n</think>\n\n{content}", None
    assert (whole.content, whole.reasoning, whole.finish_reason) == (expected, reasoning or "", "stop")
    # A token a chunk, except that none ends inside a character.
    if provider == "openai":  # it may count by its own vocabulary
        assert "".join(pieces) == expected
    else:
        assert pieces == list(tokens.pieces(expected).texts)
    assert thoughts == list(tokens.pieces(reasoning or "").texts)


@pytest.fixture
def echo(serving: Serving) -> Emulator:
    return serving(ECHO)


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
class TestAStreamSaysWhatTheWholeBodySays:
    @each_of("text", TEXTS.values())
    def test_in_its_content(self, provider: str, text: str, echo: Emulator, ask: Ask) -> None:
        assert_same(ask, echo, provider, text, None)

    @each_of("text", TEXTS.values())
    def test_in_its_reasoning(self, provider: str, text: str, echo: Emulator, ask: Ask) -> None:
        assert_same(ask, echo, provider, "Hello there!", text)

    def test_when_it_is_generated(self, provider: str, documented: Emulator, ask: Ask) -> None:
        body = question(provider, "Tell me about the sea.")
        whole, streamed, (_, pieces) = ask_both(ask, documented, provider, body)
        assert whole == streamed
        assert len(pieces) > 10

    def test_when_it_is_cut_short(self, provider: str, echo: Emulator, ask: Ask) -> None:
        body = question(provider, "One two three four five", max_tokens=3, **PLAIN)
        whole, streamed, (_, pieces) = ask_both(ask, echo, provider, body)
        assert whole == streamed
        if provider == "maxtoken":  # it knows no max_tokens
            assert (whole.finish_reason, pieces) == ("stop", ["One", " two", " three", " four", " five"])
        else:
            assert (whole.finish_reason, pieces) == ("length", ["One", " two", " three"])

    def test_for_one_token_in_each_chunk(self, provider: str, echo: Emulator, ask: Ask) -> None:
        words = "sea sky ship sail wind wave moon star"
        _, streamed, (_, pieces) = ask_both(ask, echo, provider, question(provider, words, **PLAIN))
        counted = "response_tokens" if provider == "nadles" else "completion_tokens"
        assert len(pieces) == streamed.usage[counted] == 8


CHARACTERS = st.one_of(
    st.sampled_from("\n\r\t \"'\\/{}[]:,<>😊\u2028\u2029\x00\x7f\x85\ufeffé海가"),
    st.characters(exclude_categories=["Cs"]),
)
WORDS = st.sampled_from(["data:", "[DONE]", " there", "\n\n", "<think>", "123456789", "naïve", "👩‍👩‍👧", "。", "\\u"])
CONTENTS = st.one_of(
    st.text(CHARACTERS, max_size=60),
    st.lists(st.one_of(WORDS, st.text(CHARACTERS, max_size=3)), max_size=20).map("".join),
)


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=CONTENTS, reasoning=st.one_of(st.none(), CONTENTS))
def test_any_text_arrives_whole(provider: str, serving: Serving, ask: Ask, content: str, reasoning: str | None) -> None:
    assert_same(ask, serving(ECHO), provider, content, reasoning)


@pytest.mark.parametrize("provider", ["maxtoken", "serevix", "cloudsway"])
@settings(max_examples=20, deadline=None)
@given(model=st.text(CHARACTERS, min_size=1, max_size=10))
def test_any_name_of_a_model_stands_in_every_chunk(provider: str, serving: Serving, ask: Ask, model: str) -> None:
    chunks = events(ask(serving(ECHO), provider, question(provider, "Hello there!", model=model, stream=True)))
    assert {chunk["model"] for chunk in chunks} == {model}
