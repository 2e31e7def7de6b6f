"""DeepSeek's own API as of a date, which `providers.deepseek.profile` selects."""

from collections.abc import Sequence
from typing import Any

from emulator.providers.base import Price, Provider
from emulator.providers.deepseek_build import DeepSeekBuild
from emulator.providers.deepseek_input import DeepSeekBody
from emulator.providers.deepseek_profiles import (
    CONTEXT_WINDOW,
    MAX_OUTPUT,
    PROFILES,
    Profile,
    is_peak,
    profile_at,
    retired,
)
from emulator.providers.deepseek_rules import EFFORTS, MAX_TOKENS, NamesModel
from emulator.providers.deepseek_settings import DeepSeekSettings

EARLIER_EFFORTS = {"minimal": "high", "low": "high", "medium": "high", "xhigh": "max"}

MAX_TOKENS_OF = {"deepseek-chat": 8192, "deepseek-reasoner": 65536}
"""The output limits of the models of 2025, which a scenario can still list. V4's is higher."""
R1 = "deepseek-reasoner"


class DatedDeepSeek(DeepSeekBuild):
    """The models, prices and efforts of one profile."""

    prices_move = True

    def __init__(self, settings: DeepSeekSettings | None = None) -> None:
        super().__init__(settings)
        self.profile = profile_of(self.settings)
        self.is_dated = self.settings.profile == "clock"
        self.watches_concurrency = self.settings.concurrency is not None
        if self.profile.takes_ultra:
            self.efforts = (*self.efforts, "ultra")
        self._dated: dict[str, DatedDeepSeek] = {}

    def at(self, moment: float) -> Provider:
        if self.settings.profile != "clock":
            return self
        name = profile_at(moment).name
        if name not in self._dated:
            dated = self._dated[name] = type(self)(self.settings.model_copy(update={"profile": name}))
            dated.is_dated = True
        return self._dated[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The models in the list of models."""
        models = self.settings.models
        return self.profile.names if models is None or models == "profile" else models

    def served_names(self) -> Sequence[str] | None:
        if self.settings.models != "profile":
            return self.settings.models
        profiles = PROFILES.values() if self.settings.profile == "clock" else (self.profile,)
        return list(dict.fromkeys(name for each in profiles for name in (*each.names, *each.aliases)))

    def served_model(self, name: str) -> str:
        """Returns the model name in the answer to a request for `name`."""
        served = self.profile.model(name) if self.settings.models in (None, "profile") else None
        return name if served is None or self.settings.echo_model == "sent" else served.id

    def sees_images(self, name: str) -> bool:
        """Whether a model accepts images; unknown models do."""
        served = self.profile.model(name)
        return served.sees_images if served is not None else True

    def price_of(self, model: str, moment: float) -> Price:
        served = self.profile.model(model)
        if served is None:
            return self.price
        rates = served.rates
        is_dear = rates.peak is not None and is_peak(moment, self.settings.peak_days, self.settings.holidays)
        return rates.peak if is_dear and rates.peak is not None else rates.off_peak

    def concurrency_of(self, model: str) -> int | None:
        most = self.settings.concurrency
        if most != "profile":
            return most
        served = self.profile.model(model)
        return served.concurrency if served is not None else None

    def concurrency_message(self, now: int, limit: int) -> str | None:
        return (
            f"Your current concurrency is {now}, which exceeds your concurrency limit of {limit} based on your "
            "remaining balance. Please top up your balance to restore your concurrency."
        )

    def effort_of(self, effort: str | None, model: str) -> str | None:
        meant = self.settings.effort
        if meant == "profile":
            served = self.profile.model(model)
            meant = "current" if served is None or served.is_literal_about_efforts else "earlier"
        mapping = {"ultra": "max", **(EFFORTS if meant == "current" else EARLIER_EFFORTS)}
        return None if effort is None else mapping.get(effort, effort)

    def is_of_2025(self, model: str) -> bool:
        """Whether a name refers to the model of 2025 rather than to a newer one."""
        return model in MAX_TOKENS_OF and (
            self.settings.models not in (None, "profile") or model not in self.profile.aliases
        )

    def most_tokens_of(self, body: NamesModel) -> int:
        return MAX_TOKENS_OF[body.model] if self.is_of_2025(body.model) else MAX_TOKENS

    def thinks(self, body: DeepSeekBody) -> bool:
        if body.thinking is None and body.model in MAX_TOKENS_OF:
            return body.model == R1
        return super().thinks(body)

    def complaint_of_model(self, model: str, *, for_responses: bool = False, for_gaps: bool = False) -> str | None:
        """Returns the error message for the name of a model; None if it is valid."""
        if self.settings.models is None:
            return None
        names = self.names
        if self.settings.models == "profile":
            served = self.profile.model(model)
            able = [
                each
                for each in self.profile.models
                if (each.has_responses or not for_responses) and (each.fills_gaps or not for_gaps)
            ]
            names = tuple([each.id for each in able])
            if served in able:
                return None
        elif model in names:
            return None
        shown = " or ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])}, and {names[-1]}"
        return f"The supported API model names are {shown}, but you passed {model}."

    def row(self, name: str) -> dict[str, Any]:
        """Returns a model as the list of models shows it."""
        row: dict[str, Any] = {"id": name, "object": "model", "owned_by": "deepseek"}
        model = self.profile.model(name)
        if model is None or not self.profile.has_long_rows:
            return row
        return {
            **row,
            "name": model.name,
            "context_window": CONTEXT_WINDOW,
            "max_output_tokens": MAX_OUTPUT,
            "input_modalities": ["text", "image"] if model.sees_images else ["text"],
            "output_modalities": ["text"],
            "effort": {"supported_levels": ["low", "high", "max"], "default_level": "high"},
            "api_capabilities": {"anthropic_messages": {"system_prompt_update": "in-history"}},
        }


def profile_of(settings: DeepSeekSettings) -> Profile:
    """Returns the profile that the settings select; with `clock`, the newest one."""
    found = PROFILES["2026-11" if settings.profile == "clock" else settings.profile]
    return retired(found) if settings.pro_retired else found
