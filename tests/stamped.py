"""Streams whose every event says when it was sent: an upstream of exact bytes, and a client that reads the delays.

Run as a program, it is the upstream: it prints its port, and streams to whoever asks. Its events hold the moment at
which they are handed to the socket, on the monotonic clock that all processes of a machine share."""

import json
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from heapq import heappop, heappush
from typing import Any

EVENTS, RATE = 100, 50.0
"""The events of a stream, and how many come in a second."""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
NOBODY = b"@%019d" % 0
STAMP = re.compile(rb"@(\d{19})")
LENGTH = re.compile(rb"content-length: (\d+)")


def event(text: str, finish: str | None = None) -> bytes:
    """A chunk that holds an event of a chat completion."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    facts = {"id": "c-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "deepseek-v3"}
    data = b"data: " + json.dumps({**facts, "choices": [choice]}).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


PIECE = event(NOBODY.decode())
LAST = event("", "stop") + b"e\r\ndata: [DONE]\n\n\r\n" + END


class Upstream:
    """Answers every request with a stream, all in one thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self.port = self._listener.getsockname()[1]
        self._due: list[tuple[float, int, socket.socket, int]] = []
        self._number = 0

    def serve(self) -> None:
        """Never returns."""
        while True:
            wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            for key, _ in self._selector.select(wait):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._read(key)
            self._send()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(connection, selectors.EVENT_READ, bytearray())

    def _read(self, key: selectors.SelectorKey) -> None:
        connection: Any = key.fileobj
        try:
            data = connection.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(connection)
            connection.close()
            return
        key.data.extend(data)
        head, end, body = bytes(key.data).partition(b"\r\n\r\n")
        found = LENGTH.search(head)
        if end and found is not None and len(body) >= int(found[1]):
            key.data.clear()
            connection.sendall(HEAD)
            self._plan(time.monotonic(), connection, EVENTS)

    def _plan(self, before: float, connection: socket.socket, left: int) -> None:
        self._number += 1
        heappush(self._due, (before + 1 / RATE, self._number, connection, left))

    def _send(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic():
            at, _, connection, left = heappop(self._due)
            if connection.fileno() < 0:
                continue  # its client has left
            try:
                if left:
                    connection.sendall(PIECE.replace(NOBODY, b"@%019d" % time.monotonic_ns()))
                    self._plan(at, connection, left - 1)
                else:
                    connection.sendall(LAST)
            except OSError:
                continue


@contextmanager
def stamped_upstream() -> Iterator[int]:
    """The port of such an upstream, in a process of its own."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def delays(ports: Mapping[str, int], streams: int, seconds: float) -> dict[str, list[float]]:
    """The milliseconds from the socket of the upstream to here, for each event of so many streams at a time by way of
    each port. The streams begin spread over the length of one, and count from then on."""
    selector = selectors.DefaultSelector()
    found: dict[str, list[float]] = {name: [] for name in ports}
    began = time.monotonic()
    length = EVENTS / RATE
    starts = [(began + length * k / streams, name) for k in range(streams) for name in ports]
    asked = 0
    while (now := time.monotonic()) < began + length + seconds:
        while starts and starts[0][0] <= now:
            _, name = starts.pop(0)
            connection = socket.create_connection(("127.0.0.1", ports[name]))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ, name)
            connection.sendall(_question(asked := asked + 1))
        for key, _ in selector.select(0.005):
            connection = key.fileobj  # type: ignore[assignment]
            data = connection.recv(65536)
            read = time.monotonic_ns()
            assert data
            if now > began + length:
                found[key.data] += [(read - int(stamp[1])) / 1e6 for stamp in STAMP.finditer(data)]
            if data.endswith(END):
                connection.sendall(_question(asked := asked + 1))
    for open_one in list(selector.get_map().values()):
        open_one.fileobj.close()  # type: ignore[union-attr]
    selector.close()
    return found


def _question(number: int) -> bytes:
    messages = [{"role": "user", "content": f"question {number} of {time.monotonic_ns()}"}]
    body = json.dumps({"model": "deepseek-v3", "stream": True, "messages": messages}).encode()
    head = "POST /serevix/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


if __name__ == "__main__":
    upstream = Upstream()
    print(upstream.port, flush=True)
    upstream.serve()
