"""A namespace in the hands of a test: faults that come and go, other scenarios, resets, time that is moved."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from rawhttp import Connection, eventually, request
from talk import KEYS, PATHS, Serving, question, single

from emulator import Emulator, EmulatorError, ScenarioError, UsageError
from emulator.client import NamespaceClient
from emulator.clock import VIRTUAL_START
from emulator.faults.error import Error
from emulator.faults.reset import ResetConnection
from emulator.scenario.models import Scenario

HELLO: dict[str, Any] = {
    "rules": [
        {"match": {"prompt": "next"}, "set_state": "moved", "reply": {"content": "Moved."}},
        {
            "match": {"prompt": "count"},
            "replies": [{"reply": {"content": str(number)}} for number in range(1, 6)],
        },
        {"reply": {"content": "Hello!"}},
    ]
}
_numbers = iter(range(10_000))


@pytest.fixture(scope="module")
def emulator(serving: Serving) -> Emulator:
    return serving(HELLO)


@pytest.fixture
def world(emulator: Emulator) -> NamespaceClient:
    """One that nobody else uses."""
    return emulator.namespace(f"world-{next(_numbers)}", HELLO)


Get = Callable[..., httpx.Response]


@pytest.fixture
def get(http: httpx.Client) -> Get:
    """`get(namespace, prompt)` returns Serevix's answer."""

    def ask(world: NamespaceClient, prompt: str = "Hi", **members: Any) -> httpx.Response:
        url = world.url("serevix") + PATHS["serevix"]
        return http.post(url, json=question("serevix", prompt, **members), headers=KEYS["serevix"])

    return ask


