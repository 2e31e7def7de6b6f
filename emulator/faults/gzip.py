"""Compresses the body, or cuts the compressed body."""

import zlib
from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable, head_of
from emulator.faults.steps import with_headers
from emulator.wire import Data, End, Head, Step


class Gzip(Fault):
    """Compresses the body with gzip, even if the client didn't ask for it."""

    family: ClassVar[Family] = "framing"
    effect: ClassVar[str] = (
        "`content-encoding: gzip`, flushed after each event; or cut in the middle, with HTTP intact."
    )
    tests: ClassVar[str] = (
        "The client decompresses a stream as it arrives, and reports a compressed body that ends early."
    )

    kind: Literal["gzip"] = "gzip"
    form: Literal["whole", "truncated"] = "whole"
    """`truncated`: the body ends inside its middle event, with a matching length."""

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        head = head_of(steps)
        headers = dict(head.headers)
        places = [index for index, step in enumerate(steps) if isinstance(step, Data)]
        if not places or b"content-encoding" in headers:
            raise NotApplicable("the body is already compressed" if places else "the answer has no body")
        packer = zlib.compressobj(wbits=31)
        packed: list[Step] = []
        is_ended = any(isinstance(step, End) for step in steps)
        for index, step in enumerate(steps):
            if isinstance(step, Data):
                flush = zlib.Z_FINISH if is_ended and index == places[-1] else zlib.Z_SYNC_FLUSH
                data = packer.compress(step.data) + packer.flush(flush)
                step = replace(step, data=data, part="piece" if step.part == "piece" else "packed")
            packed.append(step)
        if self.form == "truncated":
            packed = _halved(packed, places)
        length = str(_size(packed)) if b"content-length" in headers else None
        zipped = with_headers(head, content_encoding="gzip", content_length=length)
        return [zipped if isinstance(step, Head) else step for step in packed]


def _size(steps: list[Step]) -> int:
    return sum(len(step.data) for step in steps if isinstance(step, Data))


def _halved(steps: list[Step], places: list[int]) -> list[Step]:
    """The steps up to the middle of their middle data; the rest follows at once."""
    cut = places[len(places) // 2]
    middle = steps[cut]
    assert isinstance(middle, Data)
    rest = [replace(step, at=middle.at) for step in steps[cut + 1 :] if not isinstance(step, Data)]
    return [*steps[:cut], replace(middle, data=middle.data[: len(middle.data) // 2]), *rest]
