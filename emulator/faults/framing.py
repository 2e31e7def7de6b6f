"""What the framing faults do alike: exchange events, cut frames into pieces, keep every step behind what it follows."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from emulator.faults.base import FaultContext, NotApplicable, need_stream
from emulator.wire import Data, Step

GAP = 0.002
"""Seconds between two writes after which they are two segments for the client too."""
MAX_PIECES = 200_000
JSON_LINE = re.compile(rb"^data: (\{)(.*)(\})$", re.MULTILINE)
LARGEST = 64 * 2**20
"""Bytes that a fault may add to an answer."""


def exchanged(
    steps: Sequence[Step],
    context: FaultContext,
    change: Callable[[Data, int], Iterable[Data]],
    *,
    comments: bool = False,
) -> list[Step]:
    """The stream with every event, `[DONE]` too, exchanged for what `change` makes of it and of its number, from 0;
    with `comments` those too. Raises NotApplicable when there is no event, or none that is whole, or no change."""
    need_stream(context)
    result: list[Step] = []
    number = 0
    for step in steps:
        if not isinstance(step, Data) or step.part == "body" or (step.part == "comment" and not comments):
            result.append(step)
            continue
        if step.part in ("piece", "packed"):
            raise NotApplicable("another fault has cut or joined the events")
        result += change(step, number)
        number += 1
    if result == steps:
        raise NotApplicable("there is no event to change")
    return result


def inserted(steps: Sequence[Step], context: FaultContext, block: bytes, after_events: int) -> list[Step]:
    """The stream with a block that is no event after so many events. Raises NotApplicable when it has fewer."""

    def change(step: Data, number: int) -> list[Data]:
        return [Data(block, "comment", 0, step.at), step] if number == after_events else [step]

    return exchanged(steps, context, change)


def cut_up(step: Data, offsets: Sequence[int], gap: float = 0.0) -> list[Data]:
    """A frame in pieces, `gap` seconds apart. Its tokens come with its last piece, those of a whole body in shares."""
    data, size = step.data, len(step.data)
    edges = [edge for edge in offsets if 0 < edge < size]
    if not edges:
        return [replace(step, gap=gap)]
    pieces = []
    for start, end in pairwise((0, *edges, size)):
        if step.part == "body":
            tokens = step.tokens * end // size - step.tokens * start // size
        else:
            tokens = step.tokens if end == size else 0
        pieces.append(Data(data[start:end], "piece", tokens, step.at, gap))
    if step.part != "piece":
        pieces[-1] = replace(pieces[-1], part="packed")
    return pieces


def all_cut_up(steps: Iterable[Step], offsets: Callable[[bytes], Sequence[int]], gap: float = 0.0) -> list[Step]:
    """The answer with every frame in pieces. Raises NotApplicable when nothing falls apart, or into too many."""
    result: list[Step] = []
    is_cut = False
    for step in steps:
        if not isinstance(step, Data):
            result.append(step)
            continue
        places = offsets(step.data)
        if len(result) + len(places) > MAX_PIECES:
            raise NotApplicable(f"the answer would fall into more than {MAX_PIECES} pieces")
        pieces = cut_up(step, places, gap)
        is_cut = is_cut or len(pieces) > 1
        result += pieces
    if not is_cut:
        raise NotApplicable("there is nothing to cut")
    return in_order(result)


def in_order(steps: Iterable[Step]) -> list[Step]:
    """The same steps, none of them before what it follows, or before its gap is over."""
    ordered: list[Step] = []
    for step in steps:
        if ordered:
            moment = ordered[-1].at + (step.gap if isinstance(step, Data) else 0.0)
            if step.at < moment:
                step = replace(step, at=moment)
        ordered.append(step)
    return ordered


def on_lines(step: Data, between: bytes) -> Data:
    """An event whose JSON stands on three lines, with `between` after the first of them."""
    return replace(step, data=JSON_LINE.sub(rb"data: \1\n%bdata: \2\ndata: \3" % between, step.data))
