"""The operations on a running server: plain functions that Python, HTTP and the command line call.

They run in the server's event loop, and only `wait_for` waits. They don't touch open answers, and they return plain
data. They raise UsageError for invalid arguments, ScenarioError for an invalid scenario or rule, NotFound if something
doesn't exist."""

import asyncio
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from math import inf
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from emulator.control.controlled import Conflict, Controlled, NotFound, TimedOut
from emulator.control.in_store import stored
from emulator.errors import UsageError, did_you_mean, shortened
from emulator.faults import fault_of, spelled
from emulator.faults.base import Fault
from emulator.offload import Pool
from emulator.pace import checked_speed
from emulator.providers import PROVIDERS
from emulator.scenario.models import RuleModel
from emulator.state import exchanges as records
from emulator.state.compiled import CompiledScenario
from emulator.state.exchanges import Exchange
from emulator.state.journal import Journal
from emulator.state.namespace import NAME, ClockMode, Namespace
from emulator.state.store import LASTING_COUNTS

JUDGES = Pool("verdict", 1)
"""Judging a whole journal takes a while."""
if TYPE_CHECKING:  # the HTTP models are slow to load, and Python users need none of them
    from emulator.control.models import AcknowledgeBody, Selection, VerdictQuery

# The server


def health(server: Controlled) -> dict[str, Any]:
    """Confirms that the server responds."""
    return {"status": "ok"}


def ready(server: Controlled) -> dict[str, Any]:
    """Whether the newest version of the files is valid; until it is, the last valid one answers."""
    problems = [str(problem) for problem in server.problems]
    return {"status": "problems", "problems": problems} if problems else {"status": "ok"}


@cache
def _version() -> str:
    try:
        return version("llm-provider-emulator")
    except PackageNotFoundError:
        return "unknown"


def about(server: Controlled) -> dict[str, Any]:
    """The emulator's version."""
    return {"version": _version(), "python": platform.python_version(), "workers": 1}


def providers(server: Controlled, origin: str) -> dict[str, Any]:
    """The base URL of each provider."""
    if server.provider is not None:
        return {"providers": {server.provider: origin}}
    return {"providers": {name: f"{origin}/{name}" for name in PROVIDERS}}


def measured(server: Controlled) -> dict[str, Any]:
    """Returns this process's measurements as plain data, from which metrics are made."""
    journals = [namespace.journal for namespace in server.namespaces]
    return {
        "totals": server.totals.to_dict(),
        "timing": server.timing.dumped(),
        "open_streams": len(server.players.active),
        "namespaces": len(server.namespaces),
        "journal_exchanges": sum(len(journal) for journal in journals),
        "journal_bytes": sum(journal.bytes for journal in journals),
    }


def metrics(parts: Sequence[Mapping[str, Any]]) -> str:
    """The measurements of all processes, in the Prometheus format."""
    from emulator.control.metrics import exposed

    return exposed(_version(), parts)


def speed(server: Controlled) -> dict[str, Any]:
    """The speed multiplier for all paces; None if all delays are removed."""
    return {"speed": None if server.speed == inf else server.speed}


def set_speed(server: Controlled, factor: float | None) -> dict[str, Any]:
    """Multiplies all paces from the next answer on; None removes all delays. Raises UsageError."""
    server.set_speed(checked_speed(inf if factor is None else factor))
    return speed(server)


# What happened


def selected(journal: Journal, wanted: "Selection") -> list[Exchange]:
    """The matching exchanges, oldest first."""
    found = [exchange for exchange in journal if fits(exchange, wanted)]
    return found if wanted.limit is None else found[-wanted.limit :]


def fits(exchange: Exchange, wanted: "Selection") -> bool:
    """Whether an exchange matches a filter."""
    provider, _, _ = exchange.place
    return (
        (wanted.since is None or exchange.number > wanted.since)
        and (wanted.provider is None or provider == wanted.provider)
        and (wanted.rule is None or exchange.rule == wanted.rule)
        and (wanted.outcome is None or exchange.outcome == wanted.outcome)
        and (wanted.model is None or exchange.model == wanted.model)
        and (wanted.status is None or wanted.status in (str(exchange.status), f"{exchange.status // 100}xx"))
    )


