"""What happened: one `Exchange` for each request, kept in a bounded journal."""

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import unquote_plus

from emulator.providers import CREDENTIALS
from emulator.reply import Usage
from emulator.request import Call
from emulator.transport import Playback

LONGEST_BODY = 65536
SECRET_HEADERS = frozenset(
    [*CREDENTIALS, "authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization"]
)
SECRETS = ("key", "api_key", "api-key", "apikey", "access_token", "token", "x-api-key")
"""Names of query parameters that hold a credential, in any case."""
REDACTED = "[redacted]"
IN_EXCHANGE = {"in_exchange": True}
"""`extra` of a message of the log that the record of its exchange says as well."""


@dataclass(slots=True)
class Exchange:
    """One request and what became of it. Durations are seconds; `received` is Unix time."""

    number: int
    received: float
    call: Call
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
    open_key: str | None = None
    """The key whose open answers this one counts among, until it has ended."""
    playback: Playback | None = None
    faults: tuple[str, ...] = ()
    """The faults that struck, as `kind (source)`."""
    notes: tuple[str, ...] = ()
    """What a user should know of this exchange: why no rule matched, which fault could not be applied."""
    why: Callable[[], list[str]] | None = None
    """For an answer that no rule gave: tells for each rule why, the nearest first."""
    started: float = 0.0
    """The moment on the clock's hand of deadlines from which all others count."""

    def shorten(self) -> None:
        """Let go of what no record will show: many large requests are not to fill the memory."""
        if len(self.call.body) > LONGEST_BODY:
            self.call.body = self.call.body[:LONGEST_BODY]

    def record(self) -> dict[str, Any]:
        """The exchange as plain data, without credentials, bodies cut at 64 KiB."""
        headers = {name: REDACTED if name in SECRET_HEADERS else value for name, value in self.call.headers.items()}
        playback = self.playback
        return {
            "number": self.number,
            "received": self.received,
            "namespace": self.namespace,
            "provider": self.call.provider,
            "operation": self.call.operation,
            "method": self.call.method,
            "path": self.call.path,
            "query": _without_secrets(self.call.query),
            "headers": headers,
            "body": self.call.body[:LONGEST_BODY].decode("utf-8", "replace"),
            "model": self.model,
            "stream": self.stream,
            "rule": self.rule,
            "outcome": self.outcome,
            "error": self.error,
            "message": self.message,
            "status": self.status,
            "usage": _tokens(self.usage),
            "cost": str(self.cost),
            "faults": list(self.faults),
            "notes": list(self.notes),
            "misses": self.why() if self.why is not None else [],
            "ended": playback.ended if playback else None,
            "bytes_sent": playback.bytes_sent if playback else 0,
            "frames_sent": playback.frames_sent if playback else 0,
            "first_sent": _since(self.started, playback.first_sent if playback else None),
            "last_sent": _since(self.started, playback.last_sent if playback else None),
            "late": playback.late if playback else 0.0,
        }


def _without_secrets(query: str) -> str:
    """A query string as it was sent, but for the values of parameters that hold a credential."""
    parts = re.split("([&;])", query)
    for place, part in enumerate(parts):
        name, equals, _ = part.partition("=")
        if equals and unquote_plus(name).strip().lower() in SECRETS:
            parts[place] = f"{name}={REDACTED}"
    return "".join(parts)


def _tokens(usage: Usage | None) -> dict[str, int] | None:
    return (
        None
        if usage is None
        else {name: getattr(usage, name) for name in ("prompt", "completion", "total", "reasoning", "cached")}
    )


def _since(start: float, moment: float | None) -> float | None:
    return None if moment is None else moment - start


@dataclass(slots=True)
class Journal:
    """The last exchanges, oldest first; older ones are forgotten."""

    capacity: int = 1000
    count: int = 0
    """How many exchanges there ever were."""
    _kept: deque[Exchange] = field(init=False)

    def __post_init__(self) -> None:
        self._kept = deque(maxlen=self.capacity)

    def add(self, exchange: Exchange) -> None:
        self._kept.append(exchange)

    def next_number(self) -> int:
        self.count += 1
        return self.count

    def clear(self) -> None:
        self._kept.clear()

    def __iter__(self) -> Iterator[Exchange]:
        return iter(tuple(self._kept))

    def __len__(self) -> int:
        return len(self._kept)
