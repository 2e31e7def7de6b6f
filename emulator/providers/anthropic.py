"""Anthropic's API on api.anthropic.com: messages, token counting, models.

Its wire format is public: the API reference, the types in the SDKs, and captured traffic; see docs/providers.md.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import parse_qs

from emulator import seeded
from emulator.dialects.base import Dialect, provider_error
from emulator.dialects.messages import ERROR_TYPES
from emulator.plugins import Lazy
from emulator.providers.anthropic_limits import LEARN, ORGANIZATION, AnthropicLimits
from emulator.providers.anthropic_settings import AnthropicSettings
from emulator.providers.base import (
    ErrorSpec,
    Operation,
    bearer,
)
from emulator.providers.claude_models import ALIASES, BY_NAME, EFFORTS, MODELS, SEARCH, Claude, claude, served
from emulator.providers.claude_shape import base58
from emulator.reply import ErrorReply, Usage
from emulator.request import HttpRequest, ModelRequest
from emulator.wire import Header, PlannedBody

SPENT = "enforced_spend_limit_reached"
PER_PAGE, MAX_PER_PAGE = 20, 1000


class Anthropic(AnthropicLimits):
    """https://api.anthropic.com"""

    name = "anthropic"
    title = "Anthropic"
    hosts = ("api.anthropic.com",)
    document = "Claude API reference (platform.claude.com)"
    auth_header = "x-api-key: sk-ant-demo"
    Settings = AnthropicSettings
    shows_cache: ClassVar[bool] = True
    sdk_note = "for Anthropic's SDKs: base_url is the provider's own URL"
    operations = (
        Operation("messages", "POST", "/v1/messages", "a message", "public", dialect="messages"),
        Operation(
            "count_tokens", "POST", "/v1/messages/count_tokens", "the token count of a prompt", "public",
            is_completion=False, dialect="messages",
        ),
        Operation(
            "models", "GET", "/v1/models", "the list of models", "public", is_completion=False, dialect="messages"
        ),
        Operation(
            "model", "GET", "/v1/models/{model}", "one model", "public", is_completion=False, dialect="messages"
        ),
    )  # fmt: skip
    example = (
        "/v1/messages",
        {
            "model": "claude-sonnet-4-5",
            "max_tokens": 1024,
            "messages": [{"role": "user", "content": "Hello, Claude"}],
        },
    )
    example_headers: ClassVar[Mapping[str, str]] = {"anthropic-version": "2023-06-01"}
    dialects: ClassVar[Mapping[str, type[Dialect[Any]]]] = Lazy(
        {"messages": "emulator.providers.anthropic_messages:AnthropicMessages"}
    )
    errors: ClassVar[Mapping[str, ErrorSpec]] = {
        "unauthorized": ErrorSpec(401, "invalid x-api-key", "authentication_error", mark="public"),
        "forbidden": ErrorSpec(
            403, "Your API key does not have permission to use the specified resource.", "permission_error",
            mark="public",
        ),
        "insufficient_balance": ErrorSpec(
            402, "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade "
            "or purchase credits.", "billing_error", mark="public",
        ),
        "spend_limit": ErrorSpec(
            429, "You have reached your specified API usage limits. You will regain access on the first day of next "
            "month.", "rate_limit_error", SPENT, mark="public",
        ),
        "content_policy": ErrorSpec(
            400, "Output blocked by content filtering policy", "invalid_request_error", mark="public"
        ),
        "rate_limited": ErrorSpec(
            429, f"This request would exceed your organization's rate limit of 50 requests per minute. {LEARN}",
            "rate_limit_error", mark="public",
        ),
        "server_error": ErrorSpec(500, "Internal server error", "api_error", mark="public"),
        "overloaded": ErrorSpec(529, "Overloaded", "overloaded_error", mark="public"),
        "timeout": ErrorSpec(504, "Request timed out", "timeout_error", mark="public"),
        "bad_request": ErrorSpec(400, "Invalid request", "invalid_request_error", mark="public"),
        "model_not_found": ErrorSpec(404, "model: claude-unknown", "not_found_error", mark="public"),
        "context_length": ErrorSpec(
            400, "prompt is too long: 200001 tokens > 200000 maximum", "invalid_request_error", mark="public"
        ),
        "not_found": ErrorSpec(404, "Not Found", "not_found_error", mark="public"),
        "method_not_allowed": ErrorSpec(405, "Method Not Allowed", "invalid_request_error"),
        "conflict": ErrorSpec(409, "The request conflicts with the current state.", "conflict_error", mark="public"),
        "too_large": ErrorSpec(413, "Request exceeds the maximum size", "request_too_large", mark="public"),
    }  # fmt: skip

    # Requests

    def credential(self, headers: Mapping[str, str]) -> str | None:
        return headers.get("x-api-key") or bearer(headers)

    def version_of(self, http_request: HttpRequest) -> str:
        """Returns the API version of a request. Raises ProviderError."""
        version = http_request.headers.get("anthropic-version")
        if not version:
            raise provider_error("bad_request", "anthropic-version: header is required")
        if version not in self.settings.versions:
            raise provider_error("bad_request", f"anthropic-version: {version} is not a valid version")
        return version

    def listed(self, http_request: HttpRequest, key: str) -> ModelRequest:
        self.version_of(http_request)
        return super().listed(http_request, key)

    # The answer

    def request_id(self, received: float, entropy: bytes) -> str:
        return f"req_011C{base58(seeded.digest_of('request', entropy), 20)}"

    def response_headers(self, request_id: str) -> tuple[Header, ...]:
        return ((b"request-id", request_id.encode()), (b"anthropic-organization-id", ORGANIZATION.encode()))

    def cost(self, usage: Usage, model: str, moment: float) -> Decimal:
        if self.settings.price is not None:
            return self.settings.price.of(usage) + usage.searches * SEARCH
        return claude(model).cost(usage)

    def listing(self, request: ModelRequest, balance: Decimal | None = None) -> Any:
        names = tuple(self.settings.models or MODELS)
        match request.http_request.operation:
            case "models":
                return page([name for name in names if name not in ALIASES], request.http_request.query)
            case "model":
                name = request.http_request.parameters["model"]
                if name not in names:
                    raise provider_error("model_not_found", f"model: {name}")
                return model_row(served(name))
        return super().listing(request, balance)

    # Errors

    def error(self, reply: ErrorReply, http_request: HttpRequest | None = None, request_id: str = "") -> PlannedBody:
        if http_request is not None and reply.name == "unauthorized" and reply.message is None and reply.body is None:
            message = None
            if not self.credential(http_request.headers):
                message = "x-api-key header is required"
            elif not http_request.headers.get("x-api-key"):
                message = "Invalid bearer token"
            if message is not None:
                reply = ErrorReply(reply.name, reply.status, message, reply.type, reply.code, None, reply.headers)
        return super().error(reply, http_request, request_id)

    def error_body(self, row: ErrorSpec, request_id: str) -> Any:
        kind = row.type or ERROR_TYPES.get(row.status, "api_error" if row.status >= 500 else "invalid_request_error")
        details = {"details": {"error_code": row.code}} if row.code else {}
        return {
            "type": "error",
            "error": {"type": kind, "message": row.message, **details},
            "request_id": request_id,
        }


