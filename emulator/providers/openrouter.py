"""OpenRouter on openrouter.ai: the models of many vendors behind chat completions, with members of its own.

Its wire format is public (openrouter.ai/docs: the API reference, and the pages on reasoning, usage, errors and
fallbacks).
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import orjson

from emulator import seeded
from emulator.dialects.base import Dialect, Habits, provider_error
from emulator.plugins import Lazy
from emulator.providers.base import REASONS, ErrorSpec, NameList, Operation, Price, Provider, Settings, per_million
from emulator.reply import ErrorReply
from emulator.request import HttpRequest, ModelRequest
from emulator.wire import PlannedBody

MODELS: Mapping[str, tuple[str, Price]] = {
    "openai/gpt-4o": ("OpenAI: GPT-4o", per_million("2.5", "10", "1.25")),
    "openai/gpt-4o-mini": ("OpenAI: GPT-4o-mini", per_million("0.15", "0.6", "0.075")),
    "openai/gpt-5": ("OpenAI: GPT-5", per_million("1.25", "10", "0.125")),
    "anthropic/claude-sonnet-4.5": ("Anthropic: Claude Sonnet 4.5", per_million("3", "15", "0.30")),
    "anthropic/claude-haiku-4.5": ("Anthropic: Claude Haiku 4.5", per_million("1", "5", "0.10")),
    "anthropic/claude-opus-5.5": ("Anthropic: Claude Opus 5.5", per_million("4", "20", "0.20")),
    "google/gemini-2.5-flash": ("Google: Gemini 2.5 Flash", per_million("0.30", "2.50", "0.075")),
    "deepseek/deepseek-v4-pro": ("DeepSeek: DeepSeek V4 Pro", per_million("0.435", "0.87", "0.003625")),
    "deepseek/deepseek-v4-flash": ("DeepSeek: DeepSeek V4 Flash", per_million("0.14", "0.28", "0.0028")),
    "deepseek/deepseek-r1": ("DeepSeek: R1", per_million("0.55", "2.19", "0.14")),
    "openrouter/auto": ("Auto Router", per_million("2.5", "10", "1.25")),
}
"""The available models, with their titles and prices."""
FREE = per_million("0", "0", "0")
CREATED = 1_740_000_000
CONTEXT = 128_000
PARAMETERS = (
    "frequency_penalty", "logprobs", "max_tokens", "presence_penalty", "reasoning", "response_format", "seed", "stop",
    "structured_outputs", "temperature", "tool_choice", "tools", "top_logprobs", "top_p",
)  # fmt: skip


class OpenRouterSettings(Settings):
    models: NameList | None = tuple(MODELS)
    """The available models, each also with suffixes such as `:free`; null accepts any name."""
    credits: str = "10"
    """The purchased credits in USD, as `/credits` and `/key` report them."""
    heartbeat: float | None = 5.0
    """Seconds between the `: OPENROUTER PROCESSING` comments of a stream that waits for its first token."""


def call_id(entropy: seeded.Entropy, index: int, number: int) -> str:
    """Returns the id of a tool call."""
    return f"call_{seeded.alphanumeric(24, 'tool_call', entropy, index, number)}"


class OpenRouter(Provider[OpenRouterSettings]):
    """https://openrouter.ai"""

    name = "openrouter"
    title = "OpenRouter"
    hosts = ("openrouter.ai",)
    document = "OpenRouter API reference (openrouter.ai/docs)"
    auth_header = "Authorization: Bearer sk-or-demo"
    Settings = OpenRouterSettings
    shows_cache: ClassVar[bool] = True
    cache_unit: ClassVar[int] = 128
    cache_from: ClassVar[int] = 1024
    habits: ClassVar[Habits] = Habits(call_id=call_id)
    heartbeat_comment = b": OPENROUTER PROCESSING\n\n"
    dialects: ClassVar[Mapping[str, type[Dialect[Any]]]] = Lazy(
        {"chat_completions": "emulator.providers.openrouter_chat:OpenRouterChat"}
    )
    operations = (
        Operation("chat", "POST", "/api/v1/chat/completions", "a chat completion", "public"),
        Operation("models", "GET", "/api/v1/models", "the list of models", "public", is_completion=False),
        Operation("key", "GET", "/api/v1/key", "the limits of the key", "public", is_completion=False),
        Operation("credits", "GET", "/api/v1/credits", "purchased and used credits", "public", is_completion=False),
    )
    example = (
        "/api/v1/chat/completions",
        {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "What is the meaning of life?"}]},
    )
    errors: ClassVar[Mapping[str, ErrorSpec]] = {
        "unauthorized": ErrorSpec(401, "No auth credentials found", mark="public"),
        "forbidden": ErrorSpec(403, "The request was flagged by moderation", "moderation", mark="public"),
        "insufficient_balance": ErrorSpec(
            402, "Insufficient credits. Add more using https://openrouter.ai/settings/credits", mark="public"
        ),
        "content_policy": ErrorSpec(403, "The input was flagged by moderation", "moderation", mark="public"),
        "rate_limited": ErrorSpec(429, "Provider returned error", "provider", mark="public"),
        "server_error": ErrorSpec(500, "Internal Server Error", mark="public"),
        "overloaded": ErrorSpec(502, "Provider returned error", "provider", mark="public"),
        "no_provider": ErrorSpec(503, "No instances available", mark="public"),
        "timeout": ErrorSpec(408, "Request timed out", mark="public"),
        "bad_request": ErrorSpec(400, "Invalid request", mark="public"),
        "model_not_found": ErrorSpec(400, "The model is not a valid model ID", mark="public"),
        "context_length": ErrorSpec(
            400, "This endpoint's maximum context length is 128000 tokens. However, you requested about 128001 tokens "
            "(128001 of text input). Please reduce the length of either one.", mark="public",
        ),
        "not_found": ErrorSpec(404, "Not Found", mark="public"),
        "method_not_allowed": ErrorSpec(405, "Method Not Allowed"),
        "too_large": ErrorSpec(413, "Payload Too Large"),
    }  # fmt: skip

    def prompt_texts(self, request: ModelRequest) -> tuple[int, Sequence[str]]:
        fixed, texts = super().prompt_texts(request)
        offered = [orjson.dumps(tool.parameters, default=str).decode() for tool in request.controls.tools]
        names = [f"{tool.name} {tool.description}" for tool in request.controls.tools]
        return fixed, [*texts, *names, *offered]

    def check_context_length(self, request: ModelRequest, prompt: int) -> None:
        if prompt > CONTEXT:
            raise provider_error(
                "context_length",
                f"This endpoint's maximum context length is {CONTEXT} tokens. However, you requested about {prompt} "
                f"tokens ({prompt} of text input). Please reduce the length of either one.",
            )

    def price_of(self, model: str, moment: float) -> Price:
        name, _, variant = model.partition(":")
        return FREE if variant == "free" else MODELS.get(name, ("", FREE))[1]

    # Other operations

    def listing(self, request: ModelRequest, balance: Decimal | None = None) -> Any:
        paid = Decimal(self.settings.credits)
        used = float(paid - balance) if balance is not None else 0
        match request.http_request.operation:
            case "credits":
                return {"data": {"total_credits": float(paid), "total_usage": used}}
            case "key":
                left = None if balance is None else float(balance)
                limit = None if balance is None else float(paid)
                return {
                    "data": {
                        "label": f"{request.key[:8]}...{request.key[-3:]}",
                        "limit": limit,
                        "limit_remaining": left,
                        "usage": used,
                        "is_free_tier": False,
                        "rate_limit": {"requests": -1, "interval": "10s"},
                    }
                }
        return {"data": [self.model_row(name) for name in self.settings.models or MODELS]}

    def model_row(self, name: str) -> dict[str, Any]:
        """Returns a model as the list shows it."""
        title, price = MODELS.get(name, (name, FREE))
        return {
            "id": name,
            "canonical_slug": name,
            "name": title,
            "created": CREATED + seeded.roll("created", name) % 40_000_000,
            "description": "",
            "context_length": CONTEXT,
            "architecture": {
                "modality": "text->text",
                "input_modalities": ["text"],
                "output_modalities": ["text"],
                "tokenizer": "Other",
                "instruct_type": None,
            },
            "pricing": {
                "prompt": f"{price.prompt:f}",
                "completion": f"{price.completion:f}",
                "input_cache_read": f"{price.cached:f}",
            },
            "top_provider": {"context_length": CONTEXT, "max_completion_tokens": None, "is_moderated": False},
            "per_request_limits": None,
            "supported_parameters": list(PARAMETERS),
        }

    # Errors

    def error(self, reply: ErrorReply, http_request: HttpRequest | None = None, request_id: str = "") -> PlannedBody:
        is_plain = reply.name == "unauthorized" and reply.message is None and reply.body is None
        if is_plain and http_request is not None and self.credential(http_request.headers):
            reply = ErrorReply(reply.name, reply.status, "User not found.", reply.type, reply.code)
        return super().error(reply, http_request, request_id)

    def error_body(self, row: ErrorSpec, request_id: str) -> Any:
        error: dict[str, Any] = {"message": row.message, "code": row.code or row.status}
        if row.type == "provider":
            error["metadata"] = {"raw": REASONS.get(row.status, "Error"), "provider_name": "OpenAI"}
        elif row.type == "moderation":
            error["metadata"] = {"reasons": ["violence"], "flagged_input": "", "provider_name": "OpenAI"}
        return {"error": error} if row.status == 401 else {"error": error, "user_id": "user_emulator"}
