"""The table of providers; each has a file of its own."""

from collections.abc import Mapping

from emulator.dialects.base import WireShape
from emulator.providers.anthropic import Anthropic
from emulator.providers.base import Provider
from emulator.providers.cloudsway import Cloudsway
from emulator.providers.deepseek import DeepSeek
from emulator.providers.gemini import Gemini
from emulator.providers.maxtoken import MaxToken
from emulator.providers.nadles import Nadles
from emulator.providers.openai import OpenAI
from emulator.providers.openrouter import OpenRouter
from emulator.providers.plugins import with_plugins
from emulator.providers.serevix import Serevix

PROVIDERS: Mapping[str, type[Provider]] = with_plugins(
    {
        "maxtoken": MaxToken,
        "nadles": Nadles,
        "serevix": Serevix,
        "cloudsway": Cloudsway,
        "deepseek": DeepSeek,
        "openai": OpenAI,
        "anthropic": Anthropic,
        "openrouter": OpenRouter,
        "gemini": Gemini,
    }
)
"""Every provider by its name in URLs; installed packages may add more."""

COMPLETIONS: tuple[str, ...] = tuple(
    {each.name: None for provider in PROVIDERS.values() for each in provider.operations if each.is_completion}
)
"""The operations that a model answers; a rule that names no operation matches these."""

CREDENTIALS: tuple[str, ...] = tuple(
    {provider.auth_header.partition(":")[0].strip().lower(): None for provider in PROVIDERS.values()}
)
"""The headers for the providers' keys, in lower case."""


def shape_of(provider: str, dialect: str) -> WireShape | None:
    """Returns the wire shape of an endpoint; None if it is unknown."""
    vendor = PROVIDERS.get(provider)
    return vendor().speaking(dialect) if vendor is not None and dialect else None
