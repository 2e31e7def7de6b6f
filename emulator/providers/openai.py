"""OpenAI's API on api.openai.com: chats, responses, embeddings, moderations, models; also under Azure's paths.

What it sends is public: its reference, the types of its SDKs, and what others captured; see docs/providers.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Annotated, Any, ClassVar
from urllib.parse import parse_qs

import orjson
from pydantic import ValidationError

from emulator import large, seeded
from emulator.dialects.base import Dialect, Habits, provider_error
from emulator.dialects.chat_input import BodyType, Strict
from emulator.dialects.embeddings import Embeddings, counted, inputs_of
from emulator.dialects.parameters import IGNORED
from emulator.providers import openai_words as words
from emulator.providers.base import (
    Allowance,
    ErrorSpec,
    Limits,
    NameList,
    Operation,
    Price,
    Provider,
    Settings,
    bearer,
)
from emulator.providers.deepseek_messages import with_search
from emulator.providers.openai_completions import OpenAIChat
from emulator.providers.openai_models import (
    DIMENSIONS,
    FINE_TUNED,
    MODELS,
    base_of,
    context_of,
    price_of,
)
from emulator.providers.openai_responses import OpenAIResponses
from emulator.providers.openai_words import Bounds, wrong
from emulator.reply import Completion, ErrorReply, Reply
from emulator.request import Controls, HttpRequest, Message, ModelRequest
from emulator.wire import Header, PlannedBody

ORGANIZATION = "org-emulator"
PROJECT = "proj_emulator"
REQUESTS, TOKENS = 10_000, 30_000_000
"""The default limits per minute."""
PER_MESSAGE, PER_ANSWER, PER_IMAGE = 4, 3, 85
"""Tokens around each message (the role is one of them), before the answer, and for each image: OpenAI's own recipe."""
MAX_INPUTS, MAX_INPUT_TOKENS = 2048, 8192
CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip
OF_IMAGES = ("self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "violence", "violence/graphic")
"""The categories that images are looked at for."""
CREATED = 1_700_000_000
QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
)
LEARN = "Visit https://platform.openai.com/account/rate-limits to learn more."


def call_id(entropy: seeded.Entropy, index: int, number: int) -> str:
    """The id of a tool call."""
    return f"call_{seeded.alphanumeric(24, 'tool_call', entropy, index, number)}"


class OpenAISettings(Settings):
    models: NameList | None = MODELS
    """The available models, including their fine-tuned versions; null accepts any name."""
    strict_members: bool = True
    """Whether to reject members that OpenAI doesn't know; many compatible servers ignore them."""
    obfuscation: bool = True
    """Whether events are padded to equal lengths if the request doesn't say."""
    requests_per_minute: int | None = None
    """The requests per key and model; null reports 10,000 and enforces nothing."""
    tokens_per_minute: int | None = None
    """The tokens per key and model; null reports 30,000,000 and enforces nothing."""


class InputBody(Strict):
    """What is to be looked at."""

    model: str = ""
    input: Any = None


class EmbeddingsBody(InputBody):
    """What is to be embedded."""

    dimensions: int | None = None
    encoding_format: str | None = None
    user: Annotated[str | None, IGNORED] = None


class OpenAIEmbeddings(Embeddings):
    """`POST /v1/embeddings`"""

    Body: ClassVar[type[EmbeddingsBody]] = EmbeddingsBody
    plain_dimensions: ClassVar[Mapping[str, int]] = DIMENSIONS

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        native, body = read(self.provider, http_request, EmbeddingsBody)
        model = self.provider.model_of(http_request, body.model)
        complaint = next(filter(None, self.complaints(body, model)), None)
        if complaint is not None:
            raise complaint
        inputs = inputs_of(body.input)
        messages = tuple([Message("user", each if isinstance(each, str) else "") for each in inputs])
        return ModelRequest(http_request, model, messages, False, Controls(), key, native)

    def complaints(self, body: EmbeddingsBody, model: str) -> Iterator[Exception | None]:
        if body.input is None:
            yield words.missing("input")
        if not is_input(body.input):
            yield wrong(
                "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
            )
        inputs = inputs_of(body.input)
        if not inputs or not all(len(each) for each in inputs):
            yield wrong("Invalid 'input': input cannot be an empty string or an empty array.", None, "input")
        if len(inputs) > MAX_INPUTS:
            yield words.too_many("input", len(inputs), MAX_INPUTS)
        for number, each in enumerate(inputs):
            if len(each) > MAX_INPUT_TOKENS and next(counted([each])) > MAX_INPUT_TOKENS:
                yield wrong(
                    f"Invalid 'input[{number}]': maximum context length is {MAX_INPUT_TOKENS} tokens.", None, "input"
                )
        if body.encoding_format not in (None, "float", "base64"):
            yield words.not_one_of("encoding_format", body.encoding_format, ("float", "base64"))
        most = DIMENSIONS.get(base_of(model), DIMENSIONS["text-embedding-3-large"])
        yield Bounds("dimensions", 1, most, "integer").complaint(body)
        if body.dimensions is not None and model == "text-embedding-ada-002":
            yield wrong("This model does not support specifying dimensions.", None, "dimensions")


