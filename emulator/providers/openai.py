"""OpenAI's API on api.openai.com: chat, responses, embeddings, moderations, models; also under Azure's paths.

Its wire format is public: the API reference, the types in the SDKs, and captured traffic; see docs/providers.md.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qs

import orjson

from emulator import large, seeded
from emulator.dialects.base import Dialect, Habits, provider_error
from emulator.plugins import Lazy
from emulator.providers import openai_words as words
from emulator.providers.base import ErrorSpec, Operation, Price, bearer
from emulator.providers.openai_limits import LEARN, ORGANIZATION, OpenAILimits
from emulator.providers.openai_models import FINE_TUNED, MODELS, base_of, context_of, price_of
from emulator.providers.openai_settings import OpenAISettings
from emulator.providers.openai_words import wrong
from emulator.reply import ErrorReply
from emulator.request import HttpRequest, ModelRequest
from emulator.wire import PlannedBody

PER_MESSAGE, PER_ANSWER, PER_IMAGE = 4, 3, 85
"""The tokens around each message (including the role), before the answer, and for each image, as OpenAI documents them.
"""
CREATED = 1_700_000_000
QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
)


def call_id(entropy: seeded.Entropy, index: int, number: int) -> str:
    """Returns the id of a tool call."""
    return f"call_{seeded.alphanumeric(24, 'tool_call', entropy, index, number)}"


class OpenAI(OpenAILimits):
    """https://api.openai.com"""

    name = "openai"
    title = "OpenAI"
    hosts = ("api.openai.com",)
    document = "OpenAI API reference (platform.openai.com)"
    auth_header = "Authorization: Bearer sk-demo"
    Settings = OpenAISettings
    shows_cache: ClassVar[bool] = True
    cache_unit: ClassVar[int] = 128
    cache_from: ClassVar[int] = 1024
    habits: ClassVar[Habits] = Habits(call_id=call_id)
    operations = (
        Operation("chat", "POST", "/v1/chat/completions", "a chat completion", "public"),
        Operation("responses", "POST", "/v1/responses", "a response", "public", dialect="responses"),
        Operation(
            "input_tokens", "POST", "/v1/responses/input_tokens", "the token count of a request", "public",
            is_completion=False, dialect="responses",
        ),
        Operation(
            "get_response", "GET", "/v1/responses/{response_id}", "a stored response", "public",
            is_completion=False, dialect="responses",
        ),
        Operation(
            "delete_response", "DELETE", "/v1/responses/{response_id}", "deletes a stored response", "public",
            is_completion=False, dialect="responses",
        ),
        Operation(
            "cancel_response", "POST", "/v1/responses/{response_id}/cancel", "cancels a background response", "public",
            is_completion=False, dialect="responses",
        ),
        Operation(
            "input_items", "GET", "/v1/responses/{response_id}/input_items", "the input of a stored response", "public",
            is_completion=False, dialect="responses",
        ),
        Operation(
            "embeddings", "POST", "/v1/embeddings", "embeddings", "public",
            is_completion=False, dialect="embeddings",
        ),
        Operation(
            "moderations", "POST", "/v1/moderations", "whether a text is harmful", "public",
            is_completion=False, dialect="moderations",
        ),
        Operation("models", "GET", "/v1/models", "the list of models", "public", is_completion=False),
        Operation("model", "GET", "/v1/models/{model}", "one model", "public", is_completion=False),
        Operation("chat", "POST", "/deployments/{deployment}/chat/completions", "a chat at Azure's path", "public"),
        Operation("chat", "POST", "/openai/deployments/{deployment}/chat/completions", "the same", "public"),
        Operation("responses", "POST", "/responses", "a response at Azure's path", "public", dialect="responses"),
        Operation("responses", "POST", "/openai/responses", "the same", "public", dialect="responses"),
        Operation(
            "embeddings", "POST", "/deployments/{deployment}/embeddings", "embeddings at Azure's path", "public",
            is_completion=False, dialect="embeddings",
        ),
        Operation(
            "embeddings", "POST", "/openai/deployments/{deployment}/embeddings", "the same", "public",
            is_completion=False, dialect="embeddings",
        ),
    )  # fmt: skip
    example = (
        "/v1/chat/completions",
        {
            "model": "gpt-4o",
            "messages": [
                {"role": "developer", "content": "You are a helpful assistant."},
                {"role": "user", "content": "Hello!"},
            ],
        },
    )
    dialects: ClassVar[Mapping[str, type[Dialect[Any]]]] = Lazy(
        {
            "chat_completions": "emulator.providers.openai_completions:OpenAIChat",
            "responses": "emulator.providers.openai_responses:OpenAIResponses",
            "embeddings": "emulator.providers.openai_inputs:OpenAIEmbeddings",
            "moderations": "emulator.providers.openai_inputs:Moderations",
        }
    )
    errors: ClassVar[Mapping[str, ErrorSpec]] = {
        "unauthorized": ErrorSpec(
            401, "You didn't provide an API key. You need to provide your API key in an Authorization header using "
            "Bearer auth (i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from "
            "https://platform.openai.com/account/api-keys.", "invalid_request_error", mark="public",
        ),
        "forbidden": ErrorSpec(
            403, "Country, region, or territory not supported", "request_forbidden",
            "unsupported_country_region_territory", mark="public",
        ),
        "insufficient_balance": ErrorSpec(429, QUOTA, "insufficient_quota", "insufficient_quota", mark="public"),
        "spend_limit": ErrorSpec(429, QUOTA, "insufficient_quota", "insufficient_quota", mark="public"),
        "content_policy": ErrorSpec(
            400, "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again "
            "with a different prompt.", "invalid_request_error", "invalid_prompt", mark="public",
        ),
        "rate_limited": ErrorSpec(
            429, f"Rate limit reached in organization {ORGANIZATION} on requests per min (RPM): Limit 3, Used 3, "
            f"Requested 1. Please try again in 20s. {LEARN}", "requests", "rate_limit_exceeded", mark="public",
        ),
        "server_error": ErrorSpec(
            500, "The server had an error while processing your request. Sorry about that!", "server_error",
            mark="public",
        ),
        "overloaded": ErrorSpec(
            503, "The engine is currently overloaded, please try again later", "server_error", mark="public"
        ),
        "timeout": ErrorSpec(504, "Gateway Timeout", "server_error"),
        "bad_request": ErrorSpec(400, "Invalid request", "invalid_request_error", mark="public"),
        "model_not_found": ErrorSpec(
            404, "The model does not exist or you do not have access to it.", "invalid_request_error",
            "model_not_found", mark="public",
        ),
        "context_length": ErrorSpec(
            400, "This model's maximum context length is 128000 tokens. However, your messages resulted in 128001 "
            "tokens. Please reduce the length of the messages.", "invalid_request_error", "context_length_exceeded",
            "messages", mark="public",
        ),
        "not_found": ErrorSpec(404, "Invalid URL", "invalid_request_error", mark="public"),
        "method_not_allowed": ErrorSpec(405, "Method Not Allowed", "invalid_request_error"),
        "too_large": ErrorSpec(413, "Request body too large", "invalid_request_error"),
        "conflict": ErrorSpec(409, "The request conflicts with another one. Please try again.", "server_error"),
    }  # fmt: skip

    # Requests

    def credential(self, headers: Mapping[str, str]) -> str | None:
        return bearer(headers) or headers.get("api-key")

    def model_of(self, http_request: HttpRequest, sent: str) -> str:
        """Returns the requested model or, at Azure, the deployment. Raises ProviderError."""
        deployment = http_request.parameters.get("deployment")
        is_azure = not http_request.path.startswith("/v1/")
        if is_azure and "api-version" not in parse_qs(http_request.query):
            raise provider_error("not_found", body={"error": {"code": "404", "message": "Resource not found"}})
        if deployment is not None:
            return deployment
        if not sent:
            raise wrong("you must provide a model parameter")
        models = self.settings.models
        if (
            models is not None
            and sent not in models
            and not (sent.startswith(FINE_TUNED) and base_of(sent) in models)
            and not is_azure
        ):
            raise provider_error(
                "model_not_found", f"The model `{sent}` does not exist or you do not have access to it."
            )
        return sent

    def json_of(self, http_request: HttpRequest) -> dict[str, Any]:
        """Returns the body as parsed JSON. Raises ProviderError."""
        try:
            native = large.loads(http_request.body)
        except orjson.JSONDecodeError:
            raise wrong(words.NOT_JSON) from None
        if not isinstance(native, dict):
            raise wrong(words.NOT_JSON)
        return native

    # The answer

    def make_id(self, entropy: bytes) -> str:
        return f"chatcmpl-{seeded.letters(entropy, 29)}"

    def prompt_texts(self, request: ModelRequest) -> tuple[int, Sequence[str]]:
        fixed = PER_ANSWER
        texts: list[str] = []
        for message in request.messages:
            fixed += PER_MESSAGE + PER_IMAGE * message.images + (message.name is not None)
            texts.append(message.content)
            for call in message.tool_calls:
                texts += [call.name, call.arguments]
        for tool in request.controls.tools:
            texts += [tool.name, tool.description, orjson.dumps(tool.parameters, default=str).decode()]
        return fixed, texts

    def check_context_length(self, request: ModelRequest, prompt: int) -> None:
        most = context_of(request.model)
        if prompt > most and request.body.get("truncation") != "auto":
            param = "input" if request.http_request.dialect == "responses" else "messages"
            raise provider_error(
                "context_length",
                f"This model's maximum context length is {most} tokens. However, your messages resulted in {prompt} "
                "tokens. Please reduce the length of the messages.",
                param=param,
            )

    def request_id(self, received: float, entropy: bytes) -> str:
        return f"req_{entropy[16:32].hex()}"

    def price_of(self, model: str, moment: float) -> Price:
        return price_of(model)

    def listing(self, request: ModelRequest, balance: Any = None) -> Any:
        http_request = request.http_request
        names = MODELS if self.settings.models is None else self.settings.models
        if http_request.operation == "models":
            return {"object": "list", "data": [model_row(name) for name in names]}
        if http_request.operation == "model":
            name = http_request.parameters["model"]
            if name not in names:
                raise provider_error("model_not_found", f"The model '{name}' does not exist", param="model")
            return model_row(name)
        return super().listing(request, balance)

    # Errors

    def error(self, reply: ErrorReply, http_request: HttpRequest | None = None, request_id: str = "") -> PlannedBody:
        if http_request is not None and reply.message is None and reply.body is None:
            message = None
            key = self.credential(http_request.headers)
            if reply.name == "unauthorized" and key:
                message = (
                    f"Incorrect API key provided: {masked(key)}. You can find your API key at "
                    "https://platform.openai.com/account/api-keys."
                )
            elif reply.name == "not_found":
                message = f"Invalid URL ({http_request.method} {http_request.path})"
            elif reply.name == "method_not_allowed":
                message = f"Not allowed to {http_request.method} on {http_request.path}."
            if message is not None:
                code = "invalid_api_key" if reply.name == "unauthorized" else reply.code
                reply = ErrorReply(reply.name, reply.status, message, reply.type, code, reply.param, reply.headers)
        return super().error(reply, http_request, request_id)

    def error_body(self, row: ErrorSpec, request_id: str) -> Any:
        kind = row.type or ("server_error" if row.status >= 500 else "invalid_request_error")
        return {"error": {"message": row.message, "type": kind, "param": row.param, "code": row.code}}


def model_row(name: str) -> dict[str, Any]:
    """Returns a model as the list shows it."""
    created = CREATED + seeded.roll("created", name) % 60_000_000
    return {"id": name, "object": "model", "created": created, "owned_by": "system"}


def masked(key: str) -> str:
    """Returns a key as an error shows it."""
    return key if len(key) <= 8 else f"{key[:4]}{'*' * min(len(key) - 8, 24)}{key[-4:]}"
