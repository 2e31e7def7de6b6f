"""What answers are made of, one file per language: how a prompt asks, and the sentences that answer it.

Names in braces are filled in: {topic} is what the prompt asks about and {key} one important word of it, both in the
language's quotation marks; {terms} are several such words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from emulator.records import record


@record
class Aspect:
    """One side from which anything can be seen: an item of a list, a row of a table, a section."""

    title: str
    sentence: str
    one: str
    """A few words, for the cell of a table."""
    other: str
    """The same for the second of two things that are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    # How the language is written
    quotes: tuple[str, str]
    gap: str = " "
    """Between two sentences."""
    colon: str = ": "
    joint: str = " "
    """Between two words."""
    both: str
    """Joins two terms."""
    comma: str = ", "
    is_bare: bool = False
    """Whether a noun phrase of the prompt can stand in a sentence without quotation marks."""

    # How a prompt asks, in lower case
    requests: tuple[str, ...]
    """What begins a request; its topic follows."""
    polite: tuple[str, ...]
    """Those of `requests` that may come before any verb: alone they do not make what follows a topic."""
    questions: tuple[str, ...]
    """What begins a question that has to be quoted as a whole."""
    tails: tuple[str, ...]
    """What may follow the topic without being part of it."""
    articles: tuple[str, ...] = ()
    """What a topic is better quoted without."""
    cues: Mapping[str, tuple[str, ...]]
    """Words by which a kind of answer is asked for: see `emulator.generation.question.Kind`. A program is asked for by
    a word of `write` and one of `code`; a word of `letters` says that it is no program after all."""
    versus: tuple[str, ...]
    """What stands between two things that are to be compared."""
    numbers: tuple[str, ...]
    """The words for 2, 3, …, 10."""

    # Answers
    note: tuple[str, ...]
    """Says that the answer is simulated, the shortest one last."""
    about: tuple[str, ...]
    """Opens an answer about a {topic} that is a noun phrase."""
    question: tuple[str, ...]
    """Opens an answer to a {topic} that is a whole question or request."""
    follow_up: tuple[str, ...]
    result: str
    """Takes up what a {tool} returned as {result}."""
    failure: str
    keyed: tuple[str, ...]
    """Sentences about a {key}."""
    points: tuple[str, ...]
    """Sentences that fit any topic."""
    aspects: tuple[Aspect, ...]
    terms: str
    lists: tuple[str, ...]
    """Opens a list about {topic}."""
    tables: tuple[str, ...]
    heads: tuple[str, str]
    compare: tuple[str, ...]
    """Opens a comparison of {one} and {other}."""
    choices: tuple[str, ...]
    """Says something about {one} and {other}."""
    code: tuple[str, ...]
    """Opens a program in {language}."""
    after_code: tuple[str, ...]
    """May name the program's {name}."""
    todo: str
    """The comment where a program leaves something open."""
    translate: tuple[str, ...]
    """Stands before the text that was to be translated."""
    summary: tuple[str, ...]
    """Sums up a text of {number} words about {terms}."""
    quotation: str
    """Stands before the first sentence of that text."""
    greet: tuple[str, ...]
    """An answer to a greeting, in order."""
    short: tuple[str, ...]
    """Sentences of one word, two, three and so on, which make a text exactly as long as it has to be."""

    # Reasoning
    asked: str
    """Opens the reasoning on a noun phrase."""
    asked_question: str
    unclear: str
    """Opens the reasoning when nothing is known."""
    wants: Mapping[str, str]
    """What the user wants, by kind of answer."""
    thoughts: tuple[str, ...]
    keyed_thoughts: tuple[str, ...]
    seen: str
    """A thought on what a {tool} returned."""
    ready: str
    """Ends the reasoning."""

    # Web search
    pages: tuple[str, ...]
    """What pages about a {topic} say of themselves."""


LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "ru", "zh", "zh_TW", "ja")


@cache
def phrases_in(language: str) -> Phrases:
    """The phrases of one of `LANGUAGES`."""
    phrases: Phrases = import_module(f"emulator.generation.phrases.{language.lower()}").PHRASES
    return phrases
