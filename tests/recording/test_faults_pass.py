"""Whatever the upstream breaks reaches the client as it was: the same bytes, and the same end of the connection."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rawhttp import Connection
from recording_server import Recording, recording

from emulator import Emulator
from emulator.faults import FAULTS

REPLY = {"content": "One two three four five six.", "id": "chatcmpl-1", "created": 1}
ENDLESS: tuple[str, ...] = (
    "hang",
    "stall",
    "latency",
    "slow_headers",
    "slow_first_token",
    "dribble",
    "bandwidth",
    "slow_close",
)
ENDLESS += (
    "idle_close",
    "stale_keepalive",
    "done_then_open",
    "wait_then_close",
    "keepalive_comments",
    "blank_then_close",
)
OF_THE_LISTENER = ("refuse_connections", "reset_on_accept")
KINDS = [
    kind
    for kind, fault in FAULTS.items()
    if kind not in (*ENDLESS, *OF_THE_LISTENER)
    and not kind.startswith("tls_")
    and not any(field.is_required() for field in fault.model_fields.values() if field.alias != "kind")
]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Emulator]:
    with Emulator({"rules": [{"reply": REPLY}]}, speed=float("inf")) as running:
        yield running


@pytest.fixture(scope="module")
def through(upstream: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    with recording(tmp_path_factory.mktemp("out"), {"serevix": upstream.url("serevix")}, mode="all") as running:
        yield running


def everything(port: int, path: str, fault: str, key: str) -> tuple[str, str]:
    """All that comes until the connection ends, without what the time changes, and how it ends."""
    body = json.dumps(
        {"model": "deepseek-v3", "messages": [{"role": "user", "content": f"Hi {fault}"}], "stream": True}
    ).encode()
    head = (
        f"POST {path}/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        f"accept-encoding: identity\r\nx-fault: {fault}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    data, ending = b"", "eof"
    with Connection(port) as client:
        client.send(head.encode() + body)
        try:
            while piece := client.read():
                data += piece
        except ConnectionError:
            ending = "reset"
        except TimeoutError:
            ending = "timeout"
    return re.sub(r"(?i)date: [^\r]+|request.id[^\r,}]+|\d{23}\w+|resp_\w+", "", data.decode("latin-1")), ending


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_of_the_upstream_reaches_the_client(
    kind: str, upstream: Emulator, through: Recording, tmp_path: Path
) -> None:
    key = f"sk-fault-{kind}"
    direct, direct_end = everything(upstream.port, f"/@a-{kind}/serevix", kind, key)
    passed, passed_end = everything(through.port, "/serevix", kind, key)
    assert passed_end == direct_end
    if direct_end == "eof":
        assert passed == direct
    else:  # what a reset overtakes is lost on either way
        assert direct.startswith(passed) or passed.startswith(direct)
