"""Answers with blanks: the same for many requests except for their ids, times and prompt tokens.

Such an answer is rendered once, with stand-ins for these values. It is cut at the stand-ins and filled in for each
request. The engine decides which answers are suitable.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import itemgetter

import orjson

from emulator.records import record
from emulator.wire import FrameRun, Header, PlannedBody

MAX_ANSWER_BYTES = 262_144
MAX_AT_ONCE = 60_000
"""The size limit in bytes of an answer that is sent in one write."""
FEW = 4
"""A run with at most this many frames is filled in together with its neighbors, as one text."""

CHUNKED = b"\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n"
LAST_CHUNK = b"\r\n0\r\n\r\n"
"""What ends a body of one chunk."""
LENGTH = b"\r\ncontent-length: %d\r\n\r\n"

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


def values_of(
    id: str, created: int, request_id: str, numbers: tuple[bytes, ...] = (), item_ids: Sequence[str] = ()
) -> Values:
    """Returns the values for the blanks: the id, time, request id, numbers and other ids of one answer."""
    always = (orjson.dumps(id)[1:-1], b"%d" % created, request_id.encode(), *numbers)
    return (*always, *[item_id.encode() for item_id in item_ids]) if item_ids else always


@record
class Template:
    """A text with blanks: every second part is one."""

    parts: tuple[bytes, ...]
    pick: Callable[[Values], tuple[bytes, ...]]
    """Returns the values of its blanks, in order."""

    @property
    def has_blanks(self) -> bool:
        return len(self.parts) > 1

    def pieces(self, values: Values) -> list[bytes]:
        """Returns the text in pieces."""
        parts = list(self.parts)
        parts[1::2] = self.pick(values)
        return parts

    def filled(self, values: Values) -> bytes:
        """Returns the text."""
        return b"".join(self.pieces(values)) if len(self.parts) > 1 else self.parts[0]

    @property
    def size(self) -> int:
        """Its size in bytes with stand-ins."""
        return sum(map(len, self.parts))


@record
class Series:
    """A long text in which the same text with blanks is between constant ones: the tokens of a stream."""

    between: Template
    items: tuple[bytes, ...]
    constant: int
    """The size in bytes of all items."""

    def pieces(self, values: Values) -> list[bytes]:
        """Returns the text in pieces."""
        return [self.between.filled(values).join(self.items)]

    @property
    def size(self) -> int:
        """Its size in bytes with stand-ins."""
        return self.constant + self.between.size * (len(self.items) - 1)


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
    between: Template | None
    """What is between the constant parts of the text; None if it can't be divided so, or is constant."""

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


