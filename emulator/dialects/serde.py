"""The words for a body that cannot be used, as a Rust server (serde behind axum) says them.

Observed texts are listed in docs/providers.md; the rest follows serde's own wording.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

EXPECTED = {
    "string_type": "a string",
    "int_type": "u32",
    "int_from_float": "u32",
    "float_type": "f32",
    "bool_type": "a boolean",
    "list_type": "a sequence",
    "dict_type": "a map",
    "model_type": "struct",
    "model_attributes_type": "struct",
    "tuple_type": "a sequence",
}


def place(loc: Iterable[str | int]) -> str:
    """`("messages", 0, "role")` as `messages[0].role`. Names in `<>` are branches of a union: serde leaves them out."""
    text = ""
    for item in loc:
        if isinstance(item, str) and item.startswith("<"):
            continue
        text += f"[{item}]" if isinstance(item, int) else f".{item}" if text else item
    return text


def described(value: Any) -> str:
    """A JSON value in serde's words."""
    match value:
        case None:
            return "null"
        case bool():
            return f"boolean `{str(value).lower()}`"
        case int():
            return f"integer `{value}`"
        case float():
            return f"floating point `{value}`"
        case str():
            return f'string "{value if len(value) <= 64 else value[:64] + "…"}"'
        case list() | tuple():
            return "sequence"
        case _:
            return "map"


def serde(error: ErrorDetails, place: Callable[[Iterable[str | int]], str] = place) -> str:
    """One validation error as serde would tell it, without the position. `place` writes the path to it."""
    kind, loc = error["type"], error["loc"]
    if kind == "missing":
        parent = place(loc[:-1])
        return f"{parent + ': ' if parent else ''}missing field `{loc[-1]}`"
    where = place(loc)
    prefix = f"{where}: " if where else ""
    if kind == "literal_error":
        known = str(error["ctx"]["expected"]).replace("'", "`")
        value = error["input"]
        if isinstance(value, str):
            return f"{prefix}{unknown_variant(value, known)}"
        return f"{prefix}invalid type: {described(value)}, expected string or map"
    if kind in EXPECTED:
        return f"{prefix}invalid type: {described(error['input'])}, expected {EXPECTED[kind]}"
    return f"{prefix}invalid value: {described(error['input'])}"


def unknown_variant(value: str, known: str) -> str:
    """A text that is none of the known ones, which are written as "`a`, `b` or `c`"."""
    if "," in known:
        return f"unknown variant `{value}`, expected one of {known.replace(' or ', ', ')}"
    return f"unknown variant `{value}`, expected {known}"


def not_json(reason: str) -> str:
    """What axum says of a body that is not JSON at all."""
    return f"Failed to parse the request body as JSON: {reason}"


def not_of_type(complaint: str) -> str:
    """What axum says of JSON in which something has the wrong type."""
    return f"Failed to deserialize the JSON body into the target type: {complaint}"


@dataclass(frozen=True, slots=True)
class Range:
    """The valid values of a number, and how the provider writes them."""

    name: str
    low: float
    high: float
    shown: str
    excludes_low: bool = False

    def complaint(self, body: Any) -> str | None:
        """The provider's sentence when the number is out of range."""
        value = getattr(body, self.name, None)
        if value is None or (self.low < value <= self.high) or (value == self.low and not self.excludes_low):
            return None
        return f"Invalid {self.name} value, the valid range of {self.name} is {self.shown}"


def first(validation_errors: Iterable[str | None]) -> str | None:
    """The first complaint there is."""
    return next((complaint for complaint in validation_errors if complaint), None)
