"""What a scenario file may say: strict models, so that a misspelt key is an error and not silence.

The models hold what was written. `emulator.matching` turns rules into something that can be asked quickly.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from inspect import cleandoc
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
    create_model,
    model_validator,
)

from emulator.errors import UsageError, did_you_mean
from emulator.faults import AnyFault
from emulator.generation import templates
from emulator.generation.languages import known_locale
from emulator.matching.conditions import BROUGHT
from emulator.matching.conditions.values import (
    BodyConditions,
    Model,
    Names,
    Normalisation,
    NumberMatch,
    ProviderName,
    ProviderNames,
    TextMatch,
    ToolResultCondition,
    one_or_more,
)
from emulator.pace import FASTEST, SLOWEST, Pace
from emulator.providers import PROVIDERS
from emulator.providers.base import ERROR_NAMES
from emulator.reply import ErrorReply, Reply, ReplyTemplate, Source
from emulator.request import ToolCall

LENGTH = r"^\s*(\d{1,6})(?:\s*\.\.\s*(\d{1,6}))?(?:\s*tokens?)?\s*$"
MAX_MONEY, DECIMALS = 10**12, 30
"""The largest amount in USD, and the most places behind its point."""
MAX_COUNT = 2**53 - 1
"""The largest whole number that every JSON parser reads exactly."""
CODE = r"^python:[A-Za-z_][\w.]*:[A-Za-z_]\w*$"


def _template(text: str) -> str:
    try:
        templates.check(text)
    except templates.TemplateError as error:
        hint = "Braces that are meant as they are stand between {% raw %} and {% endraw %}"
        raise ValueError(f"is a template that cannot be read: {error}. {hint}") from None
    return text


def _length(value: Any) -> Any:
    """`80`, `80 tokens` or `40..120 tokens` as (least, most)."""
    match = re.fullmatch(LENGTH, str(value))
    if match is None or isinstance(value, bool):
        raise ValueError(f"is {value!r}: write '80 tokens' or '40..120 tokens'")
    low = int(match[1])
    high = int(match[2] or low)
    if not 1 <= low <= high <= 100_000:
        raise ValueError(f"is {value!r}: the first number is at least 1, the second not below it and at most 100000")
    return (low, high)


def _code(text: str) -> str:
    if not re.fullmatch(CODE, text):
        raise ValueError(f"is '{text}': write python:module:function")
    return text


def _locale(name: str) -> str:
    try:
        return known_locale(name)
    except UsageError as error:
        raise ValueError(f"is '{name}'. {error}") from None


def _amount(value: Decimal) -> Decimal:
    """Raises for an amount that cannot be reckoned with."""
    exponent = value.as_tuple().exponent
    if not value.is_finite() or value.copy_abs() > MAX_MONEY or not isinstance(exponent, int) or exponent < -DECIMALS:
        raise ValueError(f"is {value}: give an amount in USD from -{MAX_MONEY} to {MAX_MONEY}, "
                         f"with at most {DECIMALS} decimal places")  # fmt: skip
    return value


def _sendable(value: Any) -> Any:
    """Raises for data that cannot be written as JSON."""
    try:
        orjson.dumps(value)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"cannot be written as JSON: {error}. Give it as the exact text instead") from None
    return value


def _templates_inside(value: dict[str, Any]) -> dict[str, Any]:
    for text in texts_of(value):
        _template(text)
    return value


def texts_of(value: Any) -> Iterator[str]:
    """Every text in a value, however deep, except keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_of(item)


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name):
            raise ValueError(f"has '{name}', which is no name for a header: letters, digits and - are")
        if name.lower() in ("content-length", "transfer-encoding"):
            raise ValueError(f"has '{name}', which follows from the body: a fault (content_length) makes it wrong")
        if not HEADER_VALUE.fullmatch(value):
            raise ValueError(f"has a value for '{name}' that a header cannot carry: one line of Latin-1 is expected")
    return headers


HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
Length = Annotated[int, Field(ge=1, le=100_000)] | Annotated[str, Field(pattern=LENGTH)]
Headers = Annotated[
    dict[str, str],
    AfterValidator(_headers),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {
                "pattern": f"^{HEADER_NAME.pattern}$",
                "not": {"pattern": "^([Cc]ontent-[Ll]ength|[Tt]ransfer-[Ee]ncoding)$"},
            },
            "additionalProperties": {"type": "string", "pattern": f"^{HEADER_VALUE.pattern}$"},
        }
    ),
]
Template = Annotated[str, AfterValidator(_template)]
Code = Annotated[str, AfterValidator(_code), WithJsonSchema({"type": "string", "pattern": CODE})]
Locale = Annotated[str, AfterValidator(_locale)]
Faults = Annotated[
    tuple[AnyFault, ...],
    BeforeValidator(one_or_more, json_schema_input_type=AnyFault | tuple[AnyFault, ...]),
    Field(strict=False),
]
Seconds = Annotated[float, Field(ge=0, le=86400 * 366)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]


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
    """The keys of installed distributions."""


class Match(BroughtConditions):
    """Which requests a rule answers. Every key that is given must hold; an empty match takes all completions."""

    provider: ProviderNames | None = None
    """Which provider is asked."""
    operation: Names | None = None
    """Which endpoint: `chat`, `completions`, `models`, `balance`, … Whatever a model answers when left out."""
    model: Names | None = None
    """Globs; `*` stands for anything."""
    prompt: TextMatch | None = None
    """The text of the last user message."""
    system: TextMatch | None = None
    """The text of all system messages, joined by line ends."""
    message: TextMatch | None = None
    """The text of any message."""
    turn: NumberMatch | None = None
    """How many assistant messages came before, plus one."""
    messages: NumberMatch | None = None
    """How many messages there are."""
    attempt: NumberMatch | None = None
    """The how-manieth time this very request comes."""
    tools: Names | None = None
    """Globs; for each there is a function offered that fits."""
    tool_result: ToolResultCondition | None = None
    """The conversation ends with a result of a tool."""
    header: dict[str, TextMatch | None] | None = None
    """Request headers by name; null means that the header is not there."""
    key: TextMatch | None = None
    """The credential, without its scheme."""
    stream: bool | None = None
    """Whether a stream is asked for, as the provider understands the request."""
    body: BodyConditions | None = None
    """What the native body must hold; every item must fit."""
    state: str | None = None
    """The state that the namespace is in: `start`, until a rule says `set_state`."""
    any_of: tuple["Match", ...] | None = Field(default=None, strict=False)
    """At least one of these must hold."""
    all_of: tuple["Match", ...] | None = Field(default=None, strict=False)
    """All of these must hold."""
    not_: "Match | None" = Field(default=None, alias="not")
    """This must not hold as a whole."""
    normalize: Annotated[tuple[Normalisation, ...], Field(strict=False)] | None = None
    """What is made the same before texts are compared; the file's `defaults.normalize` when left out."""


class SummaryModel(Model):
    """One source of a web search."""

    url: Template
    """Where it was found."""
    summary: Template | None = ""
    """What it says; null where it could not be read."""
    status: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 200
    """The HTTP status that the source answered with."""
    error: str | None = None
    """Why it could not be read."""


class ToolCallModel(Model):
    """A call of a tool: `arguments` as a mapping, or as the exact JSON text."""

    name: str
    """Which function."""
    arguments: Annotated[dict[str, Any], AfterValidator(_templates_inside), AfterValidator(_sendable)] | Template = (
        Field(default_factory=dict)
    )
    """A mapping, whose texts may hold `{{ … }}`, or the exact text, which need not be JSON."""
    id: str = ""
    """Made when left out."""


class UsageModel(Model):
    """Counts that replace the computed ones."""

    prompt: Count | None = None
    """Tokens of the prompt."""
    completion: Count | None = None
    """Tokens of the answer, those of its reasoning included."""
    total: Count | None = None
    """Both together."""
    reasoning: Count | None = None
    """Tokens of the reasoning."""
    cached: Count | None = None
    """Tokens of the prompt that were cached."""


