"""One exchange as a verdict sees it: the request, the answer and the ending, all from its record in the journal."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from json import JSONDecodeError, loads
from typing import Any, Literal

from emulator.dialects.base import WireShape
from emulator.dialects.turns import Answer, Turn, error_in
from emulator.providers import shape_of
from emulator.records import record

Row = Mapping[str, Any]
"""An exchange in the form of `Exchange.details()` and `journal/export`."""
Outcome = Literal["complete", "partial", "failed"]

RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""The statuses after which another attempt may help."""
WORDS: Mapping[str, Outcome] = {
    "complete": "complete",
    "completed": "complete",
    "ok": "complete",
    "partial": "partial",
    "aborted": "partial",
    "cancelled": "partial",
    "canceled": "partial",
    "failed": "failed",
    "error": "failed",
    "raised": "failed",
    "retried": "failed",
    "gave_up": "failed",
}
"""The outcomes that a client may acknowledge, and their meanings."""
SILENT_PARTS = ("comment", "ping", "role", "frame")
"""The frames without content of the answer."""
_LINE_END = re.compile(r"\r\n|\n|\r")
_UNREAL = 1.0
"""Seconds of difference from real time at which a namespace's clock does not count as real."""


@lru_cache(maxsize=256)
def shape(provider: str, dialect: str) -> WireShape:
    """Returns the wire shape of an endpoint; for an unknown one, a shape that finds nothing."""
    return shape_of(provider, dialect) or WireShape()


@record
class Stream:
    """Parses a stream by the standard of server-sent events."""

    data: tuple[str, ...] = ()
    """The data of each complete event."""
    names: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()


def read_stream(text: str) -> Stream:
    """Returns the events and comments of a stream. An event without its blank line doesn't count."""
    data: list[str] = []
    names: list[str] = []
    comments: list[str] = []
    lines: list[str] = []
    name = ""
    for line in _LINE_END.split(text.removeprefix("\ufeff")):
        field_name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if lines:
                data.append("\n".join(lines))
                names.append(name)
            lines, name = [], ""
        elif not field_name:
            comments.append(line)
        elif field_name == "data":
            lines.append(value)
        elif field_name == "event":
            name = value
    return Stream(tuple(data), tuple(names), tuple(comments))


def read_json(text: str) -> Any:
    """Parses JSON; None if it is invalid."""
    try:
        return loads(text)
    except (JSONDecodeError, RecursionError):
        return None


class _Recorded:
    """The plain data of the record. Times are in seconds on the namespace's clock unless they are called real."""

    __slots__ = ()
    row: Row
    provider: str

    # Client and target

    @property
    def target(self) -> tuple[str, str, str, str | None]:
        """The target: with another provider, path, model or key, an attempt is a fail-over rather than a retry."""
        return self.provider, self.row["path"], self.row["model"], self.row.get("key_id")

    @property
    def client(self) -> tuple[str | None, str]:
        """The client, as far as a server can identify it: the key and the user agent."""
        return self.row.get("key_id"), self.headers.get("user-agent", "")

    @property
    def headers(self) -> Mapping[str, str]:
        headers: Mapping[str, str] = self.row["request"]["headers"]
        return headers

    @property
    def response_headers(self) -> Mapping[str, str]:
        headers: Mapping[str, str] = self.row["response"]["headers"]
        return headers

    @property
    def retry_count(self) -> int | None:
        count: int | None = self.row["retry_count"]
        return count

    @property
    def idempotency_key(self) -> str | None:
        key: str | None = self.row["idempotency_key"]
        return key

    @property
    def connection(self) -> int:
        number: int = self.row["connection"]
        return number

    # Times

    @property
    def received(self) -> float:
        return float(self.row["received"])

    @property
    def arrived(self) -> float:
        """The arrival in real Unix seconds."""
        return float(self.row.get("arrived") or self.row["received"])

    @property
    def is_real(self) -> bool:
        """Whether the namespace's clock was real."""
        return abs(self.received - self.arrived) < _UNREAL

    @property
    def duration(self) -> float | None:
        """Seconds until it ended; None while it is open."""
        if self.row["ended"] is None:
            return None
        ended = self.row.get("ended_at")
        return float(ended if ended is not None else self.row["last_sent"] or 0.0)

    @property
    def over(self) -> float:
        """When it ended on the namespace's clock; infinite while it is open."""
        duration = self.duration
        return self.received + duration if duration is not None else float("inf")

    # Outcome

    @property
    def status(self) -> int:
        return int(self.row["status"])

    @property
    def ended(self) -> str | None:
        ended: str | None = self.row["ended"]
        return ended

    @property
    def bytes_sent(self) -> int:
        return int(self.row["bytes_sent"])


