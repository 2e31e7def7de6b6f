"""What the recorder keeps of each response, what it says about the others, and how it passes them on."""

import asyncio
import json
import pickle
import socket
import threading
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from emulator.clock import WallClock
from emulator.providers import PROVIDERS
from emulator.recording import tape as tapes
from emulator.recording.files import PREFIX
from emulator.recording.keys import digest_of
from emulator.recording.redaction import Redaction
from emulator.recording.tape import Tape
from emulator.request import HttpRequest
from emulator.server.keeping import Asked, Counts, Keeper, Seen
from emulator.server.protocol import ConnectionHandle
from emulator.server.recorder import RecordOptions
from emulator.server.relaying import Relay, Upstream, UpstreamConnection
from emulator.server.writers import LENGTH, ProcessWriter, _Link, packed, serve

BODY = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}).encode()
PLAIN = HttpRequest("openai", "POST", "/v1/chat/completions", {}, "", BODY)
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
}


def asked(number: int = 1, *, path: str = "/v1/chat/completions", is_known: bool = True) -> Asked:
    provider = PROVIDERS["openai"]()
    if not is_known:
        return Asked(HttpRequest("openai", "POST", path, {}, "", BODY), None, "", number)
    operation, parameters = provider.route("POST", path)
    request = PLAIN.routed(operation.name, operation.dialect, parameters)
    return Asked(request, operation, digest_of(request, Redaction()), number)


def response(answer: Any = ANSWER, **changes: Any) -> Tape:
    body = json.dumps(answer).encode()
    tape = Tape("POST", **changes)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    tape.add(head.encode() + body, 0.5)
    return tape


