"""A world of its own: everything that one test may change without another noticing."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from emulator import dice
from emulator.clock import Clock
from emulator.journal import Exchange, Journal
from emulator.matching import Found, Rulebook, compile_rules, find
from emulator.pace import Pace
from emulator.providers import PROVIDERS
from emulator.providers.base import Provider, refuse
from emulator.request import Call, ModelRequest
from emulator.scenario import Scenario

MOST_ATTEMPTS = 10_000
"""How many different requests are remembered for counting attempts; the one longest unused is forgotten first."""


@dataclass(frozen=True, slots=True)
class Script:
    """A scenario made ready: rules to ask, rooms with their settings, keys that are accepted. Never changed."""

    scenario: Scenario
    rules: Rulebook
    rooms: Mapping[str, Provider]
    keys: Mapping[str, frozenset[str]] | None
    """The keys accepted by each provider; None when any is."""
    pace: Pace | None
    """The pace of what no rule answers, when the file gives one."""


def script_of(scenario: Scenario) -> Script:
    """Compile a scenario."""
    keys = None
    if scenario.accounts:
        keys = {
            name: frozenset(account.key for account in scenario.accounts if account.provider in (None, name))
            for name in PROVIDERS
        }
    return Script(
        scenario=scenario,
        rules=compile_rules(scenario),
        rooms={name: room(getattr(scenario.providers, name)) for name, room in PROVIDERS.items()},
        keys=keys,
        pace=scenario.defaults.pace.to_pace() if scenario.defaults.pace else None,
    )


class Namespace:
    """One world: its script, its counters, its seed, its clock and its journal. Lives in the event loop's thread."""

    def __init__(self, name: str, script: Script, clock: Clock, seed: int | None = None) -> None:
        self.name = name
        self.script = script
        self.clock = clock
        self.seed = script.scenario.seed if seed is None else seed
        self.journal = Journal()
        self._used: dict[int, int] = {}
        self._attempts: OrderedDict[bytes, int] = OrderedDict()

    def begin(self, call: Call) -> Exchange:
        """The record of a request that has just arrived."""
        exchange = Exchange(self.journal.next_number(), self.clock.time(), call, started=self.clock.now())
        self.journal.add(exchange)
        return exchange

    def admit(self, provider: str, key: str) -> None:
        """Raises Refused when the scenario lists accounts and this key is none of them."""
        keys = self.script.keys
        if keys is not None and key not in keys[provider]:
            raise refuse("unauthorized")

    def find(self, request: ModelRequest) -> Found | None:
        """The rule whose turn it is, counted as used."""
        found = find(self.script.rules, request, self._used)
        if found is not None:
            self._used[found.rule.position] = self._used.get(found.rule.position, 0) + 1
        return found

    def attempt(self, call: Call) -> tuple[bytes, int]:
        """What makes this request the same as another, and how many times it has come, from 1."""
        identity = dice.digest(call.provider, call.method, call.path, call.body)
        attempts = self._attempts
        number = attempts.pop(identity, 0) + 1
        attempts[identity] = number
        if len(attempts) > MOST_ATTEMPTS:
            attempts.popitem(last=False)
        return identity, number


class Namespaces:
    """All worlds of one server, by name. The default one is there from the start."""

    def __init__(self, script: Script, clock: Clock, seed: int | None = None) -> None:
        self.default = Namespace("default", script, clock, seed)
        self.lock = threading.Lock()
