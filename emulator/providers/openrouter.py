"""OpenRouter on openrouter.ai: everybody's models in one form of chat completions, with members of its own.

What it sends is public (openrouter.ai/docs: its reference, its pages on reasoning, usage, errors and fallbacks).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

import orjson

from emulator import seeded
from emulator.dialects.base import Dialect, Habits, provider_error
from emulator.dialects.chat_completions import ChatCompletions
from emulator.dialects.chat_input import (
    ChatBody,
    Many,
    MessageBody,
    ResponseFormat,
    Stop,
    StreamOptions,
    Strict,
    ToolBody,
    ToolChoice,
    read_format,
    read_stop,
    read_tool_choice,
    read_tools,
)
from emulator.dialects.parameters import IGNORED, SAMPLING, honored, ignored
from emulator.dialects.serde import Range
from emulator.providers.base import REASONS, ErrorSpec, NameList, Operation, Price, Provider, Settings, per_million
from emulator.reply import Choice, Completion, ErrorReply, Thought
from emulator.request import Controls, HttpRequest, ModelRequest
from emulator.wire import FrameRun, PlannedBody

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
"""The models that are served, with their titles and what their tokens cost."""
AUTO, DEFAULT = "openrouter/auto", "openai/gpt-4o"
HOSTED_BY = {"openai": "OpenAI", "anthropic": "Anthropic", "google": "Google", "deepseek": "DeepSeek"}
"""Who runs a model, by whose it is, where the request has no wish."""
FREE = per_million("0", "0", "0")
CREATED = 1_740_000_000
CONTEXT = 128_000
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
PARAMETERS = (
    "frequency_penalty", "logprobs", "max_tokens", "presence_penalty", "reasoning", "response_format", "seed", "stop",
    "structured_outputs", "temperature", "tool_choice", "tools", "top_logprobs", "top_p",
)  # fmt: skip


class Reasoning(Strict):
    """What is asked of the thoughts."""

    enabled: bool | None = None
    effort: str | None = None
    max_tokens: Annotated[int | None, ignored("it turns thinking on; a thought is as long as it is scripted")] = None
    exclude: bool | None = None
    summary: Annotated[str | None, IGNORED] = None


class Preferences(Strict):
    """Who may run the model."""

    order: Many[str] | None = None
    only: Many[str] | None = None
    ignore: Annotated[Any, IGNORED] = None
    allow_fallbacks: Annotated[Any, IGNORED] = None
    require_parameters: Annotated[Any, IGNORED] = None
    data_collection: Annotated[Any, IGNORED] = None
    zdr: Annotated[Any, IGNORED] = None
    quantizations: Annotated[Any, IGNORED] = None
    sort: Annotated[Any, IGNORED] = None
    max_price: Annotated[Any, IGNORED] = None


class OpenRouterMessage(MessageBody):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    reasoning: str | None = None
    reasoning_details: Annotated[Any, IGNORED] = None


class OpenRouterBody(ChatBody):
    model: str = ""
    models: Annotated[Many[str] | None, honored("the first of them that is served answers")] = None
    messages: Many[OpenRouterMessage]
    reasoning: Reasoning | None = None
    include_reasoning: bool | None = None
    provider: Preferences | None = None
    n: Annotated[int | None, ignored("there is one choice")] = None
    stop: Stop | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream_options: Annotated[StreamOptions | None, IGNORED] = None
    tools: Many[ToolBody] | None = None
    tool_choice: ToolChoice | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    temperature: Annotated[float | None, SAMPLING] = None
    top_p: Annotated[float | None, SAMPLING] = None
    top_k: Annotated[float | None, SAMPLING] = None
    min_p: Annotated[float | None, SAMPLING] = None
    top_a: Annotated[float | None, IGNORED] = None
    presence_penalty: Annotated[float | None, SAMPLING] = None
    frequency_penalty: Annotated[float | None, SAMPLING] = None
    repetition_penalty: Annotated[float | None, IGNORED] = None
    logit_bias: Annotated[Any, SAMPLING] = None
    seed: Annotated[int | None, SAMPLING] = None
    route: Annotated[str | None, IGNORED] = None
    transforms: Annotated[Any, IGNORED] = None
    plugins: Annotated[Any, IGNORED] = None
    usage: Annotated[Any, ignored("it is always told")] = None
    parallel_tool_calls: Annotated[bool | None, IGNORED] = None
    user: Annotated[str | None, IGNORED] = None
    session_id: Annotated[str | None, IGNORED] = None
    metadata: Annotated[Any, IGNORED] = None

    @property
    def limit(self) -> int | None:
        """The most tokens to generate, under either name."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def thinks(self) -> bool | None:
        """Whether the model is to think; None: nothing is said of it."""
        asked = self.reasoning
        if asked is None:
            return None
        if asked.enabled is False or asked.effort == "none":
            return False
        return True if asked.enabled or asked.effort or asked.max_tokens else None


