"""The literals that a text must contain to match a regex: tested first, because that is far cheaper."""

from collections.abc import Iterator
from typing import Any

from emulator.patterns import codes, parsed

SHORTEST = 3


def folded(text: str) -> str:
    """A text in lower case; characters that equal an ASCII letter when case is ignored become that letter."""
    if text.isascii():
        return text.lower()
    return text.replace("İ", "i").lower().replace("ſ", "s").replace("ı", "i")


def literal_in(pattern: str) -> str | None:
    """The longest ASCII literal, in lower case, that is part of every match; None if there is no useful one.

    A text whose `folded` form does not contain it cannot match."""
    runs = [run.lower() for run in _runs(parsed(pattern)) if len(run) >= SHORTEST]
    return max(runs, key=len, default=None)


def _runs(nodes: Any) -> Iterator[str]:
    """The literals of a sequence, each as long as possible."""
    run = ""
    for kind, value in nodes:
        if kind is codes.LITERAL and value < 128:
            run += chr(value)
            continue
        if kind is codes.AT:  # a position between characters
            continue
        yield run
        run = ""
        if kind is codes.SUBPATTERN:
            yield from _runs(value[3])
        elif kind is codes.MAX_REPEAT and value[0] >= 1:
            yield from _runs(value[2])
    yield run
