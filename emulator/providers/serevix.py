"""Serevix: `POST /v1/chat/completions` and `GET /v1/models` on gateway.serevixai.ai, served by the New API gateway.

Request and answer are documented. Errors, headers and the stream's details are New API's, inferred for Serevix from the
format of its list of models.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import ValidationError

from emulator import seeded
from emulator.dialects.base import Dialect
from emulator.dialects.chat_input import (
    ChatBody,
    Many,
    MessageBody,
    ResponseFormat,
    Stop,
    StreamOptions,
    ToolBody,
    ToolChoice,
    read_stop,
    read_tool_choice,
    read_tools,
)
from emulator.dialects.generate_content import STREAM, google_key, wants_events
from emulator.dialects.parameters import SAMPLING
from emulator.dialects.serde import Range, not_of_type, unknown_variant
from emulator.providers import resold_claude, resold_gemini, resold_media
from emulator.providers.base import (
    REASONS,
    ErrorSpec,
    NameList,
    Operation,
    ProviderError,
    Settings,
    bearer,
    provider_error,
)
from emulator.providers.deepseek_chat import (
    TOOL_CHOICES,
    DeepSeekDialect,
    Thinking,
    complaint_of_format,
    complaint_of_tool_messages,
    complaints_of_logprobs,
    listed,
)
from emulator.providers.deepseek_models import ServesDeepSeek
from emulator.providers.openai_chat import ChatDialect
from emulator.reply import Choice, ErrorReply
from emulator.request import Controls, HttpRequest, ModelRequest
from emulator.wire import PlannedBody

MAX_TOKENS = 2**30 - 1  # New API refuses more than half of the largest 32-bit integer
MODELS = (
    "deepseek-v3",
    "deepseek-r1",
    "deepseek-v4-flash",
    "deepseek-v4-pro",
    "claude-haiku-4-5-20251001",
    "gemini-2.5-flash",
)
"""Those that the list shows where a scenario does not say."""
NO_MODEL = "Model name not specified, model name cannot be empty"
INVALID_TOKEN = "Invalid token"
INVALID_TOKEN_IN_CHINESE = "无效的令牌"


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
        """The most tokens to generate, under either name."""
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
    """What a stream of Gemini's is that does not ask for `alt=sse`: events, as New API sends them, or an array."""
    heartbeat: float | None = 10.0
    """Seconds between the `: PING` comments of a stream that waits for its first token."""


