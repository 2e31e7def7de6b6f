"""Records that never change.

A frozen dataclass pays for it with every field of every instance: a tenth of a request's way. These are frozen for the
type checker, and ordinary at run time.
"""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Like `dataclass(frozen=True, slots=True)`, and many of them are made for each request."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
