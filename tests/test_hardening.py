"""Whatever clients do, nothing fails, nothing is leaked and nothing grows without bound.

The full numbers are in `tests/soak`; these are their short forms, and the cases that need no numbers."""

import gc
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import product
from typing import Any, get_args

import httpx
import pytest
from hostile import (
    NASTIES,
    PATH,
    Http,
    Loop,
    Met,
    Watched,
    abort_streams,
    ask,
    descriptors,
    half_sent,
    in_chunks,
    latencies,
    meet,
    mutations,
    percentile,
    reset_idle,
    resident,
    retained,
)
from rawhttp import Connection, eventually, request
from talk import EVERY_PROVIDER, KEYS, PATHS, question

from emulator.engine import Options, PlannedResponse
from emulator.logs import line
from emulator.reply import ErrorReply
from emulator.request import HttpRequest
from emulator.server.protocol import MAX_HEAD_BYTES, MAX_PIPELINED
from emulator.state.exchanges import Exchange
from emulator.state.namespace import Namespace
from emulator.state.recorded import MAX_REQUEST_BYTES

KINDS = tuple(product(get_args(Http), get_args(Loop)))
MEBIBYTE = 2**20
CANARIES = {
    "authorization": "Bearer sk-canary-1",
    "x-api-key": "sk-canary-2",
    "x-billing-token": "sk-canary-3",
    "cookie": "session=sk-canary-4",
    "proxy-authorization": "Basic sk-canary-5",
    "api-key": "sk-canary-6",
}


@pytest.fixture(scope="module")
def started() -> Iterator[Callable[[Http, Loop], Watched]]:
    running: dict[tuple[Http, Loop], Watched] = {}

    def start(http: Http, loop: Loop) -> Watched:
        if (http, loop) not in running:
            running[http, loop] = Watched(http, loop)
        return running[http, loop]

    yield start
    for each in running.values():
        each.emulator.stop()


def _unharmed(on: Watched, caplog: pytest.LogCaptureFixture) -> Iterator[Watched]:
    with caplog.at_level(logging.WARNING):
        yield on
        on.assert_at_rest()
        on.assert_answers()
        gc.collect(1)  # a task whose failure nobody looked at tells so when it goes
    assert [record.getMessage() for record in caplog.get_records("call")] == []


def _server(kinds: Iterable[tuple[Http, Loop]]) -> Any:
    @pytest.fixture(params=kinds, ids="-".join)
    def server(
        request: pytest.FixtureRequest, started: Callable[[Http, Loop], Watched], caplog: pytest.LogCaptureFixture
    ) -> Iterator[Watched]:
        """Nothing may be logged or left behind."""
        yield from _unharmed(started(*request.param), caplog)

    return server


each_server = _server(KINDS)
server = _server([("httptools", "uvloop"), ("h11", "asyncio")])
parser = _server([("httptools", "asyncio"), ("h11", "uvloop")])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> float:
    """Servers that wait for a fraction of a second only."""
    monkeypatch.setattr("emulator.server.protocol.HEAD_TIMEOUT", 0.3)
    return 0.3


# What is no HTTP


def test_three_hundred_malformed_requests_are_met_in_order(parser: Watched) -> None:
    met = list(meet(parser.port, mutations(seed=1, count=300)))
    for each in met:
        each.assert_in_order()
    assert sum(bool(each.statuses) for each in met) > 150  # the rest waits for more


def test_what_is_written_by_hand_to_be_nasty_is_met_in_order(each_server: Watched) -> None:
    assert len(NASTIES) >= 60
    for name, each in zip(NASTIES, meet(each_server.port, NASTIES.values()), strict=True):
        each.assert_in_order()
        assert all(status in (100, 200, 204, 505) or 400 <= status < 500 for status in each.statuses), name


@pytest.mark.parametrize("name", ["TLS", "two lengths", "a negative length", "a header without a colon"])
def test_what_is_no_http_gets_a_400_and_the_end_of_the_connection(server: Watched, name: str) -> None:
    with Connection(server.port) as client:
        client.send(NASTIES[name])
        data, ending = client.read_rest()
    assert Met(b"", data).statuses == [400]
    assert ending in ("eof", "reset")


# Slowness


