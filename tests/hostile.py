"""Hostile clients, many at a time, and a server that is observed from inside meanwhile."""

import asyncio
import gc
import json
import random
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import psutil
from rawhttp import Connection, eventually, request
from talk import EVERY_PROVIDER, KEYS, PATHS, question

from emulator import Emulator

Http = Literal["httptools", "h11"]
Loop = Literal["uvloop", "asyncio"]
Leaving = Literal["fin", "rst", "before the first byte"]

PATH = "/serevix" + PATHS["serevix"]
SCENARIO = {
    "rules": [
        {"match": {"prompt": "late"}, "reply": {"content": "never"}, "pace": {"ttft": 3600}},
        {"match": {"prompt": "slow"}, "reply": {"content": "word " * 50}, "pace": {"tokens_per_second": 0.01}},
        {"match": {"prompt": "long"}, "reply": {"content": "word " * 20_000}},
        {"reply": {"content": "Hello!"}},
    ]
}
"""`late` never gets its first token, `slow` never its second; `long` is large and comes at once."""


class Watched:
    """A running emulator, and what is going on inside it."""

    def __init__(self, http: Http = "httptools", loop: Loop = "uvloop") -> None:
        self.emulator = Emulator(SCENARIO, http=http, loop=loop).start()
        self.port = self.emulator.port
        with Connection(self.port) as client:  # what is loaded with the first request shall not count as grown
            client.send(ask() + request("/", method="GET", connection="close"))
            client.read_rest()
        eventually(self.is_alone)
        self.tasks_at_rest = self.tasks()

    @property
    def state(self) -> Any:
        """uvicorn's own record of its connections and tasks."""
        server = self.emulator._server.http
        assert server is not None
        return server.server_state

    @property
    def connections(self) -> int:
        return len(self.state.connections)

    def is_alone(self) -> bool:
        """Whether no client is connected, every request is done, and no answer is being played."""
        app = self.emulator._server.app
        assert app is not None
        return not (self.state.connections or self.state.tasks or app.players.active or app._open)

    def tasks(self) -> int:
        """How many tasks the event loop has, the one that counts left out."""
        return self.emulator._server.call(lambda: len(asyncio.all_tasks())) - 1

    def assert_at_rest(self, within: float = 5.0) -> None:
        """Whether everything is released: connections, tasks, answers, timers of requests."""
        eventually(self.is_alone, within)
        eventually(lambda: self.tasks() == self.tasks_at_rest, within)

    def assert_answers(self) -> None:
        with Connection(self.port) as client:
            started = time.monotonic()
            client.send(request("/__emulator/health", method="GET") + ask())
            assert json.loads(client.response().body) == {"status": "ok"}
            assert client.response().status == 200
            assert time.monotonic() - started < 5.0  # a busy machine takes its time


def ask(prompt: str = "Hi", *, provider: str = "serevix", stream: bool = False, **headers: str) -> bytes:
    """A request that is answered."""
    body = json.dumps(question(provider, prompt, stream=stream)).encode()
    return request(f"/{provider}{PATHS[provider]}", body, **KEYS[provider], **headers)


def in_chunks(body: bytes, **headers: str) -> bytes:
    whole = request(PATH, b"", transfer_encoding="chunked", **KEYS["serevix"], **headers)
    return whole.replace(b"content-length: 0\r\n", b"") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


# Requests that are none

SEEDS: tuple[bytes, ...] = (
    *(ask(provider=provider, stream=stream) for provider in EVERY_PROVIDER for stream in (False, True)),
    in_chunks(json.dumps(question("serevix")).encode()),
    ask(expect="100-continue"),
    ask() + ask(connection="close"),
    request(PATH, method="OPTIONS", origin="http://a.example", access_control_request_method="POST"),
    request(PATH, method="HEAD"),
    request("/__emulator/health?a=b#c", method="GET"),
    request("/@a-world" + PATH, b"{}", **KEYS["serevix"]),
    request("/", method="GET", version="1.0"),
)
SPICES: tuple[bytes, ...] = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\xff\xfe", b"%00", b"%ff%fe", b"%2e%2e/", b"%0d%0aX: y", b"//",
    b"transfer-encoding: chunked\r\n", b"transfer-encoding: gzip, chunked\r\n", b"content-length: 5\r\n",
    b"content-length: -1\r\n", b"content-length: 99999999999999999999999\r\n", b"connection: close, upgrade\r\n",
    b"upgrade: websocket\r\n", b"expect: 100-continue\r\n", b"host: \r\n", b"HTTP/0.9", b"HTTP/9.9", b"PRI * HTTP/2.0",
    b"ffffffffffffffff\r\n", b"-1\r\n", b"0\r\n\r\n", b"x" * 3000, b"{" * 2000, b'"\\ud800"', b"\x16\x03\x01",
    b"CONNECT ", b"http://", b"[::1", b"?", b"#", b"@", b"~", b"\x7f", "é".encode(), b"Authorization: Bearer\r\n",
    b"cookie: \r\n",
)  # fmt: skip


