"""The history of DeepSeek's own API: models, aliases, prices, peak hours, capabilities.

A profile is a state of the service, named by the date on which it began, according to DeepSeek's pages
(api-docs.deepseek.com: quick_start/pricing, updates, api/list-models). docs/providers.md says where they contradict
each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from datetime import UTC, datetime
from typing import Literal

from emulator.providers.base import Price, per_million
from emulator.records import record

ProfileName = Literal[
    "2026-04-24", "2026-04-26", "2026-07-24", "2026-07-31", "2026-08-13", "2026-08-16", "2026-08-21", "2026-09-10",
    "2026-10-17", "2026-11",
]  # fmt: skip
PEAK_HOURS = ((1, 4), (6, 10))
"""Hours in UTC: 9 to 12 and 14 to 18 in Beijing. They are on the same date in both time zones."""
CONTEXT_WINDOW, MAX_OUTPUT = 1_048_576, 393_216


@record
class Rates:
    """The price of a model's tokens, and the price in peak hours."""

    off_peak: Price
    peak: Price | None = None


@record
class Model:
    """A model in the list of models."""

    id: str
    name: str
    rates: Rates
    concurrency: int
    """The maximum number of concurrent answers of an account."""
    sees_images: bool = False
    fills_gaps: bool = True
    has_responses: bool = False
    """Whether it is available at `/responses`."""
    is_literal_about_efforts: bool = True
    """Whether low means low and xhigh means high. Earlier, low meant high and xhigh meant max."""
    fingerprint: str = ""
    """The fingerprint of answers, from captured traffic."""
    thinks_hard: bool = False
    """Whether the default effort, high, adds the instructions to the prompt that only max added before August: 79
    tokens, measured with prompts of known length.
    """
    thinking_prompt: int = 0
    """The tokens of other instructions that the default effort adds."""


@record
class Alias:
    """Another name of a listed model."""

    model: str
    thinks: bool | None = None
    """Whether it thinks; None: the request decides."""


@record
class Profile:
    """A state of the service."""

    name: ProfileName
    began: datetime
    models: tuple[Model, ...]
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    has_responses: bool = False
    has_long_rows: bool = False
    """Whether the list of models shows capabilities."""
    takes_ultra: bool = False
    """Whether `ultra` is a valid effort; it means the same as max."""
    refuses_unknown_names: bool = False
    """Whether `/anthropic` rejects unknown model names instead of answering with the flash model."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the listed models."""
        return tuple([model.id for model in self.models])

    def model(self, name: str) -> Model | None:
        """Returns the model that serves a name; None for an unknown name."""
        alias = self.aliases.get(name)
        wanted = name if alias is None else alias.model
        return next((model for model in self.models if model.id == wanted), None)

    @property
    def flash(self) -> Model:
        """The model that serves the names of other vendors' small models."""
        return next(model for model in self.models if "flash" in model.id)


def _rates(*prices: str) -> Rates:
    """Parses prices per million tokens in the format of the pages: `hit / miss / output`."""
    each = [text.split(" / ") for text in prices]
    return Rates(*[per_million(miss, output, hit) for hit, miss, output in each])


_FLASH = Model(
    "deepseek-v4-flash",
    "DeepSeek-V4-Flash",
    _rates("0.028 / 0.14 / 0.28"),
    2500,
    fingerprint="fp_8b330d02d0_prod0820_fp8_kvcache_20260402",
)
_PRO = Model(
    "deepseek-v4-pro",
    "DeepSeek-V4-Pro",
    _rates("0.03625 / 0.435 / 0.87"),  # with the preview's discount of 75 percent
    500,
    is_literal_about_efforts=False,
    fingerprint="fp_9954b31ca7_prod0820_fp8_kvcache_20260402",
)
_OLD = {"deepseek-chat": Alias("deepseek-v4-flash", False), "deepseek-reasoner": Alias("deepseek-v4-flash", True)}

