"""The exceptions a user of the emulator may meet, each with a message that says where, what and what would do.

EmulatorError
├── ScenarioError      a file or a dict that cannot be used: one `Problem` for each thing wrong in it
├── UsageError         an option, a name or an argument that does not exist
└── BindError          the address cannot be listened on
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path


class EmulatorError(Exception):
    """Base of everything raised on purpose."""


class UsageError(EmulatorError):
    """The caller named something that does not exist."""


class Unanswered(EmulatorError):
    """A worker of the server did not answer in time."""


class BindError(EmulatorError):
    """The server cannot listen on the address it was given."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a file. Lines and columns count from 1; 0 means that there is no position."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        return f"{where}: {self.message}"


class ScenarioError(EmulatorError):
    """A scenario cannot be used; `problems` has at least one item, in the order of the file. `files` are those that
    were read or missed, where more than one was asked for."""

    def __init__(self, problems: Sequence[Problem], files: Sequence[Path] = ()) -> None:
        self.problems = tuple(problems)
        self.files = tuple(files)
        super().__init__("\n".join(str(problem) for problem in self.problems))


MAX_SHOWN = 80
"""Characters of a word that a message repeats."""


def shortened(word: object) -> str:
    """A word as a message shows it: its beginning, when it is long."""
    text = str(word)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """`" Did you mean 'reset'?"` for a near miss, else nothing: made to be appended to a message."""
    close = get_close_matches(word, known, n=1, cutoff=0.6) if len(word) <= MAX_SHOWN else []
    return f" Did you mean '{close[0]}'?" if close else ""
