"""Packs an exchange, in a few microseconds, into bytes that another process can read: what a killed process leaves
behind.

Making the full record of an exchange takes longer than answering a known request. So the bytes of the request and of
its answer are packed as they are, with the plain facts about them; whoever reads them makes the record. An answer that
is given again differs from its template only in its blanks."""

import json
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from struct import Struct
from typing import Any, NamedTuple

import orjson

from emulator.providers import shape_of
from emulator.reply import Usage
from emulator.request import HttpRequest
from emulator.state.blanks import BlankAnswer, Recollection
from emulator.state.connections import body_digest
from emulator.state.evidence import key_id, leaks
from emulator.state.exchanges import UNEXPLAINED, Exchange, Frames, frames_of
from emulator.state.recorded import MAX_REQUEST_BYTES, RecordedResponse, Why
from emulator.state.redaction import KEYS, headers_of, query_of, redacted, redacted_body
from emulator.wire import Ended, Header, PlannedBody, Playback

LOST: Ended = "lost"
MAX_HEADS = 512
"""The most heads of requests that are kept packed."""
MAX_TEMPLATES = 1024
MAX_REPEATED = 16384
"""The most bytes of a body in a record that refers to a template."""
WHOLE, TEMPLATE, AGAIN = 0, 1, 2
"""The kinds of records: a whole exchange, what several exchanges have in common, and what one adds to that."""
_LENGTH = Struct("=I")
_SIZES = Struct("=IIII")
_COUNTS = Struct("=9q")
_AGAIN = Struct("=IBIQddddIIIIHHHI")
"""What an exchange adds to its template, and the sizes of its token counts, cost, values and body."""
_BLANK = re.compile(rb"\0(\d+)\0")
_PLAIN = (
    "namespace", "arrived", "model", "stream", "rule", "outcome", "error", "message", "status", "tokenizer",
    "is_estimate", "attempt", "connection", "body_size",
)  # fmt: skip
"""The facts that are kept as they are."""
Wire = bytes
"""An answer as it is sent: status line, headers and body, framed."""
_Parts = tuple[bytes, bytes, bytes, Wire]
"""The facts about an exchange, the head of its request, the body, and the answer."""


class Unpacked(NamedTuple):
    """An exchange of a process that is gone."""

    exchange: Exchange
    known: dict[str, Any]
    """Its details that can't be found without its credential."""


class _Unexplained(Why):
    """Stands in for explanations that only the process that answered could give."""

    __slots__ = ()

    def find(self) -> list[str]:
        return [UNEXPLAINED]


_UNEXPLAINED = _Unexplained()


@dataclass(slots=True, eq=False)
class _Template:
    """What exchanges have in common whose requests have the same head and whose answers the same blanks."""

    number: int
    period: int
    """When it was packed last."""
    blank: BlankAnswer
    first: Exchange
    is_clean: bool
    """Whether there is no credential in it."""


