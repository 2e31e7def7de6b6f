"""What a prompt asks for, as generated answers understand it, and the places where no answer but a short one fits."""

import copy

import pytest
from tables import each_of

from emulator import tokens
from emulator.errors import UsageError
from emulator.generation.languages import language_of
from emulator.generation.prose import fake, prose, reasoning
from emulator.generation.question import question_of


@each_of(
    ("prompt", "kind", "topic", "number"),
    [
        ("Explain 3 rules of chess.", "list", "rules of chess", 3),
        ("Explain five laws of motion", "list", "laws of motion", 5),
        ("Explain the 3 laws of motion", "explain", "the 3 laws of motion", 3),
        ("Can you explain 3 rules of chess?", "explain", "3 rules of chess", 3),
        ("Describe how it works", "explain", "how it works", None),
        ("Explain the tides please", "explain", "the tides", None),
        ("Tell me about stepsplease", "explain", "stepsplease", None),
    ],
)
def test_a_number_makes_a_list_of_an_explanation(prompt: str, kind: str, topic: str, number: int | None) -> None:
    question = question_of(prompt, "en")
    assert (question.kind, question.topic, question.number) == (kind, topic, number)


def test_sides_of_a_comparison_end_at_a_comma_or_a_frequent_word() -> None:
    found = question_of("Compare the big, red house and the small, green tent", "en")
    assert (found.kind, found.sides) == ("compare", ("big, red house", "small"))


@each_of(
    ("prompt", "language"),
    [
        ("Antworte in English bitte", "en"),
        ("Please answer auf Deutsch: what is love?", "de"),
        ("Was heißt „in English“ und warum?", "de"),
        ("Τι είναι η αγάπη;", "en"),
    ],
)
def test_the_language_that_is_asked_for_wins(prompt: str, language: str) -> None:
    assert language_of(prompt) == language


@pytest.mark.parametrize("most", [3, 6, 9, 20])
def test_a_short_thought_has_no_space_to_get_ready(most: int) -> None:
    thought = reasoning("s", locale="en_US", length=(1, most), about="Explain tides")
    assert 0 < tokens.count(thought) <= most
    assert ("answer" in thought) is (most == 20)


def test_a_table_that_does_not_fit_is_left_out() -> None:
    short, whole = [
        prose(1, about="Make a table of five cats", length=length, style="markdown") for length in ((1, 9), (99, 199))
    ]
    assert ("|" in short, "|" in whole, tokens.count(short) <= 9) == (False, True, True)


def test_a_page_of_html_names_its_parts_with_hyphens() -> None:
    text = prose(1, about="Write an HTML page that shows long lists", style="code")
    assert '<h1 id="page-shows-long">page shows long</h1>' in text


def test_faker_has_its_own_methods_only() -> None:
    faker = fake("en_US", 1)
    assert not hasattr(faker, "_provider")
    assert copy.copy(faker).name() == fake("en_US", 1).name()
    with pytest.raises(UsageError):
        faker.add_provider()
