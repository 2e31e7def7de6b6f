"""The journal: one `Exchange` for each request, bounded in number and in bytes."""

import asyncio
import json
from array import array
from base64 import b64encode
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel

from emulator.clock import unix_time
from emulator.dialects.parameters import ignored_in
from emulator.reply import Usage
from emulator.request import HttpRequest
from emulator.state.connections import ConnectionRecord
from emulator.state.evidence import evidence_of
from emulator.state.redaction import headers_of, query_of, redacted, redacted_body
from emulator.state.said import Said, said, shape_of
from emulator.state.shared import Shared
from emulator.wire import MAX_MOMENTS, Close, Data, Hang, Head, Header, PlannedBody, Playback, Raw, Reset, Step

MAX_EXCHANGES = 1000
"""The most exchanges in a journal."""
MAX_REQUEST_BYTES = 65536
"""The most bytes kept of one body."""
MAX_TEXT = 2048
"""The most characters kept of a model's name, an error or a note."""
MAX_BYTES = 64 * 2**20
"""The most bytes that all journals of a server keep together."""
MAX_UNCUT = 8 * 2**20
"""Bytes of it that may be whole bodies of requests that no rule answered: only they can tell why."""
OVERHEAD = 1024
"""Bytes that an exchange takes besides what it carried."""
MAX_QUICK_RULES = 50
"""Rules up to which it is found out for each request that none of them matches why it does not."""
IN_EXCHANGE = {"in_exchange": True}
"""`extra` of a message of the log that the record of its exchange says as well."""
GONE = "unknown: the request's body was too large to keep"


class _Body:
    """What the records of a request and of a response share: a body that may have been cut."""

    body: bytes
    size: int

    @property
    def truncated(self) -> bool:
        """Whether `body` is only the beginning."""
        return self.size > len(self.body)

    @property
    def text(self) -> str:
        """The body as text; what is not UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The body as data; None if it isn't JSON or was truncated."""
        try:
            return None if self.truncated else json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True)
class RecordedRequest(_Body):
    """A request in the journal: without credentials, its body truncated at 64 KiB."""

    provider: str
    """Empty if the URL names none."""
    operation: str
    """The endpoint; empty if this path has none."""
    method: str
    url: str
    """The whole URL as the client sent it."""
    path: str
    """The documented path, without the emulator's own prefixes."""
    query: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    size: int
    """Bytes of the whole body."""


@dataclass(frozen=True)
class RecordedResponse(_Body):
    """An answer as far as it was sent, its body truncated at 64 KiB."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; those that HTTP's framing adds are not among them."""
    body: bytes
    """As sent, without the framing of chunks."""
    size: int
    """Bytes of the whole body as far as it was sent."""
    said: Said | None = None
    """What the model says in it; None for an error, a list, or what cannot be read."""
    framing: str | None = None
    """How a fault framed the body; None: as the headers and HTTP demand."""
    is_head_sent: bool = True
    """Whether the status and the headers were sent."""

    @property
    def encoded(self) -> str | None:
        """The body in base64, where it is no UTF-8 and the text does not say all of it."""
        return None if self.text.encode() == self.body else b64encode(self.body).decode()

    @property
    def content(self) -> str:
        """The text of the answer, joined from all events of a stream; empty if no model has answered."""
        return self.said.text if self.said is not None else ""

    @property
    def reasoning(self) -> str:
        """The reasoning before the answer, joined in the same way; empty if there is none."""
        return self.said.reasoning if self.said is not None else ""


@dataclass(frozen=True, slots=True)
class Why:
    """Finds out why no rule answered, from the original request; done on demand, because it can take long."""

    find: Callable[[], list[str]]
    body: bytes
    """The body that it looks at."""
    rules: int = 0
    """How many rules it asks."""
    explain: Callable[[], list[dict[str, Any]]] | None = None
    """Finds out for each rule and each of its conditions whether it holds."""

    @property
    def is_quick(self) -> bool:
        """Whether it costs so little that the log may ask too."""
        return self.rules <= MAX_QUICK_RULES and len(self.body) <= MAX_REQUEST_BYTES