@dataclass(slots=True, eq=False)
class Attempt(_Recorded):
    """One parsed exchange."""

    row: Row = field(repr=False)
    number: int
    provider: str
    shape: WireShape
    body: Any
    """The request's body as data; None if it is not JSON, or was truncated."""
    turns: tuple[Turn, ...]
    answer: Answer
    stream: Stream
    is_readable: bool
    """Whether the whole answer could be parsed: it is neither truncated nor compressed."""
    has_end: bool
    """Whether the answer has its end."""
    acknowledged: Outcome | None = None
    text_understood: str | None = None
    """The text that the client has acknowledged."""

    @property
    def spoken(self) -> tuple[Turn, ...]:
        """The turns without system prompts, which clients may change."""
        return tuple([turn for turn in self.turns if turn.role not in ("system", "developer")])

    @property
    def is_refused(self) -> bool:
        """Whether the answer has an error status."""
        return self.status >= 400

    @property
    def is_cut_off(self) -> bool:
        """Whether the connection ended before any byte of the answer."""
        return not self.is_refused and self.ended in ("closed", "reset", "shutdown") and not self.bytes_sent

    @property
    def is_whole(self) -> bool:
        """Whether the client received a complete answer that is not an error."""
        return not self.is_refused and self.has_end and not self.answer.error and self.ended is not None

    @property
    def is_broken(self) -> bool:
        """Whether an answer began but was interrupted, and not by the client."""
        return (
            not self.is_refused
            and not self.has_end
            and self.is_readable
            and self.ended in ("complete", "closed", "reset")
            and bool(self.bytes_sent)
        )

    @property
    def is_left(self) -> bool:
        """Whether the client left before the end."""
        return self.ended == "client_closed" and not self.has_end

    @property
    def is_retryable(self) -> bool:
        """Whether it failed temporarily, before any output."""
        if self.response_headers.get("x-should-retry") == "false":
            return False
        return self.is_cut_off or self.status in RETRYABLE

    @property
    def output(self) -> tuple[Turn, ...]:
        """The part of the answer that arrived: the choices with content."""
        return tuple([turn for turn in self.answer.turns if turn.text or turn.calls])

    @property
    def retry_after(self) -> float | None:
        """The seconds that the answer asks the client to wait."""
        headers = self.response_headers
        for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
            try:
                return float(headers[name]) / unit
            except (KeyError, ValueError):
                continue
        try:
            moment = parsedate_to_datetime(headers.get("retry-after", ""))
        except ValueError:
            return None
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - self.received)

    def says(self) -> str:
        """Describes how it ended, in a few words."""
        if self.is_refused:
            return f"status {self.status}"
        if self.is_cut_off:
            return "a connection that ended without an answer"
        if self.answer.error:
            return "an error in the stream"
        return "an unfinished answer" if not self.is_whole else "a whole answer"


def attempt_of(row: Row) -> Attempt:
    """Parses an exchange of the journal."""
    reader = shape(row["provider"] or "", row.get("dialect") or "")
    request, response = row["request"], row["response"]
    body = None if request["truncated"] else read_json(request["body"])
    turns = tuple(reader.turns(body)) if isinstance(body, dict) else ()
    text: str = response["text"]
    is_stream = "event-stream" in response["headers"].get("content-type", "")
    stream = read_stream(text) if is_stream else Stream()
    whole = None if is_stream else read_json(text)
    values = whole if isinstance(whole, list) else [whole]
    if is_stream:
        values = [read_json(data) for data in stream.data]
    natives = [value for value in values if isinstance(value, dict)]
    reads = type(reader).answer_of is not WireShape.answer_of or not is_stream
    is_readable = reads and not response["truncated"] and "content-encoding" not in response["headers"]
    answer = _answer(reader, natives) if row["status"] < 400 else Answer()
    word = row["acknowledged"] or {}
    return Attempt(
        row,
        row["number"],
        row["provider"] or "",
        reader,
        body,
        turns,
        answer,
        stream,
        is_readable,
        _has_end(row, answer, stream, natives) if is_readable else row["ended"] == "complete" and not row["applied"],
        acknowledged=WORDS.get(str(word.get("outcome", "")).lower()),
        text_understood=word.get("text"),
    )


def _answer(reader: WireShape, natives: Sequence[dict[str, Any]]) -> Answer:
    """Returns the content, and the error in it, if there is one."""
    found = reader.answer_of(natives)
    error = next(filter(None, map(error_in, natives)), None)
    return found if error is None else Answer(found.turns, found.finish, error, found.has_usage)


def _has_end(row: Row, answer: Answer, stream: Stream, natives: Sequence[Any]) -> bool:
    if "event-stream" not in row["response"]["headers"].get("content-type", ""):
        return row["ended"] == "complete" and bool(natives)
    return answer.finish is not None or "[DONE]" in stream.data or "message_stop" in stream.names


def gap(earlier: Attempt, later: Attempt) -> float:
    """Returns the seconds between the end of one exchange and the next request. If the namespace's clock is not
    real, the client may have used either clock, so the longer time counts.
    """
    duration = earlier.duration or 0.0
    by_clock = later.received - earlier.received - duration
    if earlier.is_real:
        return by_clock
    return max(by_clock, later.arrived - earlier.arrived)


def stayed(attempt: Attempt) -> float:
    """Returns the seconds for which the client stayed after the last byte."""
    end = attempt.duration if attempt.duration is not None else attempt.row.get("age")
    return max(0.0, float(end or 0.0) - float(attempt.row["last_sent"] or 0.0))