@record
class BlankAnswer:
    """An answer with blanks."""

    planned: PlannedBody
    """The answer with stand-ins."""
    head: Template
    """The lines of its own headers, each after a line end."""
    start: tuple[Template | Series, ...]
    series: Series | None
    rest: Template
    """The body: everything before its last series, that, and what follows it. Without a series, it is all in `rest`."""
    runs: tuple[BlankRun, ...]
    numbers: tuple[int, ...]
    """What each blank for a number adds to the number of prompt tokens."""
    frames: int
    size: int
    """The size of the body in bytes with stand-ins."""
    is_at_once: bool
    """Whether head and body can be sent in one write, unless it is paced."""

    def numbers_of(self, prompt: int) -> tuple[bytes, ...]:
        """Returns the numbers in an answer to a prompt with this number of tokens."""
        return tuple([b"%d" % (prompt + number) for number in self.numbers])

    def text(self, values: Values) -> bytes:
        """Returns the whole body."""
        parts = [*self.start, self.rest] if self.series is None else [*self.start, self.series, self.rest]
        return b"".join([piece for part in parts for piece in part.pieces(values)])

    def sent(self, head: list[bytes], values: Values, more: tuple[Header, ...] = ()) -> tuple[bytes, int]:
        """Returns the whole answer as it is sent in one write, and the size of its body. `head` begins with the status
        line and the server's own headers; `more` headers follow the answer's own.
        """
        series, end, between = self.series, self.rest.pieces(values), b""
        size = sum(map(len, end))
        start: list[bytes] = []
        if series is not None:
            start = [piece for part in self.start for piece in part.pieces(values)]
            between = series.between.filled(values)
            size += sum(map(len, start)) + series.constant + len(between) * (len(series.items) - 1)
        head += self.head.pieces(values)
        if more:
            head.append(_known_lines(more))
        if self.planned.streamed:
            head.append(CHUNKED % size)
            end.append(LAST_CHUNK)
        else:
            head.append(LENGTH % size)
        if series is None:
            return b"".join(head + end), size
        items = list(series.items)  # everything is joined in one pass over memory
        items[0] = b"".join([*head, *start, items[0]])
        items[-1] = b"".join([items[-1], *end])
        return between.join(items), size

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
    lines = lines_of(planned.headers)
    body = list(_together(runs, cutting))
    size, count = sum([part.size for part in body]), len(planned.headers)
    rest, last = body.pop(), body.pop() if len(body) > 1 else None
    assert isinstance(rest, Template)
    is_well_formed = (lines.count(b"\r"), lines.count(b"\n")) == (count, count)
    return BlankAnswer(
        planned,
        cutting.template(lines),
        tuple(body),
        last if isinstance(last, Series) else None,
        rest,
        runs,
        tuple(cutting.numbers.values()),
        sum([len(run.pieces) for run in planned.runs]),
        size,
        0 < size <= MAX_AT_ONCE and is_well_formed and not planned.at and not planned.exact,
    )


def lines_of(headers: Sequence[Header]) -> bytes:
    """Returns headers as lines, each after a line end."""
    return b"".join([b"\r\n%b: %b" % header for header in headers])


_known_lines = lru_cache(maxsize=64)(lines_of)
"""The same, cached, for headers that many answers share: what is left of limits."""


def _together(runs: Sequence[BlankRun], cutting: "_Cutting") -> Iterator[Template | Series]:
    """Yields the body: templates, and between two of them a series for each long run."""
    text = b""
    for blank_run in runs:
        run, between = blank_run.run, blank_run.between
        if between is None or len(run.pieces) <= FEW:
            text += run.joined()
            continue
        yield cutting.template(text + run.before if run.first is None else b"%b%b%d" % (text, run.before, run.first))
        items = tuple(run.pieces)
        if run.first is not None:  # what surrounds a number is constant
            around = [run.after + run.before + b"%d" % (run.first + place) for place in range(1, len(items))]
            items = (b"", *[piece + after for piece, after in zip(items, around, strict=False)], items[-1])
        yield Series(between, items, sum(map(len, items)))
        text = run.after
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
        which = [self.order[part] for part in parts[1::2]]
        few = slice(which[0], which[0] + 1) if which else slice(0)
        return Template(parts, itemgetter(*which) if len(which) > 1 else itemgetter(few))

    def run(self, run: FrameRun) -> BlankRun:
        """Returns the same for frames."""
        before, middle, after = map(self.template, (run.before, run.middle, run.after))
        is_plain = not any(map(self.stand_in.search, run.pieces))
        many = () if is_plain or run.before or run.after else tuple(map(self.template, run.pieces))
        is_around = before.has_blanks or after.has_blanks
        between = None
        if is_plain and run.first is None and is_around:
            between = self.template(run.after + run.before)
        elif is_plain and not is_around and middle.has_blanks:
            between = middle
        is_constant = not many and not is_around and not middle.has_blanks
        return BlankRun(run, before, middle, after, many, is_constant, between)


def _with(header: Header, request_id: bytes) -> Header:
    return (header[0], request_id) if header[1] == _REQUEST_ID else header


def _size(run: FrameRun) -> int:
    around = len(run.before) + len(run.middle) + len(run.after) + (run.first is not None) * 8
    return len(run.pieces) * around + sum(map(len, run.pieces))
