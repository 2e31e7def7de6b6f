"""What redaction changes in a body: as little as possible, and everything that is secret."""

import json
from typing import Any

import pytest

from emulator.providers import shape_of
from emulator.recording.redaction import Redaction, applied, redacted_body, redacted_text

KEY = "sk-live-1234567890"
NONE = Redaction()


def cleaned(body: bytes, redaction: Redaction = NONE, *, is_stream: bool = False) -> bytes:
    shape = shape_of("openai", "chat_completions") if is_stream else None
    return applied([body], redacted_body(body, redaction, None, shape))[0]


@pytest.mark.parametrize(
    ("body", "redaction", "clean"),
    [
        (b'{"a":  1}', NONE, b'{"a":  1}'),
        (b"plain sk-live-1234567890 text", NONE, b"plain [redacted] text"),
        (b'{"a":  "sk-live-1234567890"}', NONE, b'{"a":  "[redacted]"}'),  # the format of the rest stays
        (b'{"a":  "b", "password": "hunter2"}', NONE, b'{"a":"b","password":"[redacted]"}'),
        (b'{"a": "sk-live-1234567890", "secret": 5}', NONE, b'{"a":"[redacted]","secret":"[redacted]"}'),
        (b'{"a": "x", "b": 1}', Redaction(regexes=('"x".*',)), b'{"a": "x", "b": 1}'),
        (b'{"a": "sk-live-1234567890", "b": 1}', Redaction(regexes=('"b": 1}',)), b'{"a":"[redacted]","b":1}'),
        (b'{"a": "xyz"}', Redaction(regexes=("y*",)), b'{"a": "x[redacted]z"}'),
        (b'{"Mine": "xyz"}', Redaction(names=("mine",)), b'{"Mine":"[redacted]"}'),
    ],
    ids=["nothing", "text", "in place", "member", "both", "outside", "across", "empty matches", "own name"],
)
def test_a_body_loses_its_secrets(body: bytes, redaction: Redaction, clean: bytes) -> None:
    assert cleaned(body, redaction) == clean


def delta(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


def test_a_secret_that_is_split_over_events_is_blanked_in_each() -> None:
    body = b"".join(f"data: {json.dumps(delta(text))}\n\n".encode() for text in ("my sk-live", "-1234567890 key"))
    first, second, end = cleaned(body + b"data: [DONE]\n\n", is_stream=True).split(b"\n\n")[:3]
    assert json.loads(first.removeprefix(b"data: ")) == delta("my *******")
    assert json.loads(second.removeprefix(b"data: ")) == delta("*********** key")
    assert end == b"data: [DONE]"


@pytest.mark.parametrize(
    ("natives", "clean"),
    [
        ([delta("my sk-live"), delta("-1234567890 key")], [delta("my *******"), delta("*********** key")]),
        ([delta("nothing")], None),
        ({"error": {"message": f"wrong key {KEY}"}}, {"error": {"message": "wrong key [redacted]"}}),
    ],
)
def test_a_stream_that_is_one_json_text_is_redacted_as_such(natives: Any, clean: Any) -> None:
    body = json.dumps(natives).encode()
    got = cleaned(body, is_stream=True)
    assert (got == body) if clean is None else (json.loads(got) == clean)


def test_a_comment_in_a_stream_is_redacted_as_text() -> None:
    body = f": {KEY}\n\ndata: [DONE]\n\n".encode()
    assert cleaned(body, is_stream=True) == b": [redacted]\n\ndata: [DONE]\n\n"


def test_the_request_s_own_key_is_redacted_unless_it_may_be_a_word() -> None:
    assert redacted_text("my-own-key and word", NONE, "my-own-key") == "[redacted] and word"
    assert redacted_text("my-own-key and word", NONE, "word") == "my-own-key and word"