def exchanges(server: Controlled, namespace: str, wanted: "Selection") -> dict[str, Any]:
    """The exchanges in the journal, oldest first."""
    return {"exchanges": [each.row() for each in selected(server.namespaces.get(namespace).journal, wanted)]}


def exchange(server: Controlled, namespace: str, number: int) -> dict[str, Any]:
    """Everything about one exchange. Raises NotFound."""
    return found(server, namespace, number).details()


def found(server: Controlled, namespace: str, number: int) -> Exchange:
    """The exchange with this number. Raises NotFound."""
    journal = server.namespaces.get(namespace).journal
    kept = journal.get(number)
    if kept is None:
        reason = "it was dropped" if 0 < number <= journal.count else f"the last one is {journal.count}"
        raise NotFound(f"The journal of '{namespace}' has no exchange {number}: {reason}.")
    return kept


def number_in(text: str) -> int:
    """The number of an exchange in a path. Raises NotFound."""
    if not (text.isascii() and text.isdecimal() and len(text) < 17):
        raise NotFound(f"'{text[:80]}' is not the number of an exchange.")
    return int(text)


def clear_journal(server: Controlled, namespace: str) -> dict[str, Any]:
    """Removes all exchanges; numbers continue."""
    journal = server.namespaces.get(namespace).journal
    removed = len(journal)
    journal.clear()
    return {"removed": removed}


async def wait_for(
    server: Controlled, namespace: str, wanted: "Selection", count: int, seconds: float
) -> dict[str, Any]:
    """Waits until this many matching exchanges have ended, and returns them. Raises TimedOut."""
    journal = server.namespaces.get(namespace).journal
    every = wanted.model_copy(update={"limit": None})

    def over() -> list[Exchange]:
        return [each for each in selected(journal, every) if each.ended is not None]

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while len(over()) < count:
                await journal.changed()
    rows = over()
    if len(rows) < count:
        raise TimedOut(not_enough(seconds, len(rows), count))
    return {"exchanges": [each.row() for each in (rows if wanted.limit is None else rows[-wanted.limit :])]}


def not_enough(seconds: float, found: int, count: int) -> str:
    """The message for a wait that timed out."""
    return f"After {seconds:g} seconds, {found} of {count} matching exchanges have ended."


def acknowledge(server: Controlled, namespace: str, word: "AcknowledgeBody") -> dict[str, Any]:
    """Records how an exchange ended for the client. Raises NotFound."""
    number = word.number or word.exchange
    if number is not None:
        exchange = found(server, namespace, number)
    else:
        assert word.id is not None
        exchange = _carrying(server.namespaces.get(namespace).journal, word.id)
    records.acknowledge(exchange, word.model_dump(mode="json", exclude={"number", "exchange", "id"}, exclude_none=True))
    if (changed := server.namespaces.get(namespace).journal.shelf.on_change) is not None:
        changed(exchange)
    return {"number": exchange.number}


async def evidence(server: Controlled, namespace: str) -> list[dict[str, Any]]:
    """Returns all details of every exchange, for a verdict; collected in a thread."""
    exchanges = tuple(server.namespaces.get(namespace).journal)
    return await JUDGES.run(lambda: [exchange.details() for exchange in exchanges])


async def verdict(rows: Sequence[Mapping[str, Any]], wanted: "VerdictQuery") -> dict[str, Any]:
    """Returns a verdict on the client from these exchanges, made in a thread."""
    from emulator.verdict import Limits, judge

    limits = Limits(silence=wanted.silence, first_token=wanted.first_token)
    return (await JUDGES.run(judge, rows, limits)).to_dict()


def _carrying(journal: Journal, id: str) -> Exchange:
    for exchange in reversed(tuple(journal)):
        if exchange.idempotency_key == id:
            return exchange
        response = exchange.response
        if id in response.headers.values() or f'"{id}"' in response.text:
            return exchange
    raise NotFound(f"No response in this journal has the id '{shortened(id)}'.")


