"""Processes of the command `emulator`, forked from one that has loaded it already: loading takes most of their time.

`Popen` and `run` are used like those of `subprocess`. Anything but `python -m emulator …` starts as usual, and so does
what changes the variables that Python itself reads as it starts.
"""

import atexit
import contextlib
import errno
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn, TypeAlias
from zlib import crc32

COMMAND = (sys.executable, "-m", "emulator")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("EMULATOR_")}
NOT_FORKED = ("preexec_fn", "pass_fds", "umask", "user", "group", "process_group")
MAX_REQUEST = 1 << 20
STAYS, ADMITTED = b"stays", b"+"
ONE_AT_A_TIME = Lock()
"""Held while the process to fork from is started: tests use threads."""
Completed: TypeAlias = "subprocess.CompletedProcess[Any]"


class Popen(subprocess.Popen[Any]):
    """A process, whose parent may be the one that it was forked from."""

    _nursery: socket.socket | None = None
    """Where its end is reported; None for a process of the usual kind."""

    def __init__(self, args: Sequence[str], **options: Any) -> None:
        self._forks = can_fork(args, options)
        super().__init__(args, **options)

    def _execute_child(self, args: Sequence[str], *others: Any) -> None:
        if not self._forks:
            super()._execute_child(args, *others)  # type: ignore[misc]
            return
        cwd, env, pipes, is_apart = others[4], others[5], others[9:15], others[20]
        stdin, _, _, stdout, _, stderr = pipes
        asked = {
            "arguments": [str(each) for each in args[len(COMMAND) :]],
            "environment": dict(os.environ if env is None else env),
            "folder": str(cwd or os.getcwd()),
            "is_apart": is_apart,
        }
        own = [mine if mine != -1 else inherited for mine, inherited in ((stdin, 0), (stdout, 1), (stderr, 2))]
        self._nursery = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ONE_AT_A_TIME:
            address = nursery("PYTHONPATH" in asked["environment"])
        self._nursery.connect(f"\0{address}")
        socket.send_fds(self._nursery, [json.dumps(asked).encode()], own)
        self.pid = int(self._nursery.recv(64))
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _internal_poll(self, *others: Any, **options: Any) -> int | None:
        if self._nursery is None:
            polled: int | None = super()._internal_poll(*others, **options)  # type: ignore[misc]
            return polled
        return self._ended(0)

    def _wait(self, timeout: float | None) -> int | None:
        if self._nursery is None:
            code: int | None = super()._wait(timeout)  # type: ignore[misc]
            return code
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode

    def _ended(self, timeout: float | None) -> int | None:
        """The exit code, once the process has ended."""
        if self.returncode is None and self._nursery is not None and select.select([self._nursery], [], [], timeout)[0]:
            self.returncode = int(self._nursery.recv(64))
            self._nursery.close()
        return self.returncode


