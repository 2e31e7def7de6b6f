"""Replays a saved run: each request gets the bytes of the corresponding recorded one, with the same timing."""

from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from emulator.dialects.base import ProviderError
from emulator.engine import PlannedResponse
from emulator.records import struct
from emulator.reply import Usage
from emulator.request import HttpRequest
from emulator.state.connections import body_digest
from emulator.state.exchanges import Exchange
from emulator.state.namespace import Namespace
from emulator.wire import Close, Data, End, Hang, Head, Raw, Reset, Step

Row = Mapping[str, Any]
Place = tuple[str, str, str]


@struct
class _Cursor:
    """The progress of one namespace in a run."""

    used: set[int] = field(default_factory=set)
    latest: dict[tuple[Place, str], Row] = field(default_factory=dict)


class Replay:
    """A saved run. A request gets the answer to the recorded one with the same body, in the recorded order, or if
    its body is new, the next answer at its path. The scenario answers everything else.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = [row for row in rows if can_replay(row)]
        self._by_place: dict[Place, list[Row]] = {}
        for row in self._rows:
            self._by_place.setdefault(_place(row), []).append(row)
        self._digests = {(_place(row), row.get("body_digest")) for row in self._rows}
        self._cursors: dict[str, _Cursor] = {}

    def take(self, http_request: HttpRequest, namespace: Namespace) -> PlannedResponse | None:
        """Returns the recorded answer; None if there is none."""
        row = self._next(http_request, self._cursors.setdefault(namespace.name, _Cursor()))
        if row is None:
            return None
        exchange = namespace.begin(_routed(http_request, namespace))
        _fill(exchange, row)
        exchange.shorten()
        return PlannedResponse(list(steps_of(row)), exchange)

    def _next(self, http_request: HttpRequest, cursor: _Cursor) -> Row | None:
        place = http_request.provider, http_request.method, http_request.path
        digest = body_digest(http_request.body)
        is_known = (place, digest) in self._digests
        for row in self._by_place.get(place, ()):
            if row["number"] not in cursor.used and (not is_known or row.get("body_digest") == digest):
                cursor.used.add(row["number"])
                cursor.latest[place, digest] = row
                return row
        return cursor.latest.get((place, digest))


def can_replay(row: Row) -> bool:
    """Whether a record contains its complete answer."""
    return bool(row["provider"]) and not row["response"]["truncated"] and row["ended"] is not None


def _place(row: Row) -> Place:
    return row["provider"], row["method"], row["path"]


def _routed(http_request: HttpRequest, namespace: Namespace) -> HttpRequest:
    try:
        provider = namespace.compiled.providers[http_request.provider]
        operation, parameters = provider.route(http_request.method, http_request.path)
    except ProviderError:
        return http_request
    return http_request.routed(operation.name, operation.dialect, parameters)


def _fill(exchange: Exchange, row: Row) -> None:
    for name in ("model", "stream", "rule", "outcome", "error", "message", "status", "attempt"):
        setattr(exchange, name, row[name])
    exchange.faults = tuple(row["faults"])
    exchange.notes = (f"replayed: exchange {row['number']} of the saved run",)
    if row["usage"]:
        counts = {name: row["usage"][name] for name in ("prompt", "completion", "total", "reasoning", "cached")}
        exchange.usage = Usage(**counts)


def steps_of(row: Row) -> Iterator[Step]:
    """Yields the steps of a recorded answer, as it was sent."""
    response, frames = row["response"], [frame for frame in row["frames"] if frame["sent"] is not None]
    body = b64decode(response["body_base64"]) if response.get("body_base64") else response["text"].encode()
    first = frames[0]["sent"] if frames else 0.0
    if response["status"] and response.get("is_head_sent", True):
        headers = tuple(
            [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response["headers"].items()]
        )
        is_stream = "event-stream" in response["headers"].get("content-type", "")
        yield Head(response["status"], headers, 0.0 if is_stream else first, framing=response.get("framing"))
    position = 0
    for frame in frames:
        data = body[position : position + frame["bytes"]]
        position += len(data)
        yield Raw(data, frame["sent"]) if frame["part"] == "raw" else Data(data, frame["part"], at=frame["sent"])
    last = frames[-1]["sent"] if frames else 0.0
    if position < len(body):
        yield Data(body[position:], at=max(last, row["last_sent"] or 0.0))
    yield _end_of(row, max(last, row.get("ended_at") or 0.0))


def _end_of(row: Row, at: float) -> Step:
    match row["ended"]:
        case "closed":
            return Close(at)
        case "reset" | "shutdown":
            return Reset(at)
        case "client_closed":
            return Hang(at)
    return End(at)