# Rules and scenarios


def rules(server: Controlled, namespace: str) -> dict[str, Any]:
    """The rules in the order in which they are tried: added ones first."""
    where = server.namespaces.get(namespace)
    ids = [each.id for each in where.added]
    rows = [
        {
            "id": ids[rule.position] if rule.position < len(ids) else None,
            "name": rule.name,
            "origin": rule.origin,
            "added": rule.position < len(ids),
            "used": where.uses(rule.position),
            "rule": plain(rule.model),
        }
        for rule in where.compiled.rules.rules
    ]
    return {"rules": rows}


def plain(model: BaseModel) -> dict[str, Any]:
    """The explicit values of a model, as JSON."""
    said: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
    return said


def add_rule(server: Controlled, namespace: str, rule: RuleModel) -> Any:
    """Adds a rule, which is tried before all others."""
    where = server.namespaces.own(namespace)
    added = where.add_rule(rule)
    return stored(server, where, {"id": added.id, "name": added.rule.name}, "forget", keys=[f"u:{added.id}"])


def remove_rules(server: Controlled, namespace: str) -> dict[str, Any]:
    """Removes all added rules."""
    return {"removed": server.namespaces.get(namespace).remove_rules()}


def remove_rule(server: Controlled, namespace: str, id: str) -> dict[str, Any]:
    """Removes an added rule. Raises NotFound."""
    where = server.namespaces.get(namespace)
    named = {each.id for each in where.added if id in (each.id, each.rule.name)}
    if not named:
        known = [each.id for each in where.added]
        raise NotFound(f"There is no added rule '{shortened(id)}'.{did_you_mean(id, known)}")
    return {"removed": where.remove_rules(named)}


def scenario(server: Controlled, namespace: str) -> dict[str, Any]:
    """A namespace's scenario, without added rules."""
    return plain(server.namespaces.get(namespace).loaded.scenario)


def use_scenario(server: Controlled, namespace: str, compiled: CompiledScenario, *, keeps_rules: bool = False) -> Any:
    """Replaces the scenario and removes added rules, unless they are to stay."""
    where = server.namespaces.own(namespace)
    if not keeps_rules:
        where.remove_rules()
    limits = where.quotas.defined
    server.namespaces.load(where, compiled)
    result = {"name": compiled.scenario.name, "rules": len(compiled.rules.rules)}
    renews = where.quotas.defined != limits
    return stored(server, where, result, "restart", keys=list(LASTING_COUNTS), renews_quotas=renews)


# Faults


def faults(server: Controlled, namespace: str) -> dict[str, Any]:
    """The added faults that are not used up."""
    registry = server.namespaces.get(namespace).fault_registry
    rows: list[dict[str, Any]] = []
    for source, armed in (("queue", registry.queue), ("live", registry.live)):
        for id, fault in armed.items():
            counter = registry.counted(id)
            times = 1 if source == "queue" else fault.times
            counts = {"times": times, "seen": counter.seen, "applied": counter.struck}
            rows.append({"id": id, "kind": fault.kind, "fault": plain(fault), "source": source, **counts})
    return {"faults": rows}


def add_fault(server: Controlled, namespace: str, fault: Any, times: int | None = None) -> Any:
    """Applies a fault to every request from now on, or to a number of them. Raises UsageError."""
    made = fault_with(fault, {} if times is None else {"times": times})
    key = 0 if server.peers is None else server.peers.order
    where = server.namespaces.own(namespace)
    id = where.fault_registry.add(made, key)
    return stored(server, where, {"id": id}, "forget", keys=[f"f:{id}"])


def queue_fault(server: Controlled, namespace: str, fault: Fault) -> dict[str, Any]:
    """Applies a fault once, to the next request; several calls queue up."""
    return {"id": server.namespaces.own(namespace).fault_registry.push(fault)}