class ReplyModel(Model):
    """An answer in words. Texts may hold `{{ … }}`. Without `content`, tool calls or code, it is generated."""

    content: Template | None = None
    """What is said."""
    reasoning: Template | bool | None = None
    """The text, or true for a generated one; left out, a generated answer has one where the model thinks."""
    length: Annotated[tuple[int, int], BeforeValidator(_length, json_schema_input_type=Length)] | None = None
    """How long a generated text is, in tokens: `80 tokens`, `40..120 tokens`."""
    style: Literal["plain", "markdown", "code"] = "plain"
    """What a generated text looks like."""
    locale: Locale | None = None
    """The language of generated texts and of `fake`; the file's `locale` when left out."""
    from_: Code | None = Field(default=None, alias="from")
    """`python:module:function`, called with the request; needs `serve --allow-code`."""
    alternatives: Annotated[tuple[Template, ...], Field(strict=False)] = ()
    """The contents of the further choices when a request asks for several (`n`)."""
    tool_calls: tuple[ToolCallModel, ...] = Field(default=(), strict=False)
    """The functions that the model wants called."""
    summaries: tuple[SummaryModel, ...] | None = Field(default=None, strict=False)
    """The sources of a web search, for providers that tell them."""
    usage: UsageModel | None = None
    """Counts that replace the computed ones."""
    finish_reason: str | None = None
    """Replaces `stop`, `tool_calls` or whatever would be said."""
    native_finish_reason: str | None = None
    """The same in the model's own words, for providers that tell both."""
    id: str | None = None
    """The id of the completion; made when left out."""
    created: Annotated[int, Field(ge=-MAX_COUNT, le=MAX_COUNT)] | None = None
    """Unix time of the completion; now when left out."""
    model: str | None = None
    """The model that the answer names; the one that was asked for when left out."""
    system_fingerprint: str | None = None
    """For providers that tell it."""
    headers: Headers = Field(default_factory=dict)
    """Response headers, beside or instead of the provider's own."""

    @model_validator(mode="after")
    def _generates_or_says(self) -> "ReplyModel":
        shaped = [name for name in ("length", "style") if name in self.model_fields_set]
        if self.content is not None and shaped:
            raise ValueError(f"has content and {shaped[0]}, which is for generated texts: take one away")
        return self

    def to_draft(self) -> ReplyTemplate:
        """The same in the emulator's own terms."""
        reply = Reply(
            content=self.content or "",
            reasoning=self.reasoning if isinstance(self.reasoning, str) else None,
            tool_calls=tuple(ToolCall(call.name, _json_text(call.arguments), call.id) for call in self.tool_calls),
            sources=None
            if self.summaries is None
            else tuple(Source(row.url, row.summary, row.status, row.error) for row in self.summaries),
            usage=self.usage.model_dump(exclude_none=True) if self.usage else {},
            finish_reason=self.finish_reason,
            native_reason=self.native_finish_reason,
            id=self.id,
            created=self.created,
            model=self.model,
            system_fingerprint=self.system_fingerprint,
            headers=self.headers,
        )
        said = [
            reply.content,
            reply.reasoning or "",
            *self.alternatives,
            *(text for call in self.tool_calls for text in texts_of(call.arguments)),
        ]
        said += [part for row in reply.sources or () for part in (row.url, row.summary or "")]
        given = self.content is not None or self.tool_calls or self.from_ is not None
        return ReplyTemplate(
            reply=reply,
            alternatives=self.alternatives,
            arguments=tuple(call.arguments for call in self.tool_calls),
            is_templated=any(map(templates.is_template, said)),
            writes_content=not given,
            writes_reasoning=self.reasoning if isinstance(self.reasoning, bool) else None,
            length=self.length,
            style=self.style,
            locale=self.locale,
            code=self.from_,
        )


def _json_text(arguments: dict[str, Any] | str) -> str:
    return arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()


def known_errors() -> list[str]:
    """Every error name: the common vocabulary, then what single providers add to it."""
    extra = {name: None for provider in PROVIDERS.values() for name in provider.errors if name not in ERROR_NAMES}
    return [*ERROR_NAMES, *extra]


def _known_error(name: str) -> str:
    known = known_errors()
    if name not in known:
        raise ValueError(f"is '{name}'.{did_you_mean(name, known)} Errors: {', '.join(known)}")
    return name


ErrorName = Annotated[str, AfterValidator(_known_error), WithJsonSchema({"type": "string", "enum": known_errors()})]