def run(args: Sequence[str], *, check: bool = False, timeout: float = 60, **options: Any) -> Completed:
    """Runs a process to its end, as `subprocess.run` does."""
    if options.pop("capture_output", False):
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    input = options.pop("input", None)
    if input is not None:
        options["stdin"] = subprocess.PIPE
    with Popen(args, **options) as process:
        try:
            out, err = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done: Completed = subprocess.CompletedProcess(args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def end(process: "subprocess.Popen[Any]") -> None:
    """Ends a process that a test is done with: at once, except that a process whose coverage is measured may report."""
    if "COVERAGE_PROCESS_CONFIG" in os.environ and process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
    process.kill()


def can_fork(args: Sequence[str], options: Mapping[str, Any]) -> bool:
    """Whether the process is a command of the emulator, in an interpreter like this one."""
    environment = os.environ if options.get("env") is None else options["env"]
    return (
        sys.platform == "linux"
        and not isinstance(args, str)
        and tuple(args[: len(COMMAND)]) == COMMAND
        and not any(options.get(name) for name in NOT_FORKED)
        and for_python(environment) == for_python(os.environ)
    )


def for_python(environment: Mapping[str, str]) -> dict[str, str]:
    """What the interpreter itself reads at startup. Of the path, only what runs immediately counts."""
    read = {name: value for name, value in environment.items() if name.startswith(("PYTHON", "LC_", "LANG"))}
    folders = read.pop("PYTHONPATH", "").split(os.pathsep)
    return {**read, "site": str([each for each in folders if each and Path(each, "sitecustomize.py").exists()])}


@cache
def nursery(is_extended: bool) -> str:
    """The address of the process that the others are forked from: one for all workers of a run, which ends with the
    last of them. Where the path of Python is extended by packages that may hold plugins, the process has loaded only
    what the emulator depends on."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", os.getpid())
    interpreter = json.dumps([sys.executable, for_python(os.environ)], sort_keys=True)
    address = f"emulator-tests-{run}-{crc32(interpreter.encode())}-{is_extended:d}"
    starts = 0
    while starts < 3:
        guest = start_nursery(address, is_extended)
        starts += guest is not None
        with contextlib.suppress(ConnectionError):
            guest = guest or become_guest(address)
            if guest.recv(1) == ADMITTED:
                atexit.register(leave_nursery, guest)
                return address
    raise AssertionError("the process to fork from did not start")


def start_nursery(address: str, is_extended: bool) -> socket.socket | None:
    """Starts the process, whose first guest is this one; None if there is one already."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        try:
            listening.bind(f"\0{address}")
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return None
            raise
        listening.listen(64)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            descriptors = [each.fileno() for each in (listening, theirs)]
            for each in descriptors:
                os.set_inheritable(each, True)
            command = [sys.executable, __file__, *map(str, descriptors), *(["extended"] if is_extended else [])]
            os.posix_spawn(sys.executable, command, ENVIRONMENT)
    return ours


def become_guest(address: str) -> socket.socket:
    guest = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    guest.connect(f"\0{address}")
    guest.send(STAYS)
    return guest


def leave_nursery(guest: socket.socket) -> None:
    """The last guest waits for the end, so that the coverage of all processes is on disk when the run ends."""
    with guest, contextlib.suppress(ConnectionError):
        guest.shutdown(socket.SHUT_WR)
        guest.recv(1)


# In the process that others are forked from


class Forked(BaseException):
    """Raised in the new process, which leaves the loop with it."""


def fork_for_all(listening: socket.socket, guests: list[socket.socket]) -> None:
    """Forks a process for each request, until the last guest leaves. Raises Forked in each of the new processes."""
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket.socket] = {}
    guests[0].send(ADMITTED)
    while True:
        waited: list[socket.socket | int] = [listening, woken, *guests]
        ready, _, _ = select.select(waited, [], [])
        if woken in ready:
            os.read(woken, 4096)
            report_ended(running)
        for guest in [each for each in guests if each in ready]:
            if len(guests) == 1:
                listening.close()
                return  # whoever waits for it notices the end of the process
            guests.remove(guest)
            guest.close()
        if listening not in ready:
            continue
        client, _ = listening.accept()
        data, descriptors, _, _ = socket.recv_fds(client, MAX_REQUEST, 3)
        if data == STAYS:
            guests.append(client)
            with contextlib.suppress(OSError):
                client.send(ADMITTED)
        if data in (STAYS, b""):
            continue
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (*running.values(), *guests, client, listening):
                each.close()
            os.close(woken)
            os.close(waker)
            become(json.loads(data), descriptors)
            raise Forked
        running[pid] = client
        with contextlib.suppress(OSError):
            client.send(b"%d" % pid)
        for descriptor in descriptors:
            os.close(descriptor)


def report_ended(running: dict[int, socket.socket]) -> None:
    """Tells those who wait for a process that it has ended, and how."""
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with running.pop(pid) as client, contextlib.suppress(OSError):
            client.send(b"%d" % os.waitstatus_to_exitcode(status))


def become(asked: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Makes the new process what was asked for: its environment, folder, arguments and standard streams."""
    if asked["is_apart"]:
        os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    for descriptor in set(descriptors) - {0, 1, 2}:
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = ["emulator", *asked["arguments"]]
    path = os.environ.get("PYTHONPATH", "")
    sys.path[:0] = [asked["folder"], *filter(None, path.split(os.pathsep))]
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]


def load(*, is_extended: bool) -> None:
    """Imports what commands import, or only what that depends on."""
    from importlib import import_module, invalidate_caches
    from pkgutil import walk_packages

    import emulator

    for module in walk_packages(emulator.__path__, "emulator."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):
                import_module(module.name)
    if is_extended:
        for name in [each for each in sys.modules if each.partition(".")[0] == "emulator"]:
            del sys.modules[name]
        invalidate_caches()
    else:
        load_vocabularies()
    gc.freeze()


def load_vocabularies() -> None:
    """Loads what a server loads to generate its first answer; that takes most of the time of a short test."""
    from emulator import tokens
    from emulator.encodings import ENCODINGS, is_installed

    tokens.load()
    if is_installed():
        for encoding in ENCODINGS.values():
            encoding.load()


def main() -> NoReturn:
    listening, parent = (socket.socket(fileno=int(each)) for each in sys.argv[1:3])
    for each in (listening, parent):
        each.set_inheritable(False)
    load(is_extended=len(sys.argv) > 3)
    guests = [parent]
    try:
        fork_for_all(listening, guests)
    except Forked:
        from emulator.cli import main as command

        leave(command)
    sys.exit()


def leave(command: Callable[[], object]) -> None:
    """Runs the command and ends as the interpreter does, except that it frees nothing: each page that the processes
    share would be copied for that. What has failed is left to the interpreter."""
    code: object = None
    try:
        command()
    except SystemExit as end:
        code = end.code
    if not isinstance(code, int | None):
        sys.exit(str(code))
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(code)
    os._exit(code or 0)


if __name__ == "__main__":
    del sys.path[0]  # the folder of the tests, which no command looks into
    main()
