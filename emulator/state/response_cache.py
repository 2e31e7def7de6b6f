"""Caches answers that would be the same again except for their ids and times, so that they are made only once.

An answer is stored with stand-ins for its id, time and request id. The engine decides which answers are cacheable; this
module only stores them and fills them in.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
from pydantic import BaseModel

from emulator.matching.rules import RuleMatch
from emulator.reply import Usage
from emulator.request import HttpRequest
from emulator.state.recent import Recent
from emulator.state.recorded import Why
from emulator.wire import FrameRun, Header, PlannedBody

MAX_ENTRIES = 512
MAX_REQUEST_BYTES = 16_384
MAX_ANSWER_BYTES = 262_144

ID = "\x1fid\x1f"
CREATED = 9_007_199_254_740_881
REQUEST_ID = "stand-in-for-a-request-id"
_ID = orjson.dumps(ID)[1:-1]
_CREATED = b"%d" % CREATED
_REQUEST_ID = REQUEST_ID.encode()
_STAND_INS = re.compile(b"(%b|%b|%b)" % (re.escape(_ID), _CREATED, _REQUEST_ID))
MAX_BLANKS = 8
"""The most stand-ins in an answer that is filled in as one text; with more, as in a stream, each run is filled in
separately.
"""
MAX_WHOLE = 60_000
"""The size limit in bytes of an answer that is filled in as one text."""


def holds_stand_in(planned: PlannedBody) -> bool:
    """Whether an answer itself contains something that looks like a stand-in, so that it can't be cached."""
    texts = [text for run in planned.runs for text in (run.before, run.after, *run.pieces)]
    texts += [value for _, value in planned.headers]
    return any(sign in text for text in texts for sign in (_ID, _CREATED, _REQUEST_ID))


Key = tuple[str, str, str, str, str, bytes]


@dataclass(frozen=True, slots=True)
class Template:
    """A text with blanks; each blank is one of its parts."""

    parts: tuple[bytes, ...]
    blanks: tuple[tuple[int, int], ...]
    """The index of each blank, and the index of its value."""

    @classmethod
    def of(cls, text: bytes) -> "Template":
        """Returns the template for a text with stand-ins."""
        parts = tuple(_STAND_INS.split(text))
        order = (_ID, _CREATED, _REQUEST_ID)
        return cls(parts, tuple([(place, order.index(parts[place])) for place in range(1, len(parts), 2)]))

    def filled(self, values: tuple[bytes, bytes, bytes]) -> bytes:
        """Returns the text with an id (escaped for JSON), a time and a request id."""
        parts = list(self.parts)
        for place, which in self.blanks:
            parts[place] = values[which]
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer whose head and body are sent together, ready to be filled in."""

    head: Template
    """The lines of the answer's own headers, each after a line end."""
    body: Template
    frames: int


@dataclass(slots=True, eq=False)
class CachedResponse:
    """An answer with stand-ins, and the data for its journal entries."""

    planned: PlannedBody
    identity: bytes
    operation: str
    dialect: str
    model: str
    stream: bool
    match: RuleMatch | None
    usage: Usage
    why: Why | None
    is_at_once: bool
    """Whether all of it is due immediately."""
    cost: Decimal
    read_as: type[BaseModel] | None = None
    tokenizer: str = ""
    is_estimate: bool = False
    whole: Whole | None = None
    """The same as text, for a small answer that is due immediately."""
    asked_with: Mapping[str, str] | None = None
    """The headers of the last request that got it, whose key is accepted."""

    def filled(self, id: str, created: int, request_id: str) -> PlannedBody:
        """Returns the answer with its own id, time and request id."""
        planned = self.planned
        shown = orjson.dumps(id)[1:-1]
        moment = b"%d" % created
        headers = planned.headers
        if request_id:
            headers = tuple([_with(header, request_id.encode()) for header in headers])
        return PlannedBody(
            planned.status, headers, tuple([_fill(run, shown, moment) for run in planned.runs]), planned.streamed
        )


@dataclass(frozen=True, slots=True)
class Recollection:
    """A cached answer with its own id, time and request id. It is filled in only when needed."""

    cached: CachedResponse
    id: str
    created: int
    request_id: str

    def values(self) -> tuple[bytes, bytes, bytes]:
        """Returns the values for the blanks of a template."""
        return orjson.dumps(self.id)[1:-1], b"%d" % self.created, self.request_id.encode()

    def planned(self) -> PlannedBody:
        """Returns the answer, filled in."""
        return self.cached.filled(self.id, self.created, self.request_id)


def whole_of(planned: PlannedBody) -> Whole | None:
    """Returns the answer as text; None if it is too large for one write or has too many stand-ins."""
    body = planned.body()
    if len(body) > MAX_WHOLE or planned.at or planned.exact:
        return None
    lines = b"".join([b"\r\n%b: %b" % header for header in planned.headers])
    head, filled = Template.of(lines), Template.of(body)
    line_ends = (lines.count(b"\r"), lines.count(b"\n"))
    if len(filled.blanks) > MAX_BLANKS or line_ends != (len(planned.headers), len(planned.headers)):
        return None
    return Whole(head, filled, sum(len(run.pieces) for run in planned.runs))


def _with(header: Header, request_id: bytes) -> Header:
    return (header[0], request_id) if header[1] == _REQUEST_ID else header


def _fill(run: FrameRun, id: bytes, created: bytes) -> FrameRun:
    if run.before or run.after:
        before = run.before.replace(_ID, id).replace(_CREATED, created)
        after = run.after.replace(_ID, id).replace(_CREATED, created)
        middle = run.middle and run.middle.replace(_ID, id).replace(_CREATED, created)
        return FrameRun(run.part, before, run.pieces, after, run.tokens, run.also, run.first, middle)
    pieces: Sequence[bytes] = [piece.replace(_ID, id).replace(_CREATED, created) for piece in run.pieces]
    return FrameRun(run.part, b"", pieces, b"", run.tokens, run.also)


class ResponseCache:
    """The answers of one namespace to recent requests; the least recently used is dropped first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, CachedResponse] = OrderedDict()
        self.forms: Recent[Any] = Recent()
        """The parsed requests without their texts."""
        self.answers: Recent[Any] = Recent()
        """The answers of rules to every request of a form."""

    def get(self, http_request: HttpRequest) -> CachedResponse | None:
        if len(http_request.body) > MAX_REQUEST_BYTES:
            return None
        key = _key(http_request)
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def keep(self, http_request: HttpRequest, cached_response: CachedResponse) -> None:
        if (
            len(http_request.body) > MAX_REQUEST_BYTES
            or sum(map(_size, cached_response.planned.runs)) > MAX_ANSWER_BYTES
        ):
            return
        self._kept[_key(http_request)] = cached_response
        if len(self._kept) > MAX_ENTRIES:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        self._kept.clear()
        self.forms.clear()
        self.answers.clear()


def _key(http_request: HttpRequest) -> Key:
    return (
        http_request.provider,
        http_request.method,
        http_request.path,
        http_request.query,
        http_request.headers.get("content-type", ""),
        http_request.body,
    )


def _size(run: FrameRun) -> int:
    around = len(run.before) + len(run.middle) + len(run.after) + (run.first is not None) * 8
    return len(run.pieces) * around + sum(map(len, run.pieces))
