"""Answers with blanks: the same for many requests except for their ids, times and prompt tokens.

Such an answer is rendered once, with stand-ins for these values. It is cut at the stand-ins and filled in for each
request. The engine decides which answers are suitable.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import orjson

from emulator.records import record
from emulator.wire import FrameRun, Header, PlannedBody

MAX_ANSWER_BYTES = 262_144
MAX_AT_ONCE = 60_000
"""The size limit in bytes of an answer that is sent in one write."""
FEW = 4
"""A run with at most this many frames is filled in together with its neighbors, as one text."""

ID = "\x1fid\x1f"
CREATED = 9_007_199_254_740_881
REQUEST_ID = "stand-in-for-a-request-id"
PROMPT = 7_305_418_500_000_000
"""The stand-in for the number of prompt tokens. What is added or subtracted is less than half a billion, so every sum
has the same first digits."""
_ID = orjson.dumps(ID)[1:-1]
_CREATED = b"%d" % CREATED
_REQUEST_ID = REQUEST_ID.encode()
_ALWAYS = (_ID, _CREATED, _REQUEST_ID)
"""The values that every answer has, in order."""
_STAND_IN = re.compile(b"|".join([*map(re.escape, _ALWAYS), rb"7305418\d{9}"]))

Values = tuple[bytes, ...]
"""What is filled in, as bytes: id, time, request id, then numbers, then other ids."""


@record
class Template:
    """A text with blanks; each blank is one of its parts."""

    parts: tuple[bytes, ...]
    blanks: tuple[tuple[int, int], ...]
    """The index of each blank, and the index of its value."""

    def pieces(self, values: Values) -> list[bytes]:
        """Returns the text in pieces."""
        parts = list(self.parts)
        for place, which in self.blanks:
            parts[place] = values[which]
        return parts

    def filled(self, values: Values) -> bytes:
        """Returns the text."""
        return b"".join(self.pieces(values)) if self.blanks else self.parts[0]

    @property
    def size(self) -> int:
        """Its size in bytes without the values."""
        return sum(map(len, self.parts))


@record
class BlankRun:
    """Frames with blanks around their pieces."""

    run: FrameRun
    before: Template
    middle: Template
    after: Template
    many: tuple[Template, ...]
    """The pieces, if they have blanks themselves."""
    is_constant: bool
    """Whether there are no blanks."""

    def filled(self, values: Values) -> FrameRun:
        """Returns the frames, filled in."""
        run = self.run
        if self.is_constant:
            return run
        return FrameRun(
            run.part,
            self.before.filled(values),
            tuple([piece.filled(values) for piece in self.many]) if self.many else run.pieces,
            self.after.filled(values),
            run.tokens,
            run.also,
            run.first,
            self.middle.filled(values),
        )

    def pieces(self, values: Values) -> list[bytes]:
        """Returns the frames as one text, in pieces."""
        return [self.filled(values).joined()]

    @property
    def size(self) -> int:
        """Its size in bytes without the values."""
        around = self.before.size + self.middle.size + self.after.size + (self.run.first is not None) * 8
        return len(self.run.pieces) * around + sum(map(len, self.run.pieces))


@record
class BlankAnswer:
    """An answer with blanks."""

    planned: PlannedBody
    """The answer with stand-ins."""
    head: Template
    """The lines of its own headers, each after a line end."""
    body: tuple[Template | BlankRun, ...]
    runs: tuple[BlankRun, ...]
    numbers: tuple[int, ...]
    """What each blank for a number adds to the number of prompt tokens."""
    frames: int
    size: int
    """The size of the body in bytes without the values."""
    is_at_once: bool
    """Whether head and body can be sent in one write, unless it is paced."""

    def values(self, id: str, created: int, request_id: str, prompt: int = 0, item_ids: Sequence[str] = ()) -> Values:
        """Returns the values for the blanks: the id, time, request id, prompt tokens and other ids of one answer."""
        always = (orjson.dumps(id)[1:-1], b"%d" % created, request_id.encode())
        if not self.numbers and not item_ids:
            return always
        numbers = [b"%d" % (prompt + number) for number in self.numbers]
        return (*always, *numbers, *[item_id.encode() for item_id in item_ids])

    def pieces(self, values: Values) -> list[bytes]:
        """Returns the whole body, in pieces."""
        first, *others = self.body
        pieces = first.pieces(values)
        for each in others:
            pieces += each.pieces(values)
        return pieces

    def filled(self, values: Values) -> PlannedBody:
        """Returns the answer, filled in."""
        planned = self.planned
        headers = planned.headers
        if values[2]:
            headers = tuple([_with(header, values[2]) for header in headers])
        return PlannedBody(planned.status, headers, tuple([run.filled(values) for run in self.runs]), planned.streamed)


@record
class Recollection:
    """An answer with blanks and its values. It is filled in only when it is read."""

    answer: BlankAnswer
    values: Values
    headers: tuple[Header, ...] = ()
    """More headers, after the answer's own."""

    def planned(self) -> PlannedBody:
        """Returns the answer, filled in."""
        planned = self.answer.filled(self.values)
        return replace(planned, headers=planned.headers + self.headers) if self.headers else planned


