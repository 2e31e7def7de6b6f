"""Seeded texts: about what the prompt asks, in its language, of the wanted length, the same in every process."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hits import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tables import each_of

from emulator import tokens
from emulator.errors import UsageError
from emulator.generation.answers import Result, Style
from emulator.generation.languages import known_locale, language_of
from emulator.generation.phrases import LANGUAGES, Phrases, phrases_in
from emulator.generation.prose import fake, prose, reasoning, sources
from emulator.generation.question import question_of

LOCALES = ("en_US", "de_DE", "fr_FR", "es_ES", "it_IT", "pt_BR", "ru_RU", "zh_CN", "zh_TW", "ja_JP")
STYLES: tuple[Style, ...] = ("plain", "markdown", "code")
EXPLAIN = {
    "en": ("Explain photosynthesis to me", "photosynthesis"),
    "de": ("Erkläre mir bitte die Photosynthese", "„Photosynthese“"),
    "fr": ("Explique-moi la photosynthèse, s'il te plaît", "« photosynthèse »"),
    "es": ("Explícame la fotosíntesis, por favor", "«fotosíntesis»"),
    "it": ("Spiegami la fotosintesi", "«fotosintesi»"),
    "pt": ("Explique a fotossíntese", "“fotossíntese”"),
    "ru": ("Объясни фотосинтез простыми словами", "«фотосинтез»"),
    "zh": ("用简单的话解释光合作用", "“光合作用”"),
    "zh_TW": ("請解釋光合作用是什麼", "「光合作用」"),
    "ja": ("光合成について簡単に説明してください", "「光合成」"),
}
LISTS = {
    "en": "List five benefits of running",
    "de": "Nenne fünf Vorteile von Sport",
    "fr": "Donne-moi cinq conseils pour mieux dormir",
    "es": "Dame cinco consejos para dormir",
    "it": "Dammi cinque consigli per dormire",
    "pt": "Me dê cinco dicas para dormir",
    "ru": "Назови пять преимуществ бега",
    "zh": "请列出五个跑步的好处",
    "zh_TW": "請列出五個跑步的好處",
    "ja": "ランニングの利点を五つ挙げてください",
}
TABLES = {
    "en": ("Make a table comparing coffee and tea", "Coffee", "Tea"),
    "de": ("Erstelle eine Tabelle: Kaffee und Tee", "Kaffee", "Tee"),
    "fr": ("Fais un tableau comparant le café et le thé", "Café", "Thé"),
    "es": ("Haz una tabla comparando el café y el té", "Café", "Té"),
    "it": ("Crea una tabella con il caffè e il tè", "Caffè", "Tè"),
    "pt": ("Faça uma tabela comparando café e chá", "Café", "Chá"),
    "ru": ("Составь таблицу: кофе и чай", "Кофе", "Чай"),
    "zh": ("做一个比较咖啡和茶的表格", "咖啡", "茶"),
    "zh_TW": ("做一個比較咖啡和茶的表格", "咖啡", "茶"),
    "ja": ("コーヒーと紅茶を比較する表を作ってください", "コーヒー", "紅茶"),
}
CODE = {
    "en": "Write a Python function that reverses a list",
    "de": "Schreibe eine Funktion in Python, die Zahlen sortiert",
    "fr": "Écris une fonction Python qui trie une liste",
    "es": "Escribe una función en Python que ordene una lista",
    "it": "Scrivi una funzione in Python che ordina una lista",
    "pt": "Escreva uma função em Python que ordene uma lista",
    "ru": "Напиши функцию на Python, которая сортирует список",
    "zh": "用Python写一个反转列表的函数",
    "zh_TW": "請用Python寫一個函式，讓這個列表反轉",
    "ja": "Pythonでリストを逆順にする関数を書いてください",
}
GREETINGS = {
    "en": "Hello!", "de": "Guten Tag!", "fr": "Bonjour !", "es": "¡Hola!", "it": "Ciao!", "pt": "Olá!", "ru": "Привет!",
    "zh": "你们好吗？你好！", "zh_TW": "您好，請問您會說國語嗎？", "ja": "こんにちは！",
}  # fmt: skip


def words(text: str) -> int:
    return len(re.findall(r"\S+", text))


def sentences_of(phrases: Phrases) -> tuple[str, ...]:
    return (*phrases.points, *(aspect.sentence for aspect in phrases.aspects), *phrases.short)


# Length, seed, language


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("style", STYLES)
def test_an_answer_has_the_wanted_length(locale: str, style: Style) -> None:
    for seed in range(12):
        for low, high in ((40, 120), (90, 110), (300, 400), (1200, 1300)):
            text = prose(seed, locale=locale, style=style, length=(low, high), about="the weather in Paris")
            assert low <= tokens.count(text) <= high


@pytest.mark.parametrize("count", [words, lambda text: len(text) // 3])
@each_of("style", STYLES)
@pytest.mark.parametrize("length", [(1, 3), (18, 22), (40, 120), (500, 520)])
def test_an_answer_fits_the_given_count(count: Callable[[str], int], style: Style, length: tuple[int, int]) -> None:
    for seed in range(10):
        assert length[0] <= count(prose(seed, style=style, length=length, fit=count)) <= length[1]


def test_a_list_that_does_not_fit_is_left_out() -> None:
    text = prose(0, about="List five reasons to drink tea", fit=lambda text: 30 * words(text))
    assert text == "I hope this helps."


def test_nothing_but_code_is_in_markdown_where_no_sentence_fits() -> None:
    def without_code(text: str) -> int:
        return 100 * words(re.sub(r"```.*?```", "", text, flags=re.DOTALL))

    text = prose(3, about=CODE["en"], style="markdown", length=(0, 99), fit=without_code)
    assert re.fullmatch(r"```python\n.*\n```", text, re.DOTALL)


@pytest.mark.parametrize("language", LANGUAGES)
def test_exact_lengths_are_met(language: str) -> None:
    prompt, _ = EXPLAIN[language]
    missed = [size for size in range(20, 260) if tokens.count(prose(size, about=prompt, length=(size, size))) != size]
    assert missed == []


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
    assert len({prose(seed, style=style) for seed in range(50)}) > 40
    assert prose(1, style=style, about="tea") != prose(1, style=style, about="coffee")


def test_another_process_writes_the_same() -> None:
    code = (
        "from emulator.generation.prose import *; import sys; sys.stdout.buffer.write('|'.join(["
        "prose(7), prose(7, locale='zh_CN', style='markdown'), reasoning(7), repr(sources(7, 'tea')),"
        "prose(7, about='Erkläre mir den Unterschied zwischen TCP und UDP'),"
        "fake('de_DE', 7).name(), fake('en_US', 7).company()]).encode())"
    )
    expected = "|".join(
        (
            prose(7),
            prose(7, locale="zh_CN", style="markdown"),
            reasoning(7),
            repr(sources(7, "tea")),
            prose(7, about="Erkläre mir den Unterschied zwischen TCP und UDP"),
            fake("de_DE", 7).name(),
            fake("en_US", 7).company(),
        )
    )
    for hash_seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, env={"PYTHONHASHSEED": hash_seed}
        )
        assert found.stdout.decode() == expected


def test_the_first_fake_is_what_imports_faker() -> None:
    code = "import sys, emulator.generation.prose, emulator.generation.instances as _"
    code += "; emulator.generation.prose.prose(1); print('faker' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert found.stdout.strip() == b"False"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_answer_is_in_the_language_of_the_prompt_and_about_its_topic(language: str) -> None:
    prompt, topic = EXPLAIN[language]
    phrases = phrases_in(language)
    for seed in range(8):
        answer, thoughts = prose(seed, about=prompt), reasoning(seed, about=prompt)
        assert topic in answer
        assert topic in thoughts
        assert thoughts.endswith(phrases.ready)
        assert any(sentence in answer for sentence in sentences_of(phrases))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_answer_says_once_that_it_is_simulated(language: str) -> None:
    phrases = phrases_in(language)
    for prompt in (EXPLAIN[language][0], LISTS[language], TABLES[language][0], CODE[language]):
        for seed in range(5):
            answer = prose(seed, about=prompt)
            assert sum(answer.count(note) for note in phrases.note) == 1
            assert answer.endswith(phrases.note)


def test_a_locale_decides_over_the_prompt() -> None:
    assert "Thema „photosynthesis“" in prose(1, about="Explain photosynthesis", locale="de_DE") + prose(
        2, about="Explain photosynthesis", locale="de_DE"
    ) or "photosynthesis" in prose(1, about="Explain photosynthesis", locale="de_DE")
    assert prose(1, about="Explain photosynthesis", locale="de_DE").endswith(phrases_in("de").note)
    assert prose(1, about="Was ist Tee?", locale="en_US").endswith(phrases_in("en").note)


@pytest.mark.parametrize("locale", ["ko_KR", "nl_NL", "th_TH"])
def test_a_language_without_phrases_gets_english(locale: str) -> None:
    assert prose(1, locale=locale) == prose(1, locale="en_US")


@pytest.mark.parametrize("locale", ["zh_CN", "zh_TW", "ja_JP"])
def test_chinese_and_japanese_have_no_blanks_and_their_own_full_stops(locale: str) -> None:
    for seed in range(10):
        text = prose(seed, locale=locale, length=(150, 200)) + reasoning(seed, locale=locale)
        assert not re.search(r"[ .,]", text)
        assert text.count("。") >= 4


@pytest.mark.parametrize("locale", ["de", "de-DE", "DE_de"])
def test_a_locale_may_be_written_as_usual(locale: str) -> None:
    assert known_locale(locale) == "de_DE"


@pytest.mark.parametrize("write", [prose, reasoning])
def test_an_unknown_locale_is_refused(write: Callable[..., str]) -> None:
    with pytest.raises(UsageError, match=r"Unknown locale 'de_DD'\. Did you mean 'de_DE'\?"):
        write(1, locale="de_DD")


# What is asked for


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_list_has_as_many_points_as_were_asked_for(language: str) -> None:
    for seed in range(8):
        answer = prose(seed, about=LISTS[language])
        assert re.findall(r"^(\d)\. \*\*\S.*\*\*", answer, re.MULTILINE) == ["1", "2", "3", "4", "5"]


def test_a_list_without_a_number_has_bullets() -> None:
    for seed in range(8):
        answer = prose(seed, about="Give me some tips for sleeping well")
        assert len(re.findall(r"^- \*\*[A-Z].*\*\*: .*[a-z.]$", answer, re.MULTILINE)) >= 3
        assert "tips for sleeping well" in answer


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_table_compares_the_two_things(language: str) -> None:
    prompt, one, other = TABLES[language]
    for seed in range(8):
        lines = [line for line in prose(seed, about=prompt).split("\n") if line.startswith("|")]
        assert lines[0] == f"| {phrases_in(language).heads[0]} | {one} | {other} |"
        assert lines[1] == "| --- | --- | --- |"
        assert len(lines) >= 4
        assert all(line.count("|") == 4 for line in lines)


@pytest.mark.parametrize("language", LANGUAGES)
def test_code_is_in_the_language_asked_for_and_runs(language: str) -> None:
    for seed in range(8):
        answer = prose(seed, about=CODE[language])
        (block,) = re.findall(r"```python\n(.*?)\n```", answer, re.DOTALL)
        printed: list[Any] = []
        exec(compile(block, "answer", "exec"), {"print": printed.append})
        assert printed == [["one", "two", "three"]]
        assert phrases_in(language).todo in block


@pytest.mark.parametrize(
    ("asked", "fence", "piece"),
    [
        ("Write a JavaScript function that merges two arrays", "javascript", "function mergesArrays(items)"),
        ("Show me a Rust program that counts letters", "rust", "fn counts_letters("),
        ("Write an SQL query for overdue invoices", "sql", "CREATE TABLE overdue_invoices"),
        ("Write a Go function that parses dates", "go", "func parsesDates("),
        ("Create a C# class for invoices", "csharp", "int Invoices(int value)"),
        ("Write a shell script that renames photos", "bash", "renames_photos()"),
        ("请写一个Java程序计算阶乘", "java", "public class Main {"),
        ("JavaScriptで階乗を計算する関数を書いて", "javascript", "// ここに処理を書く"),
    ],
)
def test_code_takes_its_name_from_the_request(asked: str, fence: str, piece: str) -> None:
    answer = prose(1, about=asked)
    assert f"```{fence}\n" in answer
    assert piece in answer


@pytest.mark.parametrize("length", [(40, 120), (24, 30), (300, 400)])
def test_the_style_code_gives_code_whatever_is_asked(length: tuple[int, int]) -> None:
    for seed in range(40):
        blocks = re.findall(r"```python\n(.*?)\n```", prose(seed, style="code", length=length), re.DOTALL)
        assert blocks
        for block in blocks:
            compile(block, "answer", "exec")


@pytest.mark.parametrize(
    ("asked", "one", "other"),
    [
        ("Compare Python and Go for web development", "Python", "Go"),
        ("React vs Vue?", "React", "Vue"),
        ("Чем отличается React от Vue?", "React", "Vue"),
        ("Was ist besser im Vergleich, Hunde oder Katzen?", "Hunde", "Katzen"),
        ("比较React和Vue", "React", "Vue"),
        ("ReactとVueを比較してください", "React", "Vue"),
    ],
)
def test_what_is_compared_is_found_among_other_words(asked: str, one: str, other: str) -> None:
    assert question_of(asked, language_of(asked)).sides == (one, other)


def test_a_table_of_one_thing_compares_nothing() -> None:
    answer = prose(1, about="Create a table of the planets with their sizes")
    assert "| Aspect | In short |" in answer
    assert "the planets with their sizes" in answer


def test_notes_of_the_client_in_tags_are_not_the_question() -> None:
    note = "<system-reminder>Today is Monday. Be kind.</system-reminder>\n"
    for prompt in (f"{note}What is a parser?", f"{note * 30}\nWhat is a parser?"):
        assert question_of(prompt, "en").topic == "a parser"


def test_a_comparison_names_both_sides_throughout() -> None:
    answer = prose(1, about="What is the difference between TCP and UDP?")
    assert len(re.findall(r"[^.]*TCP[^.]*UDP[^.]*\.", answer)) >= 3


def test_a_translation_repeats_what_it_was_given() -> None:
    assert "\n> Good morning, my friend\n" in prose(1, about="Translate 'Good morning, my friend' into French")


def test_a_summary_takes_its_words_from_the_text() -> None:
    answer = prose(1, about="Summarize this text:\nThe river flows to the sea. Fishermen mend their boats in spring.")
    assert "12 words" in answer
    assert "“river”" in answer
    assert "> The river flows to the sea." in answer


def test_a_request_may_follow_a_long_text() -> None:
    text = "The river flows to the sea. " * 60
    assert "the depth of the river" in prose(1, about=f"{text}\n\nWhat is the depth of the river?")
    assert re.search(r"^1\. .*\n2\. .*\n3\. ", prose(1, about=f"{text}\n\nList three ideas for a title"), re.MULTILINE)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_greeting_is_returned(language: str) -> None:
    greeting = GREETINGS[language]
    if language in ("zh", "zh_TW"):
        greeting = "你好！"
    answer = prose(1, about=greeting, locale="zh_TW" if language == "zh_TW" else None)
    assert answer.startswith(phrases_in(language).greet[0])


def test_a_later_turn_refers_to_the_conversation() -> None:
    phrases = phrases_in("en")
    assert prose(1, about="And what about tea?", turn=2).startswith(phrases.follow_up)
    assert not prose(1, about="And what about tea?").startswith(phrases.follow_up)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (Result("get_weather", '{"city": "Paris", "temperature": 18, "sunny": true}'),
         "According to get_weather: city: Paris, temperature: 18, sunny: true."),
        (Result("get_weather", "18 degrees and sunny."), "According to get_weather: 18 degrees and sunny."),
        (Result("find", '["a.txt", "b.txt"]'), "According to find: 1: a.txt, 2: b.txt."),
        (Result("find", "no such file", is_error=True), "The tool find reported an error: no such file."),
        (Result("find", ""), "According to find: –."),
        (Result("find", "{3 files}"), "According to find: 3 files."),
    ],
)  # fmt: skip
def test_results_of_tools_are_taken_up(result: Result, said: str) -> None:
    assert prose(1, about="What is the weather in Paris?", results=[result]).startswith(said)
    assert f"The result of {result.tool} is there" in reasoning(1, about="the weather?", results=[result])


# How it looks


def test_long_prose_has_paragraphs() -> None:
    paragraphs = prose(1, length=(300, 400)).split("\n\n")

    assert len(paragraphs) >= 3
    assert all(re.fullmatch(r"([“A-Z][^.]+\. ?)+", paragraph) for paragraph in paragraphs)


def test_no_sentence_comes_twice_in_an_answer_of_usual_length() -> None:
    for seed in range(30):
        for language in ("en", "de"):
            said = re.split(r"(?<=[.!?]) |\n+", prose(seed, about=EXPLAIN[language][0], length=(40, 200)))
            assert len(said) == len({*said})


def test_the_question_is_quoted_on_one_line_without_markup() -> None:
    text = prose(1, about="How does\n```x``` #1 <b>|work|</b>?\n")
    assert not re.search(r"[`#<>|]", text)
    assert "…”" in prose(1, about="Why are lengthy words " * 500, length=(60, 120))


def test_markdown_has_a_heading_a_list_and_bold_words() -> None:
    texts = [prose(seed, style="markdown", locale=locale) for seed in range(20) for locale in ("en_US", "ja_JP")]

    for text in texts:
        assert re.match(r"# \S.*\n\n\S", text)
        assert re.search(r"\n- \*\*\S.*\*\*", text)
    tables = [text for text in texts if "\n| --- | --- |\n" in text]
    assert 0 < len(tables) < len(texts)
    assert prose(1, style="markdown", about="What is tea?").startswith("# Tea\n\n")


@pytest.mark.parametrize("language", LANGUAGES)
def test_reasoning_has_the_wanted_length(language: str) -> None:
    phrases = phrases_in(language)
    for prompt in (EXPLAIN[language][0], LISTS[language], CODE[language], ""):
        for seed in range(8):
            for low, high in ((20, 60), (200, 300)):
                locale = None if prompt else language
                text = reasoning(seed, about=prompt, locale=locale, length=(low, high))
                assert low <= tokens.count(text) <= high
                assert text.endswith(phrases.ready)


def test_sources_are_on_reserved_names_and_about_the_query() -> None:
    found = sources(1, "What is the capital of France?", number=8)

    assert len({source.url for source in found}) == 8
    for source in found:
        assert re.fullmatch(
            r"https://[a-z.]*(example\.(com|org|net)|\.example)/[a-z]+/what-is-the-capital-of[a-z0-9-]+", source.url
        )
        assert (source.status, source.error) == (200, None)
        assert source.summary is not None
        assert "the capital of France" in source.summary
    assert len({source.summary for source in found[:5]}) == 5
    assert found == sources(1, "What is the capital of France?", number=8)
    assert found != sources(2, "What is the capital of France?", number=8)
    chinese = sources(1, "今天天气怎么样")[0]
    assert chinese.url.isascii()
    assert chinese.summary is not None
    assert "今天天气怎么样" in chinese.summary
    assert sources(1, "tea", number=0) == ()


# Whatever is asked

PROMPTS = st.text(max_size=300) | st.lists(
    st.sampled_from(
        [*LISTS.values(), *CODE.values(), "“", "„", "«", "```", "\n", ":", "{topic}", "%s", "a vs b", "<", " "]
    )
).map("".join)


@settings(max_examples=examples(300), deadline=None)
@given(PROMPTS, st.sampled_from([None, *LOCALES]), st.sampled_from(STYLES), st.integers(0, 90), st.integers(0, 60))
@example(prompt="00000000000䱑00𝓶촃𝓻𝓻", locale="it_IT", style="markdown", low=18, more=22)
def test_whatever_is_asked_gets_an_answer_within_the_limits(
    prompt: str, locale: str | None, style: Style, low: int, more: int
) -> None:
    text = prose(1, about=prompt, locale=locale, style=style, length=(low, low + more))
    assert tokens.count(text) <= low + more
    assert text.encode().decode() == text
    assert text == prose(1, about=prompt, locale=locale, style=style, length=(low, low + more))
    assert reasoning(1, about=prompt, locale=locale).encode()
    assert all(source.url.isascii() for source in sources(1, prompt))


@settings(max_examples=examples(200), deadline=None)
@given(st.text(max_size=60), st.text(max_size=300) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).map(json.dumps), st.booleans())  # fmt: skip
def test_whatever_a_tool_returns_fits_into_an_answer(tool: str, returned: str, is_error: bool) -> None:
    result = Result(tool, returned, is_error)
    text = prose(1, about="And now?", results=[result] * 3, turn=4)
    assert 40 <= tokens.count(text) <= 120
    assert text.encode().decode() == text


@pytest.mark.parametrize(
    "piece", ["“", "„a ", "'x ", "<a", "a.", "between ", "please ", "请", "1. ", "\n", "{", "a vs "]
)
def test_a_hostile_prompt_takes_no_time(piece: str) -> None:
    import time

    prompt = piece * (2_000_000 // len(piece))
    prose(1, about="warm"), prose(1, about="请")
    before = time.process_time()
    for seed in range(5):
        prose(seed, about=prompt)
    assert time.process_time() - before < 1


# Faker


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


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_phrases_for_everything(language: str) -> None:
    phrases, english = phrases_in(language), phrases_in("en")
    assert phrases.cues.keys() == english.cues.keys()
    assert phrases.wants.keys() == english.wants.keys()
    assert len(phrases.aspects) == len(english.aspects)
    assert len(phrases.numbers) == 9
    for sentence in (*sentences_of(phrases), *phrases.note, *phrases.thoughts, *phrases.greet):
        assert sentence.endswith((".", "!", "?", "。", "！", "？"))
    for sentence in phrases.keyed:
        assert sentence.count("{key}") == 1
    assert len({aspect.title for aspect in phrases.aspects}) == len(phrases.aspects)


@pytest.mark.parametrize(
    ("asked", "kind", "topic", "number", "given"),
    [
        ("Explain 3 ways to cook rice.", "list", "ways to cook rice", 3, ""),
        ("Explain the 3 main advantages of unit tests.", "list", "the 3 main advantages of unit tests", 3, ""),
        ("Translate this into German: good morning", "translate", "Translate this into German: good morning", None,
         "good morning"),
        ("Translate this into German", "translate", "Translate this into German", None, ""),
        ("Summarize: cats sleep", "summarize", "Summarize: cats sleep", None, "cats sleep"),
        ("Summarize the article", "summarize", "Summarize the article", None, ""),
        ("how it works", "explain", "how it works", None, ""),
        ("What is recursion please", "explain", "recursion", None, ""),
    ],
)  # fmt: skip
def test_a_prompt_says_what_is_wanted(asked: str, kind: str, topic: str, number: int | None, given: str) -> None:
    found = question_of(asked, "en")
    assert (found.kind, found.topic, found.number, found.given) == (kind, topic, number, given)


@pytest.mark.parametrize("asked", ["Translate this into German", "Summarize the article", "Summarize: the of and"])
def test_what_was_not_given_is_answered_all_the_same(asked: str) -> None:
    assert [30 <= words(prose(seed, about=asked, length=(30, 60), fit=words)) <= 60 for seed in range(10)] == [
        True
    ] * 10
