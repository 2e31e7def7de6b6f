"""Messages to the user, and exits with a code."""

import os
import sys
from typing import NoReturn

import click

from emulator.errors import did_you_mean

__all__ = ["did_you_mean", "fail", "is_colored", "reason_of"]


def fail(message: str, code: int) -> NoReturn:
    """Prints a message to stderr and exits."""
    click.echo(message, err=True)
    sys.exit(code)


def is_colored(descriptor: int) -> bool:
    """Whether output to a descriptor may be colored: it is a terminal, and NO_COLOR is not set."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and os.isatty(descriptor)


def reason_of(error: Exception) -> str:
    """Returns why a connection failed, without the number of the error."""
    cause = getattr(error, "reason", error)
    number = cause.errno if isinstance(cause, OSError) else None
    if number and number > 0:
        return os.strerror(number)
    return str(getattr(cause, "strerror", None) or cause) or type(cause).__name__
