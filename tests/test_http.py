"""What HTTP/1.1 demands of a server, by both parsers: requests to upgrade, hosts, versions, trailers, pipelines."""

import json
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hostile import PATH, Http, Watched, ask
from rawhttp import Connection, Response, eventually, request
from talk import KEYS, question

BODY = json.dumps(question("serevix", "Hi")).encode()
UPGRADES: dict[str, dict[str, Any]] = {
    "h2c": {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2_settings": "AAMAAABkAAQAoAAAAAIAAAAA"},
    "websocket": {"connection": "keep-alive, Upgrade", "upgrade": "websocket", "sec_websocket_version": "13"},
    "unheard of": {"connection": "upgrade", "upgrade": "tls/9, smoke"},
}


@pytest.fixture(scope="module", params=get_args(Http))
def running(request: pytest.FixtureRequest) -> Iterator[Watched]:
    watched = Watched(request.param)
    yield watched
    watched.emulator.stop()


@pytest.fixture
def server(running: Watched, caplog: pytest.LogCaptureFixture) -> Iterator[Watched]:
    """Nothing may be logged, and nothing be left behind."""
    with caplog.at_level(logging.WARNING):
        yield running
        running.assert_at_rest()
        running.assert_answers()
    assert [record.getMessage() for record in caplog.get_records("call")] == []


def chunked(body: bytes, trailer: bytes = b"", **headers: str) -> bytes:
    """A request whose body comes in two chunks."""
    head = request(PATH, b"", transfer_encoding="chunked", **KEYS["serevix"], **headers)
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:]))
    return head.replace(b"content-length: 0\r\n", b"") + chunks + b"0\r\n" + trailer + b"\r\n"


def said(response: Response) -> str:
    assert response.status == 200, response
    content: str = json.loads(response.body)["choices"][0]["message"]["content"]
    return content


# Requests to upgrade


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_an_upgrade_is_ignored_wherever_its_request_is_cut(server: Watched, upgrade: str, framing: str) -> None:
    headers = UPGRADES[upgrade]
    asked = ask("Hi", **headers) if framing == "length" else chunked(BODY, **headers)
    for cut in range(1, len(asked), 7):
        with Connection(server.port) as client:
            client.send(asked[:cut])
            client.send(asked[cut:] + ask("Hi"))
            assert [said(client.response()) for _ in range(2)] == ["Hello!"] * 2
    before = len(server.emulator.journal)
    with Connection(server.port) as client:
        for place in range(len(asked)):
            client.send(asked[place : place + 1])
        assert said(client.response()) == "Hello!"
    assert [exchange.call.body for exchange in server.emulator.journal][before:] == [BODY]


def test_what_is_pipelined_behind_an_upgrade_is_answered(server: Watched) -> None:
    health = request("/__emulator/health", method="GET", **UPGRADES["h2c"])
    upgrade, plain = ask("Hi", **UPGRADES["h2c"]), ask("Hi")
    with Connection(server.port) as client:
        client.send(health + upgrade + plain + chunked(BODY, **UPGRADES["websocket"]) + upgrade + health + plain)
        statuses = [client.response().status for _ in range(7)]
    assert statuses == [200] * 7


def test_a_body_behind_an_upgrade_is_no_request(server: Watched) -> None:
    smuggled = request("/__emulator/health", method="GET")
    with Connection(server.port) as client:
        head, _, _ = request(PATH, smuggled, **KEYS["serevix"], **UPGRADES["h2c"]).partition(b"\r\n\r\n")
        client.send(head + b"\r\n\r\n")
        client.send(smuggled)
        assert client.response().status == 400
        client.send(ask("Hi"))
        assert said(client.response()) == "Hello!"


def test_an_upgrade_without_a_body_goes_on(server: Watched) -> None:
    with Connection(server.port) as client:
        for _ in range(3):
            client.send(request("/__emulator/health", method="GET", **UPGRADES["websocket"]))
            assert json.loads(client.response().body) == {"status": "ok"}


