"""Virtual time: it skips ahead or is moved by hand, and streams, quotas, dates, faults and keep-alives all
follow it."""

import json
import re
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from rawhttp import Connection, eventually, request
from served import served
from talk import EVERY_PROVIDER, KEYS, PATHS, Serving, question, single

from emulator import Emulator
from emulator.client import NamespaceClient
from emulator.clock import LATEST_DATE, VIRTUAL_START, release
from emulator.server.server import MANUAL_CLOCK

HOUR = 3600.0
WORDS = "one two three four five six seven eight nine ten eleven twelve"
"""Twelve tokens."""
HEAD_TIMEOUT = 10.0


@pytest.fixture(scope="module")
def emulator(serving: Serving) -> Emulator:
    """Its worlds are made by each test, with a clock of their own."""
    return serving({"rules": [], "unmatched": "error"})


_numbers = iter(range(10_000))


def world_of(emulator: Emulator, clock: str, *rules: dict[str, Any], **more: Any) -> NamespaceClient:
    return emulator.namespace(f"time-{next(_numbers)}", {"clock": clock, "rules": list(rules), **more})


def paced(prompt: str = "", content: str = WORDS, **pace: float) -> dict[str, Any]:
    return {"match": {"prompt": {"contains": prompt}}, "reply": {"content": content}, "pace": pace}


def ask(
    http: httpx.Client, world: NamespaceClient, provider: str = "serevix", prompt: str = "Hi", **members: Any
) -> httpx.Response:
    url = world.url(provider) + PATHS[provider]
    return http.post(url, json=question(provider, prompt, **members), headers=KEYS[provider])


