"""Shared by the faults in signatures."""

from collections.abc import Sequence
from dataclasses import replace

from emulator.faults.base import FaultContext, NotApplicable
from emulator.faults.steps import body_of, chunk_of, event_of, is_event, need_answer, placed, with_body_at
from emulator.wire import Data, Step


def signed(steps: Sequence[Step], context: FaultContext, signature: str | None) -> list[Step]:
    """An answer whose reasoning has this signature, or none. Raises NotApplicable if none is signed."""
    need_answer(context)
    dialect = context.dialect
    if not context.streamed:
        index, body = body_of(steps)
        native = chunk_of(body, context)
        found = placed(native, context, "signature")
        for place in found:
            place.put(signature) if signature is not None else place.remove()
        if not found:
            raise NotApplicable("the answer has no signed reasoning")
        return with_body_at(steps, index, dialect.dumps(native))
    changed: list[Step] = []
    for step in steps:
        if isinstance(step, Data) and is_event(step):
            event = event_of(step, context)
            found = [place for place in placed(event.native, context, "signature") if place.value]
            for place in found:
                place.put(signature) if signature is not None else place.remove()
            if found and signature is None and dialect.is_hollow(event.native):
                continue
            if found:
                step = replace(step, data=dialect.frame(event.native, event.name))
        changed.append(step)
    if changed == list(steps):
        raise NotApplicable("the answer has no signed reasoning")
    return changed
