"""The models of a scenario file. They are strict, so that a misspelled key is an error and isn't silently ignored.

The models hold what was written. `emulator.matching` compiles the rules for fast lookup.
"""

from decimal import Decimal
from inspect import cleandoc
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    create_model,
    model_validator,
)

from emulator.errors import did_you_mean
from emulator.faults import AnyFault
from emulator.faults.base import ErrorName
from emulator.matching.conditions import BROUGHT
from emulator.matching.conditions.values import (
    BodyConditions,
    Model,
    Names,
    Normalization,
    NumberMatch,
    ProviderName,
    ProviderNames,
    RecordedMatch,
    TextMatch,
    ToolResultCondition,
    one_or_more,
)
from emulator.pace import FASTEST, SLOWEST, Pace
from emulator.providers import PROVIDERS
from emulator.reply import ErrorReply
from emulator.scenario.fields import Count, Headers, Locale, sendable
from emulator.scenario.replies import ReplyModel

MAX_MONEY, DECIMALS = 10**12, 30
"""The largest amount in USD, and the largest number of decimal places."""


def _amount(value: Decimal) -> Decimal:
    """Raises for an amount out of range."""
    exponent = value.as_tuple().exponent
    if not value.is_finite() or value.copy_abs() > MAX_MONEY or not isinstance(exponent, int) or exponent < -DECIMALS:
        raise ValueError(f"is {value}: give an amount in USD from -{MAX_MONEY} to {MAX_MONEY}, "
                         f"with at most {DECIMALS} decimal places")  # fmt: skip
    return value


Faults = Annotated[
    tuple[AnyFault, ...],
    BeforeValidator(one_or_more, json_schema_input_type=AnyFault | tuple[AnyFault, ...]),
    Field(strict=False),
]
Seconds = Annotated[float, Field(ge=0, le=86400 * 366)]


if TYPE_CHECKING:
    BroughtConditions = Model
else:
    BroughtConditions = create_model(
        "BroughtConditions",
        __base__=Model,
        **{
            key: (condition.value_type | None, Field(default=None, description=cleandoc(condition.__doc__)))
            for key, condition in BROUGHT.items()
        },
    )
    """The keys from installed packages."""


class Match(BroughtConditions):
    """Which requests a rule answers. All given keys must hold; an empty match accepts every completion."""

    provider: ProviderNames | None = None
    """The provider's name, or several."""
    operation: Names | None = None
    """The endpoint: `chat`, `completions`, `models`, `balance`, … By default, every endpoint where a model answers."""
    model: Names | None = None
    """Globs for the model's name; `*` stands for anything."""
    prompt: TextMatch | None = None
    """The text of the last user message."""
    system: TextMatch | None = None
    """The text of all system messages, joined by newlines."""
    message: TextMatch | None = None
    """The text of any message."""
    turn: NumberMatch | None = None
    """The number of assistant messages so far, plus one."""
    messages: NumberMatch | None = None
    """The number of messages."""
    attempt: NumberMatch | None = None
    """How many times this exact request has arrived, including now."""
    tools: Names | None = None
    """Globs; each must match one of the offered functions."""
    tool_result: ToolResultCondition | None = None
    """The conversation ends with a tool result."""
    header: dict[str, TextMatch | None] | None = None
    """Request headers by name; null means that the header is absent."""
    key: TextMatch | None = None
    """The credential, without its scheme (such as `Bearer`)."""
    stream: bool | None = None
    """Whether the request asks for a stream, as the provider understands it."""
    body: BodyConditions | None = None
    """Conditions on the request body; all must hold."""
    recorded: RecordedMatch | None = None
    """The digest of a recorded request, as `emulator record` writes it."""
    state: str | None = None
    """The namespace's state: `start` until a rule sets another with `set_state`."""
    any_of: tuple["Match", ...] | None = Field(default=None, strict=False)
    """At least one of these must match."""
    all_of: tuple["Match", ...] | None = Field(default=None, strict=False)
    """All of these must match."""
    not_: "Match | None" = Field(default=None, alias="not")
    """This must not match as a whole."""
    normalize: Annotated[tuple[Normalization, ...], Field(strict=False)] | None = None
    """Differences to ignore when comparing texts; by default, the file's `defaults.normalize`."""


