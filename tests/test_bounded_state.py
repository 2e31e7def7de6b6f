"""What a server remembers of its clients is bounded: the oldest makes space, or what is new is refused."""

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from talk import KEYS, question, single
from test_journal import exchange

from emulator import Emulator, UsageError
from emulator.dialects.base import CachePoint
from emulator.providers.base import Limits
from emulator.scenario.models import Account, RuleModel
from emulator.state import namespace as namespaces
from emulator.state import totals
from emulator.state.compiled import compile_scenario
from emulator.state.journal import SLACK, Journal
from emulator.state.memory_store import MemoryStore
from emulator.state.prefixes import PromptCache
from emulator.state.prompt_cache import PrefixCache
from emulator.state.quotas import Quotas
from emulator.state.rate_limits import RateLimits, Used
from emulator.state.redis_commands import Commands
from emulator.state.redis_connection import store_address

HELLO: dict[str, Any] = {"rules": [{"reply": {"content": "Hello!"}}]}


def made() -> namespaces.Namespace:
    with Emulator(HELLO) as emulator:
        app = emulator._server.app
        assert app is not None
        return namespaces.Namespace("one", compile_scenario(HELLO), app.namespaces.default.clock)


def test_attempts_of_the_oldest_request_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "MAX_ATTEMPTS", 2)
    one = made()
    assert [one.attempt(each) for each in (b"a", b"b", b"a", b"c", b"a", b"b")] == [1, 1, 2, 1, 3, 1]


def test_more_rules_than_there_may_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "MAX_ADDED", 1)
    one, rule = made(), RuleModel.model_validate({"reply": {"content": "x"}})
    assert one.add_rule(rule).id == "added-1"
    with pytest.raises(UsageError, match=r"^1 rules have been added already\. Remove some, or use a scenario\.$"):
        one.add_rule(rule)


def test_a_clock_that_is_real_is_not_moved() -> None:
    with pytest.raises(UsageError, match="This clock is real and can't be moved"):
        made().advance(1)


def test_counters_of_the_namespace_that_is_longest_unused_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.state.memory_store.MAX_SPACES", 2)
    store = MemoryStore()
    counted = [store.count(name, ("id", "u:a", "")).attempt for name in ("a", "b", "a", "c", "a", "b")]
    assert counted == [1, 1, 2, 1, 3, 1]


def test_accounts_with_a_balance_of_their_own_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.state.quotas.MAX_GIVEN", 1)
    account = Account(key="a", provider="openai", balance=Decimal(5))
    quotas = Quotas(accounts=[account])
    assert list(quotas.rows()) == [("openai", "a", Decimal(5))]
    for balance in (Decimal(1), Decimal(2)):
        quotas.give("openai", "a", balance)
        assert list(quotas.rows()) == [("openai", "a", balance)]
    with pytest.raises(UsageError, match="1 accounts have a balance already"):
        quotas.give("openai", "b", None)


def test_prompts_beyond_the_most_that_are_cached_are_new_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.state.prefixes.MAX_PREFIXES", 2)
    cache = PromptCache()
    assert [cache.hit("k", [(text, 3)]) for text in ("a", "b", "a", "c", "a", "b")] == [0, 0, 3, 0, 3, 0]


def test_prompts_that_were_asked_to_be_cached_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.state.prompt_cache.MAX_ENTRIES", 2)
    cache, points = PrefixCache(), [CachePoint(1, 300.0)]
    read = [cache.use("k", [(text, 3)], points, 1.0).read for text in ("a", "b", "a", "c", "a", "b")]
    assert read == [0, 0, 3, 0, 3, 0]


def test_use_per_minute_is_kept_for_the_last_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.state.rate_limits.MAX_BUCKETS", 1)
    limits, rates = Limits(2, 100), RateLimits()
    taken = [rates.take((key, "k", "m"), limits, 0.0, Used(1.0)).requests for key in ("a", "a", "b", "a")]
    assert taken == [1.0, 2.0, 1.0, 1.0]


def test_labels_beyond_the_most_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "MAX_SERIES", 1)
    counts: Counter[tuple[str, ...]] = Counter()
    for labels, number in ((("a", "b"), 1), (("c", "d"), 2), (("a", "b"), 3)):
        totals._add(counts, labels, number)
    assert counts == {("a", "b"): 4, (totals.OTHER, totals.OTHER): 2}


def test_keys_in_redis_are_the_same_after_they_were_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.state.redis_commands.MAX_KNOWN", 1)
    commands = Commands(store_address("redis://host"))
    first, other, again = [commands._namespace(name).keys for name in ("a", "b", "a")]
    assert first == again != other


def test_prices_of_a_form_are_computed_anew_beyond_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.state.forms.MAX_SPENT", 1)
    prompts = ["one two", "one two three four", "five six", "one two three five", "one seven", "two"]
    with Emulator(HELLO) as emulator:
        for prompt in prompts:
            url = emulator.url("deepseek") + "/chat/completions"
            single.post(url, json=question("deepseek", prompt), headers=KEYS["deepseek"])
        costs = [exchange.cost for exchange in emulator.journal]
    short, long, again, longer, once_more, shortest = costs
    assert (short, long) == (again, longer) == (once_more, longer)
    assert shortest < short < long


def test_a_journal_in_a_store_drops_what_has_ended_and_keeps_what_is_open() -> None:
    published: list[int] = []
    journal = Journal(capacity=2)
    publish = journal.shelf.publish = lambda each: published.append(each.number)
    every = [exchange(number) for number in range(1, SLACK + 3)]
    for each in every:
        journal.add(each)
    journal.shelf.publish = None
    for each in every[2:-1]:  # the first two stay open
        journal.settle(each)
    assert len(journal) == SLACK + 2
    journal.shelf.publish = publish
    journal.settle(every[-1])
    assert [each.number for each in journal] == [1, 2]
    assert [each.is_kept for each in every] == [True, True, *[False] * SLACK]
    assert (journal.bytes, journal.shelf.bytes, published) == (0, 0, [SLACK + 2])
    journal.settle(every[-1])
    assert (journal.bytes, published) == (0, [SLACK + 2])
