"""Obfuscation: letters that pad events to similar lengths, so that the lengths don't reveal the words in them."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson

from emulator import seeded, tokens
from emulator.dialects.base import PIECE_IN_JSON, Dialect
from emulator.wire import FrameRun, Part

TAIL = f"\x1f{seeded.digest('tail').hex()}\x1f"
"""A placeholder for the letters, so that the event around them is written only once."""
TAIL_IN_JSON = orjson.dumps(TAIL)[1:-1]
STEP = 16
"""The length of a piece and its letters is a multiple of this many bytes."""


def tails_of(text: str) -> tuple[bytes, ...]:
    """Returns the letters after each piece of a text; the same pieces have the same letters."""
    return _tails_of(text, tuple([STEP - len(piece) % STEP for piece in tokens.pieces(text).escaped]))


@lru_cache(maxsize=256)
def _tails_of(text: str, lengths: tuple[int, ...]) -> tuple[bytes, ...]:
    noise = "".join(
        [seeded.alphanumeric(32, "obfuscation", text, part) for part in range(sum(lengths) // 32 + 1)]
    ).encode()
    tails, start = [], 0
    for length in lengths:
        tails.append(noise[start : start + length])
        start += length
    return tuple(tails)


def tail_of(*what: seeded.Entropy) -> str:
    """Returns the letters of an event without text."""
    return seeded.alphanumeric(1 + seeded.roll("obfuscation", *what) % STEP, "obfuscation", *what)


def padded(dialect: Dialect[Any], part: Part, native: object, text: str) -> FrameRun:
    """Returns the events of a text. `native` is one of them, with `PIECE` for its piece and, after that, `TAIL`."""
    pieces = tokens.pieces(text)
    before, _, rest = dialect.frame(native).partition(PIECE_IN_JSON)
    between, _, after = rest.partition(TAIL_IN_JSON)
    filled: Sequence[bytes] = [
        piece + between + tail for piece, tail in zip(pieces.escaped, tails_of(text), strict=True)
    ]
    return FrameRun(part, before, filled, after, pieces.counts)
