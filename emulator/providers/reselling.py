"""What resellers of Claude, Gemini and GPT share as vendors: endpoints, prices and names of models. Their dialects are
in `resold_claude`, `resold_gemini` and `resold_media`, which are loaded when a request speaks one of them."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from emulator.dialects.generate_content_urls import ARRAY, CONTENT, STREAM
from emulator.providers.base import Mark, Operation, Price, Provider, SettingsT_co
from emulator.providers.claude_models import claude
from emulator.providers.gemini_models import price_of
from emulator.request import ModelRequest

CLAUDE = "claude"
"""The prefix of Claude's model names."""
CLAUDE_MODEL, RESPONSES_MODEL = "claude-opus-4-6", "gpt-5.4"
"""The default models of Cloudsway's endpoints for messages and for responses."""
GOOGLE_CHAT = "google_chat"


class ResellsClaude(Provider[SettingsT_co]):
    """A provider that serves Claude's models at Anthropic's own prices."""

    def price_of(self, model: str, moment: float) -> Price:
        return claude(model).price if model.startswith(CLAUDE) else super().price_of(model, moment)

    def cost(self, usage: Any, model: str, moment: float) -> Decimal:
        if self.settings.price is None and model.startswith(CLAUDE):
            return claude(model).cost(usage)
        return super().cost(usage, model, moment)


class ResellsGemini(Provider[SettingsT_co]):
    """A provider that serves Google's models among others, with Google's tokens and prices."""

    def prompt_texts(self, request: ModelRequest) -> tuple[int, Sequence[str]]:
        is_native = request.http_request.dialect in (CONTENT, ARRAY, GOOGLE_CHAT)
        if not is_native:
            return super().prompt_texts(request)
        from emulator.dialects.generate_content_input import prompt_texts  # loaded with the dialect

        return prompt_texts(request)

    def price_of(self, model: str, moment: float) -> Price:
        return price_of(model) if model.startswith("gemini-") else super().price_of(model, moment)


def gemini_operations(base: str, mark: Mark = "documented") -> Iterator[Operation]:
    """Yields the two endpoints below a path."""
    yield Operation(CONTENT, "POST", f"{base}generateContent", "an answer in Gemini's format", mark, dialect=CONTENT)
    yield Operation(STREAM, "POST", f"{base}streamGenerateContent", "the same, streamed", mark, dialect=CONTENT)


SEREVIX = (
    Operation("messages", "POST", "/v1/messages", "a message", "documented", dialect="messages"),
    Operation("images", "POST", "/v1/images/generations", "pictures", is_completion=False, dialect="images"),
    Operation("embeddings", "POST", "/v1/embeddings", "embeddings", is_completion=False, dialect="embeddings"),
)
CLOUDSWAY = (
    Operation("responses", "POST", "/v1/ai/{endpointPath}/responses", "a response", dialect="responses"),
    Operation("responses", "POST", "/v1/responses", "the same, by model name", "public", dialect="responses"),
    Operation(
        "get_response", "GET", "/v1/ai/{endpointPath}/responses/{response_id}", "a stored response", "inferred",
        is_completion=False, dialect="responses",
    ),
    Operation(
        "images", "POST", "/v1/ai/{endpointPath}/images/generations", "pictures", is_completion=False, dialect="images"
    ),
    Operation("messages", "POST", "/{endpointPath}/v1/messages", "a message", "documented", dialect="messages"),
    Operation(
        "messages",
        "POST",
        "/v2/ai/{endpointPath}/claude/chat/completions",
        "the same",
        "documented",
        dialect="messages",
    ),
)  # fmt: skip
