"""What happened: one `Exchange` for each request, kept in a journal that is bounded in number and in bytes."""

import json
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from urllib.parse import unquote_plus

from emulator.providers import CREDENTIALS
from emulator.reply import Usage
from emulator.request import HttpRequest
from emulator.wire import Data, Head, Header, PlannedBody, Playback, Raw, Step

MAX_EXCHANGES = 1000
"""How many exchanges a journal keeps."""
MAX_REQUEST_BYTES = 65536
"""Bytes kept of one body."""
MAX_TEXT = 2048
"""Characters kept of a model's name, an error or a note."""
MAX_BYTES = 64 * 2**20
"""Bytes that all journals of one server keep together."""
MAX_UNCUT = 8 * 2**20
"""Bytes of it that may be whole bodies of requests that no rule answered: only they can tell why."""
OVERHEAD = 1024
"""Bytes that an exchange takes besides what it carried."""
SECRET_HEADERS = frozenset(
    [*CREDENTIALS, "authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization"]
)
SECRETS = ("key", "api_key", "api-key", "apikey", "access_token", "token", "x-api-key")
"""Names of query parameters that hold a credential, in any case."""
REDACTED = "[redacted]"
MAX_QUICK_RULES = 50
"""Rules up to which it is found out for each request that none of them matches why it does not."""
IN_EXCHANGE = {"in_exchange": True}
"""`extra` of a message of the log that the record of its exchange says as well."""
GONE = "not known any more: the request's body is too large to be kept"


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
        """The body as data; None when it is not JSON, or was cut."""
        try:
            return None if self.truncated else json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True)
class RecordedRequest(_Body):
    """A request as the journal shows it: without credentials, its body cut at 64 KiB."""

    provider: str
    """Empty when the URL names none."""
    operation: str
    """Which endpoint it was; empty when there is none at this path."""
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
    """An answer as far as it was sent, its body cut at 64 KiB."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; those that HTTP's framing adds are not among them."""
    body: bytes
    """As sent, without the framing of chunks."""
    size: int
    """Bytes of the whole body as far as it was sent."""


@dataclass(frozen=True, slots=True)
class Why:
    """Finds out why no rule answered, from the request as it came: only when somebody asks, for it can take long."""

    find: Callable[[], list[str]]
    body: bytes
    """The body that it looks at."""
    rules: int = 0
    """How many rules it asks."""

    @property
    def is_quick(self) -> bool:
        """Whether it costs so little that the log may ask too."""
        return self.rules <= MAX_QUICK_RULES and len(self.body) <= MAX_REQUEST_BYTES


@dataclass(slots=True)
class Exchange:
    """One request and what became of it. Durations are seconds; `received` is Unix time."""

    number: int
    received: float
    _call: HttpRequest = field(repr=False)  # with its credentials
    namespace: str = "default"
    model: str = ""
    stream: bool = False
    rule: str | None = None
    """The rule that answered; None when the answer was generated or refused."""
    outcome: str = "error"
    """`reply`, `generated`, `listing` or `error`."""
    error: str | None = None
    message: str | None = None
    """What the error said, in the provider's words."""
    status: int = 0
    usage: Usage | None = None
    cost: Decimal = Decimal(0)
    """What it cost, in USD."""
    on_end: Callable[[], None] | None = field(default=None, repr=False)
    """Gives back what the answer took of quotas; to be called by `end` alone."""
    playback: Playback | None = None
    faults: tuple[str, ...] = ()
    """The faults that struck, as `kind (source)`."""
    notes: tuple[str, ...] = ()
    """What a user should know of this exchange: why no rule matched, which fault could not be applied."""
    why: Why | None = field(default=None, repr=False)
    """For an answer that no rule gave."""
    started: float = 0.0
    """The moment on the clock's hand of deadlines from which all others count."""
    body_size: int = 0
    """Bytes of the request's whole body."""
    size: int = 0
    """Bytes that the journal counts for it; 0 until it is over."""
    is_kept: bool = False
    """Whether the journal still holds it."""
    _answer: PlannedBody | RecordedResponse | None = field(default=None, repr=False)

    @property
    def request(self) -> RecordedRequest:
        """What was asked."""
        call = self._call
        headers = {
            name: REDACTED if name in SECRET_HEADERS or _holds(value, call.key) else value
            for name, value in call.headers.items()
        }
        query = _without_secrets(call.query, call.key)
        url = (
            f"http://{call.headers.get('host', 'localhost')}{call.sent_path or call.path}{'?' if query else ''}{query}"
        )
        body = call.body[:MAX_REQUEST_BYTES]
        size = max(self.body_size, len(call.body))
        return RecordedRequest(call.provider, call.operation, call.method, url, call.path, query, headers, body, size)

    @property
    def call(self) -> RecordedRequest:
        """Another name of `request`."""
        return self.request

    @property
    def place(self) -> tuple[str, str, str]:
        """Provider, method and path."""
        return self._call.provider, self._call.method, self._call.path

    @property
    def response(self) -> RecordedResponse:
        """What was answered; without a body until the answer is over."""
        answer = self._answer
        if isinstance(answer, PlannedBody):
            body = answer.body()
            return RecordedResponse(answer.status, _readable(answer.headers), body, len(body))
        return answer or RecordedResponse(self.status, {}, b"", 0)

    @property
    def ended(self) -> str | None:
        """How it ended: `complete`, `client_closed`, `closed`, `reset` or `shutdown`; None while it goes on."""
        return self.playback.ended if self.playback is not None else None

    @property
    def misses(self) -> list[str]:
        """For an answer that no rule gave: for each rule why, the nearest first."""
        return self.why.find() if self.why is not None else []

    def shorten(self) -> None:
        """Let go of what no record shows, once the answer is known: many large requests are not to fill the memory.
        Whoever still works on the request keeps it whole."""
        call = self._call
        self.body_size = len(call.body)
        if self.body_size > MAX_REQUEST_BYTES:
            self._call = replace(call, body=call.body[:MAX_REQUEST_BYTES])

    def end(self, answer: PlannedBody | Sequence[Step] | None = None) -> None:
        """It is over, however it went: what it took is given back, and what the record shows is all that is kept."""
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end()
        playback = self.playback
        if answer is not None and playback is not None:
            sent = playback.bytes_sent
            is_whole = (
                isinstance(answer, PlannedBody) and playback.ended == "complete" and 0 < sent <= MAX_REQUEST_BYTES
            )
            self._answer = answer if is_whole else _as_sent(answer, playback)  # type: ignore[assignment]

    def summary(self) -> dict[str, Any]:
        """The exchange as plain data, but for what takes long to find out."""
        request, playback = self.request, self.playback
        return {
            "number": self.number,
            "received": self.received,
            "namespace": self.namespace,
            "provider": request.provider or None,
            "operation": request.operation,
            "method": request.method,
            "url": request.url,
            "path": request.path,
            "query": request.query,
            "headers": dict(request.headers),
            "body": request.text,
            "model": self.model,
            "stream": self.stream,
            "rule": self.rule,
            "outcome": self.outcome,
            "error": self.error,
            "message": self.message,
            "status": self.status,
            "usage": None if self.usage is None else _counts(self.usage),
            "cost": str(self.cost),
            "faults": list(self.faults),
            "notes": list(self.notes),
            "ended": self.ended,
            "bytes_sent": playback.bytes_sent if playback else 0,
            "frames_sent": playback.frames_sent if playback else 0,
            "first_sent": _since(self.started, playback.first_sent if playback else None),
            "last_sent": _since(self.started, playback.last_sent if playback else None),
            "late": playback.late if playback else 0.0,
        }

    def record(self) -> dict[str, Any]:
        """The exchange as plain data, without credentials, bodies cut at 64 KiB."""
        return {**self.summary(), "misses": self.misses}


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
    steps = answer.steps() if isinstance(answer, PlannedBody) else answer
    head = next((step for step in steps if isinstance(step, Head)), None)
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
    return RecordedResponse(status, headers, body, max(playback.bytes_sent, len(body)))