class Moderations(Dialect):
    """`POST /v1/moderations`: flags only the categories in a rule's reply, separated by commas."""

    Body: ClassVar[type[InputBody]] = InputBody
    dialect = "moderations"

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        native, body = read(self.provider, http_request, InputBody)
        if body.input is None:
            raise words.missing("input")
        model = self.provider.model_of(http_request, body.model or "omni-moderation-latest")
        messages = tuple([Message("user", text) for text, _ in looked_at(body.input)])
        return ModelRequest(http_request, model, messages, False, Controls(), key, native)

    def make_id(self, entropy: bytes) -> str:
        return f"modr-{seeded.letters(entropy, 29)}"

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        named = [name.strip() for name in completion.choices[0].content.split(",")]
        return self.judged(completion.id, request, [name for name in named if name in CATEGORIES])

    def result(self, request: ModelRequest) -> Any:
        return self.judged(self.make_id(seeded.digest("moderation", request.http_request.body)), request, ())

    def judged(self, id: str, request: ModelRequest, flagged: Sequence[str]) -> Any:
        rows = []
        for text, has_images in looked_at(request.body.get("input")):
            scores = {name: seeded.fraction("moderation", text, name) for name in CATEGORIES}
            rows.append(
                {
                    "flagged": bool(flagged),
                    "categories": {name: name in flagged for name in CATEGORIES},
                    "category_scores": {
                        name: round(0.9 + score / 10 if name in flagged else score / 1000, 9)
                        for name, score in scores.items()
                    },
                    "category_applied_input_types": {
                        name: ["text", "image"] if has_images and name in OF_IMAGES else ["text"] for name in CATEGORIES
                    },
                }
            )
        return {"id": id, "model": request.model, "results": rows}


