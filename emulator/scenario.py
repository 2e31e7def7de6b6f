"""What a scenario file may say: strict models, so that a misspelt key is an error and not silence.

The models hold what was written. `emulator.matching` turns rules into something that can be asked quickly.
"""

import re
from decimal import Decimal
from fnmatch import translate
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, field_validator, model_validator

from emulator.errors import did_you_mean
from emulator.pace import Pace
from emulator.providers import PROVIDERS
from emulator.providers.base import ERROR_NAMES
from emulator.reply import ErrorReply, Reply, Summary
from emulator.request import ToolCall


class Model(BaseModel):
    """A mapping of a scenario file: unknown keys are errors, types are not bent."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


def _listed(value: Any) -> Any:
    """One thing where a list may stand."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _known_provider(name: str) -> str:
    if name not in PROVIDERS:
        raise ValueError(f"is '{name}'.{did_you_mean(name, list(PROVIDERS))} Providers: {', '.join(PROVIDERS)}")
    return name


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return text


ProviderName = Annotated[str, BeforeValidator(lambda value: value)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Regex = Annotated[str, Field(max_length=65536)]
Seconds = Annotated[float, Field(ge=0, le=86400 * 366)]
Count = Annotated[int, Field(ge=0)]


class TextCondition(Model):
    """What a text must be. All that is said must hold; a plain text means `equals`."""

    equals: str | None = None
    contains: str | None = None
    regex: Regex | None = None

    _regex_compiles = field_validator("regex")(lambda cls, value: value and _pattern(value))

    @model_validator(mode="after")
    def _says_something(self) -> "TextCondition":
        if not self.model_fields_set:
            raise ValueError("says nothing: give equals, contains or regex")
        return self


def _text_condition(value: Any) -> Any:
    return {"equals": value} if isinstance(value, str) else value


TextMatch = Annotated[TextCondition, BeforeValidator(_text_condition)]


class Match(Model):
    """Which requests a rule answers. Every key that is given must hold; an empty match takes all completions."""

    provider: Names | None = None
    model: Names | None = None
    """Globs; `*` stands for anything."""
    prompt: TextMatch | None = None
    """The text of the last user message."""
    stream: bool | None = None

    @field_validator("provider")
    @classmethod
    def _providers_exist(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in names or ():
            _known_provider(name)
        return names


class SummaryModel(Model):
    """One source of a web search."""

    url: str
    summary: str | None = ""
    status: int = 200
    error: str | None = None


class ToolCallModel(Model):
    """A call of a tool: `arguments` as a mapping, or as the exact JSON text."""

    name: str
    arguments: dict[str, Any] | str = Field(default_factory=dict)
    id: str = ""


class UsageModel(Model):
    """Counts that replace the computed ones."""

    prompt: Count | None = None
    completion: Count | None = None
    total: Count | None = None
    reasoning: Count | None = None
    cached: Count | None = None


class ReplyModel(Model):
    """An answer in words."""

    content: str = ""
    reasoning: str | None = None
    tool_calls: tuple[ToolCallModel, ...] = Field(default=(), strict=False)
    summaries: tuple[SummaryModel, ...] | None = Field(default=None, strict=False)
    usage: UsageModel | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    id: str | None = None
    created: int | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)

    def to_reply(self) -> Reply:
        """The same in the emulator's own terms."""
        calls = tuple(
            ToolCall(
                call.name,
                call.arguments if isinstance(call.arguments, str) else orjson.dumps(call.arguments).decode(),
                call.id,
            )
            for call in self.tool_calls
        )
        sources = [Summary(row.url, row.summary, row.status, row.error) for row in self.summaries or ()]
        return Reply(
            content=self.content,
            reasoning=self.reasoning,
            tool_calls=calls,
            summaries=None if self.summaries is None else tuple(sources),
            usage=self.usage.model_dump(exclude_none=True) if self.usage else {},
            finish_reason=self.finish_reason,
            native_finish_reason=self.native_finish_reason,
            id=self.id,
            created=self.created,
            model=self.model,
            system_fingerprint=self.system_fingerprint,
            headers=self.headers,
        )


def known_errors() -> list[str]:
    """Every error name: the common vocabulary, then what single providers add to it."""
    extra = {name: None for room in PROVIDERS.values() for name in room.refusals if name not in ERROR_NAMES}
    return [*ERROR_NAMES, *extra]


class ErrorModel(Model):
    """A refusal: a name of the vocabulary, or any part of it spelled out. A plain text is the name."""

    name: str | None = None
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    message: str | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    body: Any = None

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        if name is not None and name not in known_errors():
            known = known_errors()
            raise ValueError(f"is '{name}'.{did_you_mean(name, known)} Errors: {', '.join(known)}")
        return name

    @model_validator(mode="after")
    def _says_what(self) -> "ErrorModel":
        if self.name is None and self.status is None:
            raise ValueError("needs a name or a status")
        return self

    def to_reply(self) -> ErrorReply:
        """The same in the emulator's own terms."""
        return ErrorReply(**dict(self))


ErrorField = Annotated[ErrorModel, BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value)]


