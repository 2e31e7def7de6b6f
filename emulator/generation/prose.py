"""Seeded prose in many languages: answers, reasoning and web sources that look written but mean nothing.

Every function here is pure: the same arguments give the same text in every process. Faker supplies the words and is
imported when the first text is asked for, because its import alone takes a tenth of a second.
"""

import builtins
import functools
import keyword
import re
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from random import Random
from typing import Any, Literal

from emulator import seeded
from emulator.errors import UsageError, did_you_mean
from emulator.generation.languages import PHRASES, Voice, known_locale, phrases_of, voice_of
from emulator.reply import Source

Seed = int | str
Style = Literal["plain", "markdown", "code"]
Count = Callable[[str], int]


# fmt: off
SNIPPETS = (
    "print({n})",
    "{a} = {n}\nprint({a} * {m})",
    "{a} = [{n}, {m}, {k}]\nfor {b} in {a}:\n    print({b})",
    "def {a}({b}: int) -> int:\n    return {b} * {n} + {m}\n\n\nprint({a}({k}))",
    "from dataclasses import dataclass\n\n\n@dataclass\nclass {A}:\n    {b}: str\n    {c}: int = {n}\n\n"
    "    def {d}(self) -> str:\n        return f\"{{self.{b}}}: {{self.{c}}}\"\n\n\nprint({A}(\"{e}\").{d}())",
)
# fmt: on
RESERVED = frozenset({*keyword.kwlist, *dir(builtins), "self", "dataclass"})


def prose(
    seed: Seed,
    *,
    locale: str = "en_US",
    length: tuple[int, int] = (40, 120),
    style: Style = "plain",
    about: str = "",
    fit: Count | None = None,
) -> str:
    """A text whose tokens are within `length`, both ends included.

    Tokens are estimated within about 15 %; `fit`, which counts them, makes the range exact wherever whole sentences can
    meet it. `about` is quoted in the first sentence. A style that does not fit a very short length gives plain text.
    Raises UsageError for an unknown locale or an empty range.
    """
    voice = voice_of(known_locale(locale))
    low, high = _range(length)
    random = seeded.generator(seed, "prose", locale, style, low, high, about)
    count = fit or voice.estimate
    lead = voice.phrases.lead.format(about=_subject(about)) if _subject(about) else ""
    pieces = {"plain": _plain, "markdown": _markdown, "code": _code}[style](random, voice, lead, high, count)
    return _cut(pieces, random, voice, low, high, count)


def reasoning(
    seed: Seed,
    *,
    about: str = "",
    locale: str = "en_US",
    length: tuple[int, int] = (20, 60),
    fit: Count | None = None,
) -> str:
    """What a model might think before it answers: in the locale's language if `PHRASES` has it, else in English."""
    known = known_locale(locale)
    voice = voice_of(known if phrases_of(known) is not PHRASES["en"] else "en_US")
    low, high = _range(length)
    random = seeded.generator(seed, "reasoning", locale, low, high, about)
    count = fit or voice.estimate
    end = voice.gap + voice.phrases.answer
    spare = count(end) + 1
    if high < 4 * spare:  # too short for an end of its own
        return _cut(_thoughts(random, voice, about), random, voice, low, high, count)
    return _cut(_thoughts(random, voice, about), random, voice, low - spare, high - spare, count) + end


def sources(seed: Seed, query: str, *, locale: str = "en_US", number: int = 3) -> tuple[Source, ...]:
    """`number` sources that a web search for `query` could have found, all on names reserved for examples."""
    random = seeded.generator(seed, "summaries", locale, query)
    asked = re.findall(r"[a-z0-9]+", query.lower())[:5]
    found = []
    for index in range(number):
        first, second, third = (_identifier(random) for _ in range(3))
        host = random.choice(
            ("www.example.com", "example.org", "en.example.net", f"{first}.example", f"www.{first}.example")
        )
        slug = "-".join([*asked, second, third, str(random.randint(100, 999) * max(number, 1) + index)])
        about = query if index == 0 else ""
        text = prose(random.getrandbits(64), locale=locale, length=(25, 60), about=about)
        found.append(Source(f"https://{host}/{random.choice(('blog', 'news', 'wiki', 'guides'))}/{slug}", text))
    return tuple(found)


class Fake:
    """Faker for templates, as a pure function: what `fake.name()` gives the n-th time depends only on seed, locale,
    `name` and n, not on what else was called. (Methods that count from today, such as `date_this_year`, still do.)"""

    def __init__(self, locale: str, seed: Seed) -> None:
        self._locale, self._seed = locale, seed
        self._draws_left = MAX_DRAWS
        self._calls: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        """The provider method of that name. Raises UsageError for anything else."""
        if name.startswith("_"):
            raise AttributeError(name)  # protocols that look for dunder methods expect this
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
"""Random numbers that one `Fake` may draw, some tenths of a second of work: every size that Faker takes costs them."""


class _CountedRandom(Random):
    """Random numbers, so many and no more."""

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
            raise UsageError(f"fake makes too much: it would draw more than {MAX_DRAWS} random numbers.")


def fake(locale: str, seed: Seed) -> Fake:
    """A seeded Faker. Nothing is imported, and an unknown locale not noticed, before its first method is looked up."""
    return Fake(locale, seed)


_generators = threading.local()


