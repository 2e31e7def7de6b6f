"""What the control API takes and gives: the models that validate requests, and that `openapi.json` is made of."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from emulator.pace import FASTEST, SLOWEST
from emulator.state.namespace import ClockMode

MAX_WAIT = 600.0
"""Seconds that a request may wait for exchanges."""
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
    """Something that a client sends."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Answer(BaseModel):
    """Something that a client gets. More may stand in it than is described."""

    model_config = ConfigDict(extra="allow")


# What is in URLs


class InNamespace(Given):
    """Which namespace is meant."""

    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")] | None = None
    """The namespace; the one in the path, else `default`, when left out."""


Number = Annotated[int, Field(strict=False)]


class Selection(InNamespace):
    """Which exchanges are meant. What is left out, does not matter."""

    provider: Name | None = None
    """A provider's name."""
    rule: Name | None = None
    """The name of the rule that answered."""
    status: Annotated[str, Field(pattern=r"^[1-5]([0-9][0-9]|xx)$")] | None = None
    """A status, such as `429`, or a class of them, such as `4xx`."""
    outcome: Literal["reply", "generated", "listing", "error"] | None = None
    """What the answer was."""
    model: Name | None = None
    """The model that was asked for."""
    since: Annotated[Number, Field(ge=0)] | None = None
    """Only exchanges with larger numbers."""
    limit: Annotated[Number, Field(ge=1, le=10_000)] | None = None
    """At most so many: the last ones."""


class Waiting(Selection):
    """What to wait for."""

    count: Annotated[Number, Field(ge=1, le=1000)] = 1
    """How many exchanges have to match, and to be over."""
    timeout: Annotated[float, Field(strict=False, ge=0, le=MAX_WAIT)] = 30.0
    """Seconds after which the answer is 408."""


class VerdictQuery(InNamespace):
    """What is expected of the client where no standard gives a number."""

    silence: Annotated[float, Field(strict=False, gt=0, le=86400)] = 60.0
    """Seconds without a byte after which it should have given up."""
    first_token: Annotated[float, Field(strict=False, gt=0, le=86400)] = 120.0
    """Seconds without a token after which it should have given up, whatever else came."""


class Exporting(Selection):
    """What to export, and how."""

    format: Literal["jsonl", "har", "curl"] = "jsonl"
    """`jsonl`: one exchange a line; `har`: an HTTP archive; `curl`: a shell script that sends the requests again."""


# What is in bodies


class FaultBody(Given):
    """A fault to arm."""

    fault: str | Annotated[int, Field(ge=100, le=599)] | dict[str, Any]
    """As in a scenario: `reset:after_tokens=5`, or a mapping with its `kind`."""
    times: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """How often it strikes before it is spent; what the fault itself says, else always, when left out."""


class ScenarioText(Given):
    """A scenario as the text of a file."""

    text: Annotated[str, Field(max_length=10 * 2**20)]
    """The text."""
    format: Literal["yaml", "json", "toml"] = "yaml"
    """How it is written."""


class BalanceBody(Given):
    """What is to be left on an account."""

    balance: Amount | None
    """In USD; null: unlimited."""


class TopUpBody(Given):
    """What is to be added to an account."""

    amount: Amount
    """In USD."""


class ClockBody(Given):
    """What is to move a clock."""

    mode: ClockMode
    """`real`; `virtual`: time leaps ahead whenever everything only waits; `manual`: `advance` moves it."""


class SpeedBody(Given):
    """How fast answers are to come."""

    speed: Annotated[float, Field(ge=SLOWEST, le=FASTEST)] | None
    """All paces are multiplied by it; null: everything comes at once."""


class AdvanceBody(Given):
    """How much time is to pass."""

    seconds: Annotated[float, Field(ge=0, le=100 * 366 * 86400)]
    """Seconds."""


class NamespaceBody(Given):
    """What a namespace starts with."""

    scenario: dict[str, Any] | ScenarioText | None = None
    """A scenario as JSON, or the text of one; that of the server when left out."""
    seed: int | None = None
    """Replaces the scenario's."""


class ResetBody(Given):
    """Nothing more is to be said."""


