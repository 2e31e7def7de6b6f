"""Answers with blanks: the same for many requests except for their ids, times and prompt tokens.

Such an answer is rendered once, with stand-ins for these values. It is cut at the stand-ins and filled in for each
request. The engine decides which answers are suitable.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import itemgetter

import orjson

from emulator.records import record
from emulator.wire import FrameRun, Header, PlannedBody, says_close, status_line

MAX_ANSWER_BYTES = 262_144
MAX_AT_ONCE = 60_000
"""The size limit in bytes of an answer that is sent in one write."""
FEW = 4
"""A run with at most this many frames is filled in together with its neighbors, as one text."""

CHUNKED, LENGTH = b"\r\ntransfer-encoding: chunked\r\n\r\n%b\r\n", b"\r\ncontent-length: %b\r\n\r\n"
LAST_CHUNK = b"\r\n0\r\n\r\n"
"""What ends a body of one chunk."""

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
_OWN, _MORE, _SIZE = b"\x1fown\x1f", b"\x1fmore\x1f", b"\x1fsize\x1f"
"""The stand-ins for the server's own headers, for those after the answer's own, and for the size of the body."""
_LAST = (_OWN, _MORE, _SIZE)
"""The values that follow all others when an answer is sent, in order."""
_STAND_IN = re.compile(b"|".join([*map(re.escape, (*_ALWAYS, *_LAST)), rb"7305418\d{9}"]))

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
class Whole:
    """An answer as it is sent in one write, with its status line, all headers and the framing of its body."""

    start: Template
    """Everything, or what precedes the pieces."""
    between: Template | None
    """The text between two pieces of a long run; None if there is none."""
    pieces: tuple[bytes, ...]
    """These pieces; the first and the last one are empty."""
    end: Template
    """What follows them."""
    body: Callable[[Values], tuple[bytes, ...]]
    """Returns the values in the body, except for those between pieces."""
    constant: int
    """The size in bytes of everything else in the body, except for what is between pieces."""
    is_chunked: bool

    def sent(self, values: Values, own: bytes, more: tuple[Header, ...] = ()) -> tuple[bytes, int]:
        """Returns the answer, and the size of its body. `own` are the lines of the server's own headers, `more` the
        headers after the answer's own."""
        size = self.constant + sum(map(len, self.body(values)))
        lines = _known_lines(more) if more else b""
        if self.between is None:
            whole = (*values, own, lines, b"%x" % size if self.is_chunked else b"%d" % size)
            return b"".join(self.start.pieces(whole)), size
        between, pieces = self.between.filled(values), list(self.pieces)
        size += len(between) * (len(pieces) - 1)
        pieces[0] = self.start.filled((*values, own, lines, b"%x" % size))
        pieces[-1] = self.end.filled(values)
        return between.join(pieces), size

    @property
    def size(self) -> int:
        """Its size in bytes with stand-ins."""
        between = 0 if self.between is None else self.between.size * (len(self.pieces) - 1)
        return self.start.size + between + sum(map(len, self.pieces)) + self.end.size


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

    def divided(self) -> list[bytes]:
        """Returns what precedes, separates and follows the occurrences of `between`."""
        run, pieces = self.run, self.run.pieces
        if run.first is None:
            return [run.before + pieces[0], *pieces[1:-1], pieces[-1] + run.after]
        numbered = [run.before + b"%d" % number for number in range(run.first, run.first + len(pieces))]
        separate = [piece + run.after + start for piece, start in zip(pieces, numbered[1:], strict=False)]
        return [numbered[0], *separate, pieces[-1] + run.after]

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
    whole: Whole
    runs: tuple[BlankRun, ...]
    numbers: tuple[int, ...]
    """What each blank for a number adds to the number of prompt tokens."""
    frames: int
    is_at_once: bool
    """Whether head and body can be sent in one write, unless it is paced."""

    def numbers_of(self, prompt: int) -> tuple[bytes, ...]:
        """Returns the numbers in an answer to a prompt with this number of tokens."""
        return tuple([b"%d" % (prompt + number) for number in self.numbers])

    @property
    def size(self) -> int:
        """Its size in bytes with stand-ins."""
        return self.whole.size

    def text(self, values: Values) -> bytes:
        """Returns the whole body."""
        data, size = self.whole.sent(values, b"")
        end = len(data) - (len(LAST_CHUNK) if self.whole.is_chunked else 0)
        return data[end - size : end]

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
    whole = cutting.whole(planned, runs)
    lines, count = lines_of(planned.headers), len(planned.headers)
    is_well_formed = (lines.count(b"\r"), lines.count(b"\n")) == (count, count)
    return BlankAnswer(
        planned,
        cutting.template(lines),
        whole,
        runs,
        tuple(cutting.numbers.values()),
        sum([len(run.pieces) for run in planned.runs]),
        any(run.pieces for run in planned.runs)
        and whole.size <= MAX_AT_ONCE
        and is_well_formed
        and not planned.at
        and not planned.exact
        and not says_close(planned.headers),
    )