def said(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    content: str = response.json()["choices"][0]["message"]["content"]
    return content


# Faults


def test_a_fault_that_was_added_strikes_until_it_is_removed(world: NamespaceClient, get: Get) -> None:
    first = world.faults.add("error", status=503)
    assert [get(world).status_code for _ in range(3)] == [503] * 3
    assert world.faults.remove(first) is True
    assert world.faults.remove(first) is False
    assert world.faults.remove("live-999") is False
    assert get(world).status_code == 200
    assert [exchange.faults for exchange in world.journal] == [("error (live)",)] * 3 + [()]


@pytest.mark.parametrize(
    "fault",
    [
        "error:status=429,times=1",
        "429:times=1",
        "rate_limited:times=1",
        {"kind": "error", "status": 429, "times": 1},
        {"kind": "error", "name": "rate_limited", "times": 1},
        Error(status=429, times=1),
    ],
    ids=str,
)
def test_a_fault_may_be_said_in_many_ways(world: NamespaceClient, get: Get, fault: Any) -> None:
    world.faults.add(fault)
    assert [get(world).status_code for _ in range(2)] == [429, 200]


@pytest.mark.parametrize("fault", ["error:status=429", "429", "rate_limited", {"kind": "error", "status": 429}])
def test_parameters_may_stand_beside_any_of_them(world: NamespaceClient, get: Get, fault: Any) -> None:
    world.faults.add(fault, times=1, skip=1)
    assert [get(world).status_code for _ in range(3)] == [200, 429, 200]


def test_parameters_replace_those_of_a_fault_that_is_given(world: NamespaceClient, get: Get) -> None:
    fault = Error(status=429, times=3)
    world.faults.add(fault, times=1)
    assert [get(world).status_code for _ in range(2)] == [429, 200]
    assert fault.times == 3
    world.faults.next(ResetConnection(after_bytes=1), after_bytes=0)
    with pytest.raises(httpx.TransportError):
        get(world)


@pytest.mark.parametrize(
    ("fault", "parameters", "reported"),
    [
        ("rest", {}, "There is no fault 'rest'. Did you mean 'reset'?"),
        ("rest", {"times": 1}, "There is no fault 'rest'. Did you mean 'reset'?"),
        ("reset", {"after_token": 1}, "The fault 'reset': after_token: there is no such parameter. Did you mean"),
        ("reset", {"times": 0}, "The fault 'reset': times is 0"),
        ("reset:now", {}, "The fault is 'reset:now': write parameters after the kind"),
        ("reset:now", {"times": 1}, "The fault is 'reset:now': write parameters after the kind"),
        ({}, {}, "There is no fault"),
        ({}, {"times": 1}, "There is no fault"),
        (None, {"times": 1}, "A fault is a string such as 'reset:after_tokens=5' or a mapping with a kind, not None."),
        (Error(status=429), {"tmies": 1}, "The fault 'error': tmies: there is no such parameter. Did you mean 'times'"),
    ],
)
def test_a_fault_that_there_is_not_is_reported(
    world: NamespaceClient, get: Get, fault: Any, parameters: Any, reported: str
) -> None:
    for arm in (world.faults.add, world.faults.next):
        with pytest.raises(UsageError) as error:
            arm(fault, **parameters)
        assert str(error.value).startswith(reported)
    assert get(world).status_code == 200


def test_one_shot_faults_strike_one_request_each_in_their_order(world: NamespaceClient, get: Get) -> None:
    for status in (500, 503, 429):
        world.faults.next("error", status=status)
    assert [get(world).status_code for _ in range(4)] == [500, 503, 429, 200]


def test_a_one_shot_fault_goes_before_one_that_stays(world: NamespaceClient, get: Get) -> None:
    world.faults.add("error", status=500)
    world.faults.next("error", status=429)
    assert [get(world).status_code for _ in range(2)] == [429, 500]


def test_clearing_disarms_all_of_them(world: NamespaceClient, get: Get) -> None:
    for status in (500, 503):
        world.faults.add("error", status=status)
        world.faults.next("error", status=status)
    world.faults.clear()
    assert get(world).status_code == 200
    world.faults.clear()


def test_faults_have_ids_of_their_own(world: NamespaceClient) -> None:
    ids = [world.faults.add("error", status=500) for _ in range(10)]
    assert len(set(ids)) == 10
    assert [world.faults.remove(id) for id in ids] == [True] * 10


def test_the_same_fault_armed_again_counts_anew(world: NamespaceClient, get: Get) -> None:
    for _ in range(3):
        id = world.faults.add("error", status=500, times=1)
        assert [get(world).status_code for _ in range(2)] == [500, 200]
        world.faults.remove(id)


# Scenarios


def test_another_scenario_answers_from_now_on(world: NamespaceClient, get: Get, tmp_path: Path) -> None:
    assert said(get(world)) == "Hello!"
    rule = {"rules": [{"reply": {"content": "Bonjour!"}}]}
    file = tmp_path / "french.json"
    file.write_text(json.dumps({"version": 1, **rule}))
    for scenario in (rule, str(file), file, Scenario.model_validate({"version": 1, **rule})):
        world.load(HELLO)
        assert said(get(world)) == "Hello!"
        world.load(scenario)
        assert said(get(world)) == "Bonjour!"


def test_a_scenario_that_cannot_be_used_changes_nothing(world: NamespaceClient, get: Get, tmp_path: Path) -> None:
    assert said(get(world, "count")) == "1"
    file = tmp_path / "broken.yaml"
    file.write_text("version: 1\nrulez: []\n")
    broken: Any
    for broken in ({"rulez": []}, str(file), tmp_path / "missing.yaml", {"rules": [{"reply": {}, "error": "timeout"}]}):
        with pytest.raises(ScenarioError):
            world.load(broken)
    assert said(get(world, "count")) == "2"


def test_counters_begin_anew_and_the_rest_stays(world: NamespaceClient, get: Get) -> None:
    assert [said(get(world, "count")) for _ in range(2)] == ["1", "2"]
    get(world, "next")
    id = world.faults.add("error", status=500, times=3, skip=0)
    assert get(world).status_code == 500
    world.load(HELLO)
    assert world.state == "moved"
    assert len(world.journal) == 4
    assert [get(world).status_code for _ in range(3)] == [500, 500, 200]
    assert world.faults.remove(id)
    assert said(get(world, "count")) == "1"


def test_the_faults_of_a_scenario_count_from_its_loading(world: NamespaceClient, get: Get) -> None:
    faulty: dict[str, Any] = {
        "rules": [{"reply": {"content": "Hi"}, "faults": [{"kind": "error", "status": 500, "times": 1}]}]
    }
    for _ in range(3):
        world.load(faulty)
        assert [get(world).status_code for _ in range(2)] == [500, 200]
    everywhere = {"rules": HELLO["rules"], "faults": [{"kind": "error", "status": 503, "times": 1}]}
    for _ in range(3):
        world.load(everywhere)
        assert [get(world).status_code for _ in range(2)] == [503, 200]


def test_quotas_of_another_scenario_count_from_its_loading(world: NamespaceClient, get: Get) -> None:
    for requests in (1, 2, 1):
        world.load({**HELLO, "quotas": [{"requests": requests, "per": "day"}]})
        assert [get(world).status_code for _ in range(requests + 1)] == [200] * requests + [429]
    world.load({**HELLO, "quotas": [{"requests": 1, "per": "day"}], "seed": 3})
    assert get(world).status_code == 429  # the quota is the same
    world.reset()
    assert get(world).status_code == 200


def test_a_world_that_was_loaded_keeps_its_seed_only_if_it_was_given_one(emulator: Emulator, get: Get) -> None:
    def reported(world: NamespaceClient) -> str:
        world.load({"seed": 2, "rules": [], "unmatched": "generate"})
        return said(get(world, "Tell me something"))

    names = [f"seed-{next(_numbers)}" for _ in range(3)]
    unseeded, seeded, two = (
        emulator.namespace(name, HELLO, seed) for name, seed in zip(names, (None, 1, 2), strict=True)
    )
    assert reported(unseeded) == reported(two) != reported(seeded)


# A new beginning


def test_a_reset_begins_anew(world: NamespaceClient, get: Get) -> None:
    get(world, "next")
    assert [said(get(world, "count")) for _ in range(2)] == ["1", "2"]
    world.faults.add("error", status=500)
    world.faults.next("error", status=500)
    assert world.state == "moved"
    world.reset()
    assert world.state == "start"
    assert said(get(world, "count")) == "1"
    assert [exchange.number for exchange in world.journal] == [1, 2, 3, 4]


def test_a_reset_fills_balances_and_quotas_again(emulator: Emulator, get: Get) -> None:
    accounts = {**HELLO, "accounts": [{"key": "sk-demo", "balance": "0.0000001"}], "quotas": [{"requests": 2}]}
    world = emulator.namespace(f"accounts-{next(_numbers)}", accounts)
    for _ in range(2):
        assert [get(world).status_code for _ in range(2)] == [200, 403]
        world.reset()


def test_a_reset_keeps_the_scenario_that_was_loaded(world: NamespaceClient, get: Get) -> None:
    world.load({"rules": [{"reply": {"content": "Loaded."}}]})
    world.reset()
    assert said(get(world)) == "Loaded."


# Time


def test_a_real_clock_cannot_be_moved(emulator: Emulator, world: NamespaceClient) -> None:
    for each in (emulator, world):
        with pytest.raises(UsageError) as error:
            each.advance(1)
        assert str(error.value) == "This clock is real and can't be moved: set `clock: manual` in the scenario."


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan"), float("inf"), -float("inf"), 1e12])
def test_time_goes_on_only_and_not_for_ever(emulator: Emulator, get: Get, seconds: float) -> None:
    world = emulator.namespace(f"time-{next(_numbers)}", {**HELLO, "clock": "manual"})
    with pytest.raises(UsageError, match="Can't advance time by"):
        world.advance(seconds)
    assert get(world).json()["created"] == VIRTUAL_START


def test_time_ends_with_the_year_9999(emulator: Emulator, get: Get) -> None:
    world = emulator.namespace(f"time-{next(_numbers)}", {**HELLO, "clock": "manual"})
    century = 100 * 366 * 86400.0
    for _ in range(79):
        world.advance(century)
    with pytest.raises(UsageError, match="year 9999"):
        world.advance(century)
    assert get(world).status_code == 200
    world.advance(0)


def test_a_virtual_clock_can_be_moved_too(emulator: Emulator, get: Get) -> None:
    world = emulator.namespace(f"time-{next(_numbers)}", {**HELLO, "clock": "virtual"})
    world.advance(60)
    assert get(world).json()["created"] == VIRTUAL_START + 60


def test_another_scenario_may_want_another_clock(emulator: Emulator, world: NamespaceClient, get: Get) -> None:
    slow = {"rules": [{"reply": {"content": "one two three"}, "pace": {"ttft": 100, "tokens_per_second": 0.01}}]}
    real = get(world).json()["created"]
    world.load({**HELLO, "clock": "manual"})
    assert get(world).json()["created"] == VIRTUAL_START
    world.advance(60)
    world.load({**slow, "clock": "manual"})  # the same kind of clock: time goes on
    with Connection(emulator.port) as stream:
        body = json.dumps(question("serevix", stream=True)).encode()
        path = f"/@{world.name}/serevix{PATHS['serevix']}"
        stream.send(request(path, body, authorization="Bearer k", content_type="application/json"))
        stream.read_until(b"\r\n\r\n")
        world.advance(150)
        stream.read_until(b"one")
        world.load({**slow, "clock": "virtual"})
        assert get(world).json()["created"] == VIRTUAL_START
        assert get(world).json()["created"] == VIRTUAL_START + 300
        world.load(HELLO)
        assert real <= get(world).json()["created"] < real + 100
        with pytest.raises(UsageError, match="real"):
            world.advance(1000)
        stream.read_until(b"data: [DONE]")  # nobody can move the clock that the stream began with, so it ends by itself


# Waiting


def test_waiting_ends_when_every_answer_has(emulator: Emulator) -> None:
    world = emulator.namespace(
        f"waits-{next(_numbers)}",
        {"clock": "manual", "rules": [{"reply": {"content": "one two"}, "pace": {"tokens_per_second": 1}}]},
    )
    with Connection(emulator.port) as stream:
        body = json.dumps(question("serevix", stream=True)).encode()
        path = f"/@{world.name}/serevix{PATHS['serevix']}"
        stream.send(request(path, body, authorization="Bearer k", content_type="application/json"))
        stream.read_until(b"one")
        with pytest.raises(TimeoutError):
            world.wait_until_idle(0.05)
        waiting = threading.Thread(target=world.wait_until_idle)
        waiting.start()
        world.advance(10)
        waiting.join(10)
        assert not waiting.is_alive()
    world.wait_until_idle()
    playback = world.journal[-1].playback
    assert playback is not None
    assert playback.ended == "complete"


# Addresses


def test_urls_tell_what_there_is(emulator: Emulator, world: NamespaceClient) -> None:
    assert world.origin == f"{emulator.origin}/@{world.name}"
    with pytest.raises(UsageError, match="Did you mean 'serevix'"):
        world.url("serevx")
    alone = Emulator(HELLO, provider="serevix")
    assert alone.url("serevix") == alone.origin
    with pytest.raises(UsageError, match="serves only serevix"):
        alone.url("cloudsway")


def test_the_address_of_a_world_of_a_provider_alone_is_right(serving: Serving, get: Get) -> None:
    alone = serving(HELLO, provider="serevix")
    world = alone.namespace("apart")
    assert said(get(world, "count")) == "1"
    assert [len(each.journal) for each in (world, alone)] == [1, 0]


# Before the start and after the end

CHANGES: dict[str, Callable[[NamespaceClient], object]] = {
    "load": lambda world: world.load(HELLO),
    "advance": lambda world: world.advance(1),
    "add": lambda world: world.faults.add("reset"),
    "next": lambda world: world.faults.next("reset"),
    "wait": lambda world: world.wait_until_idle(),
}
LOOKS: dict[str, Callable[[NamespaceClient], object]] = {
    "journal": lambda world: world.journal,
    "state": lambda world: world.state,
    "reset": lambda world: world.reset(),
    "remove": lambda world: world.faults.remove("live-1"),
    "clear": lambda world: world.faults.clear(),
}


@pytest.mark.parametrize("use", [*CHANGES, *LOOKS])
def test_before_its_start_nothing_can_be_done(use: str) -> None:
    emulator = Emulator({**HELLO, "clock": "manual"})
    for world in (emulator, emulator.namespace("other")):
        with pytest.raises(EmulatorError, match=r"was not started|is not running"):
            (CHANGES | LOOKS)[use](world)
    with pytest.raises(EmulatorError, match="was not started"):
        emulator.namespace("other", HELLO)


@pytest.fixture(scope="module")
def stopped() -> tuple[Emulator, NamespaceClient]:
    with Emulator({**HELLO, "clock": "manual"}) as emulator:
        world = emulator.namespace("other")
        for each in (emulator, world):
            url = each.url("serevix") + PATHS["serevix"]
            single.post(url, json=question("serevix", "next"), headers=KEYS["serevix"])
    return emulator, world


@pytest.mark.parametrize("use", CHANGES)
def test_after_its_end_nothing_can_be_changed(stopped: tuple[Emulator, NamespaceClient], use: str) -> None:
    for world in stopped:
        with pytest.raises(EmulatorError, match="is not running"):
            CHANGES[use](world)
    with pytest.raises(EmulatorError, match="is not running"):
        stopped[0].namespace("third", HELLO)


def test_after_its_end_it_can_be_looked_at_and_cleaned_up(stopped: tuple[Emulator, NamespaceClient]) -> None:
    for world in stopped:
        assert [exchange.rule for exchange in world.journal] == ["rules[0]"]
        assert world.state in ("moved", "start")
        assert world.faults.remove("live-1") is False
        world.faults.clear()
        world.reset()
        assert world.state == "start"
        assert len(world.journal) == 1


def test_a_new_start_is_a_new_world(get: Get) -> None:
    emulator = Emulator(HELLO)
    for _ in range(2):
        with emulator:
            assert emulator.state == "start"
            assert said(get(emulator, "count")) == "1"
            get(emulator, "next")
            assert emulator.state == "moved"
            assert len(emulator.journal) == 2


# From many threads


def test_it_may_be_used_from_many_threads(emulator: Emulator, get: Get) -> None:
    world = emulator.namespace(f"threads-{next(_numbers)}", {**HELLO, "clock": "manual"})

    def work(number: int) -> int:
        for turn in range(15):
            id = world.faults.add("error", status=500, skip=1000)
            assert get(world).status_code in (200, 429)
            world.advance(0.5)
            if turn == 7:
                world.faults.next("error", status=429)
            assert world.state == "start"
            assert len(world.journal) > 0
            assert world.faults.remove(id)
        return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == list(range(8))
    eventually(lambda: all(exchange.playback is not None for exchange in world.journal))
    statuses = [exchange.status for exchange in world.journal]
    assert (len(statuses), statuses.count(429)) == (120, 8)
    assert get(world).json()["created"] == VIRTUAL_START + 60