class AnswerModel(Model):
    """One item of `replies`: either a reply or an error."""

    reply: ReplyModel | None = None
    error: ErrorField | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "AnswerModel":
        if (self.reply is None) == (self.error is None):
            raise ValueError("needs exactly one of reply and error")
        return self

    def to_answer(self) -> Reply | ErrorReply:
        """The same in the emulator's own terms."""
        given = self.reply or self.error
        assert given is not None
        return given.to_reply()


class PaceModel(Model):
    """How fast an answer comes."""

    ttft: Seconds = 0.0
    """Seconds until the first token."""
    tokens_per_second: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """What follows; all at once when left out."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share by which each gap varies."""

    def to_pace(self) -> Pace:
        """The same in the emulator's own terms."""
        return Pace(self.ttft, self.tokens_per_second or float("inf"), self.jitter)


class RuleModel(Model):
    """When a request matches, this is the answer: exactly one of `reply`, `error` and `replies`."""

    name: str | None = None
    match: Match = Match()
    reply: ReplyModel | None = None
    error: ErrorField | None = None
    replies: Annotated[tuple[AnswerModel, ...], Field(min_length=1, strict=False)] | None = None
    then: Literal["repeat_last", "cycle", "next_rule"] | None = None
    pace: PaceModel | None = None

    @model_validator(mode="after")
    def _has_one_answer(self) -> "RuleModel":
        given = [name for name in ("reply", "error", "replies") if getattr(self, name) is not None]
        if len(given) != 1:
            found = f"it has {' and '.join(given)}" if given else "it has none"
            raise ValueError(f"needs exactly one of reply, error and replies, {found}")
        if self.then is not None and self.replies is None:
            raise ValueError("has `then` without `replies`")
        return self

    def answers(self) -> tuple[Reply | ErrorReply, ...]:
        """What is answered, in turn."""
        if self.replies is not None:
            return tuple(item.to_answer() for item in self.replies)
        given = self.reply or self.error
        assert given is not None
        return (given.to_reply(),)


class Account(Model):
    """A key that is accepted. Once a scenario lists accounts, no other key is."""

    key: Annotated[str, Field(min_length=1)]
    provider: ProviderName | None = None
    """Any provider when left out."""
    balance: Decimal | None = Field(default=None, strict=False)
    """What is left, in USD; unlimited when left out."""

    @field_validator("provider")
    @classmethod
    def _provider_exists(cls, name: str | None) -> str | None:
        return None if name is None else _known_provider(name)


# One key for each provider, holding that room's own settings.
_SETTINGS: dict[str, Any] = {name: (room.Settings, room.Settings()) for name, room in PROVIDERS.items()}
ProviderSettings: Any = create_model("ProviderSettings", __base__=Model, **_SETTINGS)


class Defaults(Model):
    """What holds for every rule that does not say otherwise."""

    pace: PaceModel | None = None


class Scenario(Model):
    """A whole file."""

    version: Literal[1]
    name: str = "unnamed"
    seed: int = 0
    defaults: Defaults = Defaults()
    providers: ProviderSettings = ProviderSettings()
    """Settings of single providers, by name."""
    accounts: Annotated[tuple[Account, ...], Field(strict=False)] = ()
    rules: Annotated[tuple[RuleModel, ...], Field(strict=False)] = ()


def glob_pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    """One pattern for several globs; letter case does not matter."""
    return re.compile("|".join(translate(glob) for glob in globs), re.IGNORECASE)
