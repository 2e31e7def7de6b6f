"""Sends the stream of another API."""

from typing import Any, ClassVar, Literal

import orjson

from emulator.dialects.base import DONE
from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import event_of, events, need_stream, placed
from emulator.wire import Data, Head, Step


class OtherDialect(Fault):
    """Streams a chat completion to a client that requested another API."""

    family: ClassVar[Family] = "content"
    effect: ClassVar[str] = "The text of the answer as chat completion events, with `[DONE]`."
    tests: ClassVar[str] = "The client reports an empty answer: a gateway may send the wrong API's events."

    kind: Literal["other_dialect"] = "other_dialect"

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_stream(context)
        if context.dialect.terminator == DONE:
            raise NotApplicable("the request is a chat completion")
        changed: list[Step] = [step for step in steps if isinstance(step, Head)]
        for _, step in events(steps, "content"):
            found = placed(event_of(step, context).native, context, "content")
            changed += [_chunk(step, {"content": place.value}, None, context) for place in found]
        last = max([step.at for step in steps])
        end = Data(b"", "finish", 0, last)
        rest = [step for step in steps if not isinstance(step, Head | Data)]
        return [*changed, _chunk(end, {}, "stop", context), Data(DONE, "done", 0, last), *rest]


def _chunk(step: Data, delta: dict[str, Any], reason: str | None, context: FaultContext) -> Data:
    native = {
        "id": f"chatcmpl-{context.entropy[:12].hex()}",
        "object": "chat.completion.chunk",
        "created": int(context.now),
        "model": context.request.model if context.request is not None else "",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
    }
    return Data(b"data: %b\n\n" % orjson.dumps(native), step.part, step.tokens, step.at)