class Packer:
    """Packs the exchanges of one process. Each record begins with its length and its kind."""

    def __init__(self, *, is_private: bool, first: int = 1) -> None:
        """is_private: nobody else can read what is packed, so that credentials may be in it. first: the number of the
        first template."""
        self.period = 0
        """Grows when older records may be dropped: from then on, none refers to them."""
        self._is_private = is_private
        self._heads: dict[tuple[int, str], tuple[object, bytes]] = {}
        self._templates: dict[tuple[int, int], _Template] = {}
        self._next = first

    def pack(self, exchange: Exchange, wire: Wire = b"", own_lines: int = 0, playback: Playback | None = None) -> bytes:
        """Packs an exchange that is ending or, without `playback`, beginning. `own_lines`: how many headers of the
        answer are the server's own, which come first."""
        parts = self._parts(exchange, wire, own_lines, playback)
        if not self._is_private and _may_hold_credential(b"".join(parts), exchange._http_request):
            parts = _clean(exchange, parts, own_lines)
        return _record(WHOLE, parts)

    def pack_again(self, exchange: Exchange, recollection: Recollection, playback: Playback) -> bytes | None:
        """Packs an exchange whose answer has been given before, except for its blanks. Returns None if there is
        something else about it."""
        blank, http_request = recollection.answer, exchange._http_request
        head, body = http_request.head, http_request.body
        if head is None or exchange.notes or exchange.faults or recollection.headers or len(body) > MAX_REPEATED:
            return None
        template = self._templates.get((id(blank), id(head)))
        before = b""
        if (
            template is None
            or template.period != self.period
            or template.blank is not blank
            or template.first._http_request.head is not head
        ):
            template, before = self._template(exchange, recollection)
        if not template.is_clean:
            return None
        first, own_body = template.first, b""
        if body != first._http_request.body:
            if not self._is_private and _may_hold_credential(body, http_request):
                return None
            own_body = body
        counts = cost = b""
        if exchange.usage is not first.usage and exchange.usage is not None:
            counts = _COUNTS.pack(*_numbers(exchange.usage))
        if exchange.cost is not first.cost:
            cost = str(exchange.cost).encode()
        values = b"\0".join(recollection.values)
        started = exchange.started
        sizes = len(counts), len(cost), len(values), len(own_body)
        fixed = _AGAIN.pack(
            _AGAIN.size - _LENGTH.size + sum(sizes), AGAIN, template.number, exchange.number, exchange.received,
            exchange.arrived, (playback.first_sent or started) - started, playback.late, exchange.attempt,
            exchange.connection, playback.bytes_sent, playback.frames_sent, *sizes,
        )  # fmt: skip
        return b"".join((before, fixed, counts, cost, values, own_body))

    def _template(self, exchange: Exchange, recollection: Recollection) -> tuple[_Template, bytes]:
        """Returns a template for an exchange and others like it, and its record."""
        if len(self._templates) >= MAX_TEMPLATES:
            self._templates.clear()
        http_request, blank = exchange._http_request, recollection.answer
        blanks = tuple([b"\0%d\0" % place for place in range(len(recollection.values))])
        head, body = b"".join(blank.head.pieces(blanks)), blank.text(blanks)
        parts = self._parts(
            exchange, b"HTTP/1.1 %d %b\r\n\r\n%b" % (blank.planned.status, head, body), 0, exchange.playback
        )
        is_clean = self._is_private or not _may_hold_credential(b"".join(parts), http_request)
        number, self._next = self._next, self._next + 1
        template = _Template(number, self.period, blank, exchange, is_clean)
        self._templates[id(blank), id(http_request.head)] = template
        return template, _record(TEMPLATE, parts, _LENGTH.pack(number)) if is_clean else b""

    def _parts(self, exchange: Exchange, wire: Wire, own_lines: int, playback: Playback | None) -> _Parts:
        http_request = exchange._http_request
        facts = _facts(exchange, own_lines, playback)
        return facts, self._head(http_request), http_request.body[:MAX_REQUEST_BYTES], wire

    def _head(self, http_request: HttpRequest) -> bytes:
        place = (id(http_request.headers), http_request.operation)
        known = self._heads.get(place)
        if known is not None and known[0] is http_request.headers:
            return known[1]
        if len(self._heads) >= MAX_HEADS:
            self._heads.clear()
        head = _dumped(_head_of(http_request, is_private=self._is_private))
        self._heads[place] = http_request.headers, head
        return head


class Unpacker:
    """Reads the records of one process, in order."""

    def __init__(self) -> None:
        self._templates: dict[int, _Parts] = {}

    def read(self, data: bytes) -> Iterator[Unpacked]:
        """Yields the exchanges in one or more records."""
        at = 0
        while at < len(data):
            end = at + _LENGTH.size + _LENGTH.unpack_from(data, at)[0]
            kind, payload = data[at + _LENGTH.size], data[at + _LENGTH.size + 1 : end]
            if kind == WHOLE:
                yield _unpacked(_parts_of(payload))
            elif kind == TEMPLATE:
                self._templates[_LENGTH.unpack_from(payload)[0]] = _parts_of(payload[_LENGTH.size :])
            else:
                yield self._again(data[at:end])
            at = end

    def _again(self, record: bytes) -> Unpacked:
        (_, _, template, number, received, arrived, first, late, attempt, connection, sent, frames, *sizes) = (
            _AGAIN.unpack_from(record)
        )
        counts, cost, joined_values, own_body = _cut(record, _AGAIN.size, sizes)
        facts, head, body, wire = self._templates[template]
        values = joined_values.split(b"\0")
        wire = _BLANK.sub(lambda blank: values[int(blank[1])], wire)
        body = own_body or body
        known: dict[str, Any] = orjson.loads(facts)
        known |= {
            "number": number, "received": received, "arrived": arrived, "attempt": attempt, "connection": connection,
            "body_size": len(body), "playback": ("complete", sent, frames, first, first, late), "frames": None,
        }  # fmt: skip
        if counts:
            known["usage"] = _COUNTS.unpack(counts)
        if cost:
            known["cost"] = cost.decode()
        return _unpacked((_dumped(known), head, body, wire))


