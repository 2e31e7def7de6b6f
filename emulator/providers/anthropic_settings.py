"""What a scenario may set for Anthropic."""

from typing import Literal

from emulator.providers.base import NameList, Settings
from emulator.providers.claude_models import MODELS, NEWEST

VERSIONS = ("2023-06-01", NEWEST)


class AnthropicSettings(Settings):
    models: NameList | None = MODELS
    """The available models; null accepts any name."""
    versions: NameList = VERSIONS
    """The allowed values of `anthropic-version`. From 2026-10-21 on, sampling members are rejected."""
    strict_members: bool = True
    """Whether to reject members that Anthropic doesn't know."""
    signatures: Literal["verify", "accept"] = "verify"
    """Whether to verify the signatures of thoughts that come back."""
    heartbeat: float | None = 15.0
    """Seconds between the `ping` events of a stream that waits for its first token."""
    requests_per_minute: int | None = None
    """The requests per key and model; null reports 4,000 and enforces nothing."""
    input_tokens_per_minute: int | None = None
    """The uncached prompt tokens per key and model; null reports 2,000,000 and enforces nothing."""
    output_tokens_per_minute: int | None = None
    """The answer tokens per key and model; null reports 400,000 and enforces nothing."""
