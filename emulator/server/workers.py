"""Several processes on one port, each with its own accept queue, for loads that exceed one core.

They share no memory except for counts (`emulator.state.shared`); what they must decide together, they decide in the
parent's store. A scenario that this doesn't cover is rejected, with the reasons. Control API requests reach all of them
through the control channel (`emulator.server.broker`), which goes through the parent.
"""

import contextlib
import errno
import os
import select
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from zlib import crc32

from emulator.clock import WallClock
from emulator.errors import BindError, UsageError
from emulator.server.black_box import Boxes
from emulator.server.broker import Broker
from emulator.server.channel import Member
from emulator.server.sockets import HINTS, bind
from emulator.state.journal import MAX_BYTES
from emulator.state.shared import Shared

MAX_FAILED_STARTS = 3
"""The most workers in a row that may end before they listen."""
RESTART_DELAY = 0.2
"""Seconds before the replacement of a worker that did not start, or that ended right after it had."""
STOP_TIMEOUT = 10.0
"""Seconds after which a worker that does not stop is killed."""
WRITE_TIMEOUT = 0.5
"""Seconds that a message of the parent waits for a reader."""
FAILED, CANNOT_BIND = 1, 3
SIGNALS = (signal.SIGINT, signal.SIGTERM)
Serve = Callable[[Member, Callable[[], None]], None]


def reserve(host: str, port: int) -> socket.socket:
    """Returns a socket that reserves a port for this server; its workers bind the same port themselves. Any other
    process of the same user could take a shared port, so it is first bound without sharing. Raises BindError.
    """
    if port:
        _claim(host, port)
        bind(host, port, listens=False).close()
    sock = bind(host, port, listens=False, shares_port=True)
    if not port:
        try:
            _claim(host, sock.getsockname()[1])
        except BindError:
            sock.close()
            raise
    return sock


def _claim(host: str, port: int) -> None:
    """Claims an address for this process until it ends. Raises BindError if another process has claimed it. On Linux,
    a bound socket doesn't keep others from binding until it listens, so servers that start together would share a port.
    """
    try:
        import fcntl

        path = os.path.join(tempfile.gettempdir(), f"emulator-{os.getuid()}.ports")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except (ImportError, OSError):  # not writable: servers that start within a moment may clash
        return
    try:
        # The lock of one byte, at the address's place, belongs to this process alone and not to its workers.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, crc32(f"{host}:{port}".encode()))
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EACCES, errno.EAGAIN):
            reason = f"{os.strerror(errno.EADDRINUSE)}. {HINTS[errno.EADDRINUSE]}"
            raise BindError(f"Cannot listen on {host}:{port}: {reason}") from None


def run(number: int, serve: Serve, on_ready: Callable[[], None], say: Callable[[str], None]) -> int:
    """Forks `number` processes that each run `serve(member, ready)`, waits for them to end, and returns an exit code.

    `on_ready` is called once all of them listen. One that ends by itself is replaced by one with a new index, and `say`
    receives a sentence about it. SIGINT and SIGTERM are forwarded and stop all of them; no signal is ever lost."""
    if not hasattr(os, "fork"):
        raise UsageError(
            "Several workers need a system that can fork; instead, run several servers on different ports."
        )
    return _Supervisor(number, serve, on_ready, say).run(number)


