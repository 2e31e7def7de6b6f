"""Google's Gemini API on generativelanguage.googleapis.com: content generation, token counting, embeddings, models.

Its wire format is public: the API reference, the types in the SDKs, and captured traffic; see docs/providers.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from math import ceil
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import parse_qs

import orjson
from pydantic import Field

from emulator import seeded
from emulator.dialects.base import Dialect, Habits, provider_error
from emulator.dialects.generate_content_urls import (
    ARRAY,
    BATCH,
    CONTENT,
    KEY_HEADER,
    STREAM,
    google_key,
    wants_events,
)
from emulator.plugins import Lazy
from emulator.providers import gemini_openai_urls
from emulator.providers.base import Allowance, ErrorSpec, Limits, NameList, Operation, Provider, Settings, bearer
from emulator.providers.gemini_models import (
    CONTEXT,
    DIMENSIONS,
    LATEST,
    MODELS,
    model_row,
    price_of,
)
from emulator.reply import ErrorReply, Usage
from emulator.request import HttpRequest, ModelRequest
from emulator.wire import Header, PlannedBody, single

SERVICE = "generativelanguage.googleapis.com"
TYPES = "type.googleapis.com/google.rpc."
QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: "
    "https://ai.dev/rate-limit. "
)
HELP = {
    "@type": f"{TYPES}Help",
    "links": [
        {
            "description": "Learn more about Gemini API quotas",
            "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
        }
    ],
}
REQUESTS = (f"{SERVICE}/generate_content_free_tier_requests", "GenerateRequestsPerMinutePerProjectPerModel-FreeTier")
TOKENS = (
    f"{SERVICE}/generate_content_free_tier_input_token_count",
    "GenerateContentInputTokensPerModelPerMinute-FreeTier",
)
"""The quotas: the metric and the id of its limit."""
INVALID_KEY = "API_KEY_INVALID"
HEADERS: tuple[Header, ...] = (
    (b"vary", b"Origin"),
    (b"vary", b"X-Origin"),
    (b"vary", b"Referer"),
    (b"x-xss-protection", b"0"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"x-content-type-options", b"nosniff"),
)


def call_id(entropy: seeded.Entropy, index: int, number: int) -> str:
    """Returns the id of a function call."""
    return seeded.alphanumeric(8, "tool_call", entropy, index, number).lower()


def operations_of(version: str) -> Iterator[Operation]:
    """The endpoints of one version of the API."""
    base = f"/{version}/models"
    spoken = "generate_content"
    yield Operation(spoken, "POST", base + "/{model}:generateContent", "an answer", "public", dialect=spoken)
    yield Operation(
        STREAM, "POST", base + "/{model}:streamGenerateContent", "the same, streamed", "public", dialect=spoken
    )
    yield Operation(
        "count_tokens", "POST", base + "/{model}:countTokens", "the token count of a prompt", "public", False, spoken
    )
    embeds = "embed_content"
    yield Operation(embeds, "POST", base + "/{model}:embedContent", "an embedding", "public", False, embeds)
    yield Operation(BATCH, "POST", base + "/{model}:batchEmbedContents", "several embeddings", "public", False, embeds)
    yield Operation("models", "GET", base, "the list of models", "public", False, spoken)
    yield Operation("model", "GET", base + "/{model}", "one model", "public", False, spoken)


class GeminiSettings(Settings):
    models: NameList | None = MODELS
    """The available models; null accepts any name."""
    strict_members: bool = True
    """Whether to reject members that Google doesn't know."""
    chunk_tokens: Annotated[int, Field(ge=1)] = 32
    """The number of tokens in each event of a stream."""
    call_ids: Literal["auto", "always", "never"] = "auto"
    """Whether function calls have an `id`; `auto`: only those of Gemini 3 and later."""
    signatures: Literal["check", "accept"] = "check"
    """Whether Gemini 3 rejects function calls that come back without a valid signature."""
    bad_arguments: Literal["malformed", "text"] = "malformed"
    """How to send arguments that aren't a JSON object: with the finish reason MALFORMED_FUNCTION_CALL, or as text in
    `args`.
    """
    requests_per_minute: int | None = None
    """The requests per key and model; null: no limit."""
    tokens_per_minute: int | None = None
    """The tokens per key and model; null: no limit."""


