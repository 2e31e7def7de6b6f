"""Every route of the control API: one row each, with the models of what it takes and gives, and what does it."""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from emulator.control import api
from emulator.control.api import Controlled
from emulator.control.models import (
    AccountRow,
    Accounts,
    AcknowledgeBody,
    AdvanceBody,
    Anything,
    BalanceBody,
    ClockBody,
    ExchangeAnswer,
    Exchanges,
    Exporting,
    FaultBody,
    FaultRows,
    Id,
    InNamespace,
    NamespaceBody,
    NamespaceRow,
    NamespaceRows,
    ProvidersAnswer,
    Removed,
    ResetBody,
    Rules,
    ScenarioText,
    Selection,
    Speed,
    SpeedBody,
    Status,
    Time,
    TimingAnswer,
    TopUpBody,
    VerdictAnswer,
    VerdictQuery,
    VersionAnswer,
    Waiting,
)
from emulator.scenario.document import Document, inside
from emulator.scenario.loading import build, parse
from emulator.scenario.models import RuleModel, Scenario
from emulator.state.namespace import CompiledScenario, compile_document

PREFIX = "/__emulator"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the control API, checked."""

    namespace: str
    origin: str
    """What stands before a provider's name in URLs."""
    path: dict[str, str]
    query: Any
    body: Any
    document: Document
    """The body as it was sent, with the positions of everything in it."""


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is not JSON."""

    body: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that goes on until its reader leaves."""

    parts: AsyncIterator[bytes]
    media_type: str


Do = Callable[[Controlled, Asked], Any]


@dataclass(frozen=True, slots=True)
class ControlRoute:
    """One row. `do` gives plain data, a `Text`, or an awaitable of either."""

    method: str
    path: str
    """What follows `/__emulator/`; `{name}` stands for one segment."""
    summary: str
    do: Do
    answer: type[BaseModel] = Anything
    body: type[BaseModel] | None = None
    query: type[BaseModel] = InNamespace
    status: int = 200
    errors: tuple[int, ...] = ()
    media_types: tuple[str, ...] = ("application/json",)
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        object.__setattr__(self, "pattern", re.compile(pattern))


def _scenario_from(asked: Asked) -> CompiledScenario:
    """The scenario in a body: as JSON, or as the text of a file. Raises ScenarioError."""
    data = asked.document.data
    if isinstance(data, dict) and "text" in data:
        given = build(ScenarioText, asked.document)
        return compile_document(parse(given.text, "scenario", given.format))
    return compile_document(asked.document)


def _namespace_from(server: Controlled, asked: Asked) -> Any:
    given: NamespaceBody = asked.body
    compiled = None
    if isinstance(given.scenario, ScenarioText):
        compiled = compile_document(parse(given.scenario.text, "scenario", given.scenario.format))
    elif given.scenario is not None:
        compiled = compile_document(inside(asked.document, "scenario"))
    return api.give_namespace(server, asked.path["name"], compiled, given.seed)


def _export(server: Controlled, asked: Asked) -> Text:
    from emulator.control.export import EXPORTS

    exchanges = api.selected(server.namespaces.get(asked.namespace).journal, asked.query)
    export, media_type = EXPORTS[asked.query.format]
    return Text(export([each.details() for each in exchanges]), media_type)


def _metrics(server: Controlled, asked: Asked) -> Text:
    return Text(api.metrics(server), "text/plain; version=0.0.4; charset=utf-8")


def _events(server: Controlled, asked: Asked) -> Stream:
    from emulator.control.events import Events

    return Stream(Events(server.namespaces.get(asked.namespace).journal, asked.query).stream(), "text/event-stream")


def _openapi(server: Controlled, asked: Asked) -> Any:
    from emulator.control.openapi import document

    return document(ROUTES, api.about(server)["version"])


def _schema(server: Controlled, asked: Asked) -> Any:
    from emulator.scenario.json_schema import json_schema

    return json_schema()