def page(names: list[str], query: str) -> dict[str, Any]:
    """Returns a page of the list of models. Raises ProviderError."""
    asked = {name: values[-1] for name, values in parse_qs(query).items()}
    limit = asked.get("limit", str(PER_PAGE))
    if not limit.isascii() or not limit.isdigit():
        raise provider_error(
            "bad_request", "limit: Input should be a valid integer, unable to parse string as an integer"
        )
    if not 1 <= int(limit) <= MAX_PER_PAGE:
        side = "greater than or equal to 1" if int(limit) < 1 else f"less than or equal to {MAX_PER_PAGE}"
        raise provider_error("bad_request", f"limit: Input should be {side}")
    for name in ("after_id", "before_id"):
        if name in asked and asked[name] not in names:
            raise provider_error("bad_request", f"{name}: Invalid cursor")
    has_more = False
    if "before_id" in asked:
        names = names[: names.index(asked["before_id"])]
        names, has_more = names[-int(limit) :], len(names) > int(limit)
    else:
        names = names[names.index(asked["after_id"]) + 1 :] if "after_id" in asked else names
        names, has_more = names[: int(limit)], len(names) > int(limit)
    return {
        "data": [model_row(name) for name in names],
        "has_more": has_more,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }


def model_row(name: str) -> dict[str, Any]:
    """Returns a model as the list shows it."""
    model = claude(name)
    return {
        "type": "model",
        "id": name,
        "display_name": model.title or name,
        "created_at": f"{model.created}T00:00:00Z",
        "lifecycle": "active" if model.retires is None else "deprecated",
        "deprecated_at": None,
        "retires_at": None if model.retires is None else f"{model.retires}T00:00:00Z",
        "line": None if name not in BY_NAME else name.split("-")[1],
        "max_input_tokens": model.context,
        "max_tokens": model.most_tokens,
        "capabilities": capabilities(model),
    }


def capabilities(model: Claude) -> dict[str, Any]:
    """Returns the capabilities of a model."""
    yes, is_adaptive = supported(True), model.can_think("adaptive")
    efforts = {each: supported(each in model.efforts) for each in EFFORTS}
    types = {
        "adaptive": supported(is_adaptive),
        "between_tools": supported(is_adaptive),
        "disabled": supported(model.thinks != "always"),
        "enabled": supported(model.can_think("enabled")),
    }
    return {
        "batch": supported(False),
        "citations": yes,
        "code_execution": supported(False),
        "context_management": supported(False),
        "effort": {"supported": bool(model.efforts), **efforts},
        "image_input": yes,
        "pdf_input": yes,
        "server_tools": {"supported": True, "web_search": yes, "code_execution": supported(False)},
        "structured_outputs": yes,
        "thinking": {"supported": True, "types": types},
    }


def supported(value: bool) -> dict[str, bool]:
    return {"supported": value}