class Serevix(
    resold_claude.ResellsClaude[SerevixSettings],
    resold_gemini.ResellsGemini[SerevixSettings],
    ChatDialect[SerevixSettings],
    ServesDeepSeek[SerevixSettings],
):
    """https://gateway.serevixai.ai"""

    weighs_words = False
    name = "serevix"
    title = "Serevix"
    hosts = ("gateway.serevixai.ai",)
    document = "DeepSeek (Serevix gateway)"
    auth_header = "Authorization: Bearer sk-demo"
    Settings = SerevixSettings
    Body = SerevixBody
    heartbeat_comment = b": PING\n\n"
    operations = (
        Operation("chat", "POST", "/v1/chat/completions", "a chat completion"),
        Operation("models", "GET", "/v1/models", "the list of models", "public", is_completion=False),
        Operation("models", "GET", "/v1/models/{model}", "one model of the list", "public", is_completion=False),
        *resold_claude.SEREVIX,
        *resold_media.SEREVIX,
        *resold_gemini.operations("/v1/v1beta/models/{model}:"),
        *resold_gemini.operations("/v1beta/models/{model}:", "public"),
        *resold_gemini.operations("/v1/models/{model}:", "public"),
    )
    dialects: ClassVar[Mapping[str, type[Dialect]]] = {
        "messages": resold_claude.SerevixMessages,
        "images": resold_media.SerevixImages,
        "embeddings": resold_media.SerevixEmbeddings,
        resold_gemini.CONTENT: resold_gemini.SerevixContent,
        resold_gemini.ARRAY: resold_gemini.SerevixArray,
    }
    example = (
        "/v1/chat/completions",
        {
            "model": "deepseek-v3",
            "messages": [{"role": "user", "content": "Hello, can you explain quantum mechanics to me?"}],
        },
    )
    stream_headers = (
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-cache"),
        (b"connection", b"keep-alive"),
        (b"x-accel-buffering", b"no"),
    )
    ranges = (
        Range("temperature", 0, 2, "[0, 2]"),
        Range("top_p", 0, 1, "[0, 1]"),
        Range("presence_penalty", -2, 2, "[-2, 2]"),
        Range("frequency_penalty", -2, 2, "[-2, 2]"),
    )
    errors: ClassVar[Mapping[str, ErrorSpec]] = {
        "unauthorized": ErrorSpec(401, INVALID_TOKEN, "new_api_error", ""),
        "forbidden": ErrorSpec(403, "This token has no access to model {model}", "new_api_error", ""),
        "access_denied": ErrorSpec(
            403, "Your IP is not in the list of allowed access", "new_api_error", "access_denied"
        ),
        "insufficient_balance": ErrorSpec(
            403, "用户额度不足, 剩余额度: ＄0.000000", "new_api_error", "insufficient_user_quota"
        ),
        "token_quota": ErrorSpec(
            403, "token quota is not enough", "new_api_error", "pre_consume_token_quota_failed"
        ),
        "content_policy": ErrorSpec(400, "Content Exists Risk", "invalid_request_error", "invalid_request_error"),
        "rate_limited": ErrorSpec(
            429, "You have reached the request limit: maximum 60 requests in 1 minutes", "new_api_error", ""
        ),
        "server_error": ErrorSpec(500, "Internal Server Error", "upstream_error", "bad_response_status_code"),
        "overloaded": ErrorSpec(
            503,
            "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.",
            "service_unavailable_error",
            "service_unavailable_error",
        ),
        "timeout": ErrorSpec(504, "Gateway Timeout", "upstream_error", "bad_response_status_code"),
        "bad_request": ErrorSpec(400, "Bad Request", "invalid_request_error", "invalid_request_error"),
        "model_not_found": ErrorSpec(
            503, "No available channel for model {model} under group default (distributor)", "new_api_error",
            "model_not_found",
        ),
        "not_found": ErrorSpec(404, "Invalid URL ({method} {path})", "invalid_request_error", ""),
        "method_not_allowed": ErrorSpec(404, "Invalid URL ({method} {path})", "invalid_request_error", ""),
        "not_implemented": ErrorSpec(501, "API not implemented", "new_api_error", "api_not_implemented"),
        "too_large": ErrorSpec(413, "request body too large", "new_api_error", "read_request_body_failed"),
    }  # fmt: skip
    openai_profile: ClassVar[Mapping[str, ErrorSpec]] = {
        "unauthorized": ErrorSpec(401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
        "forbidden": ErrorSpec(403, "You do not have access to {model}", "invalid_request_error", "model_not_found"),
        "insufficient_balance": ErrorSpec(
            429, "You exceeded your current quota, please check your plan and billing details.",
            "insufficient_quota", "insufficient_quota",
        ),
        "content_policy": ErrorSpec(
            400, "Your request was rejected as a result of our safety system.", "invalid_request_error",
            "content_policy_violation",
        ),
        "rate_limited": ErrorSpec(429, "Rate limit reached for requests", "requests", "rate_limit_exceeded"),
        "server_error": ErrorSpec(
            500, "The server had an error while processing your request. Sorry about that!", "server_error"
        ),
        "overloaded": ErrorSpec(
            503, "The engine is currently overloaded, please try again later", "service_unavailable_error"
        ),
        "timeout": ErrorSpec(504, "Gateway Timeout", "server_error"),
        "bad_request": ErrorSpec(400, "Bad Request", "invalid_request_error"),
        "model_not_found": ErrorSpec(
            404, "The model `{model}` does not exist or you do not have access to it.", "invalid_request_error",
            "model_not_found",
        ),
        "not_found": ErrorSpec(404, "Invalid URL ({method} {path})", "invalid_request_error"),
        "method_not_allowed": ErrorSpec(405, "Not allowed to {method} on {path}.", "invalid_request_error"),
        "too_large": ErrorSpec(413, "Request too large", "invalid_request_error"),
    }  # fmt: skip

    # The way in

    def route(self, method: str, path: str) -> tuple[Operation, Mapping[str, str]]:
        try:
            return super().route(method, path)
        except ProviderError:
            if self.settings.error_profile == "new_api":  # its router knows methods and paths only together
                raise provider_error("not_found") from None
            raise

    def dialect_of(self, operation: Operation, http_request: HttpRequest) -> str:
        is_array = self.settings.gemini_alt == "array" and operation.name == STREAM and not wants_events(http_request)
        return resold_gemini.ARRAY if is_array else operation.dialect

    def credential_in(self, headers: Mapping[str, str], query: str) -> str | None:
        return self.credential(headers) or google_key(headers, query)

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        self.check_media_type(http_request)
        request = super().parse(http_request, key)
        self.check_model(request.model)
        return request

    def check_media_type(self, http_request: HttpRequest) -> None:
        """Raises ProviderError for a body that New API does not read: it looks at the beginning of the header, in
        exactly this case."""
        is_json = http_request.headers.get("content-type", "").startswith("application/json")
        if not is_json and self.settings.content_type == "new_api":
            raise self.no_model()

    def check_model(self, model: str) -> None:
        """Raises ProviderError for a model that is not served."""
        if self.settings.models is not None and model not in self.settings.models:
            raise provider_error("model_not_found")

    def no_model(self) -> Exception:
        """The refusal of a request that names no model."""
        return self.gateway(NO_MODEL)

    def gateway(self, message: str, code: str = "") -> Exception:
        """An error from the gateway itself, before the upstream sees the request."""
        if self.settings.error_profile == "openai":
            return self.bad_request(message)
        return provider_error("bad_request", message, type="new_api_error", code=code)

    def not_json(self, error: orjson.JSONDecodeError) -> Exception:
        return self.gateway("Invalid request: invalid JSON request body")

    def not_of_type(self, error: ValidationError) -> Exception:
        # The gateway is written in Go: null leaves a member empty, any other wrong type in what it reads is bad JSON.
        first = error.errors(include_url=False)[0]
        if first["loc"] not in ((), ("model",)):
            return super().not_of_type(error)
        return self.gateway(NO_MODEL) if first["input"] is None else self.not_json(orjson.JSONDecodeError("", "", 0))

    def validation_errors(self, body: Any) -> Iterator[str | None]:
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

    def complaints_of_choices(self, body: Any) -> Iterator[str]:
        """The words that DeepSeek behind the gateway does not know."""
        if isinstance(body.tool_choice, str) and body.tool_choice not in TOOL_CHOICES:
            yield not_of_type(f"tool_choice: {unknown_variant(body.tool_choice, listed(TOOL_CHOICES))}")
        effort, efforts = body.reasoning_effort, DeepSeekDialect.efforts
        if effort is not None and effort not in efforts:
            yield not_of_type(f"reasoning_effort: {unknown_variant(effort, listed(efforts))}")

    def thinks(self, body: Any) -> bool | None:
        """Whether the model thinks: a reasoner always, others as the request says; None if it doesn't say."""
        if "r1" in body.model.lower() or "reasoner" in body.model.lower():
            return True
        mode = body.thinking.type if body.thinking is not None else None
        if mode is not None:
            return bool(mode != "disabled")
        return False if body.reasoning_effort == "none" else None

    def controls(self, body: Any) -> Controls:
        form = body.response_format
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
            response_format=form.type if form is not None else "text",
            schema=(form.json_schema or {}).get("schema") if form is not None else None,
            thinking=thinking,
            reasoning_effort=effort if thinking else None,
            include_usage=bool(body.stream_options and body.stream_options.include_usage),
        )

    def credential(self, headers: Mapping[str, str]) -> str | None:
        return bearer(headers) or headers.get("x-api-key")

    def authenticate(self, headers: Mapping[str, str]) -> str:
        key = bearer(headers)
        if not key:
            raise provider_error("unauthorized")
        return key

    # The answer

    def request_id(self, received: float, entropy: bytes) -> str:
        """New API's format: the time in digits, then eight random characters."""
        second = int(received)
        return f"{_digits(second)}{int((received - second) * 1e6):06}{seeded.letters(entropy, 8)}"

    def response_headers(self, request_id: str) -> tuple[tuple[bytes, bytes], ...]:
        return ((b"x-oneapi-request-id", request_id.encode()),)

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

    def listing(self, request: ModelRequest, balance: Decimal | None = None) -> Any:
        if request.http_request.operation != "models":
            return super().listing(request, balance)
        names = self.settings.models or MODELS
        rows = [
            {
                "id": name,
                "object": "model",
                "created": 1626777600,  # New API reports the same time for every model
                "owned_by": owner(name),
                "supported_endpoint_types": endpoint_types(name),
            }
            for name in names
        ]
        wanted = request.http_request.parameters.get("model")
        if wanted is None:
            return {"data": rows, "object": "list", "success": True}
        return next((row for row in rows if row["id"] == wanted), None) or {
            "error": {
                "message": f"The model '{wanted}' does not exist",
                "type": "invalid_request_error",
                "param": "model",
                "code": "model_not_found",
            }
        }  # with HTTP status 200, as New API does it

    # Refusals

    def rate_limit_message(self, requests: int | None, seconds: float | None) -> str | None:
        if self.settings.error_profile == "openai":
            return None
        minutes = 43200 if seconds is None else max(1, round(seconds / 60))
        return f"You have reached the request limit: maximum {requests} requests in {minutes} minutes"

    @property
    def table(self) -> Mapping[str, ErrorSpec]:
        return self.errors if self.settings.error_profile == "new_api" else self.openai_profile

    def error(self, reply: ErrorReply, http_request: HttpRequest | None = None, request_id: str = "") -> PlannedBody:
        if http_request is not None and reply.message is None and reply.body is None:
            reply = replace(reply, message=worded(self.error_spec(reply).message, http_request))
        return super().error(reply, http_request, request_id)

    def error_body(self, row: ErrorSpec, request_id: str) -> Any:
        if row.type == "new_api_error":
            # The gateway's own errors: a Go map, so its keys are sorted; the message contains the request id.
            message = f"{row.message} (request id: {request_id})"
            return {"error": {"code": row.code or "", "message": message, "type": row.type}}
        nothing = "" if self.settings.error_profile == "new_api" else None
        return {
            "error": {
                "message": row.message,
                "type": row.type,
                "param": row.param or nothing,
                "code": row.code or nothing,
            }
        }

    def default_error(self, status: int) -> ErrorSpec:
        message = REASONS.get(status, "Error")
        if self.settings.error_profile == "openai":
            return ErrorSpec(status, message, "server_error" if status >= 500 else "invalid_request_error")
        return ErrorSpec(status, message, "upstream_error", "bad_response_status_code")


