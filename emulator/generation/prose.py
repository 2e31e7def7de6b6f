"""Seeded texts: answers, reasoning and web sources about a prompt, in its language, and Faker for templates.

Every function here is pure: the same arguments give the same text in every process. Faker supplies names and facts. It
is imported on first use, because importing it takes a tenth of a second.
"""

import functools
import re
import threading
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from emulator import seeded, tokens
from emulator.errors import UsageError, did_you_mean
from emulator.generation.answers import Result, Style, answer, page_summary, thoughts
from emulator.generation.languages import known_locale, language_of, language_of_locale
from emulator.generation.page import TokenCounter
from emulator.generation.phrases import phrases_in
from emulator.generation.question import excerpt, question_of
from emulator.reply import Source

Seed = int | str


def prose(
    seed: Seed,
    *,
    about: str = "",
    locale: str | None = None,
    length: tuple[int, int] = (40, 120),
    style: Style = "plain",
    turn: int = 1,
    results: Sequence[Result] = (),
    fit: TokenCounter = tokens.count,
) -> str:
    """Returns an answer to the prompt `about` whose number of tokens, counted by `fit`, is within `length` (inclusive).

    It is in the locale's language or the prompt's; languages without phrases get English. It contains a list, table or
    program if the prompt or the style asks for one. It refers to earlier turns (`turn`) and to the `results` of tools.
    Raises UsageError for an unknown locale or an empty range.
    """
    low, high = _range(length)
    about = excerpt(about)
    language = _language(locale, about)
    random = seeded.generator(seed, "prose", language, style, low, high, about)
    question = question_of(about, language)
    return answer(
        random, phrases_in(language), question, length=(low, high), count=fit, style=style, turn=turn, results=results
    )


def reasoning(
    seed: Seed,
    *,
    about: str = "",
    locale: str | None = None,
    length: tuple[int, int] = (20, 60),
    results: Sequence[Result] = (),
    fit: TokenCounter = tokens.count,
) -> str:
    """Returns what a model might think before it answers, in the language of the answer."""
    low, high = _range(length)
    about = excerpt(about)
    language = _language(locale, about)
    random = seeded.generator(seed, "reasoning", language, low, high, about)
    question = question_of(about, language)
    return thoughts(random, phrases_in(language), question, length=(low, high), count=fit, results=results)


def sources(seed: Seed, query: str, *, locale: str | None = None, number: int = 3) -> tuple[Source, ...]:
    """Returns `number` sources that a web search for `query` could find, all on domains reserved for examples."""
    query = excerpt(query)
    language = _language(locale, query)
    random = seeded.generator(seed, "summaries", language, query)
    question = question_of(query, language)
    asked = re.findall(r"[a-z0-9]+", query[:400].lower())[:5]
    first = random.randrange(100)
    found = []
    for index in range(number):
        host = random.choice(
            ("www.example.com", "example.org", "en.example.net", "www.library.example", "notes.example")
        )
        slug = "-".join([*asked, str(random.randint(100, 999) * max(number, 1) + index)])
        summary = page_summary(random, phrases_in(language), question, first + index)
        found.append(Source(f"https://{host}/{random.choice(('blog', 'news', 'wiki', 'guides'))}/{slug}", summary))
    return tuple(found)


def _language(locale: str | None, prompt: str) -> str:
    return language_of(prompt) if locale is None else language_of_locale(known_locale(locale))


class Fake:
    """Faker for templates, as a pure function: the result of the nth `fake.name()` depends only on the seed, the
    locale, `name` and n, not on other calls. (Methods relative to today, such as `date_this_year`, still depend on
    the date.)
    """

    def __init__(self, locale: str, seed: Seed) -> None:
        self._locale, self._seed = locale, seed
        self._draws_left = MAX_DRAWS
        self._calls: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        """Returns Faker's method with this name. Raises UsageError if there is none."""
        if name.startswith("_"):
            raise AttributeError(name)  # protocols that look up dunder methods expect this
        generator = _generator(known_locale(self._locale))
        method = getattr(generator, name, None)
        if not any(hasattr(provider, name) for provider in generator.providers) or not callable(method):
            known = sorted({each for provider in generator.providers for each in dir(provider) if each[0] != "_"})
            raise UsageError(f"Faker has no '{name}' in {self._locale}.{did_you_mean(name, known)}")
        return functools.partial(self._call, name, method, generator)

    def _call(self, name: str, method: Callable[..., Any], generator: Any, *args: Any, **kwargs: Any) -> Any:
        turn = self._calls[name] = self._calls.get(name, 0) + 1
        generator.seed_instance(seeded.roll(self._seed, "fake", self._locale, name, turn))
        draws = generator.random
        draws.left = self._draws_left
        try:
            return method(*args, **kwargs)
        finally:
            self._draws_left = draws.left


MAX_DRAWS = 30_000
"""The maximum of random numbers for one `Fake`: a few tenths of a second of work. Any large result needs many."""


class _CountedRandom(Random):
    """A bounded number of random numbers."""

    left = MAX_DRAWS

    def random(self) -> float:
        self._spend()
        return super().random()

    def getrandbits(self, k: int, /) -> int:
        self._spend()
        return super().getrandbits(k)

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise UsageError(f"fake would produce too much: more than {MAX_DRAWS} random numbers.")


def fake(locale: str, seed: Seed) -> Fake:
    """A seeded Faker. It imports Faker and checks the locale when its first method is looked up."""
    return Fake(locale, seed)


_generators = threading.local()


def _generator(locale: str) -> Any:
    # Building one takes milliseconds, so each thread keeps its own. Every call seeds it again.
    if not hasattr(_generators, locale):
        from faker import Factory

        generator = Factory.create(locale)
        generator.random = _CountedRandom()
        setattr(_generators, locale, generator)
    return getattr(_generators, locale)


def _range(length: tuple[int, int]) -> tuple[int, int]:
    low, high = length
    if not 0 <= low <= high:
        raise UsageError(f"length is {low} to {high}: the first number must be at least 0 and not above the second.")
    return low, high
