"""Serevix: `POST /v1/chat/completions` and `GET /v1/models` on gateway.serevixai.ai, served by the New API gateway.

Requests and answers are documented. Errors, headers and the details of streams are New API's; for Serevix, this is
inferred from the format of its list of models.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar

import orjson

from emulator import seeded
from emulator.dialects.base import Dialect
from emulator.dialects.generate_content_urls import ARRAY, CONTENT, STREAM, google_key, wants_events
from emulator.plugins import Lazy
from emulator.providers import reselling
from emulator.providers.base import (
    REASONS,
    ErrorSpec,
    Operation,
    ProviderError,
    bearer,
    provider_error,
)
from emulator.providers.deepseek_models import ServesDeepSeek
from emulator.providers.serevix_chat import SerevixChat, SerevixSettings
from emulator.providers.serevix_errors import INVALID_TOKEN, NEW_API, OPENAI
from emulator.reply import ErrorReply
from emulator.request import HttpRequest, ModelRequest
from emulator.wire import PlannedBody

MODELS = (
    "deepseek-v3",
    "deepseek-r1",
    "deepseek-v4-flash",
    "deepseek-v4-pro",
    "claude-haiku-4-5-20251001",
    "gemini-2.5-flash",
)
"""The default models of the list."""
INVALID_TOKEN_IN_CHINESE = "无效的令牌"


class Serevix(
    reselling.ResellsClaude[SerevixSettings],
    reselling.ResellsGemini[SerevixSettings],
    SerevixChat,
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
    heartbeat_comment = b": PING\n\n"
    operations = (
        Operation("chat", "POST", "/v1/chat/completions", "a chat completion"),
        Operation("models", "GET", "/v1/models", "the list of models", "public", is_completion=False),
        Operation("models", "GET", "/v1/models/{model}", "one model", "public", is_completion=False),
        *reselling.SEREVIX,
        *reselling.gemini_operations("/v1/v1beta/models/{model}:"),
        *reselling.gemini_operations("/v1beta/models/{model}:", "public"),
        *reselling.gemini_operations("/v1/models/{model}:", "public"),
    )
    dialects: ClassVar[Mapping[str, type[Dialect[Any]]]] = Lazy(
        {
            "messages": "emulator.providers.resold_claude:SerevixMessages",
            "images": "emulator.providers.resold_media:SerevixImages",
            "embeddings": "emulator.providers.resold_media:SerevixEmbeddings",
            CONTENT: "emulator.providers.resold_gemini:SerevixContent",
            ARRAY: "emulator.providers.resold_gemini:SerevixArray",
        }
    )
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
    errors: ClassVar[Mapping[str, ErrorSpec]] = NEW_API
    openai_profile: ClassVar[Mapping[str, ErrorSpec]] = OPENAI

    # Requests

    def route(self, method: str, path: str) -> tuple[Operation, Mapping[str, str]]:
        try:
            return super().route(method, path)
        except ProviderError:
            if self.settings.error_profile == "new_api":  # its router only matches method and path together
                raise provider_error("not_found") from None
            raise

    def dialect_of(self, operation: Operation, http_request: HttpRequest) -> str:
        is_array = self.settings.gemini_alt == "array" and operation.name == STREAM and not wants_events(http_request)
        return ARRAY if is_array else operation.dialect

    def credential_in(self, headers: Mapping[str, str], query: str) -> str | None:
        return self.credential(headers) or google_key(headers, query)

    def credential(self, headers: Mapping[str, str]) -> str | None:
        return bearer(headers) or headers.get("x-api-key")

    def authenticate(self, headers: Mapping[str, str]) -> str:
        key = bearer(headers)
        if not key:
            raise provider_error("unauthorized")
        return key

    # The answer

    def request_id(self, received: float, entropy: bytes) -> str:
        """Returns an id in New API's format: the time in digits, then eight random characters."""
        second = int(received)
        return f"{_digits(second)}{int((received - second) * 1e6):06}{seeded.letters(entropy, 8)}"

    def response_headers(self, request_id: str) -> tuple[tuple[bytes, bytes], ...]:
        return ((b"x-oneapi-request-id", request_id.encode()),)

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
        }  # with HTTP status 200, as New API does

    # Errors

    def rate_limit_message(self, requests: int, seconds: float | None) -> str | None:
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
    """Returns New API's name for a model's owner."""
    if model.startswith(reselling.CLAUDE):
        return "claude"
    return "google gemini" if model.startswith("gemini-") else "deepseek"


def endpoint_types(model: str) -> list[str]:
    """Returns New API's names for the endpoint types of a model."""
    if model.startswith("text-embedding"):
        return ["embeddings"]
    own = ["image-generation"] if "image" in model else []
    if model.startswith("gemini-"):
        own.append("gemini")
    return [*own, "anthropic", "openai"] if model.startswith(reselling.CLAUDE) else [*own, "openai"]


def worded(message: str, http_request: HttpRequest) -> str:
    """Fills a message of the error table with the request's values, in the request's language."""
    if message == INVALID_TOKEN and http_request.headers.get("accept-language", "").lower().startswith("zh"):
        return INVALID_TOKEN_IN_CHINESE
    if "{model}" in message:
        model = http_request.parameters.get("model") or asked_model(http_request.body)
        return message.replace("{model}", model)
    return message.replace("{method}", http_request.method).replace("{path}", http_request.path)


def asked_model(body: bytes) -> str:
    """Returns the model in a body, if it can be parsed."""
    try:
        model = orjson.loads(body)["model"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
    return model if isinstance(model, str) else ""


@lru_cache(maxsize=2)
def _digits(second: int) -> str:
    """Formats a second for New API's ids; cached, since many requests share it."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y%m%d%H%M%S")
