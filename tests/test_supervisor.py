"""The parent of several workers replaces, stops and gives up on them, and says why in one sentence each."""

import contextlib
import errno
import fcntl
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

import pytest
from tables import each_of

from emulator.errors import BindError, UsageError
from emulator.server import workers

BEGIN = """
import errno, json, os, signal, time
from emulator.server import workers
from emulator.server.sockets import BindError

def on_ready():
    os.kill(os.getpid(), signal.SIGTERM)

def forever(member, ready):
    ready()
    while True:
        time.sleep(1)

def say(sentence):
    os.write(2, (sentence + "\\n").encode())
"""


def ran(number: int, program: str) -> tuple[Any, list[str]]:
    """Returns the exit code that the supervisor gives, and what it says."""
    end = f"print(json.dumps(workers.run({number}, serve, on_ready, say)))"
    command = [sys.executable, "-c", f"{BEGIN}\n{program}\n{end}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr.splitlines()


def test_workers_that_are_ready_end_with_the_server() -> None:
    assert ran(2, "serve = forever") == (0, [])
    program = """
def on_ready():
    for signum in workers.SIGNALS:  # the second one changes nothing
        os.kill(os.getpid(), signum)
serve = forever
"""
    assert ran(1, program) == (0, [])


def test_an_address_that_cannot_be_used_stops_all_workers() -> None:
    program = """
def serve(member, ready):
    if member.index == 2:
        raise BindError("Cannot listen on 127.0.0.1:1: taken")
    forever(member, lambda: None)
"""
    assert ran(2, program) == (workers.CANNOT_BIND, ["Cannot listen on 127.0.0.1:1: taken"])


def test_workers_that_never_start_stop_the_server() -> None:
    program = """
workers.RESTART_DELAY = 0.01
def serve(member, ready):
    raise ValueError("bad")
"""
    assert ran(1, program) == (
        workers.FAILED,
        [
            "worker 1: ValueError: bad",
            "worker 1 ended (exit code 1), replaced by worker 2",
            "worker 2: ValueError: bad",
            "worker 2 ended (exit code 1), replaced by worker 3",
            "worker 3: ValueError: bad",
            "worker 3 ended (exit code 1) before it could listen, like the 2 before it: stopping the server",
        ],
    )


def test_a_worker_that_does_not_stop_is_killed() -> None:
    program = """
workers.STOP_TIMEOUT = 0.2
def serve(member, ready):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    forever(member, ready)
"""
    assert ran(1, program) == (workers.FAILED, ["worker 1 did not stop within 0 s and was killed"])


def test_a_system_that_cannot_fork_any_more_stops_the_server() -> None:
    program = """
workers.RESTART_DELAY = 0.01
def fork():
    raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
os.fork = fork
serve = forever
"""
    reason = "(Resource temporarily unavailable)"
    assert ran(1, program) == (
        workers.FAILED,
        [
            f"could not fork worker 1 {reason}, replaced by worker 2",
            f"could not fork worker 2 {reason}, replaced by worker 3",
            f"could not fork worker 3 {reason} before it could listen, like the 2 before it: stopping the server",
        ],
    )


def test_a_system_without_forks_has_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.fork")
    with pytest.raises(UsageError, match="instead, run several servers on different ports"):
        workers.run(2, lambda member, ready: None, lambda: None, lambda _: None)


def test_a_text_is_written_as_far_as_it_is_read_in_time() -> None:
    program = """
reader, writer = os.pipe()
workers.write_within(writer, "x" * 1_000_000, 0.05)
os.close(writer)
size = 0
while data := os.read(reader, 1 << 20):
    size += len(data)
serve = forever
say(f"{0 < size < 1_000_000} {signal.getsignal(signal.SIGALRM) == signal.SIG_DFL}")
"""
    assert ran(1, program) == (0, ["True True"])


@each_of(
    ("error", "is_taken"),
    [(errno.EACCES, True), (errno.EAGAIN, True), (errno.ENOLCK, False)],
)
def test_a_port_is_taken_if_another_server_has_claimed_it(error: int, is_taken: bool) -> None:
    def fail(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "lockf", fail)
        if not is_taken:  # such as a file system without locks
            workers.reserve("127.0.0.1", 0).close()
            return
        with pytest.raises(BindError, match=r"^Cannot listen on 127\.0\.0\.1:\d+: Address already in use\. "):
            workers.reserve("127.0.0.1", 0)


def test_a_folder_for_temporary_files_that_cannot_be_written_only_costs_claims_and_locks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    workers.reserve("127.0.0.1", 0).close()
    assert isinstance(workers.write_lock()(), contextlib.nullcontext)
