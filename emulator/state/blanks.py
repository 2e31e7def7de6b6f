"""Answers with blanks: the same for many requests but for ids, moments and the tokens of the prompt.

Such an answer is rendered once with stand-ins where these belong, cut up at the stand-ins, and filled in for each
request. What makes an answer fit for it is decided by the engine.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from emulator.wire import FrameRun, Header, PlannedBody

MAX_ANSWER_BYTES = 262_144
MAX_AT_ONCE = 60_000
"""Bytes of the largest answer that goes out in one write."""
FEW = 4
"""Frames of a run that are filled in together with those around it, as one text."""

ID = "\x1fid\x1f"
CREATED = 9_007_199_254_740_881
REQUEST_ID = "stand-in-for-a-request-id"
PROMPT = 7_305_418_500_000_000
"""Stands for the tokens of a prompt. What is added to it or taken from it is less than half a billion, so every sum
begins alike."""
_ID = orjson.dumps(ID)[1:-1]
_CREATED = b"%d" % CREATED
_REQUEST_ID = REQUEST_ID.encode()
_ALWAYS = (_ID, _CREATED, _REQUEST_ID)
"""The values that every answer has, in their order."""
_STAND_IN = re.compile(b"|".join([*map(re.escape, _ALWAYS), rb"7305418\d{9}"]))

Values = tuple[bytes, ...]
"""What is filled in, as bytes: id, time, request id, then numbers, then further ids."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text with blanks, each of which is one part of it."""

    parts: tuple[bytes, ...]
    blanks: tuple[tuple[int, int], ...]
    """The place of each blank, and which of the values belongs there."""

    def pieces(self, values: Values) -> list[bytes]:
        """The text in pieces."""
        parts = list(self.parts)
        for place, which in self.blanks:
            parts[place] = values[which]
        return parts

    def filled(self, values: Values) -> bytes:
        """The text."""
        return b"".join(self.pieces(values)) if self.blanks else self.parts[0]

    @property
    def size(self) -> int:
        """Bytes of it besides what is filled in."""
        return sum(map(len, self.parts))


@dataclass(frozen=True, slots=True)
class BlankRun:
    """Frames with blanks around their pieces."""

    run: FrameRun
    before: Template
    middle: Template
    after: Template
    many: tuple[Template, ...]
    """The pieces, where they have blanks themselves."""

    def filled(self, values: Values) -> FrameRun:
        """The frames, filled in."""
        run = self.run
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
        """The frames as one text, in pieces."""
        return [self.filled(values).joined()]

    @property
    def size(self) -> int:
        """Bytes of it besides what is filled in."""
        around = self.before.size + self.middle.size + self.after.size + (self.run.first is not None) * 8
        return len(self.run.pieces) * around + sum(map(len, self.run.pieces))


@dataclass(frozen=True, slots=True)
class BlankAnswer:
    """An answer with blanks."""

    planned: PlannedBody
    """The answer with stand-ins."""
    head: Template
    """The lines of its own headers, each with a line end before it."""
    body: tuple[Template | BlankRun, ...]
    runs: tuple[BlankRun, ...]
    numbers: tuple[int, ...]
    """What each blank for a number adds to the tokens of the prompt."""
    frames: int
    size: int
    """Bytes of the body besides what is filled in."""
    is_at_once: bool
    """Whether head and body may go in one write, unless it is paced."""

    def values(self, id: str, created: int, request_id: str, prompt: int = 0, item_ids: Sequence[str] = ()) -> Values:
        """What belongs into the blanks: the answer's own id, time, request id, tokens of the prompt and further ids."""
        always = (orjson.dumps(id)[1:-1], b"%d" % created, request_id.encode())
        if not self.numbers and not item_ids:
            return always
        numbers = [b"%d" % (prompt + number) for number in self.numbers]
        return (*always, *numbers, *[item_id.encode() for item_id in item_ids])

    def pieces(self, values: Values) -> list[bytes]:
        """The whole body, in pieces."""
        first, *others = self.body
        pieces = first.pieces(values)
        for each in others:
            pieces += each.pieces(values)
        return pieces

    def filled(self, values: Values) -> PlannedBody:
        """The answer, spelled out."""
        planned = self.planned
        headers = planned.headers
        if values[2]:
            headers = tuple([_with(header, values[2]) for header in headers])
        return PlannedBody(planned.status, headers, tuple([run.filled(values) for run in self.runs]), planned.streamed)


@dataclass(frozen=True, slots=True)
class Recollection:
    """An answer with blanks and what belongs there. It is spelled out only for those who look at it."""

    answer: BlankAnswer
    values: Values
    headers: tuple[Header, ...] = ()
    """Further headers, after the answer's own."""

    def planned(self) -> PlannedBody:
        """The answer, spelled out."""
        planned = self.answer.filled(self.values)
        return replace(planned, headers=planned.headers + self.headers) if self.headers else planned


def holds_stand_in(planned: PlannedBody) -> bool:
    """Whether an answer says by itself what would be taken for a stand-in: then it cannot be remembered."""
    texts = [text for run in planned.runs for text in (run.before, run.middle, run.after, *run.pieces)]
    texts += [value for _, value in planned.headers]
    return any(_STAND_IN.search(text) for text in texts)


def is_small(planned: PlannedBody) -> bool:
    """Whether an answer is short enough to be kept."""
    return sum(map(_size, planned.runs)) <= MAX_ANSWER_BYTES


def blanked(planned: PlannedBody, item_ids: Sequence[str] = ()) -> BlankAnswer:
    """An answer that was made of stand-ins, with blanks in their place. `item_ids`: the stand-ins for further ids."""
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
    """The frames, short runs in one text with those around them."""
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
    """Cuts up the texts of an answer."""

    def __init__(self, items: Sequence[bytes], planned: PlannedBody) -> None:
        self.stand_in = re.compile(b"(%b)" % b"|".join([*map(re.escape, items), _STAND_IN.pattern]))
        texts = [text for run in planned.runs for text in (run.before, run.middle, run.after, *run.pieces)]
        known: Mapping[bytes, None] = dict.fromkeys((*_ALWAYS, *items))
        found = dict.fromkeys(each for text in texts for each in self.stand_in.findall(text) if each not in known)
        self.numbers = {each: int(each) - PROMPT for each in found}
        self.order = {each: place for place, each in enumerate((*_ALWAYS, *self.numbers, *items))}

    def template(self, text: bytes) -> Template:
        """The template for a text with stand-ins."""
        parts = tuple(self.stand_in.split(text))
        return Template(parts, tuple([(place, self.order[parts[place]]) for place in range(1, len(parts), 2)]))

    def run(self, run: FrameRun) -> BlankRun:
        """The same for frames."""
        before, middle, after = map(self.template, (run.before, run.middle, run.after))
        is_plain = run.before or run.after or not any(map(self.stand_in.search, run.pieces))
        return BlankRun(run, before, middle, after, () if is_plain else tuple(map(self.template, run.pieces)))


def _with(header: Header, request_id: bytes) -> Header:
    return (header[0], request_id) if header[1] == _REQUEST_ID else header


def _size(run: FrameRun) -> int:
    around = len(run.before) + len(run.middle) + len(run.after) + (run.first is not None) * 8
    return len(run.pieces) * around + sum(map(len, run.pieces))
