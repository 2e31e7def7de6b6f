"""Records. The immutable ones are frozen for the type checker and ordinary at run time: a frozen dataclass has a cost
for each field of each instance, a tenth of a request's time.

`dataclass` compiles six methods for each class. Here only `__init__` is compiled: with a hundred and fifty classes, the
others would take a tenth of the time until a server's first answer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from reprlib import recursive_repr
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Like `dataclass(frozen=True, slots=True)`."""
    return _complete(cls, is_hashable=True)


@dataclass_transform(field_specifiers=(field,))
def struct(cls: type[T]) -> type[T]:
    """Like `dataclass(slots=True)`: its fields may change, so it has no hash."""
    return _complete(cls, is_hashable=False)


def _complete(cls: type[T], *, is_hashable: bool) -> type[T]:
    made = dataclass(slots=True, repr=False, eq=False)(cls)
    methods: dict[str, Any] = {"__repr__": _repr}
    if "__eq__" not in vars(made):
        names = [each.name for each in fields(made) if each.compare]  # type: ignore[arg-type]  # it is a dataclass
        methods["__eq__"], methods["__hash__"] = _comparison(names)
        if not is_hashable:
            methods["__hash__"] = None
    for name, method in methods.items():
        if name not in vars(made):
            setattr(made, name, method)
    return made


@recursive_repr()
def _repr(self: Any) -> str:
    shown = [f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _comparison(names: list[str]) -> tuple[Callable[[Any, object], Any], Callable[[Any], int]]:
    """Returns the methods that compare and hash the values of these fields."""
    values: Callable[[Any], Any] = attrgetter(*names) if names else lambda self: ()

    def __eq__(self: Any, other: object) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: Any) -> int:
        return hash(values(self))

    return __eq__, __hash__
