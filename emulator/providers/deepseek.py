"""DeepSeek's own API on api.deepseek.com: chat, prefix completion, fill-in-the-middle, models, balance.

Its wire format is public: the API reference (api-docs.deepseek.com) and captured traffic; see docs/providers.md.
Resellers forward it, so most of the code is in `deepseek_chat`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any, ClassVar
from uuid import UUID

from emulator.dialects.base import Dialect
from emulator.dialects.serde import Range
from emulator.plugins import Lazy
from emulator.providers.base import ErrorSpec, Operation, bearer, provider_error
from emulator.providers.deepseek_chat import DeepSeekDialect
from emulator.providers.deepseek_dated import R1
from emulator.providers.deepseek_input import DeepSeekBody
from emulator.providers.deepseek_settings import DeepSeekSettings, balance_of_account
from emulator.providers.deepseek_vision import PenaltyBody, SeeingBody, SeeingDeepSeek
from emulator.reply import ErrorReply, Reply
from emulator.request import HttpRequest, ModelRequest
from emulator.wire import Header, PlannedBody

NO_KEY = "Authentication Fails (governor)"
WRONG_SCHEME = "Authentication Fails (auth header format should be Bearer sk-...)"
WRONG_TYPE = "Expected request with `Content-Type: application/json`"
NO_TYPE = {"content-type": ""}
PLAIN = {"content-type": "text/plain; charset=utf-8"}
GAP = "gap"
"""The dialect of fill-in-the-middle completions."""
BYTES = {"content-type": "application/octet-stream"}
"""The content type of every 400, except those for unreadable bodies."""


class DeepSeek(SeeingDeepSeek):
    """https://api.deepseek.com"""

    weighs_words = False
    name = "deepseek"
    title = "DeepSeek"
    hosts = ("api.deepseek.com",)
    document = "DeepSeek API (api-docs.deepseek.com)"
    Settings = DeepSeekSettings
    ranges: ClassVar[tuple[Range, ...]] = (
        *DeepSeekDialect.ranges,
        Range("presence_penalty", -2, 2, "[-2, 2]"),
        Range("frequency_penalty", -2, 2, "[-2, 2]"),
    )
    heartbeat_comment = b": keep-alive\n\n"
    heartbeat_blank = b"\n"
    tells_position = True
    always_reasons = True
    operations = (
        Operation("chat", "POST", "/chat/completions", "a chat completion", "public"),
        Operation("chat", "POST", "/v1/chat/completions", "the same", "public"),
        Operation("chat", "POST", "/beta/chat/completions", "a chat completion that may continue a prefix", "public"),
        Operation("completions", "POST", "/beta/completions", "fill-in-the-middle (FIM)", "public", dialect=GAP),
        Operation("messages", "POST", "/anthropic/v1/messages", "a message", "public", dialect="messages"),
        Operation("messages", "POST", "/anthropic/messages", "the same", "public", dialect="messages"),
        Operation(
            "count_tokens", "POST", "/anthropic/v1/messages/count_tokens", "the token count of a prompt, if turned on",
            "inferred", is_completion=False, dialect="messages",
        ),
        Operation("responses", "POST", "/responses", "a response", "public", dialect="responses"),
        Operation("responses", "POST", "/v1/responses", "the same", "public", dialect="responses"),
        Operation("models", "GET", "/models", "the list of models", "public", is_completion=False),
        Operation("models", "GET", "/v1/models", "the same", "public", is_completion=False),
        Operation("balance", "GET", "/user/balance", "the account balance", "public", is_completion=False),
    )  # fmt: skip
    example = (
        "/chat/completions",
        {
            "model": "deepseek-v4-pro",
            "messages": [
                {"role": "system", "content": "You are a helpful assistant"},
                {"role": "user", "content": "Hi"},
            ],
        },
    )
    dialects: ClassVar[Mapping[str, type[Dialect[Any]]]] = Lazy(
        {
            GAP: "emulator.providers.fim:Gap",
            "messages": "emulator.providers.deepseek_messages:DeepSeekMessages",
            "responses": "emulator.providers.deepseek_responses:DeepSeekResponses",
        }
    )
    errors: ClassVar[Mapping[str, ErrorSpec]] = {
        **{
            name: replace(row, headers=BYTES) if row.status == 400 else row
            for name, row in DeepSeekDialect.errors.items()
        },
        "not_found": replace(DeepSeekDialect.errors["not_found"], mark="public"),
        "unsupported_media_type": ErrorSpec(415, WRONG_TYPE, mark="public"),
    }

    def __init__(self, settings: DeepSeekSettings | None = None) -> None:
        super().__init__(settings)
        self.thinking_default = self.settings.thinking_default == "enabled"
        self.json_schema = self.settings.json_schema
        self.context_length = self.settings.context_length
        self.Body = SeeingBody if any(model.sees_images for model in self.profile.models) else PenaltyBody

    # Requests

    def route(self, method: str, path: str) -> tuple[Operation, Mapping[str, str]]:
        operation, parameters = super().route(method, path)
        if operation.dialect == "responses" and not self.profile.has_responses:
            raise provider_error("not_found")
        return operation, parameters

    def credential(self, headers: Mapping[str, str]) -> str | None:
        return bearer(headers) or headers.get("x-api-key")

    def authenticate(self, headers: Mapping[str, str]) -> str:
        if "authorization" not in headers:
            raise provider_error("unauthorized", body=NO_KEY, headers=NO_TYPE)
        key = bearer(headers)
        if not key:
            raise provider_error("unauthorized", WRONG_SCHEME)
        return key

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        self.need_json(http_request)
        request = super().parse(http_request, key)
        if not http_request.path.startswith("/beta/") and any(message.prefix for message in request.messages):
            raise self.bad_request(
                'prefix is only available when using beta api (set base_url="https://api.deepseek.com/beta")'
            )
        served = self.served_model(request.model)
        return request if served == request.model else replace(request, served=served)

    def need_json(self, http_request: HttpRequest) -> None:
        """Raises ProviderError for a body that isn't declared as JSON."""
        if not is_json(http_request.headers.get("content-type", "")):
            raise provider_error("unsupported_media_type")

    def not_fitting(self, message: str) -> Exception:
        return provider_error("bad_request", message, headers={"content-type": "application/json"})

    def validation_errors(self, body: DeepSeekBody) -> Iterator[str | None]:
        yield self.complaint_of_model(body.model)
        yield from super().validation_errors(body)
        if body.model == R1 and self.is_of_2025(R1):
            yield complaint_of_r1(body.messages)

    def prompt_texts(self, request: ModelRequest) -> tuple[int, Any]:
        if request.http_request.dialect == GAP:
            return 0, [request.messages[0].content, request.body.get("suffix") or ""]
        return super().prompt_texts(request)

    # The answer

    def adapt(self, reply: Reply, request: ModelRequest) -> Reply:
        """A request that continues the beginning of an answer does not think."""
        last = request.messages[-1]
        if last.prefix and last.content:
            return reply.without_thoughts()
        return super().adapt(reply, request)

    def make_id(self, entropy: bytes) -> str:
        return str(UUID(bytes=entropy[:16], version=4))

    def request_id(self, received: float, entropy: bytes) -> str:
        return entropy[16:32].hex()

    def response_headers(self, request_id: str) -> tuple[Header, ...]:
        return (
            (b"server", b"openresty"),
            (b"vary", b"origin, access-control-request-method, access-control-request-headers"),
            (b"access-control-allow-credentials", b"true"),
            (b"x-ds-trace-id", request_id.encode()),
            (b"strict-transport-security", b"max-age=31536000; includeSubDomains; preload"),
            (b"x-content-type-options", b"nosniff"),
        )

    def listing(self, request: ModelRequest, balance: Decimal | None = None) -> Any:
        if request.http_request.operation == "balance":
            rows = self.settings.balance if balance is None else (balance_of_account(balance),)
            return {"is_available": any(float(row["total_balance"]) > 0 for row in rows), "balance_infos": rows}
        if request.http_request.operation == "count_tokens":
            return super().listing(request, balance)
        return {"object": "list", "data": [self.row(name) for name in self.names]}

    # Errors

    def error(self, reply: ErrorReply, http_request: HttpRequest | None = None, request_id: str = "") -> PlannedBody:
        if reply.message is None and reply.body is None:
            key = self.credential(http_request.headers) if http_request is not None else None
            if reply.name == "unauthorized" and key:
                reply = replace(reply, message=f"Authentication Fails, Your api key: ****{key[-4:]} is invalid")
            elif reply.name in ("not_found", "method_not_allowed"):
                reply = replace(reply, body="", headers={**NO_TYPE, **reply.headers})
            elif reply.name == "unsupported_media_type":
                reply = replace(reply, body=WRONG_TYPE, headers={**PLAIN, **reply.headers})
        return super().error(reply, http_request, request_id)


def is_json(content_type: str) -> bool:
    """Whether axum considers a content type to be JSON."""
    essence = content_type.partition(";")[0].strip().lower()
    return essence.startswith("application/") and (essence == "application/json" or essence.endswith("+json"))


def complaint_of_r1(messages: Any) -> str | None:
    """Returns what R1 didn't support in 2025; None if there is nothing."""
    for index, (message, following) in enumerate(pairwise(messages)):
        if message.role == following.role and message.role in ("user", "assistant"):
            return (
                f"deepseek-reasoner does not support successive user or assistant messages (messages[{index}] and "
                f"messages[{index + 1}] in your input). You should interleave the user/assistant messages in the "
                "message sequence."
            )
    if messages and messages[-1].role in ("assistant", "system") and not messages[-1].prefix:
        return (
            "The last message of deepseek-reasoner must be a user message, or an assistant message with prefix mode on "
            "(refer to https://api-docs.deepseek.com/guides/chat_prefix_completion)."
        )
    return None
