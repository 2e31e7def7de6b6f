"""A namespace of a running server, seen from outside: what tests use, from any thread."""

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

from emulator.clock import VirtualClock
from emulator.errors import UsageError, did_you_mean
from emulator.faults import fault_of
from emulator.faults.base import Fault
from emulator.journal import Exchange
from emulator.namespace import Namespace, script_from
from emulator.providers import PROVIDERS
from emulator.scenario import Scenario
from emulator.server import Server

ScenarioSource = str | PathLike[str] | Mapping[str, Any] | Scenario


class World:
    """One namespace: its own scenario, counters, state, faults, accounts, seed, clock and journal."""

    def __init__(self, server: Server, name: str, base: "World | None" = None) -> None:
        self._server = server
        self._base = base
        self.name = name
        self.faults = Faults(self)

    @property
    def origin(self) -> str:
        """What stands before a provider's name in a URL of this world."""
        assert self._base is not None
        return f"{self._base.origin}/@{self.name}"

    def url(self, provider: str) -> str:
        """The base URL of a provider; its documented path follows."""
        if provider not in PROVIDERS:
            hint = did_you_mean(provider, list(PROVIDERS))
            raise UsageError(f"There is no provider '{provider}'.{hint} Providers: {', '.join(PROVIDERS)}")
        return self.origin if self._server.options.provider == provider else f"{self.origin}/{provider}"

    @property
    def journal(self) -> tuple[Exchange, ...]:
        """What happened so far, oldest first."""
        return self._server.call(lambda: tuple(self._namespace().journal))

    @property
    def state(self) -> str:
        """The state that rules have moved this world to."""
        return self._server.call(lambda: self._namespace().state)

    def load(self, scenario: ScenarioSource) -> None:
        """Answer from another scenario from now on. Raises ScenarioError, and then nothing has changed."""
        script = script_from(scenario)
        self._server.call(lambda: self._namespace().replace_script(script))

    def reset(self) -> None:
        """Begin anew: counters, state, live faults, balances and quotas; the journal stays."""
        self._server.call(lambda: self._namespace().reset())

    def advance(self, seconds: float) -> None:
        """Let virtual time pass; whatever is due in between happens at its own moment."""

        def work() -> None:
            clock = self._namespace().clock
            if not isinstance(clock, VirtualClock):
                raise UsageError("This clock is real and cannot be moved: say `clock: manual` in the scenario.")
            clock.advance(seconds)

        self._server.call(work)

    def wait_until_idle(self, timeout: float = 10.0) -> None:
        """Return once no request is being answered. Raises TimeoutError."""
        self._server.call_async(lambda app: app.until_idle(), timeout)

    def _namespace(self) -> Namespace:
        app = self._server.app
        assert app is not None
        return app.namespaces.get(self.name)


class Faults:
    """The faults of one world that come and go while it runs.

    A fault is said as in a scenario: `"reset:after_tokens=5"`, `{"kind": "reset", "after_tokens": 5}`, or
    `add("reset", after_tokens=5)`. Raises UsageError for one that there is not."""

    def __init__(self, world: World) -> None:
        self._world = world

    def add(self, fault: str | Mapping[str, Any] | Fault, **parameters: Any) -> str:
        """Arm a fault for every request from now on; gives the id by which it can be removed."""
        made = _made(fault, parameters)
        id: str = self._do(lambda namespace: namespace.arsenal.add(made))
        return id

    def next(self, fault: str | Mapping[str, Any] | Fault, **parameters: Any) -> None:
        """Arm a fault for one request: the next one that no earlier one of these waits for."""
        made = _made(fault, parameters)
        self._do(lambda namespace: namespace.arsenal.queue.append(made))

    def remove(self, id: str) -> bool:
        """Disarm a fault that was added; whether it was still there."""
        was_there: bool = self._do(lambda namespace: namespace.arsenal.remove(id))
        return was_there

    def clear(self) -> None:
        """Disarm all of them."""
        self._do(lambda namespace: namespace.arsenal.clear())

    def _do(self, work: Callable[[Namespace], Any]) -> Any:
        return self._world._server.call(lambda: work(self._world._namespace()))


def _made(fault: str | Mapping[str, Any] | Fault, parameters: Mapping[str, Any]) -> Fault:
    if not parameters or isinstance(fault, Fault):
        return fault_of(fault)
    given = {"kind": fault} if isinstance(fault, str) else dict(fault)
    return fault_of({**given, **parameters})
