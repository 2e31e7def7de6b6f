"""The fast path for known requests: clients can't tell whether it was used."""

import asyncio
import contextlib
import itertools
import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rawhttp import Connection, Response, eventually, request
from talk import EVERY_PROVIDER, KEYS, PATHS, question

from emulator import Emulator
from emulator.providers.serevix import Serevix
from emulator.server.fast_path import MAX_HEADS, FastPath, started

SCENARIO: dict[str, Any] = {
    "clock": "virtual",
    "rules": [
        {"match": {"prompt": "steady"}, "reply": {"content": "Always the same, 100 % {of it}."}},
        {
            "match": {"prompt": "turns"},
            "replies": [{"reply": {"content": "one"}}, {"reply": {"content": "two"}}, {"error": "overloaded"}],
        },
        {
            "match": {"prompt": "paced"},
            "reply": {"content": "In its own time."},
            "pace": {"ttft": 1, "tokens_per_second": 2},
        },
        {"match": {"prompt": "refused"}, "error": "rate_limited"},
    ],
}
PROMPTS = ("steady", "turns", "paced", "refused", "Written for the occasion")
names = (f"world-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def with_and_without() -> Iterator[tuple[Emulator, Emulator]]:
    """Two servers that differ in nothing else."""
    without = Emulator(SCENARIO)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("emulator.server.http_server.fast_path_for", lambda *_: None)
        without.start()
    with without, Emulator(SCENARIO) as usual:
        yield usual, without


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each packet between two requests: whether the fast path took it."""
    seen: list[bool] = []
    take = FastPath.take

    def watched(fast_path: FastPath, protocol: Any, data: bytes) -> bool:
        seen.append(take(fast_path, protocol, data))
        return seen[-1]

    monkeypatch.setattr(FastPath, "take", watched)
    return seen


def ask(provider: str, prompt: str, stream: bool = False, **headers: str) -> bytes:
    body = json.dumps(question(provider, prompt, stream=stream)).encode()
    return request(f"/{provider}{PATHS[provider]}", body, content_type="application/json", **KEYS[provider], **headers)


FAULTS = (
    "",
    "",
    "",
    "error:name=overloaded",
    "close:after_tokens=2",
    "reset:after_tokens=1",
    "usage",
    "stale_keepalive",
)
WAYS = ("whole", "whole", "head first", "head first", "split", "in three", "two", "list", "chunked", "no JSON")
PLACES = st.floats(0.01, 0.99)
REQUESTS = st.tuples(
    st.sampled_from(EVERY_PROVIDER),
    st.sampled_from(PROMPTS),
    st.booleans(),
    st.sampled_from(WAYS),
    st.sampled_from(FAULTS),
    PLACES,
)
"""A request, in one of the ways in which they come, and where it is split."""


@pytest.mark.long
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(REQUESTS, min_size=1, max_size=5), st.integers(1, 4))
def test_a_client_cannot_tell(
    with_and_without: tuple[Emulator, Emulator], requests: list[tuple[str, str, bool, str, str, float]], times: int
) -> None:
    world = next(names)
    sent = [packets(world, *each) for each in requests] * times
    usual, without = (talk(emulator, sent, world) for emulator in with_and_without)
    assert usual == without


def test_a_stale_connection_ends_alike_on_both_ways(with_and_without: tuple[Emulator, Emulator]) -> None:
    world = next(names)
    asked = [("steady", ""), ("paced", "stale_keepalive"), ("steady", "")]
    sent = [packets(world, "maxtoken", prompt, False, "whole", fault, 0.5) for prompt, fault in asked]
    usual, without = (talk(emulator, sent, world) for emulator in with_and_without)
    assert usual == without


def packets(
    world: str, provider: str, prompt: str, stream: bool, way: str, fault: str, place: float
) -> list[tuple[bytes, int]]:
    """What is sent, packet by packet, and how many responses follow each."""
    asked = ask(provider, prompt, stream, x_emulator_namespace=world)
    if fault:
        asked = asked.replace(b"POST /", b"POST /~%b/" % fault.encode(), 1)
    head, _, body = asked.partition(b"\r\n\r\n")
    match way:
        case "split":
            cut = int(len(asked) * place)
            return [(asked[:cut], 0), (asked[cut:], 1)]
        case "head first":
            return [(head + b"\r\n\r\n", 0), (body, 1)]
        case "in three":
            cut = int(len(body) * place)
            return [(head + b"\r\n\r\n", 0), (body[:cut], 0), (body[cut:], 1)]
        case "two":
            return [(asked + asked, 2)]
        case "list":
            listing = request("/serevix/v1/models", b"", method="GET", x_emulator_namespace=world, **KEYS["serevix"])
            return [(listing, 1)]
        case "chunked":
            lines = [line for line in head.split(b"\r\n") if not line.startswith(b"content-length")]
            head = b"\r\n".join([*lines, b"transfer-encoding: chunked", b"", b""])
            return [(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), 1)]
        case "no JSON":
            return [(asked[:-1] + b"!", 1)]
        case _:
            return [(asked, 1)]


def talk(
    emulator: Emulator, sent: list[list[tuple[bytes, int]]], world: str
) -> tuple[list[Response], list[dict[str, Any]]]:
    """All responses on one connection, undated, as far as it goes, and what the journal says of them."""
    reported: list[Response] = []
    with Connection(emulator.port) as client, contextlib.suppress(EOFError, ConnectionError):
        for data, answers in itertools.chain.from_iterable(sent):
            client.send(data)
            for _ in range(answers):
                reported.append(client.response())  # noqa: PERF401 - what came before the end counts
    for response in reported:
        response.headers.pop("date")
    journal = emulator.namespace(world).journal
    eventually(lambda: all(exchange.playback is not None for exchange in journal))
    return reported, [exchange.record() for exchange in journal]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_from_the_second_on_requests_are_not_parsed(provider: str, stream: bool, taken: list[bool]) -> None:
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        answers = []
        for _ in range(4):
            client.send(ask(provider, "steady", stream))
            answers.append(client.response())
        eventually(lambda: len(taken) == 4)  # the client may have its answer before that is noted
        assert taken == [False, True, True, True]
        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 4  # each with an id of its own


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_a_body_may_come_after_its_head_and_have_any_length(provider: str, stream: bool, taken: list[bool]) -> None:
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        for number in range(6):
            head, _, body = ask(provider, "steady" + "!" * number**3, stream).partition(b"\r\n\r\n")
            client.send(head + b"\r\n\r\n")
            eventually(lambda number=number: len(taken) == 2 * number + 1 - (number > 0))  # type: ignore[misc]
            client.send(body)
            response = client.response()
            assert response.status == (200 if number == 0 else 404)  # no rule knows the other prompts
        sizes = [exchange.request.headers["content-length"] for exchange in emulator.journal]
        assert sizes == [str(exchange.request.size) for exchange in emulator.journal]
    assert taken[1:] == [False, True] * 5


def test_a_head_whose_body_does_not_come_is_answered_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask("serevix", "steady")
    monkeypatch.setattr("emulator.server.protocol.HEAD_TIMEOUT", 1.0)
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        known(client, asked)
        client.send(asked[:-5])
        assert client.response().status == 408
        assert client.read_rest() == (b"", "eof")
        assert len(emulator.journal) == 3


def test_an_idle_connection_stays_longer_than_a_head_without_its_body(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask("serevix", "steady")
    monkeypatch.setattr("emulator.server.protocol.HEAD_TIMEOUT", 1.0)
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        known(client, asked)
        time.sleep(2.2)
        client.send(asked)
        assert client.response().status == 200
        client.send(asked[:-5])
        assert client.response().status == 408


def test_the_timer_of_an_idle_connection_notices_a_head_without_its_body(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask("serevix", "steady")
    monkeypatch.setattr("emulator.server.protocol.HEAD_TIMEOUT", 0.2)
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        known(client, asked)
        server: Any = emulator._server.http
        (protocol,) = server.server_state.connections
        emulator._server.call(protocol.timeout_keep_alive_handler)  # as if it were due
        client.send(asked[:-5])
        assert client.response().status == 408
        assert client.read_rest() == (b"", "eof")


def test_a_request_that_has_begun_is_answered_before_the_end() -> None:
    asked = ask("serevix", "steady")
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        known(client, asked)
        client.send(asked[:-5])
        server: Any = emulator._server.http
        eventually(lambda: any(connection.held for connection in server.server_state.connections))
        emulator._server.stop(5)
        eventually(lambda: not any(connection.held for connection in server.server_state.connections))
        client.send(asked[-5:])
        assert client.response().status == 200


def test_a_client_that_leaves_before_its_body_leaves_nothing() -> None:
    asked = ask("serevix", "steady")
    with Emulator(SCENARIO) as emulator:
        with Connection(emulator.port) as client:
            known(client, asked)
            client.send(asked[:-5])
        server: Any = emulator._server.http
        eventually(lambda: not server.server_state.connections)
        assert len(emulator.journal) == 3


def test_another_number_is_not_taken_for_the_length(taken: list[bool]) -> None:
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        for _ in range(3):
            client.send(ask("serevix", "steady").replace(b"\r\n", b"\r\nx-wavelength: 7\r\n", 1))
            assert client.response().status == 200
    assert taken == [False] * 3


UNUSUAL: dict[str, Callable[[bytes], bytes]] = {
    "a client that expects a word": lambda asked: with_header(asked, b"expect: 100-continue"),
    "an upgrade": lambda asked: with_header(asked, b"connection: upgrade\r\nupgrade: h2c"),
    "a connection for something else": lambda asked: with_header(asked, b"connection: keep-alive, te"),
    "the last request": lambda asked: with_header(asked, b"connection: close"),
    "a page of another origin": lambda asked: with_header(asked, b"origin: http://localhost:3000"),
    "an old client": lambda asked: asked.replace(b"HTTP/1.1", b"HTTP/1.0").replace(
        b"\r\n", b"\r\nconnection: keep-alive\r\n", 1
    ),
    "a long head": lambda asked: with_header(asked, b"x-long: " + b"x" * 5000),
    "two lengths": lambda asked: asked.replace(b"content-length", b"content-length: 1\r\ncontent-length", 1),
    "another port of call": lambda asked: asked.replace(b"/serevix/", b"/nobody/"),
}


def test_a_client_may_say_that_it_keeps_the_connection(taken: list[bool]) -> None:
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        for _ in range(3):
            client.send(ask("serevix", "steady", connection="keep-alive"))
            assert client.response().status == 200
    assert taken == [False, True, True]


def test_an_answer_that_cannot_be_sent_gets_a_500(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Serevix, "response_headers", lambda *_: ((b"x-broken", b"a\r\nb"),))
    with Emulator(SCENARIO) as emulator:
        for _ in range(2):
            with Connection(emulator.port) as client:
                client.send(ask("serevix", "steady"))
                assert client.response().status == 500


def test_a_known_request_that_fails_gets_a_500_and_leaves_no_open_record(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(*given: object) -> bytes:
        raise ZeroDivisionError("what a plugin's provider may do")

    asked = ask("serevix", "steady")
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        known(client, asked)
        monkeypatch.setattr("emulator.engine.short_way.values_of", failing)
        client.send(asked)
        answer = client.response()
        assert (answer.status, answer.headers["x-emulator-error"]) == (500, "internal")
        monkeypatch.undo()
        known(client, asked)
        endings = [exchange.ended for exchange in emulator.journal]
        assert endings == ["complete"] * 3 + ["closed"] * 2 + ["complete"] * 4
    assert "what a plugin's provider may do" in caplog.text


@pytest.mark.parametrize("way", UNUSUAL)
def test_what_is_unusual_is_always_parsed(way: str, taken: list[bool]) -> None:
    asked = UNUSUAL[way](ask("serevix", "steady"))
    with Emulator(SCENARIO) as emulator:
        for _ in range(3):
            with Connection(emulator.port) as client:
                client.send(asked)
                client.read()
    assert taken == [False] * 3


def known(client: Connection, asked: bytes) -> None:
    """Ask until head and answer are known."""
    for _ in range(3):
        client.send(asked)
        assert client.response().status == 200


def with_header(asked: bytes, line: bytes) -> bytes:
    return asked.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n", 1)


def test_a_head_that_has_begun_is_not_taken_for_none() -> None:
    asked = ask("serevix", "steady")
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        known(client, asked)
        client.send(asked + b"POST /nobody HTTP/1.1\r\nx-note: ")  # what follows belongs to this head
        assert client.response().status == 200
        client.send(asked)
        assert client.response().status == 404


def test_a_body_that_goes_on_is_not_taken_for_a_request() -> None:
    asked = ask("serevix", "steady")
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        known(client, asked)
        client.send(request("/serevix/v1/chat/completions", asked, **KEYS["serevix"])[: -len(asked)])
        client.send(asked)
        assert client.response().status == 400  # a request is no JSON


def test_a_body_that_comes_after_its_answer_is_not_taken_for_a_request() -> None:
    asked = ask("serevix", "steady")
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        known(client, asked)
        client.send(request("/serevix/v1/models", b"", method="OPTIONS", content_length=str(len(asked))))
        assert client.response().status == 204
        client.send(asked)
        client.send(request("/serevix/v1/models", b"", method="GET", **KEYS["serevix"]))
        assert b'"object":"list"' in client.response().body


def test_an_answer_that_is_still_being_sent_is_not_interrupted() -> None:
    rules = [
        {
            "match": {"prompt": "slow"},
            "reply": {"content": "Slowly, slowly."},
            "pace": {"ttft": 0.2, "tokens_per_second": 1000},
        },
        {"reply": {"content": "At once."}},
    ]
    with Emulator({"rules": rules}) as emulator, Connection(emulator.port) as client:
        for _ in range(3):
            client.send(ask("serevix", "quick"))
            assert b"At once." in client.response().body
        client.send(ask("serevix", "slow"))
        client.send(ask("serevix", "quick"))
        assert [b"Slowly" in client.response().body for _ in range(2)] == [True, False]


def test_a_client_that_reads_slowly_is_waited_for() -> None:
    size = 40_000
    asked = ask("serevix", "Hi")
    with Emulator({"rules": [{"reply": {"content": "x" * size}}]}) as emulator:
        with Connection(emulator.port) as client:
            known(client, asked)
        server: Any = emulator._server.http
        with Connection(emulator.port, receive_buffer=4096) as client:
            sent = 0
            protocol: Any = None
            for sent in range(1, 200):
                client.send(asked)
                eventually(lambda sent=sent: len(emulator.journal) == 3 + sent)  # type: ignore[misc]
                (protocol,) = server.server_state.connections
                if protocol.cycle is not None and not protocol.cycle.response_complete:
                    break
            assert protocol.transport.get_write_buffer_size() < 8 * size
            assert {len(client.response().body) > size for _ in range(sent)} == {True}


def test_a_new_script_is_followed_at_once() -> None:
    with Emulator({"rules": [{"reply": {"content": "old"}}]}) as emulator, Connection(emulator.port) as client:
        seen = []
        for number in range(6):
            client.send(ask("serevix", "Hi"))
            seen.append(json.loads(client.response().body)["choices"][0]["message"]["content"])
            if number == 2:
                emulator.load({"rules": [{"reply": {"content": "new"}}], "accounts": []})
        assert seen == ["old"] * 3 + ["new"] * 3


def test_a_fault_that_is_armed_strikes_known_requests_too() -> None:
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        known(client, ask("serevix", "steady"))
        emulator.faults.next("overloaded")
        client.send(ask("serevix", "steady"))
        assert client.response().status == 503
        client.send(ask("serevix", "steady"))
        assert client.response().status == 200


def test_a_key_that_is_no_longer_accepted_is_refused() -> None:
    accounts = {"accounts": [{"key": KEYS["serevix"]["Authorization"].removeprefix("Bearer ")}]}
    with Emulator({**SCENARIO, **accounts}) as emulator, Connection(emulator.port) as client:
        known(client, ask("serevix", "steady"))
        emulator.load({**SCENARIO, "accounts": [{"key": "another"}]})
        client.send(ask("serevix", "steady"))
        assert client.response().status == 401


CLOSING = {
    "close beside keep-alive": b"connection: close\r\nconnection: keep-alive\r\n",
    "keep-alive beside close": b"connection: keep-alive\r\nconnection: close\r\n",
    "both in one": b"connection: keep-alive, close\r\n",
    "a proxy's": b"proxy-connection: close\r\n",
    "a proxy's beside keep-alive": b"connection: keep-alive\r\nproxy-connection: close\r\n",
    "a known close": b"Connection: Close\r\n",
}


@pytest.mark.parametrize("name", CLOSING)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_whoever_asks_to_close_the_connection_gets_it(documented: Emulator, name: str, stream: bool) -> None:
    asked = ask("serevix", "steady", stream).replace(b"\r\n", b"\r\n" + CLOSING[name], 1)
    for _ in range(5):
        with Connection(documented.port) as client:
            client.send(asked)
            response = client.response()
            assert (response.status, response.headers.get("connection")) == (200, "close")
            assert client.read_rest() == (b"", "eof")


SAYABLE = ("9007199254740881", "\x1fid\x1f", "stand-in-for-a-request-id", "1 9007199254740881 2")


@pytest.mark.parametrize("said", SAYABLE)
@pytest.mark.parametrize("provider", ["serevix", "deepseek"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_text_that_holds_a_stand_in_stays_as_it_is(provider: str, said: str, stream: bool) -> None:
    scenario = {"rules": [{"reply": {"content": f"It is {said}."}}]}
    with Emulator(scenario) as emulator, Connection(emulator.port) as client:
        for _ in range(5):
            client.send(ask(provider, "Hi", stream))
            body = client.response().body.decode()
            text = content_of(body) if stream else json.loads(body)["choices"][0]["message"]["content"]
            assert text == f"It is {said}."


def content_of(events: str) -> str:
    """What a stream says."""
    chunks = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: {")]
    return "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"] if "delta" in choice
    )


def test_a_model_named_like_a_stand_in_keeps_its_name() -> None:
    with Emulator({"rules": [{"reply": {"content": "Hi"}}]}) as emulator, Connection(emulator.port) as client:
        for model in ("9007199254740881", "m-9007199254740881"):
            for _ in range(5):
                body = json.dumps(question("serevix", "Hi") | {"model": model}).encode()
                client.send(request("/serevix" + PATHS["serevix"], body, **KEYS["serevix"]))
                assert json.loads(client.response().body)["model"] == model


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_the_journal_shows_what_was_sent_of_a_recalled_answer(provider: str) -> None:
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as connection:
        answers: list[Response] = []
        for _ in range(5):
            connection.send(ask(provider, "steady"))
            answers.append(connection.response())
        eventually(lambda: all(exchange.ended for exchange in emulator.journal) and len(emulator.journal) == 5)
        shown = [exchange.response for exchange in emulator.journal]
        frames = [[frame["bytes"] for frame in exchange.frames] for exchange in emulator.journal]
    assert [response.body for response in shown] == [answer.body for answer in answers]
    assert [response.size for response in shown] == [len(answer.body) for answer in answers]
    assert [sum(sizes) for sizes in frames] == [len(answer.body) for answer in answers]
    for response, answer in zip(shown, answers, strict=True):
        assert response.headers.items() <= answer.headers.items()


def test_an_idle_connection_is_kept_from_its_last_answer_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.server.http_server.KEEP_ALIVE", 0.5)
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        began = time.monotonic()
        while (last := time.monotonic()) - began < 0.8:
            client.send(ask("serevix", "steady"))
            assert client.response().status == 200
        assert client.read_rest() == (b"", "eof")
        assert 0.45 <= time.monotonic() - last < 5


def test_heads_that_never_come_again_fill_no_memory() -> None:
    with Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        for number in range(MAX_HEADS + 20):
            client.send(ask("serevix", "steady", x_request_id=str(number)))
            assert client.response().status == 200


def test_another_uvicorn_than_the_tested_one_goes_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, taken: list[bool]
) -> None:
    monkeypatch.setattr(uvicorn, "__version__", "0.55.1")
    with caplog.at_level(logging.WARNING), Emulator(SCENARIO) as emulator, Connection(emulator.port) as client:
        known(client, ask("serevix", "steady"))
    assert taken == []
    assert [record.getMessage() for record in caplog.records] == [
        "The fast path for known requests is off: it was made for uvicorn 0.54.x, this is 0.55.1."
    ]


async def waiting(*seconds: float) -> str:
    for each in seconds:
        await asyncio.sleep(each)
    return "over"


@pytest.mark.parametrize("seconds", [(), (0,), (0, 0), (0.001, 0, 0.001)], ids=str)
def test_a_coroutine_that_was_started_goes_on_in_a_task(seconds: tuple[float, ...]) -> None:
    async def main() -> str:
        pending = started(waiting(*seconds))
        assert (pending == "over") == (not seconds)
        return pending if isinstance(pending, str) else await pending

    assert asyncio.run(main()) == "over"


def test_what_is_left_of_a_coroutine_can_fail_and_be_cancelled() -> None:
    async def failing() -> None:
        await asyncio.sleep(0)
        raise ValueError("broken")

    async def main() -> None:
        rest = started(failing())
        assert rest is not None
        with pytest.raises(ValueError, match="broken"):
            await rest
        left = started(waiting(3600))
        assert not isinstance(left, str)
        task = asyncio.ensure_future(left)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