def test_a_client_that_offers_an_upgrade_may_wait_for_100_continue(server: Watched) -> None:
    asked = ask("Hi", expect="100-continue", **UPGRADES["h2c"])
    head, _, body = asked.partition(b"\r\n\r\n")
    with Connection(server.port) as client:
        client.send(head + b"\r\n\r\n")
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send(body)
        assert said(client.response()) == "Hello!"


def command(name: str) -> str:
    """Where a program is; without it the test is skipped, but fails where nothing may be missing."""
    found = shutil.which(name)
    if found is None:
        (pytest.fail if os.environ.get("EMULATOR_REQUIRE_ALL") else pytest.skip)(f"{name} is not installed")
    return found


@pytest.mark.parametrize("size", [10, 300_000], ids=["small", "large"])
def test_curl_that_offers_http_2_is_answered(server: Watched, tmp_path: Path, size: int) -> None:
    file = tmp_path / "body.json"
    file.write_bytes(json.dumps(question("serevix", "x" * size)).encode())
    url = server.emulator.url("serevix") + "/v1/chat/completions"
    given = ["-H", "content-type: application/json", "-H", "authorization: Bearer sk-a", "--data-binary", f"@{file}"]
    asked = [command("curl"), "-sS", "--noproxy", "*", "--http2", *given, url]
    done = subprocess.run([*asked, "--next", *asked[1:]], capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b'"Hello!"') == 2


JAVA = """
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class Ask {
    public static void main(String[] given) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int size : new int[] {1, 300_000, 2}) {
            String body = given[1].replace("PROMPT", "x".repeat(size));
            HttpRequest.BodyPublisher whole = HttpRequest.BodyPublishers.ofString(body);
            HttpRequest.BodyPublisher chunks = HttpRequest.BodyPublishers.fromPublisher(whole);
            for (HttpRequest.BodyPublisher publisher : new HttpRequest.BodyPublisher[] {whole, chunks}) {
                HttpRequest request = HttpRequest.newBuilder(URI.create(given[0]))
                    .header("content-type", "application/json").header("authorization", "Bearer sk-a")
                    .POST(publisher).build();
                HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
                System.out.println(response.version() + " " + response.statusCode()
                    + " " + response.body().contains("\\"Hello!\\""));
            }
        }
    }
}
"""


