"""Shared by the faults in blocks and items: add one, or remove the events around them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from emulator.dialects.base import Edge
from emulator.faults.base import FaultContext, NotApplicable
from emulator.faults.steps import edited_body, event_of, events, need_answer, need_stream, numbered
from emulator.wire import Data, Step


def with_unknown(steps: Sequence[Step], context: FaultContext, word: str, kind: str) -> list[Step]:
    """An answer with another block or item. Raises NotApplicable if the dialect has none."""
    need_answer(context)
    dialect = context.dialect
    if dialect.block_word != word:
        raise NotApplicable(f"the answer is not made of {word}s")
    if not context.streamed:

        def add(native: dict[str, Any]) -> None:
            if not dialect.add_block(native, kind):
                raise NotApplicable(f"another fault removed the place for the {word}")

        return edited_body(steps, add, context)
    place = next((place for place, step in events(steps, "finish")), None)
    if place is None:
        raise NotApplicable("another fault removed the end of the answer")
    starts = [step for _, step in events(steps) if dialect.edge_of(event_of(step, context).native) == "start"]
    before = list(steps[:place])
    for native in dialect.block_events(len(starts), kind):
        before.append(Data(dialect.frame(numbered(native, before, context)), "frame", 0, steps[place].at))
    return [*before, *steps[place:]]


def without_edges(steps: Sequence[Step], context: FaultContext, edge: Edge) -> list[Step]:
    """A stream without the events that begin or end its blocks. Raises NotApplicable if there are none."""
    need_stream(context)
    taken = {place for place, step in events(steps) if context.dialect.edge_of(event_of(step, context).native) == edge}
    if not taken:
        raise NotApplicable("this dialect has no events that begin or end a part of the answer")
    kept: list[Step] = []
    for place, step in enumerate(steps):
        if place not in taken:
            kept.append(step)
        elif isinstance(step, Data) and step.tokens and kept and isinstance(kept[-1], Data):
            kept[-1] = replace(kept[-1], tokens=kept[-1].tokens + step.tokens)
    return kept
