"""The recorder and the matcher agree on which requests are equal, whatever the question and the dialect."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from talk import KEYS, PATHS, question

from emulator.clock import WallClock
from emulator.engine import Options, PlannedResponse, answer
from emulator.providers import PROVIDERS
from emulator.recording.capture import captured, cleaned
from emulator.recording.folder import Recordings
from emulator.recording.following import Follower
from emulator.recording.keys import digest_of
from emulator.recording.redaction import Redaction
from emulator.request import HttpRequest
from emulator.state.compiled import CompiledScenario, compile_scenario
from emulator.state.namespace import Namespace
from emulator.wire import Data, Head, PlannedBody

SECRETS = st.sampled_from(["sk-secret-000001", "org-ABCDEFGHIJ12", "BADGE-77", ""])
TEXTS = st.builds(
    lambda a, secret, b: f"{a} {secret} {b}".strip() or "Hi", st.text(max_size=20), SECRETS, st.text(max_size=9)
)
LISTS = Redaction(("patient",), ("$.metadata.run",), (r"BADGE-\d+",))
BACKGROUND = compile_scenario({"rules": []})


def asked(provider: str, texts: list[str], *, stream: bool) -> HttpRequest:
    """A conversation: the texts of user and assistant in turn, the last one the user's."""
    path, body = PATHS[provider], question(provider, texts[-1])
    if provider == "gemini":
        roles = ["user", "model"]
        body["contents"] = [
            {"role": roles[n % 2], "parts": [{"text": text}]}
            for n, text in enumerate([*texts[:-1][: len(texts) // 2 * 2]])
        ] + body["contents"]
        if stream:
            path = path.replace(":generateContent", ":streamGenerateContent")
    else:
        before = texts[:-1][: (len(texts) - 1) // 2 * 2]
        body["messages"] = [
            *[{"role": ["user", "assistant"][n % 2], "content": text} for n, text in enumerate(before)],
            {"role": "user", "content": texts[-1]},
        ]
        body["stream"] = stream
    return request_of(provider, path, body, "sk-real-key-00001")


def request_of(provider: str, path: str, body: Any, key: str) -> HttpRequest:
    headers = {name.lower(): value for name, value in KEYS[provider].items()}
    name = PROVIDERS[provider].auth_header.partition(":")[0].lower()
    scheme = "Bearer " if headers[name].startswith("Bearer") else ""
    headers |= {name: f"{scheme}{key}", "content-type": "application/json"}
    query = "alt=sse" if "stream" in path else ""
    return HttpRequest(provider, "POST", path, headers, query, json.dumps(body).encode(), key=key)


async def answered(request: HttpRequest, compiled: CompiledScenario) -> PlannedResponse:
    clock = WallClock()
    try:
        return await answer(request, Namespace("test", compiled, clock), Options(unmatched="error"))
    finally:
        clock.close()


def wire_of(response: PlannedResponse) -> tuple[int, list[bytes]]:
    steps = response.answer.steps() if isinstance(response.answer, PlannedBody) else response.answer
    (head,) = [step for step in steps if isinstance(step, Head)]
    return head.status, [step.data for step in steps if isinstance(step, Data)]


def as_http(status: int, pieces: list[bytes], content_type: bytes) -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    head = b"HTTP/1.1 %d X\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n" % (status, content_type)
    return head + chunks + b"0\r\n\r\n"


@pytest.mark.parametrize("provider", list(PROVIDERS))
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(TEXTS, min_size=1, max_size=5), stream=st.booleans())
def test_what_was_recorded_is_found_again_and_says_the_same_bytes(
    provider: str, texts: list[str], stream: bool
) -> None:
    request = asked(provider, texts, stream=stream)
    reply = {"rules": [{"reply": {"content": "plain", "reasoning": None}}]}
    status, pieces = wire_of(asyncio.run(answered(request, compile_scenario(reply))))
    with tempfile.TemporaryDirectory() as folder:
        follower = Follower("POST")
        kind = b"text/event-stream" if stream else b"application/json"
        follower.feed(as_http(status, pieces, kind), 0.0)
        model = BACKGROUND.providers[provider]
        operation, parameters = model.route("POST", request.path)
        routed = request.routed(operation.name, model.dialect_of(operation, request), parameters)
        wire = cleaned(captured(routed, follower.followed, "http://upstream", "2026-11-26"), routed, LISTS)
        recordings = Recordings(Path(folder), LISTS)
        recordings.prepare()
        recordings.add(digest_of(request, LISTS), wire, is_completion=operation.is_completion)
        compiled = compile_scenario(folder)
        replayed = wire_of(asyncio.run(answered(request, compiled)))
        other = asked(provider, [*texts[:-1], texts[-1] + " and more"], stream=stream)
        missing, _ = wire_of(asyncio.run(answered(other, compiled)))
    assert replayed == (status, [piece for piece in pieces if piece])
    assert missing == (404 if status == 200 else missing)


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5), st.text(max_size=9))
def test_keys_order_blanks_and_secrets_do_not_matter_and_all_else_does(members: dict[str, Any], text: str) -> None:
    body = {**members, "prompt": text, "metadata": {"run": 1, "patient": "A"}, "key": "sk-one-0000001"}
    other = {"metadata": {"patient": "B", "run": 2}, **dict(reversed(members.items())), "key": "sk-two-0000002"}
    other["prompt"] = text
    one = request_of("serevix", "/v1/chat/completions", body, "sk-key-000001")
    two = request_of("serevix", "/v1/chat/completions", other, "another-key-000002")
    if "prompt" not in members and "metadata" not in members and "key" not in members:
        assert digest_of(one, LISTS) == digest_of(two, LISTS)
    changed = request_of("serevix", "/v1/chat/completions", {**body, "prompt": text + "!"}, "sk-key-000001")
    assert digest_of(one, LISTS) != digest_of(changed, LISTS)
    assert digest_of(one, LISTS) != digest_of(one, Redaction())


@pytest.mark.parametrize("provider", list(PROVIDERS))
def test_the_conversations_of_this_test_are_answered(provider: str) -> None:
    compiled = compile_scenario({"rules": [{"reply": {"content": "plain"}}]})
    for stream in (False, True):
        status, pieces = wire_of(asyncio.run(answered(asked(provider, ["A", "B", "C"], stream=stream), compiled)))
        assert (status, b"plain" in b"".join(pieces)) == (200, True)
