"""The records of a request and its answer: without credentials, with truncated bodies."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.state.said import Said
from emulator.wire import Close, Data, Hang, Head, Header, PlannedBody, Playback, Raw, Reset, Step

MAX_REQUEST_BYTES = 65536
"""The most bytes kept of one body."""
MAX_QUICK_RULES = 50
"""With at most this many rules, mismatches are explained for each request that matches none."""


class _Body:
    """What the records of a request and a response have in common: a body that may be truncated."""

    body: bytes
    size: int

    @property
    def truncated(self) -> bool:
        """Whether `body` is truncated."""
        return self.size > len(self.body)

    @property
    def text(self) -> str:
        """The body as text; invalid UTF-8 is replaced."""
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
    """The size of the whole body in bytes."""


@dataclass(frozen=True)
class RecordedResponse(_Body):
    """An answer as far as it was sent, with its body truncated at 64 KiB."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case, without those that HTTP's framing adds."""
    body: bytes
    """As sent, without the framing of chunks."""
    size: int
    """The size in bytes of the body as far as it was sent."""
    said: Said | None = None
    """The model's answer in it; None for an error, a list, or a body that can't be parsed."""
    framing: str | None = None
    """How a fault framed the body; None: as the headers and HTTP require."""
    is_head_sent: bool = True
    """Whether the status line and headers were sent."""

    @property
    def encoded(self) -> str | None:
        """The body in base64, if it is not valid UTF-8; otherwise None."""
        return None if self.text.encode() == self.body else b64encode(self.body).decode()

    @property
    def content(self) -> str:
        """The text of the answer, joined from all events of a stream; empty if no model has answered."""
        return self.said.text if self.said is not None else ""

    @property
    def reasoning(self) -> str:
        """The reasoning before the answer, joined in the same way; empty if there is none."""
        return self.said.reasoning if self.said is not None else ""


class Why:
    """Explains why no rule answered, from the original request, on demand because it can be slow."""

    __slots__ = ()

    @property
    def body(self) -> bytes:
        """The body that it examines."""
        return b""

    @property
    def tried(self) -> int:
        """The number of rules that it tries."""
        return 0

    def find(self) -> list[str]:
        """Returns the reasons, those of the nearest rules first."""
        raise NotImplementedError

    def explain(self) -> list[dict[str, Any]]:
        """Returns whether each condition of each rule holds."""
        return []

    @property
    def is_quick(self) -> bool:
        """Whether it is fast enough for the log."""
        return self.tried <= MAX_QUICK_RULES and len(self.body) <= MAX_REQUEST_BYTES


def steps_of(answer: PlannedBody | Sequence[Step]) -> Sequence[Step]:
    return answer.steps() if isinstance(answer, PlannedBody) else answer


def readable(headers: Sequence[Header]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def as_sent(answer: PlannedBody | Sequence[Step], playback: Playback) -> RecordedResponse:
    """Returns the beginning of an answer as it was sent."""
    steps = steps_of(answer)
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
    status, headers = (head.status, readable(head.headers)) if head is not None else (0, {})
    size = max(playback.bytes_sent, len(body))
    return RecordedResponse(status, headers, body, size, framing=framing, is_head_sent=first is head)