def contents(text: str) -> list[str]:
    """The pieces of content in the events of a stream."""
    chunks = [json.loads(line.removeprefix("data: ")) for line in text.split("\n") if line.startswith("data: {")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", ())]
    return [delta["content"] for delta in deltas if delta.get("content")]


class Listener:
    """One open stream, which is read without ever waiting."""

    def __init__(
        self, emulator: Emulator, world: NamespaceClient, provider: str = "serevix", prompt: str = "Hi"
    ) -> None:
        self.emulator = emulator
        self.connection = Connection(emulator.port)
        body = json.dumps(question(provider, prompt, stream=True)).encode()
        headers = {name.replace("-", "_"): value for name, value in KEYS[provider].items()}
        path = f"/@{world.name}/{provider}{PATHS[provider]}"
        self.connection.send(request(path, body, content_type="application/json", **headers))
        self.connection.read_until(b"\r\n\r\n")  # the head goes at once, and then all alarms are set
        self.raw = b""

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.socket.close()

    def arrived(self) -> str:
        """Everything that has come so far."""
        _ = self.emulator.state  # the loop has turned once more: what it wrote is on its way
        self.raw += self.connection._pending
        self.connection._pending = b""
        self.connection.socket.setblocking(False)
        try:
            while data := self.connection.socket.recv(1 << 20):
                self.raw += data
        except BlockingIOError:
            pass
        finally:
            self.connection.socket.settimeout(HEAD_TIMEOUT)
        return re.sub(rb"(^|\r\n)[0-9a-f]+\r\n", b"", self.raw).replace(b"\r\n", b"").decode()

    def pieces(self) -> list[str]:
        return contents(self.arrived())


# Leaping


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_an_hour_of_streaming_takes_milliseconds(emulator: Emulator, http: httpx.Client, provider: str) -> None:
    world = world_of(emulator, "virtual", paced(ttft=10.0, tokens_per_second=11 / (HOUR - 10)))
    began = time.monotonic()
    response = ask(http, world, provider, stream=True)
    took = time.monotonic() - began
    assert "".join(contents(response.text)) == WORDS
    assert took < 3
    emulator.wait_until_idle()
    record = world.journal[-1].record()
    assert (record["last_sent"], record["late"]) == (pytest.approx(HOUR), 0.0)


def test_a_whole_answer_waits_without_anyone_waiting(emulator: Emulator, http: httpx.Client) -> None:
    world = world_of(emulator, "virtual", paced(ttft=HOUR, tokens_per_second=1))
    assert ask(http, world).json()["created"] == VIRTUAL_START
    assert ask(http, world).json()["created"] == VIRTUAL_START + HOUR + 11
    emulator.wait_until_idle()
    assert [exchange.record()["last_sent"] for exchange in world.journal] == [pytest.approx(HOUR + 11)] * 2


def test_ten_thousand_tokens_an_hour_long_come_in_order(emulator: Emulator, http: httpx.Client) -> None:
    content = " ".join(str(number) for number in range(5000))
    world = world_of(emulator, "virtual", paced(content=content, ttft=1, tokens_per_second=2.5, jitter=0.3))
    assert "".join(contents(ask(http, world, stream=True).text)) == content
    emulator.wait_until_idle()
    assert world.journal[-1].record()["late"] == 0.0


def test_streams_that_leap_together_all_keep_their_moments(emulator: Emulator) -> None:
    rules = [paced(f"number {number}", ttft=number, tokens_per_second=1 / (number + 1)) for number in range(8)]
    world = world_of(emulator, "virtual", *rules)
    with ExitStack() as stack:
        listeners = [stack.enter_context(Listener(emulator, world, prompt=f"number {number}")) for number in range(8)]
        for listener in listeners:
            eventually(lambda listener=listener: "data: [DONE]" in listener.arrived())  # type: ignore[misc]
            assert "".join(listener.pieces()) == WORDS
    emulator.wait_until_idle()
    for number, exchange in enumerate(world.journal):
        record = exchange.record()
        assert record["last_sent"] == pytest.approx(number + 11 * (number + 1))
        assert record["late"] == 0.0


def test_time_stands_still_while_an_answer_is_being_made(emulator: Emulator, http: httpx.Client) -> None:
    slow, code = paced("slow", ttft=HOUR), {"match": {"prompt": {"contains": "word"}}, "reply": {"content": "x"}}
    world = world_of(emulator, "virtual", slow, code)
    prompt = "word " * 60_000  # counted in a thread
    working = threading.Thread(target=lambda: ask(http, world, prompt=prompt))
    working.start()
    eventually(lambda: len(world.journal) == 1)
    ask(http, world, prompt="slow")
    working.join(HEAD_TIMEOUT)
    emulator.wait_until_idle()
    first, second = [exchange.record() for exchange in world.journal]
    assert (first["received"], first["first_sent"]) == (VIRTUAL_START, 0.0)
    assert (second["first_sent"], second["late"]) == (HOUR, 0.0)


def test_each_answer_is_dated_by_its_world(emulator: Emulator, http: httpx.Client) -> None:
    world = world_of(emulator, "virtual", paced(ttft=86400.0))
    dates = [ask(http, world, "deepseek").json()["created"] - VIRTUAL_START for _ in range(3)]
    assert dates == [0, 86400, 2 * 86400]


def test_jitter_is_seeded(emulator: Emulator, http: httpx.Client) -> None:
    ends = []
    for seed in (1, 1, 2):
        world = world_of(emulator, "virtual", paced(ttft=1, tokens_per_second=1, jitter=0.9), seed=seed)
        ask(http, world, stream=True)
        emulator.wait_until_idle()
        ends.append(world.journal[-1].record()["last_sent"])
    assert ends[0] == ends[1] != ends[2]


# Moved by hand


def test_by_hand_every_token_comes_at_its_own_moment(emulator: Emulator) -> None:
    world = world_of(emulator, "manual", paced(ttft=10, tokens_per_second=0.5))
    with Listener(emulator, world) as listener:
        assert listener.arrived() == ""
        world.advance(9.99)
        assert listener.arrived() == ""
        world.advance(0.02)
        assert listener.pieces() == ["one"]
        for number in range(2, 12):
            world.advance(1)
            assert len(listener.pieces()) == number - 1
            world.advance(1)
            assert len(listener.pieces()) == number
        assert "[DONE]" not in listener.arrived()
        world.advance(2)
        assert "".join(listener.pieces()) == WORDS
        assert listener.arrived().endswith("data: [DONE]\n\n")
    assert world.journal[-1].record()["first_sent"] == 10.0


def test_one_long_step_brings_everything_and_nothing_is_late(emulator: Emulator) -> None:
    world = world_of(emulator, "manual", paced(ttft=10, tokens_per_second=0.5))
    with Listener(emulator, world) as listener:
        world.advance(HOUR)
        assert "".join(listener.pieces()) == WORDS
        emulator.wait_until_idle()
        record = world.journal[-1].record()
        assert (record["first_sent"], record["last_sent"], record["late"]) == (10.0, 32.0, 0.0)


def test_several_streams_advance_side_by_side(emulator: Emulator) -> None:
    paces = {"slow": (4.0, 0.25), "fast": (1.0, 4.0), "late": (20.0, 1.0), "burst": (7.0, 100.0), "even": (0.5, 1.0)}
    rules = [paced(name, ttft=ttft, tokens_per_second=rate) for name, (ttft, rate) in paces.items()]
    world = world_of(emulator, "manual", *rules)
    with ExitStack() as stack:
        listeners = {name: stack.enter_context(Listener(emulator, world, prompt=name)) for name in paces}
        now = 0.0
        for step in [0.25] * 48 + [1.75] * 23:
            world.advance(step)
            now += step
            for name, (ttft, rate) in paces.items():
                due = 0 if now < ttft else min(12, int((now - ttft) * rate + 1e-6) + 1)
                assert len(listeners[name].pieces()) == due, (name, now)
        for listener in listeners.values():
            assert "".join(listener.pieces()) == WORDS
    assert {exchange.record()["late"] for exchange in world.journal} == {0.0}


def test_a_whole_answer_comes_when_its_last_token_would_have(emulator: Emulator, http: httpx.Client) -> None:
    world = world_of(emulator, "manual", paced(ttft=5, tokens_per_second=1))
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(ask(http, world)))
    thread.start()
    eventually(lambda: bool(world.journal) and world.journal[-1].status == 200)
    world.advance(15.9)
    assert world.journal[-1].playback is None
    world.advance(0.2)
    thread.join(HEAD_TIMEOUT)
    assert answers[0].json()["choices"][0]["message"]["content"] == WORDS
    emulator.wait_until_idle()
    assert world.journal[-1].record()["last_sent"] == 16.0


