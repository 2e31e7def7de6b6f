"""Each namespace is isolated: named in three ways, created on first use, bounded, dropped when unused."""

import asyncio
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, cast

import httpx
import pytest
from talk import EVERY_PROVIDER, KEYS, PATHS, Serving, question

from emulator import Emulator, UsageError
from emulator.client import NamespaceClient
from emulator.clock import Alarm, Callback
from emulator.state import namespaces as namespace_module
from emulator.state.compiled import compile_scenario
from emulator.state.memory_store import MemoryStore
from emulator.state.namespace import safe_name
from emulator.state.namespaces import IDLE, MAX_NAMESPACES, Namespaces

CLIENT: httpx.Client
NUMBERS = itertools.count()
SCENARIO: dict[str, Any] = {
    "seed": 5,
    "unmatched": "generate",
    "rules": [
        {"match": {"prompt": "go on", "state": "start"}, "set_state": "middle", "reply": {"content": "Begun."}},
        {"match": {"prompt": "go on", "state": "middle"}, "set_state": "end", "reply": {"content": "Halfway."}},
        {"match": {"prompt": "go on", "state": "end"}, "reply": {"content": "Over."}},
        {
            "match": {"prompt": "count"},
            "replies": [{"reply": {"content": str(number)}} for number in range(1, 6)],
            "then": "next_rule",
        },
        {"match": {"prompt": "attempt"}, "reply": {"content": "{{ attempt }}"}},
        {"match": {"prompt": "plain"}, "reply": {"content": "Plain."}},
    ],
}


@pytest.fixture(scope="module", autouse=True)
def open_client() -> Iterator[None]:
    """A new one each time: in random order, another file's tests may come in between."""
    global CLIENT
    with httpx.Client(trust_env=False, verify=False, timeout=30) as CLIENT:
        yield


@pytest.fixture(scope="module")
def emulator(serving: Serving) -> Emulator:
    return serving(SCENARIO)


@pytest.fixture
def worlds(emulator: Emulator) -> tuple[NamespaceClient, NamespaceClient]:
    """Two namespaces of this test."""
    return emulator.namespace(f"one-{next(NUMBERS)}"), emulator.namespace(f"two-{next(NUMBERS)}")