class ErrorModel(Model):
    """An error: a name, or any of its parts spelled out. A plain string is the name."""

    name: ErrorName | None = None
    """An error name, which each provider maps to its own status and body."""
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    """The HTTP status."""
    message: str | None = None
    """The error message."""
    type: str | None = None
    """For providers that send it."""
    code: str | None = None
    """For providers that send it."""
    param: str | None = None
    """For providers that send it."""
    headers: Headers = Field(default_factory=dict)
    """Response headers, added to the provider's own or replacing them."""
    body: Annotated[Any, AfterValidator(sendable)] = None
    """The whole body: a string is sent unchanged, anything else as JSON."""

    @model_validator(mode="after")
    def _says_what(self) -> "ErrorModel":
        if self.name is None and self.status is None:
            raise ValueError("needs a name or a status")
        return self

    def to_reply(self) -> ErrorReply:
        """Converts this to the emulator's own record."""
        return ErrorReply(**dict(self))


def _error(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


ErrorField = Annotated[ErrorModel, BeforeValidator(_error, json_schema_input_type=ErrorName | ErrorModel)]


class AnswerModel(Model):
    """One item of `replies`: a reply, an error, or the wire file of a recorded answer, alone or with its reply or
    error.
    """

    reply: ReplyModel | None = None
    """A successful answer."""
    error: ErrorField | None = None
    """An error: its name, or a mapping."""
    wire: str | None = None
    """The file of the recorded answer, relative to this one. It is replayed byte for byte unless the `reply` or
    `error` next to it has been edited.
    """
    chance: Annotated[float, Field(gt=0)] | None = None
    """A weight. If any item has one, answers are drawn at random (seeded) instead of taken in turn."""
    set_state: str | None = None
    """The namespace's new state."""

    @model_validator(mode="after")
    def _is_one(self) -> "AnswerModel":
        if (self.reply is None) == (self.error is None) and not (self.wire is not None and self.reply is None):
            raise ValueError("needs exactly one of reply and error")
        return self


def _not_empty(answers: tuple[AnswerModel, ...]) -> tuple[AnswerModel, ...]:
    if not answers:  # pydantic's own bound would also reject a list whose only item is invalid
        raise ValueError("is empty: give at least one reply or error")
    return answers


Replies = Annotated[
    tuple[AnswerModel, ...], AfterValidator(_not_empty), Field(strict=False, json_schema_extra={"minItems": 1})
]


class PaceModel(Model):
    """How fast an answer arrives."""

    ttft: Seconds = 0.0
    """Seconds until the first token."""
    tokens_per_second: Annotated[float, Field(ge=SLOWEST, le=FASTEST)] | None = None
    """The speed after the first token; by default, everything at once."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The fraction by which each gap varies."""

    def to_pace(self) -> Pace:
        """Converts this to the emulator's own record."""
        return Pace(self.ttft, self.tokens_per_second or float("inf"), self.jitter)


def _check_error_name(error: str, providers: tuple[str, ...]) -> None:
    """Raises when a rule for these providers names an error that one of them doesn't have."""
    for name in providers:
        known = list(PROVIDERS[name].errors) if name in PROVIDERS else [error]
        if error not in known:
            raise ValueError(f"has error '{error}', which {name} doesn't have.{did_you_mean(error, known)} "
                             f"Its errors: {', '.join(known)}")  # fmt: skip


class RuleModel(Model):
    """A match and its answer: exactly one of `reply`, `error` and `replies`."""

    name: str | None = None
    """The rule's name in logs and messages."""
    match: Match = Match.model_construct()  # type: ignore[assignment]  # it is a Match
    """Which requests it answers; by default, all completions."""
    priority: int = 0
    """Rules with a higher priority are tried first; equal ones in file order."""
    reply: ReplyModel | None = None
    """A successful answer."""
    error: ErrorField | None = None
    """An error: its name, or a mapping."""
    wire: str | None = None
    """The file of the recorded answer, relative to this one. It is replayed byte for byte unless the `reply` or
    `error` next to it has been edited.
    """
    replies: Replies | None = None
    """Answers to give in turn, counted per namespace."""
    then: Literal["repeat_last", "cycle", "next_rule"] | None = None
    """What to do after the last of `replies`; by default, `repeat_last`."""
    times: Annotated[int, Field(ge=1)] | None = None
    """How many times the rule answers; after that, the next rule is tried."""
    chance: Annotated[float, Field(gt=0, le=1)] | None = None
    """The share of matching requests that the rule answers (seeded random); the rest go on to the next rule."""
    set_state: str | None = None
    """The namespace's new state."""
    pace: PaceModel | None = None
    """How fast its answers arrive."""
    faults: Faults = ()
    """Faults to inject into its answers."""

    @model_validator(mode="after")
    def _has_one_answer(self) -> "RuleModel":
        given = [name for name in ("reply", "error", "replies") if getattr(self, name) is not None]
        if self.wire is not None and "replies" in given:
            raise ValueError("has both `wire` and `replies`: put `wire` into the items of `replies`")
        if len(given) != 1 and not (self.wire is not None and not given):
            found = f"but has {' and '.join(given)}" if given else "but has none"
            raise ValueError(f"needs exactly one of reply, error and replies, {found}")
        if self.then is not None and self.replies is None:
            raise ValueError("has `then` without `replies`")
        for answer in self.answers():
            if answer.error is not None and answer.error.name is not None:
                _check_error_name(answer.error.name, self.match.provider or ())
        return self

    def answers(self) -> tuple[AnswerModel, ...]:
        """The answers, in turn."""
        if self.replies:
            return self.replies
        return (AnswerModel.model_construct(reply=self.reply, error=self.error, wire=self.wire),)  # they are valid


class Account(Model):
    """An accepted key. Once a scenario lists accounts, no other key is accepted."""

    key: Annotated[str, Field(min_length=1)]
    """The key, without its scheme (such as `Bearer`)."""
    provider: ProviderName | None = None
    """The provider that accepts it; by default, any."""
    balance: Annotated[Decimal, Field(strict=False), AfterValidator(_amount)] | None = None
    """The balance in USD; by default, unlimited."""


def _per(value: Any) -> Any:
    """Returns the length of a window in seconds; None for a calendar month."""
    if isinstance(value, str):
        if value == "month":
            return None
        if value not in WINDOWS:
            raise ValueError(f"is '{value}'.{did_you_mean(value, [*WINDOWS, 'month'])} Give seconds, or one of "
                             f"{', '.join(WINDOWS)}, month")  # fmt: skip
        return WINDOWS[value]
    return value


WINDOWS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
Window = Annotated[float, Field(ge=0.001, le=86400 * 366)]
Per = Window | Literal["second", "minute", "hour", "day", "month"] | None


class QuotaModel(Model):
    """A limit per key. Beyond it, requests get the provider's own 429, with the seconds to wait in Retry-After."""

    provider: ProviderNames | None = None
    """The providers it applies to; by default, all."""
    key: Names | None = None
    """Globs for the keys it applies to, each counted separately; by default, all."""
    requests: Count | None = None
    """Requests per window."""
    tokens: Count | None = None
    """Tokens per window, prompt and answer. The request that exceeds the limit still succeeds."""
    concurrency: Count | None = None
    """Answers that may be open at the same time."""
    per: Annotated[Window | None, BeforeValidator(_per, json_schema_input_type=Per)] = 60.0
    """The window: seconds, or second, minute, hour, day, month. It starts with its first request; a month starts with
    the calendar month."""

    @model_validator(mode="after")
    def _limits_something(self) -> "QuotaModel":
        if self.requests is None and self.tokens is None and self.concurrency is None:
            raise ValueError("has no limit: give requests, tokens or concurrency")
        return self


# One key per provider, with its settings.
_SETTINGS: dict[str, Any] = {
    name: (provider.Settings, provider.Settings.model_construct()) for name, provider in PROVIDERS.items()
}
ProviderSettings: Any = create_model("ProviderSettings", __base__=Model, **_SETTINGS)


class Defaults(Model):
    """Defaults for all rules."""

    pace: PaceModel | None = None
    """How fast answers arrive."""
    segments: Literal["original", "events"] = "original"
    """How recorded streams are split: as they were, or into one piece for each event."""
    normalize: Annotated[tuple[Normalization, ...], Field(strict=False)] = ()
    """Differences to ignore when comparing texts."""


class Scenario(Model):
    """A scenario file."""

    version: Literal[1]
    """The version of this format."""
    name: str = "unnamed"
    """The scenario's name."""
    seed: int = 0
    """The seed for everything random: the same seed gives the same answers."""
    locale: Locale | None = None
    """The language of generated texts and of `fake`; by default, each prompt's own, and `en_US` for `fake`."""
    clock: Literal["real", "virtual", "manual"] = "real"
    """`virtual`: time skips ahead whenever everything is waiting; `manual`: time moves only when you advance it."""
    unmatched: Literal["generate", "error"] | None = None
    """What to do when no rule matches; by default, `generate` under `serve` and `error` in tests."""
    include: Names = ()
    """More files, folders or globs, relative to this file. Their rules come after this file's rules."""
    defaults: Defaults = Defaults.model_construct()
    """Defaults for all rules."""
    providers: ProviderSettings = ProviderSettings.model_construct()  # type: ignore[assignment]
    """Settings per provider, by name."""
    accounts: Annotated[tuple[Account, ...], Field(strict=False)] = ()
    """The accepted keys; by default, any key."""
    quotas: Annotated[tuple[QuotaModel, ...], Field(strict=False)] = ()
    """Limits per key."""
    faults: Faults = ()
    """Faults to inject into every answer, whichever rule gives it."""
    rules: Annotated[tuple[RuleModel, ...], Field(strict=False)] = ()
    """The rules: the first one that matches a request answers it."""
