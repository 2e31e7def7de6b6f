"""Immutable records. A frozen dataclass has a cost for each field of each instance: a tenth of a request's time. These
are frozen for the type checker and ordinary at run time.
"""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Like `dataclass(frozen=True, slots=True)`, for records that are created many times per request."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
