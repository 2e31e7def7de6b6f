"""Prompts that a provider caches automatically: by prefix, in units of tokens."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

MAX_PREFIXES = 4096
PREFIX_STEP = 128
"""The minimum length in characters of a common prefix that is found."""


class PromptCache:
    """An automatic prompt cache: the prefixes that each key has sent."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()

    def clear(self) -> None:
        self._seen.clear()

    def hit(self, key: str, parts: Sequence[tuple[str, int]], unit: int = 1) -> int:
        """Returns how many tokens of a prompt were cached, in whole units, and caches it. `parts` are its texts with
        their tokens.
        """
        seen, chain, tokens, cached = self._seen, hash(key), 0, 0
        for text, count in parts[:MAX_PREFIXES]:  # more would not be kept
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
    """Yields the ends of a text's prefixes; the last one is the whole text. Texts with a common beginning have
    common ends there. Steps grow with the distance, so that a text of any length has few.
    """
    end, step = PREFIX_STEP, PREFIX_STEP
    while end < size:
        yield end
        if end >= 64 * step:
            step *= 2
        end += step
    yield size
