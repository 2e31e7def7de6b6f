"""A recorder in a thread, and upstreams whose every byte is known."""

import re
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import processes
from processes import COMMAND, ENVIRONMENT

from emulator.cli.record import record_options, recorder_of
from emulator.engine import Options
from emulator.server.recorder import Recorder, compiled_in
from emulator.server.server import Server, ServerOptions
from emulator.server.sockets import bind


@dataclass
class Recording:
    """A running recorder."""

    port: int
    recorder: Recorder
    server: Server
    said: list[str] = field(default_factory=list)

    def url(self, provider: str) -> str:
        return f"http://127.0.0.1:{self.port}/{provider}"


@contextmanager
def recording(folder: Path, upstreams: Mapping[str, str], **values: Any) -> Iterator[Recording]:
    """`emulator record`, here: when the block is over, everything is written."""
    given = {"mode": "new", "names": (), "paths": (), "regexes": (), "keep_partial": False, **values}
    recorder = recorder_of(record_options(str(folder), upstreams, given), apart=False)
    engine = Options(unmatched="error", request_faults=frozenset())
    server = Server(ServerOptions(compiled_in(recorder.options), engine, recorder=recorder))
    sock = bind("127.0.0.1", 0)
    running = Recording(sock.getsockname()[1], recorder, server)
    recorder.say = running.said.append
    ready = threading.Event()
    thread = threading.Thread(target=server.run, args=(sock, ready.set), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield running
    finally:
        server.stop()
        thread.join(30)


@dataclass
class Command:
    """`emulator record` as a process of its own."""

    process: "subprocess.Popen[str]"
    port: int
    first_line: str
    errors: str = ""

    def url(self, provider: str) -> str:
        return f"http://127.0.0.1:{self.port}/{provider}"


def command(*options: str, environment: Mapping[str, str] | None = None, **given: Any) -> Command:
    """`emulator record` on a free port, running; `given` is for the process."""
    process = processes.Popen(
        [*COMMAND, "record", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, **(environment or {})},
        **given,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://[^ ]+:(\d+)", line)
    assert found is not None, process.communicate()
    return Command(process, int(found[1]), line)


class ByteServer:
    """Answers each connection with the next of some byte strings, whatever the request, then ends it as configured."""

    def __init__(self, *answers: Sequence[bytes], ending: str = "close") -> None:
        self.requests: list[bytes] = []
        self._answers = list(answers)
        self._ending = ending
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for pieces in self._answers:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.requests.append(self._request(connection))
                for piece in pieces:
                    connection.sendall(piece)
                if self._ending == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def _request(self, connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        self._socket.close()


@contextmanager
def byte_server(*answers: Sequence[bytes], ending: str = "close") -> Iterator[ByteServer]:
    """A server of bytes until the block ends."""
    server = ByteServer(*answers, ending=ending)
    try:
        yield server
    finally:
        server.close()


def everything_in(folder: Path) -> bytes:
    """All bytes of all files of a folder, with their names."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return b"\n".join(str(path.relative_to(folder)).encode() + b"\n" + path.read_bytes() for path in files)
