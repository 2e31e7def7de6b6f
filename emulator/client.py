"""A namespace of a running server, seen from outside: what tests use, from any thread."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from emulator import arguments
from emulator.arguments import ScenarioSource
from emulator.control import api
from emulator.errors import UsageError, did_you_mean
from emulator.faults.base import Fault
from emulator.providers import PROVIDERS
from emulator.server.app import App
from emulator.server.server import CALL_TIMEOUT, Server
from emulator.state.journal import Exchange
from emulator.state.namespace import Namespace, compile_scenario

Result = TypeVar("Result")


class NamespaceClient:
    """One namespace: its own scenario, counters, state, faults, accounts, seed, clock and journal."""

    def __init__(self, server: Server, name: str, base: "NamespaceClient | None" = None) -> None:
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
        if arguments.text("provider", provider) not in PROVIDERS:
            hint = did_you_mean(provider, list(PROVIDERS))
            raise UsageError(f"There is no provider '{provider}'.{hint} Providers: {', '.join(PROVIDERS)}")
        alone = self._server.options.provider
        if alone is None:
            return f"{self.origin}/{provider}"
        if provider != alone:
            raise UsageError(f"This server serves {alone} alone, at its root: there is no URL of {provider}.")
        return self.origin

    @property
    def journal(self) -> tuple[Exchange, ...]:
        """What happened so far, oldest first."""
        return self._server.call(lambda: tuple(self._namespace().journal))

    @property
    def state(self) -> str:
        """The state that rules have moved this world to."""
        return self._server.call(lambda: self._namespace().state)

    def load(self, scenario: ScenarioSource) -> None:
        """Answer from another scenario from now on: its rules and faults count from the beginning, the rest stays, as
        far as the scenario does not want another clock. Raises ScenarioError, and then nothing has changed."""
        compiled = compile_scenario(arguments.source(scenario))
        self._change(lambda app: api.use_scenario(app, self.name, compiled, keeps_rules=True))

    def reset(self) -> None:
        """Begin anew: counters, state, live faults, balances and quotas; the journal stays."""
        self._server.call(lambda: api.reset(self._app(), self.name))

    def advance(self, seconds: float) -> None:
        """Let virtual time pass; whatever is due in between happens at its own moment. Raises UsageError."""
        arguments.number("seconds", seconds)
        self._change(lambda app: api.advance(app, self.name, seconds))

    def wait_until_idle(self, timeout: float = 10.0) -> None:
        """Return once no request is being answered. Raises TimeoutError."""
        self._server.call_async(lambda app: app.until_idle(), arguments.number("timeout", timeout))

    def _app(self) -> App:
        app = self._server.app
        assert app is not None
        return app

    def _namespace(self) -> Namespace:
        return self._app().namespaces.get(self.name)

    def _change(self, work: Callable[[App], Result]) -> Result:
        """Do what has an effect on requests to come, so it needs a server that runs. Raises EmulatorError."""

        async def do(app: App) -> Result:
            return work(app)

        if self._server.app is None:
            self._server.call(lambda: None)  # which tells that it was never started
        return self._server.call_async(do, CALL_TIMEOUT)


class Faults:
    """The faults of one world that come and go while it runs.

    A fault is said as in a scenario: `"reset:after_tokens=5"`, `{"kind": "reset", "after_tokens": 5}`, or
    `add("reset", after_tokens=5)`. Raises UsageError for one that there is not."""

    def __init__(self, world: NamespaceClient) -> None:
        self._world = world

    def add(self, fault: str | Mapping[str, Any] | Fault, **parameters: Any) -> str:
        """Arm a fault for every request from now on; gives the id by which it can be removed."""
        made = api.fault_with(fault, parameters)
        return str(self._world._change(lambda app: api.add_fault(app, self._world.name, made))["id"])

    def next(self, fault: str | Mapping[str, Any] | Fault, **parameters: Any) -> None:
        """Arm a fault for one request: the next one that no earlier one of these waits for."""
        made = api.fault_with(fault, parameters)
        self._world._change(lambda app: api.queue_fault(app, self._world.name, made))

    def remove(self, id: str) -> bool:
        """Disarm a fault that was added; whether it was still there."""
        try:
            self._disarm(lambda app: api.remove_fault(app, self._world.name, id))
        except api.NotFound:
            return False
        return True

    def clear(self) -> None:
        """Disarm all of them."""
        self._disarm(lambda app: api.remove_faults(app, self._world.name))

    def _disarm(self, work: Callable[[App], Result]) -> Result:
        world = self._world  # also once the server has stopped: that is where tests clean up
        return world._server.call(lambda: work(world._app()))
