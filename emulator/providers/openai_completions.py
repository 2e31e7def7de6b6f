"""Chat completions as OpenAI speaks them: what which model refuses, refusals, letters that level events."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import orjson
from pydantic import ValidationError

from emulator import tokens
from emulator.dialects.base import PIECE, ProviderError
from emulator.dialects.chat_blocks import annotations, call_piece, call_row, refused
from emulator.dialects.chat_completions import ChatCompletions, logprob_rows
from emulator.dialects.chat_input import (
    read_stop,
)
from emulator.dialects.obfuscation import TAIL, leveled, tail_of, tails_of
from emulator.dialects.responses_input import as_custom
from emulator.providers import openai_words as words
from emulator.providers.openai_chat_input import Json, OpenAIBody, read_choice, read_message, read_tools
from emulator.providers.openai_chat_rules import (
    complaints_of_conversation,
    complaints_of_format,
    complaints_of_model,
    complaints_of_tools,
)
from emulator.providers.openai_models import is_thinker, thinks
from emulator.providers.openai_words import Bounds, wrong
from emulator.reply import Choice, Completion, Reply
from emulator.request import Controls, HttpRequest, ModelRequest
from emulator.wire import FrameRun, Part

MAX_STOPS = 4
BOUNDS = (
    Bounds("temperature", 0, 2),
    Bounds("top_p", 0, 1),
    Bounds("presence_penalty", -2, 2),
    Bounds("frequency_penalty", -2, 2),
    Bounds("n", 1, 128, "integer"),
    Bounds("top_logprobs", 0, 20, "integer"),
    Bounds("max_tokens", 1, float("inf"), "integer"),
    Bounds("max_completion_tokens", 1, float("inf"), "integer"),
)
FINGERPRINT = "fp_44709d6fcb"


class OpenAIChat(ChatCompletions):
    """`POST /v1/chat/completions`"""

    weighs_words = False
    deprecated: ClassVar[Mapping[str, str]] = {
        "functions": "send `tools` instead",
        "function_call": "send `tool_choice` instead",
        "max_tokens": "send `max_completion_tokens` instead",
        "user": "send `safety_identifier` and `prompt_cache_key` instead",
    }
    Body = OpenAIBody
    says_no_usage: ClassVar[bool] = True

    @property
    def usage_stands(self) -> Literal["finish", "separate", "nowhere"]:
        return "separate"

    # The way in

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        body, native = self.read(http_request, OpenAIBody)
        model = self.provider.model_of(http_request, body.model)
        if self.provider.settings.strict_members:
            unknown = [name for name in native if name not in OpenAIBody.model_fields]
            if unknown:
                plural = "s" if len(unknown) > 1 else ""
                raise wrong(f"Unrecognized request argument{plural} supplied: {', '.join(unknown)}")
        complaint = next(filter(None, self.all_complaints(body, model)), None)
        if complaint is not None:
            raise complaint
        messages = tuple([read_message(message) for message in body.messages])
        return ModelRequest(
            http_request, model, messages, bool(body.stream), self.controls_of(body, model), key, native
        )

    def not_json(self, error: orjson.JSONDecodeError) -> Exception:
        return wrong(words.NOT_JSON)

    def not_of_type(self, error: ValidationError) -> Exception:
        return words.misfit(error.errors(include_url=False)[0])

    def all_complaints(self, body: OpenAIBody, model: str) -> Iterator[ProviderError | None]:
        """What may be wrong with a body of the right types."""
        if not body.messages:
            yield words.empty("messages")
        yield from [bounds.complaint(body) for bounds in BOUNDS]
        if isinstance(body.stop, list) and len(body.stop) > MAX_STOPS:
            yield words.too_many("stop", len(body.stop), MAX_STOPS)
        if body.stream_options is not None and not body.stream:
            yield wrong(
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.", None, "stream_options"
            )
        if body.top_logprobs is not None and not body.logprobs:
            yield wrong(
                "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", None, "top_logprobs"
            )
        if body.max_tokens is not None and body.max_completion_tokens is not None:
            yield wrong(
                "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
                "invalid_parameter_combination",
                "max_tokens",
            )
        yield from complaints_of_model(body, model)
        yield from complaints_of_format(body)
        yield from complaints_of_tools(body)
        yield from complaints_of_conversation(body)

    def controls_of(self, body: OpenAIBody, model: str) -> Controls:
        form: Any = body.response_format.type if body.response_format is not None else "text"
        schema = (body.response_format.json_schema or {}) if body.response_format is not None else {}
        limit = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
        return Controls(
            max_tokens=limit,
            stop=read_stop(body.stop),
            n=body.n or 1,
            logprobs=bool(body.logprobs),
            top_logprobs=body.top_logprobs or 0,
            response_format=form,
            schema=schema.get("schema"),
            tools=read_tools(body.tools),
            tool_choice=read_choice(body.tool_choice),
            thinking=thinks(model, body.reasoning_effort),
            reasoning_effort=body.reasoning_effort,
            include_usage=bool(body.stream_options and body.stream_options.include_usage),
        )

    # The answer

    def adapt(self, reply: Reply, request: ModelRequest) -> Reply:
        if reply.blocks or not reply.tool_calls:
            return reply
        offers = [
            {"type": each.get("type"), "name": (each.get("custom") or {}).get("name")}
            for each in request.body.get("tools") or ()
        ]
        return replace(reply, tool_calls=as_custom(reply.tool_calls, offers))

    def make_id(self, entropy: bytes) -> str:
        return str(self.provider.make_id(entropy))

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        return {
            **super().body(completion, request),
            "service_tier": self.tier(request),
            "system_fingerprint": self.fingerprint(completion, request),
        }

    def tier(self, request: ModelRequest) -> str:
        asked = request.body.get("service_tier")
        return asked if isinstance(asked, str) and asked != "auto" else "default"

    def fingerprint(self, completion: Completion, request: ModelRequest) -> str | None:
        return completion.system_fingerprint or (None if is_thinker(request.model) else FINGERPRINT)

    def choice(self, choice: Choice, request: ModelRequest) -> Json:
        return {
            "index": choice.index,
            "message": self.message(choice),
            "logprobs": self.logprobs(choice),
            "finish_reason": self.reason(choice),
        }

    def message(self, choice: Choice) -> Json:
        refusal = refused(choice)
        is_silent = refusal is not None or (choice.tool_calls and not choice.content)
        message: Json = {"role": "assistant", "content": None if is_silent else choice.content}
        if choice.tool_calls:
            message["tool_calls"] = [call_row(call, call.arguments) for call in choice.tool_calls]
        return {**message, "refusal": refusal, "annotations": annotations(choice)}

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

    # The stream

    def levels(self, request: ModelRequest) -> bool:
        """Whether letters level the lengths of events."""
        asked = (request.body.get("stream_options") or {}).get("include_obfuscation")
        return bool(self.provider.settings.obfuscation and asked is not False)

    def stream(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        thoughts = [tokens.count(choice.reasoning or "") for choice in completion.choices]
        for run in super().stream(completion, request):
            # Nobody sees the thoughts, but the answer begins after them.
            yield replace(run, tokens=(max(thoughts),)) if run.part == "role" and any(thoughts) else run

    def chunk(self, completion: Completion, request: ModelRequest, choice: Choice, delta: Json, **how: Any) -> Json:
        chunk = super().chunk(completion, request, choice, delta, **how)
        chunk["service_tier"] = self.tier(request)
        chunk["system_fingerprint"] = self.fingerprint(completion, request)
        if self.levels(request):
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
        """The events of a text, of which `native` is one."""
        if "obfuscation" in native:
            return leveled(self, part, {**native, "obfuscation": TAIL}, text)
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
            if self.levels(request):
                chunk["obfuscation"] = tail_of("usage", completion.usage.total)
            yield self.event("usage", in_order(chunk))


ORDER = (
    "id", "object", "created", "model", "service_tier", "system_fingerprint", "choices", "usage", "obfuscation",
)  # fmt: skip


def in_order(chunk: Json) -> Json:
    """The members of an event in the order in which they stand."""
    return {name: chunk[name] for name in ORDER if name in chunk}


# What may be wrong
