"""The requests and responses of the control API: models that validate input and from which `openapi.json` is made."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from emulator.pace import FASTEST, SLOWEST
from emulator.state.namespace import ClockMode

MAX_WAIT = 600.0
"""The most seconds that a request may wait for exchanges."""
MAX_AMOUNT = Decimal(10) ** 12
Amount = Annotated[
    Decimal,
    Field(strict=False, allow_inf_nan=False, ge=-MAX_AMOUNT, le=MAX_AMOUNT),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,12})?$"},
                {"type": "number", "minimum": -int(MAX_AMOUNT), "maximum": int(MAX_AMOUNT)},
            ]
        }
    ),
]
Name = Annotated[str, Field(min_length=1, max_length=256)]


class Given(BaseModel):
    """Input from a client."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Answer(BaseModel):
    """A response, which may have more members than described."""

    model_config = ConfigDict(extra="allow")


# URLs


class InNamespace(Given):
    """Selects a namespace."""

    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")] | None = None
    """The namespace; by default, the one in the path, or `default`."""


Number = Annotated[int, Field(strict=False)]


class Selection(InNamespace):
    """Selects exchanges. All given filters must match."""

    provider: Name | None = None
    """A provider's name."""
    rule: Name | None = None
    """The name of the rule that answered."""
    status: Annotated[str, Field(pattern=r"^[1-5]([0-9][0-9]|xx)$")] | None = None
    """A status, such as `429`, or a class, such as `4xx`."""
    outcome: Literal["reply", "generated", "listing", "error"] | None = None
    """The kind of answer."""
    model: Name | None = None
    """The requested model."""
    since: Annotated[Number, Field(ge=0)] | None = None
    """Only exchanges with larger numbers."""
    limit: Annotated[Number, Field(ge=1, le=10_000)] | None = None
    """Only the last ones, at most this many."""


class Waiting(Selection):
    """The exchanges to wait for."""

    count: Annotated[Number, Field(ge=1, le=1000)] = 1
    """How many matching exchanges must have ended."""
    timeout: Annotated[float, Field(strict=False, ge=0, le=MAX_WAIT)] = 30.0
    """Seconds until the response is 408."""


class VerdictQuery(InNamespace):
    """Expectations of the client for which no standard gives a number."""

    silence: Annotated[float, Field(strict=False, gt=0, le=86400)] = 60.0
    """Seconds without a byte after which the client should have given up."""
    first_token: Annotated[float, Field(strict=False, gt=0, le=86400)] = 120.0
    """Seconds without a token after which the client should have given up, even if it received other bytes."""


class Exporting(Selection):
    """The exchanges to export, and the format."""

    format: Literal["jsonl", "har", "curl"] = "jsonl"
    """`jsonl`: one exchange per line; `har`: an HTTP archive; `curl`: a shell script that sends the requests again."""


# Bodies


class FaultBody(Given):
    """A fault to add."""

    fault: str | Annotated[int, Field(ge=100, le=599)] | dict[str, Any]
    """As in a scenario: `reset:after_tokens=5`, or a mapping with its `kind`."""
    times: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """How many times it applies before it is used up; by default, the fault's own `times`, or no limit."""


class ScenarioText(Given):
    """A scenario as the text of a file."""

    text: Annotated[str, Field(max_length=10 * 2**20)]
    """The text."""
    format: Literal["yaml", "json", "toml"] = "yaml"
    """The format of the text."""


class BalanceBody(Given):
    """The new balance of an account."""

    balance: Amount | None
    """In USD; null means unlimited."""


class TopUpBody(Given):
    """An amount to add to an account."""

    amount: Amount
    """In USD."""


class ClockBody(Given):
    """What moves a clock."""

    mode: ClockMode
    """`real`; `virtual`: time skips ahead whenever everything is waiting; `manual`: only `advance` moves it."""


class SpeedBody(Given):
    """The speed of answers."""

    speed: Annotated[float, Field(ge=SLOWEST, le=FASTEST)] | None
    """Multiplies all paces; null removes all delays."""


class AdvanceBody(Given):
    """How far to advance a clock."""

    seconds: Annotated[float, Field(ge=0, le=100 * 366 * 86400)]
    """Seconds."""


class NamespaceBody(Given):
    """The initial configuration of a namespace."""

    scenario: Annotated[ScenarioText | dict[str, Any] | None, Field(union_mode="left_to_right")] = None
    """A scenario as JSON, or the text of one; by default, the server's."""
    seed: int | None = None
    """Overrides the scenario's seed."""


class ResetBody(Given):
    """An empty body."""


class BookedUsage(Given):
    """The tokens that a client has counted."""

    prompt: Annotated[int, Field(ge=0)] = 0
    completion: Annotated[int, Field(ge=0)] = 0