class _Findings:
    """Facts about an exchange that are computed on demand."""

    __slots__ = ()

    if TYPE_CHECKING:
        _http_request: HttpRequest
        _answer: "PlannedBody | RecordedResponse | None"
        _frames: "_Frames | None"
        why: "Why | None"
        faults: tuple[str, ...]
        read_as: type[BaseModel] | None
        _unheeded: tuple[str, ...] | None
        skipped: tuple[tuple[str, str], ...]
        playback: Playback | None
        underway: Playback | None
        planned: PlannedBody | Sequence[Step] | None
        started: float

        @property
        def request(self) -> "RecordedRequest": ...

    @property
    def misses(self) -> list[str]:
        """For each rule that was tried before the one that answered, or for all when none did: why it does not match,
        the nearest first."""
        key = self._http_request.key
        return [redacted(reason, key) for reason in self.why.find()] if self.why is not None else []

    @property
    def because(self) -> list[dict[str, Any]]:
        """For each rule that was tried, condition by condition, whether it holds; the one that answered comes last."""
        if self.why is None or self.why.explain is None:
            return []
        rows: list[dict[str, Any]] = _clean(self.why.explain(), self._http_request.key)
        return rows

    @property
    def applied(self) -> tuple[str, ...]:
        """The faults that were applied, as `kind (source)`."""
        skipped = [fault for fault, _ in self.skipped]
        return tuple(fault for fault in self.faults if fault not in skipped)

    @property
    def retry_count(self) -> int | None:
        """The SDK's own count of earlier attempts; None if it sends none."""
        text = self._http_request.headers.get("x-stainless-retry-count", "")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None

    @property
    def idempotency_key(self) -> str | None:
        """The key with which a client marks attempts of the same request; None if it sends none."""
        headers = self._http_request.headers
        found = (
            headers.get("idempotency-key")
            or headers.get("x-idempotency-key")
            or headers.get("x-stainless-idempotency-key")
        )
        return None if found is None else redacted(found, self._http_request.key)

    @property
    def unheeded(self) -> tuple[str, ...]:
        """The members of the request's body that changed nothing, as they were sent."""
        if self._unheeded is not None:
            return self._unheeded
        return () if self.read_as is None else ignored_in(self.read_as, orjson.loads(self._http_request.body))

    @property
    def ignored(self) -> list[str]:
        """The members of the request's body that changed nothing; members of members have dots before them."""
        return [redacted(name, self._http_request.key) for name in self.unheeded]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of the conversation as they were sent; empty when there are none, or the body was cut."""
        body = self.request.json
        found = body.get("messages", body.get("input", body.get("contents"))) if isinstance(body, dict) else None
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    @property
    def frames(self) -> list[dict[str, Any]]:
        """When each frame was to be sent and when it was, in seconds from the request; `sent` is null for one that was
        not."""
        playback = self.playback or self.underway
        answer = self.planned or (self._answer if isinstance(self._answer, PlannedBody) else None)
        planned = self._frames if answer is None else _frames_of(answer)
        if planned is None:
            return []
        sent = [] if playback is None else playback.moments(len(planned.at))
        rows: list[dict[str, Any]] = []
        for number, (at, size, part) in enumerate(zip(planned.at, planned.sizes, planned.parts, strict=True)):
            moment = sent[number] - self.started if number < len(sent) else None
            rows.append({"planned": at, "sent": moment, "bytes": size, "part": part})
        return rows


@dataclass(slots=True)
class Exchange(_Findings):
    """One request and its outcome. Durations are in seconds; `received` is Unix time."""

    number: int
    received: float
    _http_request: HttpRequest = field(repr=False)  # with its credentials
    namespace: str = "default"
    model: str = ""
    stream: bool = False
    rule: str | None = None
    """The rule that answered; None if the answer was generated or rejected."""
    outcome: str = "error"
    """`reply`, `generated`, `listing` or `error`."""
    error: str | None = None
    message: str | None = None
    """The provider's own error message."""
    status: int = 0
    usage: Usage | None = None
    tokenizer: str = ""
    """The name of the vocabulary that its tokens were counted by; empty when nothing was counted."""
    is_estimate: bool = False
    """Whether the model counts in another way, so that the numbers are only about right."""
    cost: Decimal = Decimal(0)
    """What it cost, in USD."""
    playback: Playback | None = None
    faults: tuple[str, ...] = ()
    """The faults that were applied, as `kind (source)`."""
    notes: tuple[str, ...] = ()
    """Anything else worth knowing: why no rule matched, which fault was skipped."""
    why: Why | None = field(default=None, repr=False)
    """Why nearer rules didn't answer."""
    skipped: tuple[tuple[str, str], ...] = ()
    """The faults that were chosen and could not act, as `kind (source)`, each with the reason."""
    read_as: type[BaseModel] | None = None
    """What its body was accepted as, which says what becomes of each member; None: nothing is known of them."""
    _unheeded: tuple[str, ...] | None = field(default=None, repr=False)  # where the body is too large to be kept
    attempt: int = 1
    """How many times this exact request has arrived, including now."""
    connection: int = 0
    """The number of the connection that it came on, counted from 1 for each server; 0: it is not known."""
    acknowledged: Mapping[str, Any] | None = None
    """The outcome that the client reported."""
    planned: PlannedBody | Sequence[Step] | None = field(default=None, repr=False)
    """The answer while it is being sent."""
    underway: Playback | None = field(default=None, repr=False)
    """How far the answer has come, while it is being sent in frames."""
    started: float = 0.0
    """The moment on the clock's hand of deadlines from which all others count."""
    body_size: int = 0
    """Bytes of the request's whole body."""
    size: int = 0
    """Bytes that the journal counts for it; 0 until it is over."""
    is_kept: bool = False
    """Whether the journal still holds it."""
    _answer: PlannedBody | RecordedResponse | None = field(default=None, repr=False)
    _frames: "_Frames | None" = field(default=None, repr=False)
    arrived: float = 0.0
    """When the request came, in real Unix seconds, whatever the namespace's clock says."""
    socket: ConnectionRecord | None = field(default=None, repr=False)
    """What is known of the connection that it came on."""
    acknowledged_after: float | None = None
    """Real seconds from the request to the client's word on how it ended."""

    @property
    def request(self) -> RecordedRequest:
        """What was asked."""
        http_request = self._http_request
        key = http_request.key
        headers = headers_of(http_request.headers, key)
        query = query_of(http_request.query, key)
        path = redacted(http_request.path, key)
        sent_path = redacted(http_request.sent_path or http_request.path, key)
        url = f"http://{http_request.headers.get('host', 'localhost')}{sent_path}{'?' if query else ''}{query}"
        body = redacted_body(http_request.body[:MAX_REQUEST_BYTES], key)
        cut = len(http_request.body[:MAX_REQUEST_BYTES]) - len(body)
        size = max(self.body_size, len(http_request.body)) - cut
        return RecordedRequest(
            http_request.provider, http_request.operation, http_request.method, url, path, query, headers, body, size
        )

    @property
    def call(self) -> RecordedRequest:
        """Another name of `request`."""
        return self.request

    @property
    def place(self) -> tuple[str, str, str]:
        """Provider, method and path."""
        return self._http_request.provider, self._http_request.method, self._http_request.path

    @property
    def key(self) -> str | None:
        """The credential of the request, for those who keep it out of what they show."""
        return self._http_request.key

    @property
    def operation(self) -> str:
        """The endpoint; empty if this path has none."""
        return self._http_request.operation

    @property
    def response(self) -> RecordedResponse:
        """What was answered; without a body until the answer is over."""
        answer, http_request = self._answer, self._http_request
        if isinstance(answer, PlannedBody):
            body = answer.body()
            answer = RecordedResponse(answer.status, _readable(answer.headers), body, len(body))
        if answer is None:
            return RecordedResponse(self.status, {}, b"", 0)
        shape = shape_of(http_request.provider, http_request.dialect)
        stream_type = shape.stream_type if shape is not None else "event-stream"
        is_stream = stream_type in answer.headers.get("content-type", "")
        body = redacted_body(answer.body, http_request.key, shape if is_stream else None)
        is_said = shape is not None and self.outcome in ("reply", "generated")
        found = said(body, shape, is_stream=is_stream) if is_said and shape is not None else None
        size = answer.size - len(answer.body) + len(body)
        headers = headers_of(answer.headers, http_request.key)
        return replace(answer, headers=headers, body=body, size=size, said=found)

    @property
    def ended(self) -> str | None:
        """How it ended: `complete`, `client_closed`, `closed`, `reset` or `shutdown`; None while it goes on."""
        return self.playback.ended if self.playback is not None else None

    def reached(self, http_request: HttpRequest) -> None:
        """The endpoint of the request is known."""
        self._http_request = http_request

    def accepted(self, read_as: type[BaseModel] | None, native: Mapping[str, Any]) -> None:
        """The provider has read the body as this, and accepts it."""
        self.read_as = read_as
        if read_as is not None and len(self._http_request.body) > MAX_REQUEST_BYTES:
            self._unheeded = _within(MAX_REQUEST_BYTES, ignored_in(read_as, native))

    def shorten(self) -> None:
        """Let go of what no record shows, once the answer is known: many large requests are not to fill the memory.
        Whoever still works on the request keeps it whole."""
        http_request = self._http_request
        self.body_size = len(http_request.body)
        if self.body_size > MAX_REQUEST_BYTES:
            self._http_request = replace(http_request, body=http_request.body[:MAX_REQUEST_BYTES])

    def end(self, answer: PlannedBody | Sequence[Step] | None = None) -> None:
        """It is over, however it went: what the record shows is all that is kept."""
        self.underway = self.planned = None
        playback = self.playback
        if answer is not None and playback is not None:
            sent = playback.bytes_sent
            is_whole = (
                isinstance(answer, PlannedBody) and playback.ended == "complete" and 0 < sent <= MAX_REQUEST_BYTES
            )
            if is_whole:
                self._answer = answer  # type: ignore[assignment]
            else:
                self._answer, self._frames = _as_sent(answer, playback), _frames_of(answer)

    def row(self) -> dict[str, Any]:
        """The exchange as it stands in lists: without headers and bodies, and without what takes long to find out."""
        http_request, playback = self._http_request, self.playback or self.underway
        row = {
            "number": self.number,
            "namespace": self.namespace,
            "received": self.received,
            "provider": http_request.provider or None,
            "operation": http_request.operation,
            "method": http_request.method,
            "path": http_request.path,
            "model": self.model,
            "stream": self.stream,
            "rule": self.rule,
            "outcome": self.outcome,
            "error": self.error,
            "message": self.message,
            "status": self.status,
            "usage": None if self.usage is None else _counts(self.usage),
            "tokenizer": self.tokenizer or None,
            "is_estimate": self.is_estimate,
            "cost": str(self.cost),
            "faults": list(self.faults),
            "applied": list(self.applied),
            "skipped": [{"fault": fault, "reason": reason} for fault, reason in self.skipped],
            "notes": list(self.notes),
            "ignored": list(self.unheeded),
            "attempt": self.attempt,
            "connection": self.connection,
            "retry_count": self.retry_count,
            "idempotency_key": self.idempotency_key,
            "ended": self.ended,
            "bytes_sent": playback.bytes_sent if playback else 0,
            "frames_sent": playback.frames_sent if playback else 0,
            "first_sent": _since(self.started, playback.first_sent if playback else None),
            "last_sent": _since(self.started, playback.last_sent if playback else None),
            "late": playback.late if playback else 0.0,
            "acknowledged": self.acknowledged,
        }
        return {name: _clean(value, http_request.key) for name, value in row.items()}

    def summary(self) -> dict[str, Any]:
        """The same with the request, as it stands in the log."""
        request = self.request
        sent = {"url": request.url, "query": request.query, "headers": dict(request.headers), "body": request.text}
        return {**self.row(), **sent}

    def record(self) -> dict[str, Any]:
        """The same with the reasons why nearer rules did not answer."""
        return {**self.summary(), "misses": self.misses}

    def details(self) -> dict[str, Any]:
        """Everything that is known of the exchange, as plain data, without credentials, bodies cut at 64 KiB."""
        request, response = self.request, self.response
        return {
            **self.row(),
            "url": request.url,
            "query": request.query,
            "request": {
                "headers": dict(request.headers),
                "body": request.text,
                "size": request.size,
                "truncated": request.truncated,
                "messages": self.messages,
            },
            "response": {
                "status": response.status,
                "headers": dict(response.headers),
                "size": response.size,
                "truncated": response.truncated,
                "text": response.text,
                "body_base64": response.encoded,
                "framing": response.framing,
                "is_head_sent": response.is_head_sent,
                "content": response.content,
                "reasoning": response.reasoning,
            },
            "misses": self.misses,
            "because": self.because,
            "frames": self.frames,
            **evidence_of(self),
        }


