"""OpenAI's streams of chat completions: the members and their order, usage, obfuscation."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from emulator import tokens
from emulator.dialects.base import PIECE
from emulator.dialects.chat_blocks import annotations, call_piece, call_row, refused
from emulator.dialects.chat_completions import ChatCompletions, logprob_rows
from emulator.dialects.obfuscation import TAIL, padded, tail_of, tails_of
from emulator.providers.openai_chat_input import Json, OpenAIBody
from emulator.providers.openai_models import is_thinker
from emulator.reply import Choice, Completion
from emulator.request import ModelRequest
from emulator.wire import FrameRun, Part

if TYPE_CHECKING:
    from emulator.providers.openai import OpenAI  # noqa: F401  # a type argument below

FINGERPRINT = "fp_44709d6fcb"
ORDER = (
    "id", "object", "created", "model", "service_tier", "system_fingerprint", "choices", "usage", "obfuscation",
)  # fmt: skip


class OpenAIChatStream(ChatCompletions[OpenAIBody, "OpenAI"]):
    """Renders a stream as OpenAI does."""

    says_no_usage: ClassVar[bool] = True

    @property
    def usage_stands(self) -> Literal["finish", "separate", "nowhere"]:
        return "separate"

    def tier(self, request: ModelRequest) -> str:
        asked = request.body.get("service_tier")
        return asked if isinstance(asked, str) and asked != "auto" else "default"

    def fingerprint(self, completion: Completion, request: ModelRequest) -> str | None:
        return completion.system_fingerprint or (None if is_thinker(request.model) else FINGERPRINT)

    def logprobs(self, choice: Choice) -> Json | None:
        return None if choice.logprobs is None else {"content": logprob_rows(choice.logprobs), "refusal": None}

    def usage(self, completion: Completion) -> Json:
        usage = completion.usage
        return {
            **super().usage(completion),
            "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": usage.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def pads(self, request: ModelRequest) -> bool:
        """Whether letters pad the events."""
        asked = (request.body.get("stream_options") or {}).get("include_obfuscation")
        return self.provider.settings.obfuscation and asked is not False

    def stream(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        thoughts = [tokens.count(choice.reasoning or "") for choice in completion.choices]
        for run in super().stream(completion, request):
            # The thoughts are hidden, but the answer begins after them.
            yield replace(run, tokens=(max(thoughts),)) if run.part == "role" and any(thoughts) else run

    def chunk(self, completion: Completion, request: ModelRequest, choice: Choice, delta: Json, **how: Any) -> Json:
        chunk = super().chunk(completion, request, choice, delta, **how)
        chunk["service_tier"] = self.tier(request)
        chunk["system_fingerprint"] = self.fingerprint(completion, request)
        if self.pads(request):
            chunk["obfuscation"] = tail_of(str(delta))
        return in_order(chunk)

    def choice_runs(self, completion: Completion, request: ModelRequest, choice: Choice) -> Iterator[FrameRun]:
        if choice.content:
            yield from self.text_runs("content", completion, request, choice)
        refusal = refused(choice)
        if refusal:
            native = self.chunk(completion, request, choice, {"refusal": PIECE})
            yield self.pieces("content", native, refusal)
        if cited := annotations(choice):
            yield self.event("frame", self.chunk(completion, request, choice, {"annotations": cited}))
        for index, call in enumerate(choice.tool_calls):
            if index or choice.content:
                delta = {"tool_calls": [{"index": index, **call_row(call, "")}]}
                yield self.event("tool_calls", self.chunk(completion, request, choice, delta))
            delta = {"tool_calls": [{"index": index, **call_piece(call)}]}
            native = self.chunk(completion, request, choice, delta)
            yield self.pieces("tool_calls", native, call.arguments)

    def text_runs(
        self, part: Part, completion: Completion, request: ModelRequest, choice: Choice
    ) -> Iterator[FrameRun]:
        if choice.logprobs is None:
            yield self.pieces(part, self.chunk(completion, request, choice, {"content": PIECE}), choice.content)
            return
        pieces = tokens.pieces(choice.content)
        tails = tails_of(choice.content)
        for number, (text, count, row) in enumerate(zip(pieces.texts, pieces.counts, choice.logprobs, strict=True)):
            likely = {"content": logprob_rows((row,)), "refusal": None}
            chunk = self.chunk(completion, request, choice, {"content": text}, logprobs=likely)
            if "obfuscation" in chunk:
                chunk["obfuscation"] = tails[number].decode()
            yield self.event(part, chunk, tokens=count)

    def pieces(self, part: Part, native: Json, text: str) -> FrameRun:
        """Returns the events of a text; `native` is one of them."""
        if "obfuscation" in native:
            return padded(self, part, {**native, "obfuscation": TAIL}, text)
        pieces = tokens.pieces(text)
        before, after = self.around(native)
        return FrameRun(part, before, pieces.escaped, after, pieces.counts)

    def first_delta(self, choice: Choice) -> Json:
        if choice.tool_calls and not choice.content:
            call = {"index": 0, **call_row(choice.tool_calls[0], "")}
            return {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None}
        content = None if refused(choice) is not None else ""
        return {"role": "assistant", "content": content, "refusal": None if content is not None else ""}

    def last_delta(self, choice: Choice) -> Json:
        return {}

    def tail(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        if request.controls.include_usage:
            chunk = self.chunk_of(completion, [])
            chunk["service_tier"] = self.tier(request)
            chunk["system_fingerprint"] = self.fingerprint(completion, request)
            chunk["usage"] = self.usage(completion)
            if self.pads(request):
                chunk["obfuscation"] = tail_of("usage", completion.usage.total)
            yield self.event("usage", in_order(chunk))


def in_order(chunk: Json) -> Json:
    """Puts the members of an event in order."""
    return {name: chunk[name] for name in ORDER if name in chunk}
