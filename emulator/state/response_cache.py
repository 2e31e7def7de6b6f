"""Remembers answers that would come out the same again but for their ids and moments, so that they are made only once.

The answer is kept with stand-ins where its id, its time and its request id belong. The engine decides which answers
may be kept; this module only keeps them and fills them in.
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
"""The most stand-ins that are filled in as one text; an answer with more of them, such as a stream, is filled in run by
run."""
MAX_WHOLE = 60_000
"""Bytes of the largest answer that is filled in as one text."""


def holds_stand_in(planned: PlannedBody) -> bool:
    """Whether an answer says by itself what would be taken for a stand-in: then it cannot be remembered."""
    texts = [text for run in planned.runs for text in (run.before, run.after, *run.pieces)]
    texts += [value for _, value in planned.headers]
    return any(sign in text for text in texts for sign in (_ID, _CREATED, _REQUEST_ID))


Key = tuple[str, str, str, str, str, bytes]


@dataclass(frozen=True, slots=True)
class Template:
    """A text with blanks, each of which is one part of it."""

    parts: tuple[bytes, ...]
    blanks: tuple[tuple[int, int], ...]
    """The place of each blank, and which of the values belongs there."""

    @classmethod
    def of(cls, text: bytes) -> "Template":
        """The template for a text with stand-ins."""
        parts = tuple(_STAND_INS.split(text))
        order = (_ID, _CREATED, _REQUEST_ID)
        return cls(parts, tuple([(place, order.index(parts[place])) for place in range(1, len(parts), 2)]))

    def filled(self, values: tuple[bytes, bytes, bytes]) -> bytes:
        """The text with an id as it stands in JSON, a time and a request id."""
        parts = list(self.parts)
        for place, which in self.blanks:
            parts[place] = values[which]
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer whose head and body go out together, ready to be filled in."""

    head: Template
    """The lines of the answer's own headers, each with a line end before it."""
    body: Template
    frames: int


@dataclass(slots=True, eq=False)
class CachedResponse:
    """An answer with stand-ins, and what its journal entry says."""

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
    """Whether all of it is due when it is asked for."""
    cost: Decimal
    read_as: type[BaseModel] | None = None
    tokenizer: str = ""
    is_estimate: bool = False
    whole: Whole | None = None
    """The same as text, for an answer that is due at once and small."""
    asked_with: Mapping[str, str] | None = None
    """The headers with which it was given last, whose key may ask."""

    def filled(self, id: str, created: int, request_id: str) -> PlannedBody:
        """The answer with its own id, time and request id."""
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
    """A cached answer with its own id, time and request id. It is spelled out only for those who look at it."""

    cached: CachedResponse
    id: str
    created: int
    request_id: str

    def values(self) -> tuple[bytes, bytes, bytes]:
        """What belongs into the blanks of a template."""
        return orjson.dumps(self.id)[1:-1], b"%d" % self.created, self.request_id.encode()

    def planned(self) -> PlannedBody:
        """The answer, spelled out."""
        return self.cached.filled(self.id, self.created, self.request_id)


def whole_of(planned: PlannedBody) -> Whole | None:
    """The answer as text; None if it is too large for one write or has too many stand-ins."""
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
    """The answers of one namespace to the requests of late, least lately used forgotten first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, CachedResponse] = OrderedDict()
        self.forms: Recent[Any] = Recent()
        """What was made of all of a request but its words."""
        self.answers: Recent[Any] = Recent()
        """What rules answer to every request of a form."""

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
