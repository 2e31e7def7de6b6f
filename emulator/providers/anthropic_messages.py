"""Messages at Anthropic itself."""

from typing import TYPE_CHECKING

from emulator.dialects.base import provider_error
from emulator.providers.claude_messages import ClaudeBody, ClaudeMessages
from emulator.request import HttpRequest

if TYPE_CHECKING:
    from emulator.providers.anthropic import Anthropic  # noqa: F401  # a type argument below


class AnthropicMessages(ClaudeMessages["Anthropic"]):
    """`POST /v1/messages`"""

    weighs_words = False

    def version(self, http_request: HttpRequest) -> str:
        return self.provider.version_of(http_request)

    def model_of(self, http_request: HttpRequest, body: ClaudeBody) -> str:
        models = self.provider.settings.models
        if models is not None and body.model not in models:
            raise provider_error("model_not_found", f"model: {body.model}")
        return body.model
