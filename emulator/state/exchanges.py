"""One request and its outcome, as the journal keeps and shows it."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from decimal import Decimal
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel

from emulator.clock import unix_time
from emulator.dialects.parameters import ignored_in
from emulator.providers import shape_of
from emulator.records import record, struct
from emulator.reply import Usage
from emulator.request import HttpRequest
from emulator.state.blanks import Recollection
from emulator.state.connections import ConnectionRecord
from emulator.state.evidence import evidence_of
from emulator.state.recorded import (
    MAX_REQUEST_BYTES,
    RecordedRequest,
    RecordedResponse,
    Why,
    as_sent,
    readable,
    steps_of,
)
from emulator.state.redaction import headers_of, query_of, redacted, redacted_body
from emulator.state.said import said
from emulator.wire import MAX_MOMENTS, Data, PlannedBody, Playback, Raw, Step

MAX_TEXT = 2048
"""The most characters kept of a model's name, an error or a note."""
MAX_PROMPT = 160
"""Characters of a prompt in lists."""
UNEXPLAINED = "unknown: the replica that answered is gone"
OVERHEAD = 1024
"""The bytes of an exchange besides its request and response."""
IN_EXCHANGE = {"in_exchange": True}
"""The `extra` of log messages whose information is also in the exchange's record."""


class _Findings:
    """Facts about an exchange that are computed on demand."""

    __slots__ = ()

    if TYPE_CHECKING:
        _http_request: HttpRequest
        _answer: "PlannedBody | RecordedResponse | Recollection | None"
        _frames: "Frames | None"
        why: "Why | None"
        faults: tuple[str, ...]
        read_as: type[BaseModel] | None
        _unheeded: tuple[str, ...] | None
        skipped: tuple[tuple[str, str], ...]
        playback: Playback | None
        underway: Callable[[], Playback] | None
        planned: PlannedBody | Sequence[Step] | None
        started: float

        @property
        def request(self) -> "RecordedRequest": ...

    @property
    def misses(self) -> list[str]:
        """Why each rule that was tried before the answering one (or all, if none answered) doesn't match, nearest
        first.
        """
        key = self._http_request.key
        return [redacted(reason, key) for reason in self.why.find()] if self.why is not None else []

    @property
    def because(self) -> list[dict[str, Any]]:
        """For each rule that was tried, whether each of its conditions holds; the rule that answered is last."""
        rows: list[dict[str, Any]] = [] if self.why is None else _clean(self.why.explain(), self._http_request.key)
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
        """The members of the request's body without effect, as they were sent."""
        if self._unheeded is not None:
            return self._unheeded
        return () if self.read_as is None else ignored_in(self.read_as, orjson.loads(self._http_request.body))

    @property
    def ignored(self) -> list[str]:
        """The members of the request's body without effect; dots separate nested names."""
        return [redacted(name, self._http_request.key) for name in self.unheeded]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of the conversation as they were sent; empty if there are none, or the body was truncated."""
        body = self.request.json
        found = body.get("messages", body.get("input", body.get("contents"))) if isinstance(body, dict) else None
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    @property
    def prompt(self) -> str:
        """The text of the user's last message; empty if there is none, or the body was truncated."""
        body = self.request.json
        if not isinstance(body, dict):
            return ""
        for message in reversed(self.messages):
            if message.get("role", "user") == "user":
                return _text_of(message.get("content", message.get("parts", "")))
        return _text_of(body.get("prompt", body.get("input", "")))

    def so_far(self) -> Playback | None:
        """Returns how the answer was sent, as far as it was."""
        return self.underway() if self.playback is None and self.underway is not None else self.playback

    @property
    def frames(self) -> list[dict[str, Any]]:
        """When each frame was due and when it was sent, in seconds since the request; `sent` is null if it was not
        sent.
        """
        playback = self.so_far()
        kept = self._answer.planned() if isinstance(self._answer, Recollection) else self._answer
        answer = self.planned or (kept if isinstance(kept, PlannedBody) else None)
        planned = self._frames if answer is None else frames_of(answer)
        if planned is None:
            return []
        sent = [] if playback is None else playback.moments(len(planned.at))
        rows: list[dict[str, Any]] = []
        for number, (at, size, part) in enumerate(zip(planned.at, planned.sizes, planned.parts, strict=True)):
            moment = sent[number] - self.started if number < len(sent) else None
            rows.append({"planned": at, "sent": moment, "bytes": size, "part": part})
        return rows