def test_a_client_that_leaves_disturbs_no_other(emulator: Emulator) -> None:
    world = world_of(emulator, "manual", paced(ttft=1, tokens_per_second=1))
    with Listener(emulator, world) as stays:
        with Listener(emulator, world) as leaves:
            world.advance(3.5)
            assert len(leaves.pieces()) == len(stays.pieces()) == 3
        eventually(lambda: world.journal[1].playback is not None)
        world.advance(100)
        assert "".join(stays.pieces()) == WORDS
    playback = world.journal[1].playback
    assert playback is not None
    assert playback.ended == "client_closed"


def test_each_world_moves_for_itself(emulator: Emulator) -> None:
    worlds = [world_of(emulator, "manual", paced(ttft=1, tokens_per_second=1)) for _ in range(2)]
    with Listener(emulator, worlds[0]) as one, Listener(emulator, worlds[1]) as two:
        worlds[0].advance(5.5)
        assert (len(one.pieces()), len(two.pieces())) == (5, 0)
        worlds[1].advance(2.5)
        assert (len(one.pieces()), len(two.pieces())) == (5, 2)


# Whatever has a date


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_answers_are_dated_by_the_clock(emulator: Emulator, http: httpx.Client, provider: str) -> None:
    world = world_of(emulator, "manual", {"reply": {"content": "Hi"}})

    def created() -> float:
        body = ask(http, world, provider).json()
        moment: float = body.get("model_response", body)["created"]
        return moment

    assert created() == VIRTUAL_START
    assert created() == VIRTUAL_START
    world.advance(0.75)
    assert created() == VIRTUAL_START
    world.advance(0.25)
    assert created() == VIRTUAL_START + 1
    world.advance(366 * 86400)
    assert created() == VIRTUAL_START + 1 + 366 * 86400
    response = ask(http, world, provider, stream=True)
    dates = re.findall(r'"created":(\d+)', response.text)
    assert set(dates) == {str(int(VIRTUAL_START) + 1 + 366 * 86400)}


def test_templates_and_request_ids_are_dated_by_the_clock(emulator: Emulator, http: httpx.Client) -> None:
    world = world_of(emulator, "manual", {"reply": {"content": "{{ now }} {{ timestamp }}"}})
    world.advance(90061)
    response = ask(http, world)
    assert (
        response.json()["choices"][0]["message"]["content"] == f"2026-01-02T01:01:01+00:00 {VIRTUAL_START + 90061:.0f}"
    )
    assert response.headers["x-oneapi-request-id"].startswith("20260102010101")


def test_the_journal_is_dated_by_the_clock(emulator: Emulator, http: httpx.Client) -> None:
    world = world_of(emulator, "manual", {"reply": {"content": "Hi"}})
    world.advance(1000)
    ask(http, world)
    assert world.journal[-1].received == VIRTUAL_START + 1000


# Quotas


def test_a_quota_of_requests_follows_the_clock(emulator: Emulator, http: httpx.Client) -> None:
    quotas = [{"requests": 2, "per": "hour"}]
    world = world_of(emulator, "manual", {"reply": {"content": "Hi"}}, quotas=quotas)

    def statuses(number: int) -> list[int]:
        return [ask(http, world).status_code for _ in range(number)]

    assert statuses(3) == [200, 200, 429]
    world.advance(HOUR - 1)
    refused = ask(http, world)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    world.advance(1)
    assert statuses(3) == [200, 200, 429]
    assert ask(http, world).headers["retry-after"] == "3600"