def holds_stand_in(planned: PlannedBody) -> bool:
    """Whether an answer itself contains something that looks like a stand-in, so that it can't be cached."""
    texts = [text for run in planned.runs for text in (run.before, run.middle, run.after, *run.pieces)]
    texts += [value for _, value in planned.headers]
    return any(_STAND_IN.search(text) for text in texts)


def is_small(planned: PlannedBody) -> bool:
    """Whether an answer is small enough to be cached."""
    return sum(map(_size, planned.runs)) <= MAX_ANSWER_BYTES


def blanked(planned: PlannedBody, item_ids: Sequence[str] = ()) -> BlankAnswer:
    """Returns an answer with blanks, from one with stand-ins. `item_ids` are the stand-ins for other ids."""
    cutting = _Cutting([item_id.encode() for item_id in item_ids], planned)
    runs = tuple([cutting.run(run) for run in planned.runs])
    lines = b"".join([b"\r\n%b: %b" % header for header in planned.headers])
    body = tuple(_together(runs, cutting))
    size, count = sum([part.size for part in body]), len(planned.headers)
    is_well_formed = (lines.count(b"\r"), lines.count(b"\n")) == (count, count)
    return BlankAnswer(
        planned,
        cutting.template(lines),
        body,
        runs,
        tuple(cutting.numbers.values()),
        sum([len(run.pieces) for run in planned.runs]),
        size,
        bool(body) and size <= MAX_AT_ONCE and is_well_formed and not planned.at and not planned.exact,
    )


def _together(runs: Sequence[BlankRun], cutting: "_Cutting") -> Iterator[Template | BlankRun]:
    """Yields the frames; short runs are joined with their neighbors."""
    text = b""
    for blank_run in runs:
        if len(blank_run.run.pieces) <= FEW:
            text += blank_run.run.joined()
            continue
        if text:
            yield cutting.template(text)
            text = b""
        yield blank_run
    if text:
        yield cutting.template(text)


class _Cutting:
    """Cuts the texts of an answer at their stand-ins."""

    def __init__(self, items: Sequence[bytes], planned: PlannedBody) -> None:
        self.stand_in = re.compile(b"(%b)" % b"|".join([*map(re.escape, items), _STAND_IN.pattern]))
        texts = [text for run in planned.runs for text in (run.before, run.middle, run.after, *run.pieces)]
        known: Mapping[bytes, None] = dict.fromkeys((*_ALWAYS, *items))
        found = dict.fromkeys(each for text in texts for each in self.stand_in.findall(text) if each not in known)
        self.numbers = {each: int(each) - PROMPT for each in found}
        self.order = {each: place for place, each in enumerate((*_ALWAYS, *self.numbers, *items))}

    def template(self, text: bytes) -> Template:
        """Returns the template for a text with stand-ins."""
        parts = tuple(self.stand_in.split(text))
        return Template(parts, tuple([(place, self.order[parts[place]]) for place in range(1, len(parts), 2)]))

    def run(self, run: FrameRun) -> BlankRun:
        """Returns the same for frames."""
        before, middle, after = map(self.template, (run.before, run.middle, run.after))
        is_plain = run.before or run.after or not any(map(self.stand_in.search, run.pieces))
        many = () if is_plain else tuple(map(self.template, run.pieces))
        is_constant = is_plain and not (before.blanks or middle.blanks or after.blanks)
        return BlankRun(run, before, middle, after, many, is_constant)


def _with(header: Header, request_id: bytes) -> Header:
    return (header[0], request_id) if header[1] == _REQUEST_ID else header


def _size(run: FrameRun) -> int:
    around = len(run.before) + len(run.middle) + len(run.after) + (run.first is not None) * 8
    return len(run.pieces) * around + sum(map(len, run.pieces))
