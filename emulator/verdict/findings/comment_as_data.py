"""Treating comments between events as text."""

import re
from collections.abc import Iterator

from emulator.verdict.attempts import Attempt
from emulator.verdict.base import Check, Evidence, Found, numbers

MIN_LETTERS = 3
_BLANK = re.compile(r"\s+")


def judge(evidence: Evidence) -> Iterator[Found]:
    """Compares the client's text with the answer, since the answer itself may contain these words."""
    for attempt in evidence.attempts:
        between = _between(attempt)
        if not between or not attempt.output:
            continue
        texts = [(attempt.text_understood, attempt)] if attempt.text_understood is not None else []
        texts += [(each.turn.text, each.later) for each in evidence.after(attempt)]
        said = [turn.text for each in evidence.siblings(attempt) for turn in each.output]
        for text, where in texts:
            taken = _taken(text, said, between)
            if taken:
                yield Found(
                    numbers(attempt, where),
                    f"Exchange {attempt.number} sent {taken!r} between its events; "
                    f"{'the client' if where is attempt else f'exchange {where.number}'} holds it as text.",
                )
                break


def _between(attempt: Attempt) -> list[str]:
    """Returns what is between the events of the answer, in every form in which it may be treated as text."""
    found = []
    for comment in dict.fromkeys(attempt.stream.comments):
        bare = comment.lstrip(":").strip()
        found += [comment, comment.removeprefix(":"), bare]
    for name, data in zip(attempt.stream.names, attempt.stream.data, strict=True):
        if name == "ping":
            found += [data, name]
    return sorted({each.strip() for each in found if len(each.strip()) >= MIN_LETTERS}, key=len, reverse=True)


def _taken(text: str, said: list[str], between: list[str]) -> str | None:
    """Returns the part of it in a text that would otherwise equal the answer."""
    plain = [_BLANK.sub("", each) for each in said]
    if _BLANK.sub("", text) in plain:
        return None
    for words in between:
        if words in text and _BLANK.sub("", text.replace(words, "")) in plain:
            return words
    return None


CHECK = Check(
    "comment_as_data",
    "MUST",
    "Treats comments such as `: keep-alive`, or pings, as text of the answer.",
    "WHATWG HTML, section 9.2.6",
    "If the line starts with a U+003A COLON character (:), ignore the line.",
    "Skip every line that begins with a colon and every event of an unknown type; use a parser for server-sent events.",
    judge,
)