def write_within(descriptor: int, text: str, seconds: float = WRITE_TIMEOUT) -> None:
    """Writes a text, or as much of it as is read in time, for a process that has no threads because it forks."""

    def give_up(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
        view = memoryview(text.encode("utf-8", "backslashreplace"))
        with contextlib.suppress(OSError):  # includes TimeoutError
            while view:
                view = view[os.write(descriptor, view) :]
    except TimeoutError:  # pragma: no cover - the alarm came just after the last byte
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def write_lock() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """A lock shared by this process and its forks; a killed process releases it."""
    try:
        import fcntl

        file = tempfile.TemporaryFile()  # noqa: SIM115 - it stays as long as the server
    except (ImportError, OSError):
        return contextlib.nullcontext

    @contextlib.contextmanager
    def held() -> Iterator[None]:
        fcntl.lockf(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(file, fcntl.LOCK_UN)

    return held


@dataclass(slots=True, eq=False)
class _Worker:
    index: int
    pid: int
    pipe: int
    """A pipe that delivers a byte once the worker listens."""
    is_ready: bool = False
    ready_at: float = 0.0


class _Supervisor:
    """The parent: starts workers, replaces those that end, forwards signals. Every signal, including that of a
    child's end, becomes a byte in a socket that the loop waits on, so none can be lost between a check and a wait.
    """

    def __init__(self, number: int, serve: Serve, on_ready: Callable[[], None], say: Callable[[str], None]) -> None:
        self._serve = serve
        self._on_ready = on_ready
        self._say = say
        self._workers: list[_Worker] = []
        self._received: list[int] = []
        self._wake, self._waker = socket.socketpair()
        self._lifeline = os.pipe()  # its end shows the children that their parent is gone, whatever the reason
        self._now = WallClock.now
        self._next_index = 1
        self._number = 0
        self._boxes = Boxes(number, MAX_BYTES)
        self._broker = Broker(len(self._boxes))
        self._shared = Shared()
        self._due: list[tuple[float, str]] = []
        """The start times of replacements, each with its message."""
        self._failed_starts = 0
        self._was_ready = False
        self._stops_by: float | None = None
        """When workers that still run are killed; None: the server is not stopping."""
        self._code = 0

    def run(self, number: int) -> int:
        self._number = number
        for end in (self._wake, self._waker):
            end.setblocking(False)
        before = {name: signal.signal(name, self._receive) for name in (*SIGNALS, signal.SIGCHLD)}
        fd = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        try:
            for _ in range(number):
                self._fork()
            while self._workers or (self._due and self._stops_by is None):
                self._wait()
                self._pass_signals_on()
                self._note_ready(number)
                self._reap()
                self._replace()
                self._kill_late()
            return self._code
        finally:
            signal.set_wakeup_fd(fd)
            for name, handler in before.items():
                signal.signal(name, handler)
            for descriptor in self._lifeline:
                os.close(descriptor)
            self._wake.close()
            self._waker.close()
            self._broker.close()

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        self._received.append(signum)

    def _wait(self) -> None:
        moments = [moment for moment, _ in self._due]
        if self._stops_by is not None:
            moments = [self._stops_by]
        timeout = max(0.0, min(moments) - self._now()) if moments else None
        pipes = [worker.pipe for worker in self._workers if worker.pipe >= 0]
        lines = self._broker.readers()
        readable, *_ = select.select([self._wake.fileno(), *pipes, *lines], self._broker.writers(), [], timeout)
        self._broker.turn(readable)
        with contextlib.suppress(BlockingIOError):
            while self._wake.recv(4096):
                pass

    def _pass_signals_on(self) -> None:
        received, self._received = self._received, []
        for signum in received:
            if signum in SIGNALS:
                self._stop(signum)

    def _stop(self, signum: int) -> None:
        if self._stops_by is None:
            self._stops_by = self._now() + STOP_TIMEOUT
        for worker in self._workers:
            os.kill(worker.pid, signum)  # it exists until it is reaped

    def _note_ready(self, number: int) -> None:
        pipes = [worker.pipe for worker in self._workers if worker.pipe >= 0]
        readable = select.select(pipes, [], [], 0)[0] if pipes else []
        for worker in self._workers:
            if worker.pipe in readable:
                if os.read(worker.pipe, 1):
                    worker.is_ready, worker.ready_at = True, self._now()
                    self._failed_starts = 0
                os.close(worker.pipe)
                worker.pipe = -1
        if not self._was_ready and sum(worker.is_ready for worker in self._workers) == number:
            self._was_ready = True
            self._on_ready()

    def _reap(self) -> None:
        for worker in tuple(self._workers):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._workers.remove(worker)
                self._broker.lost(worker.index)
                if worker.pipe >= 0:  # pragma: no cover - it ended since its pipe was looked at
                    os.close(worker.pipe)
                self._ended(worker, os.waitstatus_to_exitcode(status))

    def _ended(self, worker: _Worker, code: int) -> None:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if self._stops_by is not None:
            # A worker that must stop before it handles signals dies of them, which is also an orderly end.
            if code and -code not in SIGNALS:
                self._code = self._code or FAILED
            return
        if code == CANNOT_BIND:
            self._code = CANNOT_BIND
            self._stop(signal.SIGTERM)
            return
        if not worker.is_ready and self._has_failed_too_often(f"worker {worker.index} ended ({how})"):
            return
        is_quick = not worker.is_ready or self._now() - worker.ready_at < RESTART_DELAY
        moment = self._now() + (RESTART_DELAY if is_quick else 0.0)
        self._due.append((moment, f"worker {worker.index} ended ({how}), replaced by worker"))
        if self._broker.has_forgotten:
            self._broker.has_forgotten = False
            self._say("all workers had ended before another was ready: what the control API had changed is lost")

    def _has_failed_too_often(self, sentence: str) -> bool:
        """Counts a failed start; too many stop the server."""
        self._failed_starts += 1
        if self._failed_starts < MAX_FAILED_STARTS:
            return False
        self._say(f"{sentence} before it could listen, like the {MAX_FAILED_STARTS - 1} before it: stopping the server")
        self._code = FAILED
        self._stop(signal.SIGTERM)
        return True

    def _replace(self) -> None:
        if self._stops_by is not None:
            return
        now = self._now()
        due, self._due = self._due, [each for each in self._due if each[0] > now]
        for moment, sentence in due:
            if moment <= now:
                self._say(f"{sentence} {self._next_index}")
                self._fork()

    def _kill_late(self) -> None:
        if self._stops_by is not None and self._now() >= self._stops_by:
            for worker in self._workers:
                self._say(f"worker {worker.index} did not stop within {STOP_TIMEOUT:.0f} s and was killed")
                os.kill(worker.pid, signal.SIGKILL)
            self._stops_by = self._now() + STOP_TIMEOUT
            self._code = FAILED

    def _fork(self) -> None:
        index, self._next_index = self._next_index, self._next_index + 1
        reader, writer = os.pipe()
        line, slot = self._broker.connect(index)
        pid = -1
        # A signal between the fork and the child's setup would count as one for the parent, and be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, (*SIGNALS, signal.SIGCHLD))
        try:
            pid = os.fork()
            if pid == 0:
                self._be_worker(Member(index, line, self._shared, self._number, self._boxes, slot), reader, writer)
        except OSError as error:
            os.close(reader)
            self._broker.lost(index)
            sentence = f"could not fork worker {index} ({error.strerror})"
            if not self._has_failed_too_often(sentence):
                self._due.append((self._now() + RESTART_DELAY, f"{sentence}, replaced by worker"))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (*SIGNALS, signal.SIGCHLD))
        line.close()
        os.close(writer)
        if pid > 0:
            self._workers.append(_Worker(index, pid, reader))

    def _be_worker(self, member: Member, reader: int, writer: int) -> None:
        """Runs the child. Never returns."""
        code = FAILED
        try:
            signal.set_wakeup_fd(-1)
            for name in (*SIGNALS, signal.SIGCHLD):
                signal.signal(name, signal.SIG_DFL)
            # The terminal sends Ctrl-C to every process; the parent forwards it once.
            os.setpgid(0, 0)
            for descriptor in (reader, self._lifeline[1], *(w.pipe for w in self._workers if w.pipe >= 0)):
                os.close(descriptor)
            self._wake.close()
            self._waker.close()
            self._broker.close()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (*SIGNALS, signal.SIGCHLD))
            threading.Thread(target=_end_with, args=(self._lifeline[0],), daemon=True).start()
            self._serve(member, lambda: _tell(writer))
            code = 0
        except BindError as error:
            self._say(str(error))
            code = CANNOT_BIND
        except BaseException as error:
            self._say(f"worker {member.index}: {type(error).__name__}: {error}")
        finally:
            os._exit(code)


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)  # pragma: no cover - it ends the process that would report it


def _tell(writer: int) -> None:
    os.write(writer, b".")
    os.close(writer)