class ErrorModel(Model):
    """A refusal: a name of the vocabulary, or any part of it spelled out. A plain text is the name."""

    name: ErrorName | None = None
    """A word of the vocabulary: each provider maps it to its own status and body."""
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    """The HTTP status."""
    message: str | None = None
    """What went wrong, in words."""
    type: str | None = None
    """For providers that tell it."""
    code: str | None = None
    """For providers that tell it."""
    param: str | None = None
    """For providers that tell it."""
    headers: Headers = Field(default_factory=dict)
    """Response headers, beside or instead of the provider's own."""
    body: Annotated[Any, AfterValidator(_sendable)] = None
    """The whole body: a text as it is, anything else as JSON."""

    @model_validator(mode="after")
    def _says_what(self) -> "ErrorModel":
        if self.name is None and self.status is None:
            raise ValueError("needs a name or a status")
        return self

    def to_reply(self) -> ErrorReply:
        """The same in the emulator's own terms."""
        return ErrorReply(**dict(self))


def _error(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


ErrorField = Annotated[ErrorModel, BeforeValidator(_error, json_schema_input_type=ErrorName | ErrorModel)]


class AnswerModel(Model):
    """One item of `replies`: either a reply or an error."""

    reply: ReplyModel | None = None
    """An answer in words."""
    error: ErrorField | None = None
    """A refusal: the name of an error, or a mapping."""
    chance: Annotated[float, Field(gt=0)] | None = None
    """A weight: with one on any item, the answer is drawn by seeded dice instead of taken in turn."""
    set_state: str | None = None
    """The state that the namespace is in afterwards."""

    @model_validator(mode="after")
    def _is_one(self) -> "AnswerModel":
        if (self.reply is None) == (self.error is None):
            raise ValueError("needs exactly one of reply and error")
        return self


def _not_empty(answers: tuple[AnswerModel, ...]) -> tuple[AnswerModel, ...]:
    if not answers:  # a bound of pydantic's would complain of a list whose only item is wrong as well
        raise ValueError("is empty: give at least one reply or error")
    return answers


Replies = Annotated[
    tuple[AnswerModel, ...], AfterValidator(_not_empty), Field(strict=False, json_schema_extra={"minItems": 1})
]


class PaceModel(Model):
    """How fast an answer comes."""

    ttft: Seconds = 0.0
    """Seconds until the first token."""
    tokens_per_second: Annotated[float, Field(ge=SLOWEST, le=FASTEST)] | None = None
    """What follows; all at once when left out."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share by which each gap varies."""

    def to_pace(self) -> Pace:
        """The same in the emulator's own terms."""
        return Pace(self.ttft, self.tokens_per_second or float("inf"), self.jitter)


def _room_knows(error: str, providers: tuple[str, ...]) -> None:
    """Raises when a rule for these providers names an error that one of them does not have."""
    for name in providers:
        known = list(PROVIDERS[name].errors) if name in PROVIDERS else [error]
        if error not in known:
            raise ValueError(f"has error '{error}', which {name} does not have.{did_you_mean(error, known)} "
                             f"Its errors: {', '.join(known)}")  # fmt: skip


class RuleModel(Model):
    """When a request matches, this is the answer: exactly one of `reply`, `error` and `replies`."""

    name: str | None = None
    """What logs and messages call it."""
    match: Match = Match()
    """Which requests it answers; all completions when left out."""
    priority: int = 0
    """Rules of a higher priority are tried first; among equals the order of the file counts."""
    reply: ReplyModel | None = None
    """An answer in words."""
    error: ErrorField | None = None
    """A refusal: the name of an error, or a mapping."""
    replies: Replies | None = None
    """Answers in turn, counted in each namespace."""
    then: Literal["repeat_last", "cycle", "next_rule"] | None = None
    """What follows the last of `replies`."""
    times: Annotated[int, Field(ge=1)] | None = None
    """How often the rule answers before it is used up and the next rule is tried."""
    chance: Annotated[float, Field(gt=0, le=1)] | None = None
    """The share of matching requests that it answers, by seeded dice; the others go on to the next rule."""
    set_state: str | None = None
    """The state that the namespace is in afterwards."""
    pace: PaceModel | None = None
    """How fast its answers come."""
    faults: Faults = ()
    """What goes wrong with its answers."""

    @model_validator(mode="after")
    def _has_one_answer(self) -> "RuleModel":
        given = [name for name in ("reply", "error", "replies") if getattr(self, name) is not None]
        if len(given) != 1:
            found = f"it has {' and '.join(given)}" if given else "it has none"
            raise ValueError(f"needs exactly one of reply, error and replies, {found}")
        if self.then is not None and self.replies is None:
            raise ValueError("has `then` without `replies`")
        for answer in self.answers():
            if answer.error is not None and answer.error.name is not None:
                _room_knows(answer.error.name, self.match.provider or ())
        return self

    def answers(self) -> tuple[AnswerModel, ...]:
        """What is answered, in turn."""
        return self.replies or (AnswerModel(reply=self.reply, error=self.error),)


class Account(Model):
    """A key that is accepted. Once a scenario lists accounts, no other key is."""

    key: Annotated[str, Field(min_length=1)]
    """The key, without its scheme."""
    provider: ProviderName | None = None
    """Any provider when left out."""
    balance: Annotated[Decimal, Field(strict=False), AfterValidator(_amount)] | None = None
    """What is left, in USD; unlimited when left out."""


def _per(value: Any) -> Any:
    """The length of a window in seconds; None for the calendar month."""
    if isinstance(value, str):
        if value == "month":
            return None
        if value not in WINDOWS:
            raise ValueError(f"is '{value}'.{did_you_mean(value, [*WINDOWS, 'month'])} Give seconds, or a word: "
                             f"{', '.join(WINDOWS)}, month")  # fmt: skip
        return WINDOWS[value]
    return value


WINDOWS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
Window = Annotated[float, Field(ge=0.001, le=86400 * 366)]
Per = Window | Literal["second", "minute", "hour", "day", "month"] | None


class QuotaModel(Model):
    """A limit for each key: beyond it the provider's own 429, with the seconds to wait in Retry-After."""

    provider: ProviderNames | None = None
    """Which providers it counts; all when left out."""
    key: Names | None = None
    """Globs; which keys it counts, each for itself; all when left out."""
    requests: Count | None = None
    """Requests in each window."""
    tokens: Count | None = None
    """Tokens in each window, prompt and answer. The request that crosses the limit still succeeds."""
    concurrency: Count | None = None
    """Answers that may be open at a time."""
    per: Annotated[Window | None, BeforeValidator(_per, json_schema_input_type=Per)] = 60.0
    """The window: seconds, or second, minute, hour, day, month. It begins with the first request in it, a month with
    the calendar's."""

    @model_validator(mode="after")
    def _limits_something(self) -> "QuotaModel":
        if self.requests is None and self.tokens is None and self.concurrency is None:
            raise ValueError("has no limit: give requests, tokens or concurrency")
        return self


# One key for each provider, holding that room's own settings.
_SETTINGS: dict[str, Any] = {name: (provider.Settings, provider.Settings()) for name, provider in PROVIDERS.items()}
ProviderSettings: Any = create_model("ProviderSettings", __base__=Model, **_SETTINGS)


class Defaults(Model):
    """What holds for every rule that does not say otherwise."""

    pace: PaceModel | None = None
    """How fast answers come."""
    normalize: Annotated[tuple[Normalisation, ...], Field(strict=False)] = ()
    """What is made the same before texts are compared."""


class Scenario(Model):
    """A whole file."""

    version: Literal[1]
    """The version of this format."""
    name: str = "unnamed"
    """What the scenario is called."""
    seed: int = 0
    """All chance comes from it: the same seed gives the same answers."""
    locale: Locale | None = None
    """The language of generated texts and of `fake`; left out: each prompt's own, and `en_US` for `fake`."""
    clock: Literal["real", "virtual", "manual"] = "real"
    """`virtual`: time leaps ahead whenever everything only waits; `manual`: it moves when it is told to."""
    unmatched: Literal["generate", "error"] | None = None
    """What a request gets that no rule answers; left out: generated under `serve`, an error in tests."""
    include: Names = ()
    """Further files, folders or globs, relative to this file. Their rules come after this file's."""
    defaults: Defaults = Defaults()
    """What holds for every rule that does not say otherwise."""
    providers: ProviderSettings = ProviderSettings()
    """Settings of single providers, by name."""
    accounts: Annotated[tuple[Account, ...], Field(strict=False)] = ()
    """The keys that are accepted; any key when left out."""
    quotas: Annotated[tuple[QuotaModel, ...], Field(strict=False)] = ()
    """Limits for each key."""
    faults: Faults = ()
    """What goes wrong with every answer, whichever rule gives it."""
    rules: Annotated[tuple[RuleModel, ...], Field(strict=False)] = ()
    """Which request gets which answer: the first that matches."""
