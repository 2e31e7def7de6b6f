"""Every route of the control API: one row each, with its function and its request and response models."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import field
from functools import cache
from typing import Any

from pydantic import BaseModel

from emulator.control import accounts, api, in_store, merging
from emulator.control.controlled import Controlled
from emulator.control.in_store import InStore
from emulator.control.merging import Merge
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
from emulator.offload import Pool
from emulator.records import record
from emulator.scenario.document import Document, inside
from emulator.scenario.loading import build, parse
from emulator.scenario.models import RuleModel, Scenario
from emulator.state.compiled import CompiledScenario, compile_document

PREFIX = "/__emulator"
DESCRIBERS = Pool("description", 1)
"""Descriptions never change, so each is written once, in a thread: that takes a tenth of a second."""

JsonObject = dict[str, Any]


@record
class Asked:
    """A validated request to the control API."""

    namespace: str
    origin: str
    """The prefix of providers' names in URLs."""
    path: dict[str, str]
    query: Any
    body: Any
    document: Document
    """The body as sent, with the positions of its values."""


@record
class Text:
    """A response that isn't JSON."""

    body: str
    media_type: str


@record
class Stream:
    """A response that continues until its reader leaves."""

    parts: AsyncIterator[bytes]
    media_type: str


Do = Callable[[Controlled, Asked], Any]


@record
class ControlRoute:
    """One route. `do` returns plain data or a Stream, or an awaitable; `merge` may turn it into a Text."""

    method: str
    path: str
    """The path after `/__emulator/`; `{name}` stands for one segment."""
    summary: str
    do: Do
    answer: type[BaseModel] = Anything
    body: type[BaseModel] | None = None
    query: type[BaseModel] = InNamespace
    status: int = 200
    errors: tuple[int, ...] = ()
    media_types: tuple[str, ...] = ("application/json",)
    is_local: bool = False
    """Whether any worker can answer it without asking the others."""
    merge: Merge | None = None
    """Merges the results of `do` from all workers, possibly as an awaitable; None: any of them is the answer."""
    in_store: InStore | None = None
    """Adds the counts of a store that all processes share."""
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        object.__setattr__(self, "pattern", re.compile(pattern))


def _scenario_from(asked: Asked) -> CompiledScenario:
    """The scenario in a body: JSON, or the text of a file. Raises ScenarioError."""
    data = asked.document.data
    if isinstance(data, dict) and "text" in data:
        given = build(ScenarioText, asked.document)
        return compile_document(parse(given.text, "scenario", given.format))
    return compile_document(asked.document)


def _namespace_from(server: Controlled, asked: Asked) -> Any:
    given: NamespaceBody = asked.body
    return api.give_namespace(server, asked.path["name"], _script_of(asked), given.seed)


def _script_of(asked: Asked) -> CompiledScenario | None:
    """Returns the initial scenario of a namespace, if one is given. Raises ScenarioError."""
    given: NamespaceBody = asked.body
    if isinstance(given.scenario, ScenarioText):
        return compile_document(parse(given.scenario.text, "scenario", given.scenario.format))
    return None if given.scenario is None else compile_document(inside(asked.document, "scenario"))


def _verdict(parts: Sequence[list[dict[str, Any]]], asked: Asked) -> Awaitable[dict[str, Any]]:
    return api.verdict([row for part in parts for row in part], asked.query)


def _details(server: Controlled, asked: Asked) -> Any:
    return [each.details() for each in api.selected(server.namespaces.get(asked.namespace).journal, asked.query)]


def _export(parts: Sequence[Any], asked: Asked) -> Text:
    from emulator.control.export import EXPORTS

    export, media_type = EXPORTS[asked.query.format]
    return Text(export(merging.rows(parts, asked.query.limit)), media_type)


def _metrics(parts: Sequence[Any], asked: Asked) -> Text:
    return Text(api.metrics(parts), "text/plain; version=0.0.4; charset=utf-8")


