"""A namespace of a running server, for tests; usable from any thread."""

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
        """The prefix of this namespace in URLs."""
        assert self._base is not None
        return f"{self._base.origin}/@{self.name}"

    def url(self, provider: str) -> str:
        """A provider's base URL, to which its documented path is added."""
        if arguments.text("provider", provider) not in PROVIDERS:
            hint = did_you_mean(provider, list(PROVIDERS))
            raise UsageError(f"There is no provider '{provider}'.{hint} Providers: {', '.join(PROVIDERS)}")
        alone = self._server.options.provider
        if alone is None:
            return f"{self.origin}/{provider}"
        if provider != alone:
            raise UsageError(f"This server serves only {alone}, at its root; {provider} has no URL here.")
        return self.origin

    @property
    def journal(self) -> tuple[Exchange, ...]:
        """The exchanges so far, oldest first."""
        return self._server.call(lambda: tuple(self._namespace().journal))

    @property
    def state(self) -> str:
        """The current state, as set by rules."""
        return self._server.call(lambda: self._namespace().state)

    def load(self, scenario: ScenarioSource) -> None:
        """Replaces the scenario: its rules and faults count from the beginning, and everything else stays, except the
        clock if the scenario sets another one. Raises ScenarioError, and then nothing has changed."""
        compiled = compile_scenario(arguments.source(scenario))
        self._change(lambda app: api.use_scenario(app, self.name, compiled, keeps_rules=True))

    def reset(self) -> None:
        """Resets counters, state, added faults, balances and quotas; keeps the journal."""
        self._server.call(lambda: api.reset(self._app(), self.name))

    def advance(self, seconds: float) -> None:
        """Advances virtual time; whatever is due in between happens at its own time. Raises UsageError."""
        arguments.number("seconds", seconds)
        self._change(lambda app: api.advance(app, self.name, seconds))

    def wait_until_idle(self, timeout: float = 10.0) -> None:
        """Waits until no request is being answered. Raises TimeoutError."""
        self._server.call_async(lambda app: app.until_idle(), arguments.number("timeout", timeout))

    def _app(self) -> App:
        app = self._server.app
        assert app is not None
        return app

    def _namespace(self) -> Namespace:
        return self._app().namespaces.get(self.name)

    def _change(self, work: Callable[[App], Result]) -> Result:
        """Calls a function that affects future requests, so the server must be running. Raises EmulatorError."""

        async def do(app: App) -> Result:
            return work(app)

        if self._server.app is None:
            self._server.call(lambda: None)  # raises if it was never started
        return self._server.call_async(do, CALL_TIMEOUT)


class Faults:
    """The faults of a namespace that you add and remove while it runs.

    Write a fault as in a scenario, `"reset:after_tokens=5"` or `{"kind": "reset", "after_tokens": 5}`, or as
    `add("reset", after_tokens=5)`. Raises UsageError if there is no such fault."""

    def __init__(self, world: NamespaceClient) -> None:
        self._world = world

    def add(self, fault: str | Mapping[str, Any] | Fault, **parameters: Any) -> str:
        """Applies a fault to every request from now on; returns its id, for `remove`."""
        made = api.fault_with(fault, parameters)
        return str(self._world._change(lambda app: api.add_fault(app, self._world.name, made))["id"])

    def next(self, fault: str | Mapping[str, Any] | Fault, **parameters: Any) -> None:
        """Applies a fault once, to the next request; several calls queue up."""
        made = api.fault_with(fault, parameters)
        self._world._change(lambda app: api.queue_fault(app, self._world.name, made))

    def remove(self, id: str) -> bool:
        """Removes a fault; returns whether it was there."""
        try:
            self._disarm(lambda app: api.remove_fault(app, self._world.name, id))
        except api.NotFound:
            return False
        return True

    def clear(self) -> None:
        """Removes all of them."""
        self._disarm(lambda app: api.remove_faults(app, self._world.name))

    def _disarm(self, work: Callable[[App], Result]) -> Result:
        world = self._world  # works even after the server has stopped: tests clean up then
        return world._server.call(lambda: work(world._app()))
