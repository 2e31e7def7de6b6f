"""Anthropic's models: their thinking modes, context lengths and prices.

All of this is public (the list in the SDK, platform.claude.com).
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from emulator.providers.base import Price, per_million
from emulator.records import record
from emulator.reply import Usage

Thinks = Literal["never", "on_request", "by_default", "always"]
"""When a model thinks: never, only on request, unless disabled, or always."""
MANUAL, BOTH, ADAPTIVE = ("enabled",), ("enabled", "adaptive"), ("adaptive",)
"""The modes of thinking that a request can choose: with a token budget, adaptive, or either."""
EFFORTS_OF_OPUS_4_5 = ("low", "medium", "high")
EFFORTS_OF_4_6 = ("low", "medium", "high", "max")
EFFORTS = ("low", "medium", "high", "xhigh", "max")
NEWEST = "2026-10-21"
"""The version of the API that rejects sampling members."""
MILLION = 1_000_000
SEARCH = Decimal("0.01")
"""The price of one search, in USD."""


def price(prompt: str, completion: str, read: str) -> Price:
    """Returns a price from USD per million tokens. Writing to the cache costs 25 percent more for five minutes, and
    twice as much for an hour.
    """
    base = Decimal(prompt)
    return per_million(prompt, completion, read, str(base * Decimal("1.25")), str(base * 2))


@record
class Claude:
    """One model."""

    name: str
    title: str
    created: str
    price: Price
    context: int = MILLION
    most_tokens: int = 128_000
    thinks: Thinks = "by_default"
    modes: tuple[str, ...] = ADAPTIVE
    efforts: tuple[str, ...] = EFFORTS
    shows_thoughts: bool = False
    """Whether thoughts are shown if the request does not say."""
    is_sampled: bool = False
    """Whether `temperature`, `top_p` and `top_k` may be set."""
    prefills: bool = False
    """Whether the conversation may end with the beginning of the answer (prefill)."""
    cache_from: int = 1024
    """Shorter prompts are not cached."""
    long_price: Price | None = None
    """The higher price of prompts of more than 100,000 tokens; None: the same price."""

    retires: str | None = None
    """The date on which it is retired, if known."""

    def can_think(self, mode: str) -> bool:
        """Whether a request can choose this thinking mode."""
        return self.thinks != "never" and mode in self.modes

    def cost(self, usage: Usage) -> Decimal:
        """Returns the cost of an answer, in USD."""
        is_long = self.long_price is not None and usage.prompt > 100_000
        price = self.long_price if is_long and self.long_price is not None else self.price
        return price.of(usage) + usage.searches * SEARCH


FABLE, OPUS, SONNET_4 = price("10", "50", "1"), price("5", "25", "0.50"), price("3", "15", "0.30")
LINE: tuple[Claude, ...] = (
    Claude("claude-fable-5-2", "Claude Fable 5.2", "2026-11-09", price("8", "40", "0.20"), thinks="always"),
    Claude("claude-mythos-5-2", "Claude Mythos 5.2", "2026-11-09", price("8", "40", "0.20"), thinks="always"),
    Claude(
        "claude-haiku-5-5", "Claude Haiku 5.5", "2026-10-07", price("0.10", "0.50", "0.01"),
        long_price=price("0.50", "2.50", "0.05"),
    ),
    Claude("claude-sonnet-5-5", "Claude Sonnet 5.5", "2026-09-28", price("2", "10", "0.10")),
    Claude("claude-opus-5-5", "Claude Opus 5.5", "2026-09-18", price("4", "20", "0.20"), thinks="always"),
    Claude("claude-fable-5-1", "Claude Fable 5.1", "2026-09-01", price("10", "50", "0.25"), thinks="always"),
    Claude("claude-mythos-5-1", "Claude Mythos 5.1", "2026-09-01", price("10", "50", "0.25"), thinks="always"),
    Claude("claude-opus-5", "Claude Opus 5", "2026-07-24", OPUS),
    Claude("claude-sonnet-5", "Claude Sonnet 5", "2026-06-30", price("2", "10", "0.20")),
    Claude("claude-fable-5", "Claude Fable 5", "2026-06-09", FABLE, thinks="always", cache_from=512),
    Claude("claude-mythos-5", "Claude Mythos 5", "2026-06-09", FABLE, thinks="always", cache_from=512),
    Claude("claude-opus-4-8", "Claude Opus 4.8", "2026-05-28", OPUS, thinks="on_request"),
    Claude("claude-opus-4-7", "Claude Opus 4.7", "2026-04-16", OPUS, thinks="on_request", cache_from=4096),
    Claude(
        "claude-sonnet-4-6", "Claude Sonnet 4.6", "2026-02-17", SONNET_4, MILLION, 64_000, "on_request", BOTH,
        EFFORTS_OF_4_6, shows_thoughts=True, is_sampled=True, cache_from=2048,
    ),
    Claude(
        "claude-opus-4-6", "Claude Opus 4.6", "2026-02-05", OPUS, MILLION, 128_000, "on_request", BOTH,
        EFFORTS_OF_4_6, shows_thoughts=True, is_sampled=True, cache_from=4096,
    ),
    Claude(
        "claude-opus-4-5-20251101", "Claude Opus 4.5", "2025-11-24", OPUS, 200_000, 64_000, "on_request", MANUAL,
        EFFORTS_OF_OPUS_4_5, shows_thoughts=True, is_sampled=True, prefills=True, cache_from=4096,
        retires="2027-01-22",
    ),
    Claude(
        "claude-haiku-4-5-20251001", "Claude Haiku 4.5", "2025-10-15", price("1", "5", "0.10"), 200_000, 64_000,
        "on_request", MANUAL, (), shows_thoughts=True, is_sampled=True, prefills=True, cache_from=4096,
    ),
    Claude(
        "claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", "2025-09-29", SONNET_4, 200_000, 64_000, "on_request",
        MANUAL, (), shows_thoughts=True, is_sampled=True, prefills=True, retires="2026-11-30",
    ),
)  # fmt: skip
"""The available models, newest first."""
BY_NAME: Mapping[str, Claude] = {model.name: model for model in LINE}
ALIASES: Mapping[str, str] = {
    "claude-opus-4-5": "claude-opus-4-5-20251101",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
}
"""Aliases for the newest model of a family."""
MODELS = (*BY_NAME, *ALIASES)
UNKNOWN = Claude(
    "", "", "1970-01-01", SONNET_4, MILLION, 128_000, "on_request", BOTH, EFFORTS, shows_thoughts=True,
    is_sampled=True, prefills=True,
)  # fmt: skip
"""The defaults for a model that only a scenario or a reseller knows: it accepts whatever any model accepts."""


def served(name: str) -> str:
    """Returns the model that a name refers to."""
    return ALIASES.get(name, name)


def claude(name: str) -> Claude:
    """Returns the properties of a model."""
    return BY_NAME.get(served(name), UNKNOWN)
