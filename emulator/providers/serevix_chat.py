"""Serevix's chat completions: the request body, the settings, and what the gateway rejects."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import orjson
from pydantic import ValidationError

from emulator.dialects.chat_input import (
    ChatBody,
    Many,
    MessageBody,
    ResponseFormat,
    Stop,
    StreamOptions,
    ToolBody,
    ToolChoice,
    read_format,
    read_stop,
    read_tool_choice,
    read_tools,
)
from emulator.dialects.parameters import SAMPLING
from emulator.dialects.serde import Range, not_of_type, unknown_variant
from emulator.providers.base import NameList, Settings, provider_error
from emulator.providers.deepseek_chat import DeepSeekDialect
from emulator.providers.deepseek_input import Thinking
from emulator.providers.deepseek_reading import TOOL_CHOICES, listed
from emulator.providers.deepseek_rules import complaint_of_format, complaint_of_tool_messages, complaints_of_logprobs
from emulator.providers.openai_chat import ChatDialect
from emulator.reply import Choice
from emulator.request import Controls, HttpRequest, ModelRequest

MAX_TOKENS = 2**30 - 1  # New API rejects more than half of the largest 32-bit integer
NO_MODEL = "Model name not specified, model name cannot be empty"


class SerevixMessage(MessageBody):
    """Role and content are both optional in the document."""

    role: Literal["system", "user", "assistant", "tool"] | None = None


class SerevixBody(ChatBody):
    model: str = ""
    messages: Many[SerevixMessage] | None = None  # type: ignore[assignment]  # New API has its own text when missing
    temperature: Annotated[float | None, SAMPLING] = None
    top_p: Annotated[float | None, SAMPLING] = None
    n: int | None = None
    stop: Stop | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    presence_penalty: Annotated[float | None, SAMPLING] = None
    frequency_penalty: Annotated[float | None, SAMPLING] = None
    stream_options: StreamOptions | None = None
    tools: Many[ToolBody] | None = None
    tool_choice: ToolChoice | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    thinking: Thinking | None = None
    reasoning_effort: str | None = None

    @property
    def limit(self) -> int | None:
        """The maximum number of tokens to generate, under either name."""
        return self.max_tokens if self.max_tokens is not None else self.max_completion_tokens


class SerevixSettings(Settings):
    choice_index: Literal["omit", "include"] = "omit"
    """The documented body has no `index` in its only choice; `include` adds it, as New API's upstream would."""
    error_profile: Literal["new_api", "openai"] = "new_api"
    """`new_api`: the gateway's own statuses and bodies; `openai`: OpenAI's, as other gateways send them."""
    models: NameList | None = None
    """The available models; null accepts any name."""
    strict: bool = False
    """Whether to reject messages without `role` or `content`."""
    content_type: Literal["new_api", "any"] = "new_api"
    """The document says that the Content-Type must be application/json. `new_api` (public: its source, inferred for
    Serevix) ignores any other body and therefore reports a missing model; `any` reads every body as JSON."""
    json_schema: Literal["accept", "refuse"] = "accept"
    """Whether `response_format` may be a JSON schema. DeepSeek, behind the gateway, rejects it today, but SDK helpers
    need it."""
    gemini_alt: Literal["sse", "array"] = "sse"
    """The format of Gemini's streams without `alt=sse`: events, as New API sends them, or a JSON array."""
    heartbeat: float | None = 10.0
    """Seconds between the `: PING` comments of a stream that waits for its first token."""


