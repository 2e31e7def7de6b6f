"""The exceptions that users may see. Each message says where, what was found, and how to fix it.

EmulatorError
├── ScenarioError      an invalid file or dict, with a list of `Problem`s
├── UsageError         an invalid option, name or argument
└── BindError          the address is taken or unavailable
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path


class EmulatorError(Exception):
    """Base class of all the emulator's own exceptions."""


class UsageError(EmulatorError):
    """An option, name or argument is invalid."""


class Unanswered(EmulatorError):
    """A worker of the server did not answer in time."""


class StoreGone(EmulatorError):
    """The store that keeps the state doesn't answer."""


class BindError(EmulatorError):
    """The server can't listen on its address."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One problem in a file. Lines and columns count from 1; 0 means that the position is unknown."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        return f"{where}: {self.message}"


class ScenarioError(EmulatorError):
    """A scenario is invalid. `problems` has at least one item and is in file order. `files` are those that were read or
    are missing, if several were requested."""

    def __init__(self, problems: Sequence[Problem], files: Sequence[Path] = ()) -> None:
        self.problems = tuple(problems)
        self.files = tuple(files)
        super().__init__("\n".join(str(problem) for problem in self.problems))


MAX_SHOWN = 80
"""The most characters of a word that a message quotes."""


def shortened(word: object) -> str:
    """A word for a message, shortened if it is long."""
    text = str(word)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """`" Did you mean 'reset'?"` for a near miss, or an empty string, to append to a message."""
    close = get_close_matches(word, known, n=1, cutoff=0.6) if len(word) <= MAX_SHOWN else []
    return f" Did you mean '{close[0]}'?" if close else ""
