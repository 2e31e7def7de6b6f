"""Remembers answers that would come out the same again but for their ids and moments, so that they are made only once.

An answer is kept with gaps for its id, its time and its request id, and, where other words get the same answer, for
the tokens of its prompt. What makes an answer steady is decided by the engine; here is only the keeping and the
filling in.
"""

import re
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel

from emulator.matching.rules import Answer, RuleMatch
from emulator.reply import Usage
from emulator.request import HttpRequest
from emulator.state.recorded import Why
from emulator.wire import FrameRun, Header, PlannedBody

Value = TypeVar("Value")

MAX_ENTRIES = 512
MAX_REQUEST_BYTES = 16_384
MAX_ANSWER_BYTES = 262_144

ID = "\x1fid\x1f"
CREATED = 9_007_199_254_740_881
REQUEST_ID = "stand-in-for-a-request-id"
PROMPT = 7_305_418_500_000_000
"""Stands for the tokens of a prompt. What is added to it or taken from it is less than half a billion, so every sum
begins alike."""
_ID = orjson.dumps(ID)[1:-1]
_CREATED = b"%d" % CREATED
_REQUEST_ID = REQUEST_ID.encode()
_STAND_IN = re.compile(b"|".join([re.escape(_ID), _CREATED, rb"7305418\d{9}"]))


class _Gapped(bytes):
    """A text with gaps, as bytes to be formatted."""


@dataclass(frozen=True, slots=True)
class Template:
    """An answer with gaps."""

    planned: PlannedBody
    sums: tuple[tuple[bytes, int], ...]
    """What the gaps for numbers are called, and what each adds to the tokens of the prompt."""

    def filled(self, id: str, created: int, request_id: str, prompt: int = 0) -> PlannedBody:
        """The answer with its own id, time, request id and prompt."""
        planned = self.planned
        values: dict[bytes, Any] = {b"id": orjson.dumps(id)[1:-1], b"created": created}
        for name, number in self.sums:
            values[name] = prompt + number
        headers = planned.headers
        if request_id:
            headers = tuple([_with(header, request_id.encode()) for header in headers])
        return PlannedBody(
            planned.status, headers, tuple([_fill(run, values) for run in planned.runs]), planned.streamed
        )


def template_of(planned: PlannedBody) -> Template:
    """An answer that was made of stand-ins, with gaps in their place."""
    sums: dict[bytes, int] = {}
    runs = tuple([_gapped_run(run, sums) for run in planned.runs])
    return Template(replace(planned, runs=runs), tuple(sums.items()))


def holds_stand_in(planned: PlannedBody) -> bool:
    """Whether an answer says by itself what would be taken for a stand-in: then it cannot be remembered."""
    texts = [text for run in planned.runs for text in (run.before, run.after, *run.pieces)]
    texts += [value for _, value in planned.headers]
    return any(_STAND_IN.search(text) or _REQUEST_ID in text for text in texts)


def is_small(planned: PlannedBody) -> bool:
    """Whether an answer is short enough to be kept."""
    return sum(map(_size, planned.runs)) <= MAX_ANSWER_BYTES


def _gapped_run(run: FrameRun, sums: dict[bytes, int]) -> FrameRun:
    if run.before or run.after:
        before, middle, after = (_gapped(text, sums) for text in (run.before, run.middle, run.after))
        return replace(run, before=before, middle=middle, after=after)
    return replace(run, pieces=tuple([_gapped(piece, sums) for piece in run.pieces]))


def _gapped(text: bytes, sums: dict[bytes, int]) -> bytes:
    """A text with a gap for each stand-in."""
    if _STAND_IN.search(text) is None:
        return text

    def gap(found: re.Match[bytes]) -> bytes:
        if found[0] in (_ID, _CREATED):
            return b"%(id)b" if found[0] == _ID else b"%(created)d"
        number = int(found[0]) - PROMPT
        name = b"%d" % number
        sums[name] = number
        return b"%%(%b)d" % name

    return _Gapped(_STAND_IN.sub(gap, text.replace(b"%", b"%%")))


def _with(header: Header, request_id: bytes) -> Header:
    return (header[0], request_id) if header[1] == _REQUEST_ID else header


def _fill(run: FrameRun, values: Mapping[bytes, Any]) -> FrameRun:
    before, middle, after, pieces = run.before, run.middle, run.after, run.pieces
    if before or after:
        if type(before) is _Gapped:
            before = before % values
        if type(middle) is _Gapped:
            middle = middle % values
        if type(after) is _Gapped:
            after = after % values
    else:
        pieces = tuple([piece % values if type(piece) is _Gapped else piece for piece in pieces])
    return FrameRun(run.part, before, pieces, after, run.tokens, run.also, run.first, middle)


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """The answer to one request, and what its journal entry says."""

    template: Template
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
    read_as: type[BaseModel] | None = None
    tokenizer: str = ""
    is_estimate: bool = False


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """What a rule answers to every request of a form."""

    answer: Answer
    template: Template
    usage: Usage
    """With no prompt."""

    def usage_of(self, prompt: int) -> Usage:
        """The usage of a request with so many tokens."""
        known = self.usage
        return Usage(
            prompt,
            known.completion,
            prompt + known.completion,
            known.reasoning,
            known.cached,
            known.cache_written,
            known.cache_written_1h,
        )


class Recent(Generic[Value]):
    """The values of late, least lately used forgotten first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def keep(self, key: Hashable, value: Value) -> None:
        self._kept[key] = value
        if len(self._kept) > MAX_ENTRIES:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        self._kept.clear()


class ResponseCache:
    """What one namespace has made of requests of late."""

    def __init__(self) -> None:
        self._responses: Recent[CachedResponse] = Recent()
        self.forms: Recent[Any] = Recent()
        """What was made of all of a request but its words."""
        self.answers: Recent[CachedAnswer] = Recent()

    def get(self, http_request: HttpRequest) -> CachedResponse | None:
        """The answer to this very request."""
        return None if len(http_request.body) > MAX_REQUEST_BYTES else self._responses.get(_key(http_request))

    def keep(self, http_request: HttpRequest, cached_response: CachedResponse) -> None:
        if len(http_request.body) <= MAX_REQUEST_BYTES and is_small(cached_response.template.planned):
            self._responses.keep(_key(http_request), cached_response)

    def clear(self) -> None:
        for each in (self._responses, self.forms, self.answers):
            each.clear()


def _key(http_request: HttpRequest) -> Hashable:
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
