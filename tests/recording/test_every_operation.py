"""Every operation of every provider, streamed and not, and whatever an upstream breaks: the client gets what the
upstream sent, byte for byte, and a replay sends the same."""

import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from operations import Wanted, every_request
from rawhttp import Connection, Ending, Response
from recording_server import ByteServer, recording

from emulator import Emulator
from emulator.providers import PROVIDERS

BREAKING = ("truncate", "malformed_chunk", "content_length", "bad_json_event", "error_event", "coalesce", "gzip")
SPOKEN = {"serevix": "chat", "anthropic": "messages", "openai": "responses", "gemini": "stream_generate_content"}


RESET = b"\1\0\0\0\0\0\0\0"


class Repeater(ByteServer):
    """An upstream that sends every client what it was last given, and ends the connection in the same way."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.is_reset = False
        super().__init__()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._request(connection)
                for piece in self.pieces:
                    connection.sendall(piece)
                if self.is_reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


@pytest.fixture
def repeater() -> Iterator[Repeater]:
    server = Repeater()
    yield server
    server.close()


def everything(port: int, request: bytes) -> tuple[bytes, Ending]:
    """All that comes until the connection ends, and how it ends."""
    with Connection(port) as client:
        client.send(request)
        return client.read_rest()


def answered(data: bytes) -> Response:
    """What a client reads out of these bytes."""
    near, far = socket.socketpair()
    with near, far, Connection.__new__(Connection) as client:
        client.socket, client._pending = far, data
        near.close()
        return client.response()


def cut(data: bytes, chance: random.Random) -> list[bytes]:
    """The same in pieces, cut anywhere."""
    borders = sorted(chance.randrange(len(data)) for _ in range(12))
    return [data[low:high] for low, high in zip([0, *borders], [*borders, len(data)], strict=True) if low < high]


@pytest.mark.parametrize("provider", list(PROVIDERS))
def test_every_operation_passes_and_is_replayed_byte_for_byte(
    provider: str, repeater: Repeater, tmp_path: Path
) -> None:
    chance = random.Random(provider)
    requests = {wanted.name: wanted for wanted in every_request(provider)}
    sent: dict[str, tuple[bytes, Ending]] = {}
    passed: dict[str, tuple[bytes, Ending]] = {}
    with (
        Emulator(speed=float("inf")) as upstream,
        recording(tmp_path, {provider: repeater.url}, mode="all") as running,
    ):
        for name, wanted in requests.items():
            sent[name] = everything(upstream.port, wanted.raw(f"/{provider}", "connection: close"))
            repeater.pieces = cut(sent[name][0], chance)
            passed[name] = everything(running.port, wanted.raw(f"/{provider}"))
    assert passed == sent
    assert running.said == []
    assert running.recorder.counts.recorded == len(requests)
    with Emulator(str(tmp_path), unmatched="error", speed=float("inf")) as replay:
        again = {name: asked(replay.port, wanted) for name, wanted in requests.items()}
    wanted_again = {name: answered(data) for name, (data, _) in sent.items()}
    assert {name: (each.status, each.body, each.chunks) for name, each in again.items()} == {
        name: (each.status, each.body, each.chunks) for name, each in wanted_again.items()
    }


def asked(port: int, wanted: Wanted) -> Response:
    with Connection(port) as client:
        client.send(wanted.raw(f"/{wanted.provider}"))
        return client.response()


@pytest.mark.parametrize("provider", list(SPOKEN))
def test_what_breaks_passes_in_every_dialect(provider: str, repeater: Repeater, tmp_path: Path) -> None:
    (wanted, *_) = [each for each in every_request(provider) if each.is_stream and speaks(each, SPOKEN[provider])]
    chance = random.Random(provider)
    sent: dict[str, tuple[bytes, Ending]] = {}
    passed: dict[str, tuple[bytes, Ending]] = {}
    with (
        Emulator({"rules": [{"reply": {"content": "One two three."}}]}, speed=float("inf")) as upstream,
        recording(tmp_path, {provider: repeater.url}, mode="all") as running,
    ):
        for fault in BREAKING:
            request = wanted.raw(f"/{provider}", f"x-emulator-fault: {fault}", "connection: close")
            sent[fault] = data, _ = everything(upstream.port, request)
            repeater.pieces = cut(data, chance)
            passed[fault] = everything(running.port, wanted.raw(f"/{provider}"))
        repeater.pieces, repeater.is_reset = repeater.pieces[:-2], True
        cut_off, ending = everything(running.port, wanted.raw(f"/{provider}"))
    assert passed == sent
    assert (sent[BREAKING[-1]][0].startswith(cut_off), ending) == (True, "reset")  # it overtakes what was not read yet
    assert len({data for data, _ in sent.values()}) == len(sent)


def speaks(wanted: Wanted, name: str) -> bool:
    vendor = PROVIDERS[wanted.provider]()
    operation, _ = vendor.route(wanted.method, wanted.path.partition("?")[0])
    return operation.name == name
