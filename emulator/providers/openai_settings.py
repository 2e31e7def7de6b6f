"""What a scenario may set for OpenAI."""

from emulator.providers.base import NameList, Settings
from emulator.providers.openai_models import MODELS


class OpenAISettings(Settings):
    models: NameList | None = MODELS
    """The available models, including their fine-tuned versions; null accepts any name."""
    strict_members: bool = True
    """Whether to reject members that OpenAI doesn't know; many compatible servers ignore them."""
    obfuscation: bool = True
    """Whether to pad events to similar lengths if the request doesn't say."""
    requests_per_minute: int | None = None
    """The requests per key and model; null reports 10,000 and enforces nothing."""
    tokens_per_minute: int | None = None
    """The tokens per key and model; null reports 30,000,000 and enforces nothing."""