def owner(model: str) -> str:
    """Whose a model is, in New API's words."""
    if model.startswith(resold_claude.CLAUDE):
        return "claude"
    return "google gemini" if model.startswith("gemini-") else "deepseek"


def endpoint_types(model: str) -> list[str]:
    """What a model speaks, in New API's words."""
    if model.startswith("text-embedding"):
        return ["embeddings"]
    own = ["image-generation"] if "image" in model else []
    if model.startswith("gemini-"):
        own.append("gemini")
    return [*own, "anthropic", "openai"] if model.startswith(resold_claude.CLAUDE) else [*own, "openai"]


def worded(message: str, http_request: HttpRequest) -> str:
    """A text of the table in the language of the request, with what the request asked for."""
    if message == INVALID_TOKEN and http_request.headers.get("accept-language", "").lower().startswith("zh"):
        return INVALID_TOKEN_IN_CHINESE
    if "{model}" in message:
        model = http_request.parameters.get("model") or asked_model(http_request.body)
        return message.replace("{model}", model)
    return message.replace("{method}", http_request.method).replace("{path}", http_request.path)


def asked_model(body: bytes) -> str:
    """The model in a body, if it can be parsed."""
    try:
        model = orjson.loads(body)["model"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
    return model if isinstance(model, str) else ""


@lru_cache(maxsize=2)
def _digits(second: int) -> str:
    """A second as New API writes it into ids; the same for many requests."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y%m%d%H%M%S")