class AcknowledgeBody(Given):
    """How an exchange ended for the client, identified by its number or by the id in the response."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
                for name in ("number", "exchange", "id")
            ]
        }
    )

    number: Annotated[int, Field(ge=1)] | None = None
    """The number of the exchange."""
    exchange: Annotated[int, Field(ge=1)] | None = None
    """Another name of `number`."""
    id: Name | None = None
    """The id in the response's body or headers, or the request's idempotency key."""
    outcome: Name
    """How it ended for the client: `complete`, `partial` or `failed`; other values, such as `gave_up`, are also kept.
    """
    text: Annotated[str, Field(max_length=65536)] | None = None
    """The text that the client received."""
    error: Annotated[str, Field(max_length=2048)] | None = None
    """The error that the client raised."""
    usage: BookedUsage | None = None
    """The tokens that the client has counted for it."""

    @model_validator(mode="after")
    def _names_an_exchange(self) -> "AcknowledgeBody":
        if sum(each is not None for each in (self.number, self.exchange, self.id)) != 1:
            raise ValueError("needs exactly one of number, exchange and id")
        return self


# Responses


class ProblemRow(Answer):
    """One problem."""

    path: str
    line: int
    """Counted from 1; 0 if unknown."""
    column: int
    message: str


class ErrorAnswer(Answer):
    """Why a request was rejected."""

    error: str
    """One sentence: what was found, and how to fix it."""
    problems: list[ProblemRow] = []
    """All problems in the input; omitted if there are none."""


class Usage(Answer):
    """Tokens."""

    prompt: int
    completion: int
    total: int
    reasoning: int
    cached: int


class ExchangeRow(Answer):
    """An exchange as shown in lists. docs/journal.md describes every field."""

    number: int
    namespace: str
    provider: str | None
    path: str
    model: str
    rule: str | None
    outcome: str
    status: int
    usage: Usage | None
    tokenizer: str | None
    is_estimate: bool
    cost: str
    ended: str | None
    ignored: list[str]


class ExchangeAnswer(ExchangeRow):
    """Everything about an exchange."""

    misses: list[str]
    request: dict[str, Any]
    response: dict[str, Any]
    frames: list[dict[str, Any]]


class Exchanges(Answer):
    """Exchanges, oldest first."""

    exchanges: list[ExchangeRow]


class FindingRow(Answer):
    """Something that the client did wrong."""

    code: str
    """docs/verdict.md explains each."""
    severity: Literal["MUST", "SHOULD"]
    exchanges: list[int]
    """The exchanges that show it."""
    explanation: str
    fix: str
    """What to change in the client."""


class UnknownRow(Answer):
    """Something that the journal can't show."""

    code: str
    exchanges: list[int]
    needs: str
    """How to make it visible."""


class VerdictAnswer(Answer):
    """What the journal shows about the client."""

    findings: list[FindingRow]
    unknown: list[UnknownRow]


class RuleRow(Answer):
    """A rule."""

    id: str | None
    """The id for removing it; null for the scenario's own rules."""
    name: str
    origin: str
    added: bool
    used: int
    """How many times it has answered."""
    rule: dict[str, Any]


class Rules(Answer):
    """The rules in the order in which they are tried: added ones first."""

    rules: list[RuleRow]


class FaultRow(Answer):
    """A fault that applies to future requests."""

    id: str
    kind: str
    fault: dict[str, Any]
    source: Literal["live", "queue"]
    times: int | None
    seen: int
    applied: int


class FaultRows(Answer):
    """The added faults that are not used up."""

    faults: list[FaultRow]


class Id(Answer):
    """The id of what was created."""

    id: str


class Removed(Answer):
    """The number of removed items."""

    removed: int


class AccountRow(Answer):
    """An account."""

    provider: str | None
    """null means any provider."""
    key: str
    """The key; a long one is shown only by its end."""
    balance: str | None
    """In USD; null means unlimited."""


class Accounts(Answer):
    """The accounts of a namespace."""

    accounts: list[AccountRow]


class Time(Answer):
    """The time, and what moves the clock."""

    mode: ClockMode
    now: float
    """Unix seconds."""


class Speed(Answer):
    """The speed multiplier for all paces of the server."""

    speed: float | None
    """null means that all delays are removed."""


class NamespaceRow(Answer):
    """A namespace."""

    name: str
    exchanges: int
    clock: ClockMode
    state: str
    seed: int
    scenario: str
    """The name of its scenario."""


class NamespaceRows(Answer):
    """All namespaces."""

    namespaces: list[NamespaceRow]


class Status(Answer):
    """The status."""

    status: str
    problems: list[str] = []


class VersionAnswer(Answer):
    """The emulator's version."""

    version: str
    python: str
    workers: int


class ProvidersAnswer(Answer):
    """The base URL of each provider."""

    providers: dict[str, str]


class Distribution(Answer):
    """A distribution of durations, in milliseconds."""

    count: int
    p50: float
    p99: float
    max: float


class TimingAnswer(Answer):
    """How punctually frames were sent."""

    lateness_ms: Distribution
    stream_too_long_ms: Distribution
    loop_lag_ms: Distribution


class Anything(Answer):
    """A JSON object."""