def ask(
    world: NamespaceClient,
    prompt: str,
    provider: str = "serevix",
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> httpx.Response:
    given = KEYS[provider] if headers is None else headers
    return CLIENT.post(world.url(provider) + PATHS[provider], json=question(provider, prompt, **members), headers=given)


def said(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    content: str = response.json()["choices"][0]["message"]["content"]
    return content


# How a request names its world


def test_the_path_the_key_and_a_header_name_a_world(emulator: Emulator) -> None:
    world = emulator.namespace("named.In_3-ways")
    assert world.url("serevix") == f"{emulator.origin}/@named.In_3-ways/serevix"
    assert said(ask(world, "count")) == "1"
    assert said(ask(emulator, "count", headers={"authorization": "Bearer sk-emu-named.In_3-ways"})) == "2"
    by_header = {**KEYS["serevix"], "X-Emulator-Namespace": "named.In_3-ways"}
    assert said(ask(emulator, "count", headers=by_header)) == "3"
    assert [exchange.call.path for exchange in world.journal] == [PATHS["serevix"]] * 3


@pytest.mark.parametrize("provider", EVERY_PROVIDER)
def test_every_provider_shows_its_key_in_its_own_way(emulator: Emulator, provider: str) -> None:
    name = f"key-of-{provider}"
    ((header, value),) = KEYS[provider].items()
    scheme = "Bearer " if value.startswith("Bearer ") else ""
    assert ask(emulator, "plain", provider, {header: f"{scheme}sk-emu-{name}"}).status_code == 200
    (exchange,) = emulator.namespace(name).journal
    assert exchange.call.provider == provider


def test_the_path_goes_before_the_header_and_the_header_before_the_key(emulator: Emulator) -> None:
    names = [f"{place}-{next(NUMBERS)}" for place in ("path", "header", "key")]
    by_path, by_header, by_key = map(emulator.namespace, names)
    headers = {"authorization": f"Bearer sk-emu-{by_key.name}", "x-emulator-namespace": by_header.name}
    ask(by_path, "plain", headers=headers)
    ask(emulator, "plain", headers=headers)
    assert [len(world.journal) for world in (by_path, by_header, by_key)] == [1, 1, 0]


def test_the_default_world_has_a_name_too(emulator: Emulator) -> None:
    before = len(emulator.journal)
    ask(emulator.namespace("default"), "plain")
    assert len(emulator.journal) == before + 1
    with pytest.raises(UsageError, match="'default' is the emulator itself"):
        emulator.namespace("default", {"rules": []})


@pytest.mark.parametrize("name", ["", "a b", "ü", "a/b", "x" * 129, "test_x[1-\ud800 ?#]", "tests/a.py::test[(y)]"])
def test_any_text_names_a_world_that_every_way_leads_to(emulator: Emulator, name: str) -> None:
    world = emulator.namespace(name)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", world.name)
    assert emulator.namespace(world.name).name == emulator.namespace(name).name == world.name
    assert world.name not in {emulator.namespace(other).name for other in (f"{name} ", f" {name}", "-", "b a")}
    ask(world, "plain")
    ask(emulator, "plain", headers={"authorization": f"Bearer sk-emu-{world.name}"})
    ask(emulator, "plain", headers={**KEYS["serevix"], "x-emulator-namespace": world.name})
    assert [exchange.status for exchange in emulator.namespace(name).journal] == [200] * 3


def test_the_safe_form_of_a_name_stays_what_it_is() -> None:
    assert [safe_name(name) for name in ("plain-1.x_Y", "test_x[a b]", "")] == [
        "plain-1.x_Y",
        "test_x-a-b-8b3dfa19c86b57fa",
        "namespace-e4a6a0577479b2b4",
    ]


def test_a_url_with_a_name_that_cannot_be_is_reported(emulator: Emulator, http: httpx.Client) -> None:
    response = http.post(f"{emulator.origin}/@a:b/serevix{PATHS['serevix']}", json=question("serevix"))
    assert (response.status_code, response.headers["x-emulator-error"]) == (400, "namespace")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 129])
@pytest.mark.parametrize("header", ["x-emulator-namespace", "authorization"])
def test_a_request_that_names_no_possible_world_goes_to_none(emulator: Emulator, header: str, name: str) -> None:
    key = KEYS["serevix"]["Authorization"]
    value = f"Bearer sk-emu-{name}" if header == "authorization" else name
    response = ask(emulator, "count", headers={"authorization": key, header: value})
    assert (response.status_code, response.headers["x-emulator-error"]) == (400, "namespace")
    assert "is not the name of a namespace: 1 to 128 letters" in response.json()["error"]["message"]


def test_a_name_of_the_greatest_length_is_one(emulator: Emulator) -> None:
    world = emulator.namespace("x" * 128)
    assert said(ask(world, "count")) == "1"


# What each has for itself


def test_counters_and_states_are_each_worlds_own(worlds: tuple[NamespaceClient, NamespaceClient]) -> None:
    one, two = worlds
    assert [said(ask(one, "go on")) for _ in range(3)] == ["Begun.", "Halfway.", "Over."]
    assert (one.state, two.state) == ("end", "start")
    assert said(ask(two, "go on")) == "Begun."
    assert [said(ask(one, "count")) for _ in range(3)] == ["1", "2", "3"]
    assert said(ask(two, "count")) == "1"
    assert [said(ask(one, "attempt")) for _ in range(3)] == ["1", "2", "3"]
    assert said(ask(two, "attempt")) == "1"
    one.reset()
    assert (one.state, two.state) == ("start", "middle")
    assert [said(ask(world, "count")) for world in worlds] == ["1", "2"]


def test_journals_are_each_worlds_own(worlds: tuple[NamespaceClient, NamespaceClient]) -> None:
    one, two = worlds
    for _ in range(3):
        ask(one, "plain")
    ask(two, "count")
    assert [(exchange.number, exchange.rule) for exchange in one.journal] == [
        (number, "rules[5]") for number in (1, 2, 3)
    ]
    assert [(exchange.number, exchange.rule) for exchange in two.journal] == [(1, "rules[3]")]


