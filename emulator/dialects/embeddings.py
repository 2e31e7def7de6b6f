"""Embeddings: texts become unit vectors that are similar if the texts share words.

Each word adds to a few dimensions that its hash chooses. So a text always has the same vector, and the cosine of two
texts grows with the number of words they share.
"""

import base64
import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import sqrt
from typing import Any, ClassVar, Generic, Literal

from emulator import tokens
from emulator.dialects.base import Dialect, VendorT
from emulator.reply import Usage
from emulator.request import ModelRequest

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
"""A word or, in scripts without spaces between words, a character."""
PLACES = 32
"""The number of dimensions that a word adds to."""
Tokens = tuple[int, ...]


@lru_cache(maxsize=65536)
def _places(word: str) -> tuple[int, ...]:
    """The dimensions of a word, from 64 bits of its hash; an odd number means a negative sign."""
    digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=2 * PLACES).digest()
    return struct.unpack(f"<{PLACES}H", digest)


def words_of(text: str | Tokens) -> Counter[str]:
    """Counts the words of a text. A text without words counts as a word of its own."""
    if isinstance(text, tuple):
        return Counter([f"#{number}" for number in text] or [""])
    return Counter(WORD.findall(text.casefold()) or [text])


def vector(text: str | Tokens, dimensions: int) -> list[float]:
    """Returns the vector of a text, with `dimensions` 32-bit numbers."""
    numbers = [0.0] * dimensions
    for word, count in words_of(text).items():
        weight = sqrt(count)
        for place in _places(word):
            numbers[(place >> 1) % dimensions] += -weight if place & 1 else weight
    length = sqrt(sum([number * number for number in numbers]))
    if not length:  # its words cancel each other out
        numbers[_places(str(text))[0] % dimensions] = length = 1.0
    return [number / length for number in numbers]


def packed(numbers: Sequence[float]) -> bytes:
    """Encodes a vector as little-endian 32-bit floats."""
    return struct.pack(f"<{len(numbers)}f", *numbers)


def shown(numbers: Sequence[float]) -> list[float]:
    """Returns the numbers with the digits that 32 bits can hold."""
    return [float(f"{number:.9g}") if number else 0.0 for number in struct.unpack(f"<{len(numbers)}f", packed(numbers))]


class Embeddings(Dialect[VendorT], Generic[VendorT]):
    """Renders embeddings. Each message of the request is one input."""

    dialect = "embeddings"
    plain_dimensions: ClassVar[Mapping[str, int]] = {}
    """The default number of dimensions of each model."""

    def inputs(self, request: ModelRequest) -> Sequence[str | Tokens]:
        """The inputs of a request."""
        return inputs_of(request.body.get("input"))

    def dimensions(self, request: ModelRequest) -> int:
        """The number of dimensions of each vector."""
        return int(request.body.get("dimensions") or self.plain_dimensions.get(request.model, 1536))

    def form(self, request: ModelRequest) -> Literal["float", "base64"]:
        """The encoding of vectors: `float` or `base64`."""
        return "base64" if request.body.get("encoding_format") == "base64" else "float"

    def result(self, request: ModelRequest) -> Any:
        dimensions, is_packed = self.dimensions(request), self.form(request) == "base64"
        inputs = self.inputs(request)
        rows = []
        for index, text in enumerate(inputs):
            numbers = vector(text, dimensions)
            written: Any = base64.b64encode(packed(numbers)).decode() if is_packed else shown(numbers)
            rows.append({"object": "embedding", "index": index, "embedding": written})
        count = sum(counted(inputs))
        usage = {"prompt_tokens": count, "total_tokens": count}
        return {"object": "list", "data": rows, "model": request.model, "usage": usage}

    def spent(self, result: Any, request: ModelRequest) -> Usage | None:
        count = result["usage"]["prompt_tokens"]
        return Usage(count, 0, count)

    def is_quick(self, request: ModelRequest) -> bool:
        return len(self.inputs(request)) * self.dimensions(request) < 4096 and len(request.http_request.body) < 4096


def inputs_of(value: Any) -> Sequence[str | Tokens]:
    """Returns the inputs of a request: one or several texts or lists of tokens."""
    if isinstance(value, str):
        return (value,)
    if value and isinstance(value[0], int):
        return (tuple(value),)
    return tuple([each if isinstance(each, str) else tuple(each) for each in value or ()])


def counted(inputs: Sequence[str | Tokens]) -> Iterator[int]:
    """Yields the number of tokens of each input."""
    for text in inputs:
        yield tokens.count(text) if isinstance(text, str) else len(text)
