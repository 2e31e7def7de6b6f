"""Swaps streamed and unstreamed answers."""

from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, FaultContext, NotApplicable
from emulator.faults.steps import need_answer
from emulator.request import ModelRequest
from emulator.wire import Step


class IgnoredStreamFlag(Fault):
    """Answers in the other form."""

    family: ClassVar[Family] = "status"
    effect: ClassVar[str] = "Events for a request with `stream: false`, plain JSON for one with `stream: true`."
    tests: ClassVar[str] = (
        "The client goes by the Content-Type and not by what it asked for, or it reports the mismatch."
    )

    kind: Literal["ignored_stream_flag"] = "ignored_stream_flag"

    def mutate_request(self, request: ModelRequest) -> ModelRequest:
        return replace(request, stream=not request.stream)

    def transform_steps(self, steps: list[Step], context: FaultContext) -> list[Step]:
        need_answer(context)
        if context.request is None or context.streamed == context.request.stream:
            raise NotApplicable("a second fault of this kind undid it")
        return steps
