"""A stream is sent to who asked for none, and the other way round."""

from dataclasses import replace
from typing import ClassVar, Literal

from emulator.faults.base import Family, Fault, NotApplicable, Scene, need_answer
from emulator.request import ModelRequest
from emulator.wire import Step


class IgnoredStreamFlag(Fault):
    """Answers in the other form."""

    family: ClassVar[Family] = "status"
    effect: ClassVar[str] = "Events for a request with `stream: false`, whole JSON for one with `stream: true`."
    tests: ClassVar[str] = "The form is told by the Content-Type, not by what was asked for; or the mistake is told."

    kind: Literal["ignored_stream_flag"] = "ignored_stream_flag"

    def reshape(self, request: ModelRequest) -> ModelRequest:
        return replace(request, stream=not request.stream)

    def rewrite(self, steps: list[Step], scene: Scene) -> list[Step]:
        need_answer(scene)
        if scene.request is None or scene.streamed == scene.request.stream:
            raise NotApplicable("a second fault of this kind undid it")
        return steps
