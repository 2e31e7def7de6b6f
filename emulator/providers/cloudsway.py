"""Cloudsway MaaS_DeepSeek: `POST /v1/ai/{endpointPath}/chat/completions` on genaiapi.cloudsway.net.

Request and answer are documented in full. The stream is DeepSeek's with Cloudsway's keys, inferred: the documented
fingerprint is DeepSeek's own, so Cloudsway forwards its answers. Statuses of errors are public, their bodies inferred.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from emulator.dialects.base import Dialect
from emulator.dialects.chat_input import ContentPart, Many, Strict, text_or_list
from emulator.dialects.generate_content import STREAM, wants_events
from emulator.dialects.serde import not_of_type
from emulator.providers import resold_claude, resold_gemini, resold_media
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
MODELS = (MODEL, "MaaS-DS-R1", "MaaS-DS-V3", "MaaS 1.5 Pro", resold_claude.MODEL, resold_media.RESPONSES_MODEL)
CREATED = "1720089491"
EARLIER = re.compile(r"r1|ds-v3", re.IGNORECASE)
"""DeepSeek's models of 2025: they call no tools, and their answers are texts."""
EARLIER_CONTEXT = 65_536


class File(Strict):
    file_id: str | None = None


class CloudswayPart(ContentPart):
    """Files are accepted and cost no tokens."""

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
    """The allowed values of `reasoning_effort`: `high` and `max` as documented, or all of DeepSeek's."""
    thinking_default: Literal["enabled", "disabled"] = "enabled"
    """The mode of a request without `thinking`."""
    usage_chunk: Literal["finish", "separate"] = "finish"
    """Where a stream reports the usage: on the finish chunk, like DeepSeek, or in a separate chunk, like OpenAI."""
    lenient: bool = False
    """Whether to accept requests without `model`, as another page of Cloudsway's says."""
    endpoints: Annotated[NameList | dict[str, NameList] | None, Field(union_mode="left_to_right")] = None
    """The existing endpoint paths; null accepts any. A mapping also says which operations each model has:
    `{chatty: [chat, responses]}`."""
    models: NameList = MODELS
    """The listed models, which a request without an endpoint may name."""
    context_length: Annotated[int, Field(ge=1)] = CONTEXT_LENGTH
    """The most tokens of prompt and answer together."""
    json_schema: Literal["accept", "refuse"] = "accept"
    """Whether `response_format` may be a schema. The document doesn't list it, but SDK helpers need it."""
    heartbeat: float | None = 10.0
    """Seconds between the `: keep-alive` comments of a stream that waits for its first token."""


class Cloudsway(
    resold_claude.ResellsClaude[CloudswaySettings],
    resold_gemini.ResellsGemini[CloudswaySettings],
    DeepSeekDialect[CloudswaySettings],
):
    """https://genaiapi.cloudsway.net"""

    weighs_words = False
    name = "cloudsway"
    title = "Cloudsway MaaS"
    hosts = ("genaiapi.cloudsway.net",)
    document = "MaaS_DeepSeek"
    auth_header = "Authorization: Bearer sk-demo"
    Settings = CloudswaySettings
    Body = CloudswayBody
    shows_cache = True
    heartbeat_comment = b": keep-alive\n\n"
    operations = (
        Operation("chat", "POST", "/v1/ai/{endpointPath}/chat/completions", "a chat completion"),
        Operation("chat", "POST", "/v1/chat/completions", "the same by the name of a model"),
        Operation("models", "GET", "/v1/models", "the list of models", is_completion=False),
        *resold_media.CLOUDSWAY,
        *resold_claude.CLOUDSWAY,
        *resold_gemini.operations("/v1/ai/{endpointPath}/"),
        Operation(
            "chat",
            "POST",
            "/v1/ai/{endpointPath}/google/chat/completions",
            "a chat completion of Gemini's",
            dialect=resold_gemini.GOOGLE_CHAT,
        ),
    )
    dialects: ClassVar[Mapping[str, type[Dialect]]] = {
        "messages": resold_claude.CloudswayMessages,
        "responses": resold_media.CloudswayResponses,
        "images": resold_media.CloudswayImages,
        resold_gemini.CONTENT: resold_gemini.CloudswayContent,
        resold_gemini.ARRAY: resold_gemini.CloudswayArray,
        resold_gemini.GOOGLE_CHAT: resold_gemini.CloudswayChat,
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

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        self.check_endpoint(http_request)
        request = super().parse(http_request, key)
        if "endpointPath" not in http_request.parameters:
            self.check_model(request.model)
        return request

    def check_endpoint(self, http_request: HttpRequest) -> None:
        """Raises ProviderError for an endpoint that does not exist, or at which its model does not speak so."""
        endpoints, name = self.settings.endpoints, http_request.parameters.get("endpointPath")
        if endpoints is None or name is None:
            return
        if name not in endpoints:
            raise provider_error("no_endpoint")
        spoken = endpoints[name] if isinstance(endpoints, Mapping) else ()
        operation = "responses" if http_request.operation == "get_response" else http_request.operation
        if spoken and operation not in spoken:
            raise provider_error("not_found")

    def check_model(self, model: str) -> None:
        """Raises ProviderError for a model that is not in the list, where no endpoint says which it is."""
        if model not in self.settings.models:
            raise provider_error("model_not_found")

    def validation_errors(self, body: Any) -> Iterator[str | None]:
        if not body.model and not self.settings.lenient:
            yield not_of_type("missing field `model`")
        if body.model and EARLIER.search(body.model):
            yield from complaints_of_earlier(body)
        yield from super().validation_errors(body)

    def model_of(self, http_request: HttpRequest, body: Any) -> str:
        return body.model or MODEL

    def thinks(self, body: Any) -> bool:
        if body.model and EARLIER.search(body.model):
            return "r1" in body.model.lower()
        return super().thinks(body)

    def context_length_of(self, model: str) -> int:
        return EARLIER_CONTEXT if EARLIER.search(model) else self.context_length

    def listing(self, request: ModelRequest, balance: Decimal | None = None) -> Any:
        if request.http_request.operation != "models":
            return super().listing(request, balance)
        rows = [
            {"id": name, "created": CREATED, "object": "model", "owned_by": "system"} for name in self.settings.models
        ]
        return {"data": rows, "object": "list"}

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

    def default_error(self, status: int) -> ErrorSpec:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        return ErrorSpec(status, REASONS.get(status, "Error"), kind, str(status))


def complaints_of_earlier(body: CloudswayBody) -> Iterator[str]:
    """What DeepSeek's models of 2025 did not do."""
    if body.tools:
        yield "deepseek-reasoner does not support Function Calling"
    if body.response_format is not None and body.response_format.type != "text":
        yield "This response_format type is unavailable now"
    if body.logprobs or body.top_logprobs is not None:
        yield "deepseek-reasoner does not support logprobs"
