"""Namespaces: everything that one test can change without affecting another."""

import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Literal

from emulator import large
from emulator.clock import LATEST_DATE, Clock, VirtualClock, WallClock, release, unix_time
from emulator.errors import UsageError
from emulator.faults.selection import FaultRegistry
from emulator.matching.conditions import MatchContext
from emulator.matching.rules import Rule, RuleMatch, compile_added, find, with_added
from emulator.providers.base import provider_error
from emulator.records import record
from emulator.request import HttpRequest, ModelRequest
from emulator.scenario.models import RuleModel
from emulator.state.compiled import CompiledScenario
from emulator.state.exchanges import Exchange
from emulator.state.journal import Journal, Shelf
from emulator.state.prefixes import PromptCache
from emulator.state.prompt_cache import PrefixCache
from emulator.state.quotas import Quotas, quota_of, quota_of_plan
from emulator.state.rate_limits import RateLimits
from emulator.state.response_cache import ResponseCache
from emulator.state.shared import counts_requests
from emulator.state.store import Store
from emulator.stored import ResponseStore

ClockMode = Literal["real", "virtual", "manual"]

MAX_ADVANCE = 100 * 366 * 86400.0
"""The most seconds that one call may advance a clock."""
NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""Names that need no change in a URL, a header or a key."""
MAX_ADDED = 1000
"""The most rules that may be added to a namespace."""
MAX_ATTEMPTS = 10_000
"""The most different requests whose attempts are counted; the least recently used is dropped first."""


def safe_name(name: str) -> str:
    """Returns the URL-safe name of a namespace, for a name with any characters.

    A name of 1 to 128 letters, digits, dots, hyphens and underscores is not changed. In any other name, every run of
    other characters becomes a hyphen, and the first 100 characters are kept, followed by `-` and 16 hexadecimal digits
    of the BLAKE2b hash of the whole name in UTF-8, so that different names stay different."""
    if NAME.fullmatch(name):
        return name
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name).strip('-')[:100] or 'namespace'}-{digest}"


@record
class AddedRule:
    """A rule that was added to a namespace at run time."""

    id: str
    model: RuleModel
    rule: Rule


class Namespace:
    """A namespace: scenario, counters, state, seed, clock and journal. It is used only in the event loop's thread."""

    def __init__(
        self, name: str, compiled: CompiledScenario, clock: Clock, seed: int | None = None, shelf: Shelf | None = None
    ) -> None:
        self.name = name
        self.clock = clock
        shelf = shelf or Shelf()
        self.journal = Journal(name=name, shelf=shelf)
        self.prompt_cache = PromptCache()
        self.prefix_cache = PrefixCache()
        self.fault_registry = FaultRegistry(claims=shelf.shared)
        self.response_cache = ResponseCache()
        self.stored = ResponseStore(lambda: self.clock.time())
        self.rate_limits = RateLimits()
        self.given_seed = seed
        self.loaded = compiled
        """The loaded scenario; `compiled` also has the added rules."""
        self.compiled = compiled
        self.added: tuple[AddedRule, ...] = ()
        """The added rules, in the order in which they are tried."""
        self.added_count = 0
        self.clock_mode = compiled.scenario.clock
        self.store: Store | None = None
        """Makes decisions together with other processes; None: this process counts alone."""
        self._needs_store: tuple[CompiledScenario, bool] | None = None
        self.last_used = 0.0
        self.recorder: Any = None
        """Records for this namespace alone."""
        self.reset()

    def reset(self) -> None:
        """Resets counters, state, faults, added rules and prompt cache; keeps the journal."""
        self.added, self.compiled = (), self.loaded
        self.state = "start"
        self._used: dict[int, int] = {}
        self._attempts: OrderedDict[bytes, int] = OrderedDict()
        self.prompt_cache.clear()
        self.prefix_cache.clear()
        self.response_cache.clear()
        self.stored.clear()
        self.rate_limits.clear()
        self.fault_registry.clear()
        self.fault_registry.started = self.clock.now()
        self.quotas = _quotas_of(self.compiled)

    def replace_scenario(self, compiled: CompiledScenario) -> None:
        """Replaces the scenario; its rules count from the beginning. Added rules stay."""
        self.loaded = compiled
        self._used = {}
        self._put_added(self.added)
        self.fault_registry.forget_scenario()
        self.response_cache.clear()
        fresh = _quotas_of(compiled)
        if fresh.defined == self.quotas.defined:
            self.quotas.accounts = fresh.accounts
        else:  # the counts are for other limits
            fresh.spent = self.quotas.spent
            self.quotas = fresh

    def add_rule(
        self,
        model: RuleModel,
        functions: Mapping[int, Callable[[ModelRequest], Any]] | None = None,
        origin: str | None = None,
    ) -> AddedRule:
        """Adds a rule that is tried before all others. Open requests are not affected. Raises UsageError.

        functions: return the rule's answers, by position, instead of what the model says there.
        origin: where the rule is written, as `path:line`."""
        if len(self.added) >= MAX_ADDED:
            raise UsageError(f"{MAX_ADDED} rules have been added already. Remove some, or use a scenario.")
        self.added_count += 1
        id = f"added-{self.added_count}"
        rule = compile_added(model, id, self.loaded.scenario, functions)
        made = AddedRule(id, model, rule if origin is None else replace(rule, origin=origin))
        newest_first = sorted((made, *self.added), key=lambda each: -each.model.priority)
        self._put_added(tuple(newest_first))
        return made

    def take_over_rules(self, rules: Sequence[tuple[str, RuleModel]], made: int) -> None:
        """Adds the rules of another process with the same ids, in the order in which they are tried. `made` is how
        many there have ever been.
        """
        self.added_count = made
        added = [AddedRule(id, model, compile_added(model, id, self.loaded.scenario)) for id, model in rules]
        if added:
            self._put_added(tuple(added))

    def remove_rules(self, ids: Collection[str] | None = None) -> int:
        """Removes added rules, or all of them; returns how many there were."""
        left = tuple(each for each in self.added if ids is not None and each.id not in ids)
        removed = len(self.added) - len(left)
        if removed:
            self._put_added(left)
        return removed

    def _put_added(self, added: tuple[AddedRule, ...]) -> None:
        """Puts these rules before the scenario's own; each keeps its count of uses."""
        before, number = [each.id for each in self.added], len(self.added)
        uses = {before[place]: count for place, count in self._used.items() if place < number}
        own = {place - number: count for place, count in self._used.items() if place >= number}
        self._used = {place: uses[each.id] for place, each in enumerate(added) if each.id in uses}
        self._used |= {place + len(added): count for place, count in own.items()}
        self.added = added
        rules = with_added(self.loaded.rules, [each.rule for each in added]) if added else self.loaded.rules
        self.compiled = replace(self.loaded, rules=rules, files=()) if added else self.loaded
        self.response_cache.clear()

    def rule_key(self, position: int) -> str:
        """Returns the key for counting the rule at a position in a shared store; it stays the same when rules are
        added.
        """
        added = self.added
        return added[position].id if position < len(added) else f"rule-{position - len(added)}"

    def learn(self, identity: bytes, attempt: int) -> None:
        """Notes how many times a request has arrived in all processes that share a store."""
        self._attempts[identity] = attempt

    def stored_for_one(self) -> ResponseStore:
        """The stored responses for one request: where others share them, they are fetched, and changes written back."""
        return self.stored if self.store is None else ResponseStore(self.stored.now, changed={})

    def uses(self, position: int) -> int:
        """How many times the rule at a position has answered."""
        return self._used.get(position, 0)

    @property
    def needs_store(self) -> bool:
        """Whether the scenario or an added rule counts requests."""
        known = self._needs_store
        if known is None or known[0] is not self.compiled:
            needs = counts_requests(self.compiled.scenario, [each.model for each in self.added])
            known = self._needs_store = self.compiled, needs
        return known[1]

    @property
    def seed(self) -> int:
        """The seed of all random choices: the namespace's own, or its scenario's."""
        return self.compiled.scenario.seed if self.given_seed is None else self.given_seed

    def advance(self, seconds: float) -> None:
        """Advances virtual time; whatever is due in between happens at its own time. Raises UsageError."""
        if not 0 <= seconds <= MAX_ADVANCE:
            raise UsageError(f"Can't advance time by {seconds} seconds: use a number from 0 to {MAX_ADVANCE:.0f}.")
        if not isinstance(self.clock, VirtualClock):
            raise UsageError("This clock is real and can't be moved: set `clock: manual` in the scenario.")
        if self.clock.time() + seconds > LATEST_DATE:
            raise UsageError("Can't advance time beyond the year 9999.")
        self.clock.advance(seconds)

    def forget(self) -> None:
        """Ends a namespace that is no longer reachable: empties its journal and lets open answers finish."""
        self.journal.close()
        release(self.clock)

    def begin(self, http_request: HttpRequest) -> Exchange:
        """Records a request that has just arrived."""
        received = self.clock.time()
        exchange = Exchange(self.journal.next_number(), received, http_request, self.name)
        exchange.started = self.clock.now()
        exchange.arrived = received if isinstance(self.clock, WallClock) else unix_time()
        self.journal.add(exchange)
        return exchange

    def check_key(self, provider: str, key: str) -> None:
        """Raises ProviderError if the scenario lists accounts and this key isn't one of them."""
        keys = self.compiled.keys
        if keys is not None and key not in keys[provider] and (provider, key) not in self.quotas.given:
            raise provider_error("unauthorized")

    def ask(self, request: ModelRequest, identity: bytes, attempt: int) -> MatchContext:
        """Returns the request with this namespace's state, for matching."""
        return MatchContext(request, self.state, attempt, identity, self.seed)

    def find(self, ask: MatchContext) -> RuleMatch | None:
        """Finds the rule that answers, and counts its use."""
        return self.use(find(self.compiled.rules, ask, self._used))

    async def find_in_large(self, ask: MatchContext) -> RuleMatch | None:
        """The same for a large request, which is matched on a thread, and again if a rule was used in the meantime."""
        while True:
            compiled, used, state = self.compiled, dict(self._used), self.state
            found = await large.elsewhere(find, compiled.rules, replace(ask, state=state), used)
            if (
                compiled is self.compiled
                and state == self.state
                and (found is None or used.get(found.rule.position) == self._used.get(found.rule.position))
            ):
                return self.use(found)

    def use(self, found: RuleMatch | None) -> RuleMatch | None:
        """Counts a use of the rule and sets the state, if the rule does, unless a store does so."""
        if found is not None and (self.store is None or not self.store.decides_all):
            position = found.rule.position
            self._used[position] = self._used.get(position, 0) + 1
            if found.answer.set_state is not None:
                self.state = found.answer.set_state
        return found

    @property
    def used(self) -> Mapping[int, int]:
        """How many times the rule at each position has answered."""
        return self._used

    def attempts(self, identity: bytes) -> int:
        """How many times this exact request has arrived before."""
        return self._attempts.get(identity, 0)

    def attempt(self, identity: bytes) -> int:
        """How many times this exact request has arrived, including now."""
        attempts = self._attempts
        number = attempts.get(identity, 0) + 1
        attempts[identity] = number
        if number > 1:
            attempts.move_to_end(identity)
        elif len(attempts) > MAX_ATTEMPTS:
            attempts.popitem(last=False)
        return number


def _quotas_of(compiled: CompiledScenario) -> Quotas:
    quotas = [quota_of(number, model) for number, model in enumerate(compiled.scenario.quotas)]
    for name, provider in compiled.providers.items():
        if provider.allotment is not None:
            quotas.append(quota_of_plan(len(quotas), name, provider.allotment))
    return Quotas(quotas, compiled.scenario.accounts)
