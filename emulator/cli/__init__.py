"""The command `emulator`. Each subcommand is in its own file and is loaded on first use: see COMMANDS in app.py.

Nothing is imported here before Ctrl-C has a handler, so that a Ctrl-C during loading also ends with a sentence."""

import gc
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn

    from emulator.cli.app import cli

__all__ = ["BAD_USE", "CANNOT_BIND", "FINDINGS", "cli", "main"]

FINDINGS, BAD_USE, CANNOT_BIND = 1, 2, 3
"""Exit codes other than 0."""


def main() -> "NoReturn":
    """The entry point of the command."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, _leave)
    _open_missing_descriptors()
    gc.disable()  # imports create no garbage to search for
    from emulator.cli.app import run

    code = run()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except OSError as error:
        code = code or cannot_write(error)
    sys.exit(code)


def _leave(signum: int, frame: "FrameType | None") -> "NoReturn":
    """Exits on a signal during startup, where an exception would surface in whatever is being imported."""
    try:
        os.write(2, b"Stopped before the command finished.\n")
    finally:
        os._exit(128 + signum)


def _open_missing_descriptors() -> None:
    """Replaces a closed stdin, stdout or stderr with /dev/null. Otherwise the next file or socket would get its number
    and receive what is printed."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


def cannot_write(error: OSError) -> int:
    """Reports that the output cannot be written, and prevents another attempt at exit."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    try:
        os.write(2, f"The output cannot be written: {error.strerror or error}.\n".encode())
    except OSError:
        os.dup2(null, 2)
    return BAD_USE


def __getattr__(name: str) -> "Any":
    if name != "cli":
        raise AttributeError(f"module 'emulator.cli' has no attribute '{name}'")
    from emulator.cli.app import cli

    return cli
