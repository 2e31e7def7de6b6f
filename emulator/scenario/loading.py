"""Loads a file: `read` returns a document, `build` a validated model. Every failure is a ScenarioError."""

import stat
from pathlib import Path
from typing import NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from emulator.errors import Problem, ScenarioError
from emulator.scenario import formats
from emulator.scenario.document import Document, hinted, one_line
from emulator.scenario.formats import Format
from emulator.scenario.validation import problems_of

__all__ = ["MAX_BYTES", "Document", "build", "parse", "problems_of", "read"]

MAX_BYTES = 10 * 2**20

_NOTATIONS: dict[str, Format] = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}

M = TypeVar("M", bound=BaseModel)


def read(path: Path, *, shown: str | None = None) -> Document:
    """The document in a .yaml, .yml, .json or .toml file; problems name it `shown`, or by its path."""
    shown = str(path) if shown is None else shown
    kind = _NOTATIONS.get(path.suffix.lower())
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            _refuse(shown, "this is a folder; expected a file")
        if not stat.S_ISREG(mode):  # reading a pipe could block forever
            _refuse(shown, "this is not a regular file")
        if kind is None:
            _refuse(shown, f"unknown file extension '{path.suffix}'. Extensions: {', '.join(_NOTATIONS)}")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        _refuse(shown, hinted("no such file", path.name, _neighbors(path)))
    except PermissionError:
        _refuse(shown, "cannot read this file: permission denied")
    except OSError as error:
        _refuse(shown, f"cannot read this file: {error.strerror or error}")
    except ValueError as error:  # a NUL in the path
        _refuse(shown, f"cannot read this file: {error}")
    return parse(raw, shown, kind)


def parse(text: str | bytes, shown: str, kind: Format = "yaml") -> Document:
    """The document in a text, which problems name `shown`."""
    if len(text) > MAX_BYTES:
        _refuse(shown, f"this file is larger than {MAX_BYTES >> 20} MiB")
    if isinstance(text, bytes):
        text = _decoded(text, shown)
    return formats.document(text.removeprefix("\ufeff"), shown, kind)


def build(model: type[M], document: Document) -> M:
    """The document as a model. Raises a ScenarioError that lists all its problems in file order."""
    try:
        try:
            return model.model_validate(document.data)
        except ValidationError as error:
            raise ScenarioError(problems_of(error, document, model)) from None
    except (ScenarioError, MemoryError):
        raise
    except Exception as error:  # a validator may raise anything, and the file's author should not see a traceback
        problem = document.problem((), one_line(f"cannot check the document: {type(error).__name__}: {error}"))
        raise ScenarioError([problem]) from error


def _refuse(shown: str, message: str, line: int = 0, column: int = 0) -> NoReturn:
    raise ScenarioError([Problem(shown, line, column, message)]) from None


def _decoded(raw: bytes, shown: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        line, column = formats.marker(before)(len(before))
        _refuse(shown, f"the byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8", line, column)


def _neighbors(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir() if entry.suffix.lower() in _NOTATIONS]
    except OSError:
        return []
