"""The command `emulator`. Every command is a file of its own, loaded once it is asked for: see COMMANDS in app.py.

Nothing is imported here before a Ctrl-C has a handler: one that comes while Python still loads is answered as well."""

import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from emulator.cli.app import cli

__all__ = ["BAD_USE", "CANNOT_BIND", "FINDINGS", "cli", "main"]

FINDINGS, BAD_USE, CANNOT_BIND = 1, 2, 3
"""Exit codes beside 0."""


def main() -> NoReturn:
    """The entry point of the command."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, _leave)
    _open_missing_descriptors()
    from emulator.cli.app import run

    code = run()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except OSError as error:
        code = code or cannot_write(error)
    sys.exit(code)


def _leave(signum: int, frame: FrameType | None) -> NoReturn:
    """The end for a signal before anything listens: an exception would come out of whatever is being loaded."""
    try:
        os.write(2, b"Stopped before the command was done.\n")
    finally:
        os._exit(128 + signum)


def _open_missing_descriptors() -> None:
    """Put /dev/null where stdin, stdout or stderr is closed: else the next file or socket would get its number, and
    with it what is printed."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one


def cannot_write(error: OSError) -> int:
    """Say that the output cannot be written, and see to it that nothing tries again at the end."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    try:
        os.write(2, f"The output cannot be written: {error.strerror or error}.\n".encode())
    except OSError:
        os.dup2(null, 2)
    return BAD_USE


def __getattr__(name: str) -> Any:
    if name != "cli":
        raise AttributeError(f"module 'emulator.cli' has no attribute '{name}'")
    from emulator.cli.app import cli

    return cli
