"""Shared by the framing faults: replace events, split frames, and keep the steps in order."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from emulator.faults.base import FaultContext, NotApplicable
from emulator.faults.steps import need_stream
from emulator.wire import Data, Step

GAP = 0.002
"""Seconds between two writes that make the client receive them as two segments."""
MAX_PIECES = 200_000
JSON_LINE = re.compile(rb"^data: (\{)(.*)(\})(\r?)$", re.MULTILINE)
MAX_SIZE = 64 * 2**20
"""Maximum number of bytes that a fault may add to an answer."""


def exchanged(
    steps: Sequence[Step],
    context: FaultContext,
    change: Callable[[Data, int], Iterable[Data]],
    *,
    comments: bool = False,
) -> list[Step]:
    """The stream with every event, including `[DONE]`, replaced by `change(event, number)`, counted from 0; with
    `comments`, also comments. Raises NotApplicable if there is no event, no complete event, or no change."""
    need_stream(context)
    result: list[Step] = []
    number = 0
    for step in steps:
        if not isinstance(step, Data) or step.part == "body" or (step.part == "comment" and not comments):
            result.append(step)
            continue
        if step.part in ("piece", "packed"):
            raise NotApplicable("another fault has split or joined the events")
        result += change(step, number)
        number += 1
    if result == steps:
        raise NotApplicable("there is no event to change")
    return result


def inserted(steps: Sequence[Step], context: FaultContext, block: bytes, after_events: int) -> list[Step]:
    """The stream with an extra block after a number of events. Raises NotApplicable if it has fewer."""

    def change(step: Data, number: int) -> list[Data]:
        return [Data(block, "comment", 0, step.at), step] if number == after_events else [step]

    return exchanged(steps, context, change)


def cut_up(step: Data, offsets: Sequence[int], gap: float = 0.0) -> list[Data]:
    """A frame in pieces, `gap` seconds apart. Tokens count with the last piece; those of a whole body are spread."""
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
    """The answer with every frame in pieces. Raises NotApplicable if nothing is split, or there are too many pieces."""
    result: list[Step] = []
    is_cut = False
    for step in steps:
        if not isinstance(step, Data):
            result.append(step)
            continue
        places = offsets(step.data)
        if len(result) + len(places) > MAX_PIECES:
            raise NotApplicable(f"the answer would have more than {MAX_PIECES} pieces")
        pieces = cut_up(step, places, gap)
        is_cut = is_cut or len(pieces) > 1
        result += pieces
    if not is_cut:
        raise NotApplicable("there is nothing to split")
    return in_order(result)


def in_order(steps: Iterable[Step]) -> list[Step]:
    """The same steps, each no earlier than the one before it and its gap."""
    ordered: list[Step] = []
    for step in steps:
        if ordered:
            moment = ordered[-1].at + (step.gap if isinstance(step, Data) else 0.0)
            if step.at < moment:
                step = replace(step, at=moment)
        ordered.append(step)
    return ordered


def on_lines(step: Data, between: bytes) -> Data:
    """An event with its JSON on three lines, and `between` after the first of them."""
    return replace(step, data=JSON_LINE.sub(rb"data: \1\4\n%bdata: \2\4\ndata: \3\4" % between, step.data))