@struct
class Exchange(_Findings):
    """One request and its outcome. Durations are in seconds; `received` is Unix time."""

    number: int
    received: float
    _http_request: HttpRequest = field(repr=False)  # includes its credentials
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
    """The vocabulary with which its tokens were counted; empty if nothing was counted."""
    is_estimate: bool = False
    """Whether the counts are estimates because the model's own tokenizer is not known."""
    cost: Decimal = Decimal(0)
    """What it cost, in USD."""
    playback: Playback | None = None
    faults: tuple[str, ...] = ()
    """The faults that were applied, as `kind (source)`."""
    notes: tuple[str, ...] = ()
    """Other notes: why no rule matched, which fault was skipped."""
    why: Why | None = field(default=None, repr=False)
    """Why nearer rules didn't answer."""
    skipped: tuple[tuple[str, str], ...] = ()
    """The faults that were selected but had no effect, as `kind (source)`, each with the reason."""
    read_as: type[BaseModel] | None = None
    """The model of its body, which declares the effect of each member; None if unknown."""
    _unheeded: tuple[str, ...] | None = field(default=None, repr=False)  # set if the body is too large to keep
    attempt: int = 1
    """How many times this exact request has arrived, including now."""
    connection: int = 0
    """The number of its connection, counted from 1 for each server; 0 if unknown."""
    acknowledged: Mapping[str, Any] | None = None
    """The outcome that the client reported."""
    planned: PlannedBody | Sequence[Step] | None = field(default=None, repr=False)
    """The answer while it is being sent."""
    underway: Callable[[], Playback] | None = field(default=None, repr=False)
    """The progress of an answer that is being sent in frames."""
    started: float = 0.0
    """The start of the exchange on the namespace's clock (`Clock.now`); other times are relative to it."""
    body_size: int = 0
    """The size of the request's whole body in bytes."""
    size: int = 0
    """The bytes that the journal counts for it; 0 until it has ended."""
    is_kept: bool = False
    """Whether the journal still holds it."""
    _answer: PlannedBody | RecordedResponse | Recollection | None = field(default=None, repr=False)
    _frames: "Frames | None" = field(default=None, repr=False)
    arrived: float = 0.0
    """When the request arrived, in real Unix seconds, whatever the namespace's clock says."""
    socket: ConnectionRecord | None = field(default=None, repr=False)
    """The record of its connection."""
    acknowledged_after: float | None = None
    """Real seconds from the request to the client's acknowledgment."""

    @property
    def request(self) -> RecordedRequest:
        """The request, without credentials."""
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
        """Another name for `request`."""
        return self.request

    @property
    def place(self) -> tuple[str, str, str]:
        """Provider, method and path."""
        return self._http_request.provider, self._http_request.method, self._http_request.path

    @property
    def key(self) -> str | None:
        """The credential of the request, for redacting it."""
        return self._http_request.key

    @property
    def operation(self) -> str:
        """The endpoint; empty if this path has none."""
        return self._http_request.operation

    @property
    def response(self) -> RecordedResponse:
        """The response; its body is empty until the answer has ended."""
        answer, http_request = self._answer, self._http_request
        if isinstance(answer, Recollection):
            answer = answer.planned()
        if isinstance(answer, PlannedBody):
            body = answer.body()
            answer = RecordedResponse(answer.status, readable(answer.headers), body, len(body))
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
        """How it ended: `complete`, `client_closed`, `closed`, `reset`, `shutdown` or `lost` (with its process); None
        while it is open."""
        return self.playback.ended if self.playback is not None else None

    def reached(self, http_request: HttpRequest) -> None:
        """Records the routed request."""
        self._http_request = http_request

    def accepted(self, read_as: type[BaseModel] | None, native: Mapping[str, Any]) -> None:
        """Records the model as which the provider accepted the body."""
        self.read_as = read_as
        if read_as is not None and len(self._http_request.body) > MAX_REQUEST_BYTES:
            self._unheeded = _within(MAX_REQUEST_BYTES, ignored_in(read_as, native))

    def shorten(self) -> None:
        """Drops what no record shows, once the answer is known, so that large requests don't fill the memory. Code
        that still uses the request keeps the whole of it.
        """
        http_request = self._http_request
        self.body_size = len(http_request.body)
        if self.body_size > MAX_REQUEST_BYTES:
            self._http_request = replace(http_request, body=http_request.body[:MAX_REQUEST_BYTES])

    def end(self, answer: PlannedBody | Recollection | Sequence[Step] | None = None) -> None:
        """Ends the exchange, and keeps only what the record shows."""
        self.underway = self.planned = None
        playback = self.playback
        if isinstance(answer, Recollection):
            self._answer = answer
        elif answer is not None and playback is not None:
            sent = playback.bytes_sent
            is_whole = (
                isinstance(answer, PlannedBody) and playback.ended == "complete" and 0 < sent <= MAX_REQUEST_BYTES
            )
            if is_whole:
                self._answer = answer  # type: ignore[assignment]
            else:
                self._answer, self._frames = as_sent(answer, playback), frames_of(answer)

    def row(self) -> dict[str, Any]:
        """Returns the exchange for lists: without headers and bodies, and without what is slow to compute."""
        http_request, playback = self._http_request, self.so_far()
        row = {
            "number": self.number,
            "namespace": self.namespace,
            "received": self.received,
            "provider": http_request.provider or None,
            "operation": http_request.operation,
            "method": http_request.method,
            "path": http_request.path,
            "model": self.model,
            "prompt": " ".join(self.prompt[: 2 * MAX_PROMPT].split())[:MAX_PROMPT],
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
        """Returns the same with the request, for the log."""
        request = self.request
        sent = {"url": request.url, "query": request.query, "headers": dict(request.headers), "body": request.text}
        return {**self.row(), **sent}

    def record(self) -> dict[str, Any]:
        """Returns the same with the reasons why nearer rules did not answer."""
        return {**self.summary(), "misses": self.misses}

    def details(self, *, explains: bool = True) -> dict[str, Any]:
        """Returns everything known about the exchange as plain data, without credentials and with bodies truncated
        at 64 KiB. explains: also why rules did not answer, which can be slow.
        """
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
            "misses": self.misses if explains else [UNEXPLAINED],
            "because": self.because if explains else [],
            "frames": self.frames,
            **evidence_of(self),
        }