def lines_of(headers: Sequence[Header]) -> bytes:
    """Returns headers as lines, each after a line end."""
    return b"".join([b"\r\n%b: %b" % header for header in headers])


_known_lines = lru_cache(maxsize=64)(lines_of)
"""The same, cached, for headers that many answers share: what is left of limits."""


class _Cutting:
    """Cuts the texts of an answer at their stand-ins."""

    def __init__(self, items: Sequence[bytes], planned: PlannedBody) -> None:
        self.stand_in = re.compile(b"(%b)" % b"|".join([*map(re.escape, items), _STAND_IN.pattern]))
        texts = [text for run in planned.runs for text in (run.before, run.middle, run.after, *run.pieces)]
        known: Mapping[bytes, None] = dict.fromkeys((*_ALWAYS, *items))
        found = dict.fromkeys(each for text in texts for each in self.stand_in.findall(text) if each not in known)
        self.numbers = {each: int(each) - PROMPT for each in found}
        self.order = {each: place for place, each in enumerate((*_ALWAYS, *self.numbers, *items))}
        self.order |= {each: place - len(_LAST) for place, each in enumerate(_LAST)}

    def template(self, text: bytes) -> Template:
        """Returns the template for a text with stand-ins."""
        parts = tuple(self.stand_in.split(text))
        which = [self.order[part] for part in parts[1::2]]
        few = slice(which[0], which[0] + 1 or None) if which else slice(0)
        return Template(parts, itemgetter(*which) if len(which) > 1 else itemgetter(few))

    def whole(self, planned: PlannedBody, runs: Sequence[BlankRun]) -> Whole:
        """Returns the answer as it is sent in one write."""
        texts = [each.run.joined() for each in runs]
        lengths = [0 if each.between is None else len(each.run.pieces) for each in runs]
        place = lengths.index(max(lengths)) if max(lengths, default=0) > FEW else len(runs)
        before, between, pieces, after = b"".join(texts[:place]), None, tuple[bytes, ...](), b""
        if place < len(runs):
            between, (first, *others, last) = runs[place].between, runs[place].divided()
            before, pieces, after = before + first, (b"", *others, b""), b"".join([last, *texts[place + 1 :]])
        body = self.template(before + after)
        constant = sum(map(len, body.parts[::2])) + sum(map(len, pieces))
        framing, end = (CHUNKED, LAST_CHUNK) if planned.streamed else (LENGTH, b"")
        start = b"".join([status_line(planned.status), _OWN, lines_of(planned.headers), _MORE, framing % _SIZE, before])
        if between is None:
            start, end = start + end, b""
        return Whole(
            self.template(start),
            between,
            pieces,
            self.template(after + end),
            body.pick,
            constant,
            planned.streamed,
        )

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
