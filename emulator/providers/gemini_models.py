"""Google's models: thinking, limits and prices. All of this is public (ai.google.dev: models, pricing)."""

from typing import Any

from emulator.providers.base import Price, per_million

CHAT_MODELS = (
    "gemini-3.8-flash", "gemini-3.7-flash", "gemini-3.6-flash", "gemini-3.5-flash", "gemini-3.5-flash-lite",
    "gemini-3.1-pro-preview", "gemini-3.1-flash-lite", "gemini-3-flash-preview",
    "gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite",
)  # fmt: skip
LATEST = {
    "gemini-flash-latest": "gemini-3.8-flash",
    "gemini-flash-lite-latest": "gemini-3.5-flash-lite",
    "gemini-pro-latest": "gemini-3.1-pro-preview",
}
"""Aliases for the newest model of a family."""
DIMENSIONS = {"gemini-embedding-001": 3072, "gemini-embedding-2": 3072}
MODELS = (*CHAT_MODELS, *LATEST, *DIMENSIONS)
CONTEXT, MAX_OUTPUT = 1_048_576, 65_536
EMBEDDED = 2048
"""The maximum tokens of a text to embed."""
LONG = 200_000
"""The tokens of a prompt above which some models cost more."""
PRICES: tuple[tuple[str, Price], ...] = (
    ("gemini-3.8-flash", per_million("0.75", "3.75", "0.075")),
    ("gemini-3.7-flash", per_million("0.75", "3.75", "0.075")),
    ("gemini-3.6-flash", per_million("1.50", "7.50", "0.15")),
    ("gemini-3.5-flash-lite", per_million("0.30", "2.50", "0.03")),
    ("gemini-3.5-flash", per_million("1.50", "9", "0.15")),
    ("gemini-3.1-pro", per_million("2", "12", "0.20")),
    ("gemini-3.1-flash-lite", per_million("0.25", "1.50", "0.025")),
    ("gemini-3-flash", per_million("0.50", "3", "0.05")),
    ("gemini-2.5-pro", per_million("1.25", "10", "0.125")),
    ("gemini-2.5-flash-lite", per_million("0.10", "0.40", "0.01")),
    ("gemini-2.5-flash", per_million("0.30", "2.50", "0.03")),
    ("gemini-embedding-2", per_million("0.20", "0", "0.20")),
    ("gemini-embedding", per_million("0.15", "0", "0.15")),
)
"""Prices by the beginning of a model's name; the first match applies."""
LONG_PRICES: tuple[tuple[str, Price], ...] = (
    ("gemini-3.1-pro", per_million("4", "18", "0.40")),
    ("gemini-2.5-pro", per_million("2.50", "15", "0.25")),
)
"""The same for long prompts."""
FREE = per_million("0", "0", "0")


def price_of(model: str, prompt: int = 0) -> Price:
    """Returns the price of a model's tokens with a prompt of this length; unknown models are free."""
    name = LATEST.get(model, model)
    rows = (*LONG_PRICES, *PRICES) if prompt > LONG else PRICES
    return next((price for prefix, price in rows if name.startswith(prefix)), FREE)


def is_newer(model: str) -> bool:
    """Whether a model is of the third generation or later: it signs its calls and checks their signatures later."""
    return model.startswith(("gemini-3", "gemini-4"))


def thinks(model: str, budget: int | None, level: str | None) -> bool:
    """Whether a model thinks with this budget or level. None: the request does not say."""
    if budget is not None:
        return budget != 0
    if not model.startswith("gemini-"):
        return False
    if level is not None:
        return level.upper() != "MINIMAL"
    return "flash-lite" not in model


def model_row(name: str) -> dict[str, Any]:
    """Returns a model as the list shows it."""
    title = " ".join(word.capitalize() if word.isalpha() else word for word in name.split("-"))
    row: dict[str, Any] = {
        "name": f"models/{name}",
        "version": name.removeprefix("gemini-").partition("-")[0],
        "displayName": title,
        "description": f"The emulator's {title}",
    }
    if name in DIMENSIONS:
        return {
            **row,
            "inputTokenLimit": EMBEDDED,
            "outputTokenLimit": 1,
            "supportedGenerationMethods": ["embedContent", "countTokens"],
        }
    return {
        **row,
        "inputTokenLimit": CONTEXT,
        "outputTokenLimit": MAX_OUTPUT,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "maxTemperature": 2,
        "thinking": True,
    }