def came_on(exchange: Exchange, connection: ConnectionRecord) -> None:
    """A request came on this connection, and is about to be answered there."""
    exchange.connection, exchange.socket = connection.number, connection
    connection.requests += 1


def acknowledge(exchange: Exchange, word: Mapping[str, Any]) -> None:
    """Keep the client's word on how an exchange ended."""
    exchange.acknowledged, exchange.acknowledged_after = word, unix_time() - exchange.arrived


def _within(most: int, names: Sequence[str]) -> tuple[str, ...]:
    """The first of some names, as many as have so many characters together."""
    total = accumulate(map(len, names))
    return tuple([name for name, so_far in zip(names, total, strict=True) if so_far <= most])


def _clean(value: Any, key: str | None) -> Any:
    """Plain data without credentials."""
    if isinstance(value, str):
        return redacted(value, key)
    if isinstance(value, dict):
        return {name: _clean(item, key) for name, item in value.items()}
    return [_clean(item, key) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class _Frames:
    """The frames of an answer that the journal keeps no longer as it was planned."""

    at: Sequence[float]
    sizes: Sequence[int]
    parts: tuple[str, ...]


def _frames_of(answer: PlannedBody | Sequence[Step]) -> _Frames:
    datas = islice((step for step in _steps(answer) if isinstance(step, Data | Raw) and step.data), MAX_MOMENTS)
    rows = [(step.at, len(step.data), step.part if isinstance(step, Data) else "raw") for step in datas]
    return _Frames(
        array("d", [row[0] for row in rows]), array("L", [row[1] for row in rows]), tuple([row[2] for row in rows])
    )


def _steps(answer: PlannedBody | Sequence[Step]) -> Sequence[Step]:
    return answer.steps() if isinstance(answer, PlannedBody) else answer


def _counts(usage: Usage) -> dict[str, int]:
    return {
        "prompt": usage.prompt,
        "completion": usage.completion,
        "total": usage.total,
        "reasoning": usage.reasoning,
        "cached": usage.cached,
    }


def _readable(headers: Sequence[Header]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def _as_sent(answer: PlannedBody | Sequence[Step], playback: Playback) -> RecordedResponse:
    """The beginning of what was sent of an answer."""
    steps = _steps(answer)
    first = next((step for step in steps if isinstance(step, Head | Close | Reset | Hang)), None)
    head = next((step for step in steps if isinstance(step, Head)), None)
    framing = head.framing if head is not None else None
    parts: list[bytes] = []
    provider, frames = MAX_REQUEST_BYTES, playback.frames_sent
    for step in steps:
        if not isinstance(step, Data | Raw) or not frames or not provider:
            continue
        frames -= 1
        parts.append(step.data[:provider])
        provider -= len(parts[-1])
    body = b"".join(parts)
    status, headers = (head.status, _readable(head.headers)) if head is not None else (0, {})
    size = max(playback.bytes_sent, len(body))
    return RecordedResponse(status, headers, body, size, framing=framing, is_head_sent=first is head)


def _since(start: float, moment: float | None) -> float | None:
    return None if moment is None else moment - start


class Shelf:
    """What the journals of one server keep together: when it is too much, the fullest of them lets go of its oldest."""

    def __init__(
        self,
        most_bytes: int | None = None,
        most_uncut: int | None = None,
        shared: Shared | None = None,
    ) -> None:
        self.shared = shared
        """What this process has in common with the others that serve, if there are any."""
        self.most_uncut = MAX_UNCUT if most_uncut is None else most_uncut
        self.most_bytes = (MAX_BYTES if most_bytes is None else most_bytes) - self.most_uncut
        self.bytes = 0
        self.journals: set[Journal] = set()
        self._uncut: deque[tuple[Exchange, int]] = deque()
        self._uncut_bytes = 0

    def make_room(self) -> None:
        """Lets the fullest journals forget until there is space for a while."""
        while self.bytes > self.most_bytes:
            fullest = max(self.journals, key=lambda each: each.bytes)
            goal = fullest.bytes - min(self.most_bytes // 16, fullest.bytes)  # looked for once for many exchanges
            while fullest.bytes > goal and self.bytes > self.most_bytes - self.most_bytes // 16:
                fullest.drop_oldest()

    def keep_uncut(self, exchange: "Exchange", body: bytes) -> None:
        """Keeps the whole body of a request while there is space, to explain mismatches later."""
        self._uncut.append((exchange, len(body)))
        self._uncut_bytes += len(body)
        while self._uncut_bytes > self.most_uncut:
            oldest, size = self._uncut.popleft()
            self._uncut_bytes -= size
            oldest.why = FORGOTTEN


FORGOTTEN = Why(lambda: [GONE], b"")


@dataclass(slots=True, eq=False)
class Journal:
    """The last exchanges, oldest first; older ones are dropped."""

    capacity: int = MAX_EXCHANGES
    shelf: Shelf = field(default_factory=Shelf)
    count: int = 0
    """How many exchanges there have been."""
    bytes: int = 0
    """What those that are over take."""
    _kept: OrderedDict[int, Exchange] = field(default_factory=OrderedDict)
    _is_closed: bool = False
    _watchers: tuple[Callable[[Exchange], None], ...] = ()

    def __post_init__(self) -> None:
        self.shelf.journals.add(self)

    def add(self, exchange: Exchange) -> None:
        """Keep an exchange that begins."""
        exchange.is_kept = True
        self._kept[exchange.number] = exchange
        if len(self._kept) > self.capacity:
            self.drop_oldest()
        if self._watchers:
            self._notify(exchange)

    def _notify(self, exchange: Exchange) -> None:
        for notify in self._watchers:
            notify(exchange)

    def settle(self, exchange: Exchange) -> None:
        """An exchange is over: from now on it counts with what it keeps."""
        if exchange.notes or len(exchange.model) > MAX_TEXT:
            exchange.model = exchange.model[:MAX_TEXT]
            exchange.notes = tuple([note[:MAX_TEXT] for note in exchange.notes])
        if self._watchers:
            self._notify(exchange)
        if not exchange.is_kept or exchange.size or self._is_closed:
            return
        exchange.size = size = _size(exchange)
        if exchange.why is not None and len(exchange.why.body) > MAX_REQUEST_BYTES:
            self.shelf.keep_uncut(exchange, exchange.why.body)
        self.bytes += size
        self.shelf.bytes += size
        if self.shelf.bytes > self.shelf.most_bytes:
            self.shelf.make_room()

    def get(self, number: int) -> Exchange | None:
        """The exchange of that number, if it is still there."""
        return self._kept.get(number)

    def watch(self, notify: Callable[[Exchange], None]) -> Callable[[], None]:
        """Have each exchange parts that begins or ends from now on; the answer stops that."""
        self._watchers = (*self._watchers, notify)

        def stop() -> None:
            self._watchers = tuple(each for each in self._watchers if each is not notify)

        return stop

    async def changed(self) -> None:
        """Return once an exchange begins or ends."""
        happened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        stop = self.watch(lambda _: None if happened.done() else happened.set_result(None))
        try:
            await happened
        finally:
            stop()

    def next_number(self) -> int:
        self.count += 1
        shared = self.shelf.shared
        return self.count if shared is None else shared.next_number()

    def drop_oldest(self) -> None:
        """Drops the oldest exchange."""
        _, oldest = self._kept.popitem(last=False)
        oldest.is_kept = False
        self.bytes -= oldest.size
        self.shelf.bytes -= oldest.size

    def clear(self) -> None:
        """Removes all exchanges; numbers continue."""
        for exchange in self._kept.values():
            exchange.is_kept = False
        self._kept.clear()
        self.shelf.bytes -= self.bytes
        self.bytes = 0

    def close(self) -> None:
        """Nobody will ask any more."""
        self._is_closed = True
        self.clear()
        self.shelf.journals.discard(self)

    def __iter__(self) -> Iterator[Exchange]:
        return iter(tuple(self._kept.values()))

    def __len__(self) -> int:
        return len(self._kept)


def _size(exchange: Exchange) -> int:
    http_request, answer, playback = exchange._http_request, exchange._answer, exchange.playback
    size = OVERHEAD + http_request.head_size + len(http_request.body) + len(exchange.model)
    if exchange.notes:
        size += sum(map(len, exchange.notes))
    if exchange._unheeded is not None:
        size += sum(map(len, exchange._unheeded))
    if playback is not None and playback.sent is not None:
        size += 8 * len(playback.sent)
    if exchange._frames is not None:
        size += 24 * len(exchange._frames.parts)
    if isinstance(answer, RecordedResponse):
        return size + len(answer.body)
    return size + (playback.bytes_sent if playback is not None else 0)
