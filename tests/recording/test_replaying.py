"""Replays: with the original or another timing, split differently, with faults, counted and charged as recorded."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from operations import every_request
from rawhttp import Connection
from recording_server import Recording, byte_server, recording
from tables import each_of
from talk import KEYS

from emulator import Emulator
from emulator.pace import Pace
from emulator.providers import PROVIDERS
from emulator.recording.wire_file import read

PATH = "/serevix/v1/chat/completions"
WORDS = ["One ", "two ", "three ", "four."]
ASKED = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "Count"}], "stream": True}


def event(text: str) -> bytes:
    delta = {"id": "x", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    return b"data: " + json.dumps(delta).encode() + b"\n\n"


EVENTS = [*map(event, WORDS), b"data: [DONE]\n\n"]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A recorded stream whose chunks are cut without regard to its events."""
    body = b"".join(EVENTS)
    pieces = [body[:20], body[20:150], body[150:]]
    with (
        byte_server([HEAD, *map(chunk, pieces), b"0\r\n\r\n"]) as upstream,
        recording(tmp_path / "recordings", {"serevix": upstream.url}) as running,
    ):
        httpx.post(running.url("serevix") + "/v1/chat/completions", json=ASKED, headers=KEYS["serevix"])
    return tmp_path


def beside(folder: Path, **defaults: Any) -> str:
    """A file beside the recordings, with defaults of its own."""
    file = folder / "replay.json"
    file.write_text(json.dumps({"version": 1, "include": "recordings/*.yaml", "defaults": defaults}))
    return str(file)


