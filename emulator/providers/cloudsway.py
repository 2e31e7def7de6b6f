"""Cloudsway MaaS_DeepSeek: `POST /v1/ai/{endpointPath}/chat/completions` on genaiapi.cloudsway.net.

Request and answer are documented in full. The stream is DeepSeek's with Cloudsway's keys, inferred: the documented
fingerprint is DeepSeek's own, so Cloudsway forwards its answers. Statuses of errors are public, their bodies inferred.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from emulator.dialects.base import Dialect
from emulator.dialects.chat_completions import ContentPart, Many, Strict, text_or_list
from emulator.dialects.generate_content import STREAM, wants_events
from emulator.dialects.serde import not_of_type
from emulator.providers import resold_gemini
from emulator.providers.base import REASONS, ErrorSpec, NameList, Operation, Settings, provider_error
from emulator.providers.deepseek_chat import (
    CONTEXT_LENGTH,
    DEEPSEEK_TEXTS,
    DeepSeekBody,
    DeepSeekDialect,
    DeepSeekMessage,
    Thinking,
)
from emulator.reply import Choice, Completion
from emulator.request import HttpRequest, ModelRequest

FINGERPRINT = "fp_9954b31ca7_prod0820_fp8_kvcache_20260402"
MODEL = "MaaS_Deepseek_V4_pro_20260424"


class File(Strict):
    file_id: str | None = None


class CloudswayPart(ContentPart):
    """Files are accepted and count nothing."""

    type: Literal["text", "file"] = "text"
    file: File | None = None


class CloudswayMessage(DeepSeekMessage):
    content: (
        Annotated[
            Annotated[str, Tag("<text>")] | Annotated[Many[CloudswayPart], Tag("<list>")], Discriminator(text_or_list)
        ]
        | None
    ) = None  # type: ignore[assignment]  # this provider's parts


class CloudswayThinking(Thinking):
    """The table of parameters shows the effort inside, the example shows the type: neither is required."""

    type: Literal["enabled", "disabled"] | None = None


class CloudswayBody(DeepSeekBody):
    model: str | None = None  # type: ignore[assignment]  # its absence is judged by a setting
    messages: Many[CloudswayMessage]  # type: ignore[assignment]  # a list of this provider's messages
    thinking: CloudswayThinking | None = None


class CloudswaySettings(Settings):
    effort: Literal["documented", "deepseek"] = "documented"
    """Which values `reasoning_effort` may have: `high` and `max` as documented, or all that DeepSeek knows."""
    thinking_default: Literal["enabled", "disabled"] = "enabled"
    """The mode of a request that does not say `thinking`."""
    usage_chunk: Literal["finish", "separate"] = "finish"
    """Where a stream's usage stands: on the finish chunk as with DeepSeek, or in a chunk of its own as with OpenAI."""
    lenient: bool = False
    """Take requests without `model`, as another page of Cloudsway says."""
    endpoints: NameList | None = None
    """The endpoint paths that exist; any when null."""
    context_length: Annotated[int, Field(ge=1)] = CONTEXT_LENGTH
    """The tokens that prompt and answer may have together."""
    json_schema: Literal["accept", "refuse"] = "accept"
    """Whether `response_format` may be a schema, which the document does not list: SDKs ask for it."""
    heartbeat: float | None = 10.0
    """Seconds between the `: keep-alive` comments of a stream that waits for its first token."""