class BookedUsage(Given):
    """The tokens that a client has booked."""

    prompt: Annotated[int, Field(ge=0)] = 0
    completion: Annotated[int, Field(ge=0)] = 0


class AcknowledgeBody(Given):
    """How the client saw an exchange end. It is found by its number, or by the id that the response carried."""

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
    """The id in the body or the headers of the response, or the idempotency key of the request."""
    outcome: Name
    """How it ended for the client: `complete`, `partial` or `failed`; other words, such as `gave_up`, are kept too."""
    text: Annotated[str, Field(max_length=65536)] | None = None
    """What the client understood of the answer."""
    error: Annotated[str, Field(max_length=2048)] | None = None
    """The error that the client raised."""
    usage: BookedUsage | None = None
    """The tokens that the client has booked for it."""

    @model_validator(mode="after")
    def _names_an_exchange(self) -> "AcknowledgeBody":
        if sum(each is not None for each in (self.number, self.exchange, self.id)) != 1:
            raise ValueError("needs exactly one of number, exchange and id")
        return self


# What comes back


class ProblemRow(Answer):
    """One thing that is wrong."""

    path: str
    line: int
    """From 1; 0: there is no position."""
    column: int
    message: str


class ErrorAnswer(Answer):
    """Why a request is refused."""

    error: str
    """One sentence: what was found, and what would do."""
    problems: list[ProblemRow] = []
    """Everything that is wrong with what was sent; left out when there is no more to say."""


class Usage(Answer):
    """Tokens."""

    prompt: int
    completion: int
    total: int
    reasoning: int
    cached: int


class ExchangeRow(Answer):
    """An exchange as it stands in lists. docs/journal.md has every field."""

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
    """Everything that is known of an exchange."""

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
    """Something that the journal cannot know."""

    code: str
    exchanges: list[int]
    needs: str
    """What would make it known."""


class VerdictAnswer(Answer):
    """What the journal shows of the client."""

    findings: list[FindingRow]
    unknown: list[UnknownRow]


class RuleRow(Answer):
    """A rule, in the order of trying."""

    id: str | None
    """By which it can be removed; null: it stands in the scenario."""
    name: str
    origin: str
    added: bool
    used: int
    """How often it has answered."""
    rule: dict[str, Any]


class Rules(Answer):
    """The rules in the order of trying: those that were added first."""

    rules: list[RuleRow]


class FaultRow(Answer):
    """A fault that waits for requests."""

    id: str
    kind: str
    fault: dict[str, Any]
    source: Literal["live", "queue"]
    times: int | None
    seen: int
    applied: int


class FaultRows(Answer):
    """The faults that were armed and are not spent."""

    faults: list[FaultRow]


class Id(Answer):
    """By which what was made can be found again."""

    id: str


class Removed(Answer):
    """How many were removed."""

    removed: int


class AccountRow(Answer):
    """An account."""

    provider: str | None
    """null: any provider."""
    key: str
    """The key, of a long one only its end."""
    balance: str | None
    """In USD; null: unlimited."""


class Accounts(Answer):
    """The accounts of a namespace."""

    accounts: list[AccountRow]


class Time(Answer):
    """What time it is, and what moves it."""

    mode: ClockMode
    now: float
    """Unix seconds."""


class Speed(Answer):
    """How many times as fast all paces of the server are."""

    speed: float | None
    """null: everything comes at once."""


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
    """All namespaces that there are."""

    namespaces: list[NamespaceRow]


class Status(Answer):
    """How it is."""

    status: str
    problems: list[str] = []


class VersionAnswer(Answer):
    """Which emulator this is."""

    version: str
    python: str
    workers: int


class ProvidersAnswer(Answer):
    """The base URL of each provider."""

    providers: dict[str, str]


class Distribution(Answer):
    """How durations are spread, in milliseconds."""

    count: int
    p50: float
    p99: float
    max: float


class TimingAnswer(Answer):
    """How well the moments of frames were kept."""

    lateness_ms: Distribution
    stream_too_long_ms: Distribution
    loop_lag_ms: Distribution


class Anything(Answer):
    """A JSON object."""
