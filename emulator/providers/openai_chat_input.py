"""The request body of OpenAI's chat completions."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from emulator.dialects.chat_input import (
    ChatBody,
    ContentPart,
    Many,
    MessageBody,
    ResponseFormat,
    Stop,
    Strict,
    TextPart,
    ToolChoice,
    text_or_list,
)
from emulator.dialects.parameters import ECHOED, IGNORED, SAMPLING, ignored
from emulator.dialects.responses_input import PLAIN_TEXT
from emulator.request import Message, Tool, ToolCall

Json = dict[str, Any]


class OpenAIPart(ContentPart):
    type: Literal["text", "image_url", "input_audio", "file", "refusal"]
    refusal: str | None = None


def _part_kind(value: Any) -> str:
    return "<text>" if isinstance(value, Mapping) and value.get("type") == "text" else "<other>"


OpenAIContent = Annotated[
    Annotated[str, Tag("<text>")]
    | Annotated[
        Many[
            Annotated[
                Annotated[TextPart, Tag("<text>")] | Annotated[OpenAIPart, Tag("<other>")], Discriminator(_part_kind)
            ]
        ],
        Tag("<list>"),
    ],
    Discriminator(text_or_list),
]


class CallBody(Strict):
    """A call in an earlier turn of the model: of a function, or of a tool that takes any text."""

    id: str
    type: Literal["function", "custom"]
    function: dict[str, Any] | None = None
    custom: dict[str, Any] | None = None

    @property
    def call(self) -> ToolCall:
        said = self.function if self.type == "function" else self.custom
        name, text = ("arguments", "function") if self.type == "function" else ("input", "custom")
        found = said or {}
        kind: Any = text
        return ToolCall(str(found.get("name") or ""), str(found.get(name) or ""), self.id, kind)


class OpenAIMessage(MessageBody):
    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: OpenAIContent | None = None  # type: ignore[assignment]  # the parts that OpenAI knows
    refusal: str | None = None
    tool_calls: Many[CallBody] | None = None  # type: ignore[assignment]  # likewise


class FunctionOffer(Strict):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class OfferBody(Strict):
    type: Literal["function", "custom"]
    function: FunctionOffer | None = None
    custom: FunctionOffer | None = None


class StreamOptions(Strict):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class OpenAIBody(ChatBody):
    """Every member that OpenAI knows. Members without an effect here may have any value."""

    model: str = ""
    messages: Many[OpenAIMessage]
    audio: Annotated[Any, IGNORED] = None
    frequency_penalty: Annotated[float | None, SAMPLING] = None
    function_call: Annotated[Any, ignored("replaced by tool_choice")] = None
    functions: Annotated[Any, ignored("replaced by tools")] = None
    logit_bias: Annotated[dict[str, Any] | None, SAMPLING] = None
    logprobs: bool | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    metadata: Annotated[dict[str, Any] | None, IGNORED] = None
    modalities: Annotated[Any, IGNORED] = None
    moderation: Annotated[Any, IGNORED] = None
    n: int | None = None
    parallel_tool_calls: Annotated[bool | None, IGNORED] = None
    prediction: Annotated[Any, IGNORED] = None
    presence_penalty: Annotated[float | None, SAMPLING] = None
    prompt_cache_key: Annotated[str | None, IGNORED] = None
    prompt_cache_options: Annotated[Any, IGNORED] = None
    prompt_cache_retention: Annotated[Any, IGNORED] = None
    reasoning_effort: str | None = None
    response_format: ResponseFormat | None = None
    safety_identifier: Annotated[str | None, IGNORED] = None
    seed: Annotated[int | None, SAMPLING] = None
    service_tier: Annotated[Literal["auto", "default", "flex", "scale", "priority", "fast"] | None, ECHOED] = None
    stop: Stop | None = None
    store: Annotated[bool | None, IGNORED] = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float | None, SAMPLING] = None
    tool_choice: ToolChoice | None = None
    tools: Many[OfferBody] | None = None
    top_logprobs: int | None = None
    top_p: Annotated[float | None, SAMPLING] = None
    user: Annotated[str | None, IGNORED] = None
    verbosity: Annotated[Literal["low", "medium", "high"] | None, IGNORED] = None
    web_search_options: Annotated[Any, IGNORED] = None


def read_message(body: OpenAIMessage) -> Message:
    """Converts a message to neutral terms; `developer` becomes `system`."""
    parts = body.content if isinstance(body.content, list) else ()
    text = body.content if isinstance(body.content, str) else "".join([part.text or "" for part in parts])
    return Message(
        "system" if body.role == "developer" else body.role,
        text or body.refusal or "",
        tool_calls=tuple([each.call for each in body.tool_calls or ()]),
        tool_call_id=body.tool_call_id,
        name=body.name,
        images=sum(part.type == "image_url" for part in parts),
    )


def read_tools(offers: Any) -> tuple[Tool, ...]:
    """Converts the client's tools to neutral terms."""
    tools = []
    for offer in offers or ():
        said = offer.function if offer.type == "function" else offer.custom
        assert said is not None, "an offer without its member has been refused"
        parameters = PLAIN_TEXT if offer.type == "custom" else said.parameters or {}
        tools.append(Tool(said.name, said.description or "", parameters))
    return tuple(tools)


def read_choice(choice: Any) -> str:
    """Returns `none`, `auto`, `required` or `name:FUNCTION`."""
    if not isinstance(choice, Mapping):
        return choice if isinstance(choice, str) else "auto"
    said = choice.get(str(choice.get("type")))
    if choice.get("type") == "allowed_tools" and isinstance(said, Mapping):
        return "required" if said.get("mode") == "required" else "auto"
    name = said.get("name") if isinstance(said, Mapping) else None
    return f"name:{name}" if name else "auto"
