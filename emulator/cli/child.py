"""Runs a command in the foreground: it gets the terminal and the signals, and its exit code becomes ours."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

Started = TypeVar("Started")

FORWARDED = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)
FROM_KERNEL = 0x80
"""`si_code` of a signal from the terminal, which goes to the whole foreground group: the command already has it."""
NOT_FOUND, NOT_EXECUTABLE, KILLED = 127, 126, 128


class CannotRunError(Exception):
    """The command cannot be started; `code` is the exit code that a shell would use."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def held_signals() -> Iterator[None]:
    """Blocks signals until `run` handles them, in every thread that starts meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    held = {*FORWARDED, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    handler = signal.signal(signal.SIGCHLD, lambda *_: None)  # an ignored signal would not stay pending
    try:
        yield
    finally:
        while signal.sigpending() & held:  # after the command's end, signals have no recipient
            signal.sigwait(held)
        signal.signal(signal.SIGCHLD, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs a command within `held_signals`. Returns its exit code, or 128+N if signal N ended it. Raises
    CannotRunError."""
    if not hasattr(os, "posix_spawnp"):
        return _run_elsewhere(command, environment)
    pid = _started(
        command, lambda: os.posix_spawnp(command[0], list(command), environment, setsigmask=(), setsigdef=_reset())
    )
    while True:
        number = _next_signal(pid)
        if number == signal.SIGCHLD:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else KILLED - code
        elif number:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _reset() -> list[int]:
    """Signals that Python ignores but other programs expect to receive."""
    return [getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)]


def _next_signal(pid: int) -> int:
    """Waits for a signal; returns 0 for one that should not be passed on."""
    awaited = {*FORWARDED, signal.SIGCHLD}
    if hasattr(signal, "sigwaitinfo"):
        found = signal.sigwaitinfo(awaited)
        return 0 if found.si_code == FROM_KERNEL else found.si_signo
    number = int(signal.sigwait(awaited))  # macOS and others don't report the sender
    return 0 if number in (signal.SIGINT, signal.SIGQUIT) and _has_terminal() else number


def _has_terminal() -> bool:
    with suppress(OSError):
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    return False


def _run_elsewhere(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """The same without posix_spawn, for Windows, where a console sends Ctrl-C to both processes."""
    import subprocess

    process = _started(command, lambda: subprocess.Popen(command, env=dict(environment)))
    while True:
        with suppress(KeyboardInterrupt):
            return process.wait()


def _started(command: Sequence[str], start: Callable[[], Started]) -> Started:
    try:
        return start()
    except FileNotFoundError:
        raise CannotRunError(f"There is no command '{command[0]}'.", NOT_FOUND) from None
    except OSError as error:
        raise CannotRunError(f"'{command[0]}' cannot be run: {error.strerror or error}.", NOT_EXECUTABLE) from None
