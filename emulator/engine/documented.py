"""Compares recorded answers with what the emulator itself would have sent, so that recordings can correct it."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from emulator.clock import VIRTUAL_START, VirtualClock
from emulator.engine.facts import counts_in, errors_of, fixed_values, other_than, possible_values, reason_in
from emulator.engine.options import Options
from emulator.engine.pipeline import answer
from emulator.engine.provenance import mark_of
from emulator.providers import PROVIDERS
from emulator.providers.base import Operation
from emulator.recording.comparing import Comparison, Recorded, Row
from emulator.recording.drift import LEVELS, Drift, drifts_in
from emulator.recording.readable import readable
from emulator.recording.redaction import Redaction, redacted_headers
from emulator.recording.wire_file import Segment, WireRecord
from emulator.request import HttpRequest
from emulator.state.compiled import compile_scenario
from emulator.state.namespace import Namespace
from emulator.wire import Data, Head, PlannedBody

KEY = "sk-emulator-compares"


def compared_with_ours(recorded: Iterable[Recorded]) -> Comparison:
    """Returns how recorded answers differ from what the emulator renders for the same requests with the same
    content."""
    return asyncio.run(_compared(recorded))


async def _compared(recorded: Iterable[Recorded]) -> Comparison:
    result = Comparison()
    for each in recorded:
        drifts = await contradicted(each.wire)
        if drifts is None:
            continue
        result.compared += 1
        result.rows += [Row(drift, each.title, str(each.path), mark_of(drift, each.wire)) for drift in drifts]
    return result


async def contradicted(wire: WireRecord) -> list[Drift] | None:
    """Returns how a recorded answer differs from the emulator's own; None if its endpoint is unknown."""
    if wire.provider not in PROVIDERS or not wire.operation or wire.framing == "raw":
        return None
    said = said_in(wire)
    if wire.status >= 400 and "error" in said:
        ours = [await rendered(wire, each) for each in (said, *({"error": name} for name in errors_of(wire)))]
        facts = possible_values(ours, await rendered(wire, said, is_later=True))
        return min((drifts_in(each, wire, facts) for each in ours), key=_weight)
    ours = [await rendered(wire, said), await rendered(wire, other_than(said), is_later=True)]
    return drifts_in(ours[0], wire, fixed_values(ours, wire, is_completion=_is_completion(wire)))


def _weight(drifts: Sequence[Drift]) -> tuple[int, ...]:
    return tuple(sum(drift.level == level for drift in drifts) for level in LEVELS)


def said_in(wire: WireRecord) -> dict[str, Any]:
    """Returns a recorded answer as a rule of a scenario."""
    said = readable(wire, is_completion=_is_completion(wire))
    if "error" in said:
        return {"error": {"status": wire.status}} if wire.status >= 300 else {}
    return {"reply": {**said["reply"], **counts_in(wire), **reason_in(wire)}} if "reply" in said else said


async def rendered(wire: WireRecord, said: Mapping[str, Any], *, is_later: bool = False) -> WireRecord:
    """Returns the emulator's own answer to a recorded request; `is_later`: at another time, with other ids."""
    match = {"provider": wire.provider, "operation": wire.operation}
    scenario = {"rules": [{"match": match, **said}] if said else [], "seed": int(is_later)}
    clock = VirtualClock(start=VIRTUAL_START + 1e6 * is_later)
    namespace = Namespace("diff", compile_scenario(scenario), clock)
    response = await answer(request_of(wire), namespace, Options())
    response.end()
    steps = response.answer.steps() if isinstance(response.answer, PlannedBody) else response.answer
    head = next(step for step in steps if isinstance(step, Head))
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
    body = b"".join(step.data for step in steps if isinstance(step, Data))
    return WireRecord(
        head.status,
        tuple(redacted_headers(headers, Redaction(), KEY)),
        "chunks",
        (Segment(0.0, body),),
        provider=wire.provider,
        operation=wire.operation,
        dialect=wire.dialect,
    )


def request_of(wire: WireRecord) -> HttpRequest:
    """Restores a recorded request, with a dummy key."""
    request, provider = wire.request, PROVIDERS[wire.provider]
    headers = {name.lower(): value for name, value in request.get("headers", ())}
    headers |= {name.lower(): value for name, value in provider.example_headers.items() if name.lower() not in headers}
    headers.setdefault("content-type", "application/json")
    name, _, value = provider.auth_header.partition(":")
    scheme, blank, _ = value.strip().rpartition(" ")
    headers[name.strip().lower()] = f"{scheme}{blank}{KEY}"
    body = request.get("body")
    data = body.encode() if isinstance(body, str) else orjson.dumps(body)
    query = request.get("query", "")
    key = provider().credential_in(headers, query)
    return HttpRequest(wire.provider, request["method"], request["path"], headers, query, data, key=key)


def _is_completion(wire: WireRecord) -> bool:
    return any(each.is_completion for each in _operations(wire))


def _operations(wire: WireRecord) -> Iterator[Operation]:
    yield from (each for each in PROVIDERS[wire.provider].operations if each.name == wire.operation)
