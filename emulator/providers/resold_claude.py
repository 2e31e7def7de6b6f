"""Claude's messages from resellers: Serevix behind its New API gateway, Cloudsway at its endpoints.

Both document paths and members; neither documents errors. See docs/providers.md.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic

import orjson

from emulator.dialects.base import ErrorSpec, VendorT
from emulator.dialects.chat_input import Many
from emulator.providers.claude_messages import ClaudeBody, ClaudeMessages, ClaudeTurn
from emulator.providers.claude_words import Asked
from emulator.providers.reselling import CLAUDE_MODEL
from emulator.request import HttpRequest

if TYPE_CHECKING:
    from emulator.providers.cloudsway import Cloudsway  # noqa: F401  # a type argument below
    from emulator.providers.serevix import Serevix  # noqa: F401  # a type argument below


MAX_TOKENS = 8192
"""The default `max_tokens` at Serevix, which New API fills in."""


class ResoldMessages(ClaudeMessages[VendorT], Generic[VendorT]):
    """Messages that a gateway forwards."""

    @property
    def waits_after_opening(self) -> bool:
        return False

    @property
    def heartbeat(self) -> bytes:
        return self.provider.heartbeat_comment


class SerevixMessagesBody(ClaudeBody):
    """Only the model and the messages are required; the gateway has its own errors for them."""

    model: str = ""
    max_tokens: int | None = None  # type: ignore[assignment]  # New API fills it in
    messages: Many[ClaudeTurn] | None = None  # type: ignore[assignment]


class SerevixMessages(ResoldMessages["Serevix"]):
    """`POST /v1/messages` at Serevix"""

    weighs_words = False
    Body: ClassVar[type[ClaudeBody]] = SerevixMessagesBody
    hottest = 2.0

    def key_of(self, headers: Mapping[str, str]) -> str:
        return headers.get("x-api-key") or super().key_of(headers)

    def read(self, http_request: HttpRequest, version: str) -> tuple[ClaudeBody, Mapping[str, Any]]:
        self.provider.check_media_type(http_request)
        body, native = super().read(http_request, version)
        if not body.model:
            raise self.provider.no_model()
        if not body.messages:
            raise self.provider.gateway("field messages is required", "invalid_request")
        self.provider.check_model(body.model)
        return (body.model_copy(update={"max_tokens": MAX_TOKENS}) if body.max_tokens is None else body), native

    def not_json(self, error: orjson.JSONDecodeError) -> Exception:
        return self.provider.not_json(error)

    def error_envelope(self, row: ErrorSpec, request_id: str) -> Any:
        if row.type == "new_api_error":
            message = f"{row.message} (request id: {request_id})"
            return {"type": "error", "error": {"type": row.type, "message": message}}
        return self.error_object(row, row.message)


class CloudswayMessagesBody(ClaudeBody):
    """The samples name no model, since the endpoint determines it."""

    model: str = CLAUDE_MODEL


class CloudswayMessages(ResoldMessages["Cloudsway"]):
    """Anthropic's body at both of Cloudsway's paths"""

    weighs_words = False
    Body: ClassVar[type[ClaudeBody]] = CloudswayMessagesBody

    def read(self, http_request: HttpRequest, version: str) -> tuple[ClaudeBody, Mapping[str, Any]]:
        self.provider.check_endpoint(http_request)
        return super().read(http_request, version)

    def complaints(self, asked: Asked) -> Iterator[str | None]:
        body, effort = asked.body, asked.body.output_config.effort if asked.body.output_config is not None else None
        if "opus-4-8" in asked.name:
            yield from _of_opus_4_8(body)
            body = body.model_copy(update={"temperature": None, "top_p": None})
        if effort == "max" and "-4-6" not in asked.name:
            yield f"output_config.effort: max is not supported by {asked.name}"
        if effort == "xhigh" and "-4-7" not in asked.name:
            yield f"output_config.effort: xhigh is not supported by {asked.name}"
        yield from super().complaints(asked.of(body))


def _of_opus_4_8(body: ClaudeBody) -> Iterator[str]:
    """Yields violations of the sampling rules on the page of Claude Opus 4.8: one value, or none at all."""
    for name, only in (("temperature", 1), ("top_p", 0.99)):
        if getattr(body, name) not in (None, only):
            yield f"{name}: only {only} is supported by this model"
    if body.top_k is not None:
        yield "top_k: is not supported by this model"