@pytest.mark.timeout(120)
def test_the_default_client_of_java_is_answered(server: Watched, tmp_path: Path) -> None:
    source = tmp_path / "Ask.java"
    source.write_text(JAVA)
    command("javac")  # a runtime alone cannot run a source file
    url = server.emulator.url("serevix") + "/v1/chat/completions"
    body = json.dumps(question("serevix", "PROMPT"))
    done = subprocess.run(
        [command("java"), "-XX:TieredStopAtLevel=1", str(source), url, body],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (done.stdout.splitlines(), done.returncode) == (["HTTP_1_1 200 true"] * 6, 0), done.stderr


# Heads that HTTP/1.1 demands to be refused

HOST = b"host: localhost\r\n"


def without(data: bytes, part: bytes, instead: bytes = b"") -> bytes:
    assert part in data
    return data.replace(part, instead, 1)


MISFRAMED: dict[str, tuple[bytes, int]] = {
    "no host": (without(ask(), HOST), 400),
    "two hosts": (without(ask(), HOST, HOST + b"host: example.com\r\n"), 400),
    "one host twice": (without(ask(), HOST, HOST * 2), 400),
    "a host with a blank": (without(ask(), HOST, b"host: a b\r\n"), 400),
    "a host with a path": (without(ask(), HOST, b"host: a/b\r\n"), 400),
    "HTTP/2.0": (without(ask(), b"HTTP/1.1", b"HTTP/2.0"), 505),
    "no version": (without(ask(), b" HTTP/1.1"), 400),
    "no version, no header": (b"GET /\r\n\r\n", 400),
    "two hosts in HTTP/1.0": (without(ask(), HOST, HOST * 2).replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    "no host for the control API": (b"GET /__emulator/health HTTP/1.1\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", MISFRAMED)
def test_a_misframed_head_is_refused_and_nothing_behind_it_is_answered(server: Watched, name: str) -> None:
    data, status = MISFRAMED[name]
    for sent in (data, data + ask()):
        with Connection(server.port) as client:
            client.send(ask())
            assert client.response().status == 200  # also when the client is known
            client.send(sent)
            response = client.response()
            assert (response.status, response.headers["connection"]) == (status, "close")
            assert client.read_rest()[0] == b""


@pytest.mark.parametrize("host", ["", "127.0.0.1:80", "[::1]:8080", "a.example:", "serevix.localhost"])
def test_any_host_in_order_is_accepted(server: Watched, host: str) -> None:
    with Connection(server.port) as client:
        client.send(without(request("/__emulator/health", method="GET"), HOST, f"host: {host}\r\n".encode()))
        assert client.response().status == 200


def test_http_1_0_needs_no_host(server: Watched) -> None:
    with Connection(server.port) as client:
        client.send(b"GET /__emulator/health HTTP/1.0\r\n\r\n")
        assert client.response().status == 200


# Trailers


@pytest.mark.parametrize("way", ["in one packet", "split", "behind another"])
def test_a_trailer_is_no_header(server: Watched, way: str) -> None:
    trailer = (
        b"x-emulator-fault: reset\r\nx-emulator-namespace: elsewhere\r\nauthorization: none\r\n"
        b"host: b\r\nexpect: 100-continue\r\n"
    )
    asked = chunked(BODY, trailer)
    before = server.emulator.journal[-1].number
    with Connection(server.port) as client:
        if way == "split":
            client.send(asked[:-40])
            client.send(asked[-40:])
        else:
            client.send((ask() if way == "behind another" else b"") + asked + ask())
        for _ in range(3 if way == "behind another" else 1):
            assert said(client.response()) == "Hello!"
    (exchange,) = [
        each
        for each in server.emulator.journal
        if each.number > before and each.call.headers.get("transfer-encoding") == "chunked"
    ]
    head = asked.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    sent = {name.lower(): value for name, value in (line.split(": ") for line in head)}
    assert exchange.request.headers == {**sent, "authorization": "[redacted]"}


def test_a_trailer_that_speaks_of_the_connection_leaves_no_client_waiting(server: Watched) -> None:
    with Connection(server.port) as client:
        client.send(chunked(BODY, b"connection: close\r\n") + ask())
        response = client.response()
        assert said(response) == "Hello!"
        if response.headers.get("connection") == "close":
            assert client.read_rest() == (b"", "eof")
        else:
            assert said(client.response()) == "Hello!"


def test_endless_trailers_fill_no_memory(server: Watched) -> None:
    asked = chunked(BODY)[:-2]
    with Connection(server.port) as client:
        client.send(asked)
        sent = 0
        try:
            while sent < 4_000_000:
                client.send(b"x: yyyyyyyyyyyyyyyyy\r\n" * 1000)
                sent += 22_000
        except ConnectionError:
            return  # it was cut off
        client.send(b"\r\n")
        assert client.response().status in (200, 400, 431)


# Pipelines that are left


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize("what", ["completions", "health", "streams", "late"])
def test_a_pipeline_whose_client_has_left_is_forgotten_in_silence(server: Watched, reset: bool, what: str) -> None:
    asked: Callable[[], bytes] = {
        "completions": ask,
        "health": lambda: request("/__emulator/health", method="GET"),
        "streams": lambda: ask("slow", stream=True),
        "late": lambda: ask("late"),
    }[what]
    for count in (2, 3, 10):
        for _ in range(5):
            client = Connection(server.port)
            client.send(asked() * count)
            client.leave(reset=reset)
    eventually(server.is_alone)
