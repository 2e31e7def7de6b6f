"""The docstrings under a model's fields, read from the source on demand.

Pydantic can do the same when a class is defined, but it parses the source of every class, which would slow down the
server's start.
"""

import ast
import inspect
from functools import cache
from types import ModuleType

from pydantic import BaseModel


def of(model: type[BaseModel]) -> dict[str, str]:
    """Maps field names to descriptions, including inherited fields; fields without a description are omitted."""
    described: dict[str, str] = {}
    for each in reversed(model.__mro__):
        module = inspect.getmodule(each)
        if issubclass(each, BaseModel) and each is not BaseModel and module is not None:
            described.update(_classes(module).get(each.__qualname__, {}))
    return {name: text for name, text in described.items() if name in model.model_fields}


@cache
def _classes(module: ModuleType) -> dict[str, dict[str, str]]:
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError):  # a class created at run time has no source
        return {}
    return {node.name: _fields(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _fields(node: ast.ClassDef) -> dict[str, str]:
    found: dict[str, str] = {}
    for before, statement in zip(node.body, node.body[1:], strict=False):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    found[before.target.id] = inspect.cleandoc(text)
    return found
