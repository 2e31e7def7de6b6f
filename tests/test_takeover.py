"""A server that replaces another one takes over all that the other was given: and all of it again, if it changes."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from talk import single

from emulator import Emulator
from emulator.control import takeover
from emulator.state import totals as counting
from emulator.state.memory_store import MemoryStore
from emulator.state.store import LEASE_SECONDS
from emulator.state.totals import OTHER, Totals

SCENARIO: dict[str, Any] = {"rules": [{"reply": {"content": "Hello!"}}]}
OTHER_SCENARIO: dict[str, Any] = {"rules": [{"reply": {"content": "Bonjour!"}}]}


class Pair:
    """A server that was given something, and one that takes it over."""

    def __init__(self, one: Emulator, two: Emulator) -> None:
        self.one, self.two = one, two

    def give(self, method: str, path: str, body: Any = None) -> None:
        response = single.request(method, f"{self.one.origin}/__emulator/{path}", json=body)
        assert response.status_code < 300, response.text

    def adopts(self) -> list[Any]:
        """What each of them was given, after the second one has adopted it."""
        one, two = self._taken(self.one), self._server(self.two)
        two.call(lambda: takeover.adopt(two.app, one))
        return [takeover._without_time(each) for each in (one, self._taken(self.two))]

    def _taken(self, emulator: Emulator) -> Any:
        server = self._server(emulator)
        return server.call(lambda: takeover.taken(server.app))

    def _server(self, emulator: Emulator) -> Any:
        running: Any = emulator
        return running._server


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Emulator(SCENARIO) as one, Emulator(SCENARIO) as two:
        yield Pair(one, two)


def test_everything_that_was_given_is_taken_over(pair: Pair) -> None:
    pair.give("PUT", "accounts/serevix/k", {"balance": "1.50"})
    pair.give("PUT", "accounts/serevix/l", {"balance": None})
    pair.give("PUT", "clock", {"mode": "manual"})
    pair.give("POST", "clock/advance", {"seconds": 60})
    pair.give("POST", "rules", SCENARIO["rules"][0])
    pair.give("POST", "faults", {"fault": "rate_limited", "times": 1})
    pair.give("PUT", "speed", {"speed": 3})
    pair.give("PUT", "namespaces/one", {"scenario": OTHER_SCENARIO, "seed": 7})
    one, two = pair.adopts()
    assert two == one
    assert list(two["namespaces"]) == ["default", "one"]
    assert two["namespaces"]["default"]["balances"] == [["serevix", "k", "1.50"], ["serevix", "l", None]]


def test_what_changes_or_goes_later_is_taken_over_too(pair: Pair) -> None:
    pair.give("PUT", "namespaces/one", {"scenario": OTHER_SCENARIO, "seed": 7})
    pair.give("PUT", "namespaces/two", {})
    pair.give("PUT", "scenario", OTHER_SCENARIO)
    pair.give("POST", "faults", {"fault": "rate_limited"})
    one, two = pair.adopts()
    assert two == one
    pair.give("DELETE", "namespaces/two")
    pair.give("DELETE", "faults")
    pair.give("PUT", "scenario?namespace=one", SCENARIO)
    pair.give("PUT", "clock?namespace=one", {"mode": "virtual"})
    one, two = pair.adopts()
    assert two == one
    assert list(two["namespaces"]) == ["default", "one"]


def test_a_server_that_knows_all_of_it_changes_nothing(pair: Pair) -> None:
    pair.give("POST", "rules", SCENARIO["rules"][0])
    pair.give("PUT", "namespaces/seeded", {"seed": 7})
    pair.adopts()
    namespaces = pair._server(pair.two).app.namespaces
    before, rules = namespaces.default.added, namespaces.given["seeded"].compiled.rules
    pair.adopts()
    assert namespaces.default.added is before or list(before)
    pair.give("POST", "faults?namespace=seeded", {"fault": "rate_limited"})
    one, two = pair.adopts()
    assert two == one
    assert namespaces.given["seeded"].compiled.rules is rules


# What a process held


def holding(lease: str, now: float = 0.0) -> dict[str, Any]:
    quota = {"key": "q", "end": 1e12, "requests": -1, "tokens": -1, "concurrency": 1}
    return {
        "now": now, "identity": "", "first": 0, "last": 0, "rules": [], "account": None, "quotas": [quota],
        "lease": lease, "rate": None, "faults": [], "prefixes": None,
    }  # fmt: skip


def test_a_lease_that_nobody_has_renewed_ends() -> None:
    store = MemoryStore()
    first, second, third = (cast(Any, holding(f"me:{number}")) for number in (1, 2, 3))
    moments = ((first, 0.0), (second, LEASE_SECONDS - 1), (third, LEASE_SECONDS))
    assert [store.decide("n", plan, now)["refused"] for plan, now in moments] == ["", "concurrency", ""]


def test_answers_of_a_process_that_is_gone_are_no_longer_open() -> None:
    store = MemoryStore()

    def refused(lease: str) -> str:
        plan: Any = holding(lease)
        return store.decide("n", plan)["refused"]

    assert [refused("me:1"), refused("you:1")] == ["", "concurrency"]
    store.lost("you")
    assert refused("you:2") == "concurrency"
    store.lost("me")
    assert refused("you:3") == ""


def test_there_are_at_most_so_many_label_combinations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MAX_SERIES", 2)
    totals = Totals()
    with Emulator(SCENARIO) as emulator:
        for name in ("a", "b", "c", "d"):
            url = f"{emulator.origin}/serevix/v1/chat/completions"
            body = {"model": name, "messages": [{"role": "user", "content": "Hi"}]}
            single.post(url, json=body, headers={"authorization": "Bearer k"})
        single.get(f"{emulator.origin}/serevix/v1/models")
        single.get(f"{emulator.origin}/nowhere")
        for exchange in emulator.journal:
            totals.note(exchange)
    assert sum(totals.requests.values()) == 6
    assert [labels for labels in totals.requests if OTHER in labels] == [(OTHER,) * 5]
    assert [labels for labels in totals.tokens if OTHER in labels] == [(OTHER, OTHER)]
