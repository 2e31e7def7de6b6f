"""Cloudsway MaaS_DeepSeek: `POST /v1/ai/{endpointPath}/chat/completions` on genaiapi.cloudsway.net.

Requests and answers are documented in full. The stream is DeepSeek's with Cloudsway's keys. This is inferred: the
documented fingerprint is DeepSeek's own, so Cloudsway forwards its answers. The statuses of errors are public, their
bodies inferred.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, ClassVar

from emulator.dialects.base import Dialect
from emulator.dialects.generate_content_urls import ARRAY, CONTENT, STREAM, wants_events
from emulator.dialects.serde import not_of_type
from emulator.plugins import Lazy
from emulator.providers import reselling
from emulator.providers.base import REASONS, ErrorSpec, Operation, provider_error
from emulator.providers.cloudsway_chat import MODEL, CloudswayBody, CloudswayChat, CloudswaySettings
from emulator.providers.deepseek_chat import (
    DEEPSEEK_TEXTS,
)
from emulator.request import HttpRequest, ModelRequest

CREATED = "1720089491"
EARLIER = re.compile(r"r1|ds-v3", re.IGNORECASE)
"""DeepSeek's models of 2025, without tool calls and response formats."""
EARLIER_CONTEXT = 65_536


class Cloudsway(
    reselling.ResellsClaude[CloudswaySettings],
    reselling.ResellsGemini[CloudswaySettings],
    CloudswayChat,
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
        Operation("chat", "POST", "/v1/chat/completions", "the same, by model name"),
        Operation("models", "GET", "/v1/models", "the list of models", is_completion=False),
        *reselling.CLOUDSWAY,
        *reselling.gemini_operations("/v1/ai/{endpointPath}/"),
        Operation(
            "chat",
            "POST",
            "/v1/ai/{endpointPath}/google/chat/completions",
            "a chat completion by Gemini",
            dialect=reselling.GOOGLE_CHAT,
        ),
    )
    dialects: ClassVar[Mapping[str, type[Dialect[Any]]]] = Lazy(
        {
            "messages": "emulator.providers.resold_claude:CloudswayMessages",
            "responses": "emulator.providers.resold_media:CloudswayResponses",
            "images": "emulator.providers.resold_media:CloudswayImages",
            CONTENT: "emulator.providers.resold_gemini:CloudswayContent",
            ARRAY: "emulator.providers.resold_gemini:CloudswayArray",
            reselling.GOOGLE_CHAT: "emulator.providers.resold_gemini:CloudswayChat",
        }
    )
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
        return ARRAY if is_array else operation.dialect

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        self.check_endpoint(http_request)
        request = super().parse(http_request, key)
        if "endpointPath" not in http_request.parameters:
            self.check_model(request.model)
        return request

    def check_endpoint(self, http_request: HttpRequest) -> None:
        """Raises ProviderError for an unknown endpoint, or if its model doesn't have this operation."""
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
        """Raises ProviderError for a model that is not in the list, if no endpoint determines the model."""
        if model not in self.settings.models:
            raise provider_error("model_not_found")

    def validation_errors(self, body: CloudswayBody) -> Iterator[str | None]:
        if not body.model and not self.settings.lenient:
            yield not_of_type("missing field `model`")
        if body.model and EARLIER.search(body.model):
            yield from complaints_of_earlier(body)
        yield from super().validation_errors(body)

    def model_of(self, http_request: HttpRequest, body: CloudswayBody) -> str:
        return body.model or MODEL

    def thinks(self, body: CloudswayBody) -> bool:
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

    # Errors

    def default_error(self, status: int) -> ErrorSpec:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        return ErrorSpec(status, REASONS.get(status, "Error"), kind, str(status))


def complaints_of_earlier(body: CloudswayBody) -> Iterator[str]:
    """Yields the parameters that DeepSeek's models of 2025 did not support."""
    if body.tools:
        yield "deepseek-reasoner does not support Function Calling"
    if body.response_format is not None and body.response_format.type != "text":
        yield "This response_format type is unavailable now"
    if body.logprobs or body.top_logprobs is not None:
        yield "deepseek-reasoner does not support logprobs"
