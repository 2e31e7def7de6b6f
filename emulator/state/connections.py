"""The record of a connection, for its exchanges."""

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

from emulator.clock import unix_time

Side = Literal["client", "server"]
MAX_KEPT = 65536
"""The bytes to keep of an unanswered request."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,15})\r?$", re.IGNORECASE | re.MULTILINE)


def body_digest(body: bytes) -> str:
    """Returns a digest that distinguishes request bodies."""
    return blake2b(body, digest_size=16).hexdigest()


@dataclass(slots=True, eq=False)
class ConnectionRecord:
    """One connection. Times are real Unix seconds."""

    number: int
    opened: float
    requests: int = 0
    """The number of requests answered on it."""
    closed: float | None = None
    closed_by: Side | None = None
    """The side that ended it first."""
    turned_away: float | None = None
    """When a request arrived that got the end of the connection instead of an answer."""
    turned_away_bytes: bytes = b""
    """The beginning of that request."""

    def turn_away(self, data: bytes) -> None:
        """Records a request, or another part of it, that gets no answer because the connection ends; it has no
        exchange.
        """
        if self.turned_away is None:
            self.turned_away = unix_time()
        self.turned_away_bytes += data[: MAX_KEPT - len(self.turned_away_bytes)]

    def turned_away_body(self) -> tuple[str | None, int | None]:
        """Returns the digest of that request's body, if it is complete, and its length, if its head states it."""
        head, end_of_head, body = self.turned_away_bytes.partition(b"\r\n\r\n")
        length = _LENGTH.search(head) if end_of_head else None
        if length is None:
            return None, None
        size = int(length[1])
        return (body_digest(body) if len(body) == size else None), size

    def close(self, by: Side) -> None:
        """Records that the connection is closed."""
        self.closed, self.closed_by = unix_time(), by

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data. `seen` is the time of reading."""
        digest, size = self.turned_away_body()
        return {
            "opened": self.opened,
            "requests": self.requests,
            "closed": self.closed,
            "closed_by": self.closed_by,
            "turned_away": self.turned_away,
            "turned_away_body": digest,
            "turned_away_size": size,
            "seen": unix_time(),
        }