def _generator(locale: str) -> Any:
    # Building one takes milliseconds, so each thread keeps its own; every call seeds it anew, so sharing does not show.
    if not hasattr(_generators, locale):
        from faker import Factory

        generator = Factory.create(locale)
        generator.random = _CountedRandom()
        setattr(_generators, locale, generator)
    return getattr(_generators, locale)


def _range(length: tuple[int, int]) -> tuple[int, int]:
    low, high = length
    if not 0 <= low <= high:
        raise UsageError(f"length is {low} to {high}: the first number must not be above the second, nor below 0.")
    return low, high


def _subject(about: str) -> str:
    """A prompt cut to what fits into a sentence: one line, no markup, no full stop."""
    words = re.sub(r"[`*#|<>\"“”«»„「」\x00-\x20]+", " ", about[:400]).split()
    short = " ".join(words[:10])
    return (short if len(short) <= 60 else short[:59].rstrip() + "…").rstrip(".。!！:： ")


def _identifier(random: Random) -> str:
    words = voice_of("en_US").words
    while True:
        word = random.choice(words).lower()
        if word.isidentifier() and word not in RESERVED:
            return word


def _plain(random: Random, voice: Voice, lead: str, high: int, count: Count) -> Iterator[str]:
    """Sentences, each after what separates it from the one before, for ever."""
    border = ""
    while True:
        for _ in range(random.randint(4, 6)):
            yield border + lead + voice.sentence(random)
            border, lead = voice.gap, ""
        border = "\n\n"


def _markdown(random: Random, voice: Voice, lead: str, high: int, count: Count) -> Iterator[str]:
    """Sections of a heading, a list with bold words, sometimes a table. A piece never ends on a heading."""
    if high < 120 * voice.density + 5:  # no room for a heading, its sentence and an item
        yield from _plain(random, voice, lead, high, count)
    mark = "#"
    while True:
        words = voice.sentence(random, random.randint(2, 4)).removesuffix(voice.stop)
        yield f"\n\n{mark} {words}\n\n{lead}{voice.sentence(random, 5)}"
        border = "\n\n"
        for _ in range(random.randint(2, 4)):
            yield f"{border}- **{voice.word(random)}**: {voice.sentence(random, random.randint(3, 6))}"
            border = "\n"
        if random.random() < 0.4:
            rows = [[voice.word(random) for _ in range(2)] for _ in range(random.randint(3, 4))]
            rows.insert(1, ["---", "---"])
            yield "\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)
        border = "\n\n"
        for _ in range(random.randint(1, 4)):
            yield border + voice.sentence(random)
            border = voice.gap
        mark, lead = "##", ""


def _code(random: Random, voice: Voice, lead: str, high: int, count: Count) -> Iterator[str]:
    """An introduction and a block of Python that fits, then sentences about it; and again."""
    while True:
        names = {key: _identifier(random) for key in "abcde"}
        while len({*names.values()}) < len(names):
            names = {key: _identifier(random) for key in "abcde"}
        numbers = {key: random.randint(2, 99) for key in "nmk"}
        blocks = [text.format(A=names["a"].title(), **names, **numbers) for text in SNIPPETS]
        blocks = [f"\n\n{lead}{voice.phrases.example}\n\n```python\n{block}\n```" for block in blocks]
        blocks = [block for block in blocks if count(block) <= 0.6 * high]
        if blocks:
            yield random.choice(blocks[-3:])
        border, lead = "\n\n", "" if blocks else lead
        for _ in range(random.randint(4, 6)):
            yield border + lead + voice.sentence(random)
            border, lead = voice.gap, ""


def _thoughts(random: Random, voice: Voice, about: str) -> Iterator[str]:
    phrases = voice.phrases
    yield phrases.asked.format(about=_subject(about)) if _subject(about) else phrases.thoughts[0]
    while True:
        for thought in random.sample(phrases.thoughts[1:], len(phrases.thoughts) - 1):
            one, two = random.sample(voice.words, 2)
            yield voice.gap + thought.format(one=one, two=two)


def _cut(pieces: Iterator[str], random: Random, voice: Voice, low: int, high: int, count: Count) -> str:
    """The longest run of pieces below a chance target in the range, then short sentences until `low` is reached."""
    target = low + (high - low) * random.uniform(0.5, 0.95)
    taken: list[str] = []
    while len(taken) <= 2 * high and count("".join(taken)) <= target:
        taken += islice(pieces, max(4, len(taken)))
    while taken and count(taken[0].strip()) > target:
        del taken[0]  # a heading or a subject that is too long for so short a text
    fits, over = 0, len(taken) + 1
    while over - fits > 1:
        middle = (fits + over) // 2
        fits, over = (middle, over) if count("".join(taken[:middle]).strip()) <= target else (fits, middle)
    return _filled("".join(taken[:fits]).strip(), random, voice, low, high, count)


def _filled(text: str, random: Random, voice: Voice, low: int, high: int, count: Count) -> str:
    while count(text) < low:
        last = text.rpartition("\n")[2]
        border = "" if not text else "\n\n" if last.startswith(("- ", "|", "```")) else voice.gap
        for length in range(10, 0, -1):
            longer = text + border + voice.sentence(random, length)
            if count(longer) <= high:
                break
        else:
            return text or voice.word(random)  # better a bare word than nothing
        text = longer
    return text