def came_on(exchange: Exchange, connection: ConnectionRecord) -> None:
    """Records the connection of a request that is about to be answered."""
    exchange.connection, exchange.socket = connection.number, connection
    connection.requests += 1


def acknowledge(exchange: Exchange, word: Mapping[str, Any]) -> None:
    """Records how an exchange ended for the client."""
    exchange.acknowledged, exchange.acknowledged_after = word, unix_time() - exchange.arrived


def _within(most: int, names: Sequence[str]) -> tuple[str, ...]:
    """Returns the first names, with at most `most` characters in total."""
    total = accumulate(map(len, names))
    return tuple([name for name, so_far in zip(names, total, strict=True) if so_far <= most])


def _clean(value: Any, key: str | None) -> Any:
    """Returns plain data without credentials."""
    if isinstance(value, str):
        return redacted(value, key)
    if isinstance(value, dict):
        return {name: _clean(item, key) for name, item in value.items()}
    return [_clean(item, key) for item in value] if isinstance(value, list) else value


def _text_of(content: Any) -> str:
    """Returns the text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, list):
        parts = [each.get("text", "") if isinstance(each, dict) else each for each in content]
        return "\n".join(part for part in parts if isinstance(part, str) and part)
    return content if isinstance(content, str) else ""


@record
class Frames:
    """The frames of an answer whose plan the journal no longer keeps."""

    at: Sequence[float]
    sizes: Sequence[int]
    parts: tuple[str, ...]


def frames_of(answer: PlannedBody | Sequence[Step]) -> Frames:
    datas = islice((step for step in steps_of(answer) if isinstance(step, Data | Raw) and step.data), MAX_MOMENTS)
    rows = [(step.at, len(step.data), step.part if isinstance(step, Data) else "raw") for step in datas]
    return Frames(
        array("d", [row[0] for row in rows]), array("L", [row[1] for row in rows]), tuple([row[2] for row in rows])
    )


def _counts(usage: Usage) -> dict[str, int]:
    return {
        "prompt": usage.prompt,
        "completion": usage.completion,
        "total": usage.total,
        "reasoning": usage.reasoning,
        "cached": usage.cached,
    }


def _since(start: float, moment: float | None) -> float | None:
    return None if moment is None else moment - start


def size_of(exchange: Exchange) -> int:
    http_request, answer, playback = exchange._http_request, exchange._answer, exchange.playback
    size = OVERHEAD + http_request.head_size + len(http_request.body) + len(exchange.model)
    if exchange.notes:
        size += sum(map(len, exchange.notes))
    if isinstance(answer, Recollection) and playback is not None:  # nothing else is kept
        return size + playback.bytes_sent
    if exchange._unheeded is not None:
        size += sum(map(len, exchange._unheeded))
    if playback is not None and playback.sent is not None:
        size += 8 * len(playback.sent)
    if exchange._frames is not None:
        size += 24 * len(exchange._frames.parts)
    if isinstance(answer, RecordedResponse):
        return size + len(answer.body)
    return size + (playback.bytes_sent if playback is not None else 0)