class Gemini(Provider[GeminiSettings]):
    """https://generativelanguage.googleapis.com"""

    name = "gemini"
    title = "Google Gemini"
    hosts = (SERVICE,)
    document = "Gemini API reference (ai.google.dev)"
    auth_header = f"{KEY_HEADER}: sk-demo"
    sdk_note = "speaks Google's own API: google-genai, base URL as shown"
    Settings = GeminiSettings
    json_headers: ClassVar[tuple[Header, ...]] = ((b"content-type", b"application/json; charset=UTF-8"),)
    stream_headers: ClassVar[tuple[Header, ...]] = (
        (b"content-type", b"text/event-stream"),
        (b"content-disposition", b"attachment"),
    )
    json_options: ClassVar[int] = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    shows_cache: ClassVar[bool] = True
    cache_unit: ClassVar[int] = 256
    cache_from: ClassVar[int] = 1024
    habits: ClassVar[Habits] = Habits(call_id=call_id)
    operations = (
        *[operation for version in ("v1beta", "v1") for operation in operations_of(version)],
        *gemini_openai_urls.operations(),
    )
    example = (
        "/v1beta/models/gemini-2.5-flash:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "Explain how AI works in a few words"}]}]},
    )
    dialects: ClassVar[Mapping[str, type[Dialect[Any]]]] = Lazy(
        {
            CONTENT: "emulator.providers.gemini_content:GeminiContent",
            ARRAY: "emulator.providers.gemini_content:GeminiContentArray",
            "embed_content": "emulator.providers.gemini_content:GeminiEmbeddings",
            gemini_openai_urls.CHAT: "emulator.providers.gemini_openai:GeminiChat",
            gemini_openai_urls.EMBEDDINGS: "emulator.providers.gemini_openai:GeminiOpenAIEmbeddings",
        }
    )
    errors: ClassVar[Mapping[str, ErrorSpec]] = {
        "unauthorized": ErrorSpec(
            400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT", INVALID_KEY, mark="public"
        ),
        "forbidden": ErrorSpec(403, "The caller does not have permission", "PERMISSION_DENIED", mark="public"),
        "location": ErrorSpec(
            400, "User location is not supported for the API use.", "FAILED_PRECONDITION", mark="public"
        ),
        "insufficient_balance": ErrorSpec(429, QUOTA, "RESOURCE_EXHAUSTED", mark="public"),
        "spend_limit": ErrorSpec(
            429, "Your project has exceeded its monthly spending cap. Please go to AI Studio at "
            "https://ai.studio/spend to manage your project spend cap.", "RESOURCE_EXHAUSTED",
        ),
        "content_policy": ErrorSpec(200, "The prompt was blocked", "PROHIBITED_CONTENT", mark="public"),
        "rate_limited": ErrorSpec(429, QUOTA, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED", "34s", mark="public"),
        "server_error": ErrorSpec(
            500, "An internal error has occurred. Please retry or report in "
            "https://developers.generativeai.google/guide/troubleshooting", "INTERNAL", mark="public",
        ),
        "overloaded": ErrorSpec(
            503, "The model is overloaded. Please try again later.", "UNAVAILABLE", mark="public"
        ),
        "timeout": ErrorSpec(
            504, "Deadline expired before operation could complete.", "DEADLINE_EXCEEDED", mark="public"
        ),
        "cancelled": ErrorSpec(499, "The operation was cancelled.", "CANCELLED", mark="public"),
        "bad_request": ErrorSpec(400, "Request contains an invalid argument.", "INVALID_ARGUMENT", mark="public"),
        "model_not_found": ErrorSpec(404, "The model is not found", "NOT_FOUND", mark="public"),
        "context_length": ErrorSpec(
            400, f"The input token count ({CONTEXT + 1}) exceeds the maximum number of tokens allowed ({CONTEXT}).",
            "INVALID_ARGUMENT", mark="public",
        ),
        "not_found": ErrorSpec(404, "Requested entity was not found.", "NOT_FOUND", mark="public"),
        "method_not_allowed": ErrorSpec(404, "Requested entity was not found.", "NOT_FOUND"),
        "too_large": ErrorSpec(
            400, "Request payload size exceeds the limit: 20971520 bytes.", "INVALID_ARGUMENT", mark="public"
        ),
        "conflict": ErrorSpec(409, "The operation was aborted.", "ABORTED"),
    }  # fmt: skip

    # Requests

    def dialect_of(self, operation: Operation, http_request: HttpRequest) -> str:
        if operation.name == STREAM and not wants_events(http_request):
            return ARRAY
        return operation.dialect

    def credential_in(self, headers: Mapping[str, str], query: str) -> str | None:
        return google_key(headers, query) or bearer(headers)

    def model_named(self, name: str, method: str) -> str:
        """Returns the model for a name in a URL. Raises ProviderError."""
        model = LATEST.get(name, name)
        models = self.settings.models
        embeds = model in DIMENSIONS
        fits = method == "countTokens" or embeds == (method == "embedContent")
        if (models is not None and name not in models) or (not fits and model in MODELS):
            raise provider_error(
                "model_not_found",
                f"models/{name} is not found for API version v1beta, or is not supported for {method}. Call ListModels "
                "to see the list of available models and their supported methods.",
            )
        return model

    # The answer

    def prompt_texts(self, request: ModelRequest) -> tuple[int, Sequence[str]]:
        from emulator.dialects.generate_content_input import prompt_texts  # loaded with the dialect

        return prompt_texts(request)

    def check_context_length(self, request: ModelRequest, prompt: int) -> None:
        if prompt > CONTEXT:
            raise provider_error(
                "context_length",
                f"The input token count ({prompt}) exceeds the maximum number of tokens allowed ({CONTEXT}).",
            )

    def request_id(self, received: float, entropy: bytes) -> str:
        return entropy[16:24].hex()

    def response_headers(self, request_id: str) -> tuple[Header, ...]:
        duration = 200 + seeded.roll("duration", request_id) % 900
        return (*HEADERS, (b"server-timing", b"gfet4t7; dur=%d" % duration))

    def limits(self, request: ModelRequest) -> Limits | None:
        requests, tokens = self.settings.requests_per_minute, self.settings.tokens_per_minute
        if request.http_request.method != "POST" or (requests is None and tokens is None):
            return None
        return Limits(requests or 1_000_000_000, tokens or 1_000_000_000_000, is_enforced=True)

    def over_limit(self, request: ModelRequest, left: Allowance, seconds: float) -> ErrorReply:
        is_requests = left.requests.left < 1
        row, quota = (left.requests, REQUESTS) if is_requests else (left.tokens, TOKENS)
        message = (
            f"{QUOTA}\n* Quota exceeded for metric: {quota[0]}, limit: {row.limit}, model: {request.model}\n"
            f"Please retry in {seconds:.9g}s."
        )
        details = quota_details(quota, str(row.limit), request.model, f"{ceil(seconds)}s")
        return ErrorReply(name="rate_limited", message=message, body=envelope(429, message, details=details))

    def cost(self, usage: Usage, model: str, moment: float) -> Decimal:
        price = self.settings.price or price_of(model, usage.prompt)
        return price.of(usage)

    def listing(self, request: ModelRequest, balance: Any = None) -> Any:
        http_request = request.http_request
        if http_request.dialect in gemini_openai_urls.DIALECTS:
            return super().listing(request, balance)
        names = MODELS if self.settings.models is None else self.settings.models
        if http_request.operation == "models":
            return page(names, parse_qs(http_request.query))
        if http_request.operation == "model":
            name = http_request.parameters["model"]
            if name not in names:
                raise provider_error("model_not_found", f"Model is not found: models/{name} for api version v1beta")
            return model_row(name)
        return super().listing(request, balance)

    # Errors

    def error(self, reply: ErrorReply, http_request: HttpRequest | None = None, request_id: str = "") -> PlannedBody:
        row = self.error_spec(reply)
        if reply.body is None:
            reply = replace(reply, body=refusal_of(row, model_in(http_request)))
        if http_request is not None and http_request.dialect in gemini_openai_urls.DIALECTS:
            return super().error(gemini_openai_urls.in_list(reply, row), http_request, request_id)
        if http_request is None or http_request.operation != STREAM or isinstance(reply.body, str):
            return super().error(reply, http_request, request_id)
        if row.status == 200:  # a blocked prompt: an answer that has one event
            dialect = self.speaking(http_request.dialect)
            is_array = http_request.dialect == ARRAY
            opening = b"[" if is_array else b""
            headers = (*(self.json_headers if is_array else self.stream_headers), *self.response_headers(request_id))
            return PlannedBody(200, headers, (single("finish", opening + dialect.frame(reply.body)),), streamed=True)
        if not wants_events(http_request):
            reply = replace(reply, body=[reply.body])
        return super().error(reply, http_request, request_id)


STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""Google's name for each status."""


def refusal_of(row: ErrorSpec, model: str) -> Any:
    """Returns the JSON body of an error."""
    if row.status == 200 and row.type not in STATUSES.values():
        return {"promptFeedback": {"blockReason": row.type}, "modelVersion": model}
    details: list[dict[str, Any]] = []
    if row.code == INVALID_KEY:
        info = {"reason": INVALID_KEY, "domain": "googleapis.com", "metadata": {"service": SERVICE}}
        localized = {"@type": f"{TYPES}LocalizedMessage", "locale": "en-US", "message": row.message}
        details = [{"@type": f"{TYPES}ErrorInfo", **info}, localized]
    elif row.code == "RATE_LIMIT_EXCEEDED":
        details = quota_details(REQUESTS, "10", model, row.param or "34s")
    elif row.type == "RESOURCE_EXHAUSTED":
        details = [HELP]
    elif row.param is not None and row.type == "INVALID_ARGUMENT":
        lines = zip(row.param.split("\n"), row.message.split("\n"), strict=False)
        violations = [{**({"field": field} if field else {}), "description": text} for field, text in lines]
        details = [{"@type": f"{TYPES}BadRequest", "fieldViolations": violations}]
    return envelope(row.status, row.message, row.type, details)


def envelope(status: int, message: str, name: str | None = None, details: Sequence[Any] = ()) -> dict[str, Any]:
    """Returns an error in the format of all Google APIs."""
    error: dict[str, Any] = {"code": status, "message": message, "status": name or STATUSES.get(status, "UNKNOWN")}
    return {"error": {**error, "details": list(details)} if details else error}


def quota_details(quota: tuple[str, str], limit: str, model: str, delay: str) -> list[dict[str, Any]]:
    """Returns the exhausted quota, and when to retry."""
    metric, id = quota
    dimensions = {"location": "global", "model": model}
    violation = {"quotaMetric": metric, "quotaId": id, "quotaDimensions": dimensions, "quotaValue": limit}
    return [
        {"@type": f"{TYPES}QuotaFailure", "violations": [violation]},
        HELP,
        {"@type": f"{TYPES}RetryInfo", "retryDelay": delay},
    ]


def model_in(http_request: HttpRequest | None) -> str:
    """Returns the model in a URL."""
    last = http_request.path.rpartition("/")[2] if http_request is not None else ""
    return last.partition(":")[0] or "gemini-2.5-flash"


def page(names: Sequence[str], query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Returns a page of the list of models. The token of the next page is its offset."""

    def number(name: str, default: int) -> int:
        text = next(iter(query.get(name, ())), "")
        if text and not text.isdecimal():
            raise provider_error("bad_request", f"Invalid value at '{name}', \"{text}\"")
        return int(text or default)

    size = min(number("pageSize", 50) or 50, 1000)
    start = number("pageToken", 0)
    shown: dict[str, Any] = {"models": [model_row(name) for name in names[start : start + size]]}
    return {**shown, "nextPageToken": str(start + size)} if start + size < len(names) else shown
