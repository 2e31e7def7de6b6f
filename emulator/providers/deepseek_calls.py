"""How DeepSeek's models write tool calls: in markup that costs tokens, with a blank after each colon, in small pieces.

Recordings of its API show all of it: https://github.com/pydantic/pydantic-ai and https://github.com/vercel/ai keep some
in their tests.
"""

import json
from functools import lru_cache
from typing import Any

import orjson

from emulator import tokens

FORCED = 7
"""Tokens of `\\n\\n<｜DSML｜tool_calls>`, with which a prompt ends when the client wants a call in any case."""


@lru_cache(maxsize=256)
def spaced(arguments: str) -> str:
    """Arguments with a blank after each colon and comma. What would not come out the same otherwise stays as it is."""
    value = _read(arguments)
    if value is None or json.dumps(value, ensure_ascii=False, separators=(",", ":")) != arguments:
        return arguments
    return json.dumps(value, ensure_ascii=False)


@lru_cache(maxsize=256)
def argument_pieces(arguments: str) -> tokens.Pieces:
    """The pieces that arguments are streamed in: signs that the server puts in, and the tokens of names and values."""
    value = _read(arguments)
    if not value or not isinstance(value, dict):
        return tokens.pieces(arguments)
    cut: list[tuple[str, int]] = [("{", 1)]
    for number, (name, member) in enumerate(value.items()):
        if number:
            cut.append((", ", 1))
        cut += [*_quoted(name), (": ", 1)]
        cut += _quoted(member) if isinstance(member, str) else _cut(json.dumps(member, ensure_ascii=False))
    cut.append(("}", 1))
    texts = tuple([text for text, _ in cut])
    if "".join(texts) != arguments:
        return tokens.pieces(arguments)
    escaped = tuple([orjson.dumps(text)[1:-1] for text in texts])
    counts = tuple([count for _, count in cut])
    return tokens.Pieces(texts, counts, escaped, sum(counts))


def _read(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return None


def _quoted(text: str) -> list[tuple[str, int]]:
    inside = [(json.dumps(piece, ensure_ascii=False)[1:-1], count) for piece, count in _cut(text)]
    return [('"', 1), *inside, ('"', 1)]


def _cut(text: str) -> list[tuple[str, int]]:
    pieces = tokens.pieces(text)
    return list(zip(pieces.texts, pieces.counts, strict=True))
