"""Secrets that pass through the recorder are in none of its files."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording_server import byte_server, everything_in, recording

from emulator import Emulator
from emulator.providers import shape_of
from emulator.recording.redaction import Redaction, applied, redacted_body

OWN = "Bearer-less-own-key-000001"
SECRETS = {
    "the key of the request": OWN,
    "a key in the prompt": "sk-prompt-000000000002",
    "a key in a member": "plain-member-000003",
    "a cookie": "cookie-000000000004",
    "a cookie of the response": "setcookie-00000005",
    "a key in the query": "query-key-00000006",
    "an account in a header": "org-AAAABBBBCCCC0007",
    "an account in a body": "user-id-0000000008",
    "a key split over events": "sk-split0over0events000009",
    "a name of the user's": "patient-0000000010",
    "a path of the user's": "deep-value-0000011",
    "a regex of the user's": "BADGE-0000000012",
}
LISTS: dict[str, Any] = {"names": ("patient",), "paths": ("$.metadata.deep",), "regexes": (r"BADGE-\d+",)}


def event(text: str, **members: Any) -> bytes:
    delta = {"id": "x", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], **members}
    return b"data: " + json.dumps(delta).encode() + b"\n\n"


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text)


def answer() -> tuple[list[bytes], bytes]:
    """A stream with secrets, cut where it hurts, and its bytes."""
    split = SECRETS["a key split over events"]
    badge = SECRETS["a regex of the user's"]
    body = b"".join(
        [
            event("Your key is "),
            *[event(letter) for letter in split],
            event(f" and {OWN}."),
            event(badge[:5]),
            event(badge[5:]),
            event("", user_id=SECRETS["an account in a body"]),
            event(SECRETS["a key in the prompt"]),
            b"data: [DONE]\n\n",
        ]
    )
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
        f"Set-Cookie: session={SECRETS['a cookie of the response']}\r\n"
        f"openai-organization: {SECRETS['an account in a header']}\r\n"
        f"x-request-id: {SECRETS['an account in a header']}\r\n\r\n"
    ).encode()
    pieces = [body[start : start + 37] for start in range(0, len(body), 37)]
    return [head, *map(chunk, pieces), b"0\r\n\r\n"], body


def ask(url: str) -> httpx.Response:
    body = {
        "model": "deepseek-v3",
        "messages": [{"role": "user", "content": f"Is {SECRETS['a key in the prompt']} mine? {OWN}"}],
        "stream": True,
        "api_key": SECRETS["a key in a member"],
        "metadata": {"deep": SECRETS["a path of the user's"], "patient": SECRETS["a name of the user's"]},
    }
    with httpx.Client(verify=False) as client:
        return client.post(
            f"{url}/v1/chat/completions?key={SECRETS['a key in the query']}",
            json=body,
            headers={"authorization": f"Bearer {OWN}", "cookie": f"a={SECRETS['a cookie']}"},
        )


def test_twelve_secrets_are_in_no_file_and_the_replay_finds_its_request(tmp_path: Path) -> None:
    pieces, body = answer()
    with byte_server(pieces) as upstream, recording(tmp_path, {"serevix": upstream.url}, **LISTS) as running:
        through = ask(running.url("serevix"))
    assert through.content == body  # the client's own bytes are untouched
    assert running.said == []
    written = everything_in(tmp_path).decode()
    assert [name for name, secret in SECRETS.items() if secret in written] == []
    assert len(SECRETS) == 12
    with Emulator(str(tmp_path), unmatched="error") as replay:
        again = ask(replay.url("serevix"))
    assert again.status_code == 200
    said = "".join(
        json.loads(line[6:])["choices"][0]["delta"]["content"]
        for line in again.text.split("\n")
        if line.startswith("data: {")
    )
    split, badge = SECRETS["a key split over events"], SECRETS["a regex of the user's"]
    assert said == f"Your key is {'*' * len(split)} and [redacted].{'*' * len(badge)}[redacted]"


@pytest.mark.parametrize("name", ["a key in the prompt", "the key of the request"])
def test_a_whole_body_and_an_error_are_redacted_too(name: str, tmp_path: Path) -> None:
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {SECRETS[name]}.", "code": 1}}).encode()
    head = b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    with (
        byte_server([head, body[:40], body[40:]]) as upstream,
        recording(tmp_path, {"serevix": upstream.url}, **LISTS) as running,
    ):
        through = ask(running.url("serevix"))
    assert (through.status_code, through.content) == (401, body)
    assert SECRETS[name] not in everything_in(tmp_path).decode()
    with Emulator(str(tmp_path), unmatched="error") as replay:
        again = ask(replay.url("serevix"))
    assert again.status_code == 401
    assert again.json()["error"]["message"] == "Incorrect API key provided: [redacted]."
    assert again.headers["content-length"] == str(len(again.content))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.text("abc \n", max_size=200))
def test_a_secret_is_found_however_its_body_is_cut(cuts: list[int], around: str) -> None:
    body = (around + " sk-abcdef123456 " + around).encode()
    segments, rest = [], body
    for cut in cuts:
        segments.append(rest[:cut])
        rest = rest[cut:]
    segments.append(rest)
    edits = redacted_body(body, Redaction(), None, None)
    clean = applied(segments, edits)
    assert len(clean) == len(segments)
    assert b"".join(clean) == (around + " [redacted] " + around).encode()


def test_what_holds_no_secret_stays_as_it_is() -> None:
    body = event("Hello") + b": ping\n\n" + event("sk- is no key") + b"data: [DONE]\n\n"
    assert redacted_body(body, Redaction(), "key", shape_of("serevix", "chat_completions")) == []