def remove_fault(server: Controlled, namespace: str, id: str) -> dict[str, Any]:
    """Removes a fault. Raises NotFound."""
    registry = server.namespaces.get(namespace).fault_registry
    if not registry.remove(id):
        known = [*registry.queue, *registry.live]
        raise NotFound(f"There is no fault '{shortened(id)}', or it is used up.{did_you_mean(id, known)}")
    return {"removed": 1}


def remove_faults(server: Controlled, namespace: str) -> dict[str, Any]:
    """Removes all faults."""
    return {"removed": server.namespaces.get(namespace).fault_registry.disarm()}


def fault_with(fault: str | int | Mapping[str, Any] | Fault, parameters: Mapping[str, Any]) -> Fault:
    """A fault with some of its parameters given separately. Raises UsageError."""
    if not parameters:
        return fault_of(fault)
    if isinstance(fault, Fault):
        return fault_of({**fault.model_dump(exclude_unset=True, by_alias=True), "kind": fault.kind, **parameters})
    try:
        given = spelled(fault)
    except ValueError as error:
        raise UsageError(f"The fault {error}") from None
    return fault_of({**given, **parameters} if isinstance(given, Mapping) else given)


# Time


def clock(server: Controlled, namespace: str) -> dict[str, Any]:
    """Returns a namespace's time, and what moves its clock."""
    where = server.namespaces.get(namespace)
    return {"mode": where.clock_mode, "now": where.clock.time()}


def set_clock(server: Controlled, namespace: str, mode: ClockMode) -> dict[str, Any]:
    """Gives a namespace another kind of clock; open answers keep theirs."""
    server.namespaces.set_clock(server.namespaces.own(namespace), mode)
    return clock(server, namespace)


def advance(server: Controlled, namespace: str, seconds: float) -> dict[str, Any]:
    """Advances virtual time; whatever is due in between happens at its own time. Raises UsageError, or Conflict if the
    clock is real."""
    if server.namespaces.get(namespace).clock_mode == "real":
        raise Conflict("This clock is real and can't be moved: set `clock: manual` in the scenario.")
    server.namespaces.own(namespace).advance(seconds)
    return clock(server, namespace)


# Namespaces


def namespaces(server: Controlled) -> dict[str, Any]:
    """All namespaces."""
    return {
        "namespaces": [
            _namespace_row(each)
            for each in sorted(server.namespaces, key=lambda each: (each.name != "default", each.name))
        ]
    }


def _namespace_row(where: Namespace) -> dict[str, Any]:
    return {
        "name": where.name,
        "exchanges": len(where.journal),
        "clock": where.clock_mode,
        "state": where.state,
        "seed": where.seed,
        "scenario": where.loaded.scenario.name,
    }


def give_namespace(
    server: Controlled, name: str, compiled: CompiledScenario | None = None, seed: int | None = None
) -> Any:
    """Creates or replaces a namespace, with its own scenario or the server's. Raises UsageError."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"'{shortened(name)}' is not the name of a namespace: 1 to 128 letters, digits, dots, hyphens, underscores."
        )
    if name == "default":
        raise Conflict("The namespace 'default' can't be replaced: PUT its scenario, or reset it.")
    where = server.namespaces.give(name, compiled or server.namespaces.default.loaded, seed)
    return stored(server, where, _namespace_row(where), "reset")


def remove_namespace(server: Controlled, name: str) -> Any:
    """Removes a namespace and everything in it. Raises NotFound, or Conflict for the default one."""
    if name == "default":
        raise Conflict("The namespace 'default' can't be removed: reset it, or PUT another scenario.")
    where = next((each for each in server.namespaces if each.name == name), None)
    if not server.namespaces.remove(name):
        raise NotFound(f"There is no namespace '{shortened(name)}'.")
    return {"removed": 1} if where is None else stored(server, where, {"removed": 1}, "reset")


def reset(server: Controlled, namespace: str) -> Any:
    """Resets counters, state, faults, added rules, balances and quotas; keeps the journal and the scenario."""
    where = server.namespaces.get(namespace)
    where.reset()
    return stored(server, where, {"status": "ok"}, "reset")