def wire_of(answer: PlannedBody | RecordedResponse | Recollection | None) -> Wire:
    """Returns an answer as bytes, without framing."""
    if isinstance(answer, Recollection):
        answer = answer.planned()
    if answer is None or (isinstance(answer, RecordedResponse) and not answer.is_head_sent):
        return b""
    if isinstance(answer, PlannedBody):
        return _plain_wire(answer.status, answer.headers, answer.body()[:MAX_REQUEST_BYTES])
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    return _plain_wire(answer.status, headers, answer.body)


# Packing


def _plain_wire(status: int, headers: Sequence[Header], body: bytes) -> Wire:
    lines = [b"%b: %b" % header for header in headers]
    return b"\r\n".join([b"HTTP/1.1 %d " % status, *lines, b"", body])


def _record(kind: int, parts: _Parts, before: bytes = b"") -> bytes:
    sizes = _SIZES.pack(*map(len, parts))
    length = 1 + len(before) + len(sizes) + sum(map(len, parts))
    return b"".join((_LENGTH.pack(length), bytes((kind,)), before, sizes, *parts))


def _facts(exchange: Exchange, own_lines: int, playback: Playback | None) -> bytes:
    usage, started = exchange.usage, exchange.started
    times: tuple[Any, ...] = (LOST, 0, 0, None, None, 0.0)
    moments = None
    if playback is not None:
        first, last = playback.first_sent, playback.last_sent
        times = (
            playback.ended,
            playback.bytes_sent,
            playback.frames_sent,
            None if first is None else first - started,
            None if last is None else last - started,
            playback.late,
        )
        moments = None if playback.sent is None else [each - started for each in playback.sent]
    frames = exchange._frames
    if frames is None and isinstance(exchange._answer, PlannedBody):
        frames = frames_of(exchange._answer)
    return _dumped(
        {
            "number": exchange.number,
            "received": exchange.received,
            "namespace": exchange.namespace,
            "arrived": exchange.arrived,
            "model": exchange.model,
            "stream": exchange.stream,
            "rule": exchange.rule,
            "outcome": exchange.outcome,
            "error": exchange.error,
            "message": exchange.message,
            "status": exchange.status,
            "usage": None if usage is None else _numbers(usage),
            "tokenizer": exchange.tokenizer,
            "is_estimate": exchange.is_estimate,
            "cost": str(exchange.cost),
            "notes": exchange.notes,
            "faults": exchange.faults,
            "skipped": exchange.skipped,
            "attempt": exchange.attempt,
            "connection": exchange.connection,
            "body_size": exchange.body_size,
            "read_as": exchange.read_as is not None,
            "why": exchange.why is not None,
            "unheeded": exchange._unheeded,
            "acknowledged": exchange.acknowledged and (exchange.acknowledged, exchange.acknowledged_after),
            "playback": times,
            "moments": moments,
            "frames": None if frames is None else (list(frames.at), list(frames.sizes), frames.parts),
            "own_lines": own_lines,
            "redacted": 0,
            "known": None,
        }
    )


def _numbers(usage: Usage) -> tuple[int, ...]:
    return (
        usage.prompt, usage.completion, usage.total, usage.reasoning, usage.cached, usage.cache_written,
        usage.cache_written_1h, usage.searches, usage.images,
    )  # fmt: skip


def _head_of(http_request: HttpRequest, *, is_private: bool) -> dict[str, Any]:
    """Returns what is the same for all requests with a head; without credentials unless it is private."""
    key, query = http_request.key, http_request.query
    path, sent_path, headers = http_request.path, http_request.sent_path, dict(http_request.headers)
    if not is_private:
        path, sent_path, headers = redacted(path, key), redacted(sent_path, key), headers_of(headers, key)
        query = query_of(query, key) if query else ""
    return {
        "provider": http_request.provider,
        "method": http_request.method,
        "path": path,
        "sent_path": sent_path,
        "query": query,
        "headers": headers,
        "key": key if is_private else None,
        "operation": http_request.operation,
        "dialect": http_request.dialect,
        "faults": http_request.faults,
        "parameters": dict(http_request.parameters),
        "head_size": http_request.head_size,
        "key_id": key_id(key),
        "leaks": list(leaks(replace(http_request, body=b""))),
    }


def _may_hold_credential(packed: bytes, http_request: HttpRequest) -> bool:
    """Whether there may be a credential in it. Quick, and rarely wrong."""
    key = http_request.key
    if key and key.encode("utf-8", "surrogatepass") in packed:
        return True
    if b"sk-" in packed and KEYS.search(packed.decode("latin-1")):
        return True
    small = http_request.body.lower()  # the names of all JSON members that contain a credential end with one of these
    return b'key"' in small or b'token"' in small or b'secret"' in small or b'authorization"' in small


