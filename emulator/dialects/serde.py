"""Error messages for invalid bodies, as a Rust server (serde behind axum) writes them.

Observed messages are listed in docs/providers.md; the rest follows serde's own wording.
"""

from collections.abc import Callable, Iterable
from typing import Any

from pydantic_core import ErrorDetails

from emulator.records import record

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
    """Writes `("messages", 0, "role")` as `messages[0].role`. serde omits names in `<>`: branches of a union."""
    text = ""
    for item in loc:
        if isinstance(item, str) and item.startswith("<"):
            continue
        text += f"[{item}]" if isinstance(item, int) else f".{item}" if text else item
    return text


def described(value: Any) -> str:
    """Describes a JSON value in serde's words."""
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
    """Returns a validation error in serde's words, without the position. `place` writes the path."""
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
    """Returns the error for an unknown variant. `known` has the form "`a`, `b` or `c`"."""
    if "," in known:
        return f"unknown variant `{value}`, expected one of {known.replace(' or ', ', ')}"
    return f"unknown variant `{value}`, expected {known}"


def not_json(reason: str) -> str:
    """Returns axum's message for a body that is not JSON."""
    return f"Failed to parse the request body as JSON: {reason}"


def not_of_type(complaint: str) -> str:
    """Returns axum's message for JSON with a value of the wrong type."""
    return f"Failed to deserialize the JSON body into the target type: {complaint}"


@record
class Range:
    """The range of a number, and how the provider writes it."""

    name: str
    low: float
    high: float
    shown: str
    excludes_low: bool = False

    def complaint(self, body: Any) -> str | None:
        """The provider's message for a number that is out of range; None if it is valid."""
        value = getattr(body, self.name, None)
        if value is None or (self.low < value <= self.high) or (value == self.low and not self.excludes_low):
            return None
        return f"Invalid {self.name} value, the valid range of {self.name} is {self.shown}"


def first(validation_errors: Iterable[str | None]) -> str | None:
    """Returns the first message that isn't None."""
    return next((complaint for complaint in validation_errors if complaint), None)
