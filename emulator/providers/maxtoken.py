"""MaxToken: `POST /v1/chat/completions` on api.maxtoken.io, with four documented errors and `stream` true by default.

The document shows only requests and errors. Answers follow DeepSeek R1's format of 2025 (inferred).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from emulator.dialects.base import Dialect
from emulator.dialects.chat_completions import ChatCompletions
from emulator.dialects.chat_input import ChatBody, Content, Many, MessageBody
from emulator.dialects.parameters import honored
from emulator.providers.base import ErrorSpec, NameList, Operation, Settings, bearer, provider_error
from emulator.providers.deepseek_models import ServesDeepSeek
from emulator.reply import Completion, ErrorReply
from emulator.request import Controls, HttpRequest, ModelRequest

MODEL = "deepseek-r1"
SIBLINGS = ("gpt-4o-2024-08-06", "gemini-2.0-flash", "qwen3-max", "claude-opus-4-5-20251101")
"""Models with pages of their own; none of them thinks."""


class MaxTokenMessage(MessageBody):
    role: Literal["user", "assistant", "system"]
    content: Content


class MaxTokenBody(ChatBody):
    messages: Many[MaxTokenMessage]
    max_tokens: Annotated[int | None, honored("by all models except deepseek-r1, whose page lists none")] = None


class MaxTokenSettings(Settings):
    auth: Literal["any", "strict"] = "any"
    """`strict` accepts only the documented `x-api-key`; `any` also `Authorization: Bearer KEY` or just `KEY`."""
    stream_default: bool = True
    """Whether to stream the answer to a request without `stream`; the document says true."""
    models: NameList | None = (MODEL, *SIBLINGS)
    """The available models; null accepts any name. The document lists `deepseek-r1`, other pages list the others."""
    content_policy_http_status: Literal[503, 400] = 503
    """The HTTP status of a content policy error; its body says "503" either way."""


class MaxTokenChat(ChatCompletions[MaxTokenBody, "MaxToken"]):
    """DeepSeek R1's chat completions of 2025."""

    weighs_words = False
    Body = MaxTokenBody

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        request = super().parse(http_request, key)
        if self.provider.settings.models is not None and request.model not in self.provider.settings.models:
            raise provider_error("model_not_found")
        return request

    @property
    def stream_default(self) -> bool:
        return self.provider.settings.stream_default

    def validation_errors(self, body: MaxTokenBody) -> Iterator[str | None]:
        if not body.messages:
            yield "messages must not be empty"
        if body.model in SIBLINGS and body.max_tokens is not None and body.max_tokens < 1:
            yield "max_tokens must be at least 1"

    def controls(self, body: MaxTokenBody) -> Controls:
        if body.model in SIBLINGS:
            return Controls(thinking=False, max_tokens=body.max_tokens)
        return Controls(thinking=True)

    def usage(self, completion: Completion) -> dict[str, Any]:
        usage = super().usage(completion)
        usage["completion_tokens_details"] = {"reasoning_tokens": completion.usage.reasoning}
        return usage

    @property
    def usage_stands(self) -> Literal["finish", "separate", "nowhere"]:
        return "finish"


class MaxToken(ServesDeepSeek[MaxTokenSettings]):
    """https://api.maxtoken.io"""

    name = "maxtoken"
    title = "MaxToken"
    hosts = ("api.maxtoken.io",)
    document = "deepseek-r1 (Text To Text)"
    auth_header = "x-api-key: sk-demo"
    Settings = MaxTokenSettings
    dialects: ClassVar[Mapping[str, type[Dialect[Any]]]] = {"chat_completions": MaxTokenChat}
    operations = (Operation("chat", "POST", "/v1/chat/completions", "a chat completion"),)
    example = (
        "/v1/chat/completions",
        {"model": "deepseek-r1", "messages": [{"role": "user", "content": "Who are you?"}], "stream": False},
    )
    sdk_note = "set stream=False: by default, answers are streamed, and openai-python then returns a str"
    errors: ClassVar[Mapping[str, ErrorSpec]] = {
        "unauthorized": ErrorSpec(401, "Invalid signature", mark="documented"),
        "forbidden": ErrorSpec(403, "Forbidden"),
        "insufficient_balance": ErrorSpec(403, "Insufficient balance", mark="documented"),
        "invalid_token": ErrorSpec(403, "Invalid Token", mark="public"),
        "content_policy": ErrorSpec(
            503, "Input may not meet the guidelines. Please adjust and try again.", "503", mark="documented"
        ),
        "rate_limited": ErrorSpec(429, "Too Many Requests"),
        "server_error": ErrorSpec(500, "Internal server error", mark="documented"),
        "overloaded": ErrorSpec(503, "Service Unavailable"),
        "timeout": ErrorSpec(504, "Gateway Timeout"),
        "bad_request": ErrorSpec(400, "Bad Request"),
        "model_not_found": ErrorSpec(404, "Model not found"),
        "not_found": ErrorSpec(404, "Not Found"),
        "method_not_allowed": ErrorSpec(405, "Method Not Allowed"),
        "too_large": ErrorSpec(413, "Payload Too Large"),
    }

    def credential(self, headers: Mapping[str, str]) -> str | None:
        return headers.get("x-api-key") or bearer(headers) or bare(headers)

    def authenticate(self, headers: Mapping[str, str]) -> str:
        if self.settings.auth == "strict" and not headers.get("x-api-key"):
            raise provider_error("unauthorized")
        return super().authenticate(headers)

    def error_spec(self, reply: ErrorReply) -> ErrorSpec:
        row = super().error_spec(reply)
        if reply.name == "content_policy" and reply.status is None:
            return replace(row, status=self.settings.content_policy_http_status)
        return row

    def error_body(self, row: ErrorSpec, request_id: str) -> Any:
        # The document's `type` is the status as a string, and there is no other member.
        return {"error": {"message": row.message, "type": row.type or str(row.status)}}


def bare(headers: Mapping[str, str]) -> str | None:
    """The key in `Authorization: KEY`; a scheme, with or without something after it, isn't a key."""
    value = headers.get("authorization", "")
    return value if value.split() == [value] and value.lower() != "bearer" else None
