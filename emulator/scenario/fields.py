"""The types of the members of a scenario: templates, headers, lengths, locales, counts."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, Field, WithJsonSchema

from emulator.errors import UsageError
from emulator.generation import templates
from emulator.generation.languages import known_locale

LENGTH = r"^\s*(\d{1,6})(?:\s*\.\.\s*(\d{1,6}))?(?:\s*tokens?)?\s*$"
MAX_COUNT = 2**53 - 1
"""The largest whole number that every JSON parser reads exactly."""
CODE = r"^python:[A-Za-z_][\w.]*:[A-Za-z_]\w*$"


def _template(text: str) -> str:
    try:
        templates.check(text)
    except templates.TemplateError as error:
        hint = "Put literal braces between {% raw %} and {% endraw %}"
        raise ValueError(f"is an invalid template: {error}. {hint}") from None
    return text


def parse_length(value: Any) -> Any:
    """Parses `80`, `80 tokens` or `40..120 tokens` into (minimum, maximum)."""
    match = re.fullmatch(LENGTH, str(value))
    if match is None or isinstance(value, bool):
        raise ValueError(f"is {value!r}: write '80 tokens' or '40..120 tokens'")
    low = int(match[1])
    high = int(match[2] or low)
    if not 1 <= low <= high <= 100_000:
        raise ValueError(
            f"is {value!r}: the first number must be at least 1, the second at least the first and at most 100000"
        )
    return (low, high)


def _code(text: str) -> str:
    if not re.fullmatch(CODE, text):
        raise ValueError(f"is '{text}': write python:module:function")
    return text


def _locale(name: str) -> str:
    try:
        return known_locale(name)
    except UsageError as error:
        raise ValueError(f"is '{name}'. {error}") from None


def sendable(value: Any) -> Any:
    """Raises for data that JSON can't represent."""
    try:
        orjson.dumps(value)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"can't be written as JSON: {error}. Give the exact text instead") from None
    return value


def templates_inside(value: dict[str, Any]) -> dict[str, Any]:
    for text in texts_of(value):
        _template(text)
    return value


def texts_of(value: Any) -> Iterator[str]:
    """Every string in a value, at any depth, except keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_of(item)


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name):
            raise ValueError(f"has '{name}', which is not a header name: use letters, digits and -")
        if name.lower() in ("content-length", "transfer-encoding"):
            raise ValueError(
                f"has '{name}', which is computed from the body: to send a wrong one, use the fault content_length"
            )
        if not HEADER_VALUE.fullmatch(value):
            raise ValueError(f"has a value for '{name}' that a header can't carry: use one line of Latin-1 text")
    return headers


HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
Length = Annotated[int, Field(ge=1, le=100_000)] | Annotated[str, Field(pattern=LENGTH)]
Headers = Annotated[
    dict[str, str],
    AfterValidator(_headers),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {
                "pattern": f"^{HEADER_NAME.pattern}$",
                "not": {"pattern": "^([Cc]ontent-[Ll]ength|[Tt]ransfer-[Ee]ncoding)$"},
            },
            "additionalProperties": {"type": "string", "pattern": f"^{HEADER_VALUE.pattern}$"},
        }
    ),
]
Template = Annotated[str, AfterValidator(_template)]
Code = Annotated[str, AfterValidator(_code), WithJsonSchema({"type": "string", "pattern": CODE})]
Locale = Annotated[str, AfterValidator(_locale)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
