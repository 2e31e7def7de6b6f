"""How DeepSeek's models write tool calls: in markup that costs tokens, with a space after each colon, in small pieces.

Recordings of its API show this: https://github.com/pydantic/pydantic-ai and https://github.com/vercel/ai have some in
their tests.
"""

import json
from functools import lru_cache
from typing import Any

import orjson

from emulator import tokens

FORCED = 7
"""Tokens of `\\n\\n<｜DSML｜tool_calls>`, at the end of a prompt whose client requires a call."""


@lru_cache(maxsize=256)
def spaced(arguments: str) -> str:
    """Adds a space after each colon and comma of the arguments. Arguments that aren't compact JSON are not changed."""
    value = _read(arguments)
    if value is None or json.dumps(value, ensure_ascii=False, separators=(",", ":")) != arguments:
        return arguments
    return json.dumps(value, ensure_ascii=False)


@lru_cache(maxsize=256)
def argument_pieces(arguments: str) -> tokens.Pieces:
    """Splits arguments into the pieces of a stream: punctuation from the server, and the tokens of names and values."""
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
