"""OpenAI's models: reasoning, context lengths, prices.

All of this is public (the SDK's own list, platform.openai.com, developers.openai.com).
"""

import re

from emulator.providers.base import Price, per_million

CHAT_MODELS = (
    "gpt-6.2-sol", "gpt-6.2-astra", "gpt-6.1-sol", "gpt-6-astra", "gpt-6-sol", "gpt-6-luna",
    "gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna", "gpt-5.5", "gpt-5.5-2026-04-23",
    "gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano", "gpt-5.2", "gpt-5.1",
    "gpt-5", "gpt-5-2025-08-07", "gpt-5-mini", "gpt-5-mini-2025-08-07", "gpt-5-nano", "gpt-5-nano-2025-08-07",
    "gpt-4.1", "gpt-4.1-2025-04-14", "gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", "gpt-4.1-nano",
    "gpt-4.1-nano-2025-04-14", "gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-2024-11-20", "gpt-4o-mini",
    "gpt-4o-mini-2024-07-18", "gpt-4-turbo", "gpt-4", "gpt-3.5-turbo", "o4-mini", "o3", "o3-mini", "o1",
)  # fmt: skip
DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
MODERATION_MODELS = ("omni-moderation-latest", "omni-moderation-2024-09-26", "text-moderation-latest")
MODELS = (*CHAT_MODELS, *DIMENSIONS, *MODERATION_MODELS)
FINE_TUNED = "ft:"

THINKS = re.compile(r"(ft:)?(o\d|gpt-[5-9])(?!.*-chat)")
"""The models that reason before they answer."""
THINKS_ON_REQUEST = re.compile(r"(ft:)?gpt-(5\.\d|[6-9])")
"""Those that don't reason unless a request asks for an effort."""
CONTEXTS = (
    ("gpt-6", 1_050_000), ("gpt-5.6", 1_050_000), ("gpt-5.5", 1_050_000), ("gpt-5.4", 1_050_000), ("gpt-5", 400_000),
    ("gpt-4.1", 1_047_576), ("gpt-4o", 128_000), ("gpt-4-turbo", 128_000), ("gpt-4", 8_192), ("gpt-3.5", 16_385),
    ("o", 200_000),
)  # fmt: skip
"""The maximum tokens of prompt and answer together, by the beginning of a model's name."""
PRICES: tuple[tuple[str, Price], ...] = (
    ("gpt-6-astra", per_million("10", "50", "1")),
    ("gpt-6.2-astra", per_million("10", "50", "1")),
    ("gpt-6.1-sol", per_million("2", "10", "0.10")),
    ("gpt-6.2-sol", per_million("2", "10", "0.10")),
    ("gpt-6-sol", per_million("2", "10", "0.20")),
    ("gpt-6-luna", per_million("0.10", "0.50", "0.01")),
    ("gpt-5.6-sol", per_million("4", "20", "0.4")),
    ("gpt-5.6-terra", per_million("2", "12", "0.2")),
    ("gpt-5.6-luna", per_million("0.2", "1.2", "0.02")),
    ("gpt-5.5", per_million("5", "30", "0.5")),
    ("gpt-5.4-mini", per_million("0.75", "4.5", "0.075")),
    ("gpt-5.4-nano", per_million("0.2", "1.25", "0.02")),
    ("gpt-5.4", per_million("2.5", "15", "0.25")),
    ("gpt-5.2", per_million("1.75", "14", "0.175")),
    ("gpt-5-mini", per_million("0.25", "2", "0.025")),
    ("gpt-5-nano", per_million("0.05", "0.4", "0.005")),
    ("gpt-5", per_million("1.25", "10", "0.125")),
    ("gpt-4.1-mini", per_million("0.4", "1.6", "0.1")),
    ("gpt-4.1-nano", per_million("0.1", "0.4", "0.025")),
    ("gpt-4.1", per_million("2", "8", "0.5")),
    ("gpt-4o-mini", per_million("0.15", "0.6", "0.075")),
    ("gpt-4o", per_million("2.5", "10", "1.25")),
    ("gpt-4-turbo", per_million("10", "30", "10")),
    ("gpt-4", per_million("30", "60", "30")),
    ("gpt-3.5-turbo", per_million("0.5", "1.5", "0.5")),
    ("o4-mini", per_million("1.1", "4.4", "0.275")),
    ("o3-mini", per_million("1.1", "4.4", "0.55")),
    ("o3", per_million("2", "8", "0.5")),
    ("o1", per_million("15", "60", "7.5")),
    ("text-embedding-3-small", per_million("0.02", "0", "0.02")),
    ("text-embedding-3-large", per_million("0.13", "0", "0.13")),
    ("text-embedding-ada-002", per_million("0.10", "0", "0.10")),
)
"""Prices by the beginning of a model's name; the first match applies."""
FREE = per_million("0", "0", "0")


def base_of(model: str) -> str:
    """Returns the base of a fine-tuned model; for any other model, the model itself."""
    return model.removeprefix(FINE_TUNED).partition(":")[0]


def price_of(model: str) -> Price:
    """Returns the price of a model's tokens; unknown models are free."""
    name = base_of(model)
    return next((price for prefix, price in PRICES if name.startswith(prefix)), FREE)


def context_of(model: str) -> int:
    """Returns the maximum tokens of prompt and answer together."""
    name = base_of(model)
    return next((length for prefix, length in CONTEXTS if name.startswith(prefix)), 1_050_000)


def is_thinker(model: str) -> bool:
    """Whether a model can reason before it answers."""
    return THINKS.match(model) is not None


def thinks(model: str, effort: str | None) -> bool:
    """Whether a model reasons with this effort; None: the request asks for none."""
    if not is_thinker(model):
        return False
    return effort != "none" if effort is not None else THINKS_ON_REQUEST.match(model) is None
