"""The values of match keys: strict models, one for each kind of test."""

import re
from fnmatch import translate
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from emulator.errors import did_you_mean
from emulator.json_paths import compiled_path
from emulator.patterns import compiled
from emulator.providers import PROVIDERS

MAX_PATH, MAX_SEGMENTS = 4096, 100
"""The most characters and segments in a JSONPath."""


class Model(BaseModel):
    """A mapping in a scenario file: unknown keys are errors, and types are not coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


def _listed(value: Any) -> Any:
    """Turns a single value into a list."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def one_or_more(value: Any) -> Any:
    return value if isinstance(value, list | tuple) or value is None else [value]


def _known_provider(name: str) -> str:
    if name not in PROVIDERS:
        raise ValueError(f"is '{name}'.{did_you_mean(name, list(PROVIDERS))} Providers: {', '.join(PROVIDERS)}")
    return name


def _pattern(text: str) -> str:
    try:
        compiled(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is '{text}', which is not a regular expression: {error}") from None
    return text


def _json_path(path: str) -> str:
    from jsonpath.exceptions import JSONPathError  # only files with body conditions pay for this import

    if len(path) > MAX_PATH:
        raise ValueError(f"is a JSONPath of {len(path)} characters; expected at most {MAX_PATH}")
    try:
        found = compiled_path(path)
    except RecursionError:
        raise ValueError("is a JSONPath with too many nested brackets: use fewer") from None
    except JSONPathError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].strip()
        raise ValueError(f"is '{path}', which is not a JSONPath: {reason}") from None
    segments = len(getattr(found, "segments", ()))
    if segments > MAX_SEGMENTS:
        raise ValueError(f"is a JSONPath of {segments} segments; expected at most {MAX_SEGMENTS}")
    return path


def glob_pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    """One case-insensitive pattern for several globs."""
    return re.compile("|".join(translate(glob) for glob in globs) or r"(?!)", re.IGNORECASE)


Names = Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | tuple[str, ...])]
ProviderName = Annotated[
    str, AfterValidator(_known_provider), WithJsonSchema({"type": "string", "enum": list(PROVIDERS)})
]
ProviderNames = Annotated[
    tuple[ProviderName, ...],
    BeforeValidator(_listed, json_schema_input_type=ProviderName | tuple[ProviderName, ...]),
]
Regex = Annotated[str, Field(max_length=65536), AfterValidator(_pattern)]


class TextCondition(Model):
    """Conditions on a text. All given keys must hold; a plain string means `equals`."""

    equals: str | None = None
    """Equals the whole text."""
    contains: str | None = None
    """Is part of the text."""
    regex: Regex | None = None
    """Matches anywhere in the text; templates see its groups as `groups`."""
    glob: str | None = None
    """Matches the whole text, case-insensitively; `*` stands for anything."""
    any_of: tuple["TextMatch", ...] | None = Field(default=None, strict=False)
    """At least one of these must match."""
    not_: "TextMatch | None" = Field(default=None, alias="not")
    """This must not match."""

    @model_validator(mode="after")
    def _says_something(self) -> "TextCondition":
        if not self.model_fields_set:
            raise ValueError("is empty: give equals, contains, regex, glob, any_of or not")
        return self


def _text_condition(value: Any) -> Any:
    return {"equals": value} if isinstance(value, str) else value


TextMatch = Annotated[TextCondition, BeforeValidator(_text_condition, json_schema_input_type=str | TextCondition)]


class NumberCondition(Model):
    """Conditions on a number. A plain number means `equals`."""

    equals: float | None = None
    """Is exactly this."""
    gt: float | None = None
    """Is greater than this."""
    lt: float | None = None
    """Is less than this."""
    in_: tuple[float, ...] | None = Field(default=None, alias="in", strict=False)
    """Is one of these."""

    @model_validator(mode="after")
    def _says_something(self) -> "NumberCondition":
        if not self.model_fields_set:
            raise ValueError("is empty: give equals, gt, lt or in")
        return self


def _number_condition(value: Any) -> Any:
    return {"equals": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


NumberMatch = Annotated[
    NumberCondition, BeforeValidator(_number_condition, json_schema_input_type=float | NumberCondition)
]


class BodyCondition(Model):
    """Conditions on the request body at a JSONPath (RFC 9535). One matching node is enough."""

    path: Annotated[str, AfterValidator(_json_path)]
    """A JSONPath, such as `$.metadata.case` or `$.messages[0].role`."""
    equals: Any = None
    """Is exactly this value, which may be null."""
    contains: Any = None
    """Is part of a string, or an item of a list."""
    regex: Regex | None = None
    """Matches anywhere in a string."""
    in_: tuple[Any, ...] | None = Field(default=None, alias="in", strict=False)
    """Is one of these values."""
    gt: float | None = None
    """Is a number greater than this."""
    lt: float | None = None
    """Is a number less than this."""
    exists: bool | None = None
    """Whether the path exists."""

    @model_validator(mode="after")
    def _says_something(self) -> "BodyCondition":
        if self.model_fields_set == {"path"}:
            raise ValueError("has only a path: give equals, contains, regex, in, gt, lt or exists")
        return self


BodyConditions = Annotated[
    tuple[BodyCondition, ...],
    BeforeValidator(one_or_more, json_schema_input_type=BodyCondition | tuple[BodyCondition, ...]),
    Field(strict=False),
]


class ToolResultCondition(Model):
    """Conditions on the tool messages at the end of the conversation. One matching message is enough."""

    name: str | None = None
    """A glob for the name of the function that was called."""
    content: TextMatch | None = None
    """The tool's result."""


Normalization = Literal["whitespace", "case", "uuids", "dates"]


class RedactModel(Model):
    """What was redacted when a request was recorded, in addition to keys, cookies and account ids."""

    names: tuple[str, ...] = Field(default=(), strict=False)
    """Names of JSON members and headers."""
    paths: tuple[Annotated[str, AfterValidator(_json_path)], ...] = Field(default=(), strict=False)
    """JSONPaths in bodies."""
    regexes: tuple[Regex, ...] = Field(default=(), strict=False)
    """Texts, anywhere."""


class RecordedCondition(Model):
    """The digest of a recorded request. A plain string is the digest."""

    digest: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    """What `emulator record` computes from the request without its secrets."""
    redact: RedactModel | None = None
    """What the recorder was configured to redact: the digest is computed without it."""


def _recorded_condition(value: Any) -> Any:
    return {"digest": value} if isinstance(value, str) else value


RecordedMatch = Annotated[
    RecordedCondition, BeforeValidator(_recorded_condition, json_schema_input_type=str | RecordedCondition)
]
