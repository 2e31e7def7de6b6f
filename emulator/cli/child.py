"""A command that runs in front: it has the terminal, gets the signals, and its end is ours."""

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
"""`si_code` of a signal that a terminal sends: to the whole group in front, so the command has it already."""
NOT_FOUND, NOT_EXECUTABLE, KILLED = 127, 126, 128


class CannotRunError(Exception):
    """The command cannot be started; `code` is what a shell would end with."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def held_signals() -> Iterator[None]:
    """Signals wait until `run` takes them, in every thread that is started meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    held = {*FORWARDED, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    handler = signal.signal(signal.SIGCHLD, lambda *_: None)  # one that is ignored would not wait
    try:
        yield
    finally:
        while signal.sigpending() & held:  # what came after the command's end has nobody to go to
            signal.sigwait(held)
        signal.signal(signal.SIGCHLD, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end, within `held_signals`; gives its exit code, 128+N for one that signal N ended. Raises
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
    """Signals that Python ignores, and programs do not expect to be ignored."""
    return [getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)]


def _next_signal(pid: int) -> int:
    """Wait for a signal; 0 for one that is not to be passed on."""
    awaited = {*FORWARDED, signal.SIGCHLD}
    if hasattr(signal, "sigwaitinfo"):
        found = signal.sigwaitinfo(awaited)
        return 0 if found.si_code == FROM_KERNEL else found.si_signo
    number = int(signal.sigwait(awaited))  # no word of where it comes from
    return 0 if number in (signal.SIGINT, signal.SIGQUIT) and _has_terminal() else number


def _has_terminal() -> bool:
    with suppress(OSError):
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    return False


def _run_elsewhere(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """The same where there is no posix_spawn: a console sends Ctrl-C to both."""
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