_APRIL_24 = Profile("2026-04-24", datetime(2026, 4, 24, tzinfo=UTC), (_FLASH, _PRO), _OLD)
_APRIL_26 = replace(
    _APRIL_24,
    name="2026-04-26",
    began=datetime(2026, 4, 26, 12, 15, tzinfo=UTC),
    models=(
        replace(_FLASH, rates=_rates("0.0028 / 0.14 / 0.28")),
        replace(_PRO, rates=_rates("0.003625 / 0.435 / 0.87")),
    ),
)
_JULY_24 = replace(_APRIL_26, name="2026-07-24", began=datetime(2026, 7, 24, 15, 59, tzinfo=UTC), aliases={})
_JULY_31 = replace(
    _JULY_24,
    name="2026-07-31",
    began=datetime(2026, 7, 31, tzinfo=UTC),
    models=(
        replace(
            _JULY_24.models[0],
            has_responses=True,
            fingerprint="fp_a18b46594c_prod0820_fp8_kvcache_20260402",
            thinks_hard=True,
        ),
        _JULY_24.models[1],
    ),
    has_responses=True,
)
_AUGUST_13 = replace(
    _JULY_31,
    name="2026-08-13",
    began=datetime(2026, 8, 13, tzinfo=UTC),
    models=(
        replace(_JULY_31.models[0], fingerprint="a26a7955944dc5c60445bff77fac9c8e"),
        replace(
            _JULY_31.models[1],
            has_responses=True,
            is_literal_about_efforts=True,
            fingerprint="a307abda487cd1b463329ccb945ce396",
            thinks_hard=True,
        ),
    ),
)
_AUGUST_16 = replace(
    _AUGUST_13,
    name="2026-08-16",
    began=datetime(2026, 8, 16, 16, tzinfo=UTC),
    models=(
        replace(_AUGUST_13.models[0], rates=_rates("0.007 / 0.22 / 0.66", "0.014 / 0.44 / 1.32")),
        replace(_AUGUST_13.models[1], rates=_rates("0.022 / 0.66 / 1.98", "0.044 / 1.32 / 3.96")),
    ),
)
_VISION = replace(
    _AUGUST_16.models[0],
    id="deepseek-v4-flash-vision-exp",
    name="DeepSeek-V4-Flash-Vision-Exp",
    sees_images=True,
    fills_gaps=False,
)
_AUGUST_21 = replace(
    _AUGUST_16,
    name="2026-08-21",
    began=datetime(2026, 8, 21, tzinfo=UTC),
    models=(*_AUGUST_16.models, _VISION),
)
_SEPTEMBER_10 = Profile(
    "2026-09-10",
    datetime(2026, 9, 10, 4, tzinfo=UTC),
    (
        Model(
            "deepseek-flash",
            "DeepSeek-V4.1-Flash",
            _rates("0.003 / 0.15 / 0.60", "0.006 / 0.30 / 1.20"),
            2500,
            sees_images=True,
            has_responses=True,
            fingerprint="aeb56401ca74e127821c4f9126dcb669",
            thinking_prompt=26,
        ),
        _AUGUST_16.models[1],
    ),
    {"deepseek-v4-flash": Alias("deepseek-flash"), "deepseek-v4-flash-vision-exp": Alias("deepseek-flash")},
    has_responses=True,
    has_long_rows=True,
    takes_ultra=True,
    refuses_unknown_names=True,
)
_OCTOBER_17 = replace(_SEPTEMBER_10, name="2026-10-17", began=datetime(2026, 10, 17, tzinfo=UTC))
_NOVEMBER = replace(_SEPTEMBER_10, name="2026-11", began=datetime(2026, 10, 31, 16, tzinfo=UTC))

PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        _APRIL_24, _APRIL_26, _JULY_24, _JULY_31, _AUGUST_13, _AUGUST_16, _AUGUST_21, _SEPTEMBER_10, _OCTOBER_17,
        _NOVEMBER,
    )
}  # fmt: skip
"""The profiles by name, oldest first."""


def profile_at(moment: float) -> Profile:
    """Returns the profile at a time (Unix time); before the first one began, the first."""
    begun = [profile for profile in PROFILES.values() if profile.began.timestamp() <= moment]
    return begun[-1] if begun else _APRIL_24


def retired(profile: Profile) -> Profile:
    """Returns the profile that was announced for September 14 and then withdrawn: the flash model serves the pro
    model's name, at its own price.
    """
    if profile.began < _SEPTEMBER_10.began:
        return profile
    aliases = {**profile.aliases, "deepseek-v4-pro": Alias("deepseek-flash")}
    return replace(profile, models=profile.models[:1], aliases=aliases)


def is_peak(moment: float, days: Literal["weekdays", "every_day", "never"], holidays: Sequence[str]) -> bool:
    """Whether a time (Unix time) is in peak hours. `holidays` are dates such as `2026-10-01`."""
    utc = datetime.fromtimestamp(moment, UTC)
    if days == "never" or not any(first <= utc.hour < last for first, last in PEAK_HOURS):
        return False
    return days == "every_day" or (utc.weekday() < 5 and utc.date().isoformat() not in holidays)