def test_faults_are_each_worlds_own(worlds: tuple[NamespaceClient, NamespaceClient], emulator: Emulator) -> None:
    one, two = worlds
    id = one.faults.add("error", status=503)
    two.faults.next("error", status=429)
    assert [ask(world, "plain").status_code for world in (one, two, emulator)] == [503, 429, 200]
    assert [ask(world, "plain").status_code for world in (one, two, emulator)] == [503, 200, 200]
    assert not two.faults.remove(id)
    assert ask(one, "plain").status_code == 503
    two.faults.clear()
    two.reset()
    assert ask(one, "plain").status_code == 503
    assert one.faults.remove(id)
    assert ask(one, "plain").status_code == 200


def test_scenarios_are_each_worlds_own(worlds: tuple[NamespaceClient, NamespaceClient]) -> None:
    one, two = worlds
    one.load({"rules": [{"reply": {"content": "Another script."}}]})
    assert [said(ask(world, "plain")) for world in worlds] == ["Another script.", "Plain."]
    two.load({"unmatched": "error", "rules": [], "providers": {"serevix": {"choice_index": "include"}}})
    assert ask(two, "plain").status_code == 404
    assert "index" not in ask(one, "plain").json()["choices"][0]


def test_seeds_are_each_worlds_own(emulator: Emulator) -> None:
    worlds = [emulator.namespace(f"seeded-{seed}", seed=seed) for seed in (5, 6)]
    texts = [said(ask(world, "Tell me something")) for world in (*worlds, emulator)]
    assert texts[0] == texts[2] != texts[1]


def test_clocks_are_each_worlds_own(emulator: Emulator) -> None:
    one = emulator.namespace("clock-one", {**SCENARIO, "clock": "manual"})
    two = emulator.namespace("clock-two", {**SCENARIO, "clock": "manual"})
    one.advance(1000)
    created = [ask(world, "plain").json()["created"] for world in (one, two, emulator)]
    assert created[0] == created[1] + 1000
    assert abs(created[2] - created[0]) > 100  # the emulator's own clock is real
    with pytest.raises(UsageError, match="real"):
        emulator.advance(1)


def test_balances_and_quotas_are_each_worlds_own(emulator: Emulator) -> None:
    accounts = {
        **SCENARIO,
        "accounts": [{"key": "sk-poor", "balance": "0.000001"}],
        "quotas": [{"requests": 3, "per": "hour", "provider": "cloudsway"}],
    }
    worlds = [emulator.namespace(f"accounts-{number}", accounts) for number in (1, 2)]
    headers = {"authorization": "Bearer sk-poor"}

    def statuses(world: NamespaceClient, provider: str, number: int) -> list[int]:
        return [ask(world, "plain", provider, headers).status_code for _ in range(number)]

    assert statuses(worlds[0], "serevix", 2) == [200, 403]
    assert statuses(worlds[1], "cloudsway", 1) == [200]
    worlds[0].reset()
    assert statuses(worlds[0], "serevix", 2) == [200, 403]


def test_prompt_caches_are_each_worlds_own(worlds: tuple[NamespaceClient, NamespaceClient]) -> None:
    def cached(world: NamespaceClient) -> int:
        usage = ask(world, "The sea is wide. " * 50, "cloudsway").json()["usage"]
        hit: int = usage["prompt_cache_hit_tokens"]
        return hit

    one, two = worlds
    assert (cached(one), cached(one) > 0, cached(two)) == (0, True, 0)


def test_a_new_world_begins_with_the_default_ones_scenario_and_an_old_one_keeps_its_own() -> None:
    with Emulator(SCENARIO) as emulator:
        old = emulator.namespace("old")
        assert said(ask(old, "plain")) == "Plain."
        emulator.load({"rules": [{"reply": {"content": "New."}}]})
        assert [said(ask(world, "plain")) for world in (emulator, old)] == ["New.", "Plain."]
        assert said(ask(emulator.namespace("new"), "plain")) == "New."
        assert emulator.namespace("new").state == "start"


