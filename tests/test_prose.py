"""Seeded prose: of the wanted length, in the wanted language and style, and the same in every process."""

import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest

from emulator.errors import UsageError
from emulator.generation.languages import DENSITY, PHRASES, known_locale, voice_of
from emulator.generation.prose import fake, prose, reasoning, sources

LOCALES = ("en_US", "de_DE", "fr_FR", "es_ES", "it_IT", "pt_BR", "ru_RU", "zh_CN", "ja_JP", "th_TH", "ar_AA", "ko_KR")
Style = Literal["plain", "markdown", "code"]
STYLES: tuple[Style, ...] = ("plain", "markdown", "code")
CHINESE, JAPANESE = r"[\u4e00-\u9fff]", r"[\u3040-\u30ff]"


def words(text: str) -> int:
    return len(re.findall(r"\S+", text))


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("style", STYLES)
def test_prose_has_the_wanted_length(locale: str, style: Style) -> None:
    estimate = voice_of(known_locale(locale)).estimate
    for seed in range(20):
        for low, high in ((40, 120), (90, 110), (300, 400)):
            text = prose(seed, locale=locale, style=style, length=(low, high), about="the weather in Paris")
            assert low <= estimate(text) <= high


@pytest.mark.parametrize("count", [words, lambda text: len(text) // 3])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("length", [(1, 3), (18, 22), (40, 120), (500, 520)])
def test_prose_fits_the_given_count(count: Callable[[str], int], style: Style, length: tuple[int, int]) -> None:
    for seed in range(10):
        assert length[0] <= count(prose(seed, style=style, length=length, fit=count)) <= length[1]


def test_nothing_is_a_length_too() -> None:
    assert prose(1, length=(0, 0)) == ""
    assert words(prose(1, length=(1, 1))) == 1


@pytest.mark.parametrize("length", [(5, 4), (-1, 3)])
def test_an_empty_range_is_refused(length: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="length is"):
        prose(1, length=length)


@pytest.mark.parametrize("style", STYLES)
def test_the_seed_decides(style: Style) -> None:
    assert prose(1, style=style) == prose(1, style=style) == prose("1", style=style)
    assert len({prose(seed, style=style) for seed in range(50)}) == 50
    assert prose(1, style=style, about="tea") != prose(1, style=style, about="coffee")


def test_another_process_writes_the_same() -> None:
    code = (
        "from emulator.generation.prose import *; import sys; sys.stdout.buffer.write('|'.join(["
        "prose(7), prose(7, locale='zh_CN', style='markdown'), reasoning(7), repr(sources(7, 'tea')),"
        "fake('de_DE', 7).name(), fake('en_US', 7).company()]).encode())"
    )
    expected = "|".join(
        (
            prose(7),
            prose(7, locale="zh_CN", style="markdown"),
            reasoning(7),
            repr(sources(7, "tea")),
            fake("de_DE", 7).name(),
            fake("en_US", 7).company(),
        )
    )
    for hash_seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, env={"PYTHONHASHSEED": hash_seed}
        )
        assert found.stdout.decode() == expected


def test_the_first_text_is_what_imports_faker() -> None:
    code = "import sys, emulator.generation.prose, emulator.generation.instances; print('faker' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert found.stdout.strip() == b"False"


@pytest.mark.parametrize(
    ("locale", "script"), [("zh_CN", CHINESE), ("ja_JP", JAPANESE), ("ru_RU", "[а-яё]"), ("de_DE", "[äöüß]")]
)
def test_prose_is_in_the_language(locale: str, script: str) -> None:
    text = "".join(prose(seed, locale=locale) for seed in range(5))

    assert len(re.findall(script, text)) > 5
    assert voice_of(locale).words


@pytest.mark.parametrize("locale", ["zh_CN", "zh_TW", "ja_JP"])
def test_chinese_and_japanese_have_no_blanks_and_their_own_full_stops(locale: str) -> None:
    for seed in range(10):
        text = prose(seed, locale=locale, length=(150, 200)) + reasoning(seed, locale=locale)
        assert not re.search(r"[ .,]", text)
        assert text.count("。") >= 4


def test_a_language_without_words_of_its_own_borrows_kin_or_english() -> None:
    assert voice_of("es_CO").words == voice_of("es_ES").words
    assert voice_of("ko_KR").words == voice_of("en_GB").words == voice_of("en_US").words
    assert "cidade" in voice_of("pt_PT").words


@pytest.mark.parametrize("locale", ["de", "de-DE", "DE_de"])
def test_a_locale_may_be_written_as_usual(locale: str) -> None:
    assert known_locale(locale) == "de_DE"


@pytest.mark.parametrize("write", [prose, reasoning])
def test_an_unknown_locale_is_refused(write: Callable[..., str]) -> None:
    with pytest.raises(UsageError, match=r"Unknown locale 'de_DD'\. Did you mean 'de_DE'\?"):
        write(1, locale="de_DD")


def test_long_prose_has_paragraphs() -> None:
    paragraphs = prose(1, length=(300, 400)).split("\n\n")

    assert len(paragraphs) >= 3
    assert all(re.fullmatch(r"([“A-Z][^.]+\. ?)+", paragraph) for paragraph in paragraphs)


def test_the_subject_is_quoted_on_one_line_without_markup() -> None:
    text = prose(1, about="What is\n```tea``` #1?\n")

    assert text.startswith("About “What is tea 1?”: ")
    assert "…" in prose(1, about="lengthy words " * 500).split(":")[0]


def test_markdown_has_a_heading_a_list_and_bold_words() -> None:
    texts = [prose(seed, style="markdown", locale=locale) for seed in range(20) for locale in ("en_US", "ja_JP")]

    for text in texts:
        assert re.match(r"# \S.*\n\n\S", text)
        assert re.search(r"\n- \*\*\S.*\*\*: ", text)
    tables = [text for text in texts if "\n| --- | --- |\n" in text]
    assert 0 < len(tables) < len(texts)


@pytest.mark.parametrize("length", [(40, 120), (20, 30), (300, 400)])
def test_code_compiles(length: tuple[int, int]) -> None:
    for seed in range(40):
        text = prose(seed, style="code", length=length)
        blocks = re.findall(r"```python\n(.*?)\n```", text, re.DOTALL)
        assert blocks
        assert text.startswith("Here is an example:\n\n```python\n")
        for block in blocks:
            compile(block, "answer", "exec")


@pytest.mark.parametrize("locale", [*LOCALES, "zh_TW"])
def test_reasoning_reads_like_thinking_in_the_language(locale: str) -> None:
    language = locale if locale in PHRASES else locale.split("_")[0]
    phrases = PHRASES.get(language, PHRASES["en"])
    estimate = voice_of(known_locale(locale if language in PHRASES else "en_US")).estimate
    for seed in range(10):
        text = reasoning(seed, about="tea", locale=locale)
        assert text.startswith(phrases.asked.format(about="tea"))
        assert text.endswith(phrases.answer)
        assert 20 <= estimate(text) <= 60
    assert reasoning(1, locale=locale).startswith(phrases.thoughts[0])


def test_sources_are_on_reserved_names_and_differ() -> None:
    found = sources(1, "What is the capital of France?", number=8)

    assert len({source.url for source in found}) == 8
    for source in found:
        assert re.fullmatch(
            r"https://[a-z.]*(example\.(com|org|net)|\.example)/[a-z]+/what-is-the-capital-of[a-z0-9-]+", source.url
        )
        assert (source.status, source.error) == (200, None)
        assert source.summary
    assert found[0].summary is not None
    assert "capital of France" in found[0].summary
    assert found == sources(1, "What is the capital of France?", number=8)
    assert found != sources(2, "What is the capital of France?", number=8)
    assert sources(1, "天气", locale="zh_CN")[0].url.isascii()
    assert sources(1, "tea", number=0) == ()


def test_a_fake_value_depends_on_nothing_but_its_seed_method_and_turn() -> None:
    first, second = fake("de_DE", 1), fake("de_DE", 1)
    names = [first.name(), first.name()]
    second.city()

    assert [second.name(), second.name()] == names
    assert names[0] != names[1]
    assert fake("de_DE", 2).name() != names[0]
    assert fake("de", 1).pyint(min_value=3, max_value=3) == 3


def test_fakes_of_several_threads_do_not_disturb_each_other() -> None:
    def draw(seed: int) -> list[str]:
        source = fake("fr_FR", seed)
        return [source.name() for _ in range(20)]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, range(16))) == [draw(seed) for seed in range(16)]


@pytest.mark.parametrize("name", ["nmae", "seed_instance", "unique", "add_provider", "random"])
def test_a_fake_offers_the_methods_of_the_providers_only(name: str) -> None:
    with pytest.raises(UsageError, match=f"Faker has no '{name}' in en_US"):
        getattr(fake("en_US", 1), name)


def test_every_language_with_phrases_has_a_measured_density() -> None:
    assert {language.split("_")[0] for language in PHRASES} <= DENSITY.keys()
