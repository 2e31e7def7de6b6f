"""Words for what pydantic expects, for messages about files and about faults."""

from collections.abc import Mapping

NOUNS: Mapping[str, str] = {
    kind: noun
    for noun, kinds in {
        "a string": "string_type string_sub_type string_unicode bytes_type",
        "a whole number": "int_type int_parsing int_parsing_size int_from_float",
        "a number": "float_type float_parsing decimal_type decimal_parsing",
        "a finite number": "finite_number",
        "true or false": "bool_type bool_parsing",
        "a list": "list_type tuple_type set_type frozen_set_type iterable_type",
        "a mapping": "dict_type mapping_type model_type model_attributes_type dataclass_type",
        "nothing": "none_required",
    }.items()
    for kind in kinds.split()
}
"""The expected kind of value, by the type of pydantic's error."""
BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
    "multiple_of": ("multiple_of", "a multiple of"),
}
"""The key of a bound in an error's context, and how to say it."""


def counted(number: int, noun: str) -> str:
    """`1 item`, `2 items`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
