"""The configuration that a server received through the control API, as plain data, for a worker that replaces
another."""

from collections.abc import Mapping
from decimal import Decimal
from math import inf
from typing import Any

from emulator.control.api import plain
from emulator.control.controlled import Controlled
from emulator.faults import fault_of
from emulator.scenario.document import Document
from emulator.scenario.loading import build
from emulator.scenario.models import RuleModel
from emulator.scenario.sources import load_document
from emulator.state.compiled import CompiledScenario, compiled_of
from emulator.state.namespace import Namespace


def taken(server: Controlled) -> dict[str, Any]:
    """Returns the whole configuration."""
    return {
        "speed": None if server.speed == inf else server.speed,
        "namespaces": [
            _given(each, server.namespaces.loaded)
            for each in (server.namespaces.default, *server.namespaces.given.values())
        ],
    }


def _given(where: Namespace, own: CompiledScenario) -> dict[str, Any]:
    loaded = where.loaded
    registry = where.fault_registry
    return {
        "name": where.name,
        "seed": where.given_seed,
        "scenario": None if loaded is own else plain(loaded.scenario),
        "origins": list(loaded.origins),
        "rules": [[each.id, plain(each.model)] for each in where.added],
        "rules_made": where.added_count,
        "faults": [[id, plain(fault)] for id, fault in registry.live.items()],
        "fault_keys": registry.keys,
        "faults_made": registry.last_id,
        "balances": [
            [provider, key, None if left is None else str(left)] for (provider, key), left in where.quotas.given.items()
        ],
        "clock": where.clock_mode,
        "now": where.clock.time(),
    }


def take_over(server: Controlled, given: Mapping[str, Any]) -> None:
    """Applies a configuration to a server that has just started."""
    server.set_speed(inf if given["speed"] is None else given["speed"])
    for each in given["namespaces"]:
        _take_over(server, each)


def adopt(server: Controlled, given: Mapping[str, Any]) -> None:
    """Makes this server's configuration equal to that of others."""
    if _without_time(taken(server)) == _without_time(given):
        return
    namespaces = server.namespaces
    names = {each["name"] for each in given["namespaces"]}
    for name in [name for name in namespaces.given if name not in names]:
        namespaces.remove(name)
    for each in given["namespaces"]:
        where = namespaces.default if each["name"] == "default" else namespaces.given.get(each["name"])
        if where is None:
            continue
        where.remove_rules()
        where.fault_registry.disarm()
        if where.name == "default" and where.loaded is not namespaces.loaded:
            namespaces.load(where, namespaces.loaded)
    take_over(server, given)


def _without_time(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration without the time of clocks that move by themselves."""
    rows = [{**each, "now": each["now"] if each["clock"] == "manual" else None} for each in given["namespaces"]]
    return {"speed": given["speed"], "namespaces": {row["name"]: row for row in rows}}


def _take_over(server: Controlled, given: Mapping[str, Any]) -> None:
    namespaces, scenario = server.namespaces, given["scenario"]
    compiled = namespaces.loaded
    if scenario is not None:
        compiled = compiled_of(load_document(Document("scenario", scenario)).scenario, given["origins"])
    if given["name"] == "default":
        where = namespaces.default
        if scenario is not None:
            namespaces.load(where, compiled)
    elif (known := namespaces.given.get(given["name"])) is not None and known.given_seed == given["seed"]:
        where = known  # its journal stays
        if where.loaded is not compiled:
            namespaces.load(where, compiled)
    else:
        where = namespaces.give(given["name"], compiled, given["seed"])
    if where.clock_mode != given["clock"]:
        namespaces.set_clock(where, given["clock"])
    if where.clock_mode == "manual":
        where.advance(max(0.0, given["now"] - where.clock.time()))
    rules = [(id, build(RuleModel, Document("rule", rule))) for id, rule in given["rules"]]
    where.take_over_rules(rules, given["rules_made"])
    faults = {id: fault_of(fault) for id, fault in given["faults"]}
    where.fault_registry.take_over(faults, given["fault_keys"], given["faults_made"])
    for provider, key, left in given["balances"]:
        where.quotas.give(provider, key, None if left is None else Decimal(left))
