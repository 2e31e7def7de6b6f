"""Reads the value of a fault's parameter from one line of text.

The syntax is that of a plain YAML scalar, but each value is read in one pass, because these texts come from requests
and are read on the event loop.
"""

import re

import orjson

MAX_DIGITS = 300
"""Longer numbers stay text, which no numeric parameter accepts."""
WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
INFINITIES = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}
INTEGER = re.compile(r"[-+]?[0-9][0-9_]*", re.ASCII)
HEXADECIMAL = re.compile(r"[-+]?0x[0-9a-fA-F_]+", re.ASCII)
NUMBER = re.compile(r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?", re.ASCII)


def scalar(text: str) -> str | int | float | bool:
    """A number, a boolean, or the text itself; quotes make any value a text."""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return _unquoted(text)
    if len(text) > MAX_DIGITS or not text:
        return text
    lowered = text.lower()
    if lowered in WORDS:
        return WORDS[lowered]
    if lowered in INFINITIES:
        return INFINITIES[lowered]
    if INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if HEXADECIMAL.fullmatch(text) and text[-1] != "_":
        return int(text.replace("_", ""), 16)
    if NUMBER.fullmatch(text):
        return float(text.replace("_", ""))
    return text


def _unquoted(text: str) -> str:
    if text[0] == "'":
        return text[1:-1].replace("''", "'")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, str) else text