class Cloudsway(resold_gemini.ResellsGemini, DeepSeekDialect):
    """https://genaiapi.cloudsway.net"""

    name = "cloudsway"
    title = "Cloudsway MaaS"
    hosts = ("genaiapi.cloudsway.net",)
    document = "MaaS_DeepSeek"
    auth_header = "Authorization: Bearer sk-demo"
    Settings = CloudswaySettings
    settings: CloudswaySettings
    Body = CloudswayBody
    shows_cache = True
    heartbeat_comment = b": keep-alive\n\n"
    operations = (
        Operation("chat", "POST", "/v1/ai/{endpointPath}/chat/completions", "a chat completion"),
        *resold_gemini.operations("/v1/ai/{endpointPath}/"),
    )
    dialects: ClassVar[Mapping[str, type[Dialect]]] = {
        resold_gemini.CONTENT: resold_gemini.CloudswayContent,
        resold_gemini.ARRAY: resold_gemini.CloudswayArray,
    }
    example = (
        "/v1/ai/sVUARttwSjilLOZY/chat/completions",
        {
            "model": MODEL,
            "messages": [
                {"role": "system", "content": "You are a helpful assistant"},
                {"role": "user", "content": "Hi"},
            ],
        },
    )
    errors: ClassVar[Mapping[str, ErrorSpec]] = {
        "unauthorized": ErrorSpec(401, "Invalid API key or API key not provided", "authentication_error", "401"),
        "forbidden": ErrorSpec(403, "IP is not on the whitelist", "permission_error", "403"),
        "insufficient_balance": ErrorSpec(400, "No available passageway", "invalid_request_error", "NO_PASSAGEWAY"),
        "content_policy": ErrorSpec(400, "The response was filtered", "invalid_request_error", "400"),
        "rate_limited": ErrorSpec(429, DEEPSEEK_TEXTS["rate"], "rate_limit_error", "429"),
        "server_error": ErrorSpec(500, "Internal Server Error", "server_error", "500"),
        "overloaded": ErrorSpec(503, DEEPSEEK_TEXTS["busy"], "server_error", "503"),
        "timeout": ErrorSpec(504, "Gateway Timeout", "server_error", "504"),
        "bad_request": ErrorSpec(400, "Bad Request", "invalid_request_error", "400"),
        "model_not_found": ErrorSpec(404, "The resource or model does not exist", "not_found_error", "404"),
        "no_endpoint": ErrorSpec(400, "No available endpoint", "invalid_request_error", "NO_ENDPOINT"),
        "conflict": ErrorSpec(409, "Conflict", "conflict_error", "409"),
        "not_found": ErrorSpec(404, "Not Found", "not_found_error", "404"),
        "method_not_allowed": ErrorSpec(405, "Method Not Allowed", "invalid_request_error", "405"),
        "too_large": ErrorSpec(413, "Payload Too Large", "invalid_request_error", "413"),
    }

    def __init__(self, settings: CloudswaySettings | None = None) -> None:
        super().__init__(settings)
        if self.settings.effort == "documented":
            self.efforts = ("high", "max")
        self.json_schema = self.settings.json_schema
        self.context_length = self.settings.context_length
        self.thinking_default = self.settings.thinking_default == "enabled"

    def dialect_of(self, operation: Operation, http_request: HttpRequest) -> str:
        is_array = operation.name == STREAM and not wants_events(http_request)
        return resold_gemini.ARRAY if is_array else operation.dialect

    def check_endpoint(self, http_request: HttpRequest) -> None:
        """Raises ProviderError for an endpoint that does not exist."""
        endpoints = self.settings.endpoints
        if endpoints is not None and http_request.parameters["endpointPath"] not in endpoints:
            raise provider_error("no_endpoint")

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        self.check_endpoint(http_request)
        return super().parse(http_request, key)

    def validation_errors(self, body: Any) -> Iterator[str | None]:
        if not body.model and not self.settings.lenient:
            yield not_of_type("missing field `model`")
        yield from super().validation_errors(body)

    def model_of(self, http_request: HttpRequest, body: Any) -> str:
        return body.model or MODEL

    # The documented order of keys

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        return {
            "id": completion.id,
            "choices": [self.choice(choice, request) for choice in completion.choices],
            "created": completion.created,
            "model": completion.model,
            "object": "chat.completion",
            "system_fingerprint": completion.system_fingerprint or FINGERPRINT,
            "usage": self.usage(completion),
        }

    def choice(self, choice: Choice, request: ModelRequest) -> dict[str, Any]:
        row: dict[str, Any] = {"index": choice.index, "message": self.message(choice)}
        logprobs = self.logprobs(choice)
        if logprobs is not None:
            row["logprobs"] = logprobs
        row["finish_reason"] = self.reason(choice)
        row["native_finish_reason"] = self.native_reason(choice)
        return row

    def native_reason(self, choice: Choice) -> str:
        return self.reason(choice) if choice.native_reason is None else choice.native_reason

    def usage(self, completion: Completion) -> dict[str, Any]:
        usage = completion.usage
        return {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.total,
            "completion_tokens_details": {
                "accepted_prediction_tokens": 0,
                "audio_tokens": 0,
                "image_tokens": 0,
                "reasoning_tokens": usage.reasoning,
                "rejected_prediction_tokens": 0,
            },
            "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": usage.cached, "image_tokens": 0},
            "prompt_cache_hit_tokens": usage.cached,
            "prompt_cache_miss_tokens": usage.prompt - usage.cached,
        }

    @property
    def usage_stands(self) -> Literal["finish", "separate", "nowhere"]:
        return self.settings.usage_chunk

    def chunk_of(self, completion: Completion, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": completion.id,
            "choices": choices,
            "created": completion.created,
            "model": completion.model,
            "object": "chat.completion.chunk",
            "system_fingerprint": completion.system_fingerprint or FINGERPRINT,
        }

    def chunk_choice(
        self, choice: Choice, delta: dict[str, Any], reason: str | None, logprobs: dict[str, Any] | None
    ) -> dict[str, Any]:
        row: dict[str, Any] = {"index": choice.index, "delta": delta}
        if logprobs is not None:
            row["logprobs"] = logprobs
        row["finish_reason"] = reason
        row["native_finish_reason"] = None if reason is None else self.native_reason(choice)
        return row

    # Refusals

    def error_body(self, row: ErrorSpec, request_id: str) -> Any:
        return {"error": {"message": row.message, "type": row.type, "param": row.param, "code": row.code}}

    def default_error(self, status: int) -> ErrorSpec:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        return ErrorSpec(status, REASONS.get(status, "Error"), kind, str(status))
