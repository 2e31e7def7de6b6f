"""A real redis-server on a free port of 127.0.0.1, in a folder of its own, without persistence."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")


class RedisServer:
    """It can pause, as if the network were gone, and stop and start again on the same port, with nothing in it."""

    def __init__(self, folder: Path) -> None:
        assert PROGRAM is not None
        self._folder = folder
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port: int = sock.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        assert PROGRAM is not None
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        command = [PROGRAM, "--port", str(self.port), *options]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + 20
        while self.command("PING") != b"+PONG\r\n":
            assert self._process.poll() is None, (self._folder / "redis.log").read_text()
            assert time.monotonic() < until, "redis-server does not answer within 20 s"
            time.sleep(0.02)

    def command(self, *words: str) -> bytes:
        """The reply to a command, as it is sent; empty when there is none. It must fit into a packet."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall(" ".join(words).encode() + b"\r\n")
            return sock.recv(1 << 20)
        return b""

    def pause(self) -> None:
        """It takes connections and says nothing from now on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def running_redis() -> Iterator[RedisServer]:
    """A server until the block ends. Skips the test without redis-server, or fails if everything is required."""
    if PROGRAM is None:
        required = os.environ.get("EMULATOR_REQUIRE_ALL") == "1"
        (pytest.fail if required else pytest.skip)(
            "redis-server is not installed (Debian: apt-get install redis-server)"
        )
    with tempfile.TemporaryDirectory(prefix="emulator-redis-") as folder:
        server = RedisServer(Path(folder))
        try:
            yield server
        finally:
            server.stop()
