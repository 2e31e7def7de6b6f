"""Prompts that a provider caches by itself, as in a context cache: by prefix, in units."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

MAX_PREFIXES = 4096
PREFIX_STEP = 128
"""Characters: the least length at which the beginnings of two texts are found to be the same."""


class PromptCache:
    """The prompts that each key has sent, as in a context cache: by prefix, in units."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()

    def clear(self) -> None:
        self._seen.clear()

    def hit(self, key: str, parts: Sequence[tuple[str, int]], unit: int = 1) -> int:
        """How many tokens of a prompt were cached, in whole units, and remember it. `parts` are its texts with their
        tokens."""
        seen, chain, tokens, cached = self._seen, hash(key), 0, 0
        for text, count in parts[:MAX_PREFIXES]:  # no more are kept
            start, size = 0, len(text)
            for end in ends_of(size):
                chain = hash((chain, text[start:end] if end - start < size else text))
                if (key, chain) in seen:
                    cached = tokens + (count * end // size if size else count)
                    seen.move_to_end((key, chain))
                else:
                    seen[(key, chain)] = None
                start = end
            tokens += count
        while len(seen) > MAX_PREFIXES:
            seen.popitem(last=False)
        return cached - cached % unit


def ends_of(size: int) -> Iterator[int]:
    """Where the prefixes of a text end, the whole text last. Texts that begin alike share the ends of what they share;
    steps double with the distance covered, so that a text of any length has few."""
    end, step = PREFIX_STEP, PREFIX_STEP
    while end < size:
        yield end
        if end >= 64 * step:
            step *= 2
        end += step
    yield size
