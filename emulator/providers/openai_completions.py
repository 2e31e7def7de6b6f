"""OpenAI's chat completions: parameters that depend on the model, refusals, obfuscation."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
from pydantic import ValidationError

from emulator.dialects.base import ProviderError
from emulator.dialects.chat_blocks import annotations, call_row, refused
from emulator.dialects.chat_input import read_format, read_stop
from emulator.dialects.responses_input import as_custom
from emulator.providers import openai_words as words
from emulator.providers.openai_chat_input import Json, OpenAIBody, read_choice, read_message, read_tools
from emulator.providers.openai_chat_rules import (
    complaints_of_conversation,
    complaints_of_format,
    complaints_of_model,
    complaints_of_tools,
)
from emulator.providers.openai_chat_stream import OpenAIChatStream
from emulator.providers.openai_models import thinks
from emulator.providers.openai_words import Bounds, wrong
from emulator.reply import Choice, Completion, Reply
from emulator.request import Controls, HttpRequest, ModelRequest

if TYPE_CHECKING:
    from emulator.providers.openai import OpenAI  # noqa: F401  # a type argument below


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


class OpenAIChat(OpenAIChatStream):
    """`POST /v1/chat/completions`"""

    weighs_words = False
    deprecated: ClassVar[Mapping[str, str]] = {
        "functions": "send `tools` instead",
        "function_call": "send `tool_choice` instead",
        "max_tokens": "send `max_completion_tokens` instead",
        "user": "send `safety_identifier` and `prompt_cache_key` instead",
    }
    Body = OpenAIBody

    # Requests

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
        """Yields the problems of a body whose types are right."""
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
        form, schema = read_format(body.response_format)
        limit = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
        return Controls(
            max_tokens=limit,
            stop=read_stop(body.stop),
            n=body.n or 1,
            logprobs=bool(body.logprobs),
            top_logprobs=body.top_logprobs or 0,
            response_format=form,
            schema=schema,
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
        return self.provider.make_id(entropy)

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        return {
            **super().body(completion, request),
            "service_tier": self.tier(request),
            "system_fingerprint": self.fingerprint(completion, request),
        }

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