def _clean(exchange: Exchange, parts: _Parts, own_lines: int) -> _Parts:
    """Returns an exchange without its credentials."""
    facts, head, body, wire = parts
    http_request = exchange._http_request
    key = http_request.key
    found: dict[str, Any] = _without(orjson.loads(facts), key)
    clean = redacted_body(body, key)
    found["known"] = {"leaks": list(leaks(http_request))}
    if len(http_request.body) == exchange.body_size:
        found["known"]["body_digest"] = body_digest(http_request.body)
    found["body_size"] = max(exchange.body_size, len(http_request.body)) - (len(body) - len(clean))
    if wire:
        answer = _response(wire, own_lines, 0)
        shape = shape_of(http_request.provider, http_request.dialect)
        is_stream = shape is not None and shape.stream_type in answer.headers.get("content-type", "")
        said = redacted_body(answer.body, key, shape if is_stream else None)
        found["own_lines"] = 0
        found["redacted"] = len(said) - len(answer.body)
        wire = wire_of(replace(answer, headers=headers_of(answer.headers, key), body=said))
    return _dumped(found), head, clean, wire


def _without(value: Any, key: str | None) -> Any:
    if isinstance(value, str):
        return redacted(value, key)
    if isinstance(value, dict):
        return {name: _without(item, key) for name, item in value.items()}
    return [_without(item, key) for item in value] if isinstance(value, list) else value


def _dumped(data: Any) -> bytes:
    try:
        return orjson.dumps(data)
    except TypeError:  # a lone surrogate
        return json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")


# Reading


def _unpacked(parts: _Parts) -> Unpacked:
    """Returns a packed exchange. Its times are relative to the request."""
    facts, head, body, wire = parts
    found, known = orjson.loads(facts), orjson.loads(head)
    headers = known["headers"]
    if "content-length" in headers:
        headers["content-length"] = str(found["body_size"])
    http_request = HttpRequest(
        known["provider"], known["method"], known["path"], headers, known["query"], body, known["key"],
        known["operation"], known["dialect"], tuple(known["faults"]), known["parameters"], known["sent_path"],
        known["head_size"],
    )  # fmt: skip
    exchange = Exchange(found["number"], found["received"], http_request)
    for name in _PLAIN:
        setattr(exchange, name, found[name])
    exchange.usage = None if found["usage"] is None else Usage(*found["usage"])
    exchange.cost = Decimal(found["cost"])
    exchange.faults, exchange.notes = tuple(found["faults"]), tuple(found["notes"])
    exchange.skipped = tuple([(fault, reason) for fault, reason in found["skipped"]])
    if found["acknowledged"]:
        exchange.acknowledged, exchange.acknowledged_after = found["acknowledged"]
    exchange.why = _UNEXPLAINED if found["why"] else None
    shape: Any = shape_of(http_request.provider, http_request.dialect)
    if found["unheeded"] is not None:
        exchange._unheeded = tuple(found["unheeded"])
    elif found["read_as"] and shape is not None:
        exchange.read_as = shape.body_of(http_request.operation)
    _note_answer(exchange, found, wire)
    return Unpacked(exchange, {"key_id": known["key_id"], "leaks": known["leaks"], **(found["known"] or {})})


def _note_answer(exchange: Exchange, found: dict[str, Any], wire: Wire) -> None:
    ended, sent, count, first, last, late = found["playback"]
    exchange.playback = Playback(ended, sent, count, first, last, late)
    if found["moments"] is not None:
        exchange.playback.sent = array("d", found["moments"])
    if found["frames"] is not None:
        at, sizes, parts = found["frames"]
        exchange._frames = Frames(array("d", at), array("L", sizes), tuple(parts))
    if wire:
        exchange._answer = _response(wire, found["own_lines"], sent + found["redacted"])
        if exchange._frames is None and count == 1:
            exchange._frames = Frames((0.0,), (sent,), ("body",))


def _parts_of(payload: bytes) -> _Parts:
    facts, head, body, wire = _cut(payload, _SIZES.size, _SIZES.unpack_from(payload))
    return facts, head, body, wire


def _cut(data: bytes, at: int, sizes: Sequence[int]) -> Iterator[bytes]:
    for size in sizes:
        yield data[at : at + size]
        at += size


def _response(wire: Wire, own_lines: int, sent: int) -> RecordedResponse:
    """Returns the answer in the bytes that were sent, without what framing adds."""
    head, _, body = wire.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[own_lines:])}
    if headers.pop("transfer-encoding", "") == "chunked":
        size, _, rest = body.partition(b"\r\n")
        body = rest[: int(size, 16)]  # sent in one chunk
    headers.pop("content-length", None)
    body = body[:MAX_REQUEST_BYTES]
    return RecordedResponse(int(status.split(" ")[1]), headers, body, max(sent, len(body)))
