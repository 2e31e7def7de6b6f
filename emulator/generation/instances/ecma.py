"""Translates JavaScript's regular expressions for Python's parser.

`\\p{…}` has no equivalent there, so each one becomes a private-use character that represents a test.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping

from emulator.generation.instances.search import Miss

Test = Callable[[str], bool]
FIRST = 0x10F000
"""The first private-use character."""
ESCAPE = re.compile(r"\\(?:c(?P<control>[A-Za-z])|(?P<negated>[pP])\{(?P<name>[^{}]*)\}|u\{(?P<code>[0-9A-Fa-f]+)\}"
                    r"|u(?P<high>[dD][89abAB][0-9A-Fa-f]{2})\\u(?P<low>[dD][c-fC-F][0-9A-Fa-f]{2})|(?P<other>.))"
                    r"|\(\?<(?![=!])", re.DOTALL)  # fmt: skip
CATEGORIES: Mapping[str, str] = {
    "letter": "L", "alphabetic": "L", "alpha": "L", "uppercase_letter": "Lu", "uppercase": "Lu",
    "lowercase_letter": "Ll", "lowercase": "Ll", "mark": "M", "number": "N", "digit": "Nd",
    "decimal_number": "Nd", "nd": "Nd",
    "punctuation": "P", "punct": "P", "symbol": "S", "separator": "Z", "space_separator": "Zs", "control": "Cc",
    "cntrl": "Cc", "other": "C",
}  # fmt: skip
SCRIPTS: Mapping[str, str] = {
    "han": "CJK UNIFIED", "hani": "CJK UNIFIED", "latn": "LATIN", "grek": "GREEK", "cyrl": "CYRILLIC",
}  # fmt: skip


def translated(source: str) -> tuple[str, dict[int, Test]]:
    """Returns the expression for Python, and the tests that its private-use characters represent. Raises Miss."""
    tests: dict[int, Test] = {}

    def replacement(match: re.Match[str]) -> str:
        if match["control"]:
            return f"\\x{ord(match['control']) % 32:02x}"
        if match["name"] is not None:
            code = FIRST + len(tests)
            tests[code] = _property(match["name"], match["negated"] == "P")
            return chr(code)
        if match["code"]:
            return f"\\U{int(match['code'], 16):08x}"
        if match["high"]:  # a surrogate pair
            return f"\\U{0x10000 + (int(match['high'], 16) - 0xD800) * 1024 + int(match['low'], 16) - 0xDC00:08x}"
        return match[0] if match["other"] else "(?P<"  # JavaScript's named groups have no P

    return ESCAPE.sub(replacement, source), tests


def _property(name: str, is_negated: bool) -> Test:
    kind, _, value = name.rpartition("=")
    key = value.lower()
    if kind.lower() in ("script", "sc", "script_extensions", "scx"):
        start = SCRIPTS.get(key, value.upper())
        return lambda char: unicodedata.name(char, "").startswith(start) != is_negated
    if key in ("any", "ascii", "white_space"):
        simple: Mapping[str, Test] = {"any": lambda char: True, "ascii": str.isascii, "white_space": str.isspace}
        return lambda char: simple[key](char) != is_negated
    category = CATEGORIES.get(key, value)
    if not re.fullmatch("[CLMNPSZ][a-z]?", category):
        raise Miss(f"there is no character property '{name[:60]}'")
    return lambda char: unicodedata.category(char).startswith(category) != is_negated
