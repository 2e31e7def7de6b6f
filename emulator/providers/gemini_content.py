"""Generate content and embeddings with Google's own models, rules and JSON format."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from emulator.dialects.base import provider_error
from emulator.dialects.embed_content import EmbedContent
from emulator.dialects.generate_content import GenerateContent, GenerateContentArray
from emulator.dialects.generate_content_input import JSON, GenerateContentBody
from emulator.dialects.generate_content_urls import STREAM
from emulator.dialects.generate_content_words import is_signature
from emulator.providers.gemini_models import DIMENSIONS, MAX_OUTPUT, is_newer, thinks
from emulator.request import HttpRequest

if TYPE_CHECKING:
    from emulator.providers.gemini import Gemini  # noqa: F401  # a type argument below

SIGNATURES = "https://ai.google.dev/gemini-api/docs/thought-signatures"
NO_KEY = (
    "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other "
    "form of API consumer identity to call this API."
)


class GeminiContent(GenerateContent["Gemini"]):
    """Generate content with Google's own models, rules and JSON format."""

    def key_of(self, headers: Mapping[str, str]) -> str:
        raise provider_error("unauthorized", NO_KEY, status=403, type="PERMISSION_DENIED", code="")

    def bad_request(self, message: str, fields: str | None = None) -> Exception:
        return provider_error("bad_request", message, param=fields)

    def event_dumps(self, native: Any) -> bytes:
        return json.dumps(native, ensure_ascii=False, separators=(",", ": ")).encode("utf-8", "surrogatepass")

    def model_of(self, http_request: HttpRequest, body: GenerateContentBody) -> str:
        method = {STREAM: "streamGenerateContent", "count_tokens": "countTokens"}.get(http_request.operation)
        return self.provider.model_named(http_request.parameters["model"], method or "generateContent")

    def thinks(self, model: str, body: GenerateContentBody) -> bool | None:
        thinking = body.config.thinking_config
        if thinking is None:
            return thinks(model, None, None)
        return thinks(model, thinking.thinking_budget, thinking.thinking_level)

    def shows_ids(self, model: str) -> bool:
        wanted = self.provider.settings.call_ids
        return wanted == "always" or (wanted == "auto" and is_newer(model))

    def signs_text(self, model: str) -> bool:
        return is_newer(model)

    def validation_errors(self, model: str, body: GenerateContentBody) -> Iterator[str]:
        yield from super().validation_errors(model, body)
        config = body.config
        if config.max_output_tokens is not None and config.max_output_tokens > MAX_OUTPUT:
            yield (
                f"Unable to submit request because it has a maxOutputTokens value of {config.max_output_tokens} but "
                f"the supported range is from 1 (inclusive) to {MAX_OUTPUT + 1} (exclusive). Update the value and try "
                "again."
            )
        if body.functions and config.response_mime_type == JSON and not is_newer(model):
            yield f"Function calling with a response mime type: '{JSON}' is unsupported"
        yield from complaints_of_thinking(model, body)
        if is_newer(model) and self.provider.settings.signatures == "check":
            yield from complaints_of_signatures(body)


class GeminiContentArray(GenerateContentArray["Gemini"], GeminiContent):
    """The same, streamed as a JSON array."""


class GeminiEmbeddings(EmbedContent):
    plain_dimensions: ClassVar[Mapping[str, int]] = DIMENSIONS


def complaints_of_thinking(model: str, body: GenerateContentBody) -> Iterator[str]:
    """Yields the thinking options that a model doesn't support."""
    thinking = body.config.thinking_config
    if thinking is None:
        return
    if thinking.thinking_level is not None and not is_newer(model):
        yield "Thinking level is not supported for this model."
    budget = thinking.thinking_budget
    low, high = (128, 32768) if "pro" in model else (512 if "lite" in model else 1, 24576)
    if budget == 0 and "pro" in model:
        yield "Budget 0 is invalid. This model only works in thinking mode."
    elif budget not in (None, 0, -1) and budget is not None and not low <= budget <= high:
        yield f"The thinking budget {budget} is invalid. Please choose a value between {low} and {high}."


def complaints_of_signatures(body: GenerateContentBody) -> Iterator[str]:
    """Yields the calls without a valid signature since the user's last turn: the first call of each turn needs one."""
    contents = body.contents or ()
    spoken = [
        number
        for number, turn in enumerate(contents)
        if turn.role != "model" and any(part.function_response is None for part in turn.parts or ())
    ]
    for number, turn in enumerate(contents):
        called = [part for part in turn.parts or () if part.function_call is not None]
        if turn.role != "model" or not called or number < max(spoken, default=0):
            continue
        signature = called[0].thought_signature
        call = called[0].function_call
        if not signature and call is not None:
            yield (
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                "work correctly, and missing thought_signature may lead to degraded model performance. Additional "
                f"data, function call `default_api:{call.name}` , position {number + 1}. Please refer to {SIGNATURES} "
                "for more details."
            )
        elif signature and not is_signature(signature):
            yield "Corrupted thought signature."