def mutations(seed: int, count: int) -> Iterator[bytes]:
    """Requests damaged in one to five places; the same seed gives the same ones."""
    seeded = random.Random(seed)
    for _ in range(count):
        data = bytearray(seeded.choice(SEEDS))
        for _ in range(seeded.randint(1, 5)):
            at, end = sorted(seeded.choices(range(len(data) + 1), k=2))
            end = min(end, at + 40)
            match seeded.randrange(8):
                case 0:
                    data[at:end] = b""
                case 1:
                    data[at:at] = data[at:end]
                case 2:
                    data[at:end] = seeded.randbytes(end - at)
                case 3 if at < len(data):
                    data[at] ^= 1 << seeded.randrange(8)
                case 4:
                    del data[at:]
                case 5:
                    other = seeded.choice(SEEDS)
                    data[at:] = other[seeded.randrange(len(other)) :]
                case _:
                    data[at:at] = seeded.choice(SPICES)
        yield bytes(data)


def _head(*lines: bytes, first: bytes = b"POST " + PATH.encode() + b" HTTP/1.1") -> bytes:
    return b"\r\n".join((first, b"host: x", *lines, b"", b""))


NASTIES: dict[str, bytes] = {
    "nothing but a line end": b"\r\n\r\n",
    "a thousand line ends": b"\r\n" * 1000,
    "nothing but zeros": b"\0" * 100,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 100,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "no version": _head(first=b"GET /"),
    "an unknown version": _head(first=b"GET / HTTP/7.3"),
    "a version of letters": _head(first=b"GET / HTTP/x.y"),
    "a version of many digits": _head(first=b"GET / HTTP/1.11111111111"),
    "no method": _head(first=b"/ HTTP/1.1"),
    "an unknown method": _head(first=b"BREW / HTTP/1.1"),
    "a long method": _head(first=b"A" * 5000 + b" / HTTP/1.1"),
    "a method in lower case": _head(first=b"get / HTTP/1.1"),
    "CONNECT": _head(first=b"CONNECT example.com:443 HTTP/1.1"),
    "CONNECT to nothing": _head(first=b"CONNECT / HTTP/1.1"),
    "TRACE": _head(first=b"TRACE / HTTP/1.1"),
    "OPTIONS of everything": _head(first=b"OPTIONS * HTTP/1.1"),
    "an absolute URL": _head(first=b"GET http://example.com/x HTTP/1.1"),
    "an absolute URL without a path": _head(first=b"GET http://example.com HTTP/1.1"),
    "a broken absolute URL": _head(first=b"GET http://[::1 HTTP/1.1"),
    "an impossible port": _head(first=b"GET http://a:99999999/ HTTP/1.1"),
    "a path that is no path": _head(first=b"GET serevix HTTP/1.1"),
    "an empty path": _head(first=b"GET  HTTP/1.1"),
    "a path of signs": _head(first=b"GET /\\../..;/%2e%2e/%00%0d%0a HTTP/1.1"),
    "a path of bytes": _head(first=b"GET /\xff\xfe\x80 HTTP/1.1"),
    "a path of wrong escapes": _head(first=b"GET /%zz%f%ff%C0%AF HTTP/1.1"),
    "a path out of the folder": _head(first=b"GET /serevix/../../../../etc/passwd HTTP/1.1"),
    "a path with a line end": _head(first=b"GET /a%0d%0aset-cookie:%20a=b HTTP/1.1"),
    "a query of bytes": _head(first=b"GET /?\xff=\x80 HTTP/1.1"),
    "many prefixes": _head(first=b"GET " + b"/@a" * 2000 + b" HTTP/1.1"),
    "a long namespace": _head(first=b"GET /@" + b"a" * 5000 + b"/serevix HTTP/1.1"),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": _head(b"host: y", first=b"GET / HTTP/1.1"),
    "a host of bytes": b"GET / HTTP/1.1\r\nhost: \xff\xfe\r\n\r\n",
    "a host with a path": b"GET / HTTP/1.1\r\nhost: a/b:c@d\r\n\r\n",
    "a header without a colon": _head(b"nothing here"),
    "a header without a name": _head(b": value"),
    "a name with a space": _head(b"content length: 0"),
    "a space before the colon": _head(b"content-length : 0"),
    "a name of bytes": _head(b"\xff\x80: a"),
    "a value of bytes": _head(b"authorization: Bearer \xff\x80\x00", b"content-length: 0"),
    "a folded header": _head(b"x-a: b", b" c", b"content-length: 0"),
    "a line end alone": b"POST / HTTP/1.1\nhost: x\ncontent-length: 0\n\n",
    "a carriage return alone": b"POST / HTTP/1.1\rhost: x\r\r",
    "a carriage return in a value": _head(b"x-a: b\rc: d", b"content-length: 0"),
    "a zero in a value": _head(b"x-a: b\0c", b"content-length: 0"),
    "a negative length": _head(b"content-length: -5"),
    "a length with a sign": _head(b"content-length: +5"),
    "a length of letters": _head(b"content-length: five"),
    "a length in hex": _head(b"content-length: 0x10"),
    "an empty length": _head(b"content-length:"),
    "a length with an underscore": _head(b"content-length: 1_0"),
    "a length of Arabic digits": _head("content-length: ٣".encode()),
    "a length of many digits": _head(b"content-length: " + b"9" * 400),
    "a length beyond 64 bits": _head(b"content-length: 18446744073709551617"),
    "a length of an exabyte": _head(b"content-length: 1000000000000000000"),
    "two lengths": _head(b"content-length: 3", b"content-length: 5") + b"abcde",
    "a list of lengths": _head(b"content-length: 3, 5") + b"abcde",
    "length and chunks": _head(b"content-length: 3", b"transfer-encoding: chunked") + b"0\r\n\r\n",
    "chunks that are not last": _head(b"transfer-encoding: chunked, gzip") + b"0\r\n\r\n",
    "an unknown encoding": _head(b"transfer-encoding: cow") + b"0\r\n\r\n",
    "chunked twice": _head(b"transfer-encoding: chunked", b"transfer-encoding: chunked") + b"0\r\n\r\n",
    "chunks in HTTP/1.0": _head(b"transfer-encoding: chunked", first=b"POST / HTTP/1.0") + b"0\r\n\r\n",
    "a chunk without a size": _head(b"transfer-encoding: chunked") + b"\r\nabc\r\n",
    "a chunk of a negative size": _head(b"transfer-encoding: chunked") + b"-3\r\nabc\r\n",
    "a chunk of an endless size": _head(b"transfer-encoding: chunked") + b"f" * 40 + b"\r\nabc",
    "a chunk that is longer": _head(b"transfer-encoding: chunked") + b"1\r\nabcdef\r\n",
    "a chunk with a long extension": _head(b"transfer-encoding: chunked") + b"1;" + b"x" * 20_000 + b"\r\na\r\n",
    "trailers without end": _head(b"transfer-encoding: chunked") + b"0\r\n" + b"x: y\r\n" * 300,
    "WebSocket": _head(b"connection: upgrade", b"upgrade: websocket", b"sec-websocket-key: a", first=b"GET / HTTP/1.1"),
    "an upgrade to HTTP/2": _head(b"connection: upgrade, http2-settings", b"upgrade: h2c", first=b"GET / HTTP/1.1"),
    "an unknown upgrade with a body": _head(b"connection: upgrade", b"upgrade: a", b"content-length: 2") + b"{}",
    "an unknown expectation": _head(b"expect: a miracle", b"content-length: 2") + b"{}",
    "an expectation without a body": _head(b"expect: 100-continue"),
    "a body where there is none": _head(first=b"GET / HTTP/1.1") + b"abc",
    "garbage after a request": ask() + b"\xff\x00garbage\r\n\r\n",
    "half a request after a request": ask() + ask()[:40],
    "a compressed body": _head(b"content-encoding: gzip", b"content-length: 3") + b"\x1f\x8b\x08",
    "a body that ends too early": _head(b"content-length: 1000") + b"{",
    "a wrong fault in the URL": _head(b"content-length: 0", first=b"POST /~nothing:%00=/serevix HTTP/1.1"),
    "a namespace that is none": _head(b"x-emulator-namespace: ../../etc", b"content-length: 0"),
    "a thousand cookies": _head(*[b"cookie: a=b"] * 1000, b"content-length: 0"),
    "close and keep-alive": _head(b"connection: close, keep-alive", b"content-length: 0"),
}


