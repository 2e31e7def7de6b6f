"""DeepSeek's version of chat completions: thinking, JSON mode, log probabilities, and the wording of its errors.

Resellers forward it, so they also subclass `DeepSeekDialect`. Errors have the observed order: types first
(`deepseek_reading`), then ranges and the conversation (`deepseek_rules`).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Literal

from emulator.dialects.chat_input import read_format, read_stop, read_tool_choice, read_tools
from emulator.dialects.serde import Range
from emulator.plugins import moved
from emulator.providers.base import ErrorSpec, SettingsT_co
from emulator.providers.deepseek_input import DeepSeekBodyT
from emulator.providers.deepseek_models import ServesDeepSeek
from emulator.providers.deepseek_rules import DeepSeekRules
from emulator.reply import Choice, Completion, Reply
from emulator.request import Controls, ModelRequest, ToolCall

CONTEXT_LENGTH = 1_048_565
"""The context length in error messages: 11 tokens less than in the list of models."""
FINGERPRINT = "fp_9954b31ca7_prod0820_fp8_kvcache_20260402"
"""The fingerprint of DeepSeek V4 when the documents were written."""
DEEPSEEK_TEXTS = {
    "balance": "Insufficient Balance",
    "policy": "Content Exists Risk",
    "rate": "Rate Limit Reached",
    "busy": "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.",
}


class DeepSeekDialect(
    DeepSeekRules[SettingsT_co, DeepSeekBodyT], ServesDeepSeek[SettingsT_co], Generic[SettingsT_co, DeepSeekBodyT]
):
    """Parses and renders the wire format of DeepSeek and its resellers."""

    auth_header: ClassVar[str] = "Authorization: Bearer sk-demo"
    shows_cache: ClassVar[bool] = True
    ranges: ClassVar[tuple[Range, ...]] = (
        Range("temperature", 0, 2, "[0, 2]"),
        Range("top_p", 0, 1, "(0, 1.0]", excludes_low=True),
    )
    context_length: int = CONTEXT_LENGTH
    wants_reasoning_back = True
    deprecated: ClassVar[Mapping[str, str]] = {
        "frequency_penalty": "it has no effect any more: leave it out",
        "presence_penalty": "it has no effect any more: leave it out",
    }
    always_reasons: ClassVar[bool] = False
    """Whether every answer in thinking mode has reasoning, even if it is empty, as with DeepSeek. Answers with tool
    calls always have it, since the client must send it back.
    """
    errors: ClassVar[Mapping[str, ErrorSpec]] = {
        "unauthorized": ErrorSpec(
            401, "Authentication Fails, Your api key: ****demo is invalid",
            "authentication_error", "invalid_request_error", mark="public",
        ),
        "forbidden": ErrorSpec(403, "Forbidden", "permission_error", "invalid_request_error"),
        "insufficient_balance": ErrorSpec(
            402, DEEPSEEK_TEXTS["balance"], "unknown_error", "invalid_request_error", mark="public"
        ),
        "content_policy": ErrorSpec(
            400, DEEPSEEK_TEXTS["policy"], "invalid_request_error", "invalid_request_error", mark="public"
        ),
        "rate_limited": ErrorSpec(429, DEEPSEEK_TEXTS["rate"], "rate_limit_error", "rate_limit_error"),
        "concurrency_limited": ErrorSpec(
            429, "Your current concurrency is 40, which exceeds your concurrency limit of 39 based on your remaining "
            "balance. Please top up your balance to restore your concurrency.", "rate_limit_error", "rate_limit_error",
        ),
        "server_error": ErrorSpec(500, "Internal Server Error", "internal_error", "internal_error"),
        "overloaded": ErrorSpec(
            503, DEEPSEEK_TEXTS["busy"], "service_unavailable_error", "service_unavailable_error", mark="public"
        ),
        "timeout": ErrorSpec(504, "Gateway Timeout", "internal_error", "internal_error"),
        "bad_request": ErrorSpec(
            400, "Invalid Format", "invalid_request_error", "invalid_request_error", mark="public"
        ),
        "invalid_parameters": ErrorSpec(422, "Invalid Parameters", "invalid_request_error", "invalid_request_error"),
        "model_not_found": ErrorSpec(
            400, "Model Not Exist", "invalid_request_error", "invalid_request_error", mark="public"
        ),
        "context_length": ErrorSpec(
            400, "This model's maximum context length is 1048565 tokens. However, you requested 1048600 tokens "
            "(1048500 in the messages, 100 in the completion). Please reduce the length of the messages or completion.",
            "invalid_request_error", "invalid_request_error", mark="public",
        ),
        "not_found": ErrorSpec(404, "Not Found", "invalid_request_error", "invalid_request_error"),
        "method_not_allowed": ErrorSpec(405, "Method Not Allowed", "invalid_request_error", "invalid_request_error"),
        "too_large": ErrorSpec(413, "Payload Too Large", "invalid_request_error", "invalid_request_error"),
    }  # fmt: skip

    # Requests

    def controls(self, body: DeepSeekBodyT) -> Controls:
        form, schema = read_format(body.response_format)
        thinking = self.thinks(body)
        return Controls(
            max_tokens=body.limit,
            stop=read_stop(body.stop),
            logprobs=bool(body.logprobs),
            top_logprobs=body.top_logprobs or 0,
            response_format=form,
            schema=schema,
            tools=read_tools(body.tools),
            tool_choice=read_tool_choice(body.tool_choice),
            thinking=thinking,
            reasoning_effort=self.effort_of(body.effort, body.model or "") if thinking else None,
            include_usage=bool(body.stream_options and body.stream_options.include_usage),
        )

    def context_length_of(self, model: str) -> int:
        """The maximum tokens of prompt and answer together."""
        return self.context_length

    def check_context_length(self, request: ModelRequest, prompt: int) -> None:
        wanted, most = request.controls.max_tokens or 0, self.context_length_of(request.model)
        if prompt + wanted > most:
            raise self.bad_request(
                f"This model's maximum context length is {most} tokens. However, you requested "
                f"{prompt + wanted} tokens ({prompt} in the messages, {wanted} in the completion). Please reduce the "
                "length of the messages or completion.",
            )

    # The answer

    def adapt(self, reply: Reply, request: ModelRequest) -> Reply:
        if not request.controls.thinking:
            return reply
        calls = reply.tool_calls or any(isinstance(block, ToolCall) for block in reply.blocks)
        return reply.with_thought() if self.always_reasons or calls else reply

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        return {**super().body(completion, request), "system_fingerprint": self.fingerprint(completion)}

    def fingerprint(self, completion: Completion) -> str:
        return completion.system_fingerprint or FINGERPRINT

    def choice(self, choice: Choice, request: ModelRequest) -> dict[str, Any]:
        return {
            "index": choice.index,
            "message": self.message(choice),
            "logprobs": self.logprobs(choice),
            "finish_reason": self.reason(choice),
        }

    def usage(self, completion: Completion) -> dict[str, Any]:
        usage = completion.usage
        thought = any(choice.reasoning is not None for choice in completion.choices)
        return {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.total,
            "prompt_tokens_details": {"cached_tokens": usage.cached},
            **({"completion_tokens_details": {"reasoning_tokens": usage.reasoning}} if thought else {}),
            "prompt_cache_hit_tokens": usage.cached,
            "prompt_cache_miss_tokens": usage.prompt - usage.cached,
        }

    # The finish chunk has the usage; with `include_usage`, it is null in every other chunk.

    says_no_usage: ClassVar[bool] = True

    @property
    def usage_stands(self) -> Literal["finish", "separate", "nowhere"]:
        return "finish"

    def chunk_of(self, completion: Completion, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": completion.id,
            "object": "chat.completion.chunk",
            "created": completion.created,
            "model": completion.model,
            "system_fingerprint": self.fingerprint(completion),
            "choices": choices,
        }

    def error_body(self, row: ErrorSpec, request_id: str) -> Any:
        return {"error": {"message": row.message, "type": row.type, "param": row.param, "code": row.code}}


def __getattr__(name: str) -> Any:
    homes = ("deepseek_input", "deepseek_reading", "deepseek_rules")
    return moved(__name__, name, *[f"emulator.providers.{home}" for home in homes])