def _holds(value: str, key: str | None) -> bool:
    """Whether a header carries the key, alone or after a scheme."""
    return bool(key) and (value.strip() == key or value.rpartition(" ")[2] == key)


def _without_secrets(query: str, key: str | None) -> str:
    """A query string as it was sent, but for the values of parameters that hold a credential."""
    parts = re.split("([&;])", query)
    for place, part in enumerate(parts):
        name, equals, value = part.partition("=")
        if equals and (unquote_plus(name).strip().lower() in SECRETS or _holds(unquote_plus(value), key)):
            parts[place] = f"{name}={REDACTED}"
    return "".join(parts)


def _since(start: float, moment: float | None) -> float | None:
    return None if moment is None else moment - start


class Shelf:
    """What the journals of one server keep together: when it is too much, the fullest of them lets go of its oldest."""

    def __init__(self, most_bytes: int | None = None, most_uncut: int | None = None) -> None:
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
    """The last exchanges, oldest first; older ones are forgotten."""

    capacity: int = MAX_EXCHANGES
    shelf: Shelf = field(default_factory=Shelf)
    count: int = 0
    """How many exchanges there ever were."""
    bytes: int = 0
    """What those that are over take."""
    _kept: OrderedDict[int, Exchange] = field(default_factory=OrderedDict)
    _is_closed: bool = False

    def __post_init__(self) -> None:
        self.shelf.journals.add(self)

    def add(self, exchange: Exchange) -> None:
        """Keep an exchange that begins."""
        exchange.is_kept = True
        self._kept[exchange.number] = exchange
        if len(self._kept) > self.capacity:
            self.drop_oldest()

    def settle(self, exchange: Exchange) -> None:
        """An exchange is over: from now on it counts with what it keeps."""
        if exchange.notes or len(exchange.model) > MAX_TEXT:
            exchange.model = exchange.model[:MAX_TEXT]
            exchange.notes = tuple([note[:MAX_TEXT] for note in exchange.notes])
        if not exchange.is_kept or exchange.size or self._is_closed:
            return
        exchange.size = size = _size(exchange)
        if exchange.why is not None and len(exchange.why.body) > MAX_REQUEST_BYTES:
            self.shelf.keep_uncut(exchange, exchange.why.body)
        self.bytes += size
        self.shelf.bytes += size
        if self.shelf.bytes > self.shelf.most_bytes:
            self.shelf.make_room()

    def next_number(self) -> int:
        self.count += 1
        return self.count

    def drop_oldest(self) -> None:
        """Forget the oldest exchange."""
        _, oldest = self._kept.popitem(last=False)
        oldest.is_kept = False
        self.bytes -= oldest.size
        self.shelf.bytes -= oldest.size

    def clear(self) -> None:
        """Forget all exchanges; the next ones are numbered on."""
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
    call, answer, playback = exchange._call, exchange._answer, exchange.playback
    size = OVERHEAD + call.head_size + len(call.body) + len(exchange.model)
    if exchange.notes:
        size += sum(map(len, exchange.notes))
    if isinstance(answer, RecordedResponse):
        return size + len(answer.body)
    return size + (playback.bytes_sent if playback is not None else 0)
