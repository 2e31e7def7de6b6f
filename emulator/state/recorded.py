"""What is kept of a request and of its answer: without credentials, bodies cut."""

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
"""Rules up to which it is found out for each request that none of them matches why it does not."""


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


class Why:
    """Finds out why no rule answered, from the original request; done on demand, because it can take long."""

    __slots__ = ()

    @property
    def body(self) -> bytes:
        """The body that it looks at."""
        return b""

    @property
    def tried(self) -> int:
        """How many rules it asks."""
        return 0

    def find(self) -> list[str]:
        """The reasons, those of the nearest rules first."""
        raise NotImplementedError

    def explain(self) -> list[dict[str, Any]]:
        """For each rule and each of its conditions whether it holds."""
        return []

    @property
    def is_quick(self) -> bool:
        """Whether it costs so little that the log may ask too."""
        return self.tried <= MAX_QUICK_RULES and len(self.body) <= MAX_REQUEST_BYTES


def steps_of(answer: PlannedBody | Sequence[Step]) -> Sequence[Step]:
    return answer.steps() if isinstance(answer, PlannedBody) else answer


def readable(headers: Sequence[Header]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def as_sent(answer: PlannedBody | Sequence[Step], playback: Playback) -> RecordedResponse:
    """The beginning of what was sent of an answer."""
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