def test_given_a_scenario_or_a_seed_a_world_starts_anew(emulator: Emulator) -> None:
    world = emulator.namespace("anew")
    assert [said(ask(world, "count")) for _ in range(2)] == ["1", "2"]
    assert emulator.namespace("anew").journal == world.journal
    again = emulator.namespace("anew", seed=9)
    assert again.journal == world.journal == ()
    assert said(ask(world, "count")) == "1"


# How many there are, and for how long


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.moment = 100.0

    def time(self) -> float:
        return 1e9 + self.moment

    def now(self) -> float:
        return self.moment

    def call_at(self, when: float, callback: Callback, *, is_urgent: bool = False) -> Alarm:
        raise AssertionError("nobody waits here")

    def renew(self, alarm: Alarm, when: float) -> None:
        raise AssertionError("nobody waits here")

    def drop(self, alarm: Alarm) -> None:
        raise AssertionError("nobody waits here")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> tuple[Namespaces, Hands]:
    """Space for four namespaces besides the default one."""
    monkeypatch.setattr(namespace_module, "MAX_NAMESPACES", 4)
    clock = Hands()
    return Namespaces(compile_scenario({"rules": []}), clock), clock


def names(namespaces: Namespaces) -> list[str]:
    return [namespace.name for namespace in namespaces]


def test_worlds_are_made_on_first_use() -> None:
    namespaces = Namespaces(compile_scenario({"rules": []}), Hands())
    assert names(namespaces) == ["default"]
    made = namespaces.get("one")
    assert namespaces.get("one") is made
    assert namespaces.get(None) is namespaces.get("default") is namespaces.default
    assert (names(namespaces), len(namespaces)) == (["default", "one"], 2)


def test_many_fit() -> None:
    assert 100 <= MAX_NAMESPACES <= 10_000
    assert 600 <= IDLE <= 86400


def test_the_one_longest_unused_is_dropped(few: tuple[Namespaces, Hands]) -> None:
    namespaces, _ = few
    for name in ("a", "b", "c", "d"):
        namespaces.get(name)
    kept = namespaces.get("a")
    namespaces.get("e")
    assert names(namespaces) == ["default", "c", "d", "a", "e"]
    assert namespaces.get("a") is kept
    for number in range(100):
        namespaces.get(f"many-{number}")
        assert len(namespaces) <= 5
    assert namespaces.get("default") is namespaces.default


def test_worlds_that_are_given_a_scenario_are_bounded_too(
    few: tuple[Namespaces, Hands], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespace_module, "MAX_GIVEN", 4)
    namespaces, _ = few
    script = compile_scenario({"rules": []})
    for number in range(19):
        given = namespaces.give(f"given-{number}", script)
        assert len(namespaces) <= 5
        assert namespaces.get(given.name) is given
    assert namespaces.give("given-19", script) is not namespaces.give("given-19", script)
    assert names(namespaces) == ["default", "given-16", "given-17", "given-18", "given-19"]


def test_the_names_of_those_that_were_lost_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace_module, "MAX_GIVEN", 1)
    monkeypatch.setattr(namespace_module, "MAX_LOST", 1)
    script = compile_scenario({"rules": []})
    namespaces = Namespaces(script, Hands())
    for name in ("a", "b", "c"):
        namespaces.give(name, script)
    assert [bool(namespaces.complaint(name)) for name in ("a", "b", "c")] == [False, True, False]


def test_the_default_world_is_neither_removed_nor_given_a_new_clock_of_the_same_kind() -> None:
    namespaces = Namespaces(compile_scenario({"rules": []}), Hands())
    with pytest.raises(UsageError, match="The namespace 'default' can't be removed"):
        namespaces.remove("default")
    clock = namespaces.default.clock
    namespaces.set_clock(namespaces.default, "real")
    assert namespaces.default.clock is clock


def test_a_new_version_names_the_worlds_whose_store_has_to_begin_anew() -> None:
    namespaces = Namespaces(compile_scenario({"rules": []}), Hands())
    namespaces.default.store = cast(Any, MemoryStore())
    limited = {"rules": [], "quotas": [{"requests": 1}]}
    for scenario, changes in ((limited, True), (limited, False)):
        assert namespaces.reload(compile_scenario(scenario)) == [(namespaces.default, changes)]


