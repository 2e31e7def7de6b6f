"""Answers that a rule gives to every request of a form: the same except for ids, times and the prompt's tokens.

An answer is stored with placeholders for these. The engine decides which answers qualify; this module only stores them
and fills them in.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from emulator.matching.rules import Answer
from emulator.reply import Choice, Usage
from emulator.state.response_cache import CREATED, ID, MAX_ANSWER_BYTES, REQUEST_ID
from emulator.wire import FrameRun, Header, PlannedBody

PROMPT = 7_305_418_500_000_000
"""A placeholder for the prompt's tokens. Sums differ from it by less than half a billion, so all of them have the
same first digits.
"""
_ID = orjson.dumps(ID)[1:-1]
_CREATED = b"%d" % CREATED
_REQUEST_ID = REQUEST_ID.encode()
_STAND_IN = re.compile(b"|".join([re.escape(_ID), _CREATED, rb"7305418\d{9}"]))


class _Gapped(bytes):
    """A text with placeholders, as a bytes format string."""


@dataclass(frozen=True, slots=True)
class GappedAnswer:
    """An answer with placeholders."""

    planned: PlannedBody
    sums: tuple[tuple[bytes, int], ...]
    """The names of the placeholders for numbers, and what each adds to the prompt's tokens."""
    open: tuple[int, ...]
    """The indexes of the runs with placeholders."""

    def filled(
        self, id: str, created: int, request_id: str, prompt: int = 0, item_ids: Sequence[str] = ()
    ) -> PlannedBody:
        """Returns the answer with its own id, time, request id, prompt tokens and further ids."""
        planned = self.planned
        values: dict[bytes, Any] = {b"id": orjson.dumps(id)[1:-1], b"created": created}
        for name, number in self.sums:
            values[name] = prompt + number
        for number, item_id in enumerate(item_ids):
            values[b"item%d" % number] = item_id.encode()
        headers = planned.headers
        if request_id:
            headers = tuple([_with(header, request_id.encode()) for header in headers])
        runs = list(planned.runs)
        for place in self.open:
            runs[place] = _fill(runs[place], values)
        return PlannedBody(planned.status, headers, tuple(runs), planned.streamed)


def gapped(planned: PlannedBody, item_ids: Sequence[str] = ()) -> GappedAnswer:
    """Returns an answer whose stand-ins are replaced with placeholders. `item_ids` are the stand-ins for further
    ids.
    """
    making = _Making({item_id.encode(): b"item%d" % number for number, item_id in enumerate(item_ids)})
    runs = tuple([making.gapped_run(run) for run in planned.runs])
    gaps = tuple([place for place, run in enumerate(planned.runs) if runs[place] != run])
    return GappedAnswer(replace(planned, runs=runs), tuple(making.sums.items()), gaps)


def holds_stand_in(planned: PlannedBody) -> bool:
    """Whether an answer itself contains something that looks like a stand-in, so that it can't be cached."""
    texts = [text for run in planned.runs for text in (run.before, run.after, *run.pieces)]
    texts += [value for _, value in planned.headers]
    return any(_STAND_IN.search(text) or _REQUEST_ID in text for text in texts)


def is_small(planned: PlannedBody) -> bool:
    """Whether an answer is short enough to be cached."""
    return sum(map(_size, planned.runs)) <= MAX_ANSWER_BYTES


class _Making:
    """Puts placeholders into an answer."""

    def __init__(self, items: Mapping[bytes, bytes]) -> None:
        self.items = items
        self.sums: dict[bytes, int] = {}
        self.stand_in = re.compile(b"|".join([*map(re.escape, items), _STAND_IN.pattern]))

    def gapped_run(self, run: FrameRun) -> FrameRun:
        if run.before or run.after:
            before, middle, after = map(self.gapped, (run.before, run.middle, run.after))
            return replace(run, before=before, middle=middle, after=after)
        return replace(run, pieces=tuple([self.gapped(piece) for piece in run.pieces]))

    def gapped(self, text: bytes) -> bytes:
        """Returns a text with a placeholder for each stand-in."""
        if self.stand_in.search(text) is None:
            return text
        return _Gapped(self.stand_in.sub(self._gap, text.replace(b"%", b"%%")))

    def _gap(self, found: re.Match[bytes]) -> bytes:
        if found[0] in (_ID, _CREATED):
            return b"%(id)b" if found[0] == _ID else b"%(created)d"
        if found[0] in self.items:
            return b"%%(%b)b" % self.items[found[0]]
        number = int(found[0]) - PROMPT
        name = b"%d" % number
        self.sums[name] = number
        return b"%%(%b)d" % name


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
class CachedAnswer:
    """The answer of a rule to every request of a form."""

    answer: Answer
    gapped: GappedAnswer
    usage: Usage
    """The usage without the prompt."""
    choices: tuple[Choice, ...] = ()
    """The choices, from which further ids are made."""

    def usage_of(self, prompt: int) -> Usage:
        """Returns the usage for a prompt with this many tokens."""
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


def _size(run: FrameRun) -> int:
    around = len(run.before) + len(run.middle) + len(run.after) + (run.first is not None) * 8
    return len(run.pieces) * around + sum(map(len, run.pieces))
