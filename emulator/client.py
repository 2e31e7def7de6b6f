"""A namespace of a running server, seen from outside: what tests use, from any thread."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from emulator import arguments
from emulator.arguments import ScenarioSource
from emulator.errors import EmulatorError, UsageError, did_you_mean
from emulator.faults import fault_of, spelled
from emulator.faults.base import Fault
from emulator.faults.selection import FaultRegistry
from emulator.providers import PROVIDERS
from emulator.server.app import App
from emulator.server.server import CALL_TIMEOUT, Server
from emulator.state.journal import Exchange
from emulator.state.namespace import Namespace, compile_scenario

if TYPE_CHECKING:
    from emulator.verdict import Verdict

Result = TypeVar("Result")
SETTLE_TIME = 0.2
"""Seconds to wait for answers that are about to end, before a verdict."""


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
        self._change(lambda app: app.namespaces.load(app.namespaces.own(self.name), compiled))

    def reset(self) -> None:
        """Begin anew: counters, state, live faults, balances and quotas; the journal stays."""
        self._server.call(lambda: self._namespace().reset())

    def advance(self, seconds: float) -> None:
        """Let virtual time pass; whatever is due in between happens at its own moment. Raises UsageError."""
        arguments.number("seconds", seconds)
        self._change(lambda app: app.namespaces.own(self.name).advance(seconds))

    def wait_until_idle(self, timeout: float = 10.0) -> None:
        """Return once no request is being answered. Raises TimeoutError."""
        self._server.call_async(lambda app: app.until_idle(), arguments.number("timeout", timeout))

    def acknowledge(self, exchange: int, outcome: str, **words: Any) -> None:
        """Say how an exchange ended for the client: `complete`, `partial` or `failed`; also `text`, what it understood,
        `error`, what it raised, and `usage`, the tokens that it has booked. Raises EmulatorError."""
        from emulator.control import api
        from emulator.control.models import AcknowledgeBody

        try:
            word = AcknowledgeBody(exchange=exchange, outcome=outcome, **words)
        except ValueError as error:
            raise UsageError(f"This is no acknowledgement: {error}") from None
        self._change(lambda app: api.acknowledge(app, self.name, word))

    def verdict(self, *, silence: float = 60.0, first_token: float = 120.0) -> "Verdict":
        """What the journal shows of the client that made these requests.

        silence: seconds without a byte after which it should have given up.
        first_token: seconds without a token after which it should have given up, whatever else came."""
        from emulator.verdict import Limits, judge

        limits = Limits(arguments.number("silence", silence), arguments.number("first_token", first_token))
        with suppress(TimeoutError, EmulatorError):
            self.wait_until_idle(SETTLE_TIME)  # what has just ended for the client may not have ended for the server
        return judge([exchange.details() for exchange in self.journal], limits)

    def assert_no_findings(
        self, *, allow: Iterable[str] = (), silence: float = 60.0, first_token: float = 120.0
    ) -> None:
        """Raises AssertionError with every finding, but for those whose codes are allowed."""
        from emulator.verdict.formats.text import failure

        message = failure(self.verdict(silence=silence, first_token=first_token).allowing(allow))
        if message:
            raise AssertionError(message)

    def _namespace(self) -> Namespace:
        app = self._server.app
        assert app is not None
        return app.namespaces.get(self.name)

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
        made = _made(fault, parameters)
        return self._arm(lambda fault_registry: fault_registry.add(made))

    def next(self, fault: str | Mapping[str, Any] | Fault, **parameters: Any) -> None:
        """Arm a fault for one request: the next one that no earlier one of these waits for."""
        made = _made(fault, parameters)
        self._arm(lambda fault_registry: fault_registry.push(made))

    def remove(self, id: str) -> bool:
        """Disarm a fault that was added; whether it was still there."""
        return self._disarm(lambda fault_registry: fault_registry.remove(id))

    def clear(self) -> None:
        """Disarm all of them."""
        self._disarm(lambda fault_registry: fault_registry.clear())

    def _arm(self, work: Callable[[FaultRegistry], Result]) -> Result:
        world = self._world
        return world._change(lambda app: work(app.namespaces.own(world.name).fault_registry))

    def _disarm(self, work: Callable[[FaultRegistry], Result]) -> Result:
        world = self._world  # also once the server has stopped: that is where tests clean up
        return world._server.call(lambda: work(world._namespace().fault_registry))


def _made(fault: str | Mapping[str, Any] | Fault, parameters: Mapping[str, Any]) -> Fault:
    if not parameters:
        return fault_of(fault)
    if isinstance(fault, Fault):
        return fault_of({**fault.model_dump(exclude_unset=True, by_alias=True), "kind": fault.kind, **parameters})
    try:
        given = spelled(fault)
    except ValueError as error:
        raise UsageError(f"The fault {error}") from None
    return fault_of({**given, **parameters} if isinstance(given, Mapping) else given)
