"""A namespace of a running server, for tests; usable from any thread."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from emulator import arguments
from emulator.arguments import ScenarioSource
from emulator.assertions import Assertions, RuleUse
from emulator.control import api
from emulator.control.controlled import NotFound, TimedOut
from emulator.errors import EmulatorError, UsageError, did_you_mean
from emulator.faults.base import Fault
from emulator.journal_text import counted, lines
from emulator.providers import PROVIDERS
from emulator.scripting import Function, caller, written
from emulator.server.app import App
from emulator.server.server import CALL_TIMEOUT, Server
from emulator.state.compiled import compile_scenario
from emulator.state.exchanges import Exchange
from emulator.state.namespace import Namespace

if TYPE_CHECKING:
    from emulator.control.models import Selection
    from emulator.verdict import Verdict

Result = TypeVar("Result")
Found = tuple[Exchange, ...]
SETTLE_TIME = 0.2
"""Seconds to wait for answers that are about to end before a verdict."""


class NamespaceClient(Assertions):
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
        """Returns a provider's base URL, to which its documented path is added."""
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
    def last(self) -> Exchange:
        """The newest exchange. Raises AssertionError if there is none."""
        __tracebackhide__ = True
        exchanges = self.journal
        if not exchanges:
            raise AssertionError("no request has arrived yet")
        return exchanges[-1]

    def clear(self) -> None:
        """Removes all exchanges; numbers continue."""
        self._server.call(lambda: self._namespace().journal.clear())

    def wait_for(self, count: int = 1, *, timeout: float = 10.0, **wanted: Any) -> tuple[Exchange, ...]:
        """Waits until `count` requests have been answered, and returns their exchanges. Blocks: in a coroutine, use
        `wait_for_async`. Raises AssertionError after `timeout` seconds. `provider`, `rule`, `status`, `outcome` and
        `model` restrict which requests count.
        """
        __tracebackhide__ = True
        selection, seconds = _wanted(count, timeout, wanted)
        try:
            return self._server.call_async(self._over(selection, count, seconds), seconds + CALL_TIMEOUT)
        except TimedOut:
            raise AssertionError(self._not_come(count, seconds, selection)) from None

    async def wait_for_async(self, count: int = 1, **options: Any) -> tuple[Exchange, ...]:
        """The same for coroutines, without blocking."""
        return await asyncio.to_thread(self.wait_for, count, **options)

    def _over(self, selection: "Selection", count: int, seconds: float) -> Callable[[App], Coroutine[Any, Any, Found]]:
        async def wait(app: App) -> Found:
            await api.wait_for(app, self.name, selection, count, seconds)
            found = api.selected(app.namespaces.get(self.name).journal, selection)
            return tuple(each for each in found if each.ended is not None)

        return wait

    def _not_come(self, count: int, seconds: float, selection: "Selection") -> str:
        exchanges = self.journal
        asked = [f"{name}={value!r}" for name, value in selection.model_dump(exclude_none=True).items()]
        said = f"{counted(count, 'request')}{' with ' if asked else ''}{', '.join(asked)} expected within {seconds:g} s"
        return "\n".join([f"{said}; these came:", *lines(exchanges)]) if exchanges else f"{said}; none came"

    def rule(self, rule: str | Mapping[str, Any] | None = None, /, **options: Any) -> str:
        """Adds a rule that is tried before all others, and returns its name.

            emulator.rule("weather", reply="Sunny.")               # the prompt contains this text
            emulator.rule(model="deepseek-*", error=429, times=2)
            emulator.rule(replies=["First", {"error": "overloaded"}, lambda request: request.prompt.upper()])
            emulator.rule({"match": {...}, "reply": {...}})        # as in a scenario

        options: the keys of a rule, and those of its `match`. A reply is a text, a mapping as in a scenario, a status,
        an `emulator.reply.Reply`, or a function (sync or async) that takes the request, an
        `emulator.request.ModelRequest`, and returns one of these. Raises UsageError or ScenarioError."""
        __tracebackhide__ = True
        made = written(rule, options)
        functions = {place: self._watched(function) for place, function in made.functions.items()}
        origin = caller()
        return self._change(lambda app: app.namespaces.own(self.name).add_rule(made.model, functions, origin).rule.name)

    def _watched(self, function: Function) -> Function:
        """Returns the function for a reply, as the server calls it."""
        return function

    def rules_used(self) -> list[RuleUse]:
        """How often each rule has answered, in the order in which they are tried, without the default examples."""

        def read() -> list[RuleUse]:
            where = self._namespace()
            rules = where.compiled.rules.rules
            own = rules[: len(where.added)] if where.loaded.is_default else rules
            return [RuleUse(each.name, each.origin, where.uses(each.position)) for each in own]

        return self._server.call(read)

    @property
    def state(self) -> str:
        """The current state, as set by rules."""
        return self._server.call(lambda: self._namespace().state)

    def load(self, scenario: ScenarioSource) -> None:
        """Replaces the scenario and resets the counters of its rules and faults. Everything else stays, except the
        clock if the scenario sets another one. Raises ScenarioError, and then nothing has changed.
        """
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

    def acknowledge(self, exchange: int, outcome: str, **words: Any) -> None:
        """Reports how an exchange ended for the client: `complete`, `partial` or `failed`; also the `text` it
        received, the `error` it raised, and the `usage` (tokens) it counted. Raises EmulatorError.
        """
        from emulator.control.models import AcknowledgeBody

        try:
            word = AcknowledgeBody(exchange=exchange, outcome=outcome, **words)
        except ValueError as error:
            raise UsageError(f"This is not a valid acknowledgment: {error}") from None
        self._change(lambda app: api.acknowledge(app, self.name, word))

    def verdict(self, *, silence: float = 60.0, first_token: float = 120.0) -> "Verdict":
        """Returns what the journal shows about the client that made these requests.

        silence: seconds without a byte after which it should have given up.
        first_token: seconds without a token after which it should have given up, even if it received other bytes."""
        from emulator.verdict import Limits, judge

        limits = Limits(arguments.number("silence", silence), arguments.number("first_token", first_token))
        with suppress(TimeoutError, EmulatorError):
            self.wait_until_idle(SETTLE_TIME)  # for the server, answers may end later than for the client
        return judge([exchange.details() for exchange in self.journal], limits)

    def assert_no_findings(
        self, *, allow: Iterable[str] = (), silence: float = 60.0, first_token: float = 120.0
    ) -> None:
        """Raises AssertionError with all findings, except for those with allowed codes."""
        __tracebackhide__ = True
        from emulator.verdict.formats.text import failure

        message = failure(self.verdict(silence=silence, first_token=first_token).allowing(allow))
        if message:
            raise AssertionError(message)

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

    def __init__(self, namespace: NamespaceClient) -> None:
        self._namespace = namespace

    def add(self, fault: str | Mapping[str, Any] | Fault, **parameters: Any) -> str:
        """Applies a fault to every request from now on; returns its id, for `remove`."""
        made = api.fault_with(fault, parameters)
        return str(self._namespace._change(lambda app: api.add_fault(app, self._namespace.name, made))["id"])

    def next(self, fault: str | Mapping[str, Any] | Fault, **parameters: Any) -> None:
        """Applies a fault once, to the next request; several calls queue up."""
        made = api.fault_with(fault, parameters)
        self._namespace._change(lambda app: api.queue_fault(app, self._namespace.name, made))

    def remove(self, id: str) -> bool:
        """Removes a fault; returns whether it was there."""
        try:
            self._disarm(lambda app: api.remove_fault(app, self._namespace.name, id))
        except NotFound:
            return False
        return True

    def clear(self) -> None:
        """Removes all faults."""
        self._disarm(lambda app: api.remove_faults(app, self._namespace.name))

    def _disarm(self, work: Callable[[App], Result]) -> Result:
        namespace = self._namespace  # works even after the server has stopped, when tests clean up
        return namespace._server.call(lambda: work(namespace._app()))


def _wanted(count: object, timeout: object, wanted: Mapping[str, Any]) -> tuple["Selection", float]:
    from emulator.control.models import Selection

    known = [name for name in Selection.model_fields if name not in ("namespace", "limit")]
    for name in wanted:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UsageError(
                f"wait_for() has no argument '{name}'.{hint} Arguments: count, timeout, {', '.join(known)}"
            )
    arguments.whole("count", count, 1, 1_000_000)
    if isinstance(wanted.get("status"), int):
        wanted = {**wanted, "status": str(wanted["status"])}
    try:
        return Selection(**wanted), arguments.number("timeout", timeout)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"{first['loc'][0]} is {first['input']!r}: {first['msg']}.") from None
