"""Gemini from gateways: Serevix (New API) with either form of a key, Cloudsway with its own key and also as chat
completions."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError

from emulator.dialects.base import PLAIN, Habits
from emulator.dialects.chat_input import BodyType
from emulator.dialects.generate_content import GenerateContent, GenerateContentArray
from emulator.dialects.generate_content_input import GenerateContentBody
from emulator.dialects.serde import not_of_type, serde
from emulator.providers.base import provider_error
from emulator.providers.gemini_openai import GeminiChatBody, GoogleChat
from emulator.providers.reselling import GOOGLE_CHAT
from emulator.request import Controls, HttpRequest, ModelRequest

if TYPE_CHECKING:
    from emulator.providers.cloudsway import Cloudsway  # noqa: F401  # a type argument below
    from emulator.providers.serevix import Serevix  # noqa: F401  # a type argument below


MODEL = "gemini-2.5-flash"
"""The default model, if neither the URL nor the body names one."""


class SerevixContent(GenerateContent["Serevix"]):
    """`POST /v1/v1beta/models/{model}:generateContent`"""

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        request = super().parse(http_request, key)
        models = self.provider.settings.models
        if models is not None and request.model not in models:
            raise provider_error("model_not_found")
        return request


class SerevixArray(GenerateContentArray["Serevix"], SerevixContent):
    """The same, streamed as a JSON array."""


class CloudswayBody(GenerateContentBody):
    """The path names an endpoint, so the body may name the model."""

    model: str | None = None


class CloudswayContent(GenerateContent["Cloudsway"]):
    """`POST /v1/ai/{endpointPath}/generateContent`"""

    Body: ClassVar[type[GenerateContentBody]] = CloudswayBody

    def key_in(self, http_request: HttpRequest) -> str:
        return self.key_of(http_request.headers)

    def model_of(self, http_request: HttpRequest, body: GenerateContentBody) -> str:
        return (body.model or MODEL).removeprefix("models/")

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        self.provider.check_endpoint(http_request)
        return super().parse(http_request, key)


class CloudswayArray(GenerateContentArray["Cloudsway"], CloudswayContent):
    """The same, streamed as a JSON array."""


class CloudswayChatBody(GeminiChatBody):
    """The path names an endpoint, so the body may name the model."""

    model: str | None = None  # type: ignore[assignment]


class CloudswayChat(GoogleChat["Cloudsway"]):
    """`POST /v1/ai/{endpointPath}/google/chat/completions`"""

    dialect = GOOGLE_CHAT
    Body = CloudswayChatBody

    def read(self, http_request: HttpRequest, model: type[BodyType]) -> tuple[BodyType, Mapping[str, Any]]:
        self.provider.check_endpoint(http_request)
        return super().read(http_request, model)

    def model_habits(self) -> Habits:
        return PLAIN

    def not_of_type(self, error: ValidationError) -> Exception:
        return self.bad_request(not_of_type(serde(error.errors(include_url=False)[0])))

    def model_of(self, http_request: HttpRequest, body: GeminiChatBody) -> str:
        return (body.model or MODEL).removeprefix("models/")

    def controls(self, body: GeminiChatBody) -> Controls:
        controls = super().controls(body)  # no model checks the calls here, so `validated` means `auto`
        return replace(controls, tool_choice="auto") if controls.tool_choice == "validated" else controls