def test_a_quota_of_the_month_ends_with_the_month(emulator: Emulator, http: httpx.Client) -> None:
    quotas = [{"tokens": 1, "per": "month"}]
    world = world_of(emulator, "manual", {"reply": {"content": "Hi"}}, quotas=quotas)
    assert [ask(http, world, "nadles").status_code for _ in range(2)] == [200, 429]
    world.advance(31 * 86400 - 1)
    assert ask(http, world, "nadles").status_code == 429
    world.advance(1)
    assert [ask(http, world, "nadles").status_code for _ in range(2)] == [200, 429]


def test_an_answer_is_open_until_its_virtual_end(emulator: Emulator, http: httpx.Client) -> None:
    quotas = [{"concurrency": 1}]
    world = world_of(emulator, "manual", paced(ttft=1, tokens_per_second=1), quotas=quotas)
    with Listener(emulator, world) as listener:
        assert ask(http, world).status_code == 429
        world.advance(20)
        assert "[DONE]" in listener.arrived()
        eventually(lambda: world.journal[0].playback is not None)
    with Listener(emulator, world):
        pass


# Faults


def test_the_window_of_a_fault_follows_the_clock(emulator: Emulator, http: httpx.Client) -> None:
    faults = [{"kind": "error", "status": 503, "window": {"after": 60, "for": 30}}]
    world = world_of(emulator, "manual", {"reply": {"content": "Hi"}}, faults=faults)
    statuses = []
    for _ in range(5):
        statuses.append(ask(http, world).status_code)
        world.advance(25)
    assert statuses == [200, 200, 200, 503, 200]  # after 0, 25, 50, 75 and 100 seconds


def test_a_stall_of_an_hour_passes_at_once(emulator: Emulator, http: httpx.Client) -> None:
    faults = ["stall:after_tokens=3,seconds=3600"]
    world = world_of(emulator, "virtual", {"reply": {"content": WORDS}, "faults": faults})
    assert "".join(contents(ask(http, world, stream=True).text)) == WORDS
    emulator.wait_until_idle()
    assert world.journal[-1].record()["last_sent"] == pytest.approx(HOUR)


def test_a_stall_ends_when_time_is_moved(emulator: Emulator) -> None:
    faults = ["stall:after_tokens=3,seconds=3600"]
    world = world_of(emulator, "manual", {"reply": {"content": WORDS}, "faults": faults})
    with Listener(emulator, world) as listener:
        assert len(listener.pieces()) == 3
        world.advance(HOUR - 1)
        assert len(listener.pieces()) == 3
        world.advance(1)
        assert "".join(listener.pieces()) == WORDS


# Signs of life

COMMENTS = {"serevix": ": PING", "cloudsway": ": keep-alive", "deepseek": ": keep-alive"}


@pytest.fixture(params=COMMENTS)
def lively(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param, COMMENTS[request.param]


def test_a_stream_that_waits_shows_signs_of_life(
    emulator: Emulator, http: httpx.Client, lively: tuple[str, str]
) -> None:
    provider, comment = lively
    world = world_of(emulator, "virtual", paced(ttft=35, tokens_per_second=1))
    text = ask(http, world, provider, stream=True).text
    assert text.startswith(f"{comment}\n\n" * 3 + "data: {")
    assert text.count(comment) == 3
    assert "".join(contents(text)) == WORDS


def test_signs_of_life_come_one_by_one(emulator: Emulator, lively: tuple[str, str]) -> None:
    provider, comment = lively
    world = world_of(emulator, "manual", paced(ttft=35, tokens_per_second=1))
    with Listener(emulator, world, provider) as listener:
        seen = []
        for _ in range(8):
            world.advance(5)
            seen.append((listener.arrived().count(comment), len(listener.pieces())))
        assert seen == [(0, 0), (1, 0), (1, 0), (2, 0), (2, 0), (3, 0), (3, 1), (3, 6)]


def test_signs_of_life_have_their_interval_or_are_switched_off(
    emulator: Emulator, http: httpx.Client, lively: tuple[str, str]
) -> None:
    provider, comment = lively
    for heartbeat, expected in ((5.0, 6), (30.0, 1), (40.0, 0), (None, 0)):
        providers = {provider: {"heartbeat": heartbeat}}
        world = world_of(emulator, "virtual", paced(ttft=34), providers=providers)
        assert ask(http, world, provider, stream=True).text.count(comment) == expected


@pytest.mark.parametrize("provider", ["maxtoken", "nadles"])
def test_providers_that_show_none_stay_silent(emulator: Emulator, http: httpx.Client, provider: str) -> None:
    world = world_of(emulator, "virtual", paced(ttft=HOUR))
    assert ask(http, world, provider, stream=True).text.startswith("data: {")


def test_a_whole_answer_of_deepseek_is_preceded_by_empty_lines(emulator: Emulator, http: httpx.Client) -> None:
    world = world_of(emulator, "virtual", paced(ttft=35, tokens_per_second=1))
    response = ask(http, world, "deepseek")  # its last token is due after 46 seconds
    assert response.text.startswith("\n" * 4 + "{")
    assert response.json()["choices"][0]["message"]["content"] == WORDS
    for provider in ("serevix", "cloudsway", "maxtoken", "nadles"):
        assert ask(http, world, provider).text.startswith("{")


def test_later_streams_of_one_world_end_though_their_moments_are_no_round_numbers() -> None:
    """Deadlines are compared as they were set: a sum of floats is not undone by a difference."""
    pace = {"ttft": 0.1, "tokens_per_second": 7, "jitter": 0.3}
    scenario = {"clock": "virtual", "defaults": {"pace": pace}, "rules": [{"reply": {"length": "60 tokens"}}]}
    with Emulator(scenario) as emulator:
        url = emulator.url("serevix") + "/v1/chat/completions"
        for number in range(12):
            body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"question {number}"}]}
            answer = single.post(url, json=body, headers={"authorization": "Bearer k"}, timeout=10)
            assert answer.text.endswith("data: [DONE]\n\n")