def test_a_world_that_nobody_uses_is_forgotten_after_a_while() -> None:
    clock = Hands()
    namespaces = Namespaces(compile_scenario({"rules": []}), clock)
    old, used = namespaces.get("old"), namespaces.get("used")
    clock.moment += IDLE - 1
    assert namespaces.get("used") is used
    assert namespaces.get("new").name == "new"
    assert names(namespaces) == ["default", "old", "used", "new"]
    clock.moment += 2
    namespaces.get("newer")
    assert names(namespaces) == ["default", "used", "new", "newer"]
    assert namespaces.get("old") is not old
    clock.moment += 10 * IDLE
    namespaces.give("given", compile_scenario({"rules": []}))
    namespaces.get("only")
    assert names(namespaces) == ["default", "only", "given"]
    clock.moment += 10 * IDLE
    namespaces.get("newest")
    assert names(namespaces) == ["default", "newest", "given"]


def test_the_default_world_is_never_forgotten() -> None:
    clock = Hands()
    namespaces = Namespaces(compile_scenario({"rules": []}), clock)
    default = namespaces.default
    clock.moment += 100 * IDLE
    namespaces.get("new")
    assert namespaces.get(None) is default


def test_a_forgotten_world_begins_anew_on_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace_module, "MAX_NAMESPACES", 3)
    with Emulator(SCENARIO) as emulator:
        assert said(ask(emulator.namespace("first"), "count")) == "1"
        for number in range(4):
            assert said(ask(emulator.namespace(f"other-{number}"), "count")) == "1"
        assert said(ask(emulator.namespace("first"), "count")) == "1"
        assert said(ask(emulator.namespace("other-3"), "count")) == "2"


def test_what_a_world_was_given_outlives_a_thousand_others() -> None:
    with Emulator(SCENARIO) as emulator:
        script = emulator.namespace("script", {"rules": [{"reply": {"content": "Mine."}}]})
        loaded, faulty = emulator.namespace("loaded"), emulator.namespace("faulty")
        loaded.load({"rules": [{"reply": {"content": "Loaded."}}]})
        faulty.faults.add("429")
        app = emulator._server.app
        assert app is not None
        for number in range(MAX_NAMESPACES + 1):
            emulator._server.call(partial(app.namespaces.get, f"other-{number}"))
        assert [said(ask(script, "plain")), said(ask(loaded, "plain"))] == ["Mine.", "Loaded."]
        assert ask(faulty, "plain").status_code == 429


def test_a_world_that_was_given_something_is_not_lost_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace_module, "MAX_GIVEN", 3)
    mine = {"rules": [{"reply": {"content": "Mine."}}]}
    reported = (
        "The namespace 'first' was dropped: 3 others have been configured since its last use. "
        "Configure it again, or use fewer names."
    )
    with Emulator(SCENARIO) as emulator:
        first = emulator.namespace("first", mine)
        assert [said(ask(first, "plain")) for _ in range(3)] == ["Mine."] * 3  # its head is known by now
        for number in range(3):
            emulator.namespace(f"other-{number}", mine)
        refused = [ask(first, "plain") for _ in range(2)]
        for use in (lambda: first.journal, lambda: first.load(mine), lambda: first.faults.add("429"), first.reset):
            with pytest.raises(UsageError, match=re.escape(reported)):
                use()
        again = emulator.namespace("first", mine)
        assert said(ask(again, "plain")) == "Mine."
    assert [(each.status_code, each.headers["x-emulator-error"]) for each in refused] == [(400, "namespace")] * 2
    assert [each.json()["error"]["message"].partition(" (request id")[0] for each in refused] == [reported] * 2


# Many at once

WORLDS = 16
CONNECTIONS = 16


