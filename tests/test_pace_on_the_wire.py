"""When tokens really arrive, by the clock of a client with a raw socket."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

import pytest
from rawhttp import Connection, request
from talk import Serving

from emulator import Emulator, Pace

HOUR = 3600.0
"""Nobody waits for it: what comes at all came at once."""


@dataclass(frozen=True, slots=True)
class Heard:
    """When the head and each token came, in seconds since the request was sent."""

    head: float
    tokens: list[float]

    @property
    def total(self) -> float:
        return self.tokens[-1]


def said(tokens: int) -> str:
    """A text with this many tokens."""
    return "word" + " word" * (tokens - 1)


def scenario(tokens: int, **pace: float) -> dict[str, Any]:
    rule: dict[str, Any] = {"reply": {"content": said(tokens)}}
    return {"rules": [{**rule, "pace": pace} if pace else rule]}


def listen(emulator: Emulator, *, stream: bool) -> Heard:
    """Ask once, and note when what arrives."""
    body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    wire = request("/serevix/v1/chat/completions", json.dumps(body).encode(), authorization="Bearer k")
    with Connection(emulator.port) as client:
        sent = time.monotonic()
        client.send(wire)
        client.read_until(b"\r\n\r\n")
        head = time.monotonic() - sent
        tokens: list[float] = []
        last = b"[DONE]" if stream else b"}]"
        seen = b""
        while last not in seen:
            data = client.read()
            assert data, "the answer ended too early"
            now = time.monotonic() - sent
            seen += data
            tokens += [now] * (seen.count(b"word") - len(tokens))
    return Heard(head, tokens)


def retried(measure: Callable[[], Heard], is_good: Callable[[Heard], bool]) -> Heard:
    """A measurement, repeated while the machine is busy with something else: what is wrong stays wrong."""
    heard = measure()
    for _ in range(4):
        if is_good(heard):
            break
        heard = measure()
    return heard


def near(expected: float) -> Callable[[Heard], bool]:
    return lambda heard: abs(heard.total - expected) <= 0.02 * expected


def error(heard: Heard, ttft: float, rate: float) -> list[float]:
    """How much later than planned each token came, sorted."""
    return sorted(at - (ttft + k / rate) for k, at in enumerate(heard.tokens))


def test_a_hundred_tokens_at_fifty_a_second_come_when_they_should(serving: Serving) -> None:
    emulator = serving(scenario(100, ttft=0.2, tokens_per_second=50))
    expected = 0.2 + 99 / 50

    def is_good(heard: Heard) -> bool:
        return near(expected)(heard) and heard.head < 0.15 and error(heard, 0.2, 50)[50] < 0.01

    heard = retried(lambda: listen(emulator, stream=True), is_good)
    late = error(heard, 0.2, 50)
    assert len(heard.tokens) == 100
    assert heard.total == pytest.approx(expected, rel=0.02)
    assert heard.head < 0.15  # long before the first token
    assert late[0] > -0.001  # never early
    assert late[50] < 0.01  # and on time
    print(f"lateness: median {late[50] * 1e3:.2f} ms, p95 {late[94] * 1e3:.2f} ms, worst {late[99] * 1e3:.2f} ms")


def test_a_whole_answer_with_a_written_pace_comes_when_its_last_token_would_have(serving: Serving) -> None:
    emulator = serving(scenario(40, ttft=0.11, tokens_per_second=100))
    heard = retried(lambda: listen(emulator, stream=False), near(0.5))
    assert heard.total == pytest.approx(0.5, rel=0.02)
    assert heard.head == pytest.approx(0.5, rel=0.02)
    assert len(heard.tokens) == 40


def test_a_speed_of_two_takes_half_the_time(serving: Serving) -> None:
    emulator = serving(scenario(40, ttft=0.22, tokens_per_second=50), speed=2)
    heard = retried(lambda: listen(emulator, stream=True), near(0.5))
    assert heard.total == pytest.approx(0.5, rel=0.02)


def test_the_servers_own_pace_holds_for_streams(serving: Serving) -> None:
    emulator = serving(scenario(40), pace=Pace(ttft=0.11, tokens_per_second=100))
    heard = retried(lambda: listen(emulator, stream=True), near(0.5))
    assert heard.total == pytest.approx(0.5, rel=0.02)


def test_the_servers_own_pace_does_not_hold_for_whole_answers(serving: Serving) -> None:
    emulator = serving(scenario(40), pace=Pace(ttft=HOUR, tokens_per_second=0.01))
    assert listen(emulator, stream=False).total < 5


@pytest.mark.parametrize("stream", [True, False])
def test_at_infinite_speed_everything_comes_at_once(serving: Serving, stream: bool) -> None:
    emulator = serving(scenario(40, ttft=HOUR, tokens_per_second=0.01, jitter=1), speed=inf, pace=Pace(HOUR, 0.01, 0.5))
    assert listen(emulator, stream=stream).total < 5


@pytest.mark.parametrize("stream", [True, False])
def test_embedded_and_without_a_pace_everything_comes_at_once(serving: Serving, stream: bool) -> None:
    heard = listen(serving(scenario(2000)), stream=stream)
    assert (len(heard.tokens), heard.total < 5) == (2000, True)


def test_virtual_time_streams_an_hour_at_once(serving: Serving) -> None:
    emulator = serving({**scenario(100, ttft=HOUR, tokens_per_second=0.1), "clock": "virtual"})
    heard = listen(emulator, stream=True)
    assert (len(heard.tokens), heard.total < 5) == (100, True)
    assert emulator.journal[-1].record()["last_sent"] == pytest.approx(HOUR + 99 / 0.1)


QUESTION = [{"role": "user", "content": "Hi"}]
STREAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat completions": ("/serevix/v1/chat/completions", {"model": "deepseek-v3", "messages": QUESTION}),
    "messages": ("/anthropic/v1/messages", {"model": "claude-sonnet-4-5", "max_tokens": 99, "messages": QUESTION}),
    "responses": ("/openai/v1/responses", {"model": "gpt-4.1", "input": "Hi"}),
}


@pytest.mark.parametrize("dialect", STREAMS)
def test_a_pace_changes_no_byte_of_a_stream(dialect: str) -> None:
    path, body = STREAMS[dialect]
    data = json.dumps({**body, "stream": True}).encode()
    asked = request(path, data, authorization="Bearer k", x_api_key="k", anthropic_version="2023-06-01")
    rule = {"reply": {"content": said(12), "id": "one", "created": 1}, "pace": {"tokens_per_second": 500}}
    bodies = []
    for speed in (1.0, inf):
        scenario = {"seed": 1, "clock": "virtual", "rules": [rule]}
        with Emulator(scenario, speed=speed) as emulator, Connection(emulator.port) as client:
            client.send(asked)
            bodies.append(client.response().body)
    assert bodies[0] == bodies[1]
    assert bodies[0].count(b"word") >= 12
