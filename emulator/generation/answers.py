"""Composes an answer from a language's phrases: an opening that repeats the topic, the requested content, a closing.

The question determines the kind of answer; `_WRITERS` has a function for each kind. All write on a `Page`, which keeps
the length."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count as numbers
from random import Random
from typing import Any, Literal

import orjson

from emulator.generation.page import PARAGRAPH, Page, TokenCounter
from emulator.generation.phrases import Aspect, Phrases
from emulator.generation.question import Question, cleaned
from emulator.generation.snippets import SNIPPETS, named_in, program
from emulator.records import record

Style = Literal["plain", "markdown", "code"]


@record
class Result:
    """What a tool returned earlier in the conversation."""

    tool: str
    text: str
    is_error: bool = False


def answer(
    random: Random,
    phrases: Phrases,
    question: Question,
    *,
    length: tuple[int, int],
    count: TokenCounter,
    style: Style = "plain",
    turn: int = 1,
    results: Sequence[Result] = (),
) -> str:
    """Returns an answer to a question, with a number of tokens within bounds."""
    low, high = length
    target = int(low + (high - low) * random.uniform(0.5, 0.95))
    page = Page(phrases, count, low, high, target)
    kind = "code" if style == "code" else question.kind
    note = "" if kind == "greet" else phrases.gap + _note(random, phrases, high)
    if count(note) * 2 > target:
        note = ""
    page.space -= count(note)
    sentences = _sentences(random, phrases, question)
    if style == "markdown" and high >= 40:
        heading = question.topic if question.is_phrase else phrases.both.join(question.terms[:2])
        page.add(f"# {_capital(heading) or phrases.aspects[0].title}", alone=True)
    if turn > 1 and high >= 40:
        page.add(random.choice(phrases.follow_up))
    for result in results[:3]:
        page.add(_reported(result, phrases))
    _WRITERS.get(kind, _explain)(page, random, question)
    if style == "markdown" and kind in ("explain", "compare", "code") and high >= 40:
        _sections(page, random, question, sentences)
    _paragraphs(page, random, question, sentences)
    return page.finished(note)


def thoughts(
    random: Random,
    phrases: Phrases,
    question: Question,
    *,
    length: tuple[int, int],
    count: TokenCounter,
    results: Sequence[Result] = (),
) -> str:
    """Returns what a model might think before it answers."""
    low, high = length
    page = Page(phrases, count, low, high, int(low + (high - low) * random.uniform(0.5, 0.95)))
    ready = phrases.gap + phrases.ready
    if count(ready) * 4 > high:
        ready = ""
    page.space -= count(ready)
    asked = phrases.unclear
    if question.topic:
        asked = _about(phrases.asked if question.is_phrase else phrases.asked_question, question, phrases)
    if question.kind != "greet":
        page.add(asked)
    page.add(phrases.wants[question.kind])
    for result in results[:2]:
        page.add(phrases.seen.format(tool=cleaned(result.tool, 40)))
    key = _key(question, phrases)
    keyed = [random.choice(phrases.keyed_thoughts).format(key=key)] if key else []
    fresh = [*random.sample([*phrases.thoughts[:-1], *keyed], len(phrases.thoughts) - 1 + len(keyed))]
    fresh.insert(0 if question.kind == "greet" else random.randint(0, len(fresh)), phrases.thoughts[-1])
    added = True
    while added and page.space > 0:  # thoughts repeat only if there are too few of them
        added = sum(map(page.add, fresh)) > 0 and page.space > 60
    return page.finished(ready)


def page_summary(random: Random, phrases: Phrases, question: Question, number: int) -> str:
    """Returns the description of a page that a search found."""
    pages = phrases.pages
    topic = _topic(question, phrases)
    first = pages[number % len(pages)].format(topic=topic) if topic else random.choice(phrases.aspects).sentence
    return _capital(first) + phrases.gap + random.choice(phrases.points)


# The parts of an answer


def _explain(page: Page, random: Random, question: Question) -> None:
    _open(page, random, question)


def _greet(page: Page, random: Random, question: Question) -> None:
    for sentence in page.phrases.greet:
        page.add(sentence)


def _list(page: Page, random: Random, question: Question) -> None:
    phrases = page.phrases
    _introduce(page, random, question, phrases.lists)
    page.breaks = True
    page.space += page.spare  # a complete and readable list matters more than the target length
    for block in _lists(random, phrases, question.number, question.number or random.randint(3, 5)):
        if page.add(block, alone=True):
            break
    page.space -= page.spare


def _lists(random: Random, phrases: Phrases, numbered: int | None, size: int) -> Iterator[str]:
    """Yields the same list in shorter and shorter forms."""
    aspects = random.sample(phrases.aspects, len(phrases.aspects))
    forms: tuple[Callable[[Aspect], str], ...] = (
        lambda aspect: f"**{aspect.title}**{phrases.colon}{aspect.sentence}",
        lambda aspect: f"**{aspect.title}**{phrases.colon}{aspect.one}",
        lambda aspect: f"**{aspect.title}**",
    )
    for rows in range(size, 1, -1):
        for form in forms:
            items = [*map(form, aspects), *random.sample(phrases.points, len(phrases.points))][:rows]
            yield "\n".join(f"{at}. {item}" if numbered else f"- {item}" for at, item in enumerate(items, 1))
            if not numbered and rows > 2:
                break  # a shorter list is better than a terse one


def _table(page: Page, random: Random, question: Question) -> None:
    phrases = page.phrases
    if question.sides:
        _compare_opening(page, random, question)
    else:
        _introduce(page, random, question, phrases.tables)
    page.breaks = True
    page.space += page.spare
    aspects = random.sample(phrases.aspects, len(phrases.aspects))
    head = phrases.heads if not question.sides else (phrases.heads[0], *map(_capital, question.sides))
    for rows in range(min(question.number or random.randint(3, 5), len(aspects)), 1, -1):
        cells = [(each.title, each.one, each.other)[: len(head)] for each in aspects[:rows]]
        if page.add("\n".join(map(_row, [head, ("---",) * len(head), *cells])), alone=True):
            break
    page.space -= page.spare


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _compare(page: Page, random: Random, question: Question) -> None:
    if not question.sides:
        _open(page, random, question)
        return
    _compare_opening(page, random, question)
    sides = _sides(question, page.phrases)
    for sentence in random.sample(page.phrases.choices, len(page.phrases.choices)):
        page.add(_capital(sentence.format(**sides)))


def _compare_opening(page: Page, random: Random, question: Question) -> None:
    sides = _sides(question, page.phrases)
    page.add_one_of([_capital(text.format(**sides)) for text in page.phrases.compare], random)


def _code(page: Page, random: Random, question: Question) -> None:
    phrases = page.phrases
    snippet = SNIPPETS[question.program]
    intro = random.choice(phrases.code).format(language=snippet.title)
    words = [word for word in question.terms if not named_in(word)]
    name = ""
    for is_brief in (False, True):
        block, name = program(question.program, words, phrases.todo, is_brief=is_brief)
        if page.add(f"{intro}{PARAGRAPH}{block}", alone=True) or page.add(block, alone=True):
            break
    for sentence in random.sample(phrases.after_code, len(phrases.after_code)):
        if (name or "{name}" not in sentence) and not (is_brief and sentence == phrases.after_code[0]):
            page.add(sentence.format(name=name))


def _translate(page: Page, random: Random, question: Question) -> None:
    if not question.given:
        _open(page, random, question)
        return
    page.add_one_of(page.phrases.translate, random)
    page.add(f"> {cleaned(question.given, 300)}", alone=True) or page.add(cleaned(question.given, 40), alone=True)


def _summarize(page: Page, random: Random, question: Question) -> None:
    phrases = page.phrases
    terms = _terms(question, phrases)
    if not question.given or not terms:
        _open(page, random, question)
    if not question.given:
        return
    length = len(question.given.split()) if phrases.joint else len(question.given)
    if terms:
        page.add_one_of([text.format(number=length, terms=terms) for text in phrases.summary], random)
    page.add(f"{phrases.quotation}{PARAGRAPH}> {cleaned(question.given, 160)}", alone=True)


_WRITERS: dict[str, Callable[[Page, Random, Question], None]] = {
    "greet": _greet, "list": _list, "table": _table, "compare": _compare, "code": _code, "translate": _translate,
    "summarize": _summarize,
}  # fmt: skip


def _open(page: Page, random: Random, question: Question) -> None:
    phrases = page.phrases
    if question.topic:
        openings = phrases.about if question.is_phrase else phrases.question
        page.add_one_of([_about(opening, question, phrases) for opening in openings], random)


def _introduce(page: Page, random: Random, question: Question, openings: Sequence[str]) -> None:
    """Adds an opening that ends in a colon, after the question if that is a sentence."""
    phrases = page.phrases
    if question.topic and question.is_phrase:
        page.add_one_of([_about(opening, question, phrases) for opening in openings], random)
    else:
        _open(page, random, question)


def _sections(page: Page, random: Random, question: Question, sentences: Iterator[str]) -> None:
    """Adds a list with bold words, sometimes a table, and then headings with a paragraph each."""
    phrases = page.phrases
    if not page.parts or page.breaks:
        page.add(next(sentences))
    if not page.parts or "```" not in page.parts[-1]:  # with words of many tokens, not even one sentence fits
        page.breaks = True
        any(page.add(block, alone=True) for block in _lists(random, phrases, None, random.randint(2, 4)))
    if random.random() < 0.5:
        aspects = random.sample(phrases.aspects, 3)
        rows = [phrases.heads, ("---", "---"), *((each.title, each.one) for each in aspects)]
        page.add("\n".join(map(_row, rows)), alone=True)
    for at in numbers():  # pragma: no branch - the page fills up
        aspect = phrases.aspects[at % len(phrases.aspects)]
        if page.space < 90 or not page.add(f"## {aspect.title}{PARAGRAPH}{aspect.sentence}", alone=True):
            break
        page.breaks = False
        for _ in range(random.randint(2, 4)):
            page.add(next(sentences))
    page.breaks = True


def _paragraphs(page: Page, random: Random, question: Question, sentences: Iterator[str]) -> None:
    """Adds paragraphs until the target is reached."""
    if question.kind in ("greet", "translate", "summarize") and page.parts and page.high <= 400:
        return
    left = random.randint(3, 4)
    misses = 0
    while misses < 3 and page.space > 4:
        if left == 0:
            page.breaks, left = True, random.randint(3, 5)
        if page.add(next(sentences)):
            left -= 1
        else:
            misses += 1


def _sentences(random: Random, phrases: Phrases, question: Question) -> Iterator[str]:
    """Yields sentences forever: some name the topic, others fit any topic."""
    terms, key = _terms(question, phrases), _key(question, phrases)
    if len(question.terms) > 1 and not question.is_phrase and question.kind not in ("code", "summarize"):
        yield phrases.terms.format(terms=terms)
    while True:
        keyed = [text.format(key=key) for text in random.sample(phrases.keyed, len(phrases.keyed))] if key else []
        points = random.sample(phrases.points, len(phrases.points))
        for at, point in enumerate(points):
            if at % 2 == 0 and keyed:
                yield _capital(keyed.pop())
            yield point
        for aspect in random.sample(phrases.aspects, len(phrases.aspects)):
            yield aspect.sentence


# Words of the question


def _note(random: Random, phrases: Phrases, high: int) -> str:
    return random.choice(phrases.note) if high >= 60 else phrases.note[-1]


def _quoted(text: str, phrases: Phrases) -> str:
    return text.translate(_INNER).join(phrases.quotes)


_INNER = dict.fromkeys(map(ord, '“”„«»「」"'), "'")


def _topic(question: Question, phrases: Phrases) -> str:
    if not question.topic or (question.is_phrase and phrases.is_bare):
        return question.topic
    return _quoted(question.topic, phrases)


def _about(text: str, question: Question, phrases: Phrases) -> str:
    """Inserts the topic into a phrase, and adds a period if the phrase ends with it."""
    stop = ("." if phrases.joint else "。") if text.endswith("}") and question.topic[-1:] not in "?？!！…." else ""
    return _capital(text.format(topic=_topic(question, phrases)) + stop)


def _key(question: Question, phrases: Phrases) -> str:
    if not question.key or (question.key == question.topic and question.is_phrase and phrases.is_bare):
        return question.key
    return _quoted(question.key, phrases)


def _terms(question: Question, phrases: Phrases) -> str:
    quoted = [_quoted(term, phrases) for term in question.terms[:3]]
    return phrases.both.join(filter(None, (phrases.comma.join(quoted[:-1]), *quoted[-1:])))


def _sides(question: Question, phrases: Phrases) -> dict[str, str]:
    one, other = question.sides or ("", "")
    is_bare = phrases.is_bare or not phrases.joint or all(side.isascii() and side[0].isupper() for side in (one, other))
    if is_bare:
        return {"one": one, "other": other}
    return {"one": _quoted(one, phrases), "other": _quoted(other, phrases)}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# Results of tools


def _reported(result: Result, phrases: Phrases) -> str:
    text = phrases.failure if result.is_error else phrases.result
    said = _spoken(result.text, phrases)
    stop = "" if said[-1:] in ".!?。！？…" else "." if phrases.joint else "。"
    return text.format(tool=cleaned(result.tool, 40), result=said) + stop


def _spoken(text: str, phrases: Phrases) -> str:
    """Describes a result: the members of JSON one by one, anything else as it is, cut to one line."""
    head = text[:2000].strip()
    data: Any = None
    if head[:1] in ("{", "["):
        try:
            data = orjson.loads(head)
        except orjson.JSONDecodeError:
            data = None
    if isinstance(data, list):
        data = data[0] if data and isinstance(data[0], dict) else dict(enumerate(data, 1))
    if isinstance(data, dict):
        plain = [(key, item) for key, item in data.items() if isinstance(item, str | int | float)][:4]
        if plain:
            said = phrases.comma.join(f"{key}{phrases.colon}{_plain(item)}" for key, item in plain)
            return cleaned(said, 160)
    return cleaned(head, 160) or "–"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