class OpenAI(Provider):
    """https://api.openai.com"""

    name = "openai"
    title = "OpenAI"
    hosts = ("api.openai.com",)
    document = "OpenAI API reference (platform.openai.com)"
    auth_header = "Authorization: Bearer sk-demo"
    Settings = OpenAISettings
    settings: OpenAISettings
    shows_cache: ClassVar[bool] = True
    cache_unit: ClassVar[int] = 128
    cache_from: ClassVar[int] = 1024
    habits: ClassVar[Habits] = Habits(call_id=call_id)
    operations = (
        Operation("chat", "POST", "/v1/chat/completions", "a chat completion", "public"),
        Operation("responses", "POST", "/v1/responses", "a response", "public", dialect="responses"),
        Operation(
            "input_tokens", "POST", "/v1/responses/input_tokens", "the tokens of a request", "public",
            is_completion=False, dialect="responses",
        ),
        Operation(
            "get_response", "GET", "/v1/responses/{response_id}", "a stored response", "public",
            is_completion=False, dialect="responses",
        ),
        Operation(
            "delete_response", "DELETE", "/v1/responses/{response_id}", "forget it", "public",
            is_completion=False, dialect="responses",
        ),
        Operation(
            "cancel_response", "POST", "/v1/responses/{response_id}/cancel", "cancel a background response", "public",
            is_completion=False, dialect="responses",
        ),
        Operation(
            "input_items", "GET", "/v1/responses/{response_id}/input_items", "the input of a response", "public",
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
        Operation("chat", "POST", "/deployments/{deployment}/chat/completions", "a chat on Azure's path", "public"),
        Operation("chat", "POST", "/openai/deployments/{deployment}/chat/completions", "the same", "public"),
        Operation("responses", "POST", "/responses", "a response on Azure's path", "public", dialect="responses"),
        Operation("responses", "POST", "/openai/responses", "the same", "public", dialect="responses"),
        Operation(
            "embeddings", "POST", "/deployments/{deployment}/embeddings", "embeddings on Azure's path", "public",
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
    dialects: ClassVar[Mapping[str, type[Dialect]]] = {
        "chat_completions": OpenAIChat,
        "responses": OpenAIResponses,
        "embeddings": OpenAIEmbeddings,
        "moderations": Moderations,
    }
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

    # The way in

    def credential(self, headers: Mapping[str, str]) -> str | None:
        return bearer(headers) or headers.get("api-key")

    def model_of(self, http_request: HttpRequest, sent: str) -> str:
        """The model that is asked for; at Azure the deployment. Raises ProviderError."""
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
        """The body as JSON. Raises ProviderError."""
        try:
            native = large.loads(http_request.body)
        except orjson.JSONDecodeError:
            raise wrong(words.NOT_JSON) from None
        if not isinstance(native, dict):
            raise wrong(words.NOT_JSON)
        return native

    def with_search(self, reply: Reply, request: ModelRequest) -> Reply:
        """The reply with what a search found."""
        return with_search(reply, request)

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

    def response_headers(self, request_id: str) -> tuple[Header, ...]:
        duration = 80 + seeded.roll("duration", request_id) % 400
        return (
            (b"x-request-id", request_id.encode()),
            (b"openai-processing-ms", b"%d" % duration),
            (b"openai-version", b"2020-10-01"),
            (b"openai-organization", ORGANIZATION.encode()),
            (b"openai-project", PROJECT.encode()),
        )

    def limits(self, request: ModelRequest) -> Limits | None:
        if request.http_request.method != "POST":
            return None
        requests, tokens = self.settings.requests_per_minute, self.settings.tokens_per_minute
        return Limits(
            REQUESTS if requests is None else requests,
            TOKENS if tokens is None else tokens,
            is_enforced=requests is not None or tokens is not None,
        )

    def limit_headers(self, left: Allowance, now: float) -> tuple[Header, ...]:
        rows = (("requests", left.requests), ("tokens", left.tokens))
        headers = [
            *[(f"x-ratelimit-limit-{name}", str(row.limit)) for name, row in rows],
            *[(f"x-ratelimit-remaining-{name}", str(row.left)) for name, row in rows],
            *[(f"x-ratelimit-reset-{name}", duration(row.reset)) for name, row in rows],
        ]
        return tuple([(name.encode(), value.encode()) for name, value in headers])

    def over_limit(self, request: ModelRequest, left: Allowance, seconds: float) -> ErrorReply:
        is_requests = left.requests.left < 1
        row = left.requests if is_requests else left.tokens
        kind, unit = ("requests", "requests per min (RPM)") if is_requests else ("tokens", "tokens per min (TPM)")
        message = (
            f"Rate limit reached for {request.model} in organization {ORGANIZATION} on {unit}: Limit {row.limit}, Used "
            f"{row.limit - row.left}, Requested 1. Please try again in {duration(seconds)}. {LEARN}"
        )
        wait = {"retry-after": str(ceil(seconds)), "retry-after-ms": str(ceil(seconds * 1000))}
        return ErrorReply(name="rate_limited", message=message, type=kind, headers=wait)

    def rate_limit_message(self, requests: int | None, seconds: float | None) -> str | None:
        if requests is None:
            return None
        unit = {60.0: "requests per min (RPM)", 86400.0: "requests per day (RPD)"}.get(seconds or 0, "requests")
        return (
            f"Rate limit reached in organization {ORGANIZATION} on {unit}: Limit {requests}, Used {requests}, "
            f"Requested 1. {LEARN}"
        )

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

    # Refusals

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


def read(provider: Any, http_request: HttpRequest, model: type[BodyType]) -> tuple[dict[str, Any], BodyType]:
    """A body that holds an input. Raises ProviderError."""
    native = provider.json_of(http_request)
    if provider.settings.strict_members:
        unknown = [name for name in native if name not in model.model_fields]
        if unknown:
            raise wrong(f"Unrecognized request argument supplied: {', '.join(unknown)}")
    try:
        return native, model.model_validate(native)
    except ValidationError as error:
        raise words.misfit(error.errors(include_url=False)[0]) from None


def is_input(value: Any) -> bool:
    """Whether it is a text, a list of texts, a list of tokens, or a list of such lists."""
    if not isinstance(value, list):
        return isinstance(value, str)
    kinds = {type(each) for each in value}
    if kinds == {list}:
        return all({type(token) for token in each} <= {int} for each in value)
    return kinds <= {str} or kinds == {int}


def looked_at(value: Any) -> list[tuple[str, bool]]:
    """Each text of a moderation, and whether images go with it."""
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        texts = [str(each.get("text") or "") for each in value if each.get("type") == "text"]
        return [("".join(texts), len(texts) < len(value))]
    return [(str(each), False) for each in (value if isinstance(value, list) else [value])]


def model_row(name: str) -> dict[str, Any]:
    """A model as the list tells it."""
    created = CREATED + seeded.roll("created", name) % 60_000_000
    return {"id": name, "object": "model", "created": created, "owned_by": "system"}


def duration(seconds: float) -> str:
    """A span of time as OpenAI writes it: `17ms`, `1s`, `6m0s`."""
    milliseconds = ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    shown = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes or hours else "") + shown


def masked(key: str) -> str:
    """A key as an error shows it."""
    return key if len(key) <= 8 else f"{key[:4]}{'*' * min(len(key) - 8, 24)}{key[-4:]}"
