"""The request body of OpenAI's responses."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from emulator.dialects.chat_input import Many, ToolChoice, text_or_list
from emulator.dialects.parameters import ECHOED, IGNORED, honored, ignored, only, refused
from emulator.dialects.responses_input import (
    ItemBody,
    ReasoningBody,
    ResponsesBody,
)


class OpenAIItem(ItemBody):
    role: Literal["user", "assistant", "system", "developer"] | None = None


OpenAIInput = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[Many[OpenAIItem], Tag("<list>")], Discriminator(text_or_list)
]


class OpenAIReasoning(ReasoningBody):
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class OpenAIResponsesBody(ResponsesBody):
    """Every member that OpenAI knows. Members without an effect here may have any value."""

    model: str = ""
    input: OpenAIInput | None = None  # type: ignore[assignment]  # the items that OpenAI knows
    reasoning: OpenAIReasoning | None = None
    background: bool | None = None
    client_metadata: Annotated[Any, IGNORED] = None  # Codex sends it
    context_management: Annotated[Any, IGNORED] = None
    conversation: Annotated[Any, refused("Conversation with id '{value}' not found.", error="not_found")] = None
    include: Many[str] | None = None
    max_tool_calls: Annotated[int | None, ECHOED] = None
    metadata: Annotated[dict[str, Any] | None, ECHOED] = None
    moderation: Annotated[Any, IGNORED] = None
    parallel_tool_calls: Annotated[bool | None, ECHOED] = None
    previous_response_id: str | None = None
    prompt: Annotated[Any, ignored("replaces the input, which is then empty")] = None
    prompt_cache_key: Annotated[str | None, ECHOED] = None
    prompt_cache_options: Annotated[Any, IGNORED] = None
    prompt_cache_retention: Annotated[Any, ECHOED] = None
    safety_identifier: Annotated[str | None, ECHOED] = None
    service_tier: Annotated[Literal["auto", "default", "flex", "scale", "priority", "fast"] | None, ECHOED] = None
    store: bool | None = None
    stream_options: dict[str, Any] | None = None
    tool_choice: ToolChoice | None = None
    truncation: Annotated[
        Literal["auto", "disabled"] | None, honored("with auto, no prompt is too long; repeated in the answer")
    ] = None


COUNTED = only(OpenAIResponsesBody, "input", "instructions", "tools", "previous_response_id")
