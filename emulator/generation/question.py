"""Recognizes what a prompt asks for: the kind of answer, the topic, the number of points, the programming language.

It reads only the beginning and the end of a prompt, so a long one takes no more time. It needs no model: each language
has phrases for how people ask."""

import re
from functools import cache, partial
from typing import Literal

from emulator.generation.languages import COMMON
from emulator.generation.phrases import Phrases, phrases_in
from emulator.generation.snippets import named_in
from emulator.records import record

Kind = Literal["explain", "list", "table", "compare", "code", "translate", "summarize", "greet"]

_HEAD = 700
"""The number of characters at the beginning of a prompt that are read."""
_LAST = 400
"""The number of characters at its end."""
_MATERIAL = 2000
"""The number of characters of a text to translate or summarize."""
_MARKUP = re.compile(r"[`*#|<>\\~^{}\[\]\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_NOTE = re.compile(r"<([\w-]{1,40})>[^<>]{0,600}</\1>")
"""Additions by a client, in tags of its own."""
_TAG = re.compile(r"<[^<>]{1,80}>")
_WORD = re.compile(r"[^\W_][\w+#]*(?:['’.\-][^\W_]+)*[+#]*")
_QUOTED = re.compile(
    r"“([^”]{1,300})”|„([^“”]{1,300})[“”]|«([^»]{1,300})»|「([^」]{1,300})」|\"([^\"]{1,300})\"|(?<!\w)'([^'\n]{1,300})'(?!\w)"
)
_BETWEEN = re.compile(r"^.*?\b(?:between|zwischen|entre|tra|fra|между)\s+", re.IGNORECASE)
_INVERTED = re.compile(r"(?!(?:how|why|when|where|what|who|which)\s+(?!(?:do|does|did|is|are|was|were|can|could|should|"
                       r"would|will|to)\b))", re.IGNORECASE)  # fmt: skip
_NUMBER = re.compile(r"(?<![\w.+*/-])(?:[2-9]|1\d|20)(?=\s*[^\W\d])")
_ASCII_WORD = re.compile(r"[A-Za-z][A-Za-z0-9+#.]*")
_HAN_TERM = re.compile(r"[A-Za-z][A-Za-z0-9_+#.]*|[^的和与與跟及或在了吗嗎呢是有把将對对从從\W\da-zA-Z_]{2,8}")
_JAPANESE_TERM = re.compile(r"[A-Za-z][A-Za-z0-9_+#.]*|[\u4e00-\u9fff々]{2,}|[\u30a1-\u30faー]{2,}")
_IDEOGRAPHIC = frozenset({"zh", "zh_TW", "ja"})
_COUNTED = re.compile("^[0-9一二两兩三四五六七八九十]+[个個种種项項条條点點件]")
_STOPS = " .。:：,，、;；-–—"
_ENDS = " .。!！?？:：,，、;；-–—\"“”„«»「」'"


@record
class Question:
    """What a prompt asks."""

    kind: Kind = "explain"
    topic: str = ""
    """The topic, on one line without markup; empty if there is none."""
    is_phrase: bool = False
    """Whether the topic is a noun phrase rather than a sentence."""
    key: str = ""
    """The subject for a sentence: a short topic, else the most significant word, else empty."""
    terms: tuple[str, ...] = ()
    """Its most significant words, as they are in the prompt."""
    sides: tuple[str, str] | None = None
    """The two things to compare."""
    number: int | None = None
    """The requested number of points."""
    program: str = "python"
    """The programming language, a key of `SNIPPETS`."""
    given: str = ""
    """The text to translate or summarize."""


def excerpt(prompt: str) -> str:
    """Returns the parts of a prompt that are read, however long it is."""
    return prompt if len(prompt) <= _MATERIAL else f"{prompt[: _MATERIAL - _LAST]}\n{prompt[-_LAST:]}"


def question_of(prompt: str, language: str) -> Question:
    """Parses a prompt in one of the languages that have phrases."""
    phrases = phrases_in(language)
    head = _TAG.sub(" ", _NOTE.sub(" ", "".join(prompt[:_HEAD].split("```")[::2]))).strip()
    last = prompt[-_LAST:].strip().rpartition("\n")[2] if len(prompt) > _HEAD else ""
    if last and (last[-1] in "?？" or prompt[:1] == "<" or _asks(last, language)):
        head = last  # a long text, followed by an instruction
    sentence = _request(head, phrases, language)
    if not cleaned(sentence, 200).strip(_ENDS):
        return Question()
    words = _WORD.findall(sentence)
    kind = _kind(sentence, words, phrases, language)
    if kind == "greet":
        return Question("greet")
    topic, is_phrase = _topic(sentence, phrases, language, kind)
    if is_phrase and _has("letters", topic.lower(), _WORD.findall(topic), phrases):
        topic, is_phrase = (
            cleaned(sentence, 90).strip(_STOPS),
            False,
        )  # "a joke" asks for the joke, not for an explanation
    names = _programs(sentence)
    number = _number(sentence, words, phrases) if kind in ("list", "explain", "table") else None
    if kind == "explain" and number is not None and is_phrase and sentence.rstrip()[-1:] not in "?？":
        bare = _without_number(topic, phrases)
        if bare != topic:
            kind, topic = "list", bare
    given = _material(prompt, sentence) if kind in ("translate", "summarize") else ""
    if given and kind == "summarize":
        topic, is_phrase = cleaned(sentence, 90).strip(_ENDS), False
    terms = _terms(given if kind == "summarize" and given else sentence, phrases, language, kind)
    sides = _sides(topic if is_phrase else sentence, phrases, language, kind) if kind in ("compare", "table") else None
    is_noun = is_phrase and len(topic) <= 30 and not _questions(language).match(topic)
    long = (4 if len(terms) > 1 else 6) if phrases.joint else 2
    telling = [term for term in terms if len(term) >= long and (len(terms) == 1 or not term[0].islower())]
    telling = [term for term in telling if len(terms) == 1 or term != words[0]] if words else telling
    if language == "ru" or _has("letters", sentence.lower(), words, phrases):
        telling, is_noun = [], is_noun and language == "ru"
    key = (
        ""
        if sides or kind in ("code", "translate", "summarize")
        else topic
        if is_noun
        else max(telling, key=len, default="")
    )
    program = names[0] if names else "python"
    return Question(kind, topic, is_phrase, key, terms, sides, number, program, given)


def cleaned(text: str, length: int) -> str:
    """Returns one line without markup, cut between words."""
    line = _MARKUP.sub(" ", text[: length + 200]).strip()
    if len(line) <= length:
        return line
    short = line[: length - 1]
    return (short.rpartition(" ")[0] if " " in short[length // 2 :] else short).rstrip(_ENDS) + "…"


@cache
def _beginning(language: str, *, is_polite: bool = False) -> re.Pattern[str]:
    """Matches all request words at the beginning of a sentence; the topic follows them."""
    phrases = phrases_in(language)
    requests = sorted(phrases.polite if is_polite else phrases.requests, key=len, reverse=True)
    # Nothing has to follow, so it never backtracks.
    end = "" if language in _IDEOGRAPHIC else r"(?!\w)"
    return re.compile(rf"[¿¡]?(?:(?:{'|'.join(map(re.escape, requests))}){end}[\s,.:!、，：！-]*)*", re.IGNORECASE)


@cache
def _questions(language: str) -> re.Pattern[str]:
    questions = sorted(phrases_in(language).questions, key=len, reverse=True)
    end = "" if language in _IDEOGRAPHIC else r"(?!\w)"
    return re.compile(rf"[¿¡]?(?:{'|'.join(map(re.escape, questions))}){end}", re.IGNORECASE)


def _request(head: str, phrases: Phrases, language: str) -> str:
    """Returns the sentence that asks: the first that begins like a request or a question, or else the first one."""
    sentences = [part for part in _SENTENCE.split(head, 12) if part.strip(_ENDS)][:10]
    asking, greetings = _beginning(language), phrases.cues["greet"]
    for sentence in sentences:
        line = sentence.lstrip(" -*#>\"'“")
        if line.lower().strip(_ENDS) in greetings:
            continue
        if len(line) < (9 if phrases.joint else 4) and len(sentences) > 1:
            continue  # "Why?" refers to another sentence
        matched = asking.match(line)
        if (matched and matched.end() and line[matched.end() :].strip(_ENDS)) or line.rstrip()[-1:] in "?？":
            return line
    return sentences[0].lstrip(" -*#>") if sentences else ""


def _kind(sentence: str, words: list[str], phrases: Phrases, language: str) -> Kind:
    lower = sentence.lower().lstrip("¿¡")
    cues = phrases.cues
    has = partial(_has, sentence=lower, words=words, phrases=phrases)
    if len(lower) < 40 and any(lower.startswith(cue) for cue in cues["greet"]):
        rest = _beginning(language).sub("", lower, count=1).strip(_ENDS)
        if lower.strip(_ENDS) in cues["greet"] or not rest or rest in cues["greet"]:
            return "greet"
    for kind in ("translate", "summarize"):
        if has(kind):
            return kind
    if has("table"):
        return "table"
    if has("write") and (has("code") or _programs(sentence)) and not has("letters"):
        return "code"
    if has("compare"):
        return "compare"
    return "list" if has("list") else "explain"


def _asks(line: str, language: str) -> bool:
    """Whether a sentence begins with a request rather than only with polite words."""
    start, polite = _beginning(language).match(line), _beginning(language, is_polite=True).match(line)
    return (start.end() if start else 0) > (polite.end() if polite else 0)


def _has(name: str, sentence: str, words: list[str], phrases: Phrases) -> bool:
    """Whether a lower-case sentence contains one of the cues with this name."""
    known = {word.lower() for word in words}
    for cue in phrases.cues[name]:
        if cue in known or ((not phrases.joint or " " in cue or "-" in cue) and cue in sentence):
            return True
    return False


def _topic(sentence: str, phrases: Phrases, language: str, kind: Kind) -> tuple[str, bool]:
    """Returns the topic of the request, and whether it is a noun phrase."""
    line = cleaned(sentence, 200).lstrip(_STOPS)
    start = _beginning(language).match(line)
    begins = start.end() if start else 0
    rest = _without_tails(line[begins:].strip(_ENDS), phrases)
    asks = _asks(line, language) or (language in _IDEOGRAPHIC and len(rest) < len(line.strip(_ENDS)))
    is_noun = asks and not _is_question(rest, language) and kind not in ("code", "translate")
    if is_noun:
        for article in phrases.articles:
            if rest.lower().startswith(article):
                rest = rest[len(article) :]
                break
        bare = _without_number(rest, phrases) if kind == "list" else rest
        # In Russian, a noun after a number, and often after a verb, is not in a case that can be quoted.
        is_oblique = language == "ru" and (bare != rest or rest.partition(" ")[0][-1:] in ("у", "ю"))
        is_oblique = is_oblique or _is_verbal(line, rest, language)
        if bare and len(bare) <= 60 and not is_oblique and not re.search(r"[,.;，。；]\s", bare):
            return bare, True
    short = cleaned(line, 90)
    return (short if short[-1:] in "?？!！…" else short.rstrip(_STOPS)), False


def _is_verbal(line: str, rest: str, language: str) -> bool:
    """Whether the request asks for something to do rather than something to know."""
    if language == "ja":
        return rest[-1:] in ("て", "で", "る", "す", "い")
    return (
        language == "de"
        and rest[:1].islower()
        and rest in line
        and not line.partition(rest)[0].lower().endswith(phrases_in("de").articles)
    )


def _is_question(text: str, language: str) -> bool:
    if language in _IDEOGRAPHIC:
        return _questions(language).search(text) is not None
    if language == "en" and _INVERTED.match(text) is None:
        return False  # "how it works" is a noun clause, "how does it work" is not
    return _questions(language).match(text) is not None


def _without_number(text: str, phrases: Phrases) -> str:
    if not phrases.joint:
        return _COUNTED.sub("", text) or text
    first, _, rest = text.partition(" ")
    return rest if rest and (first.isdigit() or first.lower() in phrases.numbers) else text


def _without_tails(text: str, phrases: Phrases) -> str:
    found = True
    while found:
        found = False
        lower = text.lower()
        for tail in phrases.tails:
            if lower.endswith(tail) and len(tail) < len(text):
                shorter = text[: len(text) - len(tail)]
                if phrases.joint and shorter[-1] not in " ,":
                    continue
                text, found = shorter.strip(_ENDS), True
                break
    return text


def _terms(text: str, phrases: Phrases, language: str, kind: Kind) -> tuple[str, ...]:
    line = cleaned(text, 400)
    if kind != "summarize":
        start = _beginning(language).match(line)
        line = _without_tails(line[start.end() if start else 0 :].strip(_ENDS), phrases)
    if language in _IDEOGRAPHIC:
        line = _questions(language).sub(" ", line)
        found = (_JAPANESE_TERM if language == "ja" else _HAN_TERM).findall(line)
    else:
        found = [word for word in _WORD.findall(line) if word.lower() not in COMMON[language] and not word.isdigit()]
        if language == "de" and kind != "code":  # German nouns are capitalized
            found = [word for word in found if not word[0].islower()] or found
    skipped = _skipped(language, kind == "code")
    unique: dict[str, str] = {}
    for word in found:
        longest = 4 if language.startswith("zh") and kind == "summarize" else 30
        if 1 < len(word) <= longest and word.lower() not in skipped:
            unique.setdefault(word.lower(), word)
    return tuple(unique.values())[:4]


@cache
def _skipped(language: str, is_code: bool) -> frozenset[str]:
    """Returns the request words, which are never the topic."""
    phrases = phrases_in(language)
    kinds = ("write", "code") if is_code else ("write", "code", "table", "list", "translate", "summarize", "compare")
    cues = {word for kind in kinds for cue in phrases.cues[kind] for word in (cue, *cue.split())}
    asking = () if is_code else phrases.requests  # "list" asks for a list, but a program may be about one
    return frozenset({*cues, *asking, *phrases.questions, *phrases.tails, *phrases.numbers})


def _programs(sentence: str) -> list[str]:
    """Returns the programming languages that a sentence names, even between letters of other scripts."""
    return [name for word in _ASCII_WORD.findall(sentence) if (name := named_in(word.rstrip(".")))]


def _sides(text: str, phrases: Phrases, language: str, kind: Kind) -> tuple[str, str] | None:
    line = _BETWEEN.sub("", cleaned(text, 200).strip(_ENDS)).rpartition(": ")[2]
    lower = line.lower()
    is_table = kind == "table" and not _has("compare", lower, _WORD.findall(line), phrases)
    for separator in phrases.versus:
        if is_table and phrases.joint and separator.strip() not in (phrases.both.strip(), "vs", "vs.", "versus"):
            continue  # "planets with their sizes" are not two things to compare
        at = lower.find(separator)
        if at <= 0:
            continue
        if language in _IDEOGRAPHIC:
            before = re.split(r"[\s，、：:。]", line[:at])[-1]
            before = before[_beginning(language).match(before).end() :]  # type: ignore[union-attr]
            after = re.split(r"[\s，、：:。的のをにがは之有]", line[at + len(separator) :])[0]
        else:
            common = COMMON[language] | _skipped(language, False)
            before = " ".join(_run(line[:at].split()[::-1], common)[::-1])
            after = " ".join(_run(line[at + len(separator) :].split(), common))
        one, other = before.strip(_ENDS), after.strip(_ENDS)
        if one and other and len(one) <= 30 and len(other) <= 30:
            return one, other
    return None


def _run(words: list[str], common: frozenset[str]) -> list[str]:
    """Returns the first run of at most three words that are not frequent ones."""
    kept: list[str] = []
    for word in words[:8]:
        if word.lower().strip(_ENDS) in common:
            if kept:
                break
            continue
        kept.append(word)
        if len(kept) == 3 or word[-1] in ",.;:":
            break
    return kept


def _number(sentence: str, words: list[str], phrases: Phrases) -> int | None:
    found = _NUMBER.search(sentence)
    if found:
        return int(found[0])
    known = {word.lower() for word in words[:12]}
    for value, word in enumerate(phrases.numbers, 2):
        if word in known or (not phrases.joint and word in sentence):
            return value
    return None


def _material(prompt: str, sentence: str) -> str:
    """Returns the text that a request refers to: in quotes, after a colon, or on the following lines."""
    head = prompt[:_MATERIAL].strip()
    quoted = _QUOTED.search(head, 0, _HEAD)
    if quoted:
        return cleaned(next(filter(None, quoted.groups()), ""), _MATERIAL)
    at = head.find(sentence)
    first, _, below = head[max(at, 0) :].partition("\n")
    if below.strip():
        return cleaned(below, _MATERIAL)
    for colon in (": ", "：", ":"):
        _, found, after = first.partition(colon)
        if found and after.strip():
            return cleaned(after, _MATERIAL)
    return ""