def test_half_sent_heads_are_closed_in_time_and_others_are_served(
    each_server: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience = 1.0  # in which even a busy machine takes all of them
    monkeypatch.setattr("emulator.server.protocol.HEAD_TIMEOUT", patience)
    with half_sent(each_server.port, 100) as endings:
        eventually(lambda: each_server.connections >= 100)
        until = time.monotonic() + patience + 1
        taken = latencies(each_server.port, lambda: all(end is not None for end in endings()))
        assert time.monotonic() < until
        assert all(end is not None and end.startswith(b"HTTP/1.1 408 Request Timeout\r\n") for end in endings())
    assert percentile(taken, 0.5) < patience / 2  # whoever waited for one of them would take longer


def test_a_connection_that_says_nothing_is_closed_in_time(server: Watched, impatient: float) -> None:
    with Connection(server.port) as client:
        started = time.monotonic()
        data, ending = client.read_rest()
        assert (data[:12], ending) == (b"HTTP/1.1 408", "eof")
        assert time.monotonic() - started < impatient + 1


@pytest.mark.parametrize("drop", [b"x", b"\r\n"], ids=["a head", "line ends"])
def test_a_head_that_comes_byte_by_byte_is_not_waited_for(server: Watched, impatient: float, drop: bytes) -> None:
    with Connection(server.port) as client:
        client.send(b"" if drop == b"\r\n" else b"GET /")
        started = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() - started < impatient + 2:
                client.send(drop)
                time.sleep(0.02)
        assert time.monotonic() - started < impatient + 1


@pytest.mark.parametrize("rest", [b"\r\n", b"POST /serevix", b"\r\nGET / HTTP/1.1\r\na: "])
def test_half_a_head_after_an_answer_is_not_waited_for(server: Watched, impatient: float, rest: bytes) -> None:
    with Connection(server.port) as client:
        client.send(ask())
        assert client.response().status == 200
        client.send(rest)
        data, ending = client.read_rest(impatient + 2)
        assert data[:12] in (b"HTTP/1.1 408", b"HTTP/1.1 400")  # h11 takes no line end for the beginning of a head
        assert ending == "eof"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_slow_body_is_not_waited_for(server: Watched, impatient: float, chunked: bool) -> None:
    whole = in_chunks(b"x" * 1000) if chunked else ask("x" * 1000)
    with Connection(server.port) as client:
        client.send(whole[:-500])
        started = time.monotonic()
        with suppress(ConnectionError):
            for byte in whole[-500:-400]:
                client.send(bytes([byte]))
                time.sleep(0.02)
        assert time.monotonic() - started < impatient + 1
        data, _ = client.read_rest()
        assert data[:12] in (b"HTTP/1.1 408", b"")  # a reset may take it along
    assert len(server.emulator.journal) == len([each for each in server.emulator.journal if each.status])


def test_a_large_body_may_take_its_time_as_long_as_it_comes(server: Watched, impatient: float) -> None:
    body = json.dumps(question("serevix", "x" * 400_000)).encode()
    data = request(PATH, body, **KEYS["serevix"])
    with Connection(server.port) as client:
        for start in range(0, len(data), 70_000):
            client.send(data[start : start + 70_000])
            time.sleep(impatient / 3)
        assert client.response().status == 200


def test_time_that_a_head_took_is_not_missing_for_its_body(server: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.server.protocol.HEAD_TIMEOUT", 1.0)
    data = ask()
    head = data.index(b"\r\n\r\n") + 4
    with Connection(server.port) as client:
        for part in (data[:20], data[20:head], data[head : head + 10], data[head + 10 :]):
            client.send(part)
            time.sleep(0.4)
        assert client.response().status == 200


def test_a_connection_that_was_used_may_rest_longer(server: Watched, impatient: float) -> None:
    with Connection(server.port) as client:
        for data in (ask(), ask(connection="keep-alive"), request("/", b"x" * 10), request(PATH, method="OPTIONS")):
            head = data.index(b"\r\n\r\n") + 4
            for part in (data[:head], data[head:]):  # some are answered before their body is there
                client.send(part)
                time.sleep(0.03)
            client.response()
            time.sleep(impatient * 1.5)


@pytest.mark.parametrize("rest", [ask()[:40], ask()[:-10], b"\r\n"], ids=["half a head", "half a body", "a line end"])
def test_an_answer_is_not_cut_for_what_its_client_sends_ahead(server: Watched, impatient: float, rest: bytes) -> None:
    with Connection(server.port) as client:
        client.send(ask("slow", stream=True))
        client.read_until(b"data: ")
        client.send(rest)
        data, ending = client.read_rest(impatient * 3)
        assert (b"HTTP/1.1" in data, ending) == (False, "timeout")


# Largeness


def _flood(client: Connection, data: bytes, most: int) -> tuple[int, bytes]:
    """Send on and on until the connection breaks: how much it took, and what came."""
    sent = 0
    with suppress(ConnectionError, TimeoutError):
        client.socket.settimeout(1)
        while sent < most:
            client.send(data)
            sent += len(data)
    with suppress(ConnectionError):
        return sent, client.read_rest()[0]
    return sent, b""


@pytest.mark.parametrize(
    "start",
    [b"GET / HTTP/1.1\r\nx: ", b"GET /", b"GET / HTTP/1.1\r\n", ask() + b"GET /", b"A", b"\r\n"],
    ids=["a value", "a path", "headers", "a second head", "a method", "line ends"],
)
def test_an_endless_head_is_cut_off(server: Watched, start: bytes) -> None:
    line = {b"GET / HTTP/1.1\r\n": b"x: y\r\n", b"\r\n": b"\r\n"}.get(start, b"x")
    before = resident()
    with Connection(server.port) as client:
        client.send(start)
        sent, got = _flood(client, line * (16_384 // len(line)), 40 * MEBIBYTE)
        assert sent < 30 * MEBIBYTE  # the sockets take some, the server no more
        before_it = [200] if start.startswith(b"POST") else []
        assert Met(b"", got).statuses in (
            [*before_it, 400],
            [*before_it, 431],
            before_it,
            [],
        )  # a reset takes words along
    assert resident() - before < 8 * MEBIBYTE


def test_a_body_that_nobody_asked_for_is_no_way_around_the_limit(server: Watched) -> None:
    """The answer goes out before the body is in; the head that follows is counted all the same."""
    with Connection(server.port) as client:
        client.send(request(PATH, method="OPTIONS", content_length="5"))
        assert client.response().status == 204
        client.send(b"12345")
        sent, _ = _flood(client, b"x" * 16_384, 40 * MEBIBYTE)
        assert sent < 30 * MEBIBYTE


@pytest.mark.parametrize("pause", [0.0, 0.05], ids=["at once", "in two parts"])
@pytest.mark.parametrize("what", ["a path", "a query", "a header", "ten thousand headers"])
def test_a_head_over_64_kib_is_refused_however_it_comes(server: Watched, what: str, pause: float) -> None:
    large = "x" * (MAX_HEAD_BYTES + 4000)
    count = len(server.emulator.journal)
    data = {
        "a path": request(f"{PATH}/{large}"),
        "a query": request(f"{PATH}?{large}"),
        "a header": request(PATH, x_large=large),
        "ten thousand headers": request(PATH, method="GET")[:-2] + b"x: yyyyyy\r\n" * 10_000 + b"\r\n",
    }[what]
    with Connection(server.port) as client:
        with suppress(ConnectionError):
            client.send(data[:50_000])
            time.sleep(pause)
            client.send(data[50_000:])
        got, _ = client.read_rest()
        assert Met(b"", got).statuses in ([431], [400], [])
    server.assert_at_rest()
    assert len(server.emulator.journal) == count


def test_a_head_of_sixty_thousand_bytes_is_taken(server: Watched) -> None:
    with Connection(server.port) as client:
        for _ in range(2):
            client.send(ask(x_large="x" * 60_000))
            assert client.response().status == 200


@pytest.mark.parametrize("way", ["declared", "chunked"])
def test_of_a_body_over_the_limit_no_more_is_read(server: Watched, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    app = server.emulator._server.app
    assert app is not None
    monkeypatch.setattr(app, "max_body_bytes", MEBIBYTE)
    before = resident()
    declared = request(PATH, b"", content_length=str(10**9), **KEYS["serevix"])
    with Connection(server.port) as client:
        if way == "declared":
            client.send(declared)
            assert client.response().status == 413
        else:
            client.send(in_chunks(b"")[:-10])
            sent, got = _flood(client, b"4000\r\n" + b"x" * 16_384 + b"\r\n", 40 * MEBIBYTE)
            assert sent < 30 * MEBIBYTE
            assert Met(b"", got).statuses in ([413], [])
    assert resident() - before < 8 * MEBIBYTE


def test_a_client_that_waits_for_100_continue_gets_413_instead(server: Watched) -> None:
    with Connection(server.port) as client:
        client.send(request(PATH, b"", content_length=str(10**9), expect="100-continue", **KEYS["serevix"]))
        assert client.response().status == 413


def test_a_client_that_waits_for_100_continue_gets_it_and_then_its_answer(server: Watched) -> None:
    data = ask(expect="100-continue")
    head = data.index(b"\r\n\r\n") + 4
    with Connection(server.port) as client:
        client.send(data[:head])
        assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(data[head:])
        assert client.response().status == 200


def test_two_hundred_pipelined_requests_are_answered_in_order(server: Watched) -> None:
    with Connection(server.port) as client:
        client.send(b"".join(ask() if number % 2 else request("/", method="GET") for number in range(200)))
        bodies = [json.loads(client.response().body) for _ in range(200)]
        assert ["choices" in body for body in bodies] == [bool(number % 2) for number in range(200)]


def test_who_sends_ahead_without_end_is_cut_off(server: Watched) -> None:
    assert MAX_PIPELINED == 1000
    before = resident()
    with Connection(server.port) as client:
        client.send(ask("slow", stream=True))
        client.read_until(b"data: ")
        sent, _ = _flood(client, request("/serevix", method="GET") * 500, 40 * MEBIBYTE)
        assert sent < 30 * MEBIBYTE
    assert resident() - before < 16 * MEBIBYTE


def test_large_requests_do_not_stay_in_the_journal(parser: Watched) -> None:
    with Connection(parser.port) as client:
        client.send(ask("x" * 300_000))
        assert client.response().status == 200
    parser.emulator.wait_until_idle()
    assert len(parser.emulator.journal[-1].call.body) == MAX_REQUEST_BYTES


# Clients that leave


def test_aborted_streams_leave_nothing_behind(each_server: Watched) -> None:
    before = descriptors()
    last = max((each.number for each in each_server.emulator.journal), default=0)
    abort_streams(each_server.port, 150)
    each_server.assert_at_rest(within=2)
    eventually(lambda: descriptors() <= before, 2)
    aborted = [each.playback for each in each_server.emulator.journal if each.number > last]
    assert {playback.ended for playback in aborted if playback} == {"client_closed"}
    assert sum(playback is not None and playback.bytes_sent > 0 for playback in aborted) >= 100


def test_reset_connections_are_not_kept(each_server: Watched) -> None:
    each_server.assert_at_rest()
    before = retained()
    reset_idle(each_server.port, 125)
    eventually(lambda: each_server.is_alone() and retained() <= before + 5, 5)


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_leaves_during_its_upload_leaves_nothing_behind(
    each_server: Watched, chunked: bool, reset: bool
) -> None:
    whole = in_chunks(b"x" * 500_000) if chunked else request(PATH, b"x" * 500_000, **KEYS["serevix"])
    count = len(each_server.emulator.journal)
    for part in (100, 500, 70_000, len(whole) - 1):
        client = Connection(each_server.port)
        client.send(whole[:part])
        client.leave(reset=reset)
    each_server.assert_at_rest(within=2)
    assert len(each_server.emulator.journal) == count


def test_half_a_request_and_a_fin_leave_nothing_behind(server: Watched) -> None:
    for part in (1, 20, 60, len(ask()) - 1):
        client = Connection(server.port)
        client.send(ask()[:part])
        client.socket.shutdown(socket.SHUT_WR)
        client.read_rest()
        client.leave()
    server.assert_at_rest(within=2)


def test_clients_that_do_not_read_hold_up_nobody_but_themselves(server: Watched) -> None:
    clients = [Connection(server.port, receive_buffer=4096) for _ in range(10)]
    for client in clients:
        client.send(ask("long", stream=True))
    server.assert_answers()
    for number, client in enumerate(clients):
        client.leave(reset=bool(number % 2))


# Secrets, and what may not be believed


@pytest.mark.parametrize("path", ["/", "/__emulator/health", "/__emulator/ready", "/__emulator/timing", "/nothing"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
def test_no_page_of_another_origin_may_read_what_is_not_a_providers(
    parser: Watched, http: httpx.Client, path: str, method: str
) -> None:
    headers = {"origin": "https://a.example", "access-control-request-method": "GET", "connection": "close"}
    response = http.request(method, parser.emulator.origin + path, headers=headers)
    assert [name for name in response.headers if name.startswith("access-control")] == []
    assert "set-cookie" not in response.headers


LINE_ENDS = ("a\r\nset-cookie: a=b", "a\nset-cookie: a=b", "a\rset-cookie: a=b")


@pytest.mark.parametrize("value", LINE_ENDS)
@pytest.mark.parametrize("stream", [False, True])
def test_no_header_can_be_put_into_an_answer(
    started: Callable[[Http, Loop], Watched],
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    stream: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not even by code that lets a line end through: then there is no such answer."""
    server = started("httptools", "uvloop")

    async def answer(http_request: HttpRequest, namespace: Namespace, options: Options, *_: object) -> PlannedResponse:
        from emulator.engine import refused

        return refused(http_request, namespace, ErrorReply(name="server_error", headers={"x-a": value}))

    monkeypatch.setattr("emulator.server.app.answer", answer)
    with Connection(server.port) as client:
        client.send(ask(stream=stream))
        data, _ = client.read_rest(1)
    assert b"set-cookie" not in data.lower().split(b"\r\n\r\n")[0]
    caplog.clear()


@pytest.mark.parametrize("place", ["path", "query", "prompt", "header", "namespace"])
def test_what_a_client_sends_makes_no_header(parser: Watched, place: str) -> None:
    bad = "%0d%0aset-cookie:%20a=b"
    data = {
        "path": request(f"/serevix/{bad}", b"{}", **KEYS["serevix"]),
        "query": request(f"{PATH}?a={bad}", b"{}", **KEYS["serevix"]),
        "prompt": ask("\r\nset-cookie: a=b"),
        "header": ask(origin=f"https://{bad}", x_request_id=bad),
        "namespace": ask(x_emulator_namespace=bad),
    }[place]
    with Connection(parser.port) as client:
        client.send(data)
        response = client.response()
    assert "set-cookie" not in response.headers


def exchange(**changes: Any) -> Exchange:
    call = {"provider": "serevix", "method": "POST", "path": "/v1", "headers": {}, "query": "", "body": b""}
    return Exchange(1, 0.0, HttpRequest(**{**call, **changes}))


@pytest.mark.parametrize("sign", ["\x1b[2J", "\r", "\n", "\x07", "\x00", "\x9b31m", "\u202e", "\u2028"])
def test_a_line_of_the_log_cannot_move_the_cursor(sign: str) -> None:
    made = exchange(path=f"/a{sign}b", method=f"GET{sign}")
    made.rule, made.faults, made.notes = f"rule{sign}", (f"fault{sign}",), (f"note{sign}",)
    text = line(made)
    assert text.isprintable()
    assert sign not in text


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_six_canaries_in_headers_are_in_no_record_and_no_line(
    parser: Watched, capsys: pytest.CaptureFixture[str], provider: str
) -> None:
    headers = {name.replace("-", "_"): value for name, value in CANARIES.items()}
    body = json.dumps(question(provider)).encode()
    with Connection(parser.port) as client:
        client.send(request(f"/{provider}{PATHS[provider]}", body, **headers))
        client.response()
    parser.emulator.wait_until_idle()
    made = parser.emulator.journal[-1]
    assert "canary" not in json.dumps(made.record())
    assert "canary" not in line(made)
    assert {made.record()["headers"][name] for name in CANARIES} == {"[redacted]"}
    assert "canary" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("key=sk-canary", "key=[redacted]"),
        ("a=b&api_key=sk-canary&c=d", "a=b&api_key=[redacted]&c=d"),
        ("API%5FKEY=sk-canary;x=y", "API%5FKEY=[redacted];x=y"),
        ("key=a=sk-canary&key=sk-canary", "key=[redacted]&key=[redacted]"),
        ("monkey=banana&keys&key", "monkey=banana&keys&key"),
        ("", ""),
    ],
)
def test_a_key_in_the_url_is_in_no_record(query: str, shown: str) -> None:
    record = exchange(query=query).record()
    assert record["query"] == shown
    assert "canary" not in json.dumps(record)


# Many threads at once


def test_a_little_of_everything_at_once(parser: Watched) -> None:
    met: list[Met] = []
    work: tuple[Callable[[], object], ...] = (
        lambda: met.extend(meet(parser.port, mutations(seed=2, count=60), width=20)),
        lambda: abort_streams(parser.port, 40),
        lambda: reset_idle(parser.port, 60),
    )
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(met) == 60
    for each in met:
        each.assert_in_order()
