"""All namespaces of a server: created on first use, dropped when idle."""

from collections import OrderedDict
from collections.abc import Iterator

from emulator.clock import Clock, VirtualClock, release
from emulator.errors import UsageError
from emulator.state.compiled import CompiledScenario
from emulator.state.journal import Shelf
from emulator.state.namespace import ClockMode, Namespace
from emulator.state.store import Store

MAX_NAMESPACES = 1000
"""The most namespaces created only by requests."""
IDLE = 3600.0
"""Seconds without use after which such a namespace may be dropped."""
MAX_GIVEN = 10_000
"""The most namespaces that were configured: with a scenario, a seed, faults or time."""
MAX_LOST = 100_000
"""The most names of dropped ones that are kept, so that later use gets an error instead of a fresh namespace."""


class Namespaces:
    """All namespaces of a server by name, created on first use and bounded in number.

    A namespace that only requests created is dropped after a long time without use. A configured one is kept much
    longer; once it is dropped, its name gets an error instead of a fresh namespace."""

    def __init__(
        self,
        compiled: CompiledScenario,
        clock: Clock,
        seed: int | None = None,
        shelf: Shelf | None = None,
        store: Store | None = None,
    ) -> None:
        self.loaded = compiled
        """The server's own scenario."""
        self._clock = clock
        self._seed = seed
        self._named: OrderedDict[str, Namespace] = OrderedDict()
        self.given: OrderedDict[str, Namespace] = OrderedDict()
        """The configured namespaces."""
        self._lost: OrderedDict[str, None] = OrderedDict()
        self.shelf = shelf or Shelf()
        """What all journals share."""
        self.store = store
        """What all its namespaces share with other processes."""
        self.default = self._made("default", compiled, seed)

    def get(self, name: str | None) -> Namespace:
        """The namespace with this name. A new one has the default namespace's scenario and nothing else of it. Raises
        UsageError for a configured one that had to be dropped."""
        if name is None or name == "default":
            return self.default
        found = self.given.get(name)
        if found is not None:
            self.given.move_to_end(name)
            return found
        found = self._named.get(name)
        now = self._clock.now()
        if found is None:
            if complaint := self.complaint(name):
                raise UsageError(complaint)
            self._forget_idle(now)
            found = self._named[name] = self._made(name, self.default.loaded, self._seed)
        self._named.move_to_end(name)
        found.last_used = now
        return found

    def own(self, name: str) -> Namespace:
        """The same, for callers that configure it."""
        found = self.get(name)
        if self._named.pop(name, None) is not None:
            self._keep(found)
        return found

    def give(self, name: str, compiled: CompiledScenario, seed: int | None = None) -> Namespace:
        """Creates or replaces the namespace with this name, with its own scenario."""
        self._lost.pop(name, None)
        for known in (self._named, self.given):
            if name in known:
                known.pop(name).forget()
        made = self._made(name, compiled, seed)
        self._keep(made)
        return made

    def complaint(self, name: str | None) -> str:
        """Why there can be no namespace with this name; empty if there can."""
        if name is None or name not in self._lost:
            return ""
        return (
            f"The namespace '{name}' was dropped: {MAX_GIVEN} others have been configured since its last use. "
            "Configure it again, or use fewer names."
        )

    def remove(self, name: str) -> bool:
        """Removes a namespace and everything in it; returns whether it existed. Raises UsageError for the default."""
        if name == "default":
            raise UsageError("The namespace 'default' can't be removed: reset it, or load another scenario.")
        for known in (self._named, self.given):
            if name in known:
                known.pop(name).forget()
                if self.shelf.shared is not None:
                    self.shelf.shared.clock(name, is_new=True)
                return True
        return self._lost.pop(name, "") is None

    def set_clock(self, namespace: Namespace, mode: ClockMode) -> None:
        """Gives a namespace another kind of clock, which starts again. Open answers keep the old clock; if it is
        virtual or manual, it skips ahead from now on, so that they end.
        """
        if mode != namespace.clock_mode:
            release(namespace.clock)
            namespace.clock, namespace.clock_mode = self._clock_for(namespace.name, mode, is_new=True), mode
            namespace.fault_registry.started = namespace.clock.now()
            namespace.response_cache.clear()

    def load(self, namespace: Namespace, compiled: CompiledScenario) -> None:
        """Gives a namespace another scenario, and another kind of clock if the scenario sets one."""
        if compiled.scenario.clock != namespace.compiled.scenario.clock:
            self.set_clock(namespace, compiled.scenario.clock)
        namespace.replace_scenario(compiled)

    def reload(self, compiled: CompiledScenario) -> list[tuple[Namespace, bool]]:
        """Gives a new version of the server's files to every namespace that uses the old one. Returns those with a
        shared store, which must be restarted too, each with whether its limits have changed.
        """
        old, self.loaded = self.loaded, compiled
        shared: list[tuple[Namespace, bool]] = []
        for namespace in self:
            if namespace.loaded is old:
                limits = namespace.quotas.defined
                self.load(namespace, compiled)
                if namespace.store is not None:
                    shared.append((namespace, namespace.quotas.defined != limits))
        return shared

    def __iter__(self) -> Iterator[Namespace]:
        return iter((self.default, *self._named.values(), *self.given.values()))

    def __len__(self) -> int:
        return 1 + len(self._named) + len(self.given)

    def _made(self, name: str, compiled: CompiledScenario, seed: int | None) -> Namespace:
        made = Namespace(name, compiled, self._clock_for(name, compiled.scenario.clock), seed, self.shelf)
        made.store = self.store
        return made

    def _clock_for(self, name: str, kind: ClockMode, *, is_new: bool = False) -> Clock:
        if kind == "real":
            return self._clock
        shared, leaps = self.shelf.shared, kind == "virtual"
        return VirtualClock(leaps=leaps, reached=shared.clock(name, is_new=is_new) if shared and leaps else None)

    def _keep(self, namespace: Namespace) -> None:
        while len(self.given) >= MAX_GIVEN:
            name, lost = self.given.popitem(last=False)
            lost.forget()
            self._lost[name] = None
            if len(self._lost) > MAX_LOST:
                self._lost.popitem(last=False)
        self.given[namespace.name] = namespace

    def _forget_idle(self, now: float) -> None:
        named = self._named
        for name in [name for name, namespace in named.items() if now - namespace.last_used > IDLE]:
            named.pop(name).forget()
        while len(named) >= MAX_NAMESPACES:
            named.popitem(last=False)[1].forget()