class SerevixChat(ChatDialect[SerevixSettings, SerevixBody]):
    """Chat completions as New API forwards them to DeepSeek."""

    Body = SerevixBody
    ranges = (
        Range("temperature", 0, 2, "[0, 2]"),
        Range("top_p", 0, 1, "[0, 1]"),
        Range("presence_penalty", -2, 2, "[-2, 2]"),
        Range("frequency_penalty", -2, 2, "[-2, 2]"),
    )

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        self.check_media_type(http_request)
        request = super().parse(http_request, key)
        self.check_model(request.model)
        return request

    def check_media_type(self, http_request: HttpRequest) -> None:
        """Raises ProviderError for a body that New API doesn't read: it checks the beginning of the header,
        case-sensitively.
        """
        is_json = http_request.headers.get("content-type", "").startswith("application/json")
        if not is_json and self.settings.content_type == "new_api":
            raise self.no_model()

    def check_model(self, model: str) -> None:
        """Raises ProviderError for an unknown model."""
        if self.settings.models is not None and model not in self.settings.models:
            raise provider_error("model_not_found")

    def no_model(self) -> Exception:
        """Returns the error for a request without a model."""
        return self.gateway(NO_MODEL)

    def gateway(self, message: str, code: str = "") -> Exception:
        """Returns an error of the gateway itself, before the upstream sees the request."""
        if self.settings.error_profile == "openai":
            return self.bad_request(message)
        return provider_error("bad_request", message, type="new_api_error", code=code)

    def not_json(self, error: orjson.JSONDecodeError) -> Exception:
        return self.gateway("Invalid request: invalid JSON request body")

    def not_of_type(self, error: ValidationError) -> Exception:
        # The gateway is written in Go: null leaves a member empty; any other wrong type in what it reads is bad JSON.
        first = error.errors(include_url=False)[0]
        if first["loc"] not in ((), ("model",)):
            return super().not_of_type(error)
        return self.gateway(NO_MODEL) if first["input"] is None else self.not_json(orjson.JSONDecodeError("", "", 0))

    def validation_errors(self, body: SerevixBody) -> Iterator[str | None]:
        if not body.model:
            raise self.gateway(NO_MODEL)
        if not body.messages:
            raise self.gateway("field messages is required", "invalid_request")
        limit = body.limit
        if limit is not None and not 0 <= limit <= MAX_TOKENS:
            raise self.gateway("max_tokens is invalid", "invalid_request")
        yield from self.complaints_of_choices(body)
        yield complaint_of_format(body, accepts_schema=self.settings.json_schema == "accept")
        yield from super().validation_errors(body)
        yield from complaints_of_logprobs(body)
        if limit == 0:
            yield "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"
        if isinstance(body.stop, list) and len(body.stop) > 4:
            yield "Invalid stop value, up to 4 stop strings are supported"
        if body.n is not None and not 1 <= body.n <= 128:
            yield "Invalid n value, the valid range of n is [1, 128]"
        if self.settings.strict and any(message.role is None or message.content is None for message in body.messages):
            yield "Invalid messages value, role and content are required"
        yield complaint_of_tool_messages(body.messages)

    def complaints_of_choices(self, body: SerevixBody) -> Iterator[str]:
        """Yields the values that DeepSeek, behind the gateway, rejects."""
        if isinstance(body.tool_choice, str) and body.tool_choice not in TOOL_CHOICES:
            yield not_of_type(f"tool_choice: {unknown_variant(body.tool_choice, listed(TOOL_CHOICES))}")
        effort, efforts = body.reasoning_effort, DeepSeekDialect.efforts
        if effort is not None and effort not in efforts:
            yield not_of_type(f"reasoning_effort: {unknown_variant(effort, listed(efforts))}")

    def thinks(self, body: SerevixBody) -> bool | None:
        """Whether the model thinks: reasoners always do, others if the request says so; None if it doesn't say."""
        if "r1" in body.model.lower() or "reasoner" in body.model.lower():
            return True
        mode = body.thinking.type if body.thinking is not None else None
        if mode is not None:
            return mode != "disabled"
        return False if body.reasoning_effort == "none" else None

    def controls(self, body: SerevixBody) -> Controls:
        form, schema = read_format(body.response_format)
        thinking = self.thinks(body)
        asked: Any = body.reasoning_effort or (body.thinking.reasoning_effort if body.thinking is not None else None)
        effort = DeepSeekDialect.effort_mapping.get(asked, asked)
        return Controls(
            max_tokens=body.limit,
            stop=read_stop(body.stop),
            n=body.n or 1,
            tools=read_tools(body.tools),
            tool_choice=read_tool_choice(body.tool_choice),
            logprobs=bool(body.logprobs),
            top_logprobs=body.top_logprobs or 0,
            response_format=form,
            schema=schema,
            thinking=thinking,
            reasoning_effort=effort if thinking else None,
            include_usage=bool(body.stream_options and body.stream_options.include_usage),
        )

    def choice(self, choice: Choice, request: ModelRequest) -> dict[str, Any]:
        row: dict[str, Any] = {"message": self.message(choice)}
        logprobs = self.logprobs(choice)
        if logprobs is not None:
            row["logprobs"] = logprobs
        row["finish_reason"] = self.reason(choice)
        if self.settings.choice_index == "include" or request.controls.n > 1:
            return {"index": choice.index, **row}
        return row

    @property
    def usage_stands(self) -> Literal["finish", "separate", "nowhere"]:
        return "separate"