def script_of(world: int, count: int) -> dict[str, Any]:
    """A scenario whose answers identify its namespace."""
    turns = [{"reply": {"content": f"world {world} turn {turn}"}} for turn in range(count // 4)]
    return {
        "seed": world,
        "clock": "manual",
        "rules": [
            {"match": {"prompt": {"contains": "turn"}}, "replies": turns},
            {
                "match": {"prompt": {"contains": "echo"}},
                "reply": {"content": f"world {world}: {{{{ request.prompt }}}}"},
            },
            {
                "match": {"prompt": {"contains": "tool"}},
                "reply": {"tool_calls": [{"name": f"world_{world}", "arguments": {"said": "{{ request.prompt }}"}}]},
            },
        ],
        "unmatched": "generate",
    }


async def one_request(client: httpx.AsyncClient, emulator: Emulator, world: int, number: int) -> tuple[int, str, str]:
    """Its kind, and what came back: kinds, providers, streams and the three ways to name a world take turns."""
    kind = ("turn", "echo", "tool", "generated")[number % 4]
    provider = ("serevix", "cloudsway", "deepseek")[number % 3]
    name, streams = f"crowd-{world}", number % 5 == 0
    headers = dict(KEYS[provider])
    origin = emulator.origin
    match number % 7 % 3:
        case 0:
            origin += f"/@{name}"
        case 1:
            headers["authorization"] = f"Bearer sk-emu-{name}"
        case _:
            headers["x-emulator-namespace"] = name
    prompt = f"{kind} {number} for {world}"
    body = question(provider, prompt, stream=streams, thinking={"type": "disabled"})
    response = await client.post(f"{origin}/{provider}{PATHS[provider]}", json=body, headers=headers)
    assert response.status_code == 200, response.text
    if not streams:
        (choice,) = response.json()["choices"]
        message = choice["message"]
        return (
            number,
            kind,
            message["content"]
            + "".join(
                call["function"]["name"] + call["function"]["arguments"] for call in message.get("tool_calls", ())
            ),
        )
    reported = ""
    for line in response.text.split("\n\n"):
        if line.startswith("data: {"):
            for choice in json.loads(line.removeprefix("data: "))["choices"]:
                reported += choice["delta"].get("content") or ""
                for call in choice["delta"].get("tool_calls", ()):
                    reported += call["function"].get("name", "") + call["function"]["arguments"]
    return number, kind, reported


@pytest.mark.parametrize("count", [48, pytest.param(200, marks=pytest.mark.soak)])
def test_sixteen_namespaces_with_many_requests_at_once_never_cross(count: int) -> None:
    async def main(emulator: Emulator) -> list[list[tuple[int, str, str]]]:
        limits = httpx.Limits(max_connections=CONNECTIONS)
        free = asyncio.Semaphore(CONNECTIONS)  # what waits in httpx's own queue costs it more the longer that is

        async def one(world: int, number: int) -> tuple[int, str, str]:
            async with free:
                return await one_request(client, emulator, world, number)

        async with httpx.AsyncClient(trust_env=False, verify=False, limits=limits, timeout=60) as client:
            pairs = [(world, number) for number in range(count) for world in range(WORLDS)]
            answers = await asyncio.gather(*itertools.starmap(one, pairs))
        return [answers[world::WORLDS] for world in range(WORLDS)]

    with Emulator({"unmatched": "error", "rules": []}) as emulator:
        for world in range(WORLDS):
            emulator.namespace(f"crowd-{world}", script_of(world, count))
        crowds = asyncio.run(main(emulator))
        emulator.wait_until_idle()
        assert emulator.journal == ()
        for world, answers in enumerate(crowds):
            turns = Counter(text for _, kind, text in answers if kind == "turn")
            assert turns == Counter(f"world {world} turn {turn}" for turn in range(count // 4))
            for number, kind, text in answers:
                prompt = f"{kind} {number} for {world}"
                if kind == "echo":
                    assert text == f"world {world}: {prompt}"
                elif kind == "tool":
                    assert text == f'world_{world}{{"said": "{prompt}"}}'
                elif kind == "generated":
                    assert prompt in text
            journal = emulator.namespace(f"crowd-{world}").journal
            assert [exchange.number for exchange in journal] == list(range(1, count + 1))
            assert all(
                json.loads(exchange.call.body)["messages"][0]["content"].endswith(f"for {world}")
                for exchange in journal
            )
            assert {exchange.playback.ended for exchange in journal if exchange.playback is not None} == {"complete"}
            assert all(exchange.playback is not None for exchange in journal)