@dataclass(frozen=True, slots=True)
class Met:
    """The reaction to a request."""

    sent: bytes
    got: bytes

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", self.got)]

    def assert_in_order(self) -> None:
        """Valid HTTP or nothing, and no failure of the server itself. An unavailable model is a 503 of the provider."""
        assert self.got == b"" or self.got.startswith(b"HTTP/1.1 "), self
        assert b"Internal Server Error" not in self.got, self
        assert b"x-emulator-error: internal" not in self.got, self
        failures = [status for status in self.statuses if status >= 500 and status != 505]  # HTTP/2.0
        assert len(failures) <= self.got.count(b"model_not_found"), self


def meet(port: int, requests: Iterable[bytes], *, silence: float = 0.15, width: int = 50) -> list[Met]:
    """Send each request on a connection of its own, `width` at a time, and leave after some silence: half by RST."""
    waiting = list(requests)
    met: list[Met] = []
    while waiting:
        batch, waiting = waiting[:width], waiting[width:]
        clients = [Connection(port) for _ in batch]
        for client, data in zip(clients, batch, strict=True):
            with suppress(ConnectionError):
                client.send(data)
        until = time.monotonic() + silence
        for number, (client, data) in enumerate(zip(clients, batch, strict=True)):
            client.socket.settimeout(max(0.001, until - time.monotonic()))
            got = b""
            with suppress(ConnectionError, TimeoutError):
                while more := client.read():
                    got += more
            client.leave(reset=number % 2 == 0)
            met.append(Met(data, got))
    return met