# Under `serve`


def test_serve_says_that_its_clock_is_manual_and_a_request_moves_it(tmp_path: Path) -> None:
    path = tmp_path / "manual.yaml"
    path.write_text("version: 1\nclock: manual\nrules:\n  - {reply: {content: Hello}, pace: {ttft: 60}}\n")
    with (
        served("--scenario", str(path)) as server,
        httpx.Client(trust_env=False, timeout=HEAD_TIMEOUT, verify=False) as client,
    ):
        origin = f"http://127.0.0.1:{server.port}"
        clock, advance = f"{origin}/__emulator/clock", f"{origin}/__emulator/clock/advance"
        url = f"{origin}/serevix{PATHS['serevix']}"
        with client.stream("POST", url, json=question("serevix", stream=True), headers=KEYS["serevix"]) as stream:
            before = client.get(clock).json()
            after = client.post(advance, json={"seconds": 60}).json()
            text = stream.read().decode()
        other = client.post(advance, json={"seconds": 5}, params={"namespace": "other"}).json()
        refused = [
            client.post(advance, content='{"seconds": 60}', headers={"content-type": "text/plain"}),
            client.post(advance, content="[", headers={"content-type": "application/json"}),
            client.post(advance, json={"seconds": "60"}),
            client.post(advance, json={"seconds": -1}),
            client.get(advance),
        ]
        server.signal(signal.SIGTERM)
        code, _, errors = server.finish()
    assert before == {"mode": "manual", "now": VIRTUAL_START}
    assert after == {"mode": "manual", "now": VIRTUAL_START + 60}
    assert other == {"mode": "manual", "now": VIRTUAL_START + 5}
    assert text.endswith("data: [DONE]\n\n")
    assert [each.status_code for each in refused] == [415, 422, 422, 422, 405]
    assert (code, errors.splitlines()[0]) == (0, MANUAL_CLOCK)


def test_a_real_clock_is_not_moved_by_a_request(emulator: Emulator) -> None:
    world = emulator.namespace("real-time", {"clock": "real", "rules": []})
    response = single.post(
        f"{emulator.origin}/__emulator/clock/advance",
        params={"namespace": world.name},
        json={"seconds": 1},
    )
    reported = "This clock is real and can't be moved: set `clock: manual` in the scenario."
    assert (response.status_code, response.json()) == (409, {"error": reported})


def test_time_that_leaps_beyond_all_dates_stays_a_date(http: httpx.Client) -> None:
    year = 366 * 86400
    with Emulator(
        {"clock": "manual", "rules": [{"reply": {"content": "{{ now }}"}, "pace": {"ttft": year}}]}
    ) as emulator:
        for _ in range(79):
            emulator.advance(100 * year)
        clock = emulator._server.call(lambda: emulator._namespace().clock)
        emulator.advance(LATEST_DATE - clock.time() - 10)
        emulator._server.call(lambda: release(clock))
        said = [ask(http, emulator).json()["choices"][0]["message"]["content"] for _ in range(2)]
    assert said == ["9999-12-30T23:59:50+00:00", "9999-12-31T00:00:00+00:00"]