def _events(server: Controlled, asked: Asked) -> Stream:
    from emulator.control.events import Events

    return Stream(Events(server.namespaces.get(asked.namespace).journal, asked.query).stream(), "text/event-stream")


def _openapi(server: Controlled, asked: Asked) -> Awaitable[JsonObject]:
    return DESCRIBERS.run(_described_routes, api.about(server)["version"])


def _schema(server: Controlled, asked: Asked) -> Awaitable[JsonObject]:
    return DESCRIBERS.run(_described_scenarios)


@cache
def _described_routes(version: str) -> JsonObject:
    from emulator.control.openapi import document

    return document(ROUTES, version)


@cache
def _described_scenarios() -> JsonObject:
    from emulator.scenario.json_schema import json_schema

    return json_schema()


ROUTES: tuple[ControlRoute, ...] = (
    ControlRoute("GET", "health", "Whether the server responds.", lambda s, a: api.health(s), Status, is_local=True),
    ControlRoute(
        "GET", "ready", "Whether the newest version of the files is valid.", lambda s, a: api.ready(s), Status,
        errors=(503,), merge=merging.ready,
    ),
    ControlRoute(
        "GET", "version", "The emulator's version.", lambda s, a: api.about(s), VersionAnswer, merge=merging.about,
    ),
    ControlRoute(
        "GET", "providers", "The base URL of each provider.",
        lambda s, a: api.providers(s, a.origin), ProvidersAnswer, is_local=True,
    ),
    ControlRoute(
        "GET", "timing", "How punctually frames were sent.",
        lambda s, a: s.timing.dumped(), TimingAnswer, merge=merging.timing,
    ),
    ControlRoute(
        "GET", "metrics", "Metrics for Prometheus.",
        lambda s, a: api.measured(s), media_types=("text/plain",), merge=_metrics,
    ),
    ControlRoute("GET", "openapi.json", "This description.", _openapi, is_local=True),
    ControlRoute("GET", "schema.json", "The JSON Schema of scenarios.", _schema, is_local=True),
    ControlRoute(
        "GET", "journal", "The exchanges, oldest first.",
        lambda s, a: api.exchanges(s, a.namespace, a.query), Exchanges, query=Selection, merge=merging.exchanges,
    ),
    ControlRoute(
        "DELETE", "journal", "Clear the journal.",
        lambda s, a: api.clear_journal(s, a.namespace), Removed, merge=merging.removed,
    ),
    ControlRoute(
        "GET", "journal/wait", "Wait until enough matching exchanges have ended.",
        lambda s, a: api.wait_for(s, a.namespace, a.query, a.query.count, a.query.timeout), Exchanges, query=Waiting,
        errors=(408,),
    ),
    ControlRoute(
        "GET", "journal/export", "Export the journal as a file.", _details, query=Exporting, merge=_export,
        media_types=("application/x-ndjson", "application/json", "text/x-shellscript"),
    ),
    ControlRoute(
        "GET", "journal/{number}", "Everything about one exchange.",
        lambda s, a: api.exchange(s, a.namespace, api.number_in(a.path["number"])), ExchangeAnswer, errors=(404,),
    ),
    ControlRoute(
        "GET", "rules", "The rules in the order in which they are tried.",
        lambda s, a: api.rules(s, a.namespace), Rules, merge=merging.rules, in_store=in_store.rules_in_store,
    ),
    ControlRoute(
        "POST", "rules", "Add a rule that is tried before all others.",
        lambda s, a: api.add_rule(s, a.namespace, a.body), Id, body=RuleModel, status=201,
    ),
    ControlRoute(
        "DELETE", "rules", "Remove all added rules.",
        lambda s, a: api.remove_rules(s, a.namespace), Removed,
    ),
    ControlRoute(
        "DELETE", "rules/{id}", "Remove an added rule.",
        lambda s, a: api.remove_rule(s, a.namespace, a.path["id"]), Removed, errors=(404,),
    ),
    ControlRoute("GET", "scenario", "The scenario.", lambda s, a: api.scenario(s, a.namespace)),
    ControlRoute(
        "PUT", "scenario", "Replace the scenario, with JSON or with text.",
        lambda s, a: api.use_scenario(s, a.namespace, _scenario_from(a)), body=Scenario,
    ),
    ControlRoute(
        "GET", "faults", "The added faults.",
        lambda s, a: api.faults(s, a.namespace), FaultRows, merge=merging.faults, in_store=in_store.faults_in_store,
    ),
    ControlRoute(
        "POST", "faults", "Add a fault.",
        lambda s, a: api.add_fault(s, a.namespace, a.body.fault, a.body.times), Id, body=FaultBody,
        status=201,
    ),
    ControlRoute("DELETE", "faults", "Remove all faults.", lambda s, a: api.remove_faults(s, a.namespace), Removed),
    ControlRoute(
        "DELETE", "faults/{id}", "Remove an added fault.",
        lambda s, a: api.remove_fault(s, a.namespace, a.path["id"]), Removed, errors=(404,),
    ),
    ControlRoute(
        "GET", "accounts", "The accounts and their balances.",
        lambda s, a: accounts.rows(s, a.namespace), Accounts,
    ),
    ControlRoute(
        "PUT", "accounts/{provider}/{key}", "Set the balance of an account.",
        lambda s, a: accounts.set_balance(s, a.namespace, a.path["provider"], a.path["key"], a.body.balance),
        AccountRow, body=BalanceBody, errors=(404, 409),
    ),
    ControlRoute(
        "POST", "accounts/{provider}/{key}/top-up", "Add to the balance of an account.",
        lambda s, a: accounts.top_up(s, a.namespace, a.path["provider"], a.path["key"], a.body.amount),
        AccountRow, body=TopUpBody, errors=(404, 409),
    ),
    ControlRoute(
        "GET", "events", "Follow exchanges live: server-sent events `begin`, `move` and `end`.", _events,
        query=Selection, media_types=("text/event-stream",),
    ),
    ControlRoute("GET", "speed", "The speed multiplier for all paces.", lambda s, a: api.speed(s), Speed),
    ControlRoute(
        "PUT", "speed", "Multiply all paces of the server.",
        lambda s, a: api.set_speed(s, a.body.speed), Speed, body=SpeedBody,
    ),
    ControlRoute("GET", "clock", "The namespace's time.", lambda s, a: api.clock(s, a.namespace), Time),
    ControlRoute(
        "PUT", "clock", "Choose what moves the clock.",
        lambda s, a: api.set_clock(s, a.namespace, a.body.mode), Time, body=ClockBody,
    ),
    ControlRoute(
        "POST", "clock/advance", "Advance a virtual or manual clock.",
        lambda s, a: api.advance(s, a.namespace, a.body.seconds), Time, body=AdvanceBody,
        errors=(409,),
    ),
    ControlRoute(
        "GET", "namespaces", "All namespaces.",
        lambda s, a: api.namespaces(s), NamespaceRows, merge=merging.namespaces, in_store=in_store.namespaces_in_store,
    ),
    ControlRoute(
        "PUT", "namespaces/{name}", "Create or replace a namespace.", _namespace_from, NamespaceRow, body=NamespaceBody,
        errors=(409,),
    ),
    ControlRoute(
        "DELETE", "namespaces/{name}", "Remove a namespace.",
        lambda s, a: api.remove_namespace(s, a.path["name"]), Removed, errors=(404, 409),
    ),
    ControlRoute(
        "POST", "reset", "Reset everything except the journal and the scenario.",
        lambda s, a: api.reset(s, a.namespace), Status, body=ResetBody,
    ),
    ControlRoute(
        "GET", "verdict", "What the journal shows about the client that made these requests.",
        lambda s, a: api.evidence(s, a.namespace), VerdictAnswer, query=VerdictQuery, merge=_verdict,
    ),
    ControlRoute(
        "POST", "acknowledge", "Report how an exchange ended for the client.",
        lambda s, a: api.acknowledge(s, a.namespace, a.body), body=AcknowledgeBody, errors=(404,),
    ),
)  # fmt: skip