# Clients that leave


def abort_streams(port: int, count: int, kinds: Sequence[Leaving] = ("fin", "rst", "before the first byte")) -> None:
    """Streams left in their middle or before it, each kind in turn, some at a time."""
    slow, late = ask("slow", stream=True), ask("late", stream=True)

    def abort(number: int) -> None:
        kind = kinds[number % len(kinds)]
        client = Connection(port)
        client.send(late if kind == "before the first byte" else slow)
        if kind != "before the first byte":
            client.read_until(b"data: ")
        elif number % 4 < 2:
            client.read_until(b"\r\n\r\n")  # the head of a paced stream comes at once
        client.leave(reset=kind == "rst" or number % 2 == 0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(abort, range(count)))


def reset_idle(port: int, count: int) -> None:
    """Connections that are reset after their answer, when they wait for the next request."""
    data = ask()
    for _ in range(count):
        client = Connection(port)
        client.send(data)
        client.read_until(b"\r\n\r\n")
        client.leave(reset=True)


@contextmanager
def half_sent(
    port: int, count: int, data: bytes = b"POST /serevix/v1/chat HTTP/1.1\r\nhost: x\r\nx-a: "
) -> Iterator[Any]:
    """Opens this many connections that send half a head; returns a function for how each of them ended, or None."""
    clients = []
    try:
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", port))
            clients.append(client)
            client.sendall(data)
            client.setblocking(False)

        def endings() -> list[bytes | None]:
            return [_ending(client) for client in clients]

        yield endings
    finally:
        for client in clients:
            client.close()


def _ending(client: socket.socket) -> bytes | None:
    try:
        data = client.recv(65536, socket.MSG_PEEK)
    except BlockingIOError:
        return None
    except ConnectionError:
        return b"reset"
    return data


# What is left of them


def retained(name: str = "RequestResponseCycle") -> int:
    """How many objects of a class are in memory."""
    gc.collect()
    return sum(type(each).__name__ == name for each in gc.get_objects())


def resident() -> int:
    """Bytes of memory in use by this process."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def descriptors() -> int:
    return int(psutil.Process().num_fds())


def latencies(port: int, until: Callable[[], bool], pause: float = 0.01) -> list[float]:
    """Seconds that each of many requests took, one after another on one connection, sorted."""
    taken: list[float] = []
    with Connection(port) as client:
        while not until():
            started = time.perf_counter()
            client.send(ask())
            assert client.response().status == 200
            taken.append(time.perf_counter() - started)
            time.sleep(pause)
    return sorted(taken)


def percentile(taken: Sequence[float], share: float) -> float:
    return taken[min(len(taken) - 1, int(len(taken) * share))]