class OpenRouterSettings(Settings):
    models: NameList | None = tuple(MODELS)
    """The models that are served, each also with `:free` and the like; any name when null."""
    credits: str = "10"
    """What has been paid in, in USD, as `/credits` and `/key` report it."""
    heartbeat: float | None = 5.0
    """Seconds between the `: OPENROUTER PROCESSING` comments of a stream that waits for its first token."""


def call_id(entropy: seeded.Entropy, index: int, number: int) -> str:
    """The id of a tool call."""
    return f"call_{seeded.alphanumeric(24, 'tool_call', entropy, index, number)}"


class OpenRouterStream(ChatCompletions[OpenRouterBody, "OpenRouter"]):
    """A stream whose usage comes last, with or without being asked for, and whose errors are chunks."""

    fails_as_a_whole: ClassVar[bool] = True

    def head(self, completion: Completion, request: ModelRequest, kind: str) -> dict[str, Any]:
        """What stands before the choices."""
        return {
            "id": completion.id,
            "provider": hosted_by(completion.model, request),
            "model": completion.model,
            "object": kind,
            "created": completion.created,
        }

    def native_reason(self, choice: Choice) -> str:
        """The model's own word for why it ended."""
        return self.reason(choice) if choice.native_reason is None else choice.native_reason

    def usage(self, completion: Completion) -> dict[str, Any]:
        usage = completion.usage
        price = self.provider.settings.price or self.provider.price_of(completion.model, completion.created)
        answered = usage.completion * price.completion
        cost = price.of(usage)
        return {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.total,
            "cost": float(cost),
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0, "video_tokens": 0},
            "cost_details": {
                "upstream_inference_cost": None,
                "upstream_inference_prompt_cost": float(cost - answered),
                "upstream_inference_completions_cost": float(answered),
            },
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "image_tokens": 0},
        }

    def stream(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        yield from super().stream(shown(completion, request), request)

    def chunk(
        self, completion: Completion, request: ModelRequest, choice: Choice, delta: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        chunk = super().chunk(completion, request, choice, delta, **more)
        return {**self.head(completion, request, "chat.completion.chunk"), "choices": chunk["choices"]}

    def chunk_choice(
        self, choice: Choice, delta: dict[str, Any], reason: str | None, logprobs: dict[str, Any] | None
    ) -> dict[str, Any]:
        return {
            "index": choice.index,
            "delta": {"role": "assistant", **delta},
            "finish_reason": reason,
            "native_finish_reason": None if reason is None else self.native_reason(choice),
            "logprobs": logprobs,
        }

    def first_delta(self, choice: Choice) -> dict[str, Any]:
        return {"content": ""}

    def delta(self, part: Any, text: str, choice: Choice) -> dict[str, Any]:
        if part == "reasoning":
            return {"content": "", "reasoning": text}
        return {"content": text}

    def tool_delta(self, choice: Choice, call: dict[str, Any]) -> dict[str, Any]:
        return {"content": None, "tool_calls": [call]}

    def last_delta(self, choice: Choice) -> dict[str, Any]:
        return {"content": ""}

    def tail(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        row = self.chunk_choice(completion.choices[0], {"content": ""}, None, None)
        head = self.head(completion, request, "chat.completion.chunk")
        yield self.event("usage", {**head, "choices": [row], "usage": self.usage(completion)})

    def failure(self, native: dict[str, Any], row: ErrorSpec) -> dict[str, Any] | None:
        facts = {name: value for name, value in native.items() if name not in ("choices", "usage")}
        return {
            **facts,
            "error": {"code": row.status, "message": row.message},
            "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
        }


class OpenRouterChat(OpenRouterStream):
    """Chat completions with OpenRouter's own members."""

    weighs_words = False
    Body = OpenRouterBody
    ranges = (
        Range("temperature", 0, 2, "[0, 2]"),
        Range("top_p", 0, 1, "[0, 1]"),
        Range("presence_penalty", -2, 2, "[-2, 2]"),
        Range("frequency_penalty", -2, 2, "[-2, 2]"),
    )

    # The way in

    def model_of(self, http_request: HttpRequest, body: OpenRouterBody) -> str:
        names: list[str] = [*([body.model] if body.model else []), *(body.models or ())]
        if body.model == AUTO:  # it chooses one of the others
            names = [*names[1:], DEFAULT]
        if not names:
            raise provider_error("bad_request", "No models provided")
        served = self.provider.settings.models
        found = next((name for name in names if served is None or name.partition(":")[0] in served), None)
        if found is None:
            raise provider_error("model_not_found", f"{names[0]} is not a valid model ID")
        return found

    def validation_errors(self, body: OpenRouterBody) -> Iterator[str | None]:
        if not body.messages:
            yield 'Input required: specify "prompt" or "messages"'
        yield from super().validation_errors(body)
        if body.limit is not None and body.limit < 1:
            yield "max_tokens must be at least 1"
        effort = body.reasoning.effort if body.reasoning is not None else None
        if effort is not None and effort not in EFFORTS:
            yield f"reasoning.effort: expected one of {', '.join(EFFORTS)}"

    def controls(self, body: OpenRouterBody) -> Controls:
        form, schema = read_format(body.response_format)
        return Controls(
            max_tokens=body.limit,
            stop=read_stop(body.stop),
            n=1,
            tools=read_tools(body.tools),
            tool_choice=read_tool_choice(body.tool_choice),
            logprobs=bool(body.logprobs),
            top_logprobs=body.top_logprobs or 0,
            response_format=form,
            schema=schema,
            thinking=body.thinks,
            reasoning_effort=body.reasoning.effort if body.reasoning is not None and body.thinks else None,
            include_usage=True,
        )

    # The answer

    def make_id(self, entropy: bytes) -> str:
        return f"gen-{seeded.letters(entropy, 28)}"

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        completion = shown(completion, request)
        return {
            **self.head(completion, request, "chat.completion"),
            "choices": [self.choice(choice, request) for choice in completion.choices],
            "usage": self.usage(completion),
        }

    def choice(self, choice: Choice, request: ModelRequest) -> dict[str, Any]:
        return {
            "logprobs": self.logprobs(choice),
            "finish_reason": self.reason(choice),
            "native_finish_reason": self.native_reason(choice),
            "index": choice.index,
            "message": self.message(choice),
        }

    def message(self, choice: Choice) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": choice.content,
            "refusal": None,
            "reasoning": choice.reasoning,
        }
        if choice.reasoning:
            message["reasoning_details"] = details(choice.reasoning)
        if choice.tool_calls:
            message["tool_calls"] = self.tool_calls(choice)
        return message


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
    dialects: ClassVar[Mapping[str, type[Dialect[Any]]]] = {"chat_completions": OpenRouterChat}
    operations = (
        Operation("chat", "POST", "/api/v1/chat/completions", "a chat completion", "public"),
        Operation("models", "GET", "/api/v1/models", "the list of models", "public", is_completion=False),
        Operation("key", "GET", "/api/v1/key", "what the key may do", "public", is_completion=False),
        Operation("credits", "GET", "/api/v1/credits", "what was paid and used", "public", is_completion=False),
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

    # Beside chats

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
        """A model as the list shows it."""
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

    # Refusals

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


def hosted_by(model: str, request: ModelRequest) -> str:
    """Who runs the model: the first whom the request wants, else whose it is."""
    wishes = request.body.get("provider") or {}
    for name in ("only", "order"):
        if wishes.get(name):
            return str(wishes[name][0])
    return HOSTED_BY.get(model.partition("/")[0], "OpenAI")


def shown(completion: Completion, request: ModelRequest) -> Completion:
    """The answer without its thoughts, where the request wants none; they are paid for all the same."""
    asked = request.body.get("reasoning") or {}
    if not asked.get("exclude") and request.body.get("include_reasoning") is not False:
        return completion
    choices = [
        replace(choice, blocks=tuple([block for block in choice.blocks if not isinstance(block, Thought)]))
        for choice in completion.choices
    ]
    return replace(completion, choices=tuple(choices))


def details(text: str) -> list[dict[str, Any]]:
    """A thought as its details tell it."""
    return [{"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}]
