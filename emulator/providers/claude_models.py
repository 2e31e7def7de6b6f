"""Anthropic's models: which there are, how each of them thinks, how much it takes, what its tokens cost.

Names, prices, contexts and ways of thinking are public (the list in the SDK, platform.claude.com).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from emulator.providers.base import Price, per_million
from emulator.reply import Usage

Thinks = Literal["never", "on_request", "by_default", "always"]
"""When a model thinks: only if asked to; unless told not to; whatever it is told."""
MANUAL, BOTH, ADAPTIVE = ("enabled",), ("enabled", "adaptive"), ("adaptive",)
"""How it can be asked to: with a budget of tokens, as it sees fit, or either."""
EFFORTS_OF_OPUS_4_5 = ("low", "medium", "high")
EFFORTS_OF_4_6 = ("low", "medium", "high", "max")
EFFORTS = ("low", "medium", "high", "xhigh", "max")
MILLION = 1_000_000
SEARCH = Decimal("0.01")
"""What one search costs."""


def price(prompt: str, completion: str, read: str) -> Price:
    """A price for a million tokens: what is put into the cache for five minutes costs a quarter more, for an hour
    twice as much."""
    base = Decimal(prompt)
    return per_million(prompt, completion, read, str(base * Decimal("1.25")), str(base * 2))


@dataclass(frozen=True, slots=True)
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
    """Whether thoughts are shown where the request does not say."""
    is_sampled: bool = False
    """Whether `temperature`, `top_p` and `top_k` may be set."""
    prefills: bool = False
    """Whether the conversation may end with the beginning of the answer."""
    cache_from: int = 1024
    """Shorter prompts are not cached."""
    long_price: Price | None = None
    """What tokens cost in prompts of more than 100,000 tokens, where that is more."""

    retires: str | None = None
    """The day on which it stops answering, where that is known."""

    def can_think(self, mode: str) -> bool:
        """Whether it can be asked to think in this way."""
        return self.thinks != "never" and mode in self.modes

    def cost(self, usage: Usage) -> Decimal:
        """What an answer costs, in USD."""
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
"""The models that answer, the newest first."""
BY_NAME: Mapping[str, Claude] = {model.name: model for model in LINE}
ALIASES: Mapping[str, str] = {
    "claude-opus-4-5": "claude-opus-4-5-20251101",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
}
"""Names that stand for the newest of a line."""
MODELS = (*BY_NAME, *ALIASES)
UNKNOWN = Claude(
    "", "", "1970-01-01", SONNET_4, MILLION, 128_000, "on_request", BOTH, EFFORTS, shows_thoughts=True,
    is_sampled=True, prefills=True,
)  # fmt: skip
"""What is assumed of a model that only a scenario or a reseller knows: it takes whatever some model takes."""


def served(name: str) -> str:
    """The model that answers to a name."""
    return ALIASES.get(name, name)


def claude(name: str) -> Claude:
    """What is known of a model."""
    return BY_NAME.get(served(name), UNKNOWN)