def cut(**changes: Any) -> Tape:
    tape = Tape("POST", **changes)
    tape.add(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{", 0.5)
    return tape


def raw() -> Tape:
    tape = Tape("POST")
    tape.add(b"SSH-2.0\r\n\r\n", 0.5)
    return tape


def keeper(folder: Path, **options: Any) -> tuple[Keeper, list[str]]:
    lines: list[str] = []
    made = Keeper(RecordOptions(folder, **options), lines.append)
    made.recordings.prepare()
    return made, lines


def work(made: Keeper, question: Asked, tape: Tape) -> Seen:
    seen: list[Seen] = []
    made.work(question, tape, "https://api.openai.com", seen.append)
    return seen[0]


NAME = "openai POST /v1/chat/completions"
HINT = "Use --keep-partial to keep incomplete answers."


@pytest.mark.parametrize(
    ("question", "tape", "line"),
    [
        (asked(), cut(has_left=True), f"not recorded: {NAME}: the client left before its end. {HINT}"),
        (
            asked(path="/v1/none", is_known=False),
            response(),
            "not recorded: openai POST /v1/none: there is no such documented endpoint.",
        ),
        (asked(), raw(), f"not recorded: {NAME}: it is not valid HTTP. {HINT}"),
        (
            asked(),
            cut(is_reset=True),
            f"not recorded: {NAME}: the upstream reset the connection before its end. {HINT}",
        ),
        (asked(), Tape("POST", is_too_long=True), f"not recorded: {NAME}: it is longer than the limit. {HINT}"),
    ],
    ids=["left", "unknown", "not HTTP", "reset", "long"],
)
def test_an_answer_that_is_not_kept_is_said(tmp_path: Path, question: Asked, tape: Tape, line: str) -> None:
    made, lines = keeper(tmp_path)
    work(made, question, tape)
    assert (lines, made.counts, list(tmp_path.glob("*.yaml"))) == ([line], Counts(dropped=1), [])


def test_an_incomplete_answer_is_kept_if_asked_for(tmp_path: Path) -> None:
    made, lines = keeper(tmp_path, keeps_partial=True)
    work(made, asked(), cut(is_reset=True))
    assert made.counts == Counts(recorded=1)
    assert lines == [f"kept, but incomplete: {NAME}: the upstream reset the connection before its end."]


def replies(folder: Path) -> list[str]:
    (path,) = folder.glob("*.yaml")
    (rule,) = yaml.safe_load(path.read_text())["rules"]
    return [answer["reply"]["content"] for answer in rule.get("replies", [rule])]


def other(content: str, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return {**ANSWER, "choices": [choice], **more}


def test_only_answers_of_another_shape_replace_recorded_ones(tmp_path: Path) -> None:
    first, _ = keeper(tmp_path)
    work(first, asked(), response())
    made, lines = keeper(tmp_path, mode="drifted")
    work(made, asked(), response(other("Bye")))
    assert (made.counts, lines, replies(tmp_path)) == (Counts(unchanged=1), [], ["Hello"])
    work(made, asked(2), response(other("Second")))
    assert (made.counts, lines) == (Counts(unchanged=1, recorded=1), [])
    work(made, asked(), response(other("New", brand_new=1)))
    assert (made.counts, replies(tmp_path)) == (Counts(unchanged=1, recorded=2, drifted=1), ["New", "Second"])
    assert lines[0].startswith("Hi has another shape than the recorded one:\n")
    assert "brand_new" in lines[0]
    for path in (tmp_path / "wire").iterdir():
        path.write_text("unreadable")
    work(made, asked(), response())
    assert (made.counts.recorded, len(lines), replies(tmp_path)) == (3, 1, ["Hello", "Second"])


def test_a_folder_that_cannot_be_written_and_an_error_inside_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, lines = keeper(tmp_path)

    def fail(error: Exception) -> None:
        def add(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(made.recordings, "add", add)
        work(made, asked(), response())

    fail(OSError(28, "No space left on device"))
    fail(TimeoutError("too slow"))
    fail(ZeroDivisionError("a bug"))
    assert made.counts == Counts(failed=3)
    assert lines[0] == f"not recorded: {tmp_path} cannot be written: No space left on device."
    assert lines[-1] == "not recorded: ZeroDivisionError: a bug."


def test_a_response_that_the_journal_cannot_show_has_at_least_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = keeper(tmp_path)
    monkeypatch.setattr("emulator.server.keeping.steps_of", lambda *_: 1 // 0)
    assert work(made, asked(), response()) == Seen(200)


def test_a_response_longer_than_the_limit_is_given_up_while_it_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tapes, "MAX_KEPT", 10)
    made, lines = keeper(tmp_path)
    work(made, asked(), response())
    assert lines == [f"not recorded: {NAME}: it is longer than the limit. {HINT}"]


# The writing process


def test_the_writing_process_answers_each_message_and_ends_with_the_connection(tmp_path: Path) -> None:
    made, _ = keeper(tmp_path)
    near, far = socket.socketpair()
    with near, far:
        thread = threading.Thread(target=serve, args=(far, made))
        thread.start()
        near.sendall(packed((7, asked(), response(), "https://api.openai.com")))
        near.sendall(packed((8, asked(path="/v1/none", is_known=False), response(), "https://api.openai.com")))
        near.sendall((1000).to_bytes(LENGTH, "big") + b"cut off")
        near.shutdown(socket.SHUT_WR)
        thread.join(60)
        assert not thread.is_alive()
        far.close()
        reader = near.makefile("rb")
        messages = []
        while head := reader.read(LENGTH):
            messages.append(pickle.loads(reader.read(int.from_bytes(head, "big"))))
        reader.close()
    (path,) = tmp_path.glob("*.yaml")
    shown = [(kind, number, value.status if kind == "seen" else value) for kind, number, value in messages]
    assert shown == [
        ("seen", 7, 200),
        ("recorded", 0, path),
        ("done", 7, Counts(recorded=1)),
        ("seen", 8, 200),
        ("say", 0, "not recorded: openai POST /v1/none: there is no such documented endpoint."),
        ("done", 8, Counts(dropped=1)),
    ]


class Channel:
    """A transport or a client's connection that keeps what happens to it."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.is_lost = self.is_full = False

    def is_closing(self) -> bool:
        return self.is_lost

    def write(self, data: bytes) -> None:
        self.events.append(data)

    def __getattr__(self, name: str) -> Any:
        return lambda: self.events.append(name)


def test_answers_that_the_writing_process_had_not_written_are_counted(tmp_path: Path) -> None:
    async def inside() -> None:
        made, lines = keeper(tmp_path)
        link, transport = _Link(made), Channel()
        link.connection_made(cast(asyncio.Transport, transport))
        first, second = (link.send(asked(), response(), "u") for _ in range(2))
        message = packed(("seen", 1, Seen(200)))
        link.data_received(message[:9])
        assert not first.done()
        link.data_received(message[9:] + packed(("say", 0, "a line")) + packed(("done", 1, Counts(recorded=1))))
        closing = asyncio.ensure_future(link.close())
        await asyncio.sleep(0)
        transport.is_lost = True
        link.connection_lost(None)
        third = link.send(asked(), response(), "u")
        await closing
        assert [each.result() for each in (first, second, third)] == [Seen(200), Seen(0), Seen(0)]
        sentence = "not recorded: the writing process has ended before 1 answers were written."
        assert lines == ["a line", sentence, sentence]
        assert made.counts == Counts(recorded=1, failed=2)

    asyncio.run(inside())


# The relay


def relayed(method: str = "POST") -> tuple[Relay, Channel, UpstreamConnection, Channel]:
    """A relay, its client, and its connection to the upstream with that one's transport."""
    client, transport = Channel(), Channel()
    relay = Relay(cast(ConnectionHandle, client), method, WallClock(), 0.0)
    connection = UpstreamConnection(Upstream("a", 80, False, ""), cast(ConnectionHandle, client))
    connection.connection_made(cast(asyncio.Transport, transport))
    relay.begin(connection, b"request")
    return relay, client, connection, transport


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


def test_a_slow_client_pauses_the_upstream_until_it_reads_again() -> None:
    async def inside() -> None:
        relay, client, connection, transport = relayed()
        client.is_full = True
        connection.data_received(HEAD)
        relay.wake()
        client.is_full = False
        relay.wake()
        relay.is_held = True
        relay.is_held = False
        assert (relay.is_held, relay.can_end_within(1.0)) == (False, True)
        connection.data_received(b"ab")
        assert relay.over.done()
        assert transport.events == [b"request", "pause_reading", "resume_reading", "pause_reading"]
        assert client.events == [HEAD, b"ab"]
        assert (relay.playback.ended, relay.playback.bytes_sent) == ("complete", len(HEAD) + 2)
        assert connection.relay is None

    asyncio.run(inside())


@pytest.mark.parametrize(
    ("data", "error", "ended", "event"),
    [
        (HEAD + b"a", None, "closed", "close"),
        (HEAD + b"a", ConnectionResetError(), "reset", "reset"),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", None, "complete", "close"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nasurplus", None, "complete", "close"),
    ],
    ids=["closed", "reset", "without a length", "surplus"],
)
def test_the_client_s_connection_ends_as_the_upstream_s(
    data: bytes, error: Exception | None, ended: str, event: str
) -> None:
    async def inside() -> None:
        relay, client, connection, _ = relayed()
        connection.data_received(data)
        connection.data_received(b"")
        connection.connection_lost(error)
        assert (relay.playback.ended, relay.is_last, client.events[0], client.events[-1]) == (ended, True, data, event)
        relay.lost()  # changes nothing
        assert relay.playback.ended == ended

    asyncio.run(inside())


def test_a_client_that_leaves_ends_the_upstream_s_connection() -> None:
    async def inside() -> None:
        relay, client, connection, transport = relayed()
        connection.data_received(HEAD)
        client.is_lost = True
        relay.lost()
        connection.connection_lost(None)
        assert (relay.playback.ended, relay.tape.has_left, transport.events[-1]) == ("client_closed", True, "abort")
        assert client.events == [HEAD]

    asyncio.run(inside())


def test_what_arrives_for_a_client_that_has_left_is_counted_and_not_sent() -> None:
    async def inside() -> None:
        relay, client, connection, _ = relayed()
        client.is_lost = True
        connection.data_received(HEAD)
        assert (client.events, relay.playback.bytes_sent) == ([], len(HEAD))

    asyncio.run(inside())


def test_a_client_that_leaves_before_its_request_is_sent_ends_it() -> None:
    async def inside() -> None:
        relay = Relay(cast(ConnectionHandle, Channel()), "POST", WallClock(), 0.0)
        relay.lost()
        assert (relay.playback.ended, relay.over.done()) == ("client_closed", True)

    asyncio.run(inside())


def test_the_writing_process_is_reached_once_by_requests_that_come_together(tmp_path: Path) -> None:
    async def inside() -> None:
        made, lines = keeper(tmp_path)
        writer, far = ProcessWriter.__new__(ProcessWriter), None
        writer._keeper, writer._link, writer._opening = made, None, asyncio.Lock()
        writer._socket, far = socket.socketpair()
        writer._socket.setblocking(False)
        links = list[Any]()
        for _ in range(2):
            await asyncio.gather(writer.open(), writer.open())
            links.append(writer._link)
        assert links[0] is links[1] is not None
        await links[0].close()
        far.close()
        assert lines == []

    asyncio.run(inside())


@pytest.mark.parametrize(("error", "event"), [(None, "close"), (ConnectionResetError(), "reset")])
def test_between_requests_the_client_sees_what_the_upstream_does(error: Exception | None, event: str) -> None:
    client, transport = Channel(), Channel()
    connection = UpstreamConnection(Upstream("a", 80, False, ""), cast(ConnectionHandle, client))
    connection.connection_made(cast(asyncio.Transport, transport))
    assert connection.is_open
    connection.data_received(b"surplus")
    connection.connection_lost(error)
    assert client.events == [b"surplus", event]
    client.is_lost = True
    connection.data_received(b"late")
    connection.connection_lost(error)
    assert client.events == [b"surplus", event]


def test_what_an_interrupted_writer_has_left_is_removed(tmp_path: Path) -> None:
    made, _ = keeper(tmp_path)
    work(made, asked(), response())
    kept = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    for folder in (tmp_path, tmp_path / "wire"):
        (folder / f"{PREFIX}half").write_text("half")
    (tmp_path / f"{PREFIX}folder").mkdir()  # no file of a writer's
    keeper(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == kept