def chunks(emulator: Emulator) -> tuple[bytes, ...]:
    with Connection(emulator.port) as client:
        body = json.dumps(ASKED).encode()
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-type: application/json\r\n"
        client.send(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        return client.response().chunks


def planned(emulator: Emulator) -> list[float]:
    """When each frame of the last answer was due."""
    emulator.wait_for(1)
    return [frame["planned"] for frame in emulator.journal[-1].frames]


def test_segments_are_as_they_were_or_one_for_each_event(recorded: Path) -> None:
    body = b"".join(EVENTS)
    with Emulator(str(recorded / "recordings")) as replay:
        assert chunks(replay) == (body[:20], body[20:150], body[150:])
    with Emulator(beside(recorded, segments="events")) as replay:
        assert chunks(replay) == tuple(EVENTS)


def test_moments_are_scaled_or_paced_anew_by_tokens(recorded: Path) -> None:
    moments = {}
    for speed in (1.0, 4.0):
        with Emulator(beside(recorded, segments="events"), speed=speed) as replay:
            assert chunks(replay) == tuple(EVENTS)
            moments[speed] = planned(replay)
    assert moments[4.0] == pytest.approx([moment / 4 for moment in moments[1.0]])
    with Emulator(beside(recorded, segments="events", pace={"ttft": 0.2, "tokens_per_second": 100})) as replay:
        assert chunks(replay) == tuple(EVENTS)  # also the last two, which are due together
        due = planned(replay)
    assert due == pytest.approx([0.21, 0.23, 0.25, 0.27, 0.27])  # each word is two tokens
    assert moments[1.0] != due


@pytest.mark.parametrize("pace", [{}, {"ttft": 0}, {"tokens_per_second": 1e6}, {"ttft": 0.05}], ids=str)
def test_what_is_due_together_stays_apart_as_it_was_recorded(pace: dict[str, float], recorded: Path) -> None:
    body = b"".join(EVENTS)
    for segments, wanted in (("original", (body[:20], body[20:150], body[150:])), ("events", tuple(EVENTS))):
        with Emulator(beside(recorded, segments=segments, **({"pace": pace} if pace else {})), speed=1e6) as replay:
            assert chunks(replay) == wanted


@pytest.mark.parametrize("framing", ["close", "length", "chunks with trailers"])
def test_a_stream_paced_anew_keeps_its_framing_and_its_trailers(framing: str, tmp_path: Path) -> None:
    body, head = b"".join(EVENTS), b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    sent = {
        "close": [head + b"\r\n", *EVENTS],
        "length": [head + b"content-length: %d\r\n\r\n" % len(body), *EVENTS],
        "chunks with trailers": [
            head + b"transfer-encoding: chunked\r\ntrailer: x-ratelimit-remaining\r\n\r\n",
            *map(chunk, EVENTS),
            b"0\r\nx-ratelimit-remaining: 7\r\n\r\n",
        ],
    }[framing]
    with byte_server(sent) as upstream, recording(tmp_path / "recordings", {"serevix": upstream.url}) as running:
        httpx.post(running.url("serevix") + "/v1/chat/completions", json=ASKED, headers=KEYS["serevix"])
    (file,) = (tmp_path / "recordings/wire").iterdir()
    with Emulator(beside(tmp_path, segments="events", pace={"ttft": 0.05, "tokens_per_second": 100})) as replay:
        with Connection(replay.port) as client:
            data = json.dumps(ASKED).encode()
            line = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-type: application/json\r\n"
            client.send(f"{line}content-length: {len(data)}\r\nconnection: close\r\n\r\n".encode() + data)
            raw, _ = client.read_rest()
        due = planned(replay)
    answer, _, rest = raw.partition(b"\r\n\r\n")
    wanted = {"close": body, "length": body}.get(framing) or b"".join(map(chunk, EVENTS)) + sent[-1]
    assert rest == wanted
    assert (b"content-length: %d" % len(body) in answer) == (framing == "length")
    assert read(file).framing == framing.partition(" ")[0]
    assert due[0] == pytest.approx(0.06)  # two tokens


def test_a_body_paced_anew_is_no_longer_of_its_length_if_lines_keep_its_client_waiting(tmp_path: Path) -> None:
    body = b'{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"content":"Four."}}]}'
    url = "/deepseek/chat/completions"
    asked = {**ASKED, "model": "deepseek-v4-flash", "stream": False}
    with byte_server([whole(body)]) as upstream, recording(tmp_path / "recordings", {"deepseek": upstream.url}) as run:
        httpx.post(f"http://127.0.0.1:{run.port}{url}", json=asked, headers=KEYS["deepseek"])
    scenario = {"version": 1, "include": "recordings/*.yaml", "clock": "virtual", "defaults": {"pace": {"ttft": 40}}}
    (tmp_path / "replay.json").write_text(json.dumps(scenario))
    with Emulator(str(tmp_path / "replay.json")) as replay:
        answer = httpx.post(replay.origin + url, json=asked, headers=KEYS["deepseek"])
    assert answer.content.strip() == body
    assert answer.content.startswith(b"\n")
    assert (answer.headers.get("transfer-encoding"), answer.headers.get("content-length")) == ("chunked", None)


USAGES: dict[str, tuple[Any, int | None]] = {
    "a count": ({"prompt_tokens": 7, "total_tokens": 7}, 7),
    "none": ({}, None),
    "another type": ("seven", None),
    "another type of count": ({"prompt_tokens": "7"}, None),
}


@each_of("name", USAGES)
def test_usage_that_no_client_could_read_is_neither_counted_nor_charged(name: str, tmp_path: Path) -> None:
    usage, prompt = USAGES[name]
    folder, url = tmp_path / name, "/openai/v1/embeddings"
    body = json.dumps({"object": "list", "data": [], "model": "text-embedding-3-small", "usage": usage}).encode()
    asked = {"model": "text-embedding-3-small", "input": "Hi"}
    with byte_server([whole(body)]) as upstream, recording(folder, {"openai": upstream.url}) as running:
        httpx.post(f"http://127.0.0.1:{running.port}{url}", json=asked, headers=KEYS["openai"])
    with Emulator(str(folder), unmatched="error") as replay:
        answer = httpx.post(replay.origin + url, json=asked, headers=KEYS["openai"])
        replay.wait_for(1)
        (exchange,) = replay.journal
    assert (answer.status_code, answer.content) == (200, body)
    assert (None if exchange.usage is None else exchange.usage.prompt) == prompt
    assert (exchange.cost > 0) == (prompt is not None)


def test_a_replayed_answer_is_charged_to_its_account(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}
    body = json.dumps({"id": "x", "choices": [{"index": 0, "message": {"content": "4."}}], "usage": usage}).encode()
    asked = {**ASKED, "stream": False}
    with byte_server([whole(body)]) as upstream, recording(tmp_path / "recordings", {"serevix": upstream.url}) as run:
        httpx.post(run.url("serevix") + "/v1/chat/completions", json=asked, headers=KEYS["serevix"])
    scenario = {"version": 1, "include": "recordings/*.yaml", "accounts": [{"key": "k", "balance": "1"}]}
    (tmp_path / "replay.json").write_text(json.dumps(scenario))
    with Emulator(str(tmp_path / "replay.json")) as replay:
        url = replay.url("serevix") + "/v1/chat/completions"
        assert httpx.post(url, json=asked, headers={"authorization": "Bearer k"}).content == body
        replay.wait_for(1)
        (exchange,) = replay.journal
        assert exchange.cost > 0
        (account,) = httpx.get(f"{replay.origin}/__emulator/accounts").json()["accounts"]
        assert Decimal(account["balance"]) == 1 - exchange.cost


def test_faults_strike_what_is_replayed(recorded: Path) -> None:
    scenario = beside(recorded, segments="events")
    with Emulator(scenario, faults=["no_done"]) as replay:
        assert chunks(replay) == tuple(EVENTS[:-1])
    with Emulator(scenario, faults=["duplicate_chunk"]) as replay:
        assert chunks(replay) == (*[each for each in EVENTS[:-1] for _ in range(2)], EVENTS[-1])
    with Emulator(scenario, faults=["reset:after_tokens=2"]) as replay, pytest.raises((ConnectionError, EOFError)):
        chunks(replay)
    with Emulator(scenario, faults=["error:status=503,times=1"]) as replay:
        url = replay.url("serevix") + "/v1/chat/completions"
        statuses = [httpx.post(url, json=ASKED, headers=KEYS["serevix"]).status_code for _ in range(2)]
    assert statuses == [503, 200]


@pytest.mark.parametrize("provider", list(PROVIDERS))
def test_the_journal_counts_and_charges_what_is_replayed_as_what_was_recorded(provider: str, tmp_path: Path) -> None:
    wanted = [each for each in every_request(provider) if each.is_completion]

    def ask(url: str) -> None:
        for each in wanted:
            httpx.request(each.method, url + each.path, json=each.body, headers=KEYS[provider], timeout=60)

    seen: dict[str, list[Any]] = {}

    def note(name: str, emulator: Emulator) -> None:
        seen[name] = [(each.usage, each.cost, each.model, each.outcome) for each in emulator.journal]

    with Emulator({"rules": [{"reply": {"content": "Hello there.", "reasoning": "A greeting."}}]}) as upstream:
        with recording(tmp_path, {provider: upstream.url(provider)}, mode="all") as running:
            ask(running.url(provider))
            assert running.server.app is not None
            journal = running.server.app.namespaces.default.journal
        note("recorded", upstream)
        passed = [(each.usage, each.cost, each.model, each.outcome) for each in journal]
    with Emulator(str(tmp_path), unmatched="error") as replay:
        ask(replay.url(provider))
        note("replayed", replay)
    assert seen["replayed"] == passed
    for (usage, cost, model, was), (shown, paid, asked, outcome) in zip(seen["recorded"], passed, strict=True):
        assert (asked, outcome) == (model, was)
        if shown is not None:  # some streams say nothing of it unless they are asked to
            counted = (shown.prompt, shown.completion, shown.total, shown.cached)
            assert counted == (usage.prompt, usage.completion, usage.total, usage.cached)
            assert paid == cost
    assert any(usage is not None for usage, *_ in passed)


def test_lists_that_were_not_recorded_are_missing_too(tmp_path: Path) -> None:
    with Emulator() as upstream, recording(tmp_path, {"serevix": upstream.url("serevix")}) as running:
        httpx.post(running.url("serevix") + "/v1/chat/completions", json=ASKED, headers=KEYS["serevix"])
    with Emulator(str(tmp_path), unmatched="error") as replay:
        missing = httpx.get(replay.url("serevix") + "/v1/models", headers=KEYS["serevix"])
        other = httpx.get(replay.url("openai") + "/v1/models", headers=KEYS["openai"])
        assert (missing.status_code, missing.headers["x-emulator-error"]) == (404, "unmatched")
        assert other.status_code == 200  # of that provider, nothing is recorded
    with Emulator(str(tmp_path), unmatched="generate") as replay, recording(tmp_path, {}, mode="none") as none:
        generated = httpx.get(replay.url("serevix") + "/v1/models", headers=KEYS["serevix"])
        alone = httpx.get(none.url("openai") + "/v1/models", headers=KEYS["openai"])
    assert (generated.status_code, alone.status_code) == (200, 404)


def test_lists_are_recorded_and_replayed(tmp_path: Path) -> None:
    with Emulator() as upstream, recording(tmp_path, {"serevix": upstream.url("serevix")}) as running:
        listed = httpx.get(running.url("serevix") + "/v1/models", headers=KEYS["serevix"])
    with Emulator(str(tmp_path), unmatched="error") as replay:
        again = httpx.get(replay.url("serevix") + "/v1/models", headers=KEYS["serevix"])
        replay.wait_for(1)
        assert [each.outcome for each in replay.journal] == ["listing"]
    assert again.content == listed.content


def test_a_stream_of_an_own_pace_keeps_its_bytes(tmp_path: Path) -> None:
    with (
        Emulator(pace=Pace(0.01, 500)) as upstream,
        recording(tmp_path, {"serevix": upstream.url("serevix")}) as running,
    ):
        through = httpx.post(running.url("serevix") + "/v1/chat/completions", json=ASKED, headers=KEYS["serevix"])
    file = tmp_path / "paced.json"
    file.write_text(json.dumps({"version": 1, "include": "*.yaml", "defaults": {"pace": {"tokens_per_second": 5000}}}))
    with Emulator(str(file), unmatched="error") as replay:
        again = httpx.post(replay.url("serevix") + "/v1/chat/completions", json=ASKED, headers=KEYS["serevix"])
    assert again.content == through.content


def test_a_body_that_nests_deeply_is_recorded_and_recognized(tmp_path: Path) -> None:
    def post(server: Emulator | Recording, depth: int, blank: bytes = b"") -> httpx.Response:
        body = json.dumps({**ASKED, "stream": False, "deep": "DEEP"}).encode()
        deep = b"[" * depth + b"5," + blank + b"[]" + b"]" * depth
        return httpx.post(
            server.url("serevix") + "/v1/chat/completions",
            content=body.replace(b'"DEEP"', deep),
            headers={**KEYS["serevix"], "content-type": "application/json"},
        )

    depths = (100, 245, 246, 990)
    with Emulator() as upstream, recording(tmp_path, {"serevix": upstream.url("serevix")}) as running:
        said = [post(running, depth).json() for depth in depths]
    with Emulator(str(tmp_path), unmatched="error") as replay:
        assert [post(replay, depth).json() for depth in depths] == said
        assert post(replay, 100, b" ").json() == said[0]
        assert post(replay, 100, b" {}," * 300).status_code == 404
        other = post(replay, 991)
        replay.wait_until_idle()
        (miss, *_) = replay.journal[-1].misses
    assert (other.status_code, "the request differs from the recorded one" in str(miss)) == (404, True)