ROUTES: tuple[ControlRoute, ...] = (
    ControlRoute("GET", "health", "Whether it answers.", lambda s, a: api.health(s), Status),
    ControlRoute(
        "GET", "ready", "Whether the newest version of the files can be used.", lambda s, a: api.ready(s), Status,
        errors=(503,),
    ),
    ControlRoute("GET", "version", "Which emulator this is.", lambda s, a: api.about(s), VersionAnswer),
    ControlRoute(
        "GET", "providers", "The base URL of each provider.", lambda s, a: api.providers(s, a.origin), ProvidersAnswer
    ),
    ControlRoute(
        "GET", "timing", "How well the moments of frames were kept.",
        lambda s, a: api.timing(s), TimingAnswer,
    ),
    ControlRoute("GET", "metrics", "Metrics for Prometheus.", _metrics, media_types=("text/plain",)),
    ControlRoute("GET", "openapi.json", "This description.", _openapi),
    ControlRoute("GET", "schema.json", "The JSON Schema of scenarios.", _schema),
    ControlRoute(
        "GET", "journal", "What happened, oldest first.",
        lambda s, a: api.exchanges(s, a.namespace, a.query), Exchanges, query=Selection,
    ),
    ControlRoute(
        "DELETE", "journal", "Forget what happened.",
        lambda s, a: api.clear_journal(s, a.namespace), Removed,
    ),
    ControlRoute(
        "GET", "journal/wait", "Answers once enough exchanges have matched and are over.",
        lambda s, a: api.wait_for(s, a.namespace, a.query, a.query.count, a.query.timeout), Exchanges, query=Waiting,
        errors=(408,),
    ),
    ControlRoute(
        "GET", "journal/export", "What happened, as a file.", _export, query=Exporting,
        media_types=("application/x-ndjson", "application/json", "text/x-shellscript"),
    ),
    ControlRoute(
        "GET", "journal/{number}", "Everything about one exchange.",
        lambda s, a: api.exchange(s, a.namespace, _number(a.path["number"])), ExchangeAnswer, errors=(404,),
    ),
    ControlRoute("GET", "rules", "The rules in the order of trying.", lambda s, a: api.rules(s, a.namespace), Rules),
    ControlRoute(
        "POST", "rules", "Add a rule that is tried before all others.",
        lambda s, a: api.add_rule(s, a.namespace, a.body), Id, body=RuleModel, status=201,
    ),
    ControlRoute(
        "DELETE", "rules", "Remove the rules that were added.",
        lambda s, a: api.remove_rules(s, a.namespace), Removed,
    ),
    ControlRoute(
        "DELETE", "rules/{id}", "Remove one rule that was added.",
        lambda s, a: api.remove_rule(s, a.namespace, a.path["id"]), Removed, errors=(404,),
    ),
    ControlRoute("GET", "scenario", "The scenario.", lambda s, a: api.scenario(s, a.namespace)),
    ControlRoute(
        "PUT", "scenario", "Answer from another scenario, given as JSON or as text.",
        lambda s, a: api.use_scenario(s, a.namespace, _scenario_from(a)), body=Scenario,
    ),
    ControlRoute(
        "GET", "faults", "The faults that wait for requests.",
        lambda s, a: api.faults(s, a.namespace), FaultRows,
    ),
    ControlRoute(
        "POST", "faults", "Arm a fault.",
        lambda s, a: api.add_fault(s, a.namespace, a.body.fault, a.body.times), Id, body=FaultBody, status=201,
    ),
    ControlRoute("DELETE", "faults", "Disarm all faults.", lambda s, a: api.remove_faults(s, a.namespace), Removed),
    ControlRoute(
        "DELETE", "faults/{id}", "Disarm a fault.",
        lambda s, a: api.remove_fault(s, a.namespace, a.path["id"]), Removed, errors=(404,),
    ),
    ControlRoute(
        "GET", "accounts", "What is left on each account.",
        lambda s, a: api.accounts(s, a.namespace), Accounts,
    ),
    ControlRoute(
        "PUT", "accounts/{provider}/{key}", "Let so much be left on an account.",
        lambda s, a: api.set_balance(s, a.namespace, a.path["provider"], a.path["key"], a.body.balance),
        AccountRow, body=BalanceBody, errors=(404,),
    ),
    ControlRoute(
        "POST", "accounts/{provider}/{key}/top-up", "Add to what is left on an account.",
        lambda s, a: api.top_up(s, a.namespace, a.path["provider"], a.path["key"], a.body.amount),
        AccountRow, body=TopUpBody, errors=(404, 409),
    ),
    ControlRoute(
        "GET", "events", "What happens, as it happens: server-sent events `begin`, `move` and `end`.", _events,
        query=Selection, media_types=("text/event-stream",),
    ),
    ControlRoute("GET", "speed", "How many times as fast all paces are.", lambda s, a: api.speed(s), Speed),
    ControlRoute(
        "PUT", "speed", "Multiply all paces of the server.",
        lambda s, a: api.set_speed(s, a.body.speed), Speed, body=SpeedBody,
    ),
    ControlRoute("GET", "clock", "What time it is.", lambda s, a: api.clock(s, a.namespace), Time),
    ControlRoute(
        "PUT", "clock", "Choose what moves the clock.",
        lambda s, a: api.set_clock(s, a.namespace, a.body.mode), Time, body=ClockBody,
    ),
    ControlRoute(
        "POST", "clock/advance", "Let time pass on a clock that is not real.",
        lambda s, a: api.advance(s, a.namespace, a.body.seconds), Time, body=AdvanceBody,
    ),
    ControlRoute("GET", "namespaces", "All namespaces.", lambda s, a: api.namespaces(s), NamespaceRows),
    ControlRoute(
        "PUT", "namespaces/{name}", "Make a namespace anew.", _namespace_from, NamespaceRow, body=NamespaceBody,
        errors=(409,),
    ),
    ControlRoute(
        "DELETE", "namespaces/{name}", "Forget a namespace.",
        lambda s, a: api.remove_namespace(s, a.path["name"]), Removed, errors=(404, 409),
    ),
    ControlRoute(
        "POST", "reset", "Begin anew; the journal and the scenario stay.",
        lambda s, a: api.reset(s, a.namespace), Status, body=ResetBody,
    ),
    ControlRoute(
        "GET", "verdict", "What the journal shows of the client that made these requests.",
        lambda s, a: api.verdict(s, a.namespace, a.query), VerdictAnswer, query=VerdictQuery,
    ),
    ControlRoute(
        "POST", "acknowledge", "Say how an exchange ended for the client.",
        lambda s, a: api.acknowledge(s, a.namespace, a.body), body=AcknowledgeBody, errors=(404,),
    ),
)  # fmt: skip


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise api.NotFound(f"'{text[:80]}' is not the number of an exchange.")
    return int(text)
